"""Render the lines with which people use a tunnel on their own machine: commands and connection strings."""

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
    """Return the local port of each target: if possible, the same port as on the host.

    If that port is taken, the local port is 10000 higher, 20000 higher, and so on. Targets choose in
    alphabetical order, so they get the same local ports every time.

    Args:
        ports: the port of each target on the host, by the target's name.
        taken: local ports of the same person's other tunnels.

    Raises:
        ValueError: a target finds no free local port.
    """
    found: dict[str, int] = {}
    for name, port in sorted(ports.items()):
        used = {*taken, *found.values()}
        free = (p for p in [*range(port, _LAST_PORT + 1, _STEP), *range(1024, port)] if p not in used)
        chosen = next(free, None)
        if chosen is None:
            raise ValueError(f"no local port is free for the tunnel to {name}")
        found[name] = chosen
    return found


def forwards(targets: Mapping[str, str], local: Mapping[str, int]) -> str:
    """Return the `-L` options of ssh: local port to ADDRESS:PORT, as seen from the host."""
    return " ".join(f"-L {local[name]}:{target}" for name, target in sorted(targets.items()))


def command(account: str, address: str, port: int, *, opened: str, key: str = "", jump: str = "") -> str:
    """Return the command that opens the tunnel. The tunnel stays open until Ctrl-C.

    The command fails if a local port is taken. Without this failure, a person's tool would connect to the
    program that has the port, such as a local database, and nobody would notice.

    Args:
        account: the account on the host.
        address: address of the host.
        port: port of the host's SSH server.
        opened: the `-L` options that `forwards` returned.
        key: file of the private key. Without `key`, ssh tries the default files.
        jump: the jump host, in the form of ssh's `-J`.
    """
    words = ["ssh -N -o ExitOnForwardFailure=yes", opened, f"-p {port}" if port != _SSH else ""]
    words += [f"-o IdentitiesOnly=yes -i {key}" if key else "", f"-J {jump}" if jump else ""]
    return " ".join([*filter(None, words), f"{account}@{address}"])


def known_host(address: str, port: int, host_key: str) -> str:
    """Return the host's line for known_hosts, with `[ADDRESS]:PORT` for a port other than 22."""
    where = address if port == _SSH else f"[{address}]:{port}"
    return f"{where} {' '.join(host_key.split()[:2])}"


def redis_url(user: str, local_port: int, *, tls: bool = False) -> str:
    """Return the connection string for RedisInsight and redis-cli, without the password."""
    return f"{'rediss' if tls else 'redis'}://{quote(user, safe='')}@localhost:{local_port}"


def mongodb_url(user: str, database: str, local_port: int, *, tls: bool = False) -> str:
    """Return the connection string for MongoDB Compass and mongosh, without the password.

    With `directConnection` a driver does not look for the members of the replica set by their names. The
    members' names do not resolve on the person's machine.
    """
    options = f"authSource={database}&directConnection=true" + ("&tls=true" if tls else "")
    return f"mongodb://{quote(user, safe='')}@localhost:{local_port}/{database}?{options}"


def postgres_url(user: str, database: str, local_port: int, *, tls: bool = False) -> str:
    """Return the connection string for psql, without the password. DBeaver and pgAdmin take its parts.

    The file with the authority's certificate is not part of it: psql does not expand `~` there.
    """
    url = f"postgresql://{quote(user, safe='')}@localhost:{local_port}/{database}"
    return f"{url}?sslmode=verify-ca" if tls else url


def is_address(text: str) -> bool:
    """Return whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def target(address: str, port: int) -> str:
    """Return ADDRESS:PORT in the form that both ssh and sshd accept."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
