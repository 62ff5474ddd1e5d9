"""Commands in another network, with host names that only these commands know."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Only this command sees the mount, which ends with it. The machine's /etc/hosts stays the same for all
# others.
_START = 'mount --bind "$0" /etc/hosts; exec "$@"'


def network_of(pid: int) -> Path:
    """Return the path of a process's network namespace."""
    return Path(f"/proc/{pid}/ns/net")


def command(network: Path, names: Mapping[str, str], folder: Path, *argv: str) -> list[str]:
    """Return the command that runs ``argv`` in a network. ``names`` gives the address of each host name.

    This function writes the hosts file with these names to ``folder``.
    """
    hosts = folder / "hosts"
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in names.items())]
    hosts.write_text("\n".join(lines) + "\n")
    return [
        *("nsenter", f"--net={network}", "unshare", "--mount", "--propagation", "private"),
        *("sh", "-euc", _START, str(hosts), *argv),
    ]
