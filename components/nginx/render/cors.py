"""CORS: which pages of other origins may read a site's answers.

https://fetch.spec.whatwg.org/#http-cors-protocol. nginx compares origins as whole texts. nginx never echoes
an origin that is not listed, with or without credentials, and never sends *. nginx answers a preflight
itself, before limits, passwords and lists of networks: a browser sends no password with a preflight.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portcullis.components.nginx.render.names import variable
from portcullis.components.nginx.render.tree import GAP, Expression, block, directive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portcullis.components.nginx.args import CorsArgs
    from portcullis.components.nginx.render.model import Site
    from portcullis.components.nginx.render.tree import Node

_ALLOW = "Access-Control-Allow-"
RESPONSE_HEADERS = (
    f"{_ALLOW}Origin",
    f"{_ALLOW}Credentials",
    f"{_ALLOW}Methods",
    f"{_ALLOW}Headers",
    "Access-Control-Expose-Headers",
    "Access-Control-Max-Age",
)
PREFLIGHT = Expression("$portcullis_preflight")


def maps(site: str, cors: CorsArgs) -> Iterator[Node]:
    """Yield the maps that choose the values of CORS headers by the request's Origin."""
    allowed = f"$cors_{variable(site)}"
    yield GAP
    yield block(
        "map",
        Expression("$http_origin"),
        Expression(allowed),
        body=[
            directive("default", ""),
            *(directive(origin, origin) for origin in cors.origins),
        ],
        why=(
            "Pages of these origins may read this site's answers. Other origins get no CORS headers. A `map` "
            "of nginx ignores upper and lower case, so the answer has the origin in the spelling of this "
            "file."
        ),
    )
    if cors.credentials:
        yield _where(Expression(allowed), f"{allowed}_credentials", "~.", "true")
    # For a preflight from an allowed origin, this text is "1" and then the origin, which begins with a
    # letter.
    asked = Expression(f"{PREFLIGHT}{allowed}")
    yield _where(asked, f"{allowed}_methods", "~^1.", ", ".join(cors.methods))
    yield _where(asked, f"{allowed}_headers", "~^1.", ", ".join(cors.headers))
    yield _where(asked, f"{allowed}_max_age", "~^1.", str(cors.max_age))
    if cors.exposed_headers:
        yield _where(asked, f"{allowed}_exposed", "~^[a-z]", ", ".join(cors.exposed_headers))


def headers(site: str, cors: CorsArgs) -> Iterator[Node]:
    """Yield the CORS headers. nginx does not send a header for which a map gives an empty value."""
    allowed = f"$cors_{variable(site)}"
    values = {
        f"{_ALLOW}Origin": allowed,
        f"{_ALLOW}Credentials": f"{allowed}_credentials" if cors.credentials else "",
        f"{_ALLOW}Methods": f"{allowed}_methods",
        f"{_ALLOW}Headers": f"{allowed}_headers",
        "Access-Control-Expose-Headers": f"{allowed}_exposed" if cors.exposed_headers else "",
        "Access-Control-Max-Age": f"{allowed}_max_age",
    }
    for name, value in values.items():
        if value:
            yield directive("add_header", name, Expression(value), "always")
    yield directive(
        "add_header",
        "Vary",
        "Origin",
        "always",
        why=(
            "The CORS headers depend on the origin, so a cache must not give one origin the answer for "
            "another. nginx sends this header with every answer."
        ),
    )


def preflight() -> Node:
    """Return the rule that answers a preflight. The app never sees a preflight."""
    return block(
        "if",
        Expression(f"({PREFLIGHT})"),
        body=[directive("return", "204")],
        why=(
            "nginx answers a CORS preflight here, with the CORS headers above. In a location, this `if` "
            "would "
            "lose the CORS headers."
        ),
    )


def foreign(site: Site) -> Iterator[Node]:
    """Yield the maps that detect WebSockets from pages of other origins. CORS does not apply to WebSockets.

    A browser sends cookies when it opens a WebSocket. A client that is not a browser sends no Origin, and may
    connect.
    """
    name = variable(site.name)
    # A site with plain HTTP may stand behind a proxy that speaks HTTPS. Then its pages have an https origin.
    schemes = ("https",) if site.certificate else ("http", "https")
    own = [f"{scheme}://{each}" for each in site.names if not each.startswith("*") for scheme in schemes]
    below = [
        Expression(rf"~^{'https' if site.certificate else 'https?'}://[a-z0-9-]+\.{re.escape(each[2:])}$")
        for each in site.names
        if each.startswith("*")
    ]
    others = site.args.cors.origins if site.args.cors else ()
    known = dict.fromkeys([*own, *others, *below])
    yield GAP
    yield block(
        "map",
        Expression("$http_origin"),
        Expression(f"$foreign_{name}"),
        body=[
            directive("default", "1"),
            directive("", ""),
            *(directive(origin, "") for origin in known),
        ],
        why=(
            "Pages of these origins may open a WebSocket to this site. CORS does not apply to WebSockets, "
            "and "
            "browsers send cookies with them, so nginx checks the origin itself. A client that is not a "
            "browser sends no header Origin, and may connect."
        ),
    )
    yield _where(Expression(f"$portcullis_socket$foreign_{name}"), f"$foreign_socket_{name}", "11", "1")


def refuse_foreign(site: str) -> Node:
    """Return the rule that refuses a WebSocket from a page of another origin."""
    return block("if", Expression(f"($foreign_socket_{variable(site)})"), body=[directive("return", "403")])


def _where(source: Expression, target: str, pattern: str, value: str) -> Node:
    return block(
        "map",
        source,
        Expression(target),
        body=[directive("default", ""), directive(Expression(pattern), value)],
    )
