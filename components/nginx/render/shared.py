"""Render the settings that all sites share, and the servers for every host name that is not a site."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from portcullis.components.certificates.render import ACME_ROOT
from portcullis.components.nginx.render import tls
from portcullis.components.nginx.render.names import CONF_D, FIRST, LOGS
from portcullis.components.nginx.render.tree import GAP, Expression, block, directive, render
from portcullis.rendering import header, word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portcullis.components.nginx.args import ReverseProxyArgs
    from portcullis.components.nginx.render.tree import Node
    from portcullis.dialect import Dialect

DEFAULT_PATH = f"{CONF_D}/{FIRST}"
PACKAGED_SITE_PATH = "/etc/nginx/sites-available/default"
MAIN_PATH = "/etc/nginx/modules-enabled/90-portcullis.conf"
"""A file in the only folder that the packages' nginx.conf includes at the main level, to load modules."""
COMPRESSION_PATH = "/etc/nginx/snippets/portcullis-compression.conf"
UNKNOWN_HOST_LOG = f"{LOGS}/unknown-host.access.log"
"""The log of requests for unknown host names. It always has the combined format, which fail2ban reads."""
STATUS = "127.0.0.1:8089"
"""The address at which `stub_status` answers, under /nginx_status."""
PROBE_PATH = "/.well-known/acme-challenge/portcullis-probe"
"""The path that `ServedSites` requests from every site on port 80."""
SCHEME, PORT = "$portcullis_scheme", "$portcullis_port"
"""Variables with the scheme that the visitor's browser uses, and with the port that it connects to."""
JSON_FORMAT = "portcullis_json"
BROTLI_PACKAGES = ("libnginx-mod-http-brotli-filter", "libnginx-mod-http-brotli-static")

# Types that compress well. Most images and fonts are compressed already. nginx always compresses text/html.
_COMPRESSED = (
    "application/atom+xml",
    "application/geo+json",
    "application/javascript",
    "application/json",
    "application/ld+json",
    "application/manifest+json",
    "application/rss+xml",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/xhtml+xml",
    "application/xml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
    "image/x-icon",
    "text/cache-manifest",
    "text/calendar",
    "text/css",
    "text/javascript",
    "text/markdown",
    "text/plain",
    "text/vcard",
    "text/xml",
)
_LOGGED = {
    "time": "$time_iso8601",
    "client": "$remote_addr",
    "user": "$remote_user",
    "host": "$host",
    "method": "$request_method",
    "uri": "$request_uri",
    "protocol": "$server_protocol",
    "tls": "$ssl_protocol",
    "status": "$status",
    "bytes": "$body_bytes_sent",
    "seconds": "$request_time",
    "app_seconds": "$upstream_response_time",
    "app_status": "$upstream_status",
    "referer": "$http_referer",
    "agent": "$http_user_agent",
    "id": "$request_id",
}


def packaged_site(resource: str) -> str:
    """Render the file that replaces Debian's welcome page, which would be the default server for port 80."""
    return (
        header(resource, "The packaged site, switched off.")
        + "# already has a `default_server`, which refuses unknown host names.\n"
    )


def limits(resource: str) -> str:
    """Render the content of MAIN_PATH: settings of nginx as a whole, at the main level."""
    nodes: list[Node] = [
        GAP,
        directive(
            "worker_rlimit_nofile",
            "16384",
            why=(
                "A worker may have 768 connections, and each may need a second file descriptor for an app or "
                "a file. With systemd's limit of 1024 descriptors, nginx would run out of descriptors and "
                "answer 500."
            ),
        ),
    ]
    return header(resource, "These limits are for all workers and sites of nginx.") + render(nodes)


def compression(resource: str, *, brotli: bool) -> str:
    """Render the compression settings, which every site includes.

    Each server block has these settings, because Debian's nginx.conf has `gzip on` at the http level, and
    nginx refuses a second `gzip` there.
    """
    nodes: list[Node] = [
        GAP,
        directive("gzip", "on"),
        directive("gzip_static", "on", why="If FILE.gz exists, nginx sends it instead of FILE."),
        directive("gzip_vary", "on"),
        directive("gzip_proxied", "any", why="nginx compresses the answers of apps, and not only files."),
        directive("gzip_comp_level", "5", why="A higher level costs much more CPU time and saves few bytes."),
        directive(
            "gzip_min_length",
            "256",
            why="An answer with fewer bytes would hardly become smaller, so nginx does not compress it.",
        ),
        directive("gzip_types", *_COMPRESSED),
    ]
    if brotli:
        nodes += [
            GAP,
            directive("brotli", "on"),
            directive("brotli_static", "on"),
            directive("brotli_comp_level", "5"),
            directive("brotli_types", *_COMPRESSED),
        ]
    return header(resource, "These settings say how nginx compresses the answers of every site.") + render(
        nodes
    )


