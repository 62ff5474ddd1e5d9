"""Certificate authorities for the hosts: Debian's pebble, which speaks ACME as Let's Encrypt does.

Each host has its own authority, which starts when a test or a stack needs it. To look up a name, the
authority asks its own DNS server. This server answers every name with the address of the authority's host.
The gateway's DNS gives the host itself the same answer (see ``gateway.py``). A second authority of a host has
``index`` 1. An authority forgets everything when it ends, and makes a new root certificate at the next start.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

from lab import debian, keys, network, registry
from lab.errors import LabError
from lab.network import REGISTRY_ADDRESS, ROUTER
from lab.places import LIVE, LOGS
from lab.processes import start, wait_for
from lab.state import locked, save

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from lab.processes import Process
    from lab.state import HostRecord, State

_FIRST_PORT = 14_000
_PORTS = 16  # ports of one host: four for each of its authorities
_DAYS_90 = 90 * 24 * 3600


@dataclass(frozen=True, slots=True)
class AcmeServer:
    """One authority of one host, running or not."""

    record: HostRecord
    index: int = 0

    @property
    def name(self) -> str:
        """The name of the authority's processes and log."""
        return f"acme-{self.record.name}-{self.index}"

    @property
    def directory(self) -> str:
        """The URL for certbot."""
        return f"https://{REGISTRY_ADDRESS.v4}:{self._port}/dir"

    @property
    def bundle(self) -> Path:
        """The file with the lab's CA, which signed the certificate of the authority's HTTPS server."""
        return keys.authority().certificate

    @property
    def log(self) -> str:
        """The authority's log so far, also from before a restart."""
        path = LOGS / f"{self.name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def orders(self) -> int:
        """The number of ordered certificates."""
        return len(re.findall(r"There are now \d+ orders in the db", self.log))

    @property
    def _port(self) -> int:
        return _FIRST_PORT + self.record.number * _PORTS + self.index * 4

    def roots(self) -> str:
        """Return the authority's root certificate, in PEM.

        Raises:
            LabError: the authority does not run.
        """
        try:
            text = _read(self._management("roots/0"), registry.trust()).decode()
        except (OSError, HTTPException) as error:
            raise LabError(f"the lab's ACME server {self.name} does not answer: {error}") from error
        return text

    def start(self, *, refuse_nonces: bool = False, resolver: str = "") -> None:
        """Start the authority unless it runs.

        Args:
            refuse_nonces: refuse every nonce. Let's Encrypt may refuse any, and so does pebble by default,
                one in twenty by chance. Here it is all or none.
            resolver: address and port of a DNS server that the authority uses instead of its own.
        """
        with locked() as state:
            ensure(state, self.record, self.index, refuse_nonces=refuse_nonces, resolver=resolver)

    def stop(self) -> None:
        """Stop the authority."""
        with locked() as state:
            for process in state.acme.pop(self.name, []):
                process.stop()

    def point(self, name: str, *, v4: tuple[str, ...] = (), v6: tuple[str, ...] = ()) -> None:
        """Give a host name other addresses, for the authority only.

        If no addresses are given for IPv4 or IPv6, the records of that family stay as they are.
        """
        for what, addresses in (("add-a", v4), ("add-aaaa", v6)):
            if addresses:
                self._dns(what, host=f"{name}.", addresses=list(addresses))

    def point_back(self, name: str) -> None:
        """Give a host name the addresses of its host again."""
        for what in ("clear-a", "clear-aaaa"):
            self._dns(what, host=f"{name}.")

    def _dns(self, what: str, **body: Any) -> None:
        # The authority's management uses plain HTTP, in the router's namespace.
        url = f"http://{REGISTRY_ADDRESS.v4}:{self._port + 3}/{what}"
        _read(Request(url, json.dumps(body).encode(), method="POST"))

    def _management(self, path: str) -> str:
        return f"https://{REGISTRY_ADDRESS.v4}:{self._port + 1}/{path}"

    def _answers(self) -> bool:
        with suppress(OSError, HTTPException):
            return bool(_read(self.directory, registry.trust()))
        return False


def ensure(
    state: State, record: HostRecord, index: int = 0, *, refuse_nonces: bool = False, resolver: str = ""
) -> AcmeServer:
    """Start an authority of a host unless it runs."""
    server = AcmeServer(record, index)
    running = state.acme.get(server.name, [])
    if running and all(process.alive() for process in running):
        return server
    for process in running:
        process.stop()
    state.acme[server.name] = _start(server, resolver, refuse_nonces=refuse_nonces)
    save(state)
    wait_for(server.name, state.acme[server.name][0], server._answers, 60)  # noqa: SLF001 - of this module
    return server


def of(record: HostRecord) -> AcmeServer:
    """Return the first authority of a host. Start the authority if needed."""
    with locked() as state:
        return ensure(state, record)


def stop(state: State, host: str | None = None) -> None:
    """Stop all authorities, or those of one host."""
    for name in [name for name in state.acme if host is None or name.rpartition("-")[0] == f"acme-{host}"]:
        for process in state.acme.pop(name):
            process.stop()
    # The next host of that name must not see the orders of this host.
    for log in LOGS.glob(f"acme-{host or '*'}-[0-9].log"):
        log.unlink()


def _read(what: str | Request, trust: ssl.SSLContext | None = None) -> bytes:
    with urlopen(what, timeout=60, context=trust) as answer:  # noqa: S310 - only the lab's own URLs
        body: bytes = answer.read()
    return body


def _start(server: AcmeServer, resolver: str, *, refuse_nonces: bool) -> list[Process]:
    address, port = network.on_segment(server.record.number), server._port  # noqa: SLF001 - of this module
    certificate, key = keys.registry_certificate()
    settings = LIVE / f"{server.name}.json"
    settings.write_text(
        json.dumps(
            {
                "pebble": {
                    "listenAddress": f"{REGISTRY_ADDRESS.v4}:{port}",
                    "managementListenAddress": f"{REGISTRY_ADDRESS.v4}:{port + 1}",
                    "certificate": str(certificate),
                    "privateKey": str(key),
                    "httpPort": 80,
                    "tlsPort": 443,
                    # Without this setting, certificates last five years and are never due for renewal.
                    "certificateValidityPeriod": _DAYS_90,
                }
            }
        )
    )
    inside = ["ip", "netns", "exec", ROUTER]
    names = debian.program("pebble", "/usr/bin/pebble-challtestsrv")
    # The DNS server has two ports: one for DNS over UDP and TCP, one for its management.
    listen, manage = (f"{REGISTRY_ADDRESS.v4}:{port + more}" for more in (2, 3))
    off = [f"-{what}=" for what in ("http01", "https01", "tlsalpn01")]
    dns = start(
        server.name,
        [
            *(*inside, str(names), "-dns01", listen, "-management", manage, *off),
            *("-defaultIPv4", address.v4, "-defaultIPv6", address.v6),
        ],
    )
    pebble = start(
        server.name,
        [
            *(*inside, str(debian.program("pebble", "/usr/bin/pebble"))),
            *("-config", str(settings), "-dnsserver", resolver or listen),
        ],
        {
            # pebble validates at once. The real authority waits, and validates from several places.
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_WFE_NONCEREJECT": "100" if refuse_nonces else "0",
            "PEBBLE_AUTHZREUSE": "0",
        },
    )
    return [pebble, dns]
