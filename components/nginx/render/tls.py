"""TLS of the whole proxy: Mozilla's guideline 6.0 of 2026-04, profiles intermediate and modern.

https://wiki.mozilla.org/Security/Server_Side_TLS and the generator's guidelines/6.0.json. The default server
of a socket decides the protocols and curves of all its sites: nginx before 1.29.2 ignores both in a site,
newer versions still ignore the curves. So a profile belongs to the proxy and never to a site.

The same lines stand in every TLS server. At the http level, the stock nginx.conf of Debian 12 already has
`ssl_protocols TLSv1 …`, which nginx would merge with ours. It also has `ssl_prefer_server_ciphers`, which may
stand only once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from portcullis.components.nginx.render.tree import GAP, directive, render
from portcullis.rendering import header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.components.nginx.render.tree import Node
    from portcullis.dialect import Dialect

SNIPPET_PATH = "/etc/nginx/snippets/portcullis-tls.conf"

_CURVES = ("X25519", "prime256v1", "secp384r1")
_POST_QUANTUM = "X25519MLKEM768"


@dataclass(frozen=True, slots=True)
class Profile:
    """The versions of TLS that nginx offers, and the ciphers for TLS 1.2. All ciphers of TLS 1.3 are good."""

    protocols: tuple[str, ...]
    ciphers: tuple[str, ...] = ()


PROFILES: Mapping[str, Profile] = {
    "intermediate": Profile(
        ("TLSv1.2", "TLSv1.3"),
        (
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "ECDHE-RSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-RSA-AES256-GCM-SHA384",
            "ECDHE-ECDSA-CHACHA20-POLY1305",
            "ECDHE-RSA-CHACHA20-POLY1305",
        ),
    ),
    "modern": Profile(("TLSv1.3",)),
}


def snippet(resource: str, profile: str, dialect: Dialect) -> str:
    """Render the settings that every TLS server includes.

    Raises:
        KeyError: no profile has this name.
    """
    chosen = PROFILES[profile]
    curves = ([_POST_QUANTUM] if dialect.post_quantum else []) + list(_CURVES)
    nodes: list[Node] = [
        GAP,
        directive("ssl_protocols", *chosen.protocols, why=f"Mozilla's guideline 6.0, profile {profile}."),
    ]
    if chosen.ciphers:
        nodes.append(
            directive(
                "ssl_ciphers", ":".join(chosen.ciphers), why="For TLS 1.2. All ciphers of TLS 1.3 are good."
            )
        )
    nodes += [
        directive(
            "ssl_ecdh_curve",
            ":".join(curves),
            why="X25519MLKEM768 protects traffic recorded today from the quantum computers of tomorrow."
            if dialect.post_quantum
            else f"Without {_POST_QUANTUM}: this OpenSSL is older than 3.5, and nginx would not start.",
        ),
        directive(
            "ssl_prefer_server_ciphers",
            "off",
            why="All allowed ciphers are good, and the client knows which is fast.",
        ),
        GAP,
        directive(
            "ssl_session_cache",
            "shared:portcullis_tls:10m",
            why="Room for about 40000 sessions of all sites. A returning visitor saves a round trip.",
        ),
        directive("ssl_session_timeout", "1d"),
    ]
    if not dialect.rotates_ticket_keys:
        nodes.append(
            directive(
                "ssl_session_tickets",
                "off",
                why="Before 1.23.2, nginx keeps the same key for all tickets until it restarts.",
            )
        )
    # No OCSP stapling: Let's Encrypt ended OCSP in 2025, and nginx would warn at every reload.
    return header(resource, f"TLS for every site: Mozilla's profile {profile}") + render(nodes)
