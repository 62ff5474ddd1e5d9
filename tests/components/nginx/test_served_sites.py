"""The check that nginx serves its sites, with a real nginx."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components.nginx.on_host import served_sites, site_probe
from tests.agent.removal import Removal
from tests.canned import until
from tests.components.nginx.nginx_process import Nginx, pair
from tests.on_host import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portcullis.agent.errors import AgentError
    from portcullis.agent.machine import Machine

UNIT = "nginx.service"
A, B = "a.example.com", "b.example.com"
BEGIN, END = "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n"


class Edge:
    """A client for the check that one nginx serves its sites.

    `sites` maps each name to the file of its certificate, or to None.
    """

    def __init__(self, machine: Machine, nginx: Nginx) -> None:
        self.nginx = nginx
        self.sites: dict[str, Path | None] = {}
        local = "127.0.0.1"
        self.machine = dataclasses.replace(
            machine, run=nginx, http=(local, nginx.http), https=(local, nginx.https), nginx_log=nginx.log,
            settle=0.3,
        )  # fmt: skip
        self.client = Client(self.machine)

    def desired(self) -> dict[str, Any]:
        return {
            "unit": UNIT,
            "sites": dict.fromkeys(self.sites, "served"),
            "probes": {
                name: {"tls": path is not None, "certificate": str(path or "")}
                for name, path in self.sites.items()
            },
            "reads": {str(self.nginx.conf): "", "packages nginx": "1"},
            "stale": False,
        }

    def serve(self, name: str, certificate: Path | None = None, more: str = "") -> None:
        self.nginx.site(name, certificate, more)
        self.sites[name] = certificate

    def put(self) -> dict[str, Any]:
        self.nginx.calls.clear()
        return self.client.on("put", "nginx.served_sites", UNIT, self.desired())

    def refused(self) -> AgentError:
        self.nginx.calls.clear()
        return self.client.refused("put", "nginx.served_sites", UNIT, self.desired())

    def facts(self) -> dict[str, Any]:
        spec = {"unit": UNIT, "reads": [str(self.nginx.conf)], "probes": self.desired()["probes"]}
        return self.client.look("nginx.served_sites", UNIT, spec)

    def said(self, name: str = A) -> str:
        said: str = self.facts()["sites"][name]
        return said.replace(str(self.nginx.https), "443").replace(str(self.nginx.http), "80")


@pytest.fixture
def edge(machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Edge]:
    monkeypatch.setattr(served_sites, "_WAIT", 400.0)  # two minutes: a busy machine is slow to reload
    made = Edge(machine, Nginx(tmp_path / "nginx"))
    yield made
    made.client.close()
    made.nginx.kill()


@pytest.fixture
def running(edge: Edge, tmp_path: Path) -> Edge:
    """One site that nginx serves."""
    edge.serve(A, pair(tmp_path / "a.pem", A))
    edge.put()
    return edge


@pytest.fixture
def impatient(running: Edge, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - `running` comes first
    """Wait only twelve seconds for a reload that fails."""
    monkeypatch.setattr(served_sites, "_WAIT", 40.0)


def test_no_file_is_removed_between_a_reload_and_the_check_of_the_sites(running: Edge) -> None:
    running.serve(B)
    order = Removal(running.machine).during(
        running.client, lambda client: client.on("put", "nginx.served_sites", UNIT, running.desired())
    )
    assert order[0] == "reload"
    assert order.index("removed") > 1, "the file was removed before the sites were checked"


def test_nginx_is_started_for_its_sites_and_left_alone_when_it_serves_them(
    edge: Edge, tmp_path: Path
) -> None:
    edge.serve(A, pair(tmp_path / "a.pem", A))
    edge.serve(B)
    assert edge.facts() == {
        "exists": True,
        "revision": "",
        "stale": False,
        "sites": dict.fromkeys((A, B), "nginx does not run: it is inactive"),
        "broken": "",
        "undeclared": {},
        "fixes": {},
    }
    done = edge.put()
    assert [step["property"] for step in done["steps"]] == [f"sites.{A}", f"sites.{B}"]
    assert list(dict.fromkeys(edge.nginx.calls)) == ["test", "start"]
    assert done["facts"]["sites"] == {A: "served", B: "served"}
    assert edge.put()["steps"] == []
    assert edge.nginx.calls == []


def test_without_nginx_each_site_says_that_it_is_not_installed(edge: Edge) -> None:
    edge.serve(A)
    edge.nginx.unit = "other.service"
    assert edge.facts()["sites"] == {A: "nginx is not installed"}


def test_a_new_site_shows_as_stale_and_is_loaded_without_a_restart(running: Edge, tmp_path: Path) -> None:
    main = running.nginx.pid
    running.serve(B, pair(tmp_path / "b.pem", B))
    assert running.facts()["stale"] is True
    assert (
        running.said(B)
        == "nginx does not know the site's name on port 80; nginx does not know the site's name on port 443"
    )
    done = running.put()
    assert [step["property"] for step in done["steps"]] == ["stale", f"sites.{B}"]
    assert list(dict.fromkeys(running.nginx.calls)) == ["test", "reload"]
    assert done["facts"].pop("revision")
    assert done["facts"] == {
        "exists": True, "stale": False, "sites": {A: "served", B: "served"}, "broken": "", "undeclared": {},
        "fixes": {},
    }  # fmt: skip
    assert running.nginx.pid == main


def test_a_site_without_tls_is_checked_on_port_80_only(running: Edge) -> None:
    running.serve("plain.example.com")
    running.put()
    assert running.said("plain.example.com") == "served"


def test_after_the_put_only_the_present_configuration_answers(running: Edge) -> None:
    """nginx confirms a reload before it loads the files."""
    for number in range(10):
        running.serve(A, running.sites[A], f"location = /n {{ return 200 '{number}.'; }}")
        running.put()
        for _ in range(8):
            with socket.create_connection(("127.0.0.1", running.nginx.http), 5) as line:
                line.sendall(f"GET /n HTTP/1.0\r\nHost: {A}\r\n\r\n".encode())
                with line.makefile("rb") as stream:
                    assert stream.read().endswith(f"{number}.".encode())


def test_a_long_connection_does_not_delay_the_reload(running: Edge) -> None:
    with socket.create_connection(("127.0.0.1", running.nginx.http), 5) as line:
        line.sendall(b"GET / HTTP/1.1\r\n")
        until(lambda: is_read(line))  # the worker waits for the rest
        running.nginx.site(A, running.sites[A], "location = /new { return 204; }")
        running.put()
        line.sendall(f"Host: {A}\r\nConnection: close\r\n\r\n".encode())
        assert line.recv(12) == b"HTTP/1.1 200"


def is_read(line: socket.socket) -> bool:
    """Return whether the server has accepted a connection and read all that was sent."""
    ports = [f"{line.getpeername()[1]:04X}", f"{line.getsockname()[1]:04X}"]
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()]
    return any([row[1][-4:], row[2][-4:]] == ports and row[4].endswith(":00000000") for row in rows)


def test_a_configuration_that_nginx_refuses_is_not_loaded_and_the_sites_stay(running: Edge) -> None:
    (running.nginx.conf / "broken.conf").write_text("serve { }\n")
    time.sleep(0.02)
    error = running.refused()
    assert (error.code, error.prop) == ("refused", "stale")
    broken = running.nginx.conf / "broken.conf"
    said = f'unknown directive "serve" in {broken}:1'
    assert error.message == f"{broken} was changed by hand, and nginx refuses its configuration: {said}"
    assert "test" in running.nginx.calls
    assert "reload" not in running.nginx.calls
    assert running.said() == "served"
    facts = running.facts()
    assert (facts["stale"], facts["broken"]) == (True, said)


@pytest.mark.usefixtures("impatient")
def test_a_taken_port_passes_the_test_and_is_reported_from_the_log(running: Edge) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        running.nginx.site("taken", more=f"listen 127.0.0.1:{port};")
        error = running.refused()
    assert (error.code, error.prop) == ("not-converged", "stale")
    assert "still serves its former configuration" in error.message
    assert f"bind() to 127.0.0.1:{port} failed (98: " in error.detail
    assert running.said() == "served"


@pytest.mark.usefixtures("impatient")
def test_every_site_that_nginx_does_not_serve_is_named_with_the_reason(running: Edge) -> None:
    running.sites["gone.example.com"] = running.sites[A]
    running.sites["lost.example.com"] = None
    error = running.refused()
    assert (error.code, error.prop) == ("not-served", "sites.gone.example.com")
    assert error.message == (
        "nginx does not serve 2 of 3 sites after the reload: gone.example.com, lost.example.com"
    )
    assert "gone.example.com: nginx does not know the site's name on port" in error.detail
    assert "lost.example.com: nginx does not know the site's name on port" in error.detail
    assert A not in error.detail


@pytest.mark.usefixtures("impatient")
def test_no_line_about_visitors_is_in_an_error(running: Edge) -> None:
    running.nginx.log.write_text(running.nginx.log.read_text() + "[emerg] of yesterday\n")

    def visit() -> None:
        with running.nginx.log.open("a") as log:
            log.write("[error] client: 203.0.113.9\n")

    running.nginx.on["reload"] = visit
    running.sites["gone.example.com"] = None
    detail = running.refused().detail
    assert "203.0.113.9" not in detail
    assert "yesterday" not in detail


def test_a_renewed_certificate_that_is_not_loaded_yet_is_drift(running: Edge, tmp_path: Path) -> None:
    pair(tmp_path / "a.pem", A, begins=1)
    assert running.said() == "nginx shows the wrong certificate on port 443: an older certificate"
    assert [step["property"] for step in running.put()["steps"]] == [f"sites.{A}"]
    assert running.said() == "served"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((B,), f"nginx shows the wrong certificate on port 443: a certificate for {B}"),
        (
            (A, B, "c.t", "d.t", "e.t"),
            f"nginx shows the wrong certificate on port 443: a certificate for {A}, {B}, c.t and 2 more",
        ),
        ((A,), "nginx shows the wrong certificate on port 443: another certificate for the same names"),
    ],
)  # fmt: skip
def test_a_wrong_certificate_is_described_by_its_names(
    running: Edge, tmp_path: Path, names: tuple[str, ...], said: str
) -> None:
    other = pair(tmp_path / "other.pem", *names)
    running.serve(A, other)
    running.put()
    running.sites[A] = tmp_path / "a.pem"
    assert running.said() == said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "the site's certificate {path} does not exist"),
        ("", "the file {path} contains no valid certificate"),
        (f"{BEGIN}%%%\n{END}", "the file {path} contains no valid certificate"),
        (f"{BEGIN}AAAA\n{END}", "the file {path} contains no valid certificate"),
        ("-----BEGIN PRIVATE KEY-----\nMIGHAg\n", "the file {path} contains no valid certificate"),
    ],
)  # fmt: skip
def test_an_invalid_certificate_file_is_a_fault_of_its_site(
    running: Edge, tmp_path: Path, content: str | None, said: str
) -> None:
    path = tmp_path / "odd.pem"
    if content is not None:
        path.write_text(content)
    running.sites[A] = path
    running.serve(B)
    assert running.said() == said.format(path=path)


def test_a_key_in_a_certificate_file_is_not_kept(tmp_path: Path) -> None:
    path = pair(tmp_path / "a.pem", A)
    whole = path.read_bytes()
    assert site_probe._leaf(str(path)) == site_probe.x509.first_of(whole)
    key, _, chain = whole.partition(b"-----END PRIVATE KEY-----\n")
    path.write_bytes(chain + b"x" * 10_000_000 + key)
    assert site_probe._leaf(str(path)) == site_probe.x509.first_of(whole)


def test_a_wildcard_is_checked_with_a_name_below_it(running: Edge, tmp_path: Path) -> None:
    running.serve("*.shop.example.com", pair(tmp_path / "w.pem", "*.shop.example.com"))
    assert "does not know" in running.said("*.shop.example.com")
    running.put()
    assert running.said("*.shop.example.com") == "served"


@pytest.mark.parametrize(
    "name", ["x" * 64 + ".example.com", "a..example.com", ".", "é.example.com", "a\n.example.com"]
)
def test_a_name_that_cannot_be_checked_is_a_fault_of_its_own_site(running: Edge, name: str) -> None:
    running.sites[name] = running.sites[A]
    assert running.said(name) != "served"
    assert running.said(A) == "served"


def answer(line: socket.socket, how: str) -> None:
    with line, contextlib.suppress(OSError):
        if how == "hangs":
            while line.recv(4096):
                pass
        elif how == "other":
            line.sendall(b"220 mail.example.com\r\n")
            line.recv(100)


@pytest.fixture
def odd(edge: Edge) -> Iterator[Callable[[str], Edge]]:
    """Make another program listen in nginx's place, with odd answers."""
    with contextlib.ExitStack() as open_:

        def make(how: str) -> Edge:
            for port in (edge.nginx.http, edge.nginx.https):
                server = open_.enter_context(socket.create_server(("127.0.0.1", port)))

                def serve(server: socket.socket = server) -> None:
                    with contextlib.suppress(OSError):
                        while True:
                            threading.Thread(
                                target=answer, args=(server.accept()[0], how), daemon=True
                            ).start()

                threading.Thread(target=serve, daemon=True).start()
                open_.callback(server.shutdown, socket.SHUT_RDWR)
            edge.nginx.active = "active"
            return edge

        yield make


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("hangs", "nginx does not answer on port 80; nginx does not answer on port 443"),
        ("closes", "nginx does not know the site's name on port 80; the TLS handshake on port 443 failed: "),
        ("other", "the program on port 80 does not speak HTTP; the TLS handshake on port 443 failed: "),
    ],
)
def test_another_program_on_nginxs_ports_is_recognised(
    odd: Callable[[str], Edge], monkeypatch: pytest.MonkeyPatch, how: str, said: str, tmp_path: Path
) -> None:
    monkeypatch.setattr(site_probe, "_EACH", 0.3 if how == "hangs" else 60)
    edge = odd(how)
    edge.sites = {A: pair(tmp_path / "a.pem", A)}
    assert edge.said().startswith(said)


