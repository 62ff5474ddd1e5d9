"""Takes snapshots of a host: its files, packages, accounts, units, firewall rules and listening sockets.

A snapshot maps a fact, such as `file /etc/motd`, to its value. Tests compare two snapshots. Only the facts
that docs/destroy.md lists may differ.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.e2e.project import CHECKOUT

if TYPE_CHECKING:
    from lab.pytest_lab import Host

PAGE = CHECKOUT / "docs" / "destroy.md"

_PLACES = "/etc /usr/local /opt /srv /home /root /var/www /var/spool/cron /var/lib/portcullis /run/portcullis"

# One shell command for each kind of fact. It prints a line with name, tab and value for each fact. Units of
# login sessions are left out, because they end some seconds after the last session.
_FACTS = {
    "file": rf"""find $(ls -d {_PLACES} 2>/dev/null) -xdev -printf '%p\t%M %u:%g %l\n'""",
    "content": r"""find /etc /usr/local -xdev -type f -exec sha256sum {} + | awk '{print $2 "\t" $1}'""",
    "folder": r"""find /var/lib -xdev -mindepth 1 -maxdepth 1 -printf '%p\t%M %u:%g\n'""",
    "package": r"""dpkg-query -W -f '${Package}\t${Version} ${db:Status-Abbrev}\n'""",
    "asked-for": r"""apt-mark showmanual | sed 's/$/\tyes/'""",
    "user": r"""getent passwd | sed 's/:/\t/'""",
    "group": r"""getent group | sed 's/:/\t/'""",
    "unit-file": r"""systemctl list-unit-files --no-legend --no-pager --plain |
        awk '$1 !~ /^session-/ {print $1 "\t" $2}'""",
    "unit": r"""systemctl list-units --all --no-legend --no-pager --plain \
        --type=service,socket,timer,path,mount,target |
        awk '($3 == "active" || $3 == "failed") && $1 !~ /^(run-user-|user)/ {print $1 "\t" $3}'""",
    "listener": r"""ss -Htulnp | sed -E 's/,?(pid|fd)=[0-9]+//g' | awk '{print $1 " " $5 "\t" $7}'""",
    "interface": r"""ip -o link show | awk -F': ' '{print $2}' | sed -E 's/@.*//; s/$/\tthere/'""",
    "rule": r"""{ iptables-save; ip6tables-save; nft list ruleset; } 2>/dev/null |
        sed -E '/^#/d; s/ ?counter packets [0-9]+ bytes [0-9]+//; s/\[[0-9]+:[0-9]+\]//' |
        awk 'NF {print $0 "\tthere"}'""",
    "sysctl": r"""sysctl -a 2>/dev/null |
        grep -E '^net\.(ipv[46]\.(ip_forward|conf\.(all|default)\.)|bridge)' | sed 's/ = /\t/'""",
}


@dataclass(frozen=True, slots=True)
class Allowed:
    """A row of docs/destroy.md: the pattern of facts that may differ, for how long, and why."""

    pattern: str
    until: str
    why: str

    def covers(self, fact: str) -> bool:
        """Return whether the row covers a fact."""
        return fnmatch.fnmatchcase(fact, self.pattern)


def take(host: Host) -> dict[str, str]:
    """Return a snapshot of the host."""
    facts = {}
    for kind, command in _FACTS.items():
        for line in host.run(command).stdout.splitlines():
            name, _, value = line.partition("\t")
            facts[f"{kind} {name}"] = value.strip()
    return facts


def unlisted(left: dict[str, str], system: str = "debian-13") -> str:
    """Return the differences that docs/destroy.md does not list, one in each line."""
    rows = allowed(system)
    return "\n".join(
        f"{fact}: {how}" for fact, how in left.items() if not any(row.covers(fact) for row in rows)
    )


def differences(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    """Return the facts that differ, each with its old and its new value."""
    return {
        fact: f"{before.get(fact, 'absent')} => {after.get(fact, 'absent')}"
        for fact in sorted({*before, *after})
        if before.get(fact) != after.get(fact)
    }


def allowed(system: str = "debian-13") -> list[Allowed]:
    """Return the rows of docs/destroy.md for an operating system."""
    rows = re.findall(r"^\| `([^`]+)` \| (for good|next boot) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    return [Allowed(*row) for row in rows if system == "debian-12" or not row[2].startswith("Debian 12")]
