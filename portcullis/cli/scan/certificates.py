"""Read the certificate that a site shows: its names, issuer and dates, and whether it is trusted."""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import asdict, dataclass

from portcullis.agent import x509

_PATIENCE = 5.0  # seconds


@dataclass(frozen=True)
class Shown:
    """The certificate that a server showed for a host name.

    Attributes:
        trusted: whether the certificate is for the name, and its chain leads to a root that the scanning
            machine trusts.
        fault: the reason, in OpenSSL's words, why the certificate is missing or not trusted.
        issuer: the organisation that signed the certificate; "" without a certificate.
        names_it: whether the certificate is for the name, even if it is not trusted.
        begins: the start of the certificate's validity, in seconds since 1970.
        ends: the end of the certificate's validity, in seconds since 1970.
    """

    trusted: bool
    fault: str = ""
    issuer: str = ""
    names_it: bool = False
    begins: int = 0
    ends: int = 0

    def json(self) -> dict[str, object]:
        """Return the certificate as data for JSON."""
        return asdict(self)


def shown(address: str, port: int, name: str, roots: str = "") -> Shown:
    """Ask a server for its certificate.

    Args:
        address: the server's address.
        port: the server's port.
        name: the host name whose certificate the server should show.
        roots: root certificates to trust besides those of this machine, in PEM.
    """
    context = ssl.create_default_context()
    if roots:
        context.load_verify_locations(cadata=roots)
    try:
        der, fault = _handshake(context, address, port, name), ""
    except ssl.SSLCertVerificationError as error:
        fault = error.verify_message or str(error.reason)
        # Connect again without verification, only to read the certificate. This second connection sends and
        # trusts nothing.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            der = _handshake(context, address, port, name)
        except (OSError, ValueError) as again:
            return Shown(trusted=False, fault=str(again))
    except ssl.SSLError as error:
        return Shown(trusted=False, fault=f"no certificate is shown: {error.reason or error}")
    except (OSError, ValueError) as error:
        return Shown(trusted=False, fault=f"no certificate is shown: {error}")
    try:
        read = x509.parse(der)
    except ValueError:
        return Shown(trusted=False, fault="the server's certificate cannot be read")
    return Shown(
        trusted=not fault,
        fault=fault,
        issuer=read.issuer,
        names_it=any(_covers(pattern.lower(), name.lower()) for pattern in read.names),
        begins=read.begins,
        ends=read.ends,
    )


def _handshake(context: ssl.SSLContext, address: str, port: int, name: str) -> bytes:
    with (
        socket.create_connection((address, port), timeout=_PATIENCE) as line,
        context.wrap_socket(line, server_hostname=name) as secure,
    ):
        return secure.getpeercert(binary_form=True) or b""


def _covers(pattern: str, name: str) -> bool:
    """Return whether a certificate's name fits a host name. A star stands for one label (RFC 9525, 6.3)."""
    if pattern.startswith("*."):
        return name.partition(".")[2] == pattern[2:]
    return pattern == name


def days_left(ends: int, now: float | None = None) -> int:
    """Return whole days until a time. The number is negative if the time has passed."""
    return int((ends - (time.time() if now is None else now)) // 86400)
