"""Response headers of a site, all of them at the level of its server block.

An `add_header` in a location, or in an `if` there, cancels all headers from the levels above: HSTS, CORS and
the rest (https://nginx.org/en/docs/http/ngx_http_headers_module.html#add_header). So a header that differs
between locations is a variable here. nginx does not send a header with an empty value. `always` adds the
headers to error answers, too.
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
"""The variable with the Cache-Control header, which each location sets."""

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
# site opens a window that must be able to answer the page.
_OF_APPS = {
    "X-Frame-Options": "SAMEORIGIN",
    **_COMMON,
    "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
    "Cross-Origin-Resource-Policy": "same-site",
}
_WHY = {
    HSTS: "From now on, browsers use only HTTPS for this host. https://www.rfc-editor.org/rfc/rfc6797",
    CSP: "What a page may load, and from where. https://www.w3.org/TR/CSP3/",
    CSP_REPORT_ONLY: "A policy on trial: the browser reports what it would refuse, and refuses nothing.",
    "X-Content-Type-Options": "Browsers believe the Content-Type, and do not guess from the content.",
    "X-Frame-Options": "Which pages may show this one in a frame, for browsers without frame-ancestors.",
    "Referrer-Policy": "Other sites learn that a visitor comes from this site, but not from which page.",
    "Permissions-Policy": "Features that no script may use, not even our own.",
    "Cross-Origin-Opener-Policy": "A window of another origin has no access to this one.",
    "Cross-Origin-Resource-Policy": "Which other sites may embed what is here.",
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
    """Give the directives that send headers.

    Raises:
        ValueError: a name is not the name of a header.
    """
    for name, value in headers.items():
        if not re.fullmatch(r"[A-Za-z0-9-]+", name):
            raise ValueError(f"{name!r} is not the name of a header")
        yield directive("add_header", name, value, "always", why=_WHY.get(name, ""))


def hide(names: Mapping[str, str] | tuple[str, ...]) -> Iterator[Node]:
    """Give the directives that drop an app's headers of these names: a browser would see two."""
    for index, name in enumerate(names):
        why = "nginx drops these headers of the app: of two, a browser takes the wrong one or none."
        yield directive("proxy_hide_header", name, why="" if index else why)
