"""Copies of the dumps elsewhere, kept by restic in any of its backends.

Where the repository is, its password and what its backend needs are files for root alone. restic is told the
first two by their paths; of the third its manual knows only the environment
(https://restic.readthedocs.io/en/stable/040_backup.html#environment-variables), which nobody but restic gets.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .programs import Done, Failed, run
from .shelf import Dump, read_name

if TYPE_CHECKING:
    from collections.abc import Sequence

_TAG = "portcullis"
_DAYS = 7
_LEAST = 6  # characters that a value needs to be taken out of messages: "1" would take out too much


@dataclass(frozen=True)
class Repository:
    """A restic repository.

    Attributes:
        host: what the snapshots of this host are called; a new machine in its place finds them by it.
        address: file with its address.
        password: file with its password.
        environment: file with a line NAME=value for each thing that the backend needs.
        cache: folder for restic's cache.
    """

    host: str
    address: Path
    password: Path
    environment: Path
    cache: Path

    def keep(self, dumps: Sequence[Dump], days: int, *, forget: bool = True) -> None:
        """Copy dumps there, forget what is older than those days, and read a share of it back.

        Args:
            dumps: what is copied.
            days: how long a copy is kept at least.
            forget: dumps of every store are among these. Snapshots go by their age, whatever is in them: with
                a store that fails for long, the last copy of its data would go while others have new ones.

        Raises:
            Failed: one of these; dumps that are there stay there.
        """
        self._make()
        paths = [str(dump.path) for dump in dumps]
        self._checked("restic backup", "backup", f"--host={self.host}", f"--tag={_TAG}", "--quiet", *paths)
        if forget:
            # By host: every snapshot has paths of its own, and each would be the last of its group.
            self._checked(
                "restic forget", "forget", f"--host={self.host}", f"--tag={_TAG}", "--group-by=host",
                f"--keep-within={days}d", f"--keep-daily={days}", "--prune", "--quiet",
            )  # fmt: skip
        # Another seventh each day of the week, so that all of it is read once a week.
        share = time.localtime().tm_wday + 1
        self._checked("restic check", "check", f"--read-data-subset={share}/{_DAYS}", "--quiet")

    def dumps(self, store: str) -> list[Dump]:
        """Return the dumps of a store that are there, the newest first. Raises `Failed`."""
        done = self._checked(
            "restic snapshots", "snapshots", f"--host={self.host}", f"--tag={_TAG}", "--json"
        )
        found = {}
        for snapshot in json.loads(done.out or "[]") or []:
            for path in map(Path, snapshot["paths"]):
                dump = read_name(path, snapshot=str(snapshot["id"]))
                if dump is not None and path.parent.name == store:
                    found[dump.path.name] = dump
        return sorted(found.values(), key=lambda dump: dump.taken, reverse=True)

    def fetch(self, dump: Dump, out: IO[bytes]) -> None:
        """Write a dump that is there. Raises `Failed`."""
        self._checked("restic dump", "dump", dump.snapshot, str(dump.path), stdout=out)

    def _make(self) -> None:
        """Make the repository if there is none. One that is there is never touched by that."""
        there = self._restic("cat", "config")
        if there.code == 0:
            return
        made = self._restic("init", "--quiet")
        if made.code != 0:
            said = "\n".join(self._told(done) for done in (there, made))
            raise Failed(f"the restic repository can neither be opened nor made:\n{said}")

    def _checked(self, what: str, *words: str, stdout: IO[bytes] | None = None) -> Done:
        done = self._restic(*words, stdout=stdout)
        # 3: some source could not be read. All of ours were there a moment ago.
        if done.code != 0:
            raise Failed(f"{what} failed (exit {done.code}):\n{self._told(done)}")
        return done

    def _restic(self, *words: str, stdout: IO[bytes] | None = None) -> Done:
        argv = [
            "restic", f"--repository-file={self.address}", f"--password-file={self.password}",
            f"--cache-dir={self.cache}", *words,
        ]  # fmt: skip
        return run(argv, stdout=stdout, env=self._variables())

    def _variables(self) -> dict[str, str]:
        lines = self.environment.read_text("utf-8").splitlines() if self.environment.exists() else []
        pairs = (line.partition("=") for line in lines if "=" in line)
        return {name: value for name, _, value in pairs}

    def _told(self, done: Done) -> str:
        """Return what restic said, without secrets: it quotes addresses, and those may hold one."""
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
