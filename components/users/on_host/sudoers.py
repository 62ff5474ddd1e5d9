"""Who may become root by sudo: the files of sudoers(5), read and changed without ever leaving them broken."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from typing import TYPE_CHECKING

from portcullis.agent import disk, paths
from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Callable

    from portcullis.agent.machine import Machine

MODE = 0o440
PREFIX = "portcullis-"
LIMIT = 1 << 20  # bytes of a file
_TIMEOUT = 30.0
# A line that begins with # is a comment, but for these two: sudoers(5), "Other special characters".
_NO_COMMENT = re.compile(r"#(include(dir)?\s|-?[0-9])")
_SHIPPED = frozenset(
    {
        # Debian 12 and 13, Ubuntu 22.04 and 24.04: /etc/sudoers of their package sudo.
        "Defaults env_reset",
        "Defaults mail_badpass",
        'Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"',
        'Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin"',
        "Defaults use_pty",
        "root ALL=(ALL:ALL) ALL",
        "%sudo ALL=(ALL:ALL) ALL",  # whoever is in the group is a line of its own
        "%admin ALL=(ALL) ALL",  # as above
        "@includedir /etc/sudoers.d",
        "#includedir /etc/sudoers.d",
    }
)


def rule_path(machine: Machine, user: str) -> Path:
    """The file that lets one user become root."""
    return machine.etc / "sudoers.d" / f"{PREFIX}{user}"


def rule_text(user: str) -> str:
    """Its content: without a password, since the account has none to ask for."""
    return (
        f'# Written by Portcullis: User "{user}" with sudo. An edit is drift, and taken back.\n'
        "# The account has no password that could be asked for, and a deployment has nobody to type one.\n"
        f"{user} ALL=(ALL) NOPASSWD: ALL\n"
    )


def rule_state(machine: Machine, user: str) -> bool | str:
    """Whether the file is there as we write it; else, in words, what is there instead."""
    path = rule_path(machine, user)
    found = read(path)
    if found is None:
        return False
    text, status = found
    if not stat.S_ISREG(status.st_mode):
        return f"{path} is {paths.type_name(status)}"
    if text != rule_text(user):
        rules = lines(text)
        return f"{path} says: {'; '.join(rules)[:120]}" if rules else f"{path} says nothing"
    if (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) != (0, 0, MODE):
        return f"{path} has mode {paths.mode_text(status.st_mode)}, {paths.user_name(status.st_uid)}'s"
    return True


def read(path: Path) -> tuple[str, os.stat_result] | None:
    """Text and status of a file; None where nothing is. What is no file has no text."""
    with disk.reading(path) as place:
        status = place.look()
        if status is None:
            return None
        if not stat.S_ISREG(status.st_mode):
            return "", status
        fd = place.open()
        try:
            return os.pread(fd, LIMIT, 0).decode("utf-8", "surrogateescape"), os.fstat(fd)
        finally:
            os.close(fd)


def lines(text: str) -> list[str]:
    """Its rules, defaults and includes, one each, continued lines joined and spaces as one; no comments."""
    joined = (" ".join(re.sub(r"\\\r?\n", " ", unit).split()) for unit in _units(text))
    return [line for line in joined if line and not _is_comment(line)]


def _units(text: str) -> list[str]:
    """The text in pieces, each a line with those that continue it. A comment is not continued."""
    units: list[str] = []
    going_on = False
    for line in text.splitlines(keepends=True):
        if going_on:
            units[-1] += line
        else:
            units.append(line)
        going_on = line.rstrip("\r\n").endswith("\\") and not _is_comment(units[-1].strip())
    return units


def _is_comment(line: str) -> bool:
    return line[:1] == "#" and not _NO_COMMENT.match(line)


def is_shipped(line: str) -> bool:
    """Whether the system's own /etc/sudoers has this line."""
    return line in _SHIPPED


def without(text: str, unwanted: set[str]) -> str:
    """The text without those lines (as `lines` has them)."""
    return "".join(unit for unit in _units(text) if not unwanted & set(lines(unit)))


def install(machine: Machine, path: Path, text: str, before: Path) -> None:
    """Write one file, tested alone and with all others; what stood there is back when a test fails.

    Args:
        machine: the host.
        path: /etc/sudoers, or a file in /etc/sudoers.d.
        text: its content.
        before: where to keep what stands there meanwhile.

    Raises:
        AgentError: ``test-failed`` with what visudo says, ``invalid`` where there is no sudo.
    """
    data = text.encode("utf-8", "surrogateescape")

    def write() -> None:
        disk.write(path, data, mode=MODE, check=lambda new: _check(machine, new))

    _change(machine, path, write, before)


def take_away(machine: Machine, path: Path, before: Path) -> None:
    """Remove a file; it is back when the rest does not work without it. Raises `AgentError`."""
    _change(machine, path, lambda: paths.remove_file(path), before)


def _change(machine: Machine, path: Path, change: Callable[[], None], before: Path) -> None:
    was_good = _is_good(machine)
    kept = paths.keep(path, before)
    try:
        change()
        if was_good:  # else the fault is somebody else's, and may be the next thing that goes
            try:
                _check(machine)
            except AgentError:
                paths.put_back(path, kept, before)
                raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            before.unlink()


def _is_good(machine: Machine) -> bool:
    try:
        _check(machine)
    except AgentError as error:
        if error.code != "test-failed":
            raise
        return False
    return True


def _check(machine: Machine, path: Path | None = None) -> None:
    argv = ["visudo", "-c", *(["-f", str(path)] if path else [])]
    try:
        done = machine.run(argv, timeout=_TIMEOUT)
    except AgentError as error:
        if error.code != "invalid":
            raise
        raise AgentError(
            "invalid",
            "sudo is not installed on the host",
            prop="sudo",
            hint="declare Packages with sudo, and depend on it",
        ) from None
    if done.code:
        raise AgentError(
            "test-failed",
            f"visudo refuses {path or 'the whole of /etc/sudoers and /etc/sudoers.d'}",
            prop="sudo",
            hint="what stood there before is in place",
            detail=done.text,
        )
