"""Render a site's file.

It has maps and zones, the upstreams of apps, and a server block for each port and purpose.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portcullis.components.nginx.render import cors, headers, locations, names, shared, tls
from portcullis.components.nginx.render.tree import GAP, Expression, Verbatim, block, directive, render
from portcullis.rendering import header, word

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from portcullis.components.nginx.args import MaintenanceArgs
    from portcullis.components.nginx.render.model import Site
    from portcullis.components.nginx.render.tree import Node
    from portcullis.dialect import Dialect

_STREAMS = 128
"""nginx's default for requests at a time on one HTTP/2 connection."""
_BODY = re.compile(r"0|[1-9][0-9]*[KMGkmg]?")
_URL = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]+)?(?P<path>/[A-Za-z0-9._~/?=&%+,:@!*()-]*)?")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")


def site(resource: str, settings: Site, dialect: Dialect) -> str:
    """Render the file of a site.

    Raises:
        ValueError: a value of the site has characters that are not allowed in nginx's configuration.
    """
    _check(settings)
    nodes: list[Node] = [*_outside(settings), *locations.upstreams(settings)]
    if settings.certificate:
        nodes += [*_to_https(settings, dialect), *_to_the_name(settings, dialect)]
    elif settings.args.redirect_from:
        nodes += _to_the_name(settings, dialect)
    nodes += _content(settings, dialect)
    return header(resource, f"This file configures the site {settings.scheme}://{settings.name}.") + render(
        nodes
    )


def _check(settings: Site) -> None:
    """Refuse values that nginx could read as more than one word.

    The checks of the settings have refused such values before.
    """
    for name in (*settings.names, *settings.args.redirect_from):
        names.host_name(name)
    if not _BODY.fullmatch(settings.args.limits.body):
        raise ValueError(
            f"the limit of a request body, {settings.args.limits.body!r}, is not a valid size in nginx's "
            "configuration"
        )
    if settings.args.redirect and not _URL.fullmatch(settings.args.redirect):
        raise ValueError(
            f"the redirect target {settings.args.redirect!r} is not a valid URL in nginx's configuration"
        )
    for origin in settings.args.cors.origins if settings.args.cors else ():
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"the CORS origin {origin!r} is not a valid origin in nginx's configuration")


def _outside(settings: Site) -> Iterator[Node]:
    """Yield the maps and zones, which stand outside the server blocks and are named after the site."""
    name = names.variable(settings.name)
    if settings.args.cors:
        yield from cors.maps(settings.name, settings.args.cors)
    if settings.apps and settings.args.websockets:
        yield from cors.foreign(settings)
    plain = settings.certificate is None
    if settings.args.allow:
        why = "Only clients in these networks may visit the site."
        yield from _by_network(f"outside_{name}", settings.args.allow, why, plain=plain)
    if settings.args.maintenance:
        why = "Clients in these networks see the site during maintenance."
        yield from _by_network(f"maintenance_{name}", settings.args.maintenance.except_, why, plain=plain)
    limits = settings.args.limits
    if settings.apps and limits.requests:
        yield GAP
        yield directive(
            "limit_req_zone",
            Expression("$binary_remote_addr"),
            f"zone=requests_{name}:4m",
            f"rate={limits.requests}r/s",
            why=(
                "This zone has room for 32000 addresses. When the zone is full, nginx forgets the address "
                "that was silent for the longest time."
            ),
        )
    if limits.connections:
        yield GAP
        yield directive("limit_conn_zone", Expression("$binary_remote_addr"), f"zone=connections_{name}:4m")


def _by_network(variable: str, networks: Sequence[str], why: str, *, plain: bool) -> Iterator[Node]:
    """Yield a variable that is 1 for a client outside these networks, and empty for any other client.

    On a `plain` site the variable is also empty for the requests of a certificate authority.
    """
    source = Expression(f"${variable}{'_address' if plain else ''}")
    yield GAP
    yield block(
        "geo",
        source,
        body=[directive("default", "1"), *(directive(word(network), "") for network in networks)],
        why=why,
    )
    if plain:
        yield block(
            "map",
            Expression(f"{source}:$uri"),
            Expression(f"${variable}"),
            body=[
                directive("default", ""),
                directive(Expression(r"~^1:(?!/\.well-known/acme-challenge/)"), "1"),
            ],
            why=(
                "The certificate authority does not publish its addresses, so its requests may come from any "
                "address."
            ),
        )


