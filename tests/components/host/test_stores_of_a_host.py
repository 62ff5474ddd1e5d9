"""Tests which resources the settings of stores declare, for the apps and for the people that use them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components import HardenedHost
from portcullis.components.host import images
from portcullis.components.host.stack import load
from portcullis.components.stores.store_use import login_file
from tests.config.test_settings import IMAGE, KEY, faults, smallest
from tests.previews import unknown_in
from tests.recording_engine import declare

if TYPE_CHECKING:
    from tests.recording_engine import Deploy, Engine

DIGEST = "@sha256:" + "b" * 64


def shop(**api: Any) -> dict[str, Any]:
    config = smallest()
    config["stores"] = {
        "redis": {"image": f"redis:8{DIGEST}"},
        "mongo": {"image": f"mongo:8{DIGEST}", "databases": {"shop": {}}},
    }
    config["secrets"] = {"stripeKey": "planted-secret"}
    app = config["apps"]["api"]
    app |= {"uses": ["redis", "mongo.shop"], "secrets": ["stripeKey"], "user": "1000:1000", **api}
    del app["hostPort"]
    config["tunnels"] = {"alice": {"to": ["redis", "mongo"], "keys": {"laptop": KEY}}}
    return config


def host(config: dict[str, Any], *encrypted: str) -> HardenedHost:
    return HardenedHost("web1", load(config, secret=["secrets", *encrypted]).host_args("web1"))


@pytest.fixture(scope="module")
def engine() -> Engine:
    """Declare the whole shop once, for all tests that do not change its settings."""
    return declare(lambda: host(shop()), preview=False)


def test_an_app_gets_its_store_urls_as_files(engine: Engine) -> None:
    files = {file.name: file for file in engine.of(":File") if file.name.startswith("api-secrets-")}
    assert set(files) == {
        f"api-secrets-{name}"
        for name in (
            *("redis_url", "redis_user", "redis_password"),
            *("mongo_shop_url", "mongo_shop_user", "mongo_shop_password"),
            "stripeKey",
        )
    }
    for file in files.values():
        assert (file.inputs["owner"], file.inputs["mode"]) == ("1000", "0400")
        assert "content" in file.secret
    container = engine.one(":Container", "api-container")
    assert [m for m in container.inputs["mounts"] if m["target"] == "/run/secrets"] == [
        {
            "readOnly": True,
            "source": "/etc/portcullis/secrets/api-secrets",
            "target": "/run/secrets",
            "type": "bind",
        }
    ]
    assert "planted-secret" not in str(container.inputs)


def test_an_app_gets_logins_and_secrets_as_variables(deploy: Deploy) -> None:
    variables = {
        "CACHE": "redis",
        "CACHE_USER": "redis.user",
        "SHOP": "mongo.shop.url",
        "SHOP_PASSWORD": "mongo.shop.password",
        "STRIPE": "stripeKey",
    }
    engine = deploy(
        lambda: host(shop(secretEnv=variables, env={"PLAIN": "shown"}, jobs={"before": ["true"]}))
    )
    for name in ("api-container", "api-before-1"):
        made = engine.one(":Container", name)
        given = dict(env.split("=", 1) for env in made.inputs["envs"])
        assert given.pop("PLAIN") == "shown"
        assert given["CACHE"].startswith("redis://api-1:")
        assert given["CACHE_USER"] == "api-1"
        assert given["SHOP"].startswith("mongodb://shop-1:")
        assert given["SHOP_PASSWORD"] in given["SHOP"]
        assert given["STRIPE"] == "planted-secret"
        assert set(given) == set(variables)
        assert "envs" in made.secret
        assert not {"command", "healthcheck"} & set(made.secret), "what is no secret stays readable"
        said = {label["label"]: label["value"] for label in made.inputs["labels"]}
        assert said["portcullis.secret-env"] == " ".join(sorted(variables))
    state = engine.one(":ContainerState", "api-state").inputs
    assert (state["secret"], state["environment"]) == (True, {"PLAIN": "shown"})


def test_a_name_is_a_login_or_a_secret_and_not_both() -> None:
    config = shop(secretEnv={"X": "redis", "Y": "backend"}, uses=["redis", "mongo.shop", "backend"])
    config["apps"]["backend"] = {"image": IMAGE, "port": 80}
    config["secrets"] |= {"redis": "planted-secret", "backend": "of an app's name"}
    (fault,) = faults(config, secret=["secrets"])
    assert "X: names a login of a store, and a secret; give the secret another name" in fault
    del config["secrets"]["redis"]
    engine = declare(lambda: host(config), preview=False)
    assert "Y=of an app's name" in engine.one(":Container", "api-container").inputs["envs"]


@pytest.mark.parametrize(
    ("reference", "file"),
    [
        ("redis", "redis_url"),
        ("redis.user", "redis_user"),
        ("mongo.user", "mongo_user_url"),
        ("mongo.user.password", "mongo_user_password"),
        ("mongo.shop", None),
        ("mongo.user.ca", None),
        ("user", None),
    ],
)
def test_a_reference_names_a_login_or_its_part(reference: str, file: str | None) -> None:
    assert login_file(reference, ["redis", "mongo.user"]) == file


def test_stores_and_their_users_come_before_the_app(engine: Engine) -> None:
    assert engine.before("api-container") >= {
        "redis-state", "redis-user-api", "mongo-root", "mongo-shop", "api-secrets-redis_url",
    }  # fmt: skip


def test_a_store_has_more_time_to_become_healthy_than_an_app(engine: Engine) -> None:
    within = {
        name: engine.one(":ContainerState", f"{name}-state").inputs["within"]
        for name in ("redis", "mongo", "api")
    }
    assert within == {"redis": "300", "mongo": "300", "api": "90"}


def test_an_app_joins_only_the_networks_of_its_stores(deploy: Deploy) -> None:
    config = shop(uses=["redis"])
    config["apps"]["worker"] = {"image": f"x:1{DIGEST}", "healthCommand": ["true"]}
    engine = deploy(lambda: host(config))
    joined = {
        name: [
            network["name"]
            for network in engine.one(":Container", f"{name}-container").inputs["networksAdvanced"]
        ]
        for name in ("api", "worker")
    }
    assert joined == {"api": ["api", "api.redis"], "worker": ["worker"]}


def test_apps_are_declared_after_those_that_they_use(deploy: Deploy) -> None:
    config = shop(uses=["backend", "redis"])
    config["apps"]["backend"] = {"image": f"x:1{DIGEST}", "port": 81, "uses": ["mongo.shop"], "user": "1"}
    engine = deploy(lambda: host(config))
    assert {link.name for link in engine.of(":Link")} == {"api.backend", "api.redis", "backend.mongo"}
    assert {"backend-state", "api.backend"} <= engine.before("api-container")
    published = {
        name: bool(engine.one(":Container", f"{name}-container").inputs["ports"])
        for name in ("api", "backend")
    }
    assert published == {"api": True, "backend": False}, "nginx reaches the app with a site alone"
    assert engine.one(":Container", "backend-container").options.deleteBeforeReplace is False


def test_two_databases_of_one_store_share_one_network(deploy: Deploy) -> None:
    config = shop(uses=["mongo.shop", "mongo.blog"])
    config["stores"]["mongo"]["databases"]["blog"] = {}
    container = deploy(lambda: host(config)).one(":Container", "api-container")
    names = [network["name"] for network in container.inputs["networksAdvanced"]]
    assert names == ["api", "api.mongo"]


def test_stores_reach_nothing_outside(engine: Engine) -> None:
    table = engine.one(":ForwardFilter").inputs["table"]
    for store in ("redis", "mongo"):
        network = engine.one(":Network", f"{store}-network").inputs
        assert network["options"]["com.docker.network.bridge.name"] == f"br-{store}"
        assert f'iifname "br-{store}"' in table


def test_a_tunnel_reaches_the_ports_of_the_stores(engine: Engine) -> None:
    account = engine.one(":User", "web1-tunnel-alice-account")
    (key,) = account.inputs["keys"].values()
    assert 'permitopen="172.17.0.1:6379"' in key
    assert 'permitopen="172.17.0.1:27017"' in key
    assert "172.17.0.1:6379" in engine.one(":SshServer").inputs["content"]
    assert "web1-ssh-server" in engine.before("web1-tunnel-alice-account"), "its block is there before it"


def test_a_tunnel_to_a_store_with_tls_gets_the_authoritys_certificate(deploy: Deploy) -> None:
    for tls in (True, False):
        config = shop()
        config["stores"]["mongo"]["tls"] = tls
        found = []
        deploy(lambda config=config, found=found: found.append(host(config).tunnels[0]))
        assert (found[0].ca is not None) == tls


def test_stores_with_data_are_backed_up_by_default(engine: Engine, deploy: Deploy) -> None:
    assert engine.one(":BackupStatus").inputs["stores"] is not None
    cache = shop()
    cache["stores"] = {"redis": {"image": f"redis:8{DIGEST}", "persistence": "none"}}
    cache["apps"]["api"]["uses"] = ["redis"]
    cache["tunnels"] = {}
    assert not deploy(lambda: host(cache)).of(":BackupStatus")


def test_postgresql_with_its_apps_tunnels_and_networks(deploy: Deploy) -> None:
    config = shop(uses=["postgres.shop", "redis"], secretEnv={"DATABASE_URL": "postgres.shop"})
    config["stores"] = {
        "redis": config["stores"]["redis"],
        "postgres": {"image": f"postgres:17{DIGEST}", "databases": {"shop": {}, "crm": {}}},
    }
    config["tunnels"]["alice"]["to"] = ["postgres"]
    found: list[HardenedHost] = []
    engine = deploy(lambda: found.append(host(config)))
    (tunnel,) = found[0].tunnels
    assert list(tunnel.passwords) == ["postgres-shop-api"]
    assert {r.inputs["user"] for r in engine.of(":StoreUser")} == {"api.shop-1"}
    assert {r.inputs["name"] for r in engine.of("network:Network")} == {
        "api", "postgres", "redis", "redis-shared",
    }  # fmt: skip
    (variable,) = engine.one("container:Container", "api-container").inputs["envs"]
    assert variable.startswith("DATABASE_URL=postgresql://api.shop-1:")
    assert set(engine.one(":BackupStatus").inputs["stores"]) == {"redis", "postgres.crm", "postgres.shop"}


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("stores.redis.memory", 4, "stores.redis.memory: 4 is not an amount of memory"),
        ("stores.mongo.databases", {"a/b": {}}, "has a slash in it"),
        ("stores.mongo.databases", {"admin": {}}, "is a database of MongoDB's own"),
        ("stores.mongo.hostPort", 6379, "stores.mongo.hostPort: 6379 is already used on web1 by store redis"),
        ("stores.mysql", {}, "stores.mysql: is not a known key"),
        ("stores.postgres", {}, "stores.postgres.databases: is missing"),
        ("stores.postgres", {"databases": {"public": {}}}, "is a name of PostgreSQL's own"),
        ("stores.postgres", {"databases": {"my-shop": {}}}, "start with a lower-case letter"),
        ("apps.api.uses", ["mongo.shopp"], "is not an app or a store of this stack; did you mean"),
        ("apps.api.uses", ["mongo"], "names no database; write one of mongo.shop"),
        ("apps.api.secrets", ["stripekey"], "did you mean stripeKey?"),
        ("apps.api.secrets", ["redis_url"], "is a file name that the stores use"),
        ("apps.api.secretEnv", {"X": "redsi"}, "nor a secret of this stack; did you mean redis?"),
        ("apps.api.secretEnv", {"X": "redis.passwort"}, "did you mean redis.password?"),
        ("apps.api.secretEnv", {"X": "mongo"}, "did you mean mongo.shop?"),
        ("apps.api", {"image": f"a{DIGEST}", "port": 80, "secretEnv": {"X": "mongo.shop.user"}},
         "add mongo.shop to portcullis:apps.api.uses"),
        ("apps.api.secretEnv", {"X": "sk_live/1"}, "X: this value (a secret) is not the name of a secret or"),
        ("apps.api.secretEnv", {"X": ["sk_live"]}, "X: this value (a secret) is not the name of a secret or"),
        ("apps.api.secretEnv", ["X=sk_live"], "secretEnv: this value (a secret) is not a map"),
        ("apps.api", {"image": f"a{DIGEST}", "port": 80, "env": {"X": "1"}, "secretEnv": {"X": "key"}},
         "X: is in env too; keep one of the two"),
        ("apps.api.user", "node", "is a name, but the files with its secrets need"),
        ("apps.api.image", "acme/api:1.4", None),
        ("apps.redis", {"image": "x:1", "healthCommand": ["true"]}, "is also the name of a store"),
        ("apps.api.hostPort", 6379, "is already used on web1 by store redis"),
        ("stores.redis.hostPort", 40000, "stores.redis.hostPort: 40000 is not a port that only root may"),
        ("stores.mongo.hostPort", 40000, "stores.mongo.hostPort: 40000 is not a port that only root may"),
        ("tunnels.alice.to", ["postgres"], "is not a store"),
        ("backups.time", "25:00", "is not a time of day"),
        ("images", {"digests": "maybe"}, "is not a rule for digests"),
    ],
)  # fmt: skip
def test_faults_of_the_data_layer(path: str, value: Any, words: str | None) -> None:
    config = copy.deepcopy(shop())
    *way, last = path.split(".")
    place = config
    for part in way:
        place = place.setdefault(part, {})
    place[last] = value
    if words is None:
        load(config, secret=["secrets"])
        return
    found = faults(config, secret=["secrets"])
    assert any(words in line for line in found), found


def test_if_digests_are_required_tags_and_default_images_are_refused() -> None:
    config = shop(image="ghcr.io/acme/api:1.4")
    config["images"] = {"digests": "required"}
    config["stores"]["redis"] = {}
    found = faults(config, secret=["secrets"])
    assert found == [
        f"portcullis:{path}, but images.digests is required; write NAME@sha256:…"
        for path in (
            "stores.redis.image: defaults to a tag",
            'apps.api.image: "ghcr.io/acme/api:1.4" is a tag',
        )
    ]


def test_faults_of_an_app_and_its_stores_are_reported_at_once() -> None:
    config = shop(image="ghcr.io/acme/api:1.4", uses=["redis", "mongo.shopp", "postgres"])
    config["apps"]["api"]["hostPort"] = 2019
    config["stores"]["mongo"] |= {"databases": {"shop": {}, "a/b": {}}, "memory": 64}
    config["stores"]["kafka"] = {}
    config["apps"]["web"] = config["apps"]["api"] | {"uses": []}
    config["images"] = {"digests": "required"}
    found = faults(config, secret=["secrets"])
    tag = 'image: "ghcr.io/acme/api:1.4" is a tag, but images.digests is required; write NAME@sha256:…'
    assert {line.removeprefix("portcullis:").partition(";")[0] for line in found} == {
        'stores.mongo.databases.a/b: "a/b" has a slash in it, which the name of a database cannot have',
        "stores.mongo.memory: 64 is not an amount of memory for MongoDB in MB",
        "stores.kafka: is not a known key",
        'apps.api.uses[1]: "mongo.shopp" is not an app or a store of this stack',
        'apps.api.uses[2]: "postgres" is not an app or a store of this stack',
        "stores.kafka.image: defaults to a tag, but images.digests is required",
        "apps.web.hostPort: 2019 is already used on web1 by app api",
        *(f"apps.{app}.{tag}".partition(";")[0] for app in ("api", "web")),
    }


def test_a_volume_from_elsewhere_needs_its_former_password(deploy: Deploy) -> None:
    config = shop()
    config["stores"]["mongo"]["formerPassword"] = "planted-theirs"
    engine = deploy(lambda: host(config, "stores"))
    root = engine.one(":MongoRoot")
    assert "previous" in root.secret
    assert root.inputs["previous"] == "planted-theirs"


def test_unencrypted_passwords_among_other_settings_are_refused_and_not_shown() -> None:
    config = shop()
    config["stores"]["mongo"]["formerPassword"] = "planted-one"
    environment = {"AWS_DEFAULT_REGION": "eu", "AWS_SECRET_ACCESS_KEY": "planted-two"}
    config["backups"] = {
        "restic": {"repository": "s3:s3.example.com/b", "environment": environment, "password": "planted-3"}
    }
    found = faults(config, secret=["secrets"])
    assert sorted(line.partition(": ")[0] for line in found) == [
        "portcullis:backups.restic.environment.AWS_SECRET_ACCESS_KEY",
        "portcullis:backups.restic.password",
        "portcullis:stores.mongo.formerPassword",
    ]
    assert all("is not encrypted; `pulumi config set --secret --path portcullis:" in line for line in found)
    assert "planted" not in "".join(found)
    settings = load(config, secret=["secrets", "stores", "backups"])
    assert "planted" not in repr(settings)


def test_unencrypted_secrets_are_refused_and_not_shown() -> None:
    found = faults(shop())
    assert len(found) == 1
    assert "is not encrypted" in found[0]
    assert "planted-secret" not in found[0]


def test_every_image_gets_its_digest_from_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def resolve(named: dict[str, str], *_: object, **__: object) -> dict[str, str]:
        asked.update(named)
        return {path: f"{path.split('.')[1]}:1{DIGEST}" for path in named}

    monkeypatch.setattr(images, "resolve", resolve)
    again = images.resolved(load(shop(), secret=["secrets"]), "portcullis:")
    assert set(asked) == {
        "portcullis:apps.api.image", "portcullis:stores.redis.image", "portcullis:stores.mongo.image",
    }  # fmt: skip
    assert again.apps["api"].image == f"api:1{DIGEST}"
    assert again.stores["redis"].image == f"redis:1{DIGEST}"


def test_only_secrets_and_changing_values_are_unknown_in_a_preview() -> None:
    assert unknown_in(lambda: host(shop())) == {
        "api-container.image",
        "api-container.labels[0].value",
        "api-container.name",
        "api-container.ports[0].external",
        "api-release.defined_by.labels",
        "api-secrets-mongo_shop_password.content",
        "api-secrets-mongo_shop_url.content",
        "api-secrets-mongo_shop_user.content",
        "api-secrets-redis_password.content",
        "api-secrets-redis_url.content",
        "api-secrets-redis_user.content",
        "api-state.container",
        "mongo-container.image",
        "mongo-root-password.content",
        "mongo-root.password",
        "mongo-root.previous",
        "mongo-shop.password",
        "mongo-shop.user",
        "mongo-users-shop.content",
        "redis-container.image",
        "redis-container.labels[0].value",
        "redis-secrets-ops.content",
        "redis-user-api.password",
        "redis-user-api.user",
        "redis-user-ops.password",
        "redis-user-ops.user",
        "web1-nginx-api.example.com.content",
        "web1-nginx-drain.upstreams.api.example.com/",
    }
