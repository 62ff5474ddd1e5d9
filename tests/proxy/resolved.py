"""Commands in another network, which find host names there and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# The mount is this command's own and ends with it: the machine's /etc/hosts stays as it is for all others.
_START = 'mount --bind "$0" /etc/hosts; exec "$@"'


def network_of(pid: int) -> Path:
    """Return the network that a process is in."""
    return Path(f"/proc/{pid}/ns/net")


def command(network: Path, names: Mapping[str, str], folder: Path, *argv: str) -> list[str]:
    """Return how to run ``argv`` in a network; ``names`` gives each host name's address.

    The file with the names is written to ``folder``.
    """
    hosts = folder / "hosts"
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in names.items())]
    hosts.write_text("\n".join(lines) + "\n")
    return [
        *("nsenter", f"--net={network}", "unshare", "--mount", "--propagation", "private"),
        *("sh", "-euc", _START, str(hosts), *argv),
    ]