def default_server(resource: str, dialect: Dialect, args: ReverseProxyArgs) -> str:
    """Render what all sites share, and the servers for every host name that is not a site.

    Raises:
        ValueError: a network or header cannot stand in a configuration file.
    """
    nodes: list[Node] = [GAP, *_sizes(), GAP, *_maps(), *_formats()]
    nodes += [*_open_files(), *_real_ip(args), *_scheme(args)]
    nodes += [*_unknown_by_http(), *_unknown_by_https(dialect), *_status()]
    return header(
        resource, "This file has the settings of all sites, and the servers for unknown host names."
    ) + render(nodes)


def acme_location(*, guarded: bool = False) -> Node:
    """Return the location that answers a certificate authority. A `guarded` site asks for passwords."""
    return block(
        "location",
        "^~",
        "/.well-known/acme-challenge/",
        body=[
            directive("root", ACME_ROOT),
            directive("default_type", "text/plain"),
            directive("access_log", "off"),
            *([directive("auth_basic", "off")] if guarded else []),
        ],
        why="The certificate authority asks here. With ^~ no regular expression can take the request away.",
    )


def listen(port: str, dialect: Dialect, *more: str) -> Iterator[Node]:
    """Yield the directives that listen on a port, on every address."""
    tls_words: tuple[str, ...] = ("ssl",) if port == "443" else ()
    if tls_words and not dialect.http2_directive:
        tls_words = ("ssl", "http2")
    yield directive("listen", port, *tls_words, *more)
    yield directive("listen", f"[::]:{port}", *tls_words, *more)
    if port == "443" and dialect.http2_directive:
        yield directive("http2", "on")


def no_version() -> Node:
    """Return the directive that hides nginx's version.

    Each server block has this directive, because newer stock files already have it at the http level.
    """
    return directive("server_tokens", "off", why="Headers and error pages do not show nginx's version.")


def _maps() -> Iterator[Node]:
    yield block(
        "map",
        Expression("$http_upgrade"),
        Expression("$portcullis_socket"),
        body=[directive("default", ""), directive("websocket", "1")],
        why=(
            "The app gets the header Upgrade only for a WebSocket. If nginx passed `Upgrade: h2c` on to the "
            "app, "
            "a client could bypass all rules of this configuration."
        ),
    )
    yield GAP
    yield block(
        "map",
        Expression("$portcullis_socket"),
        Expression("$portcullis_upgrade"),
        body=[directive("default", ""), directive("1", "websocket")],
        why=(
            "nginx passes a WebSocket handshake on to the app. nginx sends all other requests without the "
            "headers Upgrade and Connection, so that the connection to the app stays open for the next "
            "request."
        ),
    )
    yield block(
        "map",
        Expression("$portcullis_socket"),
        Expression("$portcullis_connection"),
        body=[directive("default", ""), directive("1", "upgrade")],
    )
    yield GAP
    yield block(
        "map",
        Expression("$request_method:$http_access_control_request_method"),
        Expression("$portcullis_preflight"),
        body=[directive("default", ""), directive("~^OPTIONS:.", "1")],
        why=(
            "An OPTIONS request with the header Access-Control-Request-Method is a CORS preflight. Any other "
            "OPTIONS request goes to the app."
        ),
    )


def _sizes() -> Iterator[Node]:
    yield directive(
        "server_names_hash_bucket_size",
        "256",
        why=(
            "nginx does not start with a host name that is too long for its hash table. The settings allow "
            "200 characters. https://nginx.org/en/docs/http/server_names.html#optimization"
        ),
    )
    yield directive("server_names_hash_max_size", "4096")
    yield directive(
        "map_hash_bucket_size", "512", why="The same for origins. This line must stand before the first map."
    )
    yield directive(
        "variables_hash_max_size",
        "4096",
        why="Each site adds variables with names that are longer than its own.",
    )
    yield directive("variables_hash_bucket_size", "512")


def _formats() -> Iterator[Node]:
    line = json.dumps(_LOGGED, separators=(",", ":"))
    yield GAP
    yield directive(
        "log_format",
        JSON_FORMAT,
        "escape=json",
        Expression(line),
        why="The log has one JSON object for each request. Every value in the log is a string.",
    )


