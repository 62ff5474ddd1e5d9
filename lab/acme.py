"""Certificate authorities for the hosts: Debian's pebble, which speaks ACME as Let's Encrypt does.

Each host has its own, started when it is asked for: pebble looks a name up in its own DNS server, where every
name is that one host. For the host itself the gateway's DNS says the same (see ``gateway.py``). A second one
(``index`` 1) stands for another authority. It forgets everything when it ends: its roots are made anew.
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
_PORTS = 16  # of one host: for each of its authorities four
_DAYS_90 = 90 * 24 * 3600


@dataclass(frozen=True, slots=True)
class AcmeServer:
    """One authority of one host, running or not."""

    record: HostRecord
    index: int = 0

    @property
    def name(self) -> str:
        """What its processes and its log are called."""
        return f"acme-{self.record.name}-{self.index}"

    @property
    def directory(self) -> str:
        """The URL that certbot is given."""
        return f"https://{REGISTRY_ADDRESS.v4}:{self._port}/dir"

    @property
    def bundle(self) -> Path:
        """The file with the CA that its own server is trusted by."""
        return keys.authority().certificate

    @property
    def log(self) -> str:
        """What it has logged so far, restarts included."""
        path = LOGS / f"{self.name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def orders(self) -> int:
        """How many certificates were asked for."""
        return len(re.findall(r"There are now \d+ orders in the db", self.log))

    @property
    def _port(self) -> int:
        return _FIRST_PORT + self.record.number * _PORTS + self.index * 4

    def roots(self) -> str:
        """Return the certificate, in PEM, that what it issues ends in.

        Raises:
            LabError: it does not run.
        """
        try:
            text = _read(self._management("roots/0"), registry.trust()).decode()
        except (OSError, HTTPException) as error:
            raise LabError(f"{self.name} does not answer: {error}") from error
        return text

    def start(self, *, reject_nonces: int = 0, resolver: str = "") -> None:
        """Start it unless it runs; so many percent of good nonces are refused, as the real one may.

        None are without being asked for: certbot repeats a request but once, so that at pebble's own five
        percent one run in fifty fails, and whatever counts orders with it.

        It asks `resolver` (address and port) for names instead of its own DNS, if there is one.
        """
        with locked() as state:
            ensure(state, self.record, self.index, reject_nonces=reject_nonces, resolver=resolver)

    def stop(self) -> None:
        """Stop it, as when it is down for everybody."""
        with locked() as state:
            for process in state.acme.pop(self.name, []):
                process.stop()

    def point(self, name: str, *, v4: tuple[str, ...] = (), v6: tuple[str, ...] = ()) -> None:
        """Let a name have other addresses, for the authority only; a family with none stays as it is."""
        for what, addresses in (("add-a", v4), ("add-aaaa", v6)):
            if addresses:
                self._dns(what, host=f"{name}.", addresses=list(addresses))

    def point_back(self, name: str) -> None:
        """Let a name be its host again."""
        for what in ("clear-a", "clear-aaaa"):
            self._dns(what, host=f"{name}.")

    def _dns(self, what: str, **body: Any) -> None:
        # Its management speaks plain HTTP, in the router's namespace like everything here.
        url = f"http://{REGISTRY_ADDRESS.v4}:{self._port + 3}/{what}"
        _read(Request(url, json.dumps(body).encode(), method="POST"))

    def _management(self, path: str) -> str:
        return f"https://{REGISTRY_ADDRESS.v4}:{self._port + 1}/{path}"

    def _answers(self) -> bool:
        with suppress(OSError, HTTPException):
            return bool(_read(self.directory, registry.trust()))
        return False


def ensure(
    state: State, record: HostRecord, index: int = 0, *, reject_nonces: int = 0, resolver: str = ""
) -> AcmeServer:
    """Start an authority of a host unless it runs."""
    server = AcmeServer(record, index)
    running = state.acme.get(server.name, [])
    if running and all(process.alive() for process in running):
        return server
    for process in running:
        process.stop()
    state.acme[server.name] = _start(server, reject_nonces, resolver)
    save(state)
    wait_for(server.name, state.acme[server.name][0], server._answers, 60)  # noqa: SLF001 - of this module
    return server


def of(record: HostRecord) -> AcmeServer:
    """Return the first authority of a host, started if need be."""
    with locked() as state:
        return ensure(state, record)


def stop(state: State, host: str | None = None) -> None:
    """Stop all, or those of one host."""
    for name in [name for name in state.acme if host is None or name.rpartition("-")[0] == f"acme-{host}"]:
        for process in state.acme.pop(name):
            process.stop()
    # The next host of that name has none of its predecessor's orders.
    for log in LOGS.glob(f"acme-{host or '*'}-[0-9].log"):
        log.unlink()


def _read(what: str | Request, trust: ssl.SSLContext | None = None) -> bytes:
    with urlopen(what, timeout=5, context=trust) as answer:  # noqa: S310 - what is opened here is the lab's own
        body: bytes = answer.read()
    return body


def _start(server: AcmeServer, reject_nonces: int, resolver: str) -> list[Process]:
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
                    # Without it they last five years, and none is ever due.
                    "certificateValidityPeriod": _DAYS_90,
                }
            }
        )
    )
    inside = ["ip", "netns", "exec", ROUTER]
    names = debian.program("pebble", "/usr/bin/pebble-challtestsrv")
    # Two ports: DNS takes TCP too.
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
            # At once, where the real one looks from several places after a while.
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_WFE_NONCEREJECT": str(reject_nonces),
            "PEBBLE_AUTHZREUSE": "0",
        },
    )
    return [pebble, dns]
