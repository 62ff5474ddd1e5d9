"""From settings to the connections that ssh_config is written from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.host import Connection

if TYPE_CHECKING:
    from portcullis.settings import Endpoint, HostSettings, Settings


def connections(settings: Settings) -> dict[str, Connection]:
    """Return every connection of a stack by alias; a jump host gets an alias of its own, with its own pin."""
    found = {}
    for alias, host in settings.hosts.items():
        jump = f"{alias}-jump" if host.jump else None
        first = host.bootstrap
        found[alias] = _connection(
            host,
            jump=jump,
            bootstrap_user=first.user if first else None,
            bootstrap_port=first.port if first else None,
            os=host.os,
        )
        if jump and host.jump:
            found[jump] = _connection(host.jump)
    return found


def _connection(
    host: HostSettings | Endpoint,
    *,
    jump: str | None = None,
    bootstrap_user: str | None = None,
    bootstrap_port: int | None = None,
    os: str | None = None,
) -> Connection:
    return Connection(
        address=host.address,
        user=host.user,
        port=host.port,
        # The comment after a key is for people; known_hosts has no place for it.
        host_key=" ".join(host.host_key.split()[:2]) if host.host_key else None,
        trust_first_use=host.trust_host_key,
        identity_file=host.identity_file,
        jump=jump,
        bootstrap_user=bootstrap_user,
        bootstrap_port=bootstrap_port,
        os=os,
    )