def _open_files() -> Iterator[Node]:
    yield GAP
    yield directive(
        "open_file_cache",
        "max=2000",
        "inactive=30s",
        why=(
            "nginx remembers files that visitors often request, and does not look for them on disk each "
            "time. nginx notices a changed file after a second. nginx looks for a missing file at each "
            "request."
        ),
    )
    yield directive("open_file_cache_valid", "1s")


def _real_ip(args: ReverseProxyArgs) -> Iterator[Node]:
    if not args.trusted_proxies:
        return
    yield GAP
    for index, network in enumerate(args.trusted_proxies):
        why = "nginx believes only these proxies about the client's address. It ignores what others claim."
        yield directive("set_real_ip_from", word(network), why="" if index else why)
    yield directive("real_ip_header", word(args.real_ip_header))
    yield directive(
        "real_ip_recursive",
        "on",
        why="The last address that is not a proxy's is the client's. Those before it may be invented.",
    )


def _scheme(args: ReverseProxyArgs) -> Iterator[Node]:
    """Yield variables for the visitor's scheme and port. A trusted proxy may say that the scheme is HTTPS."""
    scheme, proxy = Expression(SCHEME), Expression("$portcullis_proxy")
    yield GAP
    if not args.trusted_proxies:
        yield block("map", Expression("$scheme"), scheme, body=[directive("default", Expression("$scheme"))])
    else:
        yield block(
            "geo",
            # This is the address of the connection. nginx has already set $remote_addr to the client's
            # address.
            Expression("$realip_remote_addr"),
            proxy,
            body=[directive("default", ""), *(directive(word(each), "1") for each in args.trusted_proxies)],
        )
        yield block(
            "map",
            Expression(f"{proxy}:$http_x_forwarded_proto"),
            scheme,
            body=[directive("default", Expression("$scheme")), directive("1:https", "https")],
            why=(
                "A proxy that speaks HTTPS with visitors and HTTP with nginx sends X-Forwarded-Proto: https. "
                "An app that sees only HTTP would redirect visitors to HTTPS for ever."
            ),
        )
    yield block(
        "map",
        scheme,
        Expression(PORT),
        body=[directive("default", Expression("$server_port")), directive("https", "443")],
    )


def _unknown_by_http() -> Iterator[Node]:
    yield GAP
    yield block(
        "server",
        body=[
            directive("listen", "80", "default_server"),
            directive("listen", "[::]:80", "default_server"),
            directive("server_name", "_"),
            no_version(),
            directive("access_log", UNKNOWN_HOST_LOG, "combined"),
            directive("error_log", f"{LOGS}/unknown-host.error.log"),
            GAP,
            acme_location(),
            block(
                "location",
                "=",
                PROBE_PATH,
                body=[directive("access_log", "off"), directive("return", "444")],
                why=(
                    "Portcullis requests this path from each site over loopback. A site answers this "
                    "request with 404. This server closes the connection, so Portcullis sees that nginx has "
                    "no such site."
                ),
            ),
            GAP,
            block(
                "location",
                "/",
                body=[directive("return", "444")],
                why=(
                    "Scanners ask for the bare IP address or for other people's host names. With 444, nginx "
                    "closes the connection without an answer."
                ),
            ),
        ],
        why="This server answers HTTP requests for unknown host names. The name of a new site is unknown, "
        "too, "
        "until the site has its first certificate.",
    )


def _unknown_by_https(dialect: Dialect) -> Iterator[Node]:
    yield GAP
    yield block(
        "server",
        body=[
            *listen("443", dialect, "default_server"),
            directive("server_name", "_"),
            no_version(),
            directive("include", tls.SNIPPET_PATH),
            directive("access_log", UNKNOWN_HOST_LOG, "combined"),
            directive("error_log", f"{LOGS}/unknown-host.error.log"),
            directive(
                "ssl_reject_handshake",
                "on",
                why="nginx ends the TLS handshake for an unknown host name, and shows no site's certificate.",
            ),
            GAP,
            block(
                "location",
                "/",
                body=[directive("return", "421")],
                why=(
                    "A client can ask for a site in the TLS handshake, and for an unknown host name in the "
                    "request. This location answers such a request."
                ),
            ),
        ],
    )


def _status() -> Iterator[Node]:
    yield GAP
    yield block(
        "server",
        body=[
            directive("listen", STATUS),
            directive("server_name", "_"),
            no_version(),
            directive("access_log", "off"),
            block(
                "location",
                "=",
                "/nginx_status",
                body=[
                    directive("stub_status"),
                    directive("allow", "127.0.0.1"),
                    directive("deny", "all"),
                ],
            ),
            block("location", "/", body=[directive("return", "404")]),
        ],
        why="This server gives counts of connections and requests to monitoring programs on this host.",
    )
