"""Turns declared hosts into ssh connections, from which Portcullis writes ssh_config."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from portcullis.components.previews.render import ACCOUNT
from portcullis.host import Connection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.components.host.args import HostArgs, JumpArgs


_ACCESS, _KEY_FILE = "PORTCULLIS_ACCESS", "PORTCULLIS_PREVIEW_KEY_FILE"


@dataclass(frozen=True, slots=True)
class PreviewLogin:
    """The read-only login that previews use. If `key_file` is None, ssh chooses the key."""

    key_file: str | None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> PreviewLogin | None:
        """Return the preview login if PORTCULLIS_ACCESS is "preview"; PORTCULLIS_PREVIEW_KEY_FILE is its key.

        Raises:
            ValueError: PORTCULLIS_ACCESS is neither "preview" nor "deploy".
        """
        access = environment.get(_ACCESS, "")
        if access in ("", "deploy"):
            return None
        if access != "preview":
            raise ValueError(
                f"the environment variable {_ACCESS} has the value {access!r}; write preview or deploy"
            )
        return cls(environment.get(_KEY_FILE) or None)


def connections(hosts: Mapping[str, HostArgs], preview: PreviewLogin | None = None) -> dict[str, Connection]:
    """Return every connection by alias. A jump host gets its own alias and its own pinned key.

    Args:
        hosts: the hosts by alias.
        preview: log in to the hosts with this read-only login.
    """
    found = {}
    for alias, host in hosts.items():
        jump = f"{alias}-jump" if host.jump else None
        first = host.bootstrap
        found[alias] = _connection(
            host,
            jump=jump,
            bootstrap_user=first.user if first else None,
            bootstrap_port=first.port if first else None,
            os=host.os,
        )
        if preview:
            found[alias] = replace(
                found[alias],
                user=ACCOUNT,
                identity_file=preview.key_file,
                looks_for=host.user,
                bootstrap_user=None,
                bootstrap_port=None,
            )
        if jump and host.jump:
            found[jump] = _connection(host.jump)
    return found


def _connection(
    host: HostArgs | JumpArgs,
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
        # known_hosts has no field for the comment after a key.
        host_key=" ".join(host.host_key.split()[:2]) if host.host_key else None,
        trust_first_use=host.trust_host_key,
        identity_file=host.identity_file,
        jump=jump,
        bootstrap_user=bootstrap_user,
        bootstrap_port=bootstrap_port,
        os=os,
    )
