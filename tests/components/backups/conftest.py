"""A real PostgreSQL server with a database, and a `docker` that runs commands beside it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from portcullis.components.backups.job import postgres, programs
from portcullis.components.backups.job.postgres import Postgres
from tests import postgres as postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portcullis.agent.run import Done

PASSWORD = "a-password-of-forty-characters-or-so-1234"
APP = "exec psql -XqAtw -v ON_ERROR_STOP=1 -h 127.0.0.1 -U api.shop-1 shop"
LIST = "/tmp/list"  # noqa: S108 - in the server's own file system


@pytest.fixture(scope="module", params=["15", "17"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[postgres_server.Postgres]:
    folder = tmp_path_factory.mktemp("postgres")
    made = postgres_server.Postgres(folder, request.param)
    made.make_docker(folder / "docker")
    yield made
    made.stop()


class Server:
    """A server with the database `shop`, as the resources of the component declare it."""

    def __init__(self, real: postgres_server.Postgres) -> None:
        self.env = {"PATH": f"{real.root.parent}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
        self.real = real
        for name in ("shop", "shop.restoring", "shop.before"):
            real.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        real.sql(f"""
            DROP ROLE IF EXISTS "api.shop-1", "shop.restoring", shop;
            CREATE ROLE shop;
            CREATE ROLE "api.shop-1" LOGIN PASSWORD '{PASSWORD}' IN ROLE shop;
            CREATE DATABASE shop OWNER shop;
            ALTER ROLE "api.shop-1" IN DATABASE shop SET role = 'shop';
            ALTER DATABASE shop SET search_path = "odd, path", public, '';
            REVOKE ALL ON DATABASE shop FROM PUBLIC;
            GRANT TEMPORARY ON DATABASE shop TO "api.shop-1";
            ALTER DATABASE shop CONNECTION LIMIT 50;
            """)

    def sql(self, sql: str, database: str = "shop") -> str:
        """Run SQL as the administrator."""
        return self.real.sql(sql, database)

    def as_app(self, sql: str) -> str:
        """Run SQL as the app does, and return what it prints. An error is an assertion."""
        done = self.real.sh(APP, env={"PGPASSWORD": PASSWORD}, text=sql)
        assert not done.code, done.err
        return done.out.strip()

    def session(self, sql: str) -> Done:
        """Run SQL as the app does, which may fail."""
        return self.real.sh(APP, env={"PGPASSWORD": PASSWORD}, text=sql)

    def extensions(self) -> str:
        """Return the name, the schema and the owner of each extension."""
        return self.sql(
            "SELECT string_agg(concat_ws(' ', extname, nspname, extowner::regrole), ', ' ORDER BY extname)"
            " FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname <> 'plpgsql'"
        )

    def names(self) -> set[str]:
        """Return the names of databases and of roles that may log in."""
        databases = self.sql("SELECT datname FROM pg_database WHERE NOT datistemplate", "postgres")
        roles = self.sql("SELECT rolname FROM pg_roles WHERE rolcanlogin", "postgres")
        return {*databases.split(), *roles.split()}


QUIET = {"postgres", "shop", "api.shop-1"}
STORE = Postgres("postgres.shop", "postgres", "shop")


def dumped(folder: Path) -> Path:
    path = folder / "a.dump"
    with path.open("wb") as file:
        STORE.dump(file)
    return path


@pytest.fixture
def server(running: postgres_server.Postgres, monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server(running)
    monkeypatch.setattr(programs, "_ENVIRONMENT", made.env)
    monkeypatch.setattr(postgres, "_LIST", LIST)
    return made
