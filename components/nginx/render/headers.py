"""Response headers of a site, all of them at the level of its server block.

An `add_header` in a location, or in an `if` there, takes away all that stand above it: HSTS, CORS and the
rest (https://nginx.org/en/docs/http/ngx_http_headers_module.html#add_header). So a header that differs by
place is a variable here, and an empty value is not sent. `always`: an error is answered with them too.
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
"""What a location sets, for Cache-Control."""

HSTS, CSP = "Strict-Transport-Security", "Content-Security-Policy"
CSP_REPORT_ONLY = f"{CSP}-Report-Only"
# Vite and its like put small images and fonts into the page itself, as data: addresses.
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
# An app knows which scripts its pages load: what it says of a CSP is passed on. Logins at other sites open
# windows that answer to the page.
_OF_APPS = {
    "X-Frame-Options": "SAMEORIGIN",
    **_COMMON,
    "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
    "Cross-Origin-Resource-Policy": "same-site",
}
_WHY = {
    HSTS: "The browser asks for this host by HTTPS only from now on. https://www.rfc-editor.org/rfc/rfc6797",
    CSP: "What a page may load, and from where. https://www.w3.org/TR/CSP3/",
    CSP_REPORT_ONLY: "A policy on trial: the browser reports what it would refuse, and refuses nothing.",
    "X-Content-Type-Options": "A file is what its Content-Type says, whatever it looks like.",
    "X-Frame-Options": "For browsers that know no frame-ancestors: who may show a page in a frame.",
    "Referrer-Policy": "Other sites learn that a visitor comes from here, and not from which page.",
    "Permissions-Policy": "What no script may ask for, ours neither.",
    "Cross-Origin-Opener-Policy": "A window of another origin has no hold on this one.",
    "Cross-Origin-Resource-Policy": "Whose pages may embed what is here.",
}


def hsts(settings: HstsArgs) -> str:
    """Return the value of Strict-Transport-Security."""
    parts = [f"max-age={settings.max_age}"]
    parts += ["includeSubDomains"] if settings.include_sub_domains else []
    parts += ["preload"] if settings.preload else []
    return "; ".join(parts)


def security(site: Site) -> dict[str, str]:
    """Return the headers of a site's every response, by name, in the order of the file."""
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
        ValueError: a name is none.
    """
    for name, value in headers.items():
        if not re.fullmatch(r"[A-Za-z0-9-]+", name):
            raise ValueError(f"{name!r} is not the name of a header")
        yield directive("add_header", name, value, "always", why=_WHY.get(name, ""))


def hide(names: Mapping[str, str] | tuple[str, ...]) -> Iterator[Node]:
    """Give the directives that keep an app from sending the same: a browser would see two."""
    for index, name in enumerate(names):
        why = "The app's own are left out: of two, a browser takes the wrong one or none."
        yield directive("proxy_hide_header", name, why="" if index else why)
