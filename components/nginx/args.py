"""The settings of one site, and the settings that all sites of a host share."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from portcullis.components.certificates.args import CertificateArgs, CertificateSource, Challenge
from portcullis.components.nginx.header_forms import Csp, Header, HeaderName, HeaderValue, Method, Origin
from portcullis.config.forms import AppName, Network, SecretName, ServerName, server_name_fault
from portcullis.config.section import Section, Written
from portcullis.config.value_types import Choice, ListOf, MapOf, Number, OrFalse, Text
from portcullis.dialect import DIALECTS

YEAR = 31_536_000  # seconds
NO_SITES = {
    system: f"its nginx {dialect.nginx} cannot refuse TLS for unknown host names (nginx 1.19.4 and later can)"
    for system, dialect in DIALECTS.items()
    if not dialect.rejects_handshakes
}
"""Operating systems whose nginx cannot serve sites, each with the reason."""
_ANSWERS = ("app", "root", "redirect")


def _name(text: str) -> tuple[str, str] | None:
    """Refuse a text that is neither a host name nor a wildcard such as `*.example.com`."""
    return server_name_fault(text.removeprefix("*."))


def _balanced(text: str) -> tuple[str, str] | None:
    """Refuse a snippet with a brace that would end the server block.

    nginx itself tests the rest of the snippet.
    """
    # Braces in quoted texts and comments do not count.
    bare = re.sub(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|#[^\n]*', "", text)
    depth = 0
    for brace in re.findall(r"[{}]", bare):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return ("closes a block that it did not open", "the lines stand inside the site's server block")
    return ("leaves a block open", "close the block with }") if depth else None


SiteAlias = Annotated[str, Text("a host name", refused=_name)]
# RFC 3986, without quotes, dollar signs and the characters of nginx's syntax.
Url = Annotated[
    str,
    Text(
        "a URL",
        r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/?=&%+,:@!*()-]*)?",
        "write https://www.example.com, which keeps the visitor's path, or a URL with a path",
    ),
]
PathPrefix = Annotated[
    str,
    Text(
        "the beginning of a path",
        r"/[A-Za-z0-9._~/-]{0,200}",
        "write a path that starts with /, such as /api/ for everything below it",
    ),
]
AppAddress = Annotated[
    str,
    # nginx would resolve a name when it starts, and would not start while DNS is down.
    Text("an IPv4 address", r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}", "write four numbers, such as 127.0.0.1"),
]
Folder = Annotated[str, Text("a folder", r"[A-Za-z0-9._/][A-Za-z0-9._~/@+-]*", "write examples/app/web/dist")]
Seconds = Annotated[int, Number("a number of seconds", 1, 86400)]
CorsSeconds = Annotated[int, Number("a number of seconds", 0, 86400)]
HstsSeconds = Annotated[int, Number("a number of seconds", 0, 10 * YEAR)]
DrainSeconds = Annotated[int, Number("a number of seconds", 0, 900)]
Requests = Annotated[int, Number("a number of requests", 0, 10_000)]
Connections = Annotated[int, Number("a number of connections", 0, 10_000)]
AuthUser = Annotated[
    str, Text("a user name", r"[A-Za-z0-9._@+-]{1,64}", "write letters, digits and dashes, such as alice")
]
BodySize = Annotated[str, Text("a size", r"0|[1-9][0-9]{0,5}[KMG]", "write 10M, or 0 for no limit")]
Snippet = Annotated[str, Text("configuration for nginx", refused=_balanced)]
Message = Annotated[
    str,
    Text(
        "a message", r"[^\x00-\x09\x0b-\x1f\x7f$]{1,500}", "write up to 500 characters, without dollar signs"
    ),
]
TlsProfile = Annotated[
    Literal["intermediate", "modern"],
    Choice(
        "one of Mozilla's TLS profiles", refused={"old": "Mozilla's guideline 6.0 has removed this profile"}
    ),
]
RealIpHeader = Annotated[
    Literal["X-Forwarded-For", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP", "Fastly-Client-IP"],
    Choice("a header that holds the client's address"),
]
AccessLog = Annotated[Literal["combined", "json", "off"], Choice("a format of access logs")]


class ReverseProxyArgs(Section):
    """The settings of nginx that all sites of a host share."""

    what: ClassVar[str] = "a reverse proxy"

    tls: TlsProfile = "intermediate"
    """Mozilla's TLS profile for all sites: `intermediate`, or `modern`, which allows TLS 1.3 only."""
    trusted_proxies: ListOf[Network] = ()
    """Networks of the proxies in front of this host, such as a CDN. nginx believes only these proxies about
    the client's address."""
    real_ip_header: RealIpHeader = "X-Forwarded-For"
    """The header in which a trusted proxy sends the client's address. Cloudflare sends `CF-Connecting-IP`."""
    access_log: AccessLog = "combined"
    """The format of access logs: `combined`, `json` (one JSON object a line), or `off`. nginx always logs
    errors."""
    brotli: bool = False
    """Compress with Brotli, too. This needs Debian's Brotli modules for nginx, which `up` installs."""
    drain: DrainSeconds = 60
    """The longest time in seconds that running requests get to finish when an app moves to another port."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse a header without trusted proxies, and a trusted network that contains every address."""
        if "real_ip_header" in written and not written.get("trusted_proxies"):
            trusted = written.at.spell("trusted_proxies")
            written.at.field("real_ip_header").report(
                f"has no effect unless {trusted} is set", f"list the networks of your proxies under {trusted}"
            )
        for network, place in written.elements("trusted_proxies"):
            if str(network).endswith("/0"):
                place.refuse(
                    network, "contains every address", "any client could then claim any address as its own"
                )


