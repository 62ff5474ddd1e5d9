"""Fifty changes of a running nginx, each as the agent makes it, while visitors send requests all the time."""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from portcullis.components.nginx import render as nginx
from portcullis.components.nginx.args import LimitsArgs
from tests.canned import until
from tests.golden.nginx_sites import API, LIVE, a_site, changed, lets_encrypt
from tests.load import HANG, Load
from tests.proxy import catalogue, nginx_process, roots
from tests.proxy.certificates import issue
from tests.proxy.edge import serving, trusting

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.proxy.edge import Edge

APP, FILES = "app.example.com", "www.example.com"
# No limits, because all visitors come from one address here.
_SITES = {
    APP: a_site(APP, {"/": API}, limits=LimitsArgs(requests=0, burst=0, connections=0)),
    FILES: a_site(FILES, root=f"/var/www/{FILES}", limits=LimitsArgs(requests=0, burst=0, connections=0)),
}
_PAGE = "<!doctype html><title>page</title>" + "<p>A page of some length.</p>" * 3000
CHANGES = 50


def secured(site: nginx.Site) -> nginx.Site:
    return replace(site, certificate=lets_encrypt(site.name))


class Changes:
    """Makes the changes, one after the other. Each change gives nginx a new configuration."""

    def __init__(self, edge: Edge, root: roots.Root) -> None:
        self.edge, self.root = edge, root
        self.leaf = b""
        self.done = 0

    def apply(self, number: int) -> None:
        (self.add, self.renew, self.move, self.alter, self.remove)[number % 5](number)
        self.reload()

    def add(self, number: int) -> None:
        site = secured(a_site(f"site-{number}.example.com", {"/": API}))
        for path, text in catalogue.beside([site], issue([site.name])).items():
            self.write(path, text)
        self.site(site)

    def remove(self, number: int) -> None:
        self.edge.files.path(nginx.site_path(f"site-{number - 4}.example.com")).unlink()

    def renew(self, _: int) -> None:
        fresh = issue([APP])
        self.leaf = ssl.PEM_cert_to_DER_cert(fresh.chain)
        for path, text in catalogue.beside([secured(_SITES[APP])], fresh).items():
            self.write(path, text)

    def move(self, number: int) -> None:
        self.site(secured(replace(_SITES[APP], apps={"/": LIVE if number % 2 else API})))

    def alter(self, number: int) -> None:
        self.site(secured(changed(_SITES[FILES], headers={"X-Number": str(number)})))

    def site(self, site: nginx.Site) -> None:
        self.write(nginx.site_path(site.name), nginx.site(f"nginx-{site.name}", site, self.root.dialect))

    def write(self, path: str, text: str) -> None:
        self.edge.files.put(f"{path}.new", text)
        self.edge.files.path(f"{path}.new").rename(self.edge.files.path(path))

    def reload(self) -> None:
        tested = nginx_process.check(self.edge.files)
        assert tested.returncode == 0, tested.stderr
        os.kill(self.edge.pid, signal.SIGHUP)
        self.done += 1


@pytest.fixture
def changes(tmp_path: Path) -> Iterator[Changes]:
    root = roots.root("debian-13")
    sites = [secured(site) for site in _SITES.values()]
    texts = {**catalogue.files(root, sites), f"/var/www/{FILES}/index.html": _PAGE}
    with serving(root, tmp_path, texts) as edge:
        yield Changes(edge, root)


def visitors(edge: Edge) -> Load:
    return load(edge, [(APP, "/"), (FILES, "/")])


def patient(edge: Edge) -> Load:
    """Return visitors whose requests are slow in the app, so that some requests run during each reload."""
    return load(edge, [(APP, "/?wait=0.3")])


def load(edge: Edge, targets: list[tuple[str, str]]) -> Load:
    trust = trusting()

    def connect(host: str) -> socket.socket:
        return edge.connect(sni=host, context=trust, seconds=HANG)

    return Load(connect, targets)


def test_fifty_changes_lose_nothing(changes: Changes, record_property: Callable[[str, object], None]) -> None:
    with visitors(changes.edge) as quick, patient(changes.edge) as slow:
        for number in range(CHANGES):
            # Some requests for each configuration, or a reload would meet nobody.
            quick.wait(20)
            slow.wait(1)
            changes.apply(number)
        until(lambda: changes.edge.ask(FILES)["X-Number"] == str(CHANGES - 2))
        quick.wait(20)
        slow.wait(1)
    record_property("requests", (quick.answered, slow.answered))
    record_property("sent once more", (quick.again, slow.again))
    record_property("slowest, seconds", (quick.longest, slow.longest))
    assert quick.failed + slow.failed == []
    assert changes.done == CHANGES
    # Each reload ends each connection once at most.
    assert quick.again <= CHANGES * quick.visitors * len(quick.targets)
    assert all(changes.edge.apps[port].asked for port in (API.port, LIVE.port)), (
        "the app has moved between both ports"
    )
    with changes.edge.connect(sni=APP) as line:
        assert line.getpeercert(binary_form=True) == changes.leaf, "nginx shows the newest certificate"


def test_the_load_notices_workers_that_do_not_finish_their_requests(changes: Changes) -> None:
    with patient(changes.edge) as load:
        load.wait(1)
        # More than once: on a busy machine, no request may be running at that moment.
        deadline = time.monotonic() + HANG
        while not load.failed and time.monotonic() < deadline:
            time.sleep(0.5)
            for pid in changes.edge.run("pgrep", "-P", str(changes.edge.pid)).stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
    assert load.answered
    assert load.failed


def test_the_load_notices_a_site_that_is_gone_for_a_moment(changes: Changes) -> None:
    path = changes.edge.files.path(nginx.site_path(FILES))
    text = path.read_text()
    with visitors(changes.edge) as load:
        load.wait(1)
        path.unlink()
        changes.reload()
        until(lambda: load.failed)
        path.write_text(text)
        changes.reload()
        load.wait(1)
    assert load.failed
    assert all(FILES in line for line in load.failed)
