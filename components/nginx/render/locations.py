"""The locations of a site: for its files and for its apps."""

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
"""Internal statuses that send a WebSocket to the location of its app. No client ever receives one."""
_ASSETS = "/assets/"
_PREFIX = re.compile(r"/[A-Za-z0-9._~/-]*")

_FORWARDED = {
    # If the request line has a whole URL, nginx picks the site by the URL's host name, which is in $host. The
    # Host header ($http_host) can then be any text.
    "Host": "$host",
    "X-Real-IP": "$remote_addr",
    "X-Forwarded-For": "$remote_addr",
    "X-Forwarded-Proto": SCHEME,
    "X-Forwarded-Host": "$host",
    "X-Forwarded-Port": PORT,
    "X-Request-ID": "$request_id",
}
# Some apps and frameworks believe these headers. Nothing in front of the apps sends them: only a client
# would.
_CLAIMS = (
    "Forwarded",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    # Rack, and so Rails, reads the next two headers as a sign of HTTPS. gunicorn reads the first and the
    # third.
    "X-Forwarded-Ssl",
    "X-Forwarded-Scheme",
    "X-Forwarded-Protocol",
    "X-Url-Scheme",
    "Front-End-Https",
    "X-Original-Host",
    "X-Original-URL",
    "X-Rewrite-URL",
    # Rails answers 500 where this header and X-Forwarded-For differ.
    "Client-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
)


def app_name(site: str, upstream: Upstream) -> str:
    """Return the name of an upstream: site and port, because no two upstreams may have the same name."""
    return f"app-{word(site)}-{upstream.port}"


def upstreams(site: Site) -> Iterator[Node]:
    """Give an `upstream` block with one server for each app of a site."""
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
                        "An IP address: nginx would resolve a name when it starts, and would not start while "
                        "DNS is down."
                    ),
                ),
                directive(
                    "keepalive",
                    "64",
                    why="Idle connections of each worker. With fewer, it often reconnects to a busy app.",
                ),
                directive(
                    "keepalive_timeout",
                    "4s",
                    why=(
                        "Shorter than the app's own timeout (5 s in Node): a request would be lost on a "
                        "connection that the app is just closing."
                    ),
                ),
            ],
        )


def forwarding(site: Site) -> Iterator[Node]:
    """Give the settings for every app of a site, at the level of its server block.

    A location inherits the headers to apps only if it sets none itself. So no location sets one.
    """
    yield directive(
        "proxy_http_version",
        "1.1",
        why="Keepalive and WebSocket need HTTP/1.1. By default, nginx before 1.29.7 speaks HTTP/1.0 with "
        "apps.",
    )
    socket = ("$portcullis_upgrade", "$portcullis_connection") if site.args.websockets else ("", "")
    yield directive("proxy_set_header", "Upgrade", Expression(socket[0]))
    yield directive("proxy_set_header", "Connection", Expression(socket[1]))
    for index, (name, value) in enumerate(_FORWARDED.items()):
        why = (
            "These replace the client's own headers: what a client claims about itself must not reach the "
            "app. $host and not $http_host: if the request line holds a whole URL, the client can choose "
            "$http_host freely."
        )
        yield directive("proxy_set_header", name, Expression(value), why="" if index else why)
    for index, name in enumerate(_CLAIMS):
        why = "Only a client would send these. What a trusted proxy says is in X-Forwarded-For already."
        yield directive("proxy_set_header", name, "", why="" if index else why)
    yield directive(
        "proxy_set_header",
        "Proxy",
        "",
        why="This line prevents the attack httpoxy: some runtimes turn the request header Proxy into the "
        "environment variable HTTP_PROXY. "
        "https://httpoxy.org",
    )
    yield directive(
        "proxy_connect_timeout",
        "5s",
        why="The app runs on this host: if it does not accept a connection within seconds, it is down.",
    )
    yield directive("proxy_read_timeout", f"{site.args.timeout}s")
    yield directive("proxy_send_timeout", f"{site.args.timeout}s")


def apps(site: Site) -> Iterator[Node]:
    """Yield the locations of a site's apps. WebSockets have locations of their own, with longer timeouts.

    Raises:
        ValueError: the beginning of a path has invalid characters, or there are too many apps.
    """
    ways = dict(zip(dict.fromkeys(site.apps[prefix] for prefix in sorted(site.apps)), _WAYS, strict=False))
    if len(ways) < len(set(site.apps.values())):
        raise ValueError(f"the site {site.name} has more than {len(_WAYS)} apps")
    for prefix, upstream in sorted(site.apps.items()):
        yield GAP
        yield _app(site, prefix, upstream, ways[upstream])
    if site.args.websockets:
        for upstream, status in ways.items():
            yield from _socket(site, upstream, status)


def _app(site: Site, prefix: str, upstream: Upstream, status: int) -> Directive:
    body: list[Node] = []
    if site.root is not None:
        # An app sends its own Cache-Control.
        body.append(directive("set", CACHE, ""))
    body += _limited(site)
    if site.args.websockets:
        body.append(
            block(
                "if",
                Expression("($portcullis_socket)"),
                body=[directive("return", str(status))],
                why="A WebSocket goes on in a location below, where it may be silent for longer.",
            )
        )
    body.append(directive("proxy_pass", f"http://{app_name(site.name, upstream)}"))
    # ^~ keeps the regular expressions for files from matching an app's paths.
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
        why="In a location, this line would cancel the error pages of the site's snippet. So it stands here, "
        "in the server block."
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
                why="A WebSocket is often silent. nginx closes a WebSocket when both ends have been silent "
                "for this time.",
            ),
            directive("proxy_send_timeout", f"{site.args.websocket_timeout}s"),
        ],
    )


def _limited(site: Site) -> Iterator[Node]:
    if site.args.limits.requests:
        burst = (f"burst={site.args.limits.burst}", "nodelay") if site.args.limits.burst else ()
        yield directive("limit_req", f"zone=requests_{variable(site.name)}", *burst)


def files(site: Site) -> Iterator[Node]:
    """Yield the locations of a site's files."""
    if site.root is None:
        return
    # =404 also comes after index.html. Without it, a missing index.html would cause a loop and an error 500.
    found = ("$uri/index.html", "/index.html") if site.args.spa else ("$uri/",)
    if not site.args.spa:
        yield directive(
            "error_page",
            "404",
            "/404.html",
            why="nginx sends the site's file 404.html as the error page. Without this file, nginx sends its "
            "own page.",
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
                    "Browsers request a file again each time, and nginx answers 304 if the file did not "
                    "change. So visitors see a new version of the site at once."
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
            why="Build tools put a hash of the content into each file name below this path, so a file never "
            "changes.",
        )
    yield GAP
    yield block(
        "location",
        "~",
        Expression(r"^/(?:.*/)?\.(?!well-known/)"),
        body=[directive("return", "404")],
        why="Visitors get no file whose name begins with a dot, such as .git, .env or an editor's copy.",
    )
