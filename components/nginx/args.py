"""What a site is, and what holds for all sites of a host."""

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
    system: f"its nginx {dialect.nginx} cannot refuse TLS for unknown hosts (that came with 1.19.4)"
    for system, dialect in DIALECTS.items()
    if not dialect.rejects_handshakes
}
"""Operating systems whose hosts can serve no site, with the reason."""
_ANSWERS = ("app", "root", "redirect")


def _name(text: str) -> tuple[str, str] | None:
    """Refuse what is neither a host name nor *. before one."""
    return server_name_fault(text.removeprefix("*."))


def _balanced(text: str) -> tuple[str, str] | None:
    """Refuse braces that would end the server block; nginx tests the rest."""
    # Quoted texts and comments may hold anything.
    bare = re.sub(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|#[^\n]*', "", text)
    depth = 0
    for brace in re.findall(r"[{}]", bare):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return ("closes a block that it did not open", "it stands inside the site's server block")
    return ("leaves a block open", "close it with }") if depth else None


SiteAlias = Annotated[str, Text("a host name", refused=_name)]
# RFC 3986 without quotes, dollars and what nginx reads as syntax.
Url = Annotated[
    str,
    Text(
        "a URL",
        r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/?=&%+,:@!*()-]*)?",
        "write https://www.example.com, which keeps the path, or a whole URL",
    ),
]
PathPrefix = Annotated[
    str,
    Text(
        "the beginning of a path",
        r"/[A-Za-z0-9._~/-]{0,200}",
        "write a path that starts with /; /api/ is all that is below it",
    ),
]
AppAddress = Annotated[
    str,
    # nginx would look up a name when it starts, and not start while DNS is down.
    Text("an IPv4 address", r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}", "write it as in 127.0.0.1"),
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
BodySize = Annotated[str, Text("a size", r"0|[1-9][0-9]{0,5}[KMG]", "write 10M; 0 is any size")]
Snippet = Annotated[str, Text("configuration for nginx", refused=_balanced)]
Message = Annotated[
    str,
    Text("a message", r"[^\x00-\x09\x0b-\x1f\x7f$]{1,500}", "write up to 500 characters, without dollars"),
]
TlsProfile = Annotated[
    Literal["intermediate", "modern"],
    Choice("a profile of Mozilla's", refused={"old": "guideline 6.0 has taken it out"}),
]
RealIpHeader = Annotated[
    Literal["X-Forwarded-For", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP", "Fastly-Client-IP"],
    Choice("a header with the client's address"),
]
AccessLog = Annotated[Literal["combined", "json", "off"], Choice("a form of access logs")]


class ReverseProxyArgs(Section):
    """What holds for all sites of a host."""

    what: ClassVar[str] = "a proxy"

    tls: TlsProfile = "intermediate"
    """Mozilla's profile of TLS for all sites: `intermediate`, or `modern`, which is TLS 1.3 only."""
    trusted_proxies: ListOf[Network] = ()
    """Networks of proxies in front of this host, such as a CDN's, whose word for who the client is counts."""
    real_ip_header: RealIpHeader = "X-Forwarded-For"
    """The header that has it; `CF-Connecting-IP` from Cloudflare."""
    access_log: AccessLog = "combined"
    """`combined`, one JSON object a line, or `off`; errors are logged always."""
    brotli: bool = False
    """Compress with Brotli too, by Debian's modules for nginx."""
    drain: DrainSeconds = 60
    """Seconds that requests under way have, at most, when an app moves to another port."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse to trust everybody."""
        if "real_ip_header" in written and not written.get("trusted_proxies"):
            trusted = written.at.spell("trusted_proxies")
            written.at.field("real_ip_header").report(
                f"is nobody's word without {trusted}", "name who is trusted"
            )
        for network, place in written.elements("trusted_proxies"):
            if str(network).endswith("/0"):
                place.refuse(network, "is everybody", "anybody could then say who they are")


class CorsArgs(Section):
    """Which pages of other origins may read what a site answers (the Fetch standard, CORS protocol)."""

    what: ClassVar[str] = "who else's pages may read a site"

    origins: ListOf[Origin]
    """Exact origins, such as `https://app.example.com`."""
    methods: ListOf[Method] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    """Methods that they may use."""
    headers: ListOf[Header] = ("Authorization", "Content-Type")
    """Request headers that they may send."""
    exposed_headers: ListOf[Header] = ()
    """Response headers that their scripts may read."""
    credentials: bool = False
    """They may send cookies, and read what was answered to them."""
    max_age: CorsSeconds = 7200
    """Seconds for which a browser remembers what a preflight was answered."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse a list of nobody."""
        if written.get("origins") in ([], ()):
            written.at.field("origins").report("names nobody", "leave cors out: nobody is allowed without it")


class HstsArgs(Section):
    """How long browsers insist on HTTPS (https://www.rfc-editor.org/rfc/rfc6797)."""

    what: ClassVar[str] = "how long browsers insist on HTTPS"

    max_age: HstsSeconds = 2 * YEAR
    """Seconds."""
    include_sub_domains: bool = False
    """Every name below this one too, whoever serves it."""
    preload: bool = False
    """Ask to be built into browsers; it takes months to come back from that."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Ask for what https://hstspreload.org asks for."""
        if written.get("preload") is not True:
            return
        at, age = written.at, written.get("max_age")
        if written.get("include_sub_domains") is not True:
            needed = at.spell("include_sub_domains")
            at.field("preload").report(f"needs {needed}", "browsers would not take the host in")
        if isinstance(age, int) and age < YEAR:
            at.field("preload").report(
                f"needs a {at.spell('max_age')} of {YEAR}, a year", "browsers would not take it in"
            )


class LimitsArgs(Section):
    """How much one address may ask of a site."""

    what: ClassVar[str] = "how much one address may ask"

    requests: Requests = 20
    """Requests to apps a second, on average; 0 is no limit."""
    burst: Requests = 100
    """Requests beyond that, at once."""
    connections: Connections = 100
    """Connections at a time, with HTTP/2 requests at a time; 0 is no limit."""
    body: BodySize = "10M"
    """The largest request body; 0 is any size."""


class MaintenanceArgs(Section):
    """A page in place of a site."""

    what: ClassVar[str] = "a page in place of a site"

    message: Message = "We are working on this site. Please come back in a few minutes."
    """What it says."""
    except_: ListOf[Network] = ()
    """Networks that see the site meanwhile: yours."""


class SiteArgs(Section):
    """What is served under one host name: an app, files, or a redirect. Times are in seconds."""

    what: ClassVar[str] = "a site"

    app: AppName | None = None
    """The app that answers."""
    root: Folder | None = None
    """Or a folder of files to serve, relative to the project, such as the build of a React site."""
    spa: bool = False
    """The files are a single-page application: a path that is no file gives index.html."""
    redirect: Url = ""
    """Or where every visitor is sent: `https://www.example.com`, which keeps the path, or a whole URL."""
    paths: MapOf[PathPrefix, AppName] = Field(default_factory=dict)
    """Parts of the site that other apps answer, by the beginning of the path: `{/api/: api}`."""
    aliases: ListOf[SiteAlias] = ()
    """Other names that serve the same; `*.example.com` with DNS only."""
    redirect_from: ListOf[ServerName] = ()
    """Other names, whose visitors are sent here: `[example.com]`."""
    tls: CertificateSource = "acme"
    """`acme`: the authority under `acme`; `internal`: this stack's own, for hosts that no public one can
    reach; `none`: plain HTTP."""
    certificate: CertificateArgs | None = None
    """Or a certificate from elsewhere."""
    challenge: Challenge = "http"
    """How names are proven: by port 80, or by records of the provider under `acme.dns`."""
    cors: CorsArgs | None = None
    """Pages of other origins that may read it; without it the app decides."""
    websockets: bool = True
    """Apps may be spoken to by WebSocket, from pages of this site and of `cors`."""
    websocket_timeout: Seconds = 3600
    """Seconds that both ends of one may be silent."""
    timeout: Seconds = 60
    """Seconds that an app may be silent."""
    limits: LimitsArgs = Field(default_factory=LimitsArgs)
    """How much one address may ask."""
    hsts: Annotated[HstsArgs | Literal[False], OrFalse()] = Field(default_factory=HstsArgs)
    """How long browsers insist on HTTPS, two years; false sends nothing."""
    csp: Annotated[Csp | Literal[False], OrFalse()] | None = None
    """The Content-Security-Policy. Without it a site of files has a strict one and an app says its own; false
    is none."""
    csp_report_only: Csp = ""
    """A policy on trial, that refuses nothing."""
    headers: MapOf[HeaderName, HeaderValue] = Field(default_factory=dict)
    """Other response headers, in place of ours of that name; "" sends none."""
    basic_auth: MapOf[AuthUser, SecretName] = Field(default_factory=dict)
    """Who may come, by user name, with the secret that holds the password: `{alice: alicePassword}`."""
    allow: ListOf[Network] = ()
    """Networks that may come; without it everybody."""
    maintenance: MaintenanceArgs | None = None
    """A page in place of the site, for now: `{}`."""
    snippet: Snippet = ""
    """Lines of nginx's configuration for its server block; nginx tests them before they are used."""

    @property
    def apps(self) -> dict[str, str]:
        """The apps that answer, by the beginning of the path."""
        return {**({"/": self.app} if self.app is not None else {}), **self.paths}

    @property
    def other_names(self) -> tuple[str, ...]:
        """Every name beside its own that its certificate is for."""
        return (*self.aliases, *self.redirect_from)

    @property
    def plain(self) -> bool:
        """Whether it is served without TLS."""
        return self.certificate is None and self.tls == "none"

    @property
    def by_acme(self) -> bool:
        """Whether an authority issues its certificate."""
        return self.certificate is None and self.tls == "acme"

    @classmethod
    def check(cls, written: Written) -> None:
        """Ask for one answer, and refuse what has no effect beside it."""
        at = written.at
        answers = [field for field in _ANSWERS if field in written]
        for field in answers[1:]:
            hint = "keep one; paths send parts of a root to apps"
            at.field(field).report(f"is a second answer beside {answers[0]}", hint)
        if not answers:
            at.field("app").report(
                "is missing",
                "write the app that answers, root: a folder of files to serve, or redirect: a URL",
            )
        if written.get("spa") is True and "root" not in written:
            at.field("spa").report("needs files", "add root")
        for prefix, _, place in written.items("paths"):
            if prefix == "/":
                place.report("is the whole site", "write app instead")
        if "redirect" in written:
            for field in ("paths", "cors", "websockets", "websocket_timeout", "timeout", "maintenance"):
                if field in written:
                    at.field(field).report("has no effect beside redirect", "leave it out")
        _check_tls(written)


def _check_tls(written: Written) -> None:
    at = written.at
    if "tls" in written and "certificate" in written:
        at.field("tls").report("is decided by certificate", "keep one of the two")
    by_acme = "certificate" not in written and written.get("tls", "acme") == "acme"
    if by_acme and written.get("challenge", "http") != "dns":
        for name, place in written.elements("aliases"):
            if str(name).startswith("*."):
                place.report("is a wildcard, which an authority proves by DNS only", "add challenge: dns")
    if "challenge" in written and not by_acme:
        at.field("challenge").report("is for certificates of an authority", "leave it out")
    if written.get("tls") == "none" and written.get("hsts") not in (None, False):
        at.field("hsts").report("counts over HTTPS only", "leave it out")
