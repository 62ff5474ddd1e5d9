"""Tests how nginx serves sites on Debian 12 and 13.

The module traps.py has the checks that fail with copied configurations.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import bcrypt
import pytest

from tests.canned import until
from tests.proxy import catalogue, hosts, namespace, roots
from tests.proxy.edge import Edge, send, serving, shake_hands, trusting
from tests.proxy.hosts import API
from tests.proxy.nginx_process import NEIGHBOUR, OFFICE
from tests.proxy.traps import (
    APP,
    CHALLENGE,
    STATIC,
    WWW,
    handshake,
    login,
    preflight,
    refused,
    secured,
    speaks,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

HASHED = bcrypt.hashpw(hosts.PASSWORD.encode(), bcrypt.gensalt(6)).decode()


@pytest.fixture(scope="module", params=["debian-12", "debian-13"])
def edge(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    root = roots.root(request.param)
    guarded = {site.passwords: f"{hosts.USER}:{HASHED}\n" for site in hosts.SITES if site.passwords}
    texts = {**catalogue.files(root, hosts.SITES), **guarded, **hosts.FILES}
    with serving(root, tmp_path_factory.mktemp("nginx"), texts) as edge:
        yield edge


@pytest.mark.parametrize("host", hosts.HTTPS_NAMES)
def test_every_site_redirects_http_to_https_on_the_same_host(host: str, edge: Edge) -> None:
    found = edge.ask(host, "/a?b=%20c", tls=False)
    assert (found.status, found["Location"]) == (308, f"https://{host}/a?b=%20c")


@pytest.mark.parametrize("host", hosts.HTTPS_NAMES)
def test_every_site_has_the_headers_whatever_it_answers(host: str, edge: Edge) -> None:
    for method in ("GET", "POST", "DELETE"):
        secured(edge.ask(host, "/nothing/here", method=method))


@pytest.mark.parametrize("host", [site.name for site in hosts.SITES])
def test_every_site_answers_the_authority(host: str, edge: Edge) -> None:
    found = edge.ask(host, CHALLENGE, tls=False)
    assert (found.status, found["Content-Type"], found.text) == (200, "text/plain", "the answer")


def test_a_missing_challenge_is_not_redirected_and_reaches_no_app(edge: Edge) -> None:
    for host in (APP, "plain.example.com", "plain-files.example.com", "unknown.example.net"):
        assert edge.ask(host, f"{CHALLENGE}-other", tls=False).status == 404


def test_an_alias_serves_the_same_content(edge: Edge) -> None:
    for host in ("web.example.com", "eu.apps.example.com"):
        assert edge.ask(host, "/a").told["target"] == "/a"


def test_the_longest_beginning_of_a_path_wins(edge: Edge) -> None:
    before = len(edge.apps[2020].asked)
    edge.ask(WWW, "/ws/a")
    edge.ask(WWW, "/api/.hidden")  # an app's paths are its own
    assert edge.apps[2020].asked[before:] == ["GET /ws/a"]
    assert edge.apps[2019].asked[-1] == "GET /api/.hidden"


def test_a_redirect_keeps_the_path_unless_it_has_its_own(edge: Edge) -> None:
    assert edge.ask("short.example.com", "/a?b")["Location"] == "https://www.example.com/a?b"
    assert edge.ask("go.example.com", "/a?b")["Location"] == "https://www.example.com/start?from=go"


def test_a_former_name_over_http_is_redirected_to_the_plain_site(edge: Edge) -> None:
    assert edge.ask("former.example.com", "/a", tls=False)["Location"] == "http://plain.example.com/a"


def test_a_plain_site_sends_no_headers_about_https(edge: Edge) -> None:
    found = edge.ask("plain.example.com", tls=False)
    assert found.reached("X-Forwarded-Proto") == ["http"]
    assert found.reached("X-Forwarded-Port") == ["80"]
    assert found["Strict-Transport-Security"] == ""
    assert found["X-Content-Type-Options"] == "nosniff"


def test_a_plain_site_behind_a_proxy_accepts_websockets_of_its_own_pages(edge: Edge) -> None:
    for scheme in ("http", "https"):
        with contextlib.closing(edge.connect(tls=False)) as sock:
            head = shake_hands(sock, "plain.example.com", headers={"Origin": f"{scheme}://plain.example.com"})
            assert head.startswith(b"HTTP/1.1 101")


def test_an_app_sends_its_own_policy(edge: Edge) -> None:
    policy = "default-src 'self' https://cdn.example.net"
    found = edge.ask(APP, f"/?header=Content-Security-Policy:{policy.replace(' ', '%20')}")
    assert found["Content-Security-Policy"] == policy


def test_a_policy_of_the_settings_replaces_the_apps_policy(edge: Edge) -> None:
    found = edge.ask("nocsp.example.com", "/?header=Content-Security-Policy:default-src%20*")
    assert found["Content-Security-Policy"] == "default-src 'self'"


def test_files_have_the_strict_policy(edge: Edge) -> None:
    for host, path in ((WWW, "/"), (STATIC, "/"), (STATIC, "/missing")):
        assert edge.ask(host, path)["Content-Security-Policy"].startswith(
            "default-src 'none'; script-src 'self'"
        )


def test_a_site_shows_its_own_page_for_missing_files(edge: Edge) -> None:
    for path in ("/missing", "/assets/missing.css"):
        found = edge.ask(STATIC, path)
        assert found.status == 404
        assert "not here" in found.text
        assert found["Cache-Control"] == ""
    assert edge.ask(STATIC, "/404.html").status == 404


def test_a_folder_shows_its_index(edge: Edge) -> None:
    found = edge.ask(STATIC, "/docs/")
    assert (found.status, found["Cache-Control"]) == (200, "no-cache")
    assert "docs" in found.text


def test_a_single_page_application_answers_every_path_except_missing_assets(edge: Edge) -> None:
    assert "the app" in edge.ask(WWW, "/cart/17").text
    assert edge.ask(WWW, "/robots.txt").text == "User-agent: *\n"
    assert edge.ask(WWW, "/assets/none.js").status == 404
    assert edge.ask(WWW, "/.well-known/security.txt").text.startswith("Contact:")


def test_the_settings_may_decide_about_caching(edge: Edge) -> None:
    for path in ("/", "/assets/a.css"):
        assert edge.ask("kept.example.com", path)["Cache-Control"] == "public, max-age=60"


def test_a_path_with_a_tilde_reaches_its_app(edge: Edge) -> None:
    assert edge.ask("tilde.example.com", "/~alice/a").told["target"] == "/~alice/a"


def test_a_path_cannot_leave_the_folder(edge: Edge) -> None:
    for path in ("/../../etc/passwd", "/assets/..%2f..%2f..%2fetc/passwd", "/assets../.env"):
        assert b"root:" not in edge.ask(WWW, path).body
        assert b"SECRET" not in edge.ask(WWW, path).body


def test_a_site_with_users_asks_for_a_password(edge: Edge) -> None:
    host = "guarded.example.com"
    unknown = edge.ask(host)
    assert (unknown.status, unknown["WWW-Authenticate"]) == (401, f'Basic realm="{host}"')
    assert edge.ask(host, "/", login(hosts.USER, "wrong")).status == 401
    assert edge.ask(host, "/", login("bob", hosts.PASSWORD)).status == 401
    assert edge.ask(host, "/", login(hosts.USER, hosts.PASSWORD)).status == 200
    assert handshake(edge, host, {}).startswith(b"HTTP/1.1 401")
    assert handshake(edge, host, login(hosts.USER, hosts.PASSWORD)).startswith(b"HTTP/1.1 101")


def test_a_site_with_networks_refuses_other_clients(edge: Edge) -> None:
    host = "office.example.com"
    assert edge.ask(host).status == 403
    assert edge.ask(host, source=OFFICE).status == 200
    assert handshake(edge, host, {}).startswith(b"HTTP/1.1 403")
    assert preflight(edge, host, hosts.ALLOWED).status == 204


def test_network_password_and_maintenance_work_together(edge: Edge) -> None:
    host = "shut.example.com"
    assert edge.ask(host, tls=False).status == 403
    assert edge.ask(host, tls=False, source=OFFICE).status == 401
    assert edge.ask(host, "/", login(hosts.USER, hosts.PASSWORD), tls=False, source=OFFICE).status == 200


def test_a_site_without_websockets_passes_none_on(edge: Edge) -> None:
    found = edge.ask("deaf.example.com", "/", {"Upgrade": "websocket", "Connection": "Upgrade"})
    assert (found.status, found.reached("Upgrade")) == (200, [])


def test_a_websocket_works_beside_reused_connections(edge: Edge) -> None:
    with (
        contextlib.closing(edge.connect(sni=APP)) as socket_of_it,
        contextlib.closing(edge.connect(sni=APP)) as other,
    ):
        assert shake_hands(socket_of_it, APP).startswith(b"HTTP/1.1 101")
        assert [send(other, APP).status for _ in range(3)] == [200] * 3
        socket_of_it.sendall(b"between")
        assert socket_of_it.recv(100) == b"between"
        assert send(other, APP).status == 200


def test_a_slow_app_gives_504_and_a_stopped_app_502(edge: Edge) -> None:
    assert edge.ask("slow.example.com", "/?wait=60").status == 504
    assert edge.ask(APP, "/down/").status == 502


def test_each_address_has_its_own_limit(edge: Edge) -> None:
    host = "limited.example.com"
    assert any(edge.ask(host).status == 429 for _ in range(100))
    assert edge.ask(host, source=NEIGHBOUR).status == 200


def test_sites_speak_http2(edge: Edge) -> None:
    for host in (APP, WWW, "short.example.com"):
        resolve = f"{host}:443:198.51.100.7"
        done = edge.run(
            *("curl", "-sk", "--http2", "--resolve", resolve, "-o", "/dev/null"),
            *("-w", "%{http_version} %{http_code}", f"https://{host}/"),
        )
        assert done.stdout.split()[0] == "2", (host, done.stdout, done.stderr)


def test_a_client_of_http2_may_still_open_a_websocket(edge: Edge) -> None:
    # For a WebSocket, a browser asks for HTTP/1.1 by ALPN.
    speaks(edge, APP, "/any")


def told_streams(edge: Edge, host: str) -> int:
    """Return how many requests at a time a server allows on a connection (RFC 9113, 6.5.2)."""
    context = trusting()
    context.set_alpn_protocols(["h2"])
    with contextlib.closing(edge.connect(sni=host, context=context)) as sock:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        stream = sock.makefile("rb")
        head = stream.read(9)
        assert head[3] == 4, "the server's first frame is not SETTINGS"
        body = stream.read(int.from_bytes(head[:3]))
    settings = struct.iter_unpack(">HI", body)
    return next(value for name, value in settings if name == 3)


def test_a_browser_is_told_how_much_it_may_ask_for_at_a_time(edge: Edge) -> None:
    # The browser then holds further requests back. Otherwise nginx would refuse parts of a page.
    assert told_streams(edge, "crowded.example.com") == 2
    assert told_streams(edge, APP) == 100


def test_requests_of_http2_count_as_connections(edge: Edge) -> None:
    host, app = "crowded.example.com", edge.apps[API.port]
    curl = ["curl", "-skZ", "--http2", "--resolve", f"{host}:443:198.51.100.7", "-w", "%{http_code} "]
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(edge.run, *curl, *["-o", "/dev/null", f"https://{host}/?hold=1"] * 2)
        until(lambda: app.asked.count("GET /?hold=1") == 2)
        assert edge.ask(host).status == 429
        app.go.set()
        assert held.result().stdout.split() == ["200", "200"]


def test_http_1_0_and_a_bare_address_get_no_answer(edge: Edge) -> None:
    with contextlib.closing(edge.connect(tls=False)) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert sock.recv(100) == b""
    assert refused(edge, "198.51.100.7", tls=False)


def test_sites_answer_over_ipv6(edge: Edge) -> None:
    with namespace.inside(edge.pid):
        sock = socket.create_connection(("::1", 80), timeout=5)
    with contextlib.closing(sock):
        assert send(sock, APP, "/a")["Location"] == f"https://{APP}/a"


def test_logs_are_where_logrotate_looks(edge: Edge) -> None:
    edge.ask(APP, "/for-the-log")
    with contextlib.suppress(http.client.RemoteDisconnected):
        edge.ask("unknown.example.net", "/scan", tls=False)
    edge.ask(APP, "/down/")
    for file, line in (
        (f"{APP}.access.log", '"GET /for-the-log HTTP/1.1" 200'),
        ("unknown-host.access.log", '"GET /scan HTTP/1.1" 444'),
        (f"{APP}.error.log", "connect() failed"),
    ):
        assert line in edge.log(file, line)
    assert not [each for each in edge.files.path("var/log/nginx").iterdir() if each.is_dir()]


def test_the_authority_leaves_no_line_in_the_log(edge: Edge) -> None:
    edge.ask(APP, CHALLENGE, tls=False)
    edge.ask(APP, "/after-the-challenge")
    assert "acme-challenge" not in edge.log(f"{APP}.access.log", "/after-the-challenge")
