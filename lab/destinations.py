"""Lets the lab's gateway connect only to the web and to the mirrors of this machine's apt.

An attacker may control a host of the lab. The host must not reach services of the developer's machine or of
its network. Such services are a database on loopback, a router's pages or a cloud's metadata service. So we
resolve a name here, check each address, and connect only to an address that passed the check. We never
resolve the name a second time, because the second answer may be another address.
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
"""The names and ports of mirrors. The gateway connects to a mirror even if its address is private."""

_PORTS = {"http": 80, "https": 443}
# RFC 6052: a router of the network translates these to IPv4 addresses.
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


class Refused(OSError):
    """The gateway may not connect to this address."""


def mirrors(addresses: Iterable[str]) -> Mirrors:
    """Return the names and ports of the mirrors at these addresses.

    URLs of other schemes than http and https are left out.
    """
    split = [urlsplit(address) for address in addresses]
    return frozenset(
        (each.hostname.lower(), each.port or _PORTS[each.scheme])
        for each in split
        if each.hostname and each.scheme in _PORTS
    )


def dial(name: str, port: int, timeout: float, mirrors: Mirrors) -> socket.socket:
    """Connect to a public address of the host ``name``, and return the connection.

    For a mirror, a private address is allowed too.

    Raises:
        Refused: the port is not that of http or https, or no address is public.
        OSError: the name does not resolve, or nothing answers.
    """
    mirror = (name.lower(), port) in mirrors
    if not mirror and port not in _PORTS.values():
        raise Refused(
            errno.EACCES,
            f"the lab refuses port {port}: its hosts may connect only to the ports of HTTP and HTTPS",
        )
    found = [each[4] for each in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)]
    usable = found if mirror else [place for place in found if public(str(place[0]))]
    if not usable:
        addresses = ", ".join(sorted({str(place[0]) for place in found}))
        raise Refused(
            errno.EACCES, f"the lab refuses {name}: the name has no public address, only {addresses}"
        )
    for place in usable:
        try:
            return socket.create_connection((str(place[0]), port), timeout)
        except OSError as error:
            last = error
    raise last


def public(address: str) -> bool:
    """Tell whether an address is on the internet and does not belong to this machine."""
    read = ipaddress.ip_address(address)
    if isinstance(read, ipaddress.IPv6Address):
        low = ipaddress.IPv4Address(int(read) & 0xFFFFFFFF) if read in _TRANSLATED else None
        inner = read.ipv4_mapped or read.sixtofour or low
        if inner:
            return public(str(inner))
    return read.is_global and not read.is_multicast and not _own(read)


def _own(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Tell whether this machine has the address. Only an address of this machine can be bound to a socket."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def opener(mirrors: Mirrors) -> urllib.request.OpenerDirector:
    """Return an opener for URLs with http and https. It follows redirects, and connects only with `dial`.

    The opener supports no other scheme, such as file. The opener ignores the environment variables for a
    proxy, because connections through a proxy would bypass `dial`.
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
