"""Check whether nginx on this host serves a site, with requests over loopback.

Port 80 gets a request for a path that certificate authorities use. nginx itself answers requests for such a
path, without app, password or log. Any answer proves that nginx serves the site. For an unknown name, nginx
closes the connection on port 80 and refuses the handshake on port 443.
"""

from __future__ import annotations

import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portcullis.agent import x509
from portcullis.components.nginx.facts import NAME, SERVED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from portcullis.components.nginx.facts import Probe

Address = tuple[str, int]

PATH = "/.well-known/acme-challenge/portcullis-probe"
_EACH = 5.0  # seconds
_ALL = 15.0  # seconds for all sites: otherwise each of 200 sites of a hanging nginx would take 5 seconds
_THREADS = 16
_BELOW_A_WILDCARD = "portcullis-probe"
_NAMES_SHOWN = 3
_LINE = 1024  # bytes; a line of a PEM file has 65
_LINES = 500  # lines of one certificate
_NO_NAME = "UNRECOGNIZED_NAME"


class NotServedError(Exception):
    """nginx does not serve a site. The text of the exception says why."""


@dataclass(frozen=True)
class Ports:
    """The addresses at which nginx listens, for HTTP and for HTTPS."""

    plain: Address
    tls: Address


def ask(probes: Mapping[str, Probe], ports: Ports) -> dict[str, str]:
    """Check all sites at once. Return ``served`` or the fault for each site. A fault raises no exception."""
    deadline = time.monotonic() + _ALL
    context = _context()

    def one(site: tuple[str, Probe]) -> str:
        name, probe = site
        if not NAME.fullmatch(name):
            return "Portcullis cannot check the site: its name is not a host name"
        # For a wildcard, check one of the names that it stands for.
        name = f"{_BELOW_A_WILDCARD}{name[1:]}" if name.startswith("*.") else name
        checks = (_plain, _tls) if probe.tls else (_plain,)
        faults = [_fault(check, (name, probe, ports, context), deadline) for check in checks]
        return "; ".join(fault for fault in faults if fault) or SERVED

    with ThreadPoolExecutor(min(_THREADS, len(probes) or 1)) as pool:
        return dict(zip(probes, pool.map(one, probes.items()), strict=True))


def _fault(check: Callable[..., None], about: tuple[object, ...], deadline: float) -> str:
    left = min(_EACH, deadline - time.monotonic())
    if left <= 0:
        return "nginx is too slow: other sites used up the time"
    try:
        check(*about, left)
    except NotServedError as fault:
        return str(fault)
    except (OSError, ValueError) as error:
        # Report any other error as a fault of this site: it must not hide the other sites.
        return f"Portcullis cannot check the site ({type(error).__name__})"
    return ""


def _plain(name: str, probe: Probe, ports: Ports, context: ssl.SSLContext, limit: float) -> None:
    del probe, context
    with _connected(ports.plain, limit) as line:
        try:
            line.sendall(f"GET {PATH} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode("ascii"))
            begins = line.recv(5)
        except TimeoutError:
            raise NotServedError(f"nginx does not answer on port {ports.plain[1]}") from None
        except OSError:
            begins = b""
    if not begins:
        raise NotServedError(f"nginx does not know the site's name on port {ports.plain[1]}")
    if not b"HTTP/".startswith(begins):
        raise NotServedError(f"the program on port {ports.plain[1]} does not speak HTTP")


def _tls(name: str, probe: Probe, ports: Ports, context: ssl.SSLContext, limit: float) -> None:
    port = ports.tls[1]
    wanted = _leaf(probe.certificate) if probe.certificate else None
    with _connected(ports.tls, limit) as line:
        try:
            with context.wrap_socket(line, server_hostname=name) as secure:
                shown = secure.getpeercert(binary_form=True) or b""
        except TimeoutError:
            raise NotServedError(f"nginx does not answer on port {port}") from None
        except ssl.SSLError as error:
            if _NO_NAME in str(error.reason):
                raise NotServedError(f"nginx does not know the site's name on port {port}") from None
            why = (error.reason or "the connection ends early").lower().replace("_", " ")
            raise NotServedError(f"the TLS handshake on port {port} failed: {why}") from None
        except OSError:
            raise NotServedError(
                f"the TLS handshake on port {port} failed: the server closes the connection"
            ) from None
    if wanted is not None and shown != wanted:
        raise NotServedError(f"nginx shows the wrong certificate on port {port}: {_other(shown, wanted)}")


def _connected(address: Address, limit: float) -> socket.socket:
    try:
        return socket.create_connection(address, timeout=limit)
    except TimeoutError:
        raise NotServedError(f"nothing answers on port {address[1]}") from None
    except OSError:
        raise NotServedError(f"nothing listens on port {address[1]}") from None


def _context() -> ssl.SSLContext:
    # We send nothing and trust nothing: we only compare the certificate, whoever signed it.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    # nginx serves a site with a short key, too. Another check reports the key.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def _leaf(path: str) -> bytes:
    """Return the first certificate of a file.

    Other lines may be a key, so do not keep or show those lines.
    """
    lines: list[bytes] = []
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - line by line
            for line in iter(lambda: file.readline(_LINE), b""):
                if lines or b"-----BEGIN CERTIFICATE-----" in line:
                    lines.append(line)
                if lines and (b"-----END CERTIFICATE-----" in line or len(lines) > _LINES):
                    break
        leaf = x509.first_of(b"".join(lines))
        x509.parse(leaf)
    except FileNotFoundError:
        raise NotServedError(f"the site's certificate {path} does not exist") from None
    except OSError:
        raise NotServedError(f"the agent cannot read the site's certificate {path}") from None
    except ValueError:
        raise NotServedError(f"the file {path} contains no valid certificate") from None
    return leaf


def _other(shown: bytes, wanted: bytes) -> str:
    """Describe the wrong certificate that nginx shows."""
    try:
        there, ours = x509.parse(shown), x509.parse(wanted)
    except ValueError:
        return "another certificate"
    if set(there.names) != set(ours.names):
        names = ", ".join(there.names[:_NAMES_SHOWN]) or "no name"
        more = len(there.names) - _NAMES_SHOWN
        return f"a certificate for {names}{f' and {more} more' if more > 0 else ''}"
    return "an older certificate" if there.begins < ours.begins else "another certificate for the same names"
