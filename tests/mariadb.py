"""A real MariaDB server for tests without a host. The lab's entry point starts it, as in a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import mariadb as image
from tests.unpacked import Unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class Mariadb(Unpacked):
    """A server, which does not run yet.

    Attributes:
        options: the options of the server.
        variables: the variables of its container.
    """

    container = "mariadb"
    # The server of the first start has no network.
    answers = (
        "! mariadb --host=127.0.0.1 --user=nobody --password=none --skip-ssl 2>&1 | grep -q 'connect to'"
    )

    def __init__(self, folder: Path, version: str, variables: Mapping[str, str], *options: str) -> None:
        self.variables = dict(variables)
        self.options = options
        super().__init__(folder / f"mariadb-{version}", image.SYSTEMS[version])

    def command(self) -> Sequence[str]:
        return ["docker-entrypoint.sh", "mariadbd", *self.options]

    def environment(self) -> dict[str, str]:
        return self.variables

    def sql(self, sql: str, *, user: str = "root", password: str, host: str = "") -> str:
        """Run SQL, and return what the client prints: rows or an error."""
        network = ["--protocol=tcp", f"--host={host}", "--skip-ssl"] if host else []
        done = self.sh(
            '"$0" "$@" 2>&1', "mariadb", "--batch", "--skip-column-names", f"--user={user}", *network,
            env={"MYSQL_PWD": password}, text=sql,
        )  # fmt: skip
        return done.out.strip()
