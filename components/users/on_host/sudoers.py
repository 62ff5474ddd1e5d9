"""The files of sudoers(5), which say who may become root by sudo. A change never leaves broken files."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from typing import TYPE_CHECKING

from portcullis.agent import disk, paths
from portcullis.agent.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from portcullis.agent.machine import Machine

MODE = 0o440
PREFIX = "portcullis-"
LIMIT = 1 << 20  # bytes that we read of a file
_TIMEOUT = 30.0
# A line that starts with # is a comment, unless it is an include or starts with a user's number (#1000):
# sudoers(5), "Other special characters".
_NO_COMMENT = re.compile(r"#(include(dir)?\s|-?[0-9])")
_SHIPPED = frozenset(
    {
        # The lines of /etc/sudoers in the package sudo of Debian 12 and 13, and of Ubuntu 22.04 and 24.04.
        "Defaults env_reset",
        "Defaults mail_badpass",
        'Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"',
        'Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin"',
        "Defaults use_pty",
        "root ALL=(ALL:ALL) ALL",
        "%sudo ALL=(ALL:ALL) ALL",  # the facts have an entry for each member of this group
        "%admin ALL=(ALL) ALL",  # the facts have an entry for each member of this group
        "@includedir /etc/sudoers.d",
        "#includedir /etc/sudoers.d",
    }
)


def rule_path(machine: Machine, user: str) -> Path:
    """The path of the file that lets one user become root."""
    return machine.etc / "sudoers.d" / f"{PREFIX}{user}"


def rule_text(user: str) -> str:
    """The content of the file at `rule_path`. The account has no password, so sudo asks for none."""
    return (
        f'# Written by Portcullis for User "{user}" with sudo. The next `pulumi up` undoes an edit by hand.\n'
        "# The account has no password, so sudo must not ask for one.\n"
        f"{user} ALL=(ALL) NOPASSWD: ALL\n"
    )


def rule_state(machine: Machine, user: str) -> bool | str:
    """True if the file is as we write it, False if it does not exist.

    If the file has other content, the result is a text that describes it.
    """
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
    """Text and status of a file, or None if it does not exist.

    The text is "" for a path that is not a regular file.
    """
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

    A rule may have continuation lines. In the result, each rule is one line, with single spaces.
    """
    joined = (" ".join(re.sub(r"\\\r?\n", " ", unit).split()) for unit in _units(text))
    return [line for line in joined if line and not _is_comment(line)]


def _units(text: str) -> list[str]:
    """The text in pieces: each piece is a line with its continuation lines. A comment has no continuation."""
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
    """Return whether this line is in the /etc/sudoers that the system ships."""
    return line in _SHIPPED


def without(text: str, unwanted: set[str]) -> str:
    """The text without the unwanted lines, which have the form that `lines` returns."""
    return "".join(unit for unit in _units(text) if not unwanted & set(lines(unit)))


def install(machine: Machine, path: Path, text: str, before: Path) -> None:
    """Write one file. visudo tests the file alone and with the other files.

    If a test fails, restore the former file.

    Args:
        machine: the host.
        path: /etc/sudoers, or a file in /etc/sudoers.d.
        text: the content of the file.
        before: path for a copy of the former file during the change.

    Raises:
        AgentError: ``test-failed`` with the message of visudo, ``invalid`` if sudo is not installed.
    """
    data = text.encode("utf-8", "surrogateescape")

    def write() -> None:
        disk.write(path, data, mode=MODE, check=lambda new: _check(machine, new))

    _change(machine, path, write, before)


def take_away(machine: Machine, path: Path, before: Path) -> None:
    """Remove a file, but restore it if the other files are invalid without it. Raises `AgentError`."""
    _change(machine, path, lambda: paths.remove_file(path), before)


def _change(machine: Machine, path: Path, change: Callable[[], None], before: Path) -> None:
    was_good = _is_good(machine)
    kept = paths.keep(path, before)
    try:
        change()
        # If the files were invalid before, another file has a fault, and we may be about to remove that file.
        if was_good:
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
            hint="add a `Packages` resource with sudo to the `depends_on` of this resource",
        ) from None
    if done.code:
        raise AgentError(
            "test-failed",
            f"visudo refuses the file {path or '/etc/sudoers together with /etc/sudoers.d'}",
            prop="sudo",
            hint="the files of sudo on the host are as they were before",
            detail=done.text,
        )
