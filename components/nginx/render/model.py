"""The input of a site's file: the site's settings, and where its parts are on the host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.components.nginx.args import SiteArgs


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where an app answers: the IP address and port on which its container is published."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Paths on the host of a certificate with its chain, and of its key. Both paths may be the same."""

    chain: str
    key: str


@dataclass(frozen=True, slots=True)
class Site:
    """What one host name serves.

    Attributes:
        name: the host name.
        args: the site's settings.
        apps: where its apps answer, by the beginning of the path, as in `args.apps`. nginx takes the longest
            beginning that matches.
        root: the folder on the host with the files to serve, or None.
        passwords: path on the host of the file with users and password hashes; "" asks for no password.
        certificate: the certificate for all its names; None serves plain HTTP.
        access_log: combined, json or off.
    """

    name: str
    args: SiteArgs
    apps: Mapping[str, Upstream] = field(default_factory=dict)
    root: str | None = None
    passwords: str = ""
    certificate: KeyPair | None = None
    access_log: str = "combined"

    @property
    def scheme(self) -> str:
        """https, or http for a site without a certificate."""
        return "https" if self.certificate else "http"

    @property
    def names(self) -> tuple[str, ...]:
        """Every host name under which nginx serves the site itself, and not a redirect to it."""
        return (self.name, *self.args.aliases)
