"""Policies for sites: sites use TLS, and tell browsers to insist on TLS (HSTS)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portcullis.policy.model import Policy, Resource
from portcullis.policy.nginx_blocks import Directive, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

HSTS_FLOOR = 15_552_000
"""The shortest accepted time in seconds for which browsers insist on HTTPS: 180 days."""
_HSTS = "strict-transport-security"
_SERVES = ("proxy_pass", "grpc_pass", "fastcgi_pass", "uwsgi_pass", "scgi_pass", "root", "alias", "try_files")
_ACME = "/.well-known/acme-challenge/"


def _servers(resource: Resource) -> list[Directive]:
    """Return the server blocks of a file that nginx reads, without those that listen only locally."""
    if not resource.is_host("File") or not resource.text("path").startswith("/etc/nginx/"):
        return []
    top = parse(resource.text("content"))
    inside = [directive for block in top if block.name == "http" for directive in block.block]
    return [
        server
        for server in (*top, *inside)
        if server.name == "server" and server.block and not _local(server)
    ]


def _local(server: Directive) -> bool:
    listens = [directive.words[1] for directive in server.named("listen") if len(directive.words) > 1]
    return bool(listens) and all(re.match(r"unix:|127\.|\[::1\]|localhost", listen) for listen in listens)


def _name(server: Directive) -> str:
    names = [word for directive in server.named("server_name") for word in directive.words[1:]]
    return names[0] if names else "without a name"


def _serves(block: Directive) -> bool:
    """Tell whether a block serves content, apart from the authority's challenge."""
    return any(
        directive.name in _SERVES or _serves(directive)
        for directive in block.block
        if _ACME not in directive.words
    )


def _tls(server: Directive) -> bool:
    listens = server.named("listen")
    return bool(listens) and all(
        "ssl" in directive.words or "quic" in directive.words for directive in listens
    )


def _site_has_tls(resource: Resource) -> Iterator[str]:
    for server in _servers(resource):
        if _serves(server) and not _tls(server):
            yield f"serves the site {_name(server)} without TLS"


def _hsts_floor(resource: Resource) -> Iterator[str]:
    for server in _servers(resource):
        if not _serves(server) or not _tls(server):
            continue
        yield from (f"the site {_name(server)} {what}" for what in _weak(server, inherited=None))


def _weak(block: Directive, inherited: int | None) -> Iterator[str]:
    """Yield the weaknesses of a block. If a location sets any header, it loses all headers from above."""
    headers = block.named("add_header")
    age = _age(headers) if headers else inherited
    answers = [directive for directive in block.block if directive.name in _SERVES]
    if block.name == "server" and age is None:
        yield "does not tell browsers to insist on HTTPS (no Strict-Transport-Security)"
        return
    if answers and age is None:
        yield f"loses Strict-Transport-Security in {' '.join(block.words)} by an add_header of its own"
    elif headers and age is not None and age < HSTS_FLOOR:
        yield f"lets browsers forget HTTPS after {age} s; the minimum is {HSTS_FLOOR} s (180 days)"
    for directive in block.block:
        if directive.block and _ACME not in directive.words:
            yield from _weak(directive, age)


def _age(headers: list[Directive]) -> int | None:
    for directive in headers:
        if len(directive.words) > 2 and directive.words[1].lower() == _HSTS:  # noqa: PLR2004 - name and value
            found = re.search(r"max-age=\"?(\d+)", directive.words[2])
            return int(found[1]) if found else 0
    return None


POLICIES = (
    Policy(
        "site-has-tls",
        "A site uses HTTPS. Over HTTP it serves only redirects and the challenge of the certificate "
        "authority.",
        "Without TLS, everybody on the way can read the traffic and steal sessions and passwords.",
        "Remove `tls: none` from the site. If a proxy in front of the site speaks HTTPS with visitors, write "
        "an exemption.",
        _site_has_tls,
    ),
    Policy(
        "hsts-floor",
        f"A site tells browsers to insist on HTTPS for at least {HSTS_FLOOR // 86400} days.",
        "Without HSTS, an attacker can intercept every click on an http:// link.",
        "Keep the default of the site's `hsts` (two years), or write maxAge: 15552000 or more.",
        _hsts_floor,
    ),
)
