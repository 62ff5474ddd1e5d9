"""Tests the shop of examples/app on a real host: visitors, forbidden access, secrets, crashes, a rotation.

The settings are those of `make demo`. The host belongs to this test file.
"""

from __future__ import annotations

import functools
import http.client
import json
import os
import signal
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Self

import pytest

from lab import acme, hosts, scan
from tests.app.visitor import Visitor
from tests.e2e.host.test_host_secrets import everything_under, spellings
from tests.e2e.host.watch import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from selenium.webdriver import Chrome

    from lab.state import HostRecord
    from tests.e2e.stack.program import Program

SITE = "shop.example.com"
STORES = (6379, 27017)
STRIPE = "sk_live_planted-0123456789"


@pytest.fixture(scope="module")
def shop(make_deployed: Callable[[str], Program]) -> Program:
    made = make_deployed("shop")
    made.site(SITE, tls=None)
    # Another app on the same host, which uses no store.
    made.set(
        "apps.stranger", image=made.image("hello:1"), port=8080, hostPort=8099, health="/healthz", memory=32
    )
    made.encrypt("secrets.stripeKey", STRIPE)
    made.set("apps.api", secrets=["stripeKey"])
    made.up()
    return made


class Visit(http.client.HTTPSConnection):
    """An HTTPS connection to the shop at the host's address, which checks the certificate of the shop."""

    def __init__(self, shop: Program) -> None:
        self._trust = ssl.create_default_context(cadata=roots(shop.host.record))
        super().__init__(SITE, 443, timeout=120, context=self._trust)
        self._address = (shop.host.address, 443)

    def connect(self) -> None:
        plain = socket.create_connection(self._address, timeout=120)
        self.sock = self._trust.wrap_socket(plain, server_hostname=SITE)


@functools.cache
def roots(host: HostRecord) -> str:
    """Return the root certificates of a host's certificate authority in the lab.

    The cache has the whole record of the host as its key, because a later host with the same name has other
    roots.
    """
    return acme.of(host).roots()


def ask(shop: Program, path: str, body: object = None) -> tuple[int, object]:
    """Send a request to the API through nginx. Each request opens a new connection."""
    connection = Visit(shop)
    try:
        text = None if body is None else json.dumps(body)
        headers = {"Content-Type": "application/json"}
        connection.request("GET" if body is None else "POST", path, text, headers)
        answer = connection.getresponse()
        read = answer.read()
        return answer.status, json.loads(read) if read[:1] in b"[{" else None
    finally:
        connection.close()


def names(shop: Program) -> set[str]:
    status, said = ask(shop, "/api/items")
    assert status == 200
    assert isinstance(said, dict)
    return {item["name"] for item in said["items"]}


def wait_until_well(shop: Program, timeout: float = 300) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            code, answer = ask(shop, "/api/items")
            if code == 200:
                return
            last = f"{code} {answer}"
        except (OSError, http.client.HTTPException) as fault:
            last = repr(fault)
        if time.monotonic() > deadline:
            pytest.fail(f"the shop did not come back; the last answer: {last}\n{why_not_well(shop)}")
        time.sleep(0.5)


def why_not_well(shop: Program) -> str:
    """Return the state of the host's containers and units, for the message of a failed test."""
    look = (
        "uptime; docker ps -a; systemctl is-active nginx docker;"
        " systemctl --failed --no-pager; systemctl list-jobs --no-pager;"
        " for name in $(docker ps -aq); do docker logs --tail 15 $name 2>&1; done;"
        " journalctl -b -p warning -n 40 --no-pager"
    )
    return shop.host.run(look, check=False).stdout


class Writers:
    """Visitors who add items all the time. `kept` has the items that the shop acknowledged."""

    def __init__(self, shop: Program, prefix: str, pause: float) -> None:
        self._shop, self._prefix, self._pause = shop, prefix, pause
        self.kept: set[str] = set()
        self.failed: list[str] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(3)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def wait(self) -> None:
        """Wait until three more attempts have ended."""
        wanted = len(self.kept) + len(self.failed) + 3
        wait_for("the writers", lambda: len(self.kept) + len(self.failed) >= wanted)

    def _write(self, number: int) -> None:
        count = 0
        while not self._over.wait(self._pause):
            count += 1
            name = f"{self._prefix}-{number}-{count}"
            try:
                status, _ = ask(self._shop, "/api/items", {"name": name})
            except Exception as error:  # noqa: BLE001 - a thread that died would be no failure
                self.failed.append(f"{name}: {error!r}")
                continue
            if status == 201:
                self.kept.add(name)
            else:
                self.failed.append(f"{name}: {status}")


def test_a_visitor_adds_an_item_and_sees_it_again_and_the_websocket_ticks(
    shop: Program, open_browser: Callable[[Mapping[str, str]], Chrome]
) -> None:
    visitor = Visitor(open_browser({SITE: shop.host.address}), f"https://{SITE}/")
    visitor.sees_two_ticks()
    visitor.add("a pot of tea")
    visitor.reload()
    visitor.sees("a pot of tea")
    assert visitor.faults() == []


