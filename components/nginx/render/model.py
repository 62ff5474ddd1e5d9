"""What a site's file is made of: what is declared of the site, and where its parts are on the host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.components.nginx.args import SiteArgs


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where an app answers: the IP address and port that its container is published on."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Paths on the host of a certificate with its chain, and of its key; both may be one file."""

    chain: str
    key: str


@dataclass(frozen=True, slots=True)
class Site:
    """What one host name serves.

    Attributes:
        name: the host name.
        args: what is declared of it.
        apps: where its apps answer, by the beginning of the path, as in `args.apps`. The longest beginning
            that fits is taken.
        root: the folder on the host with the files to serve, or None.
        passwords: path on the host of the file with users and hashes; "" asks for none.
        certificate: of all its names; None serves plain HTTP.
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
        """Every name that serves the site itself."""
        return (self.name, *self.args.aliases)
