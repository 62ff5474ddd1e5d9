"""TLS of the whole proxy: Mozilla's guideline 6.0 of 2026-04, profiles intermediate and modern.

https://wiki.mozilla.org/Security/Server_Side_TLS and the generator's guidelines/6.0.json. Protocols and
curves of a site are those of the default server of its socket (nginx before 1.29.2 ignores a site's own,
newer ones its curves), so a profile belongs to the proxy and never to a site. The same lines stand in every
TLS server: at the http level the stock nginx.conf of Debian 12 already says `ssl_protocols TLSv1 …`, which
would be merged with ours, and `ssl_prefer_server_ciphers`, which may stand only once.
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
    """What clients are spoken to: `protocols` of TLS, and `ciphers` of TLS 1.2; those of 1.3 are all good."""

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
    """Render what every TLS server includes.

    Raises:
        KeyError: there is no such profile.
    """
    chosen = PROFILES[profile]
    curves = ([_POST_QUANTUM] if dialect.post_quantum else []) + list(_CURVES)
    nodes: list[Node] = [
        GAP,
        directive("ssl_protocols", *chosen.protocols, why=f"Mozilla's guideline 6.0, profile {profile}."),
    ]
    if chosen.ciphers:
        nodes.append(
            directive("ssl_ciphers", ":".join(chosen.ciphers), why="Of TLS 1.2; those of 1.3 are all good.")
        )
    nodes += [
        directive(
            "ssl_ecdh_curve",
            ":".join(curves),
            why="X25519MLKEM768 keeps what is recorded today from a quantum computer of tomorrow."
            if dialect.post_quantum
            else f"No {_POST_QUANTUM}: OpenSSL has it from 3.5 on, and nginx would not start.",
        ),
        directive(
            "ssl_prefer_server_ciphers", "off", why="All of them are good: the client knows which is fast."
        ),
        GAP,
        directive(
            "ssl_session_cache",
            "shared:portcullis_tls:10m",
            why="About 40000 sessions, for all sites: who comes back saves a round trip.",
        ),
        directive("ssl_session_timeout", "1d"),
    ]
    if not dialect.rotates_ticket_keys:
        nodes.append(
            directive(
                "ssl_session_tickets",
                "off",
                why="Before 1.23.2 nginx keeps one key for all tickets until it is restarted.",
            )
        )
    # No OCSP stapling: Let's Encrypt ended OCSP in 2025, and nginx would warn at every reload.
    return header(resource, f"TLS of every site: Mozilla's profile {profile}") + render(nodes)
