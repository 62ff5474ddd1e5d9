"""The certificate that a server on this host shows for a name."""

from __future__ import annotations

import socket
import ssl

_TIMEOUT = 3.0  # seconds

Address = tuple[str, int]


def shown(address: Address, name: str) -> bytes | None:
    """Return the certificate that a server shows for `name`, as bytes; None if no server shows one.

    The result is None if no server listens, or if the server refuses the handshake because it does not know
    the name.
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
    # We accept any issuer, because we only look at the certificate and send no data.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
