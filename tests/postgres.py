"""A real PostgreSQL server for tests without a host, with the component's own files and options."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from lab import postgres as image
from portcullis.components.postgres import render
from tests.unpacked import Unpacked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Postgres(Unpacked):
    """A server whose declared database is shop. It runs."""

    container = "postgres"
    answers = "pg_isready -q -h /var/run/postgresql"
    end = signal.SIGINT

    def __init__(self, folder: Path, version: str) -> None:
        self.version = version
        super().__init__(folder / f"postgres-{version}", image.SYSTEMS[version])
        config = self.root / "etc/portcullis"
        config.mkdir(parents=True)
        config.chmod(0o755)
        self.rules = config / "pg_hba.conf"
        self.rules.write_text(render.hba("postgres-hba", ["shop"], tls=False))
        (config / "pg_ident.conf").write_text(render.ident("postgres-ident", ["shop"]))
        done = self.sh("initdb --username=postgres --auth=reject --no-sync")
        assert not done.code, done.err
        self.start()

    def command(self) -> Sequence[str]:
        return render.command(memory=128, tls=False)

    def environment(self) -> dict[str, str]:
        path = f"/usr/lib/postgresql/{self.version}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {"PATH": path, "PGDATA": render.DATA}

    def sql(self, sql: str, database: str = "postgres") -> str:
        """Run SQL as the administrator, and return what it prints."""
        done = self.sh(f"psql -XqAt -v ON_ERROR_STOP=1 -U postgres -d {database}", text=sql)
        assert not done.code, done.err
        return done.out.strip()

    def log_in(self, user: str, password: str, database: str, sql: str) -> str:
        """Run SQL as a client from the network, and return its answer or error."""
        done = self.sh(
            'psql -XqAtw -h 127.0.0.1 -U "$0" -d "$1" -c "$2" 2>&1', user, database, sql,
            env={"PGPASSWORD": password} if password else {},
        )  # fmt: skip
        return done.out.strip()
