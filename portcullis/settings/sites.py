"""The keys of a site, what nginx serves under one host name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from portcullis.components.nginx import render as nginx
from portcullis.settings import forms, headers
from portcullis.settings.kinds import Choice, Field, Flag, ListOf, MapOf, Number, OrFalse, Section, Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.settings.faults import Place


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """A certificate from elsewhere: a local file with its chain, and the secret that holds its key."""

    chain: str
    key: str


@dataclass(frozen=True, slots=True)
class SiteSettings:
    """What is served under one host name: an app, the files of the folder `root`, or a redirect.

    `paths` maps the beginning of a path to the app that answers there. `basic_auth` maps a user to the secret
    with the password. Times are in seconds. The rest is as `portcullis.components.nginx.render.Site` has it.
    """

    app: str | None
    root: str | None
    spa: bool
    redirect: str
    paths: Mapping[str, str]
    host: str
    aliases: tuple[str, ...]
    redirect_from: tuple[str, ...]
    tls: Literal["acme", "internal", "none"]
    certificate: OwnCertificate | None
    challenge: Literal["http", "dns"]
    cors: nginx.Cors | None
    websockets: bool
    websocket_timeout: int
    timeout: int
    limits: nginx.Limits
    hsts: nginx.Hsts | None
    csp: str | None
    csp_report_only: str
    headers: Mapping[str, str]
    basic_auth: Mapping[str, str]
    allow: tuple[str, ...]
    maintenance: nginx.Maintenance | None
    snippet: str

    @property
    def apps(self) -> dict[str, str]:
        """The apps that answer, by the beginning of the path."""
        return {**({"/": self.app} if self.app is not None else {}), **self.paths}

    @property
    def plain(self) -> bool:
        """Whether it is served without TLS."""
        return self.certificate is None and self.tls == "none"


_ANSWERS = ("app", "root", "redirect")


def _site(raw: Mapping[str, Any], at: Place) -> None:
    written = {key for key, value in raw.items() if value is not None}
    answers = [key for key in _ANSWERS if key in written]
    for key in answers[1:]:
        hint = "keep one; paths send parts of a root to apps"
        at.key(key).report(f"is a second answer beside {answers[0]}", hint)
    if not answers:
        at.key("app").report(
            "is missing", "write the app that answers, root: a folder of files to serve, or redirect: a URL"
        )
    if raw.get("spa") is True and "root" not in written:
        at.key("spa").report("needs files", "add root")
    if "paths" in written and isinstance(raw["paths"], dict) and "/" in raw["paths"]:
        at.key("paths").key("/").report("is the whole site", "write app instead")
    if "redirect" in written:
        for key in ("paths", "cors", "websockets", "websocketTimeout", "timeout", "maintenance"):
            if key in written:
                at.key(key).report("has no effect beside redirect", "leave it out")
    _tls(raw, at, written)


def _tls(raw: Mapping[str, Any], at: Place, written: set[str]) -> None:
    if {"tls", "certificate"} <= written:
        at.key("tls").report("is decided by certificate", "keep one of the two")
    wild = [
        at.key("aliases").item(index)
        for index, name in enumerate(raw["aliases"] if isinstance(raw.get("aliases"), list) else ())
        if str(name).startswith("*.")
    ]
    acme = "certificate" not in written and raw.get("tls", "acme") == "acme"
    if acme and raw.get("challenge", "http") != "dns":
        for place in wild:
            place.report("is a wildcard, which an authority proves by DNS only", "add challenge: dns")
    if "challenge" in written and not acme:
        at.key("challenge").report("is for certificates of an authority", "leave it out")
    if raw.get("tls") == "none":
        for key in ("hsts",):
            if isinstance(raw.get(key), dict):
                at.key(key).report("counts over HTTPS only", "leave it out")


def _hsts(raw: Mapping[str, Any], at: Place) -> None:
    """Check what https://hstspreload.org asks for."""
    if raw.get("preload") is not True:
        return
    if raw.get("includeSubDomains") is not True:
        at.key("preload").report("needs includeSubDomains", "browsers would not take the host in")
    age = raw.get("maxAge")
    if isinstance(age, int) and age < nginx.YEAR:
        at.key("preload").report(f"needs a maxAge of {nginx.YEAR}, a year", "browsers would not take it in")