def _to_https(settings: Site, dialect: Dialect) -> Iterator[Node]:
    yield GAP
    yield block(
        "server",
        body=[
            *shared.listen("80", dialect),
            directive("server_name", *settings.names, *settings.args.redirect_from),
            shared.no_version(),
            *_logs(settings),
            GAP,
            shared.acme_location(),
            GAP,
            block(
                "location",
                "/",
                body=[directive("return", "308", Expression("https://$host$request_uri"))],
                why=(
                    "First to HTTPS on the same host, so that the browser learns HSTS there. A redirect to "
                    "the site's main name comes after that. 308 keeps a POST a POST."
                ),
            ),
        ],
    )


def _to_the_name(settings: Site, dialect: Dialect) -> Iterator[Node]:
    """Give the server that redirects visitors of the site's other names to its main name."""
    if not settings.args.redirect_from:
        return
    target = Expression(f"{settings.scheme}://{settings.name}$request_uri")
    sent = headers.security(settings)
    yield GAP
    yield block(
        "server",
        body=[
            *shared.listen("443" if settings.certificate else "80", dialect),
            directive("server_name", *settings.args.redirect_from),
            shared.no_version(),
            *_tls(settings),
            *_logs(settings),
            GAP,
            *headers.add({name: sent[name] for name in (headers.HSTS,) if name in sent}),
            *([] if settings.certificate else [shared.acme_location(), GAP]),
            block("location", "/", body=[directive("return", "308", target)]),
        ],
    )


def _content(settings: Site, dialect: Dialect) -> Iterator[Node]:
    port = "443" if settings.certificate else "80"
    yield GAP
    yield block(
        "server",
        body=[
            *shared.listen(port, dialect),
            directive("server_name", *settings.names),
            shared.no_version(),
            *_tls(settings),
            *_logs(settings),
            *([] if settings.args.redirect else [directive("include", shared.COMPRESSION_PATH)]),
            directive(
                "client_max_body_size",
                settings.args.limits.body.lower(),
                why="nginx answers 413 to a larger request, and does not read its body.",
            ),
            *_limits(settings),
            *_guards(settings),
            GAP,
            *_headers(settings),
            *_answers(settings),
            *([] if settings.certificate else [GAP, shared.acme_location(guarded=bool(settings.passwords))]),
            *_snippet(settings),
        ],
    )


def _tls(settings: Site) -> Iterator[Node]:
    if settings.certificate:
        yield directive("ssl_certificate", word(settings.certificate.chain))
        yield directive("ssl_certificate_key", word(settings.certificate.key))
        yield directive("include", tls.SNIPPET_PATH)


def _logs(settings: Site) -> Iterator[Node]:
    if settings.access_log == "off":
        yield directive("access_log", "off")
    else:
        form = shared.JSON_FORMAT if settings.access_log == "json" else "combined"
        yield directive(
            "access_log",
            names.access_log(settings.name),
            form,
            "buffer=32k",
            "flush=1s",
            why=(
                "The log is directly in /var/log/nginx, because Debian's logrotate skips the folders below "
                "it. "
                "nginx collects the lines of a log, and writes them together, at most one second late."
            ),
        )
    yield directive("error_log", names.error_log(settings.name))


def _limits(settings: Site) -> Iterator[Node]:
    limits = settings.args.limits
    if settings.apps and limits.requests:
        yield directive("limit_req_status", "429")
    if limits.connections:
        yield directive("limit_conn", f"connections_{names.variable(settings.name)}", str(limits.connections))
        yield directive("limit_conn_status", "429")
        if settings.certificate and limits.connections < _STREAMS:
            yield directive(
                "http2_max_concurrent_streams",
                str(limits.connections),
                why=(
                    "nginx tells browsers to send at most this number of requests at a time. `limit_conn` "
                    "would refuse more requests."
                ),
            )