class CorsArgs(Section):
    """Which pages of other origins may read this site's answers (the Fetch standard, CORS protocol)."""

    what: ClassVar[str] = "which other origins may read a site"

    origins: ListOf[Origin]
    """The exact origins of those pages, such as `https://app.example.com`."""
    methods: ListOf[Method] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    """HTTP methods that these pages may use."""
    headers: ListOf[Header] = ("Authorization", "Content-Type")
    """Request headers that these pages may send."""
    exposed_headers: ListOf[Header] = ()
    """Response headers that scripts of these pages may read."""
    credentials: bool = False
    """Let these pages send cookies, and read the answers to such requests."""
    max_age: CorsSeconds = 7200
    """Seconds for which a browser may cache the answer to a preflight."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse an empty list of origins."""
        if written.get("origins") in ([], ()):
            written.at.field("origins").report("is empty", "leave cors out, and nginx sends no CORS headers")


class HstsArgs(Section):
    """How long browsers insist on HTTPS for this site (https://www.rfc-editor.org/rfc/rfc6797)."""

    what: ClassVar[str] = "how long browsers insist on HTTPS"

    max_age: HstsSeconds = 2 * YEAR
    """Seconds for which a browser uses only HTTPS."""
    include_sub_domains: bool = False
    """Also insist on HTTPS for every name below this one, whoever serves it."""
    preload: bool = False
    """Ask for a place in the list that browsers have built in. Removal from that list takes months."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Apply the rules of https://hstspreload.org."""
        if written.get("preload") is not True:
            return
        at, age = written.at, written.get("max_age")
        if written.get("include_sub_domains") is not True:
            needed = at.spell("include_sub_domains")
            at.field("preload").report(f"needs {needed}", "the preload list refuses the host without it")
        if isinstance(age, int) and age < YEAR:
            at.field("preload").report(
                f"needs a {at.spell('max_age')} of at least {YEAR}, a year",
                "the preload list refuses a shorter time",
            )


class LimitsArgs(Section):
    """How many requests and connections one client address may have."""

    what: ClassVar[str] = "the limits for one client address"

    requests: Requests = 20
    """Requests a second to apps, on average, from one address; 0 means no limit."""
    burst: Requests = 100
    """Requests above that average that one address may send at once."""
    connections: Connections = 100
    """Connections at a time from one address; 0 means no limit. With HTTP/2, each running request counts as a
    connection."""
    body: BodySize = "10M"
    """The largest request body; 0 means no limit."""


class MaintenanceArgs(Section):
    """A maintenance page that visitors see instead of the site."""

    what: ClassVar[str] = "a maintenance page"

    message: Message = "We are working on this site. Please come back in a few minutes."
    """The text of the page."""
    except_: ListOf[Network] = ()
    """Networks that still see the site, such as your own."""