def _cors(raw: Mapping[str, Any], at: Place) -> None:
    if raw.get("origins") == []:
        at.key("origins").report("names nobody", "leave cors out: nobody is allowed without it")


def _name(text: str) -> tuple[str, str] | None:
    """Refuse what is neither a host name nor *. before one."""
    refusal = forms.SERVER_NAME.refusal
    return refusal(text.removeprefix("*.")) if refusal else None


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


ALIAS = Text("a host name", refusal=_name)
# RFC 3986 without quotes, dollars and what nginx reads as syntax.
URL = Text(
    "a URL",
    r"https?://[a-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/?=&%+,:@!*()-]*)?",
    "write https://www.example.com, which keeps the path, or a whole URL",
)
SECONDS = Number("a number of seconds", 1, 86400)
AUTH_USER = Text("a user name", r"[A-Za-z0-9._@+-]{1,64}", "write letters, digits and dashes, such as alice")
BODY = Text("a size", r"0|[1-9][0-9]{0,5}[KMG]", "write 10M; 0 is any size")
FILE = Text("a file of the project", r"[A-Za-z0-9._/~][A-Za-z0-9._~/@+-]*", "write certs/www.pem")
SNIPPET = Text("configuration for nginx", refusal=_balanced)
MESSAGE = Text(
    "a message", r"[^\x00-\x09\x0b-\x1f\x7f$]{1,500}", "write up to 500 characters, without dollars"
)

CORS = Section(
    "who else's pages may read a site",
    nginx.Cors,
    (
        Field("origins", ListOf(headers.ORIGIN), "exact origins, such as `https://app.example.com`"),
        Field(
            "methods",
            ListOf(headers.METHOD),
            "methods that they may use",
            ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
        ),
        Field(
            "headers",
            ListOf(headers.HEADER),
            "request headers that they may send",
            ("Authorization", "Content-Type"),
        ),
        Field(
            "exposedHeaders",
            ListOf(headers.HEADER),
            "response headers that their scripts may read",
            (),
            "exposed",
        ),
        Field(
            "credentials", Flag(), "they may send cookies, and read what was answered to them", default=False
        ),
        Field(
            "maxAge",
            Number("a number of seconds", 0, 86400),
            "seconds for which a browser remembers what a preflight was answered",
            7200,
        ),
    ),
    _cors,
)

HSTS = Section(
    "how long browsers insist on HTTPS",
    nginx.Hsts,
    (
        Field("maxAge", Number("a number of seconds", 0, 10 * nginx.YEAR), "seconds", 2 * nginx.YEAR),
        Field(
            "includeSubDomains",
            Flag(),
            "every name below this one too, whoever serves it",
            default=False,
            name="include_subdomains",
        ),
        Field(
            "preload",
            Flag(),
            "ask to be built into browsers; it takes months to come back from that",
            default=False,
        ),
    ),
    _hsts,
)

LIMITS = Section(
    "how much one address may ask",
    nginx.Limits,
    (
        Field(
            "requests",
            Number("a number of requests", 0, 10_000),
            "requests to apps a second, on average; 0 is no limit",
            20,
        ),
        Field("burst", Number("a number of requests", 0, 10_000), "requests beyond that, at once", 100),
        Field(
            "connections",
            Number("a number of connections", 0, 10_000),
            "connections at a time, with HTTP/2 requests at a time; 0 is no limit",
            100,
        ),
        Field("body", BODY, "the largest request body; 0 is any size", "10M"),
    ),
)

MAINTENANCE = Section(
    "a page in place of a site",
    nginx.Maintenance,
    (
        Field("message", MESSAGE, "what it says", nginx.Maintenance().message),
        Field("except", ListOf(forms.NETWORK), "networks that see the site meanwhile: yours", (), "except_"),
    ),
)

