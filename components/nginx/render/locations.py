"""The locations of a site: where its files are, and where its apps answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portcullis.components.nginx.render.headers import CACHE
from portcullis.components.nginx.render.names import variable
from portcullis.components.nginx.render.shared import PORT, SCHEME
from portcullis.components.nginx.render.tree import GAP, Expression, block, directive
from portcullis.rendering import word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portcullis.components.nginx.render.model import Site, Upstream
    from portcullis.components.nginx.render.tree import Directive, Node

_WAYS = range(540, 600)
"""Statuses that send a WebSocket on to the location of its app; nobody is ever answered with one."""
_ASSETS = "/assets/"
_PREFIX = re.compile(r"/[A-Za-z0-9._~/-]*")

_FORWARDED = {
    # $host and not $http_host: with an absolute request line the two differ, and the client chooses.
    "Host": "$host",
    "X-Real-IP": "$remote_addr",
    "X-Forwarded-For": "$remote_addr",
    "X-Forwarded-Proto": SCHEME,
    "X-Forwarded-Host": "$host",
    "X-Forwarded-Port": PORT,
    "X-Request-ID": "$request_id",
}
# What some apps and frameworks believe, and what nothing in front of them says: only a client could have.
_CLAIMS = (
    "Forwarded",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    # Rack, and with it Rails, takes the first two for HTTPS; gunicorn the first and the third.
    "X-Forwarded-Ssl",
    "X-Forwarded-Scheme",
    "X-Forwarded-Protocol",
    "X-Url-Scheme",
    "Front-End-Https",
    "X-Original-Host",
    "X-Original-URL",
    "X-Rewrite-URL",
    # Rails answers 500 where this one and X-Forwarded-For differ.
    "Client-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
)


def app_name(site: str, upstream: Upstream) -> str:
    """Return the name of an upstream: of a site and port, for no two server blocks may share one."""
    return f"app-{word(site)}-{upstream.port}"


def upstreams(site: Site) -> Iterator[Node]:
    """Give the groups of servers that a site's apps are; each has one."""
    for upstream in dict.fromkeys(site.apps.values()):
        yield GAP
        yield block(
            "upstream",
            app_name(site.name, upstream),
            body=[
                directive(
                    "server",
                    f"{word(upstream.address)}:{upstream.port}",
                    why=(
                        "An address and no name: a name would be resolved at start, and nginx would not "
                        "start while DNS is down."
                    ),
                ),
                directive(
                    "keepalive",
                    "64",
                    why="Idle connections that each worker keeps; with fewer, a busy app is dialled again.",
                ),
                directive(
                    "keepalive_timeout",
                    "4s",
                    why=(
                        "Shorter than the app's own (5 s in Node): a request on a connection that the app is "
                        "just closing would be lost."
                    ),
                ),
            ],
        )


def forwarding(site: Site) -> Iterator[Node]:
    """Give what holds for every app of a site, at the level of its server block.

    Like headers of responses, those to an app are inherited all or none: no location has one of its own.
    """
    yield directive(
        "proxy_http_version",
        "1.1",
        why="Keepalive and WebSocket need 1.1; nginx speaks 1.0 to apps by default before 1.29.7.",
    )
    socket = ("$portcullis_upgrade", "$portcullis_connection") if site.args.websockets else ("", "")
    yield directive("proxy_set_header", "Upgrade", Expression(socket[0]))
    yield directive("proxy_set_header", "Connection", Expression(socket[1]))
    for index, (name, value) in enumerate(_FORWARDED.items()):
        why = (
            "Replaced and not appended to: what a client claims about itself must not reach the app. $host "
            "and not $http_host: with an absolute request line the two differ, and the client chooses."
        )
        yield directive("proxy_set_header", name, Expression(value), why="" if index else why)
    for index, name in enumerate(_CLAIMS):
        why = "Nobody says these for us. A trusted proxy's word is in X-Forwarded-For already."
        yield directive("proxy_set_header", name, "", why="" if index else why)
    yield directive(
        "proxy_set_header",
        "Proxy",
        "",
        why="httpoxy: some runtimes turn a header Proxy into HTTP_PROXY. https://httpoxy.org",
    )
    yield directive(
        "proxy_connect_timeout",
        "5s",
        why="The app is on this host: if it does not accept within seconds, it is down.",
    )
    yield directive("proxy_read_timeout", f"{site.args.timeout}s")
    yield directive("proxy_send_timeout", f"{site.args.timeout}s")


