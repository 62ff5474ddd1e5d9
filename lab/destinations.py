"""Where the lab's gateway may go: the web, and the mirrors that this machine's apt is configured with.

A host of the lab belongs to whoever breaks into it. It shall not reach what listens on the developer's
machine or in the network behind it: a database on loopback, a router's pages, a cloud's metadata service. So
a name is resolved here, each address is judged, and one that passed is dialled: no second answer of the DNS
counts.
"""

from __future__ import annotations

import errno
import http.client
import ipaddress
import socket
import ssl
import urllib.request
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from http.client import HTTPResponse
    from urllib.request import Request

Mirrors = frozenset[tuple[str, int]]
"""Names and ports that may stand on a private address."""

_PORTS = {"http": 80, "https": 443}
# RFC 6052: an IPv4 address that a router of the network translates to.
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


class Refused(OSError):
    """The gateway may not go there."""


def mirrors(addresses: Iterable[str]) -> Mirrors:
    """Return the names and ports of the mirrors at these addresses; what is not http or https is none."""
    split = [urlsplit(address) for address in addresses]
    return frozenset(
        (each.hostname.lower(), each.port or _PORTS[each.scheme])
        for each in split
        if each.hostname and each.scheme in _PORTS
    )


def dial(name: str, port: int, timeout: float, mirrors: Mirrors) -> socket.socket:
    """Return a connection to ``name``, by an address that is public, or any if it is a mirror.

    Raises:
        Refused: the port is not that of http or https, or no address is public.
        OSError: the name does not resolve, or nothing answers.
    """
    mirror = (name.lower(), port) in mirrors
    if not mirror and port not in _PORTS.values():
        raise Refused(errno.EACCES, f"port {port} is neither http nor https")
    found = [each[4] for each in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)]
    usable = found if mirror else [place for place in found if public(str(place[0]))]
    if not usable:
        addresses = ", ".join(sorted({str(place[0]) for place in found}))
        raise Refused(errno.EACCES, f"{name} is {addresses}: no public address, and no mirror of apt")
    for place in usable:
        try:
            return socket.create_connection((str(place[0]), port), timeout)
        except OSError as error:
            last = error
    raise last


def public(address: str) -> bool:
    """Tell whether an address is one of the internet, and not this machine's own."""
    read = ipaddress.ip_address(address)
    if isinstance(read, ipaddress.IPv6Address):
        low = ipaddress.IPv4Address(int(read) & 0xFFFFFFFF) if read in _TRANSLATED else None
        inner = read.ipv4_mapped or read.sixtofour or low
        if inner:
            return public(str(inner))
    return read.is_global and not read.is_multicast and not _own(read)


def _own(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Tell whether this machine has the address: only then can a socket be bound to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def opener(mirrors: Mirrors) -> urllib.request.OpenerDirector:
    """Return what opens http and https addresses, and follows redirects, no further than `dial` goes.

    It knows no other scheme, such as file, and obeys no proxy of the environment, which would dial for it.
    """

    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            self.sock = dial(self.host, self.port, cast("float", self.timeout), mirrors)

    class Secure(http.client.HTTPSConnection):
        def connect(self) -> None:
            plain = dial(self.host, self.port, cast("float", self.timeout), mirrors)
            self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host)

    class PlainHandler(urllib.request.HTTPHandler):
        def http_open(self, req: Request) -> HTTPResponse:
            return self.do_open(cast("Any", Plain), req)

    class SecureHandler(urllib.request.HTTPSHandler):
        def https_open(self, req: Request) -> HTTPResponse:
            return self.do_open(cast("Any", Secure), req)

    made = urllib.request.OpenerDirector()
    for handler in (
        PlainHandler(),
        SecureHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        made.add_handler(handler)
    return made
