"""Tests the component PostgreSQL, its files, and the providers of a store's host resources."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components import PostgresDatabaseArgs, PostgreSQL, PostgreSQLArgs
from portcullis.components.postgres import render
from portcullis.components.stores.facts import DECLARED, StoreServerFacts, StoreUserFacts, scram_hash
from portcullis.components.stores.resource.store_server import StoreServerProvider
from portcullis.components.stores.resource.store_user import StoreUserProvider
from portcullis.config.faults import ArgumentsError
from portcullis.host.provider import ABSENT
from portcullis.provider.changes import Change
from tests.components.mongodb.test_mongodb import Authority
from tests.components.test_components import container, docker_engine, existing_engine
from tests.config.test_settings import IMAGE
from tests.previews import unknown_in

if TYPE_CHECKING:
    from tests.recording_engine import Deploy


def store(*, rotate: str | None = None, **args: Any) -> PostgreSQL:
    databases = {"shop": PostgresDatabaseArgs(rotate=rotate), "crm": PostgresDatabaseArgs()}
    wiring = {key: args.pop(key) for key in ("engine", "ca", "bridge") if key in args}
    engine = wiring.pop("engine", None) or docker_engine()
    given = PostgreSQLArgs(**{"databases": databases, "image": IMAGE} | args)
    return PostgreSQL("postgres", given, engine=engine, **wiring)


def used(**args: Any) -> None:
    postgres = store(**args)
    uses = [postgres.uses("api", "shop"), postgres.uses("api", "crm")]
    assert postgres.uses("api", "shop") is uses[0], "an app has one user for each database"
    container("api", host_port=None, user="1000:1000", uses=uses, engine=postgres._engine)
    container("worker", host_port=None, user="1000:1000", uses=[postgres.uses("worker", "shop")])


def test_the_container_has_only_the_rights_it_needs(deploy: Deploy) -> None:
    engine = deploy(lambda: store(memory=512, bridge="br-postgres"))
    inputs = engine.one("container:Container").inputs
    assert inputs["command"][:5] == [
        "postgres",
        "-c", "hba_file=/etc/portcullis/pg_hba.conf",
        "-c", "ident_file=/etc/portcullis/pg_ident.conf",
    ]  # fmt: skip
    assert "shared_buffers=128MB" in inputs["command"]
    assert not any("ssl" in word for word in inputs["command"])
    assert (inputs["user"], inputs["readOnly"], inputs["hostname"]) == ("999:999", True, "postgres")
    assert inputs["capabilities"] == {"drops": ["ALL"]}
    assert inputs["ports"] == [{"ip": "172.17.0.1", "internal": 5432, "external": 5432, "protocol": "tcp"}]
    assert [network["name"] for network in inputs["networksAdvanced"]] == ["postgres"]
    mounts = {mount["target"]: mount for mount in inputs["mounts"]}
    assert {target: mount.get("source", mount["type"]) for target, mount in mounts.items()} == {
        "/etc/portcullis": "/etc/portcullis/postgres/postgres",
        "/run/secrets": "/etc/portcullis/secrets/postgres-secrets",
        "/tmp": "tmpfs",  # noqa: S108
        "/var/lib/postgresql": "postgres-data",
        "/var/lib/postgresql/data": "tmpfs",
        "/var/run/postgresql": "tmpfs",
    }
    assert inputs["envs"] == [
        "PGDATA=/var/lib/postgresql/cluster",
        "POSTGRES_INITDB_ARGS=--data-checksums",
        "POSTGRES_PASSWORD_FILE=/run/secrets/first-password",
    ]


def test_an_app_gets_a_login_for_each_database_that_it_uses(deploy: Deploy) -> None:
    engine = deploy(used)
    users = {r.inputs["user"]: r.inputs["database"] for r in engine.of(":StoreUser")}
    assert users == {"api.shop-1": "shop", "api.crm-1": "crm", "worker.shop-1": "shop"}
    files = {r.name: r.inputs["content"] for r in engine.of(":File") if r.name.startswith("api-secrets-")}
    password = "generated-postgres-shop-api-password"
    assert files["api-secrets-postgres_shop_url"] == (
        f"postgresql://api.shop-1:{password}@postgres:5432/shop?sslmode=disable"
    )
    assert files["api-secrets-postgres_shop_user"] == "api.shop-1"
    assert files["api-secrets-postgres_shop_password"] == password
    assert {"api-secrets-postgres_crm_url"} <= files.keys()
    assert engine.before("api-container") >= {"postgres-shop-api", "postgres-server", "postgres-state"}
    assert {r.name for r in engine.of(":Link")} == {"api.postgres", "worker.postgres"}


def test_tls_is_in_the_url_the_rules_and_the_command(deploy: Deploy) -> None:
    engine = deploy(lambda: used(tls=True, ca=Authority()))
    files = {r.name: r.inputs["content"] for r in engine.of(":File")}
    assert files["api-secrets-postgres_shop_url"].endswith(
        "/shop?sslmode=verify-full&sslrootcert=/run/secrets/postgres_ca.crt"
    )
    assert files["api-secrets-postgres_ca.crt"] == "CA\n"
    assert files["postgres-secrets-server.crt"] == "postgres postgres localhost 172.17.0.1 127.0.0.1\n"
    assert "\nhostssl samerole all all scram-sha-256\n" in files["postgres-hba"]
    command = engine.one("container:Container", "postgres-container").inputs["command"]
    assert "ssl_key_file=/run/secrets/server.key" in command


def test_every_secret_is_marked_and_a_preview_knows_what_up_does(deploy: Deploy) -> None:
    for resource in deploy(lambda: used(tls=True, ca=Authority())).declared:
        marked = {key: value for key, value in resource.inputs.items() if key in resource.secret}
        rest = json.dumps({k: v for k, v in resource.inputs.items() if k not in marked}, default=str)
        assert "generated-" not in rest, resource.name
        assert "KEY" not in rest, resource.name
    assert unknown_in(used)


def test_it_runs_on_an_engine_that_the_host_already_has(deploy: Deploy) -> None:
    engine = deploy(lambda: store(engine=existing_engine(bind_address="10.9.0.1"), tls=True))
    assert engine.one("container:Container").inputs["ports"][0]["ip"] == "10.9.0.1"
    assert engine.one(":InternalCa").parent == "postgres"


def test_faults_are_refused() -> None:
    with pytest.raises(ArgumentsError) as caught:
        PostgreSQLArgs(
            databases=dict.fromkeys(["Shop", "pg_x", "template1", "a" * 25], PostgresDatabaseArgs()),
            memory=64,
            image="postgres 17",
        )
    for part in ("Shop", "PostgreSQL's own", "template1", "a" * 25, "memory", "image"):
        assert part in str(caught.value), part


def test_a_database_that_is_not_declared_is_refused(deploy: Deploy) -> None:
    def wrong() -> None:
        with pytest.raises(ValueError, match="no database 'shopp', only"):
            store().uses("api", "shopp")

    deploy(wrong)


def test_the_longest_name_of_a_user_fits() -> None:
    """PostgreSQL would cut a longer one (NAMEDATALEN), and two users could become one."""
    assert len(f"{'a' * 31}.{'d' * 24}-9999") <= 63


def test_the_rules_let_nobody_else_in() -> None:
    text = render.hba("postgres-hba", ["shop", "crm"], tls=False)
    rules = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert rules == [
        "local all all peer map=inside",
        "host all postgres,crm.restoring,shop.restoring all reject",
        "host postgres,crm.restoring,shop.restoring all all reject",
        "host samerole all all scram-sha-256",
    ]
    assert render.ident("postgres-ident", ["shop", "crm"]).splitlines()[-3:] == [
        "inside postgres postgres",
        "inside postgres crm.restoring",
        "inside postgres shop.restoring",
    ]


def test_the_hash_is_what_postgresql_keeps() -> None:
    """RFC 7677 has this example, with another salt; the form is PostgreSQL's."""
    made = scram_hash("api.shop-1", "pencil")
    assert made == scram_hash("api.shop-1", "pencil") != scram_hash("api.shop-2", "pencil")
    head, keys = made.rsplit("$", 1)
    assert head.startswith("SCRAM-SHA-256$4096:")
    assert [len(part) for part in keys.split(":")] == [44, 44]
    assert "pencil" not in made


