"""Finds the files in which sshd looks for the keys of each account, from sshd's configuration."""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import os
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from portcullis.agent import disk
from portcullis.agent.errors import AgentError
from portcullis.components.ssh.on_host import ssh_facts, sshd_config

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from portcullis.agent.machine import Machine
    from portcullis.components.ssh.on_host.sshd_config import Line
    from portcullis.components.users.on_host.accounts import Account

_KEYWORD = "authorizedkeysfile"
_DEFAULT = ".ssh/authorized_keys .ssh/authorized_keys2"  # sshd_config(5), AuthorizedKeysFile
# The criteria of a Match block that depend only on the account. All other criteria depend on the client.
_OF_ACCOUNTS = ("user", "group")


@dataclass(frozen=True)
class Places:
    """The files in which sshd looks for keys.

    Attributes:
        words: the values of AuthorizedKeysFile outside of Match blocks.
        blocks: the criteria of each Match block that sets AuthorizedKeysFile, with its values.
    """

    words: tuple[str, ...]
    blocks: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def paths(self, account: Account, groups: Collection[str]) -> list[str]:
        """Return the files for an account that is in `groups`.

        The values of a Match block are added to the general values, although sshd uses only the block's
        values. A key in a file that sshd ignores today may let somebody in tomorrow.
        """
        words = list(self.words)
        for criteria, values in self.blocks:
            if could_select(criteria, account.name, groups):
                words += values
        return list(dict.fromkeys(expanded(word, account) for word in words if word.lower() != "none"))


def places(machine: Machine) -> Places:
    """Return the files in which sshd looks for keys.

    Run sshd only if one of sshd's files has changed since the last run.
    """
    read: list[Path] = [machine.etc / "default" / "ssh", machine.root / "usr/sbin/sshd"]

    def text_of(path: Path) -> str | None:
        read.append(path)
        return sshd_config.read_text(path)

    lines = sshd_config.read_lines(machine.ssh / "sshd_config", text_of)
    words = _effective(machine, lines, _state(read))
    blocks = [(line.match, line.words) for line in lines if line.keyword == _KEYWORD and line.match]
    return Places(tuple(words), tuple(blocks))


def _effective(machine: Machine, lines: Sequence[Line], state: str) -> list[str]:
    """Return the values of AuthorizedKeysFile outside of Match blocks.

    The values come from a cache until a file of sshd changes.
    """
    cache = machine.state / "inventory" / "sshd.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads(cache.read_bytes())
        if kept["state"] == state:
            return [str(word) for word in kept["words"]]
    try:
        said = ssh_facts.effective(machine, [ssh_facts.ANYONE], "22")[ssh_facts.ANYONE].get(_KEYWORD)
        words = " ".join(said or [_DEFAULT]).split()
    except (AgentError, ssh_facts.Refused):
        # There is no sshd, or it refuses its files. Use the values in the files, and run sshd again next
        # time.
        set_there = [line.words for line in lines if line.keyword == _KEYWORD and not line.match]
        return list(set_there[0]) if set_there else _DEFAULT.split()
    # A plan before the first `up` and a session of the preview key must not write the cache.
    with contextlib.suppress(OSError, AgentError):
        if cache.parent.is_dir() and not machine.read_only:
            disk.write(cache, json.dumps({"state": state, "words": words}).encode())
    return words


def _state(paths: Sequence[Path]) -> str:
    """Return a text that changes when one of the files changes.

    The text depends on each file's ctime, which nobody can set back.
    """
    told = []
    for path in paths:
        try:
            found = path.stat()
            told.append(f"{path} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}")
        except OSError:
            told.append(f"{path} -")
    return hashlib.sha256("\n".join(told).encode("utf-8", "surrogateescape")).hexdigest()


def could_select(criteria: str, user: str, groups: Collection[str]) -> bool:
    """Return whether a Match block could select a user: sshd_config(5), Match.

    Args:
        criteria: the criteria of the block, such as "User deploy,web-* Address 10.0.0.0/8".
        user: the account's name.
        groups: names of its groups.
    """
    words = criteria.replace("=", " ").split()
    for name, value in pairwise(words):
        if name.lower() in _OF_ACCOUNTS:
            names = [user] if name.lower() == "user" else groups
            if not any(_is_listed(one, value) for one in names):
                return False
    return True


def _is_listed(name: str, patterns: str) -> bool:
    """Return whether a list of patterns matches a name: ssh_config(5), PATTERNS."""
    found = False
    for pattern in patterns.split(","):
        if fnmatch.fnmatchcase(name, pattern.lstrip("!")):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def expanded(word: str, account: Account) -> str:
    """Return the path that a value of AuthorizedKeysFile means for an account: sshd_config(5), TOKENS."""
    tokens = {"%": "%", "h": str(account.home), "u": account.name, "U": str(account.uid)}
    path = re.sub("%([%huU])", lambda match: tokens[match.group(1)], word)
    return os.path.normpath(path if path.startswith("/") else account.home / path)
