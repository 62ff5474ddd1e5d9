"""Response headers of a site, all of them at the level of its server block.

An `add_header` in a location, or in an `if` of a location, cancels all headers of the server block
(https://nginx.org/en/docs/http/ngx_http_headers_module.html#add_header). A header that differs between
locations therefore has a variable as its value in the server block. nginx does not send a header with an
empty value. `always` adds the headers to error answers, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portcullis.components.nginx.render.tree import Expression, directive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from portcullis.components.nginx.args import HstsArgs
    from portcullis.components.nginx.render.model import Site
    from portcullis.components.nginx.render.tree import Node

CACHE = Expression("$portcullis_cache")
"""The variable with the value of the header Cache-Control. Each location sets this variable."""

HSTS, CSP = "Strict-Transport-Security", "Content-Security-Policy"
CSP_REPORT_ONLY = f"{CSP}-Report-Only"
# Vite and similar tools put small images and fonts into the page itself, as data: URLs.
_STRICT_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; media-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_COMMON = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": (
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"
    ),
}
_OF_FILES = {
    CSP: _STRICT_CSP,
    "X-Frame-Options": "DENY",
    **_COMMON,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Only the app knows which scripts its pages load, so nginx passes the app's own CSP on. A login at another
# site opens a window that must be able to send its result to the page.
_OF_APPS = {
    "X-Frame-Options": "SAMEORIGIN",
    **_COMMON,
    "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
    "Cross-Origin-Resource-Policy": "same-site",
}
_WHY = {
    HSTS: "After one visit, browsers use only HTTPS for this host. https://www.rfc-editor.org/rfc/rfc6797",
    CSP: "This header says what a page may load, and from where. https://www.w3.org/TR/CSP3/",
    CSP_REPORT_ONLY: (
        "This Content-Security-Policy is only a test: browsers report violations, and block nothing."
    ),
    "X-Content-Type-Options": (
        "Browsers believe the header Content-Type, and do not guess the type from the content."
    ),
    "X-Frame-Options": (
        "This header says which pages may show a page of this site in a frame. The header is for "
        "browsers that do not know the directive frame-ancestors of CSP."
    ),
    "Referrer-Policy": "Other sites learn that a visitor comes from this site, but not from which page.",
    "Permissions-Policy": "This header says which features of the browser a script may use.",
    "Cross-Origin-Opener-Policy": "A window of another origin has no access to a window of this site.",
    "Cross-Origin-Resource-Policy": (
        "This header says which other sites may embed the files and answers of this site."
    ),
}


def hsts(settings: HstsArgs) -> str:
    """Return the value of Strict-Transport-Security."""
    parts = [f"max-age={settings.max_age}"]
    parts += ["includeSubDomains"] if settings.include_sub_domains else []
    parts += ["preload"] if settings.preload else []
    return "; ".join(parts)


def security(site: Site) -> dict[str, str]:
    """Return the headers of every response of a site, by name, in the order of the file."""
    found: dict[str, str] = {}
    args = site.args
    if site.certificate and args.hsts:
        found[HSTS] = hsts(args.hsts)
    defaults: Mapping[str, str] = _OF_FILES if site.root or args.redirect else _OF_APPS
    found |= defaults
    if args.csp is not None:
        found[CSP] = args.csp or ""
    if args.csp_report_only:
        found[CSP_REPORT_ONLY] = args.csp_report_only
    names = {name.lower(): name for name in found}
    for name, value in args.headers.items():
        found[names.get(name.lower(), name)] = value
    return {name: value for name, value in found.items() if value}


def add(headers: Mapping[str, str]) -> Iterator[Node]:
    """Yield the directives that send headers.

    Raises:
        ValueError: a name has characters that the name of a header cannot have.
    """
    for name, value in headers.items():
        if not re.fullmatch(r"[A-Za-z0-9-]+", name):
            raise ValueError(
                f"{name!r} cannot be the name of an HTTP header; write letters, digits and hyphens"
            )
        yield directive("add_header", name, value, "always", why=_WHY.get(name, ""))


def hide(names: Mapping[str, str] | tuple[str, ...]) -> Iterator[Node]:
    """Yield the directives that remove an app's headers of these names.

    Otherwise a browser would see two headers of the same name.
    """
    for index, name in enumerate(names):
        why = (
            "nginx removes these headers from the app's answers. If an answer had two headers with the same "
            "name, a browser would use the wrong one or none."
        )
        yield directive("proxy_hide_header", name, why="" if index else why)