CERTIFICATE = Section(
    "a certificate from elsewhere",
    OwnCertificate,
    (
        Field("chain", FILE, "a file of the project: the certificate, then its chain, in PEM"),
        Field("key", forms.SECRET_NAME, "the secret of `portcullis:secrets` that holds its key, in PEM"),
    ),
)

SITE = Section(
    "a site",
    SiteSettings,
    (
        Field("app", forms.APP_NAME, "the app that answers", None),
        Field(
            "root",
            forms.FOLDER,
            "or a folder of files to serve, relative to the project, such as the build of a React site",
            None,
        ),
        Field(
            "spa",
            Flag(),
            "the files are a single-page application: a path that is no file gives index.html",
            default=False,
        ),
        Field(
            "redirect",
            URL,
            "or where every visitor is sent: `https://www.example.com`, which keeps the path, or a whole URL",
            "",
        ),
        Field(
            "paths",
            MapOf(forms.PATH_PREFIX, forms.APP_NAME),
            "parts of the site that other apps answer, by the beginning of the path: `{/api/: api}`",
            {},
        ),
        Field("host", forms.ALIAS, "the host that serves it, where no app says so", ""),
        Field("aliases", ListOf(ALIAS), "other names that serve the same; `*.example.com` with DNS only", ()),
        Field(
            "redirectFrom",
            ListOf(forms.SERVER_NAME),
            "other names, whose visitors are sent here: `[example.com]`",
            (),
        ),
        Field(
            "tls",
            Choice(
                "where a certificate comes from",
                ("acme", "internal", "none"),
                {"off": "say what is meant", "no": "say what is meant"},
            ),
            "`acme`: the authority of `portcullis:acme`; `internal`: this stack's own, for hosts that no "
            "public one can reach; `none`: plain HTTP",
            "acme",
        ),
        Field("certificate", CERTIFICATE, "or a certificate from elsewhere", None),
        Field(
            "challenge",
            Choice("a way to prove a name", ("http", "dns"), {}),
            "how names are proven: by port 80, or by records of the provider under `acme.dns`",
            "http",
        ),
        Field("cors", CORS, "pages of other origins that may read it; without it the app decides", None),
        Field(
            "websockets",
            Flag(),
            "apps may be spoken to by WebSocket, from pages of this site and of `cors`",
            default=True,
        ),
        Field("websocketTimeout", SECONDS, "seconds that both ends of one may be silent", 3600),
        Field("timeout", SECONDS, "seconds that an app may be silent", 60),
        Field("limits", LIMITS, "how much one address may ask", nginx.Limits()),
        Field(
            "hsts",
            OrFalse(HSTS, None),
            "how long browsers insist on HTTPS, two years; false sends nothing",
            nginx.Hsts(),
        ),
        Field(
            "csp",
            OrFalse(headers.POLICY, ""),
            "the Content-Security-Policy; without it a site of files has a strict one and an app says its "
            "own; false is none",
            None,
        ),
        Field("cspReportOnly", headers.POLICY, "a policy on trial, that refuses nothing", ""),
        Field(
            "headers",
            MapOf(headers.HEADER_NAME, headers.HEADER_VALUE),
            'other response headers, in place of ours of that name; "" sends none',
            {},
        ),
        Field(
            "basicAuth",
            MapOf(AUTH_USER, forms.SECRET_NAME),
            "who may come, by user name, with the secret that holds the password: `{alice: alicePassword}`",
            {},
        ),
        Field("allow", ListOf(forms.NETWORK), "networks that may come; without it everybody", ()),
        Field("maintenance", MAINTENANCE, "a page in place of the site, for now: `{}`", None),
        Field(
            "snippet",
            SNIPPET,
            "lines of nginx's configuration for its server block; nginx tests them before they are used",
            "",
        ),
    ),
    _site,
)

SITES = MapOf(forms.SERVER_NAME, SITE)