def test_checking_many_sites_of_a_hanging_nginx_takes_a_limited_time(
    odd: Callable[[str], Edge], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_probe, "_EACH", 0.3)
    monkeypatch.setattr(site_probe, "_ALL", 0.6)
    edge = odd("hangs")
    edge.sites = {f"s{number}.example.com": None for number in range(100)}
    sites = edge.facts()["sites"]
    assert "too slow" in sites["s99.example.com"]


def test_a_port_where_nothing_listens_is_named(edge: Edge) -> None:
    edge.nginx.active = "active"
    edge.sites = {A: None}
    assert edge.said() == "nothing listens on port 80"


def test_two_hundred_sites_are_checked(edge: Edge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(site_probe, "_ALL", 120.0)
    certificate = pair(tmp_path / "all.pem", "*.example.com")
    for number in range(200):
        edge.sites[f"s{number}.example.com"] = certificate
    names = " ".join(edge.sites)
    edge.nginx.site("all", certificate)
    conf = edge.nginx.conf / "all.conf"
    conf.write_text(conf.read_text().replace("server_name all", f"server_name {names}"))
    edge.put()
    assert set(edge.facts()["sites"].values()) == {"served"}


def test_nginx_does_not_stay_stale_after_the_clock_was_set_back(
    running: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    future = time.time_ns() + 3600 * 10**9
    monkeypatch.setattr(served_sites, "newest_change", lambda _: future)
    assert running.facts()["stale"] is True
    running.put()
    assert running.facts()["stale"] is False


def test_a_failed_nginx_is_reset_and_started(running: Edge) -> None:
    running.nginx.kill()
    running.nginx.active = "failed"
    assert running.said() == "nginx does not run: it is failed"
    running.put()
    assert list(dict.fromkeys(running.nginx.calls)) == ["test", "reset-failed", "start"]


def test_delete_leaves_nginx_as_it_is(running: Edge) -> None:
    running.nginx.calls.clear()
    assert running.client.on("remove", "nginx.served_sites", UNIT, running.desired())["done"] == "kept"
    assert running.nginx.calls == []
    assert running.said() == "served"
