"""TLS of the whole proxy: Mozilla's guideline 6.0 of 2026-04, profiles intermediate and modern.

See https://wiki.mozilla.org/Security/Server_Side_TLS and the generator's file guidelines/6.0.json. The
default server of a port decides the protocols and curves of all sites on this port. nginx before 1.29.2
ignores protocols and curves in the server block of a site, and newer versions still ignore the curves. So a
profile belongs to the proxy and never to a site.

Every server block with TLS includes the same settings. At the http level, the stock nginx.conf of Debian 12
already has `ssl_protocols TLSv1 …`, which nginx would merge with ours. The stock file also has
`ssl_prefer_server_ciphers`, which nginx allows only once at this level.
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
    """The versions of TLS that nginx offers, and the ciphers for TLS 1.2.

    All ciphers of TLS 1.3 are secure, so a profile names none of them.
    """

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
        directive(
            "ssl_protocols",
            *chosen.protocols,
            why=f"The settings below follow the profile `{profile}` of Mozilla's guideline 6.0.",
        ),
    ]
    if chosen.ciphers:
        nodes.append(
            directive(
                "ssl_ciphers",
                ":".join(chosen.ciphers),
                why="These ciphers are for TLS 1.2. All ciphers of TLS 1.3 are secure.",
            )
        )
    nodes += [
        directive(
            "ssl_ecdh_curve",
            ":".join(curves),
            why="With X25519MLKEM768, recorded traffic stays secret even after quantum computers exist."
            if dialect.post_quantum
            else f"The host's OpenSSL is older than 3.5, so nginx would not start with {_POST_QUANTUM}.",
        ),
        directive(
            "ssl_prefer_server_ciphers",
            "off",
            why=(
                "The client chooses the cipher: all allowed ciphers are secure, and the client knows which "
                "cipher is fast on its device."
            ),
        ),
        GAP,
        directive(
            "ssl_session_cache",
            "shared:portcullis_tls:10m",
            why=(
                "The cache has room for about 40000 TLS sessions of all sites. A visitor who comes back "
                "while "
                "the session is in the cache saves a round trip."
            ),
        ),
        directive("ssl_session_timeout", "1d"),
    ]
    if not dialect.rotates_ticket_keys:
        nodes.append(
            directive(
                "ssl_session_tickets",
                "off",
                why=(
                    "nginx before 1.23.2 would encrypt all session tickets with the same key until it "
                    "restarts."
                ),
            )
        )
    # No OCSP stapling: Let's Encrypt ended OCSP in 2025, and nginx would warn at every reload.
    return header(
        resource, f"This file has the TLS settings of every site, from Mozilla's profile `{profile}`."
    ) + render(nodes)
