"""Tests the component MongoDB, its settings, and the providers of its host resources."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from portcullis.components import DatabaseArgs, MongoDB, MongoDBArgs
from portcullis.components.mongodb.component import HEALTH, PORT
from portcullis.components.mongodb.facts import MongoRootFacts, MongoUserFacts
from portcullis.components.mongodb.resource.mongo_root import MongoRootProvider
from portcullis.components.mongodb.resource.mongo_user import MongoUserProvider
from portcullis.components.stores.render import listens
from portcullis.config.faults import SettingsError
from portcullis.config.load import read
from tests.components.test_components import container, docker_engine, existing_engine
from tests.config.test_settings import IMAGE
from tests.previews import unknown_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.recording_engine import Deploy

URN = "urn:pulumi:lab::web::portcullis:index:MongoDB$portcullis:index:MongoUser::mongo-shop"


class Authority:
    def __init__(self) -> None:
        self.ca_pem = pulumi.Output.from_input("CA\n")

    def server(
        self, name: str, dns_names: Sequence[str], ip_addresses: Sequence[str] = ()
    ) -> tuple[pulumi.Output[str], pulumi.Output[str]]:
        said = f"{name} {' '.join(dns_names)} {' '.join(ip_addresses)}\n"
        return pulumi.Output.from_input(said), pulumi.Output.secret("KEY\n")


def store(**args: Any) -> MongoDB:
    given = {"databases": {"shop": DatabaseArgs(), "crm": DatabaseArgs()}, "image": IMAGE} | args
    wiring = {key: given.pop(key) for key in ("engine", "ca", "bridge") if key in given}
    engine = wiring.pop("engine", None) or docker_engine()
    return MongoDB("mongo", MongoDBArgs(**given), engine=engine, **wiring)


def used(**args: Any) -> None:
    mongo = store(**args)
    use = mongo.uses("shop")
    assert use.server is mongo.container
    folder = {name: pulumi.Output.from_input(text) for name, text in use.files.items()}
    container(
        "app",
        host_port=None,
        env={re.sub("[^a-z_]", "_", name): text for name, text in folder.items()},
        opts=pulumi.ResourceOptions(depends_on=use.depends_on),
    )


def test_the_container_has_only_the_rights_it_needs_and_requires_a_login(deploy: Deploy) -> None:
    inputs = deploy(store).one("container:Container").inputs
    assert inputs["command"] == [
        "mongod", "--auth", "--bind_ip_all", "--maxConns=800", "--networkMessageCompressors=snappy,zstd",
    ]  # fmt: skip
    assert inputs["user"] == "999:999"
    assert inputs["readOnly"] is True
    assert inputs["capabilities"] == {"drops": ["ALL"]}
    assert inputs["ports"] == [{"ip": "172.17.0.1", "internal": 27017, "external": 27017, "protocol": "tcp"}]
    assert inputs["envs"] == [
        "MONGO_INITDB_ROOT_PASSWORD_FILE=/run/secrets/root-password", "MONGO_INITDB_ROOT_USERNAME=root",
    ]  # fmt: skip
    mounts = {mount["target"]: mount for mount in inputs["mounts"]}
    assert {target: mount["type"] for target, mount in mounts.items()} == {
        "/data/configdb": "tmpfs", "/data/db": "volume", "/run/secrets": "bind", "/tmp": "tmpfs",  # noqa: S108
    }  # fmt: skip
    assert mounts["/run/secrets"]["source"] == "/etc/portcullis/secrets/mongo"
    assert mounts["/run/secrets"]["readOnly"] is True


def test_a_store_that_runs_keeps_its_open_files_and_its_compressors(deploy: Deploy) -> None:
    """A new default of ours is no reason to restart a database."""
    found = deploy(store).one("container:Container")
    assert {"ulimits", "command[3]", "command[4]"} <= set(found.options.ignoreChanges)
    # What a store of an older version has in these places.
    assert found.inputs["command"][3:5] == ["--maxConns=800", "--networkMessageCompressors=snappy,zstd"]
    assert found.inputs["ulimits"][1]["hard"] == 65536


@pytest.mark.parametrize(
    ("own", "option"), [(("zstd",), "zstd"), ((), "disabled"), (("zstd", "snappy"), "zstd,snappy")]
)
def test_settings_of_ones_own_reach_a_store_that_runs(
    deploy: Deploy, own: tuple[str, ...], option: str
) -> None:
    found = deploy(lambda: store(compressors=own, nofile=64000)).one("container:Container")
    assert list(found.options.ignoreChanges) == ["healthcheck.startInterval", "ulimits"]
    assert {"label": "portcullis.nofile", "value": "64000"} in found.inputs["labels"]
    assert found.inputs["command"][4] == f"--networkMessageCompressors={option}"
    assert found.inputs["ulimits"][1] == {"name": "nofile", "soft": 64000, "hard": 64000}


def test_every_secret_is_marked(deploy: Deploy) -> None:
    engine = deploy(lambda: store(tls=True, ca=Authority(), replica_set=True))
    for resource in engine.declared:
        marked = {key: value for key, value in resource.inputs.items() if key in resource.secret}
        rest = json.dumps({k: v for k, v in resource.inputs.items() if k not in marked}, default=str)
        assert "generated-" not in rest, resource.name
        assert "KEY" not in rest, resource.name


def test_each_database_has_a_user_named_after_the_generation_of_its_password(deploy: Deploy) -> None:
    engine = deploy(store)
    shop = engine.one(":MongoUser", "mongo-shop").inputs
    assert shop["user"] == "shop-1"
    assert shop["roles"] == {"readWrite@shop": "granted"}
    assert shop["password_file"] == "/etc/portcullis/secrets/mongo-users/shop"
    assert shop["root_file"] == "/etc/portcullis/secrets/mongo/root-password"
    assert {r.inputs["database"] for r in engine.of(":MongoUser")} == {"crm", "shop"}


def test_the_order_of_the_resources(deploy: Deploy) -> None:
    engine = deploy(store)
    assert engine.before("mongo-container") >= {"mongo-root-password", "web1-docker-service"}
    assert "mongo-container" in engine.before("mongo-root")
    assert engine.before("mongo-shop") >= {"mongo-root", "mongo-users-shop"}


def test_an_app_gets_a_connection_string_for_its_own_database_only(deploy: Deploy) -> None:
    engine = deploy(used)
    app = engine.one("container:Container", "app-container").inputs
    password = "generated-mongo-shop-secret"
    options = "authSource=shop&directConnection=true&w=majority&journal=true"
    assert app["envs"] == [
        f"mongo_shop_password={password}",
        f"mongo_shop_url=mongodb://shop-1:{password}@mongo:27017/shop?authMechanism=SCRAM-SHA-256&{options}",
        "mongo_shop_user=shop-1",
    ]
    assert "mongo-shop" in engine.before("app-container")
    assert "mongo-crm" not in engine.before("app-container")


def test_a_replica_set_has_the_name_that_apps_use(deploy: Deploy) -> None:
    engine = deploy(lambda: used(replica_set=True))
    command = engine.one("container:Container", "mongo-container").inputs["command"]
    assert command[-4:] == ["--replSet", "rs0", "--keyFile", "/run/secrets/keyfile"]
    assert engine.one(":MongoRoot").inputs["replica_set"] == "rs0/mongo:27017"
    assert engine.one(":GeneratedSecret", "mongo-keyfile").inputs["length"] == 128
    (url,) = (e for e in engine.one("container:Container", "app-container").inputs["envs"] if "_url" in e)
    assert "&replicaSet=rs0&" in url
    assert "directConnection" not in url


def test_with_tls_every_connection_is_encrypted(deploy: Deploy) -> None:
    engine = deploy(lambda: used(tls=True, ca=Authority()))
    container = engine.one("container:Container", "mongo-container").inputs
    assert container["command"][5:] == [
        "--tlsMode", "requireTLS", "--tlsCertificateKeyFile", "/run/secrets/server.pem",
        "--tlsCAFile", "/run/secrets/ca.pem", "--tlsAllowConnectionsWithoutCertificates",
    ]  # fmt: skip
    pem = engine.one(":File", "mongo-server.pem")
    assert pem.inputs["content"] == "mongo mongo localhost 172.17.0.1\nKEY\n"
    assert "content" in pem.secret
    assert engine.one(":MongoRoot").inputs["ca"] == "/etc/portcullis/secrets/mongo/ca.pem"
    envs = engine.one("container:Container", "app-container").inputs["envs"]
    assert any(e.endswith("&tls=true&tlsCAFile=/run/secrets/mongo_ca.pem") for e in envs)
    assert "mongo_ca_pem=CA\n" in envs
    assert container["labels"][0]["label"] == "portcullis.refresh.certificate"


def test_the_volume_stays(deploy: Deploy) -> None:
    engine = deploy(store)
    volume = engine.one("volume:Volume")
    assert (volume.inputs["name"], volume.options.retainOnDelete, volume.options.protect) == (
        "mongo-data", True, False,
    )  # fmt: skip
    engine = deploy(lambda: store(protect=True))
    assert engine.one("volume:Volume").options.protect is True


def test_a_former_password_is_used_until_the_first_rotation(deploy: Deploy) -> None:
    engine = deploy(lambda: store(former_password=pulumi.Output.secret("theirs")))
    root = engine.one(":MongoRoot")
    assert {"password", "previous"} <= root.secret
    assert root.inputs["previous"] == "theirs"


def test_an_undeclared_database_cannot_be_used(deploy: Deploy) -> None:
    def program() -> None:
        with pytest.raises(ValueError, match=r"has no database 'shpo', only \['crm', 'shop'\]"):
            store().uses("shpo")

    deploy(program)


def test_all_faults_of_the_arguments_are_reported_at_once() -> None:
    with pytest.raises(ValueError, match="MongoDBArgs") as caught:
        MongoDBArgs(databases={"a/b": DatabaseArgs(), "admin": DatabaseArgs()}, memory=256, image="mongo")
    text = str(caught.value)
    for part in ("a/b", "a slash", "a database of MongoDB's own", "memory", "image"):
        assert part in text, text


def test_it_runs_on_an_engine_that_the_host_already_has(deploy: Deploy) -> None:
    engine = deploy(lambda: store(engine=existing_engine(bind_address="10.9.0.1"), tls=True))
    assert engine.one(":MongoRoot").inputs["address"] == "10.9.0.1:27017"
    assert engine.one(":InternalCa").parent == "mongo"
    assert not {"Packages", "Service"} & {r.type.rpartition(":")[2] for r in engine.declared}


@pytest.mark.parametrize(
    ("line", "matches"),
    [
        ("   0: 00000000:6989 00000000:0000 0A 00000000:00000000 00:00000000 00000000   999", True),
        (f"   3: {'0' * 32}:6989 {'0' * 32}:0000 0A 00000000:00000000 00:00000000 00000000   999", True),
        ("   0: 0100007F:6989 00000000:0000 0A 00000000:00000000 00:00000000 00000000   999", False),
        ("   0: 00000000:698A 00000000:0000 0A 00000000:00000000 00:00000000 00000000   999", False),
        ("   0: 00000000:6989 020012AC:9F3A 01 00000000:00000000 00:00000000 00000000   999", False),
    ],
)
def test_the_health_check_ignores_the_server_of_the_first_start(line: str, *, matches: bool) -> None:
    assert listens(PORT) in HEALTH
    assert bool(re.search(listens(PORT), line)) is matches


def settings(raw: Mapping[str, Any]) -> tuple[MongoDBArgs | None, list[str]]:
    try:
        return read(MongoDBArgs, raw, "portcullis:stores.mongo"), []
    except SettingsError as error:
        return None, [str(fault) for fault in error.faults]


def test_the_smallest_settings_name_one_database() -> None:
    found, faults = settings({"databases": {"shop": {}}})
    assert faults == []
    assert found
    assert found.model_dump() == {
        "databases": {"shop": {"rotate": None}}, "image": "mongo:8", "memory": 1024, "cpus": "1",
        "host_port": 27017, "nofile": None, "compressors": None, "replica_set": False, "tls": False,
        "protect": False, "avx": True, "rotate": None, "former_password": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a/b", "has a slash in it"),
        ("a.b", "has a dot in it"),
        ("a b", "has a space in it"),
        ("a$b", "has a dollar sign in it"),
        ('a"b', "has a quote in it"),
        ("a'b", "has a quote in it"),
        ("x" * 64, "is longer than 50 bytes"),
        ("admin", "is a database of MongoDB's own"),
        ("Local", "is a database of MongoDB's own"),
        ("config", "is a database of MongoDB's own"),
        ("-shop", "is not the name of a database"),
        ("", "is not the name of a database"),
    ],
)
def test_impossible_names_of_databases_are_refused(name: str, reason: str) -> None:
    found, faults = settings({"databases": {name: {}}})
    assert found is None
    assert f"portcullis:stores.mongo.databases.{name[:50]}" in faults[0]
    assert reason in faults[0]


def test_faults_of_settings_are_reported_together() -> None:
    _, faults = settings({"databases": {"shop": {"rotat": "x"}, "Shop": {}}, "memory": 100, "tls": "maybe"})
    text = "\n".join(faults)
    for part in ("rotat: is not a known key", "capital letters only", "512 or more", "mongo.tls"):
        assert part in text, text


USER = {
    "host": "web1", "managed_by": URN, "store": "mongo", "address": "172.17.0.1:27017", "root": "root",
    "root_file": "/r", "database": "shop", "user": "shop-1", "password": "secret", "password_file": "/p",
    "roles": {"readWrite@shop": "granted"}, "server": "answers", "login": "works",
}  # fmt: skip


def test_the_user_of_the_next_generation_is_created_before_the_old_one_is_dropped() -> None:
    found = MongoUserProvider().diff("x", USER, {**USER, "user": "shop-2"})
    assert (found.replaces, found.delete_before_replace) == (["user"], False)
    unknown = MongoUserProvider().diff("x", USER, {**USER, "user": pulumi.runtime.rpc.UNKNOWN})
    assert unknown.replaces == ["user"]
    assert MongoUserProvider().diff("x", USER, {**USER, "password": "other"}).replaces == []


def test_the_host_remembers_no_secret_of_a_user() -> None:
    item = MongoUserProvider().item(USER)
    assert item.id == "mongo/shop/shop-1"
    assert "secret" not in str(item.spec)


def test_a_repr_shows_no_password() -> None:
    given = {**USER, "password": "secret-1", "previous": "secret-2", "before": "secret-3"}
    for provider in (MongoUserProvider(), MongoRootProvider()):
        assert "root_file='/r'" in str(provider.desired(given))
        assert "secret" not in str(provider.desired(given))


def test_a_server_that_is_down_changes_one_line_only() -> None:
    said = "does not answer: Connection refused"
    user, root = MongoUserFacts(exists=True, server=said), MongoRootFacts(exists=True, server=said)
    assert MongoUserProvider().live_inputs(user) == {"server": said}
    assert MongoRootProvider().live_inputs(root) == {"server": said}


def test_a_preview_does_not_know_secrets_and_user_names_and_knows_all_else() -> None:
    assert unknown_in(lambda: used(tls=True, ca=Authority(), replica_set=True)) == {
        "app-container.envs[1]",
        "app-container.envs[2]",
        "app-container.envs[3]",
        "app-container.image",
        "mongo-container.image",
        "mongo-container.labels[0].value",
        "mongo-crm.password",
        "mongo-crm.user",
        "mongo-keyfile.content",
        "mongo-root-password.content",
        "mongo-root.password",
        "mongo-root.previous",
        "mongo-shop.password",
        "mongo-shop.user",
        "mongo-users-crm.content",
        "mongo-users-shop.content",
    }
