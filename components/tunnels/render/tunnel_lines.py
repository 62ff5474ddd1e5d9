"""What people paste at home to use a tunnel: command, the host's key, connection strings for their tools."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_STEP = 10_000
_LAST_PORT = 65535
_SSH = 22


def local_ports(ports: Mapping[str, int], taken: Collection[int] = ()) -> dict[str, int]:
    """Return the local port of each target: its own, or 10000 more until it clashes with no other.

    The first name in the order of the alphabet gets its own port, so that all of them stay what they are.

    Args:
        ports: name of a target to its port on the host.
        taken: local ports of the same person's other tunnels.

    Raises:
        ValueError: there is no free one for a target.
    """
    found: dict[str, int] = {}
    for name, port in sorted(ports.items()):
        used = {*taken, *found.values()}
        free = (p for p in [*range(port, _LAST_PORT + 1, _STEP), *range(1024, port)] if p not in used)
        chosen = next(free, None)
        if chosen is None:
            raise ValueError(f"{name}: no local port is free for it")
        found[name] = chosen
    return found


def forwards(targets: Mapping[str, str], local: Mapping[str, int]) -> str:
    """Return the `-L` switches: local port to ADDRESS:PORT, as seen from the host."""
    return " ".join(f"-L {local[name]}:{target}" for name, target in sorted(targets.items()))


def command(account: str, address: str, port: int, *, opened: str, key: str = "", jump: str = "") -> str:
    """Return the command that opens the tunnel, until it is ended with Ctrl-C.

    It ends at once when a local port is taken: a tool would else talk to whatever has it, such as a database
    on the same machine, and nobody would notice.

    Args:
        account: who logs in.
        address: of the host.
        port: of its SSH server.
        opened: the `-L` switches, as `forwards` gives them.
        key: file of the private key; without it ssh tries the usual ones.
        jump: host to go through, as ssh's `-J` takes it.
    """
    words = ["ssh -N -o ExitOnForwardFailure=yes", opened, f"-p {port}" if port != _SSH else ""]
    words += [f"-o IdentitiesOnly=yes -i {key}" if key else "", f"-J {jump}" if jump else ""]
    return " ".join([*filter(None, words), f"{account}@{address}"])


def known_host(address: str, port: int, host_key: str) -> str:
    """Return the host's line of known_hosts: a port that is not 22 stands beside the address, in brackets."""
    where = address if port == _SSH else f"[{address}]:{port}"
    return f"{where} {' '.join(host_key.split()[:2])}"


def redis_url(user: str, local_port: int, *, tls: bool = False) -> str:
    """Return what RedisInsight and redis-cli take, without the password."""
    return f"{'rediss' if tls else 'redis'}://{quote(user, safe='')}@localhost:{local_port}"


def mongodb_url(user: str, database: str, local_port: int, *, tls: bool = False) -> str:
    """Return what MongoDB Compass and mongosh take, without the password.

    `directConnection` keeps a driver from looking for the replica set's members under names of their own,
    which lead nowhere at home.
    """
    options = f"authSource={database}&directConnection=true" + ("&tls=true" if tls else "")
    return f"mongodb://{quote(user, safe='')}@localhost:{local_port}/{database}?{options}"


def is_address(text: str) -> bool:
    """Tell whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def target(address: str, port: int) -> str:
    """Return ADDRESS:PORT as ssh and sshd both read it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
