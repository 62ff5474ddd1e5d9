"""Back up one database of a PostgreSQL server in a container, and restore a backup.

The container's user may log in through the server's socket as the superuser, and as the role
`DATABASE.restoring`. So the job needs no password.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from . import containers, postgres_sql
from .programs import LONGEST, Done, Failed, checked, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_STARTING = 300.0  # seconds
_CLEANS = 300.0  # seconds
_TRIES = 20
_LIST = "/dev/shm/portcullis-restore"  # noqa: S108 - in the container, where everything runs as one user
_VERSION = re.compile(r"Dumped from database version: ([0-9]+)")

# The table of contents is at the head of a dump, so a dump that is cut may still have all of it. We read all
# data. A row is one line between `COPY … FROM stdin;` and `\.`. The exit code is that of pg_restore.
# A large object counts as a row.
_COUNT = r"""
exec 4>&1
code=$({ { pg_restore --data-only --file=- 4>&-; echo $? >&3; } | LC_ALL=C awk '
    rows { if ($0 == "\\.") rows = 0; else n++; next }
    / FROM stdin;$/ { rows = 1 }
    /^SELECT pg_catalog\.lo_open\(/ { n++ }
    END { print n + 0 }' >&4; } 3>&1)
exit $code
"""
# The owner of a database may give each of its sessions other settings. These come last and so hold. In
# another encoding, what we read could mean something else to us. The agent has the same settings, with limits
# of time, in components/stores/on_host/postgres.py: the job is a program of its own.
_AS_ADMINISTRATOR = (
    "export PGAPPNAME=portcullis-backup; o='-c role=none -c client_encoding=UTF8 -c search_path=pg_catalog "
    "-c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0 -c idle_session_timeout=0 "
    "-c idle_in_transaction_session_timeout=0 -c local_preload_libraries='; psql -V | grep -q ' 1[56]' || "
    'o="$o -c transaction_timeout=0 -c event_triggers=off"; PGOPTIONS=$o exec '
)
_PSQL = (
    f"{_AS_ADMINISTRATOR} psql --no-psqlrc --no-password --quiet --tuples-only --no-align "
    "--set=ON_ERROR_STOP=1 --username=postgres"
)
_OF_THE_SUPERUSER = (b"EVENT TRIGGER ", b"PUBLICATION ", b"SUBSCRIPTION ")
_IN_USE = "55006"  # https://www.postgresql.org/docs/current/errcodes-appendix.html


@dataclass(frozen=True)
class Postgres:
    """One database of a PostgreSQL server, by the container that the server runs in."""

    name: str
    container: str
    database: str

    ending = ".dump"
    holds = "rows"

    def wait(self) -> None:
        """Wait until the server has started, because the job may run right after a boot of the host."""
        containers.wait_while_starting(self.container, _STARTING)

    def dump(self, out: IO[bytes]) -> None:
        """Write the database as it is at one moment. Nobody has to stop writing."""
        words = "pg_dump --username=postgres --no-password --format=custom --lock-wait-timeout=600s"
        self._ask(postgres_sql.END_OLD, "dump")
        try:
            self._checked(f"{_AS_ADMINISTRATOR} {words} --dbname={self.database}", "dump", stdout=out)
        except Failed:
            self._run(postgres_sql.END_OLD, cleans=True)
            raise

    def check(self, path: Path) -> int:
        """Return the number of rows in a dump. Raises `Failed` if the dump is not complete."""
        with path.open("rb") as file:
            done = run(containers.shell(self.container, _COUNT), stdin=file)
        if done.code != 0:
            newer = "unsupported version" in done.err
            hint = "\nIt is from a newer PostgreSQL: first run the newer image on this host." if newer else ""
            raise Failed(f"pg_restore cannot read the backup {path.name} to its end:\n{done.tail}{hint}")
        return int(done.out)

    def check_version(self, path: Path, present: Path) -> None:
        """Compare the server of a dump with the server of a dump of the present data.

        Raises:
            Failed: the dump is from a newer PostgreSQL, whose data an older one may not understand.
        """
        theirs, ours = self._version(path), self._version(present)
        if theirs > ours:
            raise Failed(
                f"the restore changed nothing: the backup is from PostgreSQL {theirs}, and {self.name} is "
                f"PostgreSQL {ours}; first run the newer image on this host"
            )

    def restore(self, path: Path, part: str, say: Callable[[str], None]) -> None:
        """Restore into a new database, which then takes the place of the present one.

        The dump has functions that apps wrote, and a restore may run them. So it runs as a role that may do
        what apps may, and never as the superuser. The present database is unchanged until the last step,
        which is one transaction. What an interrupted restore left is removed first.

        Raises:
            Failed: the dump could not be restored. The present data is unchanged.
        """
        del part
        self._ask(postgres_sql.END_OLD)
        if left := self._ask(postgres_sql.LEFT).split():
            say(f"{self.container}: removing what an interrupted restore left: {', '.join(left)}")
            self._ask(postgres_sql.CLEAN)
        try:
            oid = self._ask(postgres_sql.CREATE).strip()
            if not oid:
                raise Failed(f"{self.container} has no database {self.database}; an `up` creates it")
            say(f"{self.container}: restoring {self.database} into a new database")
            self._ask(postgres_sql.ARM)
            self._fill(path, self._extend(), say)
            self._ask(postgres_sql.DISARM)
            self._ask(postgres_sql.LEAVE, database=self._new)
            say(f"{self.container}: replacing {self.database}; open connections end")
            self._swap(oid)
            say(f"{self.name} is restored")
        finally:
            done = self._run(postgres_sql.CLEAN, cleans=True)
            if done.code != 0:
                say(f"{self.container}: the next restore removes what is left of this one:\n{done.tail}")

    @property
    def _new(self) -> str:
        return f"{self.database}.restoring"

    def _version(self, path: Path) -> int:
        with path.open("rb") as file:
            done = self._checked("exec pg_restore --list", "version check", stdin=file)
        found = _VERSION.search(done.out)
        return int(found[1]) if found else 0

    def _extend(self) -> set[bytes]:
        """Create the extensions of the present database in the new one, which has no code of apps yet.

        Return those entries of a dump that are there now, or that only the superuser may restore.
        """
        try:
            told = json.loads(self._ask(postgres_sql.EXTENSIONS, database=self.database))
        except ValueError:
            raise Failed(f"the restore of {self.name} failed: psql does not tell the extensions") from None
        skip, sql, owner = {*told["skip"]}, "", _quoted(self.database)
        for name, schema, by_superuser in told["extensions"] or ():
            if schema != "public" and not schema.startswith("pg_"):
                sql += f"CREATE SCHEMA IF NOT EXISTS {_quoted(schema)} AUTHORIZATION {owner};\n"
                skip.add(f"SCHEMA - {schema}")
            sql += "RESET ROLE;\n" if by_superuser else f"SET ROLE {owner};\n"
            sql += f"CREATE EXTENSION {_quoted(name)} SCHEMA {_quoted(schema)};\nRESET ROLE;\n"
        self._ask(sql, database=self._new)
        return {entry.encode() for entry in skip}

    def _fill(self, path: Path, skip: set[bytes], say: Callable[[str], None]) -> None:
        """Restore the dump into the new database, without some entries of its table of contents."""
        with path.open("rb") as file, tempfile.TemporaryFile() as contents, tempfile.TemporaryFile() as kept:
            self._checked("exec pg_restore --list", "restore", stdin=file, stdout=contents)
            contents.seek(0)
            for line in contents:
                # A line is: ID; OID OID KIND SCHEMA NAME OWNER
                entry, _, owner = line.rstrip(b"\n").partition(b" ")[2].rpartition(b" ")
                entry = entry.split(b" ", 2)[-1]
                if owner == b"postgres" and entry.removeprefix(b"COMMENT - ").startswith(_OF_THE_SUPERUSER):
                    shown = entry.decode(errors="replace")
                    say(f"left out, because only the superuser may create it: {shown!r}")
                elif entry not in skip:
                    kept.write(line)
            kept.seek(0)
            self._checked(f"exec cat >{_LIST}", "restore", stdin=kept)
            file.seek(0)
            # Row security begins after the rows have come. A view that keeps rows is filled afterwards.
            words = (
                "pg_restore --exit-on-error --no-owner --no-privileges --enable-row-security --no-password"
            )
            login = f"--username={self._new} --dbname={self._new}"
            try:
                self._checked(f"exec {words} {login} --use-list={_LIST}", "restore", stdin=file)
            except Failed as failure:
                if "permission denied to create extension" not in str(failure):
                    raise
                how = f"CREATE EXTENSION …; in the database {self.database} as its administrator"
                raise Failed(f"{failure}\nFirst run {how}, then restore again.") from None

    def _swap(self, oid: str) -> None:
        for attempt in range(_TRIES):
            # An app may connect between the end of its old connections and the renaming, which then fails.
            done = self._run(postgres_sql.SWAP, oid=oid, VERBOSITY="verbose")
            if done.code == 0 and "another restore" not in done.out:
                return
            if _IN_USE not in done.err:
                break
            time.sleep(0.1 * attempt)
        raise Failed(f"the restore of {self.name} changed nothing:\n{done.tail}")

    def _ask(self, sql: str, what: str = "restore", database: str = "postgres") -> str:
        done = self._run(sql, database)
        if done.code != 0:
            raise Failed(f"the {what} of {self.name} failed:\n{done.tail}")
        return done.out

    def _run(self, sql: str, database: str = "postgres", *, cleans: bool = False, **more: str) -> Done:
        names = {"now": self.database, "new": self._new, "before": f"{self.database}.before", **more}
        given = " ".join(f"--set={name}={value}" for name, value in names.items())
        argv = containers.shell(self.container, f"{_PSQL} {given} --dbname={database}")
        with tempfile.TemporaryFile() as file:
            file.write(sql.encode())
            file.seek(0)
            return run(argv, stdin=file, timeout=_CLEANS if cleans else LONGEST, cleans=cleans)

    def _checked(self, script: str, what: str, **more: IO[bytes]) -> Done:
        return checked(containers.shell(self.container, script), f"the {what} of {self.name}", **more)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
