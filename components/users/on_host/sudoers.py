"""The files of sudoers(5), which say who may become root by sudo. A change never leaves them broken."""

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
LIMIT = 1 << 20  # bytes of a file that are read
_TIMEOUT = 30.0
# A line that starts with # is a comment, with these two exceptions: sudoers(5), "Other special characters".
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
        "%sudo ALL=(ALL:ALL) ALL",  # each member of this group gets a line of its own
        "%admin ALL=(ALL) ALL",  # the same
        "@includedir /etc/sudoers.d",
        "#includedir /etc/sudoers.d",
    }
)


def rule_path(machine: Machine, user: str) -> Path:
    """The path of the file that lets one user become root."""
    return machine.etc / "sudoers.d" / f"{PREFIX}{user}"


def rule_text(user: str) -> str:
    """The content of that file: sudo without a password, because the account has none."""
    return (
        f'# Written by Portcullis for User "{user}" with sudo. The next `pulumi up` undoes an edit by hand.\n'
        "# The account has no password, so sudo must not ask for one.\n"
        f"{user} ALL=(ALL) NOPASSWD: ALL\n"
    )


def rule_state(machine: Machine, user: str) -> bool | str:
    """True if the file is as we write it, False if it does not exist. A text tells what is there instead."""
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
    """Text and status of a file, or None if it does not exist. The text is "" if it is not a regular file."""
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
    """The rules, defaults and includes of a text, without comments.

    Continued lines are joined, and several spaces become one.
    """
    joined = (" ".join(re.sub(r"\\\r?\n", " ", unit).split()) for unit in _units(text))
    return [line for line in joined if line and not _is_comment(line)]


def _units(text: str) -> list[str]:
    """The text in pieces: each a line with the lines that continue it. A comment cannot be continued."""
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
    """Whether this line is in the /etc/sudoers that the system ships."""
    return line in _SHIPPED


def without(text: str, unwanted: set[str]) -> str:
    """The text without the unwanted lines, which have the form that `lines` returns."""
    return "".join(unit for unit in _units(text) if not unwanted & set(lines(unit)))


def install(machine: Machine, path: Path, text: str, before: Path) -> None:
    """Write one file. visudo tests it alone and with the others; the former file is back if a test fails.

    Args:
        machine: the host.
        path: /etc/sudoers, or a file in /etc/sudoers.d.
        text: its content.
        before: path for a copy of the former file during the change.

    Raises:
        AgentError: ``test-failed`` with the message of visudo, ``invalid`` if sudo is not installed.
    """
    data = text.encode("utf-8", "surrogateescape")

    def write() -> None:
        disk.write(path, data, mode=MODE, check=lambda new: _check(machine, new))

    _change(machine, path, write, before)


def take_away(machine: Machine, path: Path, before: Path) -> None:
    """Remove a file. If the other files are invalid without it, it is restored. Raises `AgentError`."""
    _change(machine, path, lambda: paths.remove_file(path), before)


def _change(machine: Machine, path: Path, change: Callable[[], None], before: Path) -> None:
    was_good = _is_good(machine)
    kept = paths.keep(path, before)
    try:
        change()
        if was_good:  # otherwise another file has a fault, and we may be about to remove that file
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
            f"visudo refuses {path or '/etc/sudoers together with /etc/sudoers.d'}",
            prop="sudo",
            hint="the files are as they were before",
            detail=done.text,
        )
