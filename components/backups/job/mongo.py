"""Back up a MongoDB server in a container, and restore a backup."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from . import archive, containers
from .programs import Failed, checked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# The tools read the password from a YAML file. The shell inside the container writes this YAML file from the
# secret file into a pipe. So the password is on no command line, in no environment and on no disk:
# https://www.mongodb.com/docs/database-tools/mongodump/#std-option-mongodump.--config
_CONFIG = '3<<END\npassword: "$(cat /run/secrets/root-password)"\nEND\n'
_LOGIN = "--config /dev/fd/3 --username root --authenticationDatabase admin"
_RESTORED = re.compile(r"([0-9]+) document\(s\) restored successfully\. ([0-9]+) document\(s\) failed")
_STARTING = 300.0  # seconds
_DATABASE = re.compile(r"[A-Za-z0-9_-]{1,63}")


@dataclass(frozen=True)
class Mongo:
    """A MongoDB, by the container it runs in.

    `tls` is the path of the CA inside the container, if the server accepts TLS only.
    """

    name: str
    container: str
    tls: str = ""

    ending = ".archive.gz"
    holds = "documents"

    def wait(self) -> None:
        """Wait until the server has started, because the job may run right after a boot of the host."""
        containers.wait_while_starting(self.container, _STARTING)

    def dump(self, out: IO[bytes]) -> None:
        """Write an archive of every database."""
        checked(self._run("mongodump --archive --gzip"), f"the dump of {self.name}", stdout=out)

    def check(self, path: Path) -> int:
        """Return the number of documents in an archive. Raises `Failed` if the archive is not complete."""
        return sum(archive.documents(path).values())

    def check_version(self, path: Path, present: Path) -> None:
        """Compare the server of an archive with the server of an archive of the present data.

        Raises:
            Failed: the archive is from a newer MongoDB, whose data an older one may not understand.
        """
        theirs, ours = archive.server_version(path), archive.server_version(present)
        if theirs > ours:
            newer, older = (".".join(map(str, version)) for version in (theirs, ours))
            raise Failed(
                f"the restore changed nothing: the backup is from MongoDB {newer}, and {self.name} is "
                f"MongoDB {older}; first run the newer image on this host"
            )

    def restore(self, path: Path, part: str, say: Callable[[str], None]) -> None:
        """Restore one database, or all databases.

        Each collection of the archive replaces the collection of the same name. The server's users stay
        unchanged. The stack declares these users, and the users in the archive may have old passwords.
        """
        found = archive.documents(path)
        if part and (part not in found or not _DATABASE.fullmatch(part)):
            raise Failed(
                f"the backup {path.name} has no database {part}; its databases: {', '.join(found) or 'none'}"
            )
        which = (
            f"--nsInclude='{part}.*'"
            if part
            else " ".join(f"--nsExclude='{name}.*'" for name in archive.SYSTEM)
        )
        say(f"{self.container}: restoring {part or ', '.join(found) or 'nothing'}")
        with path.open("rb") as file:
            done = checked(
                self._run(f"mongorestore --archive --gzip --drop {which}"),
                f"the restore of {self.name}",
                stdin=file,
            )
        told = _RESTORED.search(done.err)
        expected = found[part] if part else sum(found.values())
        if told is None or int(told[2]) or int(told[1]) < expected:
            raise Failed(f"the restore of {self.name} did not write all {expected} documents:\n{done.tail}")
        say(f"{self.name}: {told[1]} documents restored")

    def _run(self, words: str) -> list[str]:
        program, _, rest = words.partition(" ")
        tls = f" --ssl --sslCAFile={self.tls} --host={self.container}" if self.tls else ""
        return containers.shell(self.container, f"exec {program} {_LOGIN}{tls} {rest} {_CONFIG}")