def _guards(settings: Site) -> Iterator[Node]:
    if settings.passwords:
        yield GAP
        yield directive("auth_basic", settings.name)
        yield directive("auth_basic_user_file", word(settings.passwords))


def _headers(settings: Site) -> Iterator[Node]:
    """Yield every response header and every header to apps, and the rules that answer before any location."""
    sent = headers.security(settings)
    yield from headers.add(sent)
    if settings.root is not None and "cache-control" not in map(str.lower, sent):
        yield directive(
            "add_header",
            "Cache-Control",
            headers.CACHE,
            why="Each location sets the variable in this header.",
        )
    if settings.args.maintenance:
        yield directive("add_header", "Retry-After", Expression("$portcullis_retry"), "always")
    if settings.args.cors:
        yield GAP
        yield from cors.headers(settings.name, settings.args.cors)
    if settings.apps:
        hidden = (*sent, *(cors.RESPONSE_HEADERS if settings.args.cors else ()), "X-Powered-By")
        yield GAP
        yield from headers.hide(hidden)
        yield GAP
        yield from locations.forwarding(settings)
    if settings.root is not None:
        yield GAP
        yield directive("set", headers.CACHE, "")
        yield directive("root", word(settings.root))
    if settings.args.cors:
        yield GAP
        yield cors.preflight()
    if settings.args.allow:
        yield GAP
        yield block(
            "if",
            Expression(f"($outside_{names.variable(settings.name)})"),
            body=[directive("return", "403")],
            why=(
                "The directives `allow` and `deny` would come too late: nginx runs each `return` in this "
                "server block first."
            ),
        )
    if settings.apps and settings.args.websockets:
        yield GAP
        yield cors.refuse_foreign(settings.name)


def _answers(settings: Site) -> Iterator[Node]:
    if settings.args.maintenance:
        yield from _maintenance(settings.name, settings.args.maintenance)
    if settings.args.redirect:
        found = _URL.fullmatch(settings.args.redirect)
        # A single slash is not a page: it means the whole site.
        whole = found is not None and found["path"] not in (None, "/")
        target = settings.args.redirect if whole else settings.args.redirect.rstrip("/") + "$request_uri"
        yield GAP
        yield from _sent_on(settings, Expression(target))
        return
    if settings.root is not None:
        yield GAP
        yield from locations.files(settings)
    yield from locations.apps(settings)


def _snippet(settings: Site) -> Iterator[Node]:
    if settings.args.snippet.strip():
        yield GAP
        yield Verbatim(settings.args.snippet.strip("\n"))


def _sent_on(settings: Site, target: Expression) -> Iterator[Node]:
    answer = directive("return", "308", target)
    if not settings.passwords:
        yield block("location", "/", body=[answer])
        return
    yield block(
        "location",
        "/",
        body=[directive("try_files", "/none", "@target")],
        why=(
            "A `return` in this location would send the redirect before nginx asks for the password. The "
            "file /none does not exist, so nginx asks for the password and then goes on to @target."
        ),
    )
    yield GAP
    yield block("location", "@target", body=[answer])


def _maintenance(name: str, settings: MaintenanceArgs) -> Iterator[Node]:
    page = f"<!doctype html><meta charset=utf-8><title>{name}</title><p>{_text(settings.message)}</p>\n"
    flag = f"$maintenance_{names.variable(name)}"
    yield GAP
    yield directive("set", Expression("$portcullis_retry"), "")
    yield block(
        "if",
        Expression(f"({flag})"),
        body=[directive("set", Expression("$portcullis_retry"), "600"), directive("return", "503")],
    )
    yield directive("error_page", "503", "@maintenance")
    yield GAP
    yield block(
        "location",
        "@maintenance",
        body=[directive("default_type", "text/html"), directive("return", "503", page.rstrip("\n"))],
    )


def _text(message: str) -> str:
    escaped = message.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return " ".join(escaped.split())
