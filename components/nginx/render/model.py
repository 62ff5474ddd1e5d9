"""What a site is, in plain data: everything that its file is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portcullis.components.nginx.args import HstsArgs, LimitsArgs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.components.nginx.args import CorsArgs, MaintenanceArgs


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
class Headers:
    """Response headers.

    Attributes:
        hsts: Strict-Transport-Security; None is none.
        csp: Content-Security-Policy; None is our default for the kind of site, "" is none.
        csp_report_only: a policy that is only tried, and reported on; "" is none.
        more: others by name, in place of our default for that name; "" is none.
    """

    hsts: HstsArgs | None = field(default_factory=HstsArgs)
    csp: str | None = None
    csp_report_only: str = ""
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Site:
    """What one host name serves.

    Attributes:
        name: the host name.
        apps: where apps answer, by the beginning of the path: "/" is everything, "/api/" what is below it.
            The longest beginning that fits is taken.
        root: the folder of files to serve, or None. Its "/" is the folder's, so `apps` has none then.
        spa: a path that is no file gives index.html, which knows what to show (a single-page application).
        redirect: where every request is sent instead of an answer: an origin, and the path is kept, or a
            whole URL.
        aliases: other names that serve the same; *.example.com is every name below example.com.
        redirect_from: other names, whose visitors are sent to this one.
        certificate: of all these names; None serves plain HTTP.
        cors: who else's pages may read it; None leaves that to the app.
        websockets: apps may take connections over; only for pages of this site, and of `cors`.
        timeout: seconds that an app may stay silent.
        websocket_timeout: seconds that both ends of a WebSocket may stay silent.
        limits: for one address.
        headers: of every response.
        passwords: path of the file with users and hashes; "" asks for none.
        allow: networks that may come; none is everybody.
        maintenance: a page in place of the site; None is the site.
        snippet: lines of configuration for its server block.
        access_log: combined, json or off.
    """

    name: str
    apps: Mapping[str, Upstream] = field(default_factory=dict)
    root: str | None = None
    spa: bool = False
    redirect: str = ""
    aliases: tuple[str, ...] = ()
    redirect_from: tuple[str, ...] = ()
    certificate: KeyPair | None = None
    cors: CorsArgs | None = None
    websockets: bool = True
    timeout: int = 60
    websocket_timeout: int = 3600
    limits: LimitsArgs = field(default_factory=LimitsArgs)
    headers: Headers = field(default_factory=Headers)
    passwords: str = ""
    allow: tuple[str, ...] = ()
    maintenance: MaintenanceArgs | None = None
    snippet: str = ""
    access_log: str = "combined"

    @property
    def scheme(self) -> str:
        """https, or http for a site without a certificate."""
        return "https" if self.certificate else "http"

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that serves the site itself."""
        return (self.name, *self.aliases)
