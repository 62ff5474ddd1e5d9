"""Keep copies of the dumps in a restic repository, in any of restic's storage backends.

The repository's address, its password and the backend's variables are files that only root can read. restic
gets the paths of the files with the address and the password. restic reads the backend's variables from its
environment only (https://restic.readthedocs.io/en/stable/040_backup.html#environment-variables). No other
program gets the environment with these variables.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .programs import LONGEST, Done, Failed, run
from .shelf import Dump, read_name

if TYPE_CHECKING:
    from collections.abc import Sequence

_TAG = "portcullis"
_DAYS = 7
_PATIENCE = 120.0  # seconds that a person waits for a list; restic itself tries for a quarter of an hour
_LEAST = 6  # characters of a value that we remove from messages: removing "1" would remove too much


@dataclass(frozen=True)
class Repository:
    """A restic repository.

    Attributes:
        host: the host's name in restic's snapshots. A new machine that replaces the host finds the snapshots
            by this name.
        address: file with the repository's address.
        password: file with the repository's password.
        environment: file with a line NAME=value for each variable of the backend.
        cache: folder for restic's cache.
    """

    host: str
    address: Path
    password: Path
    environment: Path
    cache: Path

    def keep(self, dumps: Sequence[Dump], days: int, *, forget: bool = True) -> None:
        """Copy dumps to the repository, remove old copies, and read a part of the repository as a check.

        Args:
            dumps: the dumps to copy.
            days: each copy stays for at least this number of days.
            forget: whether old copies are removed. Pass false if `dumps` lacks the dump of a store. restic
                removes snapshots by age only. So it would remove the last copy of a store whose backups have
                failed for weeks.

        Raises:
            Failed: restic could not copy, remove or read. The error names the step that failed.
        """
        self._make()
        paths = [str(dump.path) for dump in dumps]
        self._checked("restic backup", "backup", f"--host={self.host}", f"--tag={_TAG}", "--quiet", *paths)
        if forget:
            # restic keeps the last snapshot of each group. Every snapshot has paths of its own, so grouping
            # by path would keep all snapshots.
            self._checked(
                "restic forget", "forget", f"--host={self.host}", f"--tag={_TAG}", "--group-by=host",
                f"--keep-within={days}d", f"--keep-daily={days}", "--prune", "--quiet",
            )  # fmt: skip
        # Each day of the week reads another seventh, so that the whole repository is read once a week.
        share = time.localtime().tm_wday + 1
        self._checked("restic check", "check", f"--read-data-subset={share}/{_DAYS}", "--quiet")

    def dumps(self, store: str) -> list[Dump]:
        """Return the dumps of a store in the repository, the newest first.

        Raises:
            Failed: restic failed, or the repository did not answer within two minutes.
        """
        done = self._checked(
            "restic snapshots", "snapshots", f"--host={self.host}", f"--tag={_TAG}", "--json",
            timeout=_PATIENCE,
        )  # fmt: skip
        found = {}
        for snapshot in json.loads(done.out or "[]") or []:
            for path in map(Path, snapshot["paths"]):
                dump = read_name(path, snapshot=str(snapshot["id"]))
                if dump is not None and path.parent.name == store:
                    found[dump.path.name] = dump
        return sorted(found.values(), key=lambda dump: dump.taken, reverse=True)

    def fetch(self, dump: Dump, out: IO[bytes]) -> None:
        """Write a dump from the repository to a file. Raises `Failed` if restic fails."""
        self._checked("restic dump", "dump", dump.snapshot, str(dump.path), stdout=out)

    def _make(self) -> None:
        """Create the repository if there is none. An existing repository is never changed."""
        there = self._restic("cat", "config")
        if there.code == 0:
            return
        made = self._restic("init", "--quiet")
        if made.code != 0:
            said = "\n".join(self._without_secrets(done) for done in (there, made))
            raise Failed(f"restic can neither open nor create the repository:\n{said}")

    def _checked(
        self, what: str, *words: str, stdout: IO[bytes] | None = None, timeout: float = LONGEST
    ) -> Done:
        done = self._restic(*words, stdout=stdout, timeout=timeout)
        # 3 means that restic could not read a source. Our sources all existed a moment ago.
        if done.code != 0:
            raise Failed(f"{what} failed (exit code {done.code}):\n{self._without_secrets(done)}")
        return done

    def _restic(self, *words: str, stdout: IO[bytes] | None = None, timeout: float = LONGEST) -> Done:
        argv = [
            "restic", f"--repository-file={self.address}", f"--password-file={self.password}",
            f"--cache-dir={self.cache}", *words,
        ]  # fmt: skip
        return run(argv, stdout=stdout, timeout=timeout, env=self._variables())

    def _variables(self) -> dict[str, str]:
        lines = self.environment.read_text("utf-8").splitlines() if self.environment.exists() else []
        pairs = (line.partition("=") for line in lines if "=" in line)
        return {name: value for name, _, value in pairs}

    def _without_secrets(self, done: Done) -> str:
        """Return restic's output without secrets.

        restic's messages contain the repository's address, and the address may contain a password.
        """
        text = done.tail
        secrets = [*self._variables().values()]
        with contextlib.suppress(OSError):
            address = self.address.read_text("utf-8").strip()
            secrets += re.findall(r"//[^/@]*:([^/@]+)@", address)
            secrets.append(self.password.read_text("utf-8").strip())
        for secret in secrets:
            if len(secret) >= _LEAST:
                text = text.replace(secret, "***")
        return text
