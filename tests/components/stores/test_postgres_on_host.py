"""Tests the agent's code for PostgreSQL against Debian's own servers, 15 and 17."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.errors import AgentError
from portcullis.components.stores.facts import DECLARED, scram_hash
from tests import postgres
from tests.on_host import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portcullis.agent.machine import Machine

SERVER, USER = "stores.store_servers", "stores.store_users"
PASSWORD = "a-password-of-forty-characters-or-so-1234"
DATABASES = ("crm", "shop")


@pytest.fixture(scope="module", params=["15", "17"])
def real(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[postgres.Postgres]:
    made = postgres.Postgres(tmp_path_factory.mktemp("postgres"), request.param)
    yield made
    made.stop()


class Agent:
    """The agent on a host with this server."""

    def __init__(self, machine: Machine, real: postgres.Postgres) -> None:
        self.client = Client(dataclasses.replace(machine, run=real.docker))
        self.server = {
            "store": "postgres",
            "dialect": "postgres",
            "databases": dict.fromkeys(DATABASES, DECLARED),
        }

    def put_server(self, **more: Any) -> Any:
        return self.client.on("put", SERVER, "postgres", self.server | {"config": "1"}, **more)

    def put(self, user: str, database: str = "shop", **more: Any) -> Any:
        return self.client.on("put", USER, f"postgres/{user}", self._user(user, database), **more)

    def remove(self, user: str, database: str = "shop") -> Any:
        return self.client.on("remove", USER, f"postgres/{user}", self._user(user, database))

    def server_facts(self) -> Any:
        return self.client.look(SERVER, "postgres", self.server)

    def facts(self, user: str, database: str = "shop") -> Any:
        spec = self._user(user, database)
        del spec["password"]
        return self.client.look(USER, f"postgres/{user}", {**spec, "hash": scram_hash(user, PASSWORD)})

    def _user(self, user: str, database: str) -> dict[str, str]:
        return {
            "store": "postgres", "dialect": "postgres", "user": user, "database": database,
            "password": PASSWORD,
        }  # fmt: skip


@pytest.fixture
def agent(machine: Machine, real: postgres.Postgres) -> Iterator[Agent]:
    made = Agent(machine, real)
    made.put_server()
    made.put("api.shop-1")
    yield made
    made.remove("api.shop-1")


def test_a_user_owns_its_database_and_reaches_nothing_else(agent: Agent, real: postgres.Postgres) -> None:
    assert agent.facts("api.shop-1")["account"] == DECLARED
    assert agent.server_facts()["databases"] == dict.fromkeys(DATABASES, DECLARED)

    def said(sql: str, user: str = "api.shop-1", password: str = PASSWORD, database: str = "shop") -> str:
        return real.log_in(user, password, database, sql)

    assert said("SELECT current_user, session_user") == "shop|api.shop-1"
    assert said("CREATE TABLE a (b int); SELECT tableowner FROM pg_tables WHERE tablename = 'a'") == "shop"
    assert "password authentication failed" in said("SELECT 1", password="wrong")
    assert "no password supplied" in said("SELECT 1", password="")
    assert "no pg_hba.conf entry" in said("SELECT 1", database="crm")
    assert "rejects connection" in said("SELECT 1", user="postgres", database="postgres")
    assert "password authentication failed" in said("SELECT 1", user="shop")
    # A role may change its own password, and the app acts as the owner.
    assert said("ALTER ROLE shop PASSWORD 'evil'") == ""
    assert "not permitted to log in" in said("SELECT 1", user="shop", password="evil")
    assert agent.server_facts()["databases"]["shop"] == "has an owner that has a password"
    agent.put_server()


def test_what_differs_is_told_by_name_and_mended(agent: Agent, real: postgres.Postgres) -> None:
    real.sql(
        r"""
        CREATE ROLE mallory LOGIN SUPERUSER;
        CREATE DATABASE hidden OWNER mallory;
        CREATE ROLE U&"it's \0022odd\0022" CREATEDB;
        ALTER DATABASE crm OWNER TO mallory;
        ALTER ROLE shop CREATEDB PASSWORD 'x';
        GRANT pg_read_all_data TO "api.shop-1" WITH ADMIN OPTION;
        REVOKE shop FROM "api.shop-1";
        ALTER ROLE "api.shop-1" NOLOGIN PASSWORD 'x' CONNECTION LIMIT 3 VALID UNTIL '2030-01-01';
        ALTER ROLE "api.shop-1" IN DATABASE shop RESET role;
        """
    )
    assert agent.facts("api.shop-1")["account"] == (
        "has an end date, may not log in, has another password, may open 3 connections only, "
        "may pass on pg_read_all_data, is also in pg_read_all_data, is not in shop, does not act as shop"
    )
    found = agent.server_facts()
    assert found["databases"] == {
        "crm": "belongs to mallory",
        "shop": "has an owner that may create databases, has a password",
    }
    assert found["undeclared"] == {
        'it\'s "odd"': "may not log in, may create databases",
        "mallory": "may log in, is a superuser",
    }
    real.sql("SET ROLE mallory; CREATE TABLE hers (a int)", "shop")
    agent.put_server()
    agent.put("api.shop-1")
    assert agent.facts("api.shop-1")["account"] == DECLARED
    found = agent.server_facts()
    assert (found["databases"], found["undeclared"]) == (dict.fromkeys(DATABASES, DECLARED), {})
    owner = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'hers'"
    assert real.sql(owner, "shop") == "shop"
    assert (
        real.sql("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'hidden'") == "left_behind"
    )
    real.sql("DROP DATABASE hidden")


def test_the_role_of_a_restore_is_no_difference_without_more_rights(
    agent: Agent, real: postgres.Postgres
) -> None:
    real.sql('CREATE ROLE "shop.restoring" LOGIN IN ROLE shop')
    assert agent.server_facts()["undeclared"] == {}
    real.sql("""ALTER ROLE "shop.restoring" PASSWORD 'x'""")
    assert agent.server_facts()["undeclared"] == {"shop.restoring": "may log in, has a password, is in shop"}
    agent.put_server()
    assert agent.server_facts()["undeclared"] == {}


def test_a_removed_user_leaves_its_tables_and_no_session(agent: Agent, real: postgres.Postgres) -> None:
    agent.put("api.shop-2")
    words = "-c 'SET ROLE NONE' -c 'CREATE TABLE own (a int)' -c 'SELECT pg_sleep(60)'"
    script = f"psql -X -h 127.0.0.1 -U api.shop-2 -d shop {words}"
    asleep = threading.Thread(target=real.sh, args=(script,), kwargs={"env": {"PGPASSWORD": PASSWORD}})
    asleep.start()
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'api.shop-2'"
    _wait(lambda: real.sql(sessions) == "1" and "own" in real.sql("\\dt own", "shop"))
    assert agent.remove("api.shop-2")["done"] == "removed"
    asleep.join(10)
    assert not asleep.is_alive()
    assert real.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'api.shop-2'") == "0"
    assert real.log_in("api.shop-1", PASSWORD, "shop", "SELECT count(*) FROM own") == "0"
    assert agent.remove("api.shop-2")["done"] == "absent"


def test_an_app_cannot_hold_up_the_administrator(agent: Agent, real: postgres.Postgres) -> None:
    """The owner of a database may give its sessions other settings, and close it."""
    agent.put("api.shop-2")
    for setting in (
        "SET role = 'shop'",
        "SET default_transaction_read_only = on",
        "SET statement_timeout = 1",
        "SET search_path = evil",
        "SET local_preload_libraries = 'nothere'",
        "SET idle_session_timeout = '1ms'",
        "CONNECTION LIMIT 0",
        "ALLOW_CONNECTIONS false",
    ):
        real.sql(f"SET ROLE shop; ALTER DATABASE shop {setting}")
    assert agent.server_facts()["databases"]["shop"] == "refuses connections"
    agent.put_server()
    assert agent.server_facts()["databases"]["shop"] == DECLARED
    assert agent.remove("api.shop-2")["done"] == "removed"
    assert agent.facts("api.shop-1")["account"] == DECLARED
    real.sql("ALTER DATABASE shop RESET ALL")
    real.sql("SET ROLE shop; ALTER DATABASE shop CONNECTION LIMIT 0")
    assert agent.server_facts()["databases"]["shop"] == "accepts 0 connections only"
    agent.put_server()
    assert agent.server_facts()["databases"]["shop"] == DECLARED


def test_what_others_hold_leaves_a_user_without_any_right(agent: Agent, real: postgres.Postgres) -> None:
    agent.put("api.shop-2")
    sql = "SET ROLE NONE; CREATE TABLE held (a int); GRANT ALL ON held TO shop"
    assert real.log_in("api.shop-2", PASSWORD, "shop", sql) == ""
    script = "psql -X -h 127.0.0.1 -U api.shop-1 -d shop -c 'BEGIN; LOCK held; SELECT pg_sleep(30)'"
    holds = threading.Thread(target=real.sh, args=(script,), kwargs={"env": {"PGPASSWORD": PASSWORD}})
    holds.start()
    locks = (
        "SELECT count(*) FROM pg_locks WHERE granted AND relation = 'held'::regclass AND mode ~ 'AccessEx'"
    )
    _wait(lambda: real.sql(locks, "shop") == "1")
    assert agent.remove("api.shop-2")["done"] == "kept"
    assert agent.server_facts()["undeclared"] == {}
    assert "password authentication failed" in real.log_in("api.shop-2", PASSWORD, "shop", "SELECT 1") or (
        "no pg_hba.conf entry" in real.log_in("api.shop-2", PASSWORD, "shop", "SELECT 1")
    )
    real.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'api.shop-1'")
    holds.join(10)
    agent.put("api.shop-2")
    assert agent.facts("api.shop-2")["account"] == DECLARED
    assert agent.remove("api.shop-2")["done"] == "removed"


def test_nothing_passes_to_the_administrator(agent: Agent, real: postgres.Postgres) -> None:
    real.sql("CREATE ROLE joe LOGIN; CREATE DATABASE joe OWNER joe; CREATE ROLE eve LOGIN")
    real.sql("GRANT CREATE ON SCHEMA public TO eve; SET ROLE eve; CREATE TABLE public.eves (a int)")
    assert agent.server_facts()["undeclared"].keys() == {"joe", "eve"}
    agent.put_server()
    assert agent.server_facts()["undeclared"] == {}
    assert real.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'eves'") == "left_behind"
    assert real.sql("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'joe'") == "f"
    real.sql("DROP TABLE public.eves")
    real.sql("DROP DATABASE joe")


def test_rules_that_lock_the_administrator_out_are_mended(agent: Agent, real: postgres.Postgres) -> None:
    rules = real.rules.read_text()
    real.rules.write_text("local all all reject\n")
    real.sql("SELECT pg_reload_conf()")
    _wait(lambda: agent.server_facts()["server"] != "answers")
    real.rules.write_text(rules)
    agent.put_server()
    assert agent.server_facts()["server"] == "answers"


def test_an_open_door_is_told_and_the_files_are_read_again(agent: Agent, real: postgres.Postgres) -> None:
    rules = real.rules.read_text()
    try:
        real.rules.write_text(f"host all all all trust\n{rules}")
        real.sql("SELECT pg_reload_conf()")
        _wait(lambda: agent.server_facts()["login"] != "required")
        found = agent.server_facts()
        assert (found["login"], found["server"]) == ("lets clients in without a login", "answers")
    finally:
        time.sleep(1.1)  # the time of a file has seconds
        real.rules.write_text(rules)
    assert agent.server_facts()["rules"] == "not read since their last change"
    agent.put_server()
    _wait(lambda: agent.server_facts()["login"] == "required")
    assert agent.server_facts()["rules"] == "loaded"


def test_undeclared_users_of_an_old_volume_want_adopt(machine: Machine, real: postgres.Postgres) -> None:
    real.sql("CREATE ROLE left_over LOGIN")
    fresh = Agent(machine, real)
    with pytest.raises(AgentError, match="left_over"):
        fresh.put_server()
    fresh.put_server(adopt=True)
    assert fresh.server_facts()["undeclared"] == {}


def test_a_server_that_is_down_is_drift_and_a_removed_container_holds_nobody_up(
    machine: Machine, real: postgres.Postgres
) -> None:
    agent = Agent(machine, real)
    agent.put_server()
    agent.put("api.shop-1")
    process, real.process = real.process, None
    try:
        assert agent.server_facts()["server"].startswith("does not answer: Error response")
        assert agent.facts("api.shop-1")["server"].startswith("does not answer")
        with pytest.raises(AgentError, match="the server of the store postgres does not answer"):
            agent.put("api.shop-1")
        assert agent.remove("api.shop-1")["done"] == "kept"
    finally:
        real.process = process
    agent.put_server(adopt=True)


def _wait(done: Any) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_no_hash_is_on_a_command_line(agent: Agent, real: postgres.Postgres) -> None:
    real.seen.clear()
    agent.put("api.shop-3")
    assert real.seen
    assert "SCRAM" not in str(real.seen)
    agent.remove("api.shop-3")
