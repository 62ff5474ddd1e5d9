"""Types that check the headers in settings: origins, Content-Security-Policies, names and values."""

from __future__ import annotations

import re
from typing import Annotated

from portcullis.config.faults import closest
from portcullis.config.value_types import Text

# https://www.w3.org/TR/CSP3/#csp-directives and further directives that MDN lists. A browser ignores a
# directive that it does not know, so a misspelt one restricts nothing.
_CSP = (
    *("base-uri", "block-all-mixed-content", "child-src", "connect-src", "default-src", "fenced-frame-src"),
    *("font-src", "form-action", "frame-ancestors", "frame-src", "img-src", "manifest-src", "media-src"),
    *("object-src", "report-to", "report-uri", "require-trusted-types-for", "sandbox", "script-src"),
    *("script-src-attr", "script-src-elem", "style-src", "style-src-attr", "style-src-elem"),
    *("trusted-types", "upgrade-insecure-requests", "worker-src", "webrtc"),
)
_KEYWORDS = {"self", "none", "unsafe-inline", "unsafe-eval", "strict-dynamic", "unsafe-hashes"}
_NO_CORS = {"set-cookie", "set-cookie2"}
# Headers that have a settings key of their own. That key checks the value and decides where nginx sends it.
_KEYS = {
    "strict-transport-security": "hsts",
    "content-security-policy": "csp",
    "content-security-policy-report-only": "cspReportOnly",
}
# Headers of a connection (RFC 9110, 7.6.1 and 8.6), and headers that nginx sends itself. Some client would
# use the second of two.
_NGINX = {
    *("connection", "content-encoding", "content-length", "content-type", "date", "keep-alive", "location"),
    *("server", "te", "trailer", "transfer-encoding", "upgrade"),
}
_PRINTABLE = re.compile(r"[\x20-\x7e]*")


def _origin(text: str) -> tuple[str, str] | None:
    how = "write https://host[:port], with no path"
    if text in ("*", "null"):
        return ("is not an origin", how)
    found = re.fullmatch(
        r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:]+\])(?::(?P<port>[0-9]{1,5}))?",
        text,
    )
    if found is None:
        if re.fullmatch(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/]+/?", text) and "*" not in text:
            plain = text.lower().rstrip("/")
            if plain != text and _origin(plain) is None:
                return ("is not spelt as browsers send it", f"write {plain}")
        return ("is not an origin", how)
    if (found["scheme"], found["port"]) in (("https", "443"), ("http", "80")):
        return ("is not spelt as browsers send it", f"write {text.rpartition(':')[0]}")
    return None


def _csp(text: str) -> tuple[str, str] | None:
    if not _PRINTABLE.fullmatch(text) or "$" in text or '"' in text:
        return (
            "holds a character that no policy can have",
            "write one line of ASCII, without double quotes and dollar signs",
        )
    if "," in text:
        return ("holds a comma, which begins another policy", "put a semicolon between directives")
    parts = [part.split() for part in text.split(";") if part.strip()]
    none = ("has no directive", "write default-src 'self', or false for none")
    return _directives(parts) if parts else none


def _directives(parts: list[list[str]]) -> tuple[str, str] | None:
    seen: set[str] = set()
    for name, *values in parts:
        if name not in _CSP:
            return (f"has {name}, which is not a CSP directive", closest(name, _CSP))
        if name in seen:
            return (f"has {name} twice, and browsers use only the first", "put all values into one directive")
        seen.add(name)
        bare = [value for value in values if value.lower() in _KEYWORDS]
        if bare:
            return (f"has {bare[0]} without quotes, which means a host name", f"write '{bare[0]}'")
    return None


def _value(text: str) -> tuple[str, str] | None:
    if not _PRINTABLE.fullmatch(text) or "$" in text:
        return ("is not a value that nginx can send", "write one line of ASCII, without dollar signs")
    return None


def _exposed(text: str) -> tuple[str, str] | None:
    if not re.fullmatch(r"\*|[A-Za-z0-9._-]+", text):
        return ("is not the name of a header", "write a name such as X-Total-Count")
    if text == "*":
        return ("stands for every header", "list the headers that the pages need")
    if text.lower() in _NO_CORS:
        return ("is a header that browsers never show to scripts", "leave it out")
    return None


def _own_name(text: str) -> tuple[str, str] | None:
    name = text.lower()
    # nginx would send such a header to every origin, and the CORS headers of `cors` to allowed origins.
    key = "cors" if name.startswith("access-control-") else _KEYS.get(name)
    if key:
        return ("has a settings key of its own", f"set {key}")
    return ("is a header that nginx sends itself", "leave it out") if name in _NGINX else None


Origin = Annotated[str, Text("an origin", refused=_origin)]
Method = Annotated[str, Text("an HTTP method", r"[A-Z]{3,20}", "write GET, POST, PUT, PATCH or DELETE")]
Header = Annotated[str, Text("the name of a header", refused=_exposed)]
HeaderName = Annotated[
    str,
    Text(
        "the name of a header",
        r"[A-Za-z][A-Za-z0-9-]{0,63}",
        "write a name such as Permissions-Policy",
        _own_name,
    ),
]
HeaderValue = Annotated[
    str, Text("the value of a header", refused=_value, hint='write the value in quotes; "" sends no header')
]
Csp = Annotated[str, Text("a Content-Security-Policy", refused=_csp)]