@pytest.mark.once
def test_the_stores_are_reached_by_their_app_and_by_nobody_else(shop: Program) -> None:
    engine, record = shop.host.engine, shop.host.record
    listed = shop.docker("ps", "--format", "{{.Names}}").split()
    (api,) = [name for name in listed if name.startswith("api-")]
    addresses = {"172.17.0.1"}
    for store in ("redis", "mongo"):
        networks = shop.inspect(store)["NetworkSettings"]["Networks"]
        assert set(networks) == {store, f"{store}-shared", f"api.{store}"}
        addresses |= {network["IPAddress"] for network in networks.values()}
    for network, members in (("redis-shared", 1), ("api.redis", 2)):
        joined = json.loads(shop.docker("network", "inspect", network))[0]["Containers"]
        assert len(joined) == members, "the store, and its app where the two are alone"
    shop.docker("run", "-d", "--name", "foreign", shop.image("hello:1"))
    try:
        asked = dict.fromkeys(addresses, STORES)
        places = {
            "neighbour": scan.neighbour(record),
            "a foreign container": scan.container(engine, record, "foreign"),
            "an app that uses no store": scan.container(engine, record, "stranger"),
        }
        for who, place in places.items():
            for address, found in scan.tcp(place, asked).items():
                assert not found.open, f"{who} reaches {sorted(found.open)} of {address}"
        assert not scan.tcp(scan.internet(), {shop.host.address: STORES})[shop.host.address].open
        # The same question finds them from where they are meant to be reached.
        found = scan.tcp(scan.container(engine, record, api), asked)
        assert {port for answers in found.values() for port in answers.open} == set(STORES)
        assert sum(bool(answers.open) for answers in found.values()) == len(STORES), "by one network each"
        # A store reaches nothing outside, and its app does.
        outside = {"198.51.100.2": [5000]}

        def goes_out(name: str) -> bool:
            place = scan.container(engine, record, name)
            # On a busy machine an answer may be late: no answer counts when it is none five times.
            return any(scan.tcp(place, outside)["198.51.100.2"].open for _ in range(5))

        assert goes_out(api)
        assert not goes_out("redis")
        assert not goes_out("mongo")
    finally:
        shop.docker("rm", "-f", "foreign")


@pytest.mark.once
def test_the_host_itself_gets_no_further_than_the_greeting(shop: Program) -> None:
    asking = "exec 3<>/dev/tcp/172.17.0.1/6379; printf 'PING\\r\\n' >&3; head -1 <&3"
    said = shop.host.run(["timeout", "5", "bash", "-c", asking])
    assert said.stdout.startswith("-NOAUTH")


@pytest.mark.once
def test_no_secret_is_in_clear_anywhere_but_in_its_file(shop: Program) -> None:
    exported = json.loads(shop.run("stack", "export", "--show-secrets").output)["deployment"]["resources"]
    secrets = [
        resource["outputs"]["value"]["plaintext"].strip('"')
        for resource in exported
        if resource["type"].endswith(":GeneratedSecret")
    ]
    assert len(secrets) >= 4
    secrets.append(STRIPE)
    host = shop.host
    containers = shop.docker("ps", "-aq").split()
    scripts = {
        "processes": "ps auxww; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'",
        "journal": "journalctl --sync; journalctl --no-pager -o cat",
        "histories": "cat /root/.*history /home/*/.*history",
        "logs": "find /var/log -type f -size -2M -exec cat {} + | tr -d '\\0'",
        "records": "find /var/lib/portcullis /run -xdev -type f -size -1M -exec cat {} + | tr -d '\\0'",
        "configuration": "find /etc -type f -not -path '*/secrets/*' -exec cat {} + | tr -d '\\0'",
        "container logs": f"for each in {' '.join(containers)}; do docker logs $each 2>&1; done",
    }
    looked_at = {where: host.run(f"{{ {it}; }} 2>/dev/null; true").stdout for where, it in scripts.items()}
    looked_at |= {
        "docker inspect": shop.docker("inspect", *containers, *shop.docker("image", "ls", "-q").split()),
        "state": everything_under(shop.folder / "state"),
        "what pulumi printed": shop.run("stack", "output").output + shop.run("stack", "export").output,
    }
    for where, text in looked_at.items():
        for secret in secrets:
            for spelling in spellings(secret):
                assert spelling not in text, f"{where} holds a secret"
    # They are found where they are meant to be, by the same look.
    files = host.run("cat /etc/portcullis/secrets/*/*").stdout
    assert all(secret in files for secret in secrets)
    mode = host.run("stat -c '%u %a' /etc/portcullis/secrets/api-secrets/stripeKey").stdout
    assert mode == "1000 400\n"


def test_nothing_to_change_is_nothing_changed(shop: Program) -> None:
    # The first look after a create fills in what Docker answers for what nobody set: no change.
    shop.preview("--expect-no-changes")


@pytest.mark.once
def test_what_was_acknowledged_survives_kills_of_stores_engine_and_host(shop: Program) -> None:
    host = shop.host
    with Writers(shop, "crash", pause=0.6) as writers:
        for process in ("redis-server", "ferretdb", "dockerd"):
            writers.wait()
            host.run(f"pkill -9 -x {process} || pkill -9 -f {process}")
            writers.wait()
            wait_until_well(shop)
        writers.wait()
        os.kill(hosts.first_process(host.engine, host.record), signal.SIGKILL)
        wait_for(
            "Docker to have seen the host end",
            lambda: " running " not in hosts.summary(host.engine, host.record),
        )
        hosts.boot(host.engine, host.record)
        hosts.wait(host.engine, host.record)
        wait_until_well(shop)
    assert writers.kept
    assert writers.kept <= names(shop)


@pytest.mark.once
def test_rotation_loses_no_request(shop: Program) -> None:
    url = "/etc/portcullis/secrets/api-secrets/mongo_shop_url"
    before = shop.host.read(url)
    shop.set("stores.redis", rotate="2026-12")
    shop.set("stores.mongo", databases={"shop": {"rotate": "2026-12"}})
    with Writers(shop, "rotate", pause=1.5) as writers:
        writers.wait()
        shop.up()
        writers.wait()
    assert writers.failed == []
    assert writers.kept
    after = shop.host.read(url)
    assert ("//shop-1:" in before, "//shop-2:" in after) == (True, True)
    assert writers.kept <= names(shop)
    shop.preview("--expect-no-changes")