def apps(site: Site) -> Iterator[Node]:
    """Give the locations of a site's apps. A WebSocket goes on in a place of its own, which waits longer.

    Raises:
        ValueError: the beginning of a path cannot stand in a configuration file, or there are too many apps.
    """
    ways = dict(zip(dict.fromkeys(site.apps[prefix] for prefix in sorted(site.apps)), _WAYS, strict=False))
    if len(ways) < len(set(site.apps.values())):
        raise ValueError(f"{site.name} has more than {len(_WAYS)} apps")
    for prefix, upstream in sorted(site.apps.items()):
        yield GAP
        yield _app(site, prefix, upstream, ways[upstream])
    if site.args.websockets:
        for upstream, status in ways.items():
            yield from _socket(site, upstream, status)


def _app(site: Site, prefix: str, upstream: Upstream, status: int) -> Directive:
    body: list[Node] = []
    if site.root is not None:
        # Apps say themselves what may be kept.
        body.append(directive("set", CACHE, ""))
    body += _limited(site)
    if site.args.websockets:
        body.append(
            block(
                "if",
                Expression("($portcullis_socket)"),
                body=[directive("return", str(status))],
                why="A WebSocket goes on below, where it may be silent for longer.",
            )
        )
    body.append(directive("proxy_pass", f"http://{app_name(site.name, upstream)}"))
    # ^~ keeps the regular expressions of a site of files away from its apps.
    exact = ("^~",) if prefix != "/" else ()
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"{prefix!r} cannot stand in a configuration file as the beginning of a path")
    return block("location", *exact, prefix, body=body)


def _socket(site: Site, upstream: Upstream, status: int) -> Iterator[Node]:
    place = f"@socket-{upstream.port}"
    first = status == _WAYS[0]
    yield GAP
    yield directive(
        "error_page",
        str(status),
        "=",
        place,
        why="At this level: in a location it would take away what a snippet says of error pages."
        if first
        else "",
    )
    yield block(
        "location",
        place,
        body=[
            *_limited(site),
            directive("proxy_pass", f"http://{app_name(site.name, upstream)}"),
            directive(
                "proxy_read_timeout",
                f"{site.args.websocket_timeout}s",
                why="A WebSocket is silent for long: this is how long both ends may be.",
            ),
            directive("proxy_send_timeout", f"{site.args.websocket_timeout}s"),
        ],
    )


def _limited(site: Site) -> Iterator[Node]:
    if site.args.limits.requests:
        burst = (f"burst={site.args.limits.burst}", "nodelay") if site.args.limits.burst else ()
        yield directive("limit_req", f"zone=requests_{variable(site.name)}", *burst)


def files(site: Site) -> Iterator[Node]:
    """Give the locations of a site's files."""
    if site.root is None:
        return
    # =404 after index.html too: were that missing, nginx would look for it again and again, and say 500.
    found = ("$uri/index.html", "/index.html") if site.args.spa else ("$uri/",)
    if not site.args.spa:
        yield directive(
            "error_page", "404", "/404.html", why="The site's own page, where it has one, and else nginx's."
        )
        yield block("location", "=", "/404.html", body=[directive("set", CACHE, ""), directive("internal")])
        yield GAP
    yield block(
        "location",
        "/",
        body=[
            directive(
                "set",
                CACHE,
                "no-cache",
                why=(
                    "Asked for again each time, and answered by 304 where nothing changed: a new version "
                    "shows at once."
                ),
            ),
            directive("try_files", Expression("$uri"), *map(Expression, found), "=404"),
        ],
    )
    if _ASSETS not in site.apps:
        yield GAP
        yield block(
            "location",
            _ASSETS,
            body=[
                directive("set", CACHE, "public, max-age=31536000, immutable"),
                directive("try_files", Expression("$uri"), "=404"),
            ],
            why="Build tools put the hash of its content into the name of every file here: it never changes.",
        )
    yield GAP
    yield block(
        "location",
        "~",
        Expression(r"^/(?:.*/)?\.(?!well-known/)"),
        body=[directive("return", "404")],
        why="What begins with a dot is not for visitors: .git, .env, an editor's copies.",
    )