class SiteArgs(Section):
    """The content that one host name serves: an app, files, or a redirect. Times are in seconds."""

    what: ClassVar[str] = "a site"

    app: AppName | None = None
    """The app that answers."""
    root: Folder | None = None
    """A folder of files to serve instead of an app, relative to the project, such as the build of a React
    site."""
    spa: bool = False
    """The files are a single-page application: a path without a file gets index.html."""
    redirect: Url = ""
    """The URL to which nginx sends every visitor, instead of an app or files. `https://www.example.com` keeps
    the visitor's path; a URL with a path of its own replaces it."""
    paths: MapOf[PathPrefix, AppName] = Field(default_factory=dict)
    """Apps that answer parts of the site, by the beginning of the path: `{/api/: api}`."""
    aliases: ListOf[SiteAlias] = ()
    """Other host names that serve the same content. With `tls: acme`, `*.example.com` needs `challenge:
    dns`."""
    redirect_from: ListOf[ServerName] = ()
    """Other host names; nginx redirects their visitors to this one: `[example.com]`."""
    tls: CertificateSource = "acme"
    """Where the certificate comes from. `acme` means the authority under `acme`. `internal` means this
    stack's own authority, for hosts that no public authority can reach. `none` serves plain HTTP."""
    certificate: CertificateArgs | None = None
    """A certificate that you bring yourself, instead of `tls`."""
    challenge: Challenge = "http"
    """How the authority checks the names: `http` by a request to port 80, `dns` by records at the provider
    under `acme.dns`."""
    cors: CorsArgs | None = None
    """Pages of other origins that may read this site. Without it, nginx leaves CORS to the app."""
    websockets: bool = True
    """Let pages of this site, and of the origins in `cors`, open WebSockets to its apps."""
    websocket_timeout: Seconds = 3600
    """Seconds after which nginx closes a WebSocket that is silent."""
    timeout: Seconds = 60
    """Seconds that nginx waits for an app that sends nothing."""
    limits: LimitsArgs = Field(default_factory=LimitsArgs)
    """How many requests and connections one client address may have."""
    hsts: Annotated[HstsArgs | Literal[False], OrFalse()] = Field(default_factory=HstsArgs)
    """How long browsers insist on HTTPS: two years by default. false sends no such header."""
    csp: Annotated[Csp | Literal[False], OrFalse()] | None = None
    """The Content-Security-Policy. By default, nginx sends a strict policy for a site of files, and an app
    sends its own. With false, nginx sends none."""
    csp_report_only: Csp = ""
    """A policy on trial: browsers report what it would refuse, and refuse nothing."""
    headers: MapOf[HeaderName, HeaderValue] = Field(default_factory=dict)
    """More response headers. One with the name of a default header replaces it; "" removes it."""
    basic_auth: MapOf[AuthUser, SecretName] = Field(default_factory=dict)
    """Users who may log in, each with the name of the secret that holds the password: `{alice:
    alicePassword}`."""
    allow: ListOf[Network] = ()
    """Networks whose clients may visit the site; without it, every client may."""
    maintenance: MaintenanceArgs | None = None
    """Show a maintenance page instead of the site; `{}` shows the default text."""
    snippet: Snippet = ""
    """Lines of nginx configuration for the site's server block. nginx tests them before it uses them."""

    @property
    def apps(self) -> dict[str, str]:
        """The apps that answer, by the beginning of the path."""
        return {**({"/": self.app} if self.app is not None else {}), **self.paths}

    @property
    def other_names(self) -> tuple[str, ...]:
        """Every name that the site's certificate must contain beside the site's main name."""
        return (*self.aliases, *self.redirect_from)

    @property
    def plain(self) -> bool:
        """Whether nginx serves the site without TLS."""
        return self.certificate is None and self.tls == "none"

    @property
    def by_acme(self) -> bool:
        """Whether an ACME authority issues the site's certificate."""
        return self.certificate is None and self.tls == "acme"

    @classmethod
    def check(cls, written: Written) -> None:
        """Require exactly one of app, root and redirect, and refuse other settings that have no effect."""
        at = written.at
        answers = [field for field in _ANSWERS if field in written]
        for field in answers[1:]:
            hint = "keep one of the two; paths can send parts of root to apps"
            at.field(field).report(f"cannot be used beside {answers[0]}", hint)
        # Of a misspelt key, such as redirct, another check tells.
        if not answers and not written.unknown(cls):
            at.field("app").report(
                "is missing",
                "write the app that answers, root: a folder of files to serve, or redirect: a URL",
            )
        if written.get("spa") is True and "root" not in written:
            at.field("spa").report("needs files to serve", "set root to a folder of files")
        for prefix, _, place in written.items("paths"):
            if prefix == "/":
                place.report("covers the whole site", "write app instead")
        if "redirect" in written:
            for field in ("paths", "cors", "websockets", "websocket_timeout", "timeout", "maintenance"):
                if field in written:
                    at.field(field).report("has no effect beside redirect", "leave it out")
        _check_tls(written)


def _check_tls(written: Written) -> None:
    at = written.at
    if "tls" in written and "certificate" in written:
        at.field("tls").report("cannot be used beside certificate", "keep one of the two")
    by_acme = "certificate" not in written and written.get("tls", "acme") == "acme"
    if by_acme and written.get("challenge", "http") != "dns":
        for name, place in written.elements("aliases"):
            if str(name).startswith("*."):
                place.report("is a wildcard, which an authority checks by DNS only", "add challenge: dns")
    if "challenge" in written and not by_acme:
        at.field("challenge").report("has an effect with tls: acme only", "leave it out")
    if written.get("tls") == "none" and written.get("hsts") not in (None, False):
        at.field("hsts").report("has no effect without TLS", "leave it out")
