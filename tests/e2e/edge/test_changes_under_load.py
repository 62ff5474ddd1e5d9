"""Fifty changes of sites, certificates and apps while visitors send requests: no visitor may notice a change.

Three deployments and a renewal make the changes.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from lab import acme as authorities
from tests.e2e.stack.program import SITE, Program
from tests.load import Load

if TYPE_CHECKING:
    from lab.acme import AcmeServer
    from lab.pytest_lab import Host

MORE = [f"site-{number}.example.com" for number in range(16)]


@dataclass(frozen=True, slots=True)
class Visitor:
    """A client that connects to the host by its address, and trusts the host's certificate authority."""

    host: Host
    trust: ssl.SSLContext

    def connect(self, name: str) -> ssl.SSLSocket:
        plain = socket.create_connection((self.host.address, 443), timeout=120)
        return self.trust.wrap_socket(plain, server_hostname=name)

    def page(self) -> str:
        with self.connect(SITE) as line:
            line.sendall(f"GET / HTTP/1.1\r\nHost: {SITE}\r\nConnection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: line.recv(4096), b"")).decode()


@pytest.fixture(scope="module")
def acme(deployed: Program) -> AcmeServer:
    return authorities.of(deployed.host.record)


@pytest.fixture(scope="module")
def busy(deployed: Program, acme: AcmeServer) -> Program:
    files = deployed.folder / "files"
    files.mkdir()
    (files / "index.html").write_text("a file")
    deployed.set("acme", email="ops@example.com", server=acme.directory, caBundle=str(acme.bundle))
    # All visitors of this test have the same address, so the limits for one address must be off.
    deployed.site(SITE, tls=None, limits={"requests": 0, "connections": 0})
    deployed.set("apps.hello", hostPort=None)
    deployed.up()
    return deployed


def test_fifty_changes_in_three_deployments_and_a_renewal_lose_no_request(
    busy: Program, acme: AcmeServer
) -> None:
    host = busy.host
    lineage = host.run("ls /etc/letsencrypt/live | grep -v README").stdout.strip()
    serial = f"openssl x509 -noout -serial -in /etc/letsencrypt/live/{lineage}/cert.pem"
    first = host.run(serial).stdout
    trust = ssl.create_default_context(cadata=acme.roots())
    trust.options |= ssl.OP_IGNORE_UNEXPECTED_EOF  # see tests.load
    visitor = Visitor(host, trust)
    with Load(visitor.connect, [(SITE, "/")], pause=0.02) as load:
        # 16 sites more, each with a certificate of the stack's own authority.
        busy.set("sites", **{name: {"root": "files", "tls": "internal"} for name in MORE})
        busy.up()
        load.wait(20)
        # An app that moves to another port, 16 sites with another header, a name more in the certificate.
        busy.set("apps.hello", image=busy.image("hello:2"))
        headers = {"X-Changed": "yes"}
        busy.set("sites", **{name: {"root": "files", "tls": "internal", "headers": headers} for name in MORE})
        busy.site(SITE, aliases=["www.example.com"])
        busy.up()
        load.wait(20)
        second = host.run(serial).stdout
        assert "version 2" in visitor.page()
        # The timer's own unit, on a lineage that is made due.
        host.run(f"sed -i '1i renew_before_expiry = 3650 days' /etc/letsencrypt/renewal/{lineage}.conf")
        host.run("systemctl start certbot.service")
        load.wait(20)
        third = host.run(serial).stdout
        # 16 sites less, and the app moves back.
        busy.set("sites", **dict.fromkeys(MORE))
        busy.set("apps.hello", image=busy.image("hello:1"))
        busy.up()
        load.wait(20)
        assert "version 1" in visitor.page()
    assert len({first, second, third}) == 3, "there have to be three certificates"
    assert load.failed == []
    busy.preview("--expect-no-changes")