@pytest.mark.parametrize(
    ("provider", "facts", "live"),
    [
        (StoreUserProvider, StoreUserFacts(exists=False, server="answers"), {"account": ABSENT}),
        (
            StoreUserProvider,
            StoreUserFacts(exists=True, server="answers", account=DECLARED),
            {"server": "answers", "account": DECLARED},
        ),
        (
            StoreServerProvider,
            StoreServerFacts(exists=True, server="does not answer: gone"),
            {"server": "does not answer: gone"},
        ),
    ],
)
def test_what_is_read_back(provider: Any, facts: Any, live: dict[str, Any]) -> None:
    made = provider()
    assert (made.live_inputs(facts) if facts.exists else made.absent_inputs()) == live


def test_the_lines_of_differences() -> None:
    goal = {
        "store": "postgres", "server": "answers", "login": "required", "rules": "loaded", "undeclared": {},
        "databases": {"shop": DECLARED, "crm": DECLARED},
    }  # fmt: skip
    live = goal | {
        "undeclared": {"mallory": "may log in, is a superuser"},
        "databases": {"shop": DECLARED, "crm": "belongs to mallory"},
        "login": "lets clients in without a login",
    }
    paths = frozenset({("undeclared", "mallory"), ("databases", "crm"), ("login",)})
    change = Change("StoreServer", "postgres-server", "update", goal, live, goal, hand=paths, up=paths)
    found = [f"{one.severity.value} {one.subject}: {one.what}" for one in StoreServerProvider().lines(change)]
    assert found == [
        "!! postgres: nobody declared the user mallory: may log in, is a superuser",
        "!! postgres: database crm belongs to mallory",
        "!! postgres: lets clients in without a login",
    ]
    user = {"store": "postgres", "user": "api.shop-1", "account": DECLARED}
    at = frozenset({("account",)})
    change = Change(
        "StoreUser", "postgres-shop-api", "update", user, user | {"account": "may not log in"}, user, at, at
    )
    (line,) = StoreUserProvider().lines(change)
    assert f"{line.subject}: {line.what}" == "user api.shop-1 of postgres: may not log in"
