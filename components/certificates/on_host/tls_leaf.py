"""Which certificate a server on this host shows for a name."""

from __future__ import annotations

import socket
import ssl
from typing import Tuple

_TIMEOUT = 3.0  # seconds

Address = Tuple[str, int]


def shown(address: Address, name: str) -> bytes | None:
    """The certificate that is served for `name`, its bytes; None where none is.

    Nothing listens then, or the handshake is refused, as a server does that does not know the name.
    """
    try:
        with (
            socket.create_connection(address, timeout=_TIMEOUT) as line,
            _context().wrap_socket(line, server_hostname=name) as secure,
        ):
            return secure.getpeercert(binary_form=True)
    except (OSError, ValueError):
        return None


def _context() -> ssl.SSLContext:
    # Nothing is sent and nothing believed: the certificate itself is the question, whoever signed it.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
