"""Fifty changes of sites, certificates and apps while visitors ask all the time: none of them may notice."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import pytest

from tests.e2e.stack.program import SITE, Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.acme import AcmeServer
    from lab.pytest_lab import Host

MORE = [f"site-{number}.example.com" for number in range(16)]
_GONE = (ConnectionError, http.client.RemoteDisconnected, ssl.SSLEOFError, ssl.SSLZeroReturnError)


class Line(http.client.HTTPSConnection):
    """A connection to the site by its host's address, kept until either side ends it."""

    def __init__(self, address: str, trust: ssl.SSLContext) -> None:
        super().__init__(SITE, 443, timeout=15)
        self._address, self._trust = address, trust

    def connect(self) -> None:
        plain = socket.create_connection((self._address, 443), timeout=15)
        self.sock = self._trust.wrap_socket(plain, server_hostname=SITE)


@dataclass
class Visitors:
    """Eight visitors on connections that they keep open, as browsers do.

    A request that meets the end of a connection kept from before is sent once more on a new one, as
    every browser does with a GET: nginx closes what is idle when it takes up a new configuration. It is
    counted under `again`. On a new connection nothing may fail.
    """

    host: Host
    trust: ssl.SSLContext
    count: int = 0
    again: int = 0
    seen: set[bytes] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._visit) for _ in range(8)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _visit(self) -> None:
        line = Line(self.host.address, self.trust)
        while not self._over.wait(0.02):
            kept = line.sock is not None
            try:
                body = self._ask(line)
            except (OSError, http.client.HTTPException, AssertionError) as error:
                line.close()
                with self._lock:
                    if kept and isinstance(error, _GONE):
                        self.again += 1
                    else:
                        self.failed.append(repr(error))
            else:
                with self._lock:
                    self.count += 1
                    self.seen.add(body)
        line.close()

    def _ask(self, line: Line) -> bytes:
        line.request("GET", "/")
        answer = line.getresponse()
        body = answer.read()
        assert answer.status == 200, f"{answer.status}: {body[:100]!r}"
        assert len(body) == int(answer.headers["Content-Length"]), "cut off"
        return body


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory, module_host: Host, acme: AcmeServer) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("busy") / "program"
    made = Program(folder, module_host)
    (folder / "files").mkdir()
    (folder / "files" / "index.html").write_text("a file")
    made.set("acme", email="ops@example.com", server=acme.directory, caBundle=str(acme.bundle))
    # All visitors of this test come from one address.
    made.site(SITE, tls=None, limits={"requests": 0, "connections": 0})
    made.set("apps.hello", hostPort=None)
    made.up(timeout=600)
    yield made
    made.close()


def test_fifty_changes_lose_no_request(
    busy: Program, acme: AcmeServer, record_property: Callable[[str, object], None]
) -> None:
    host = busy.host
    lineage = host.run("ls /etc/letsencrypt/live | grep -v README").stdout.strip()
    serial = f"openssl x509 -noout -serial -in /etc/letsencrypt/live/{lineage}/cert.pem"
    first = host.run(serial).stdout
    with Visitors(host, ssl.create_default_context(cadata=acme.roots())) as visitors:
        # 16 sites more, each with a certificate of the stack's own authority.
        busy.set("sites", **{name: {"root": "files", "tls": "internal"} for name in MORE})
        busy.up(timeout=400)
        # An app that moves to another port, 16 sites with another header, a name more in the certificate.
        busy.set("apps.hello", image=busy.image("hello:2"))
        headers = {"X-Changed": "yes"}
        busy.set("sites", **{name: {"root": "files", "tls": "internal", "headers": headers} for name in MORE})
        busy.site(SITE, aliases=["www.example.com"])
        busy.up(timeout=400)
        second = host.run(serial).stdout
        # The timer's own unit, on a lineage that is made due.
        host.run(f"sed -i '1i renew_before_expiry = 3650 days' /etc/letsencrypt/renewal/{lineage}.conf")
        host.run("systemctl start certbot.service", timeout=180)
        third = host.run(serial).stdout
        # 16 sites less, and the app moves back.
        busy.set("sites", **dict.fromkeys(MORE))
        busy.set("apps.hello", image=busy.image("hello:1"))
        busy.up(timeout=400)
        time.sleep(1)
    assert len({first, second, third}) == 3, "three certificates"
    assert any(b"version 2" in body for body in visitors.seen), "the app did move"
    assert visitors.count > 1000
    assert visitors.failed == []
    record_property("requests", visitors.count)
    record_property("sent once more", visitors.again)
    assert visitors.again < visitors.count / 50
    busy.preview("--expect-no-changes")
