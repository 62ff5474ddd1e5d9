"""Checks that pam-auth-update(8) made a PAM stack from packaged files, and that nobody changed a line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_FIELD = re.compile(r"[A-Za-z-]+:")
_NO_PRIMARY = "[default=1] pam_permit.so"
_JUMP = re.compile(r"success=(\d+)")


def is_generated(text: str, template: str, profiles: Iterable[str]) -> bool:
    """Compare a PAM stack with its template and with the lines of all profiles.

    Args:
        text: a file such as /etc/pam.d/common-auth.
        template: the text of the same name in /usr/share/pam.
        profiles: the texts in /usr/share/pam-configs.
    """
    lines, allowed = _lines(text), _allowed(profiles)
    before, primary, rest = _cut(_lines(template), "_primary")
    fixed, additional, after = _cut(rest, "_additional")
    if before or after or not primary or not additional:
        return False
    # On success, each module of the first block jumps over the line that denies.
    at = next((at for at, line in enumerate(lines) if line == fixed[0]), 0) if fixed else 0
    kind = fixed[0].split()[0] if fixed else ""
    first, middle, last = lines[:at], lines[at : at + len(fixed)], lines[at + len(fixed) :]
    if not first or middle != fixed or any(line.split()[0] != kind for line in lines):
        return False
    modules = [line.partition(" ")[2] for line in first]
    if modules != [_NO_PRIMARY]:
        for number, module in enumerate(modules):
            jump = _JUMP.search(module)
            if jump is None or int(jump[1]) != len(modules) - number:
                return False
            if _JUMP.sub("success=end", module) not in allowed:
                return False
    return all(line.partition(" ")[2] in allowed for line in last)


def _cut(lines: list[str], placeholder: str) -> tuple[list[str], bool, list[str]]:
    for at, line in enumerate(lines):
        if line.startswith("$") and line.endswith(placeholder):
            return lines[:at], True, lines[at + 1 :]
    return lines, False, []


def _lines(text: str) -> list[str]:
    """Return lines without comments, with one space between words."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip() and line[0] != "#"]


def _allowed(profiles: Iterable[str]) -> frozenset[str]:
    return frozenset(line for text in profiles for line in _lines(text) if not _FIELD.match(line))
