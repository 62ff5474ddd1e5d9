"""Settings for interfaces whose IPv6 is configured on the host, and not learned from a router.

Only the host knows these interfaces. So a key has `STATIC` instead of the names of these interfaces. The file
for the boot has a line for each of these interfaces.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portcullis.resources.sysctl.facts import STATIC

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

# linux/ipv6_route.h and linux/route.h.
_REJECT, _ADDRCONF = 0x0200, 0x00040000
# linux/if_addr.h: IFA_F_PERMANENT. An address without this flag came from a router and expires unless
# renewed.
_PERMANENT = 0x80
_GLOBAL = "00"
_NOTE = "# for each interface with a default route of its own: "


def interfaces(net: Path) -> list[str]:
    """Return the interfaces with a default route that no router sent, and without an address that expires.

    Args:
        net: /proc/net, see proc_net(5).
    """
    routed, learned = set(), set()
    for line in _lines(net / "ipv6_route"):
        destination, prefix, *_, flags, name = line.split()
        if not int(destination + prefix, 16) and not int(flags, 16) & (_REJECT | _ADDRCONF):
            routed.add(name)
    for line in _lines(net / "if_inet6"):
        _, _, _, scope, flags, name = line.split()
        if scope == _GLOBAL and not int(flags, 16) & _PERMANENT:
            learned.add(name)
    return sorted(routed - learned - {"lo"})


def keys(key: str, names: Iterable[str]) -> list[str]:
    """Return a key for each interface; a key without `STATIC` stays unchanged."""
    # A dot in the name of an interface is written as a slash: sysctl.d(5).
    return [key.replace(STATIC, name.replace(".", "/")) for name in names] if STATIC in key else [key]


def written(content: str, names: Sequence[str]) -> str:
    """Return the text of a file for systemd, with a line for each interface."""
    lines = []
    for line in content.splitlines(keepends=True):
        lines += [_NOTE + line, *keys(line, names)] if _is_one(line) else [line]
    return "".join(lines)


def read(content: str, names: Sequence[str]) -> str:
    """Turn the text of a file back into the declared text.

    Lines that differ from the declared text are kept.
    """
    lines = content.splitlines(keepends=True)
    found = []
    while lines:
        line = lines.pop(0)
        if line.startswith(_NOTE):
            line = line[len(_NOTE) :]
            wanted = keys(line, names)
            if lines[: len(wanted)] == wanted and not _is_for_another(line, lines[len(wanted) :]):
                del lines[: len(wanted)]
            else:
                line = _NOTE + line
        found.append(line)
    return "".join(found)


def _is_one(line: str) -> bool:
    return STATIC in line and not line.lstrip().startswith(("#", ";"))


def _is_for_another(line: str, lines: Sequence[str]) -> bool:
    pattern = re.escape(line).replace(re.escape(STATIC), r"[^\s.]+")
    return bool(lines) and re.fullmatch(pattern, lines[0]) is not None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("ascii").splitlines()
    except OSError:  # a kernel without IPv6
        return []
