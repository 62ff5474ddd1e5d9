"""CORS: who else's pages may read what a site answers.

https://fetch.spec.whatwg.org/#http-cors-protocol. Origins are compared as whole texts. None that is not
listed is ever repeated, with or without credentials, and * is never sent. A preflight is answered here,
before limits, passwords and lists of networks: a browser sends it without any of those.
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
    """Give what decides, outside of the server block, by the request's Origin."""
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
            "Pages of these origins may read what this site answers; to others nothing is said. As they are "
            "written here, and not as they were asked: a map takes A for a."
        ),
    )
    if cors.credentials:
        yield _where(Expression(allowed), f"{allowed}_credentials", "~.", "true")
    # "1" before an origin that is listed, which begins with a letter: a preflight of somebody who may.
    asked = Expression(f"{PREFLIGHT}{allowed}")
    yield _where(asked, f"{allowed}_methods", "~^1.", ", ".join(cors.methods))
    yield _where(asked, f"{allowed}_headers", "~^1.", ", ".join(cors.headers))
    yield _where(asked, f"{allowed}_max_age", "~^1.", str(cors.max_age))
    if cors.exposed_headers:
        yield _where(asked, f"{allowed}_exposed", "~^[a-z]", ", ".join(cors.exposed_headers))


def headers(site: str, cors: CorsArgs) -> Iterator[Node]:
    """Give the headers; each is empty, and so not sent, where the maps say so."""
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
        why="Also where nothing is said: a cache must not give one origin what was said to another.",
    )


def preflight() -> Node:
    """Give the answer to a preflight, which an app never sees."""
    return block(
        "if",
        Expression(f"({PREFLIGHT})"),
        body=[directive("return", "204")],
        why=(
            "A preflight is answered here. At this level it has the headers above; an `if` in a location "
            "would lose them."
        ),
    )


def foreign(site: Site) -> Iterator[Node]:
    """Give what tells WebSockets of foreign pages, which no CORS keeps out.

    A browser sends its cookies along. A client that is no browser sends no Origin, and may come.
    """
    name = variable(site.name)
    # A site of plain HTTP may stand behind a proxy that speaks HTTPS: its pages' origin is that.
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
            "Whose pages may open a WebSocket here. CORS does not hold for one, and the browser sends "
            "cookies along. A client that is no browser sends no Origin."
        ),
    )
    yield _where(Expression(f"$portcullis_socket$foreign_{name}"), f"$foreign_socket_{name}", "11", "1")


def refuse_foreign(site: str) -> Node:
    """Give the refusal of such a WebSocket."""
    return block("if", Expression(f"($foreign_socket_{variable(site)})"), body=[directive("return", "403")])


def _where(source: Expression, target: str, pattern: str, value: str) -> Node:
    return block(
        "map",
        source,
        Expression(target),
        body=[directive("default", ""), directive(Expression(pattern), value)],
    )
