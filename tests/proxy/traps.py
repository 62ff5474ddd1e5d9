"""Common faults of nginx configurations.

Each trap has a check. Our configuration passes the check. A configuration that people often copy fails it. A
check takes any `Edge` and looks only at answers. A check does not know which configuration it tests.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import math
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.canned import until
from tests.proxy import namespace
from tests.proxy.edge import Edge, Response, send, shake_hands, trusting
from tests.proxy.hosts import ALLOWED, API, PASSWORD, TOKEN, USER
from tests.proxy.nginx_process import OFFICE

if TYPE_CHECKING:
    from collections.abc import Callable

APP, WWW, STATIC = "app.example.com", "www.example.com", "static.example.com"
CHALLENGE = f"/.well-known/acme-challenge/{TOKEN}"
SECURITY = ("Strict-Transport-Security", "X-Content-Type-Options", "X-Frame-Options")
ACAO = "Access-Control-Allow-Origin"


@dataclass(frozen=True, slots=True)
class Trap:
    """A check, and the configuration that fails it."""

    name: str
    naive: str
    check: Callable[[Edge], None]


TRAPS: list[Trap] = []


def trap(naive: str) -> Callable[[Callable[[Edge], None]], Callable[[Edge], None]]:
    """Register a check under its name."""

    def register(check: Callable[[Edge], None]) -> Callable[[Edge], None]:
        TRAPS.append(Trap(check.__name__, naive, check))
        return check

    return register


# Redirects.


@trap("article-redirect.conf")
def redirects_do_not_loop(edge: Edge) -> None:
    tls, host, path = False, APP, "/a?b=c"
    for _ in range(5):
        found = edge.ask(host, path, tls=tls)
        if found.status not in (301, 302, 307, 308):
            break
        scheme, _, rest = found["Location"].partition("://")
        host, _, path = rest.partition("/")
        tls, path = scheme == "https", f"/{path}"
    assert found.status == 200
    assert found.told["target"] == "/a?b=c"


@trap("article-redirect.conf")
def a_post_stays_a_post_after_the_redirect(edge: Edge) -> None:
    # Browsers turn a POST into a GET at 301 and 302, but not at 308.
    assert edge.ask(APP, method="POST", body=b"x", tls=False).status in (307, 308)


@trap("canonical-first.conf")
def the_redirect_to_https_comes_before_the_redirect_to_the_main_name(edge: Edge) -> None:
    assert edge.ask("example.com", "/a", tls=False)["Location"] == "https://example.com/a"
    second = edge.ask("example.com", "/a")
    assert second["Location"] == "https://www.example.com/a"


@trap("canonical-first.conf")
def hsts_is_on_the_redirect_to_the_main_name(edge: Edge) -> None:
    assert edge.ask("example.com")["Strict-Transport-Security"] == "max-age=63072000"


@trap("canonical-first.conf")
def hsts_is_never_sent_over_http(edge: Edge) -> None:
    for host in ("example.com", WWW, APP):
        assert edge.ask(host, tls=False)["Strict-Transport-Security"] == ""


# Names that are not a site.


@trap("first-site-serves-all.conf")
def an_unknown_host_gets_no_answer_over_http(edge: Edge) -> None:
    for host in ("unknown.example.net", "203.0.113.1", "APP.example.com.evil.test"):
        assert refused(edge, host, tls=False), host


@trap("first-site-serves-all.conf")
def an_unknown_name_gets_no_handshake(edge: Edge) -> None:
    assert alert(edge, "unknown.example.net") == "TLSV1_UNRECOGNIZED_NAME"


@trap("first-site-serves-all.conf")
def a_client_without_a_name_gets_no_handshake(edge: Edge) -> None:
    assert alert(edge, None) == "TLSV1_UNRECOGNIZED_NAME"


@trap("first-site-serves-all.conf")
def an_unknown_host_after_a_handshake_for_a_site_is_refused(edge: Edge) -> None:
    assert edge.ask("unknown.example.net", sni=APP).status == 421


# The certificate authority.


@trap("redirect-swallows.conf")
def the_authority_is_answered_for_a_site(edge: Edge) -> None:
    for host in (APP, WWW):
        assert edge.ask(host, CHALLENGE, tls=False).text == "the answer"


@trap("redirect-swallows.conf")
def the_authority_is_answered_before_a_site_exists(edge: Edge) -> None:
    assert edge.ask("new.example.com", CHALLENGE, tls=False).text == "the answer"


@trap("redirect-swallows.conf")
def the_authority_is_answered_despite_password_network_and_maintenance(edge: Edge) -> None:
    found = edge.ask("shut.example.com", CHALLENGE, tls=False)
    assert (found.status, found.text) == (200, "the answer")


# Headers.


@trap("header-in-a-location.conf")
def a_header_in_a_location_cancels_no_other_header(edge: Edge) -> None:
    found = edge.ask(WWW, "/assets/index-4f2a.js")
    assert "immutable" in found["Cache-Control"]
    secured(found)


@trap("header-in-a-location.conf")
def an_error_answer_has_the_headers_too(edge: Edge) -> None:
    for path, status in (("/?status=404", 404), ("/?status=500", 500), ("/down/", 502)):
        found = edge.ask(APP, path)
        assert found.status == status
        secured(found)


@trap("header-in-a-location.conf")
def a_header_that_the_app_sends_too_is_sent_once(edge: Edge) -> None:
    sent = "&".join(f"header={name}:app" for name in (*SECURITY, "Referrer-Policy", "Permissions-Policy"))
    found = edge.ask(APP, f"/?{sent}")
    assert found.status == 200
    secured(found)


@trap("bare.conf")
def the_app_does_not_reveal_its_framework(edge: Edge) -> None:
    found = edge.ask(APP, "/?header=X-Powered-By:Express")
    assert (found.status, found["X-Powered-By"]) == (200, "")


@trap("bare.conf")
def nginx_does_not_reveal_its_version(edge: Edge) -> None:
    found = edge.ask(APP, "/down/")
    assert found["Server"] == "nginx"
    assert "nginx/" not in found.text


# Claims of clients.


@trap("article.conf")
def a_client_cannot_fake_its_address(edge: Edge) -> None:
    claims = {"X-Forwarded-For": "10.0.0.1", "X-Real-IP": "10.0.0.1", "Forwarded": "for=10.0.0.1"}
    found = edge.ask(APP, "/", claims)
    assert found.reached("X-Forwarded-For") == ["198.51.100.7"]
    assert found.reached("X-Real-IP") == ["198.51.100.7"]
    assert found.reached("Forwarded") == []


@trap("trust-everybody.conf")
def an_address_in_a_clients_header_is_not_believed(edge: Edge) -> None:
    found = edge.ask(APP, "/", {"X-Forwarded-For": "10.0.0.1", "CF-Connecting-IP": "10.0.0.2"})
    assert found.reached("X-Forwarded-For") == ["198.51.100.7"]
    assert found.reached("CF-Connecting-IP") == []


@trap("trust-everybody.conf")
def a_client_cannot_fake_its_scheme_and_host(edge: Edge) -> None:
    found = edge.ask(APP, "/", {"X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.test"})
    assert found.reached("X-Forwarded-Proto") == ["https"]
    assert found.reached("X-Forwarded-Host") == [APP]


@trap("article.conf")
def the_app_learns_the_real_port(edge: Edge) -> None:
    assert edge.ask(APP).reached("X-Forwarded-Port") == ["443"]


@trap("article.conf")
def the_app_learns_the_host_of_the_request_line(edge: Edge) -> None:
    with contextlib.closing(edge.connect(sni=APP)) as sock:
        found = send(sock, "evil.example", f"https://{APP}/")
    assert found.status == 200
    assert found.reached("Host") == [APP]


@trap("bare.conf")
def the_app_learns_the_visitors_host_and_not_the_upstreams(edge: Edge) -> None:
    assert edge.ask(APP).reached("Host") == [APP]


@trap("article.conf")
def httpoxy(edge: Edge) -> None:
    assert edge.ask(APP, "/", {"Proxy": "http://evil.test"}).reached("Proxy") == []


@trap("close.conf")
def an_upgrade_to_another_protocol_reaches_no_app(edge: Edge) -> None:
    # https://bishopfox.com/blog/h2c-smuggling-request
    found = edge.ask(APP, "/", {"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings"})
    assert found.status == 200
    assert found.reached("Upgrade") == []


# Connections to the app.


@trap("close.conf")
def connections_to_the_app_are_reused(edge: Edge) -> None:
    # One visitor's connection is with one worker, which keeps its own connections to the app.
    edge.ask(APP)
    before = edge.apps[2019].connections
    with contextlib.closing(edge.connect(sni=APP)) as sock:
        for _ in range(20):
            assert send(sock, APP).status == 200
    assert edge.apps[2019].connections - before <= 1


@trap("upgrade-always.conf")
def an_ordinary_request_asks_for_no_upgrade(edge: Edge) -> None:
    assert edge.ask(APP).reached("Connection") in ([], ["keep-alive"])


@trap("bare.conf")
def a_websocket_reaches_the_app(edge: Edge) -> None:
    for host, path in ((APP, "/any"), (WWW, "/ws")):
        speaks(edge, host, path)


@trap("close.conf")
def a_websocket_of_a_foreign_page_is_refused(edge: Edge) -> None:
    for origin in (
        "https://evil.test",
        "null",
        "http://app.example.com",
        "https://app.example.com.evil.test",
    ):
        assert handshake(edge, APP, {"Origin": origin}).startswith(b"HTTP/1.1 403"), origin


@trap("bare.conf")
def a_websocket_of_an_own_page_or_of_a_program_is_accepted(edge: Edge) -> None:
    for headers in ({}, {"Origin": f"https://{APP}"}, {"Origin": ALLOWED}, {"Upgrade": "WebSocket"}):
        assert handshake(edge, APP, headers).startswith(b"HTTP/1.1 101"), headers


@trap("upgrade-always.conf")
def a_websocket_may_be_silent_for_longer_than_an_app(edge: Edge) -> None:
    host = "slow.example.com"
    with contextlib.closing(edge.connect(sni=host)) as sock:
        assert shake_hands(sock, host).startswith(b"HTTP/1.1 101")
        assert edge.ask(host, "/?wait=60").status == 504
        sock.sendall(b"still here")
        assert sock.recv(100) == b"still here"


# CORS.


@trap("article.conf")
def an_origin_that_is_not_listed_gets_no_cors_headers(edge: Edge) -> None:
    for origin in (
        "https://evil.test",
        "null",
        "https://www.example.com.evil.test",
        "https://www.example.com:444",
        "http://www.example.com",
        "https://evilwww.example.com",
        "https://www.example.com/",
        "https://www.example.com https://evil.test",
    ):
        found = edge.ask(APP, "/", {"Origin": origin})
        assert found.status == 200
        assert [name for name, _ in found.headers if name.lower().startswith("access-control")] == [], origin


@trap("suffix-of-an-origin.conf")
def an_origin_must_match_up_to_its_end(edge: Edge) -> None:
    for origin in ("https://www.example.com.evil.test", "null", "https://www.example.community"):
        assert edge.ask(APP, "/", {"Origin": origin})[ACAO] == "", origin


@trap("suffix-of-an-origin.conf")
def an_origin_is_echoed_as_it_is_listed(edge: Edge) -> None:
    for spelt in ("https://WWW.example.com", "HTTPS://www.example.com"):
        assert edge.ask(APP, "/", {"Origin": spelt})[ACAO] in ("", ALLOWED)
    assert edge.ask(APP, "/", {"Origin": ALLOWED})[ACAO] == ALLOWED
    assert edge.ask(APP, "/", {"Origin": "https://admin.example.com:8443"})[ACAO].endswith(":8443")


@trap("preflight-in-a-location.conf")
def the_apps_own_cors_headers_are_hidden(edge: Edge) -> None:
    found = edge.ask(
        APP, f"/?header={ACAO}:*&header=Access-Control-Allow-Credentials:true", {"Origin": ALLOWED}
    )
    assert found[ACAO] == ALLOWED
    assert found["Access-Control-Allow-Credentials"] == "true"
    assert edge.ask(APP, f"/?header={ACAO}:*", {"Origin": "https://evil.test"})[ACAO] == ""


@trap("preflight-in-a-location.conf")
def a_preflight_of_an_allowed_origin_is_answered(edge: Edge) -> None:
    before = len(edge.apps[2019].asked)
    found = preflight(edge, APP, ALLOWED)
    assert (found.status, found.body) == (204, b"")
    assert found[ACAO] == ALLOWED
    assert "PUT" in found["Access-Control-Allow-Methods"]
    assert found["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
    assert found["Access-Control-Max-Age"] == "7200"
    assert len(edge.apps[2019].asked) == before
    secured(found)


@trap("preflight-in-a-location.conf")
def a_preflight_of_a_foreign_origin_gets_no_cors_headers(edge: Edge) -> None:
    found = preflight(edge, APP, "https://evil.test")
    assert found.status == 204
    assert [name for name, _ in found.headers if name.lower().startswith("access-control")] == []
    assert "Origin" in found.all("Vary")


@trap("preflight-in-a-location.conf")
def an_options_request_that_is_no_preflight_reaches_the_app(edge: Edge) -> None:
    found = edge.ask(APP, "/", {"Origin": ALLOWED}, method="OPTIONS")
    assert found.status == 200
    assert found.told["method"] == "OPTIONS"


@trap("article.conf")
def caches_are_told_that_the_origin_matters(edge: Edge) -> None:
    for headers in ({}, {"Origin": ALLOWED}, {"Origin": "https://evil.test"}):
        assert "Origin" in edge.ask(APP, "/", headers).all("Vary")


@trap("article.conf")
def an_error_can_be_read_by_an_allowed_page(edge: Edge) -> None:
    for path in ("/?status=500", "/?status=404", "/down/"):
        assert edge.ask(APP, path, {"Origin": ALLOWED})[ACAO] == ALLOWED


@trap("bare.conf")
def scripts_may_read_exposed_headers(edge: Edge) -> None:
    found = edge.ask(APP, "/", {"Origin": ALLOWED})
    assert found["Access-Control-Expose-Headers"] == "X-Total-Count"


@trap("return-before-guards.conf")
def a_preflight_needs_no_password_and_no_network(edge: Edge) -> None:
    for host in ("guarded.example.com", "office.example.com"):
        assert preflight(edge, host, ALLOWED).status == 204


# Limits.


@trap("bare.conf")
def a_body_of_nine_megabytes_is_accepted(edge: Edge) -> None:
    found = edge.ask(APP, method="POST", body=b"x" * 9_000_000)
    assert found.status == 200
    assert found.told["body"] == 9_000_000


@trap("zone-never-used.conf")
def a_body_that_is_too_large_is_refused(edge: Edge) -> None:
    found = edge.ask("limited.example.com", method="POST", body=b"x" * 1025)
    assert found.status == 413
    secured(found)


@trap("zone-never-used.conf")
def requests_beyond_the_burst_are_refused(edge: Edge) -> None:
    host = "limited.example.com"
    time.sleep(3.1)  # until nginx has forgotten all requests before
    began = time.monotonic()
    with contextlib.closing(edge.connect(sni=host)) as sock:
        allowed = 0
        while (last := send(sock, host)).status == 200 and allowed < 100:
            allowed += 1
    more = math.ceil(time.monotonic() - began)  # on a busy machine, nginx allows one more each second
    assert last.status == 429
    assert 3 <= allowed < 3 + more
    secured(last)


@trap("zone-never-used.conf")
def connections_beyond_the_limit_are_refused(edge: Edge) -> None:
    host = "crowded.example.com"
    app = edge.apps[API.port]
    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(edge.ask, host, "/?hold=1") for _ in range(2)]
        until(lambda: app.asked.count("GET /?hold=1") == 2)
        more = [edge.ask(host).status for _ in range(2)]
        app.go.set()
        assert [each.result().status for each in held] == [200, 200]
    assert more == [429, 429]


# Files.


@trap("by-extension.conf")
def only_existing_files_are_cached_for_a_year(edge: Edge) -> None:
    found = edge.ask(WWW, "/assets/index-4f2a.js")
    assert found["Cache-Control"] == "public, max-age=31536000, immutable"
    missing = edge.ask(WWW, "/assets/index-0000.js")
    assert (missing.status, missing["Cache-Control"]) == (404, "")


@trap("by-extension.conf")
def browsers_ask_for_a_page_each_time(edge: Edge) -> None:
    for host, path in ((WWW, "/"), (WWW, "/index.html"), (WWW, "/cart/17"), (STATIC, "/docs/")):
        found = edge.ask(host, path)
        assert (found.status, found["Cache-Control"]) == (200, "no-cache"), path
        again = edge.ask(host, path, {"If-None-Match": found["ETag"]})
        assert (again.status, again["Cache-Control"]) == (304, "no-cache")
        secured(again)


@trap("by-extension.conf")
def an_app_decides_itself_about_caching(edge: Edge) -> None:
    assert edge.ask(WWW, "/api/a?header=Cache-Control:max-age%3D5")["Cache-Control"] == "max-age=5"
    assert edge.ask(WWW, "/api/a")["Cache-Control"] == ""


@trap("by-extension.conf")
def names_that_begin_with_a_dot_are_not_served(edge: Edge) -> None:
    for host, path in (
        (WWW, "/.env"),
        (WWW, "/assets/.git/config"),
        (WWW, "/%2eenv"),
        (WWW, "/assets/%2Egit/config"),
        (STATIC, "/.htaccess"),
    ):
        assert edge.ask(host, path).status == 404, path


@trap("by-extension.conf")
def a_folder_without_a_slash_is_redirected(edge: Edge) -> None:
    # Without the slash, relative links in /docs would lead to the parent folder.
    found = edge.ask(STATIC, "/docs")
    assert (found.status, found["Location"]) == (301, f"https://{STATIC}/docs/")


@trap("by-extension.conf")
def a_missing_index_is_not_a_server_error(edge: Edge) -> None:
    assert edge.ask("empty.example.com", "/any").status == 404


@trap("by-extension.conf")
def json_is_compressed_and_images_are_not(edge: Edge) -> None:
    asks = {"Accept-Encoding": "gzip"}
    for host, path, coded in (
        (WWW, "/api/?type=application/json&body=abcdefgh&size=500", True),
        (WWW, "/api/?type=image/svg%2Bxml&body=abcdefgh&size=500", True),
        (WWW, "/logo.svg", True),
        (WWW, "/api/?type=image/png&body=abcdefgh&size=500", False),
        (WWW, "/assets/logo-99.png", False),
    ):
        found = edge.ask(host, path, asks)
        assert found.status == 200
        assert found["Content-Encoding"] == ("gzip" if coded else ""), path
        assert not coded or "Accept-Encoding" in found.all("Vary")


@trap("by-extension.conf")
def a_file_compressed_at_build_time_is_sent(edge: Edge) -> None:
    found = edge.ask(WWW, "/assets/small-77aa.js", {"Accept-Encoding": "gzip"})
    assert found["Content-Encoding"] == "gzip"
    assert len(found.body) < 60
    assert edge.ask(WWW, "/assets/small-77aa.js").body.startswith(b"console.log")


# Guards.


@trap("return-before-guards.conf")
def a_redirect_behind_a_password_asks_for_the_password(edge: Edge) -> None:
    assert edge.ask("hidden.example.com", "/secret").status == 401
    found = edge.ask("hidden.example.com", "/a", login(USER, PASSWORD))
    assert (found.status, found["Location"]) == (308, "https://www.example.com/a")


@trap("return-before-guards.conf")
def the_maintenance_page_says_when_to_come_back(edge: Edge) -> None:
    found = edge.ask("closed.example.com", "/any", {"Accept": "text/html"})
    assert found.status == 503
    assert "Back &lt;soon&gt; at 14:00." in found.text
    assert found["Content-Type"] == "text/html"
    assert int(found["Retry-After"]) > 0
    secured(found)


@trap("bare.conf")
def maintenance_lets_its_exceptions_in(edge: Edge) -> None:
    assert edge.ask("closed.example.com").status == 503
    assert edge.ask("closed.example.com", source=OFFICE).status == 200


# Logs.


@trap("log-by-hand.conf")
def every_line_of_the_log_is_json(edge: Edge) -> None:
    agent = 'a"}\\, {"evil": "\x01\x7f\xff<&'
    edge.ask("log.example.com", '/?q="}\\', {"User-Agent": agent.encode("latin-1"), "Referer": '"'})
    with contextlib.closing(edge.connect(sni="log.example.com")) as sock:
        sock.sendall(b'GET /"}{\\x\xff HTTP/1.1\r\nHost: log.example.com\r\nConnection: close\r\n\r\n')
        while sock.recv(4096):
            pass
    edge.ask("log.example.com", "/the-last-one")
    said = edge.log("log.example.com.access.log", "/the-last-one")
    lines = [record(line) for line in said.splitlines()]
    assert len(lines) >= 3
    assert "evil" in next(line["agent"] for line in lines if "evil" in line["agent"])
    assert {line["status"] for line in lines} <= {"200", "400"}
    assert all(line["host"] == "log.example.com" for line in lines)


@trap("status-for-all.conf")
def the_status_page_is_for_this_host_alone(edge: Edge) -> None:
    with namespace.inside(edge.pid):
        inner = http.client.HTTPConnection("127.0.0.1", 8089, timeout=5)
        with contextlib.closing(inner):
            inner.request("GET", "/nginx_status")
            assert b"Active connections" in inner.getresponse().read()
        try:
            socket.create_connection(("198.51.100.7", 8089), timeout=5).close()
        except ConnectionRefusedError:
            return
    raise AssertionError("port 8089 is open to everybody")


# TLS.


@trap("protocols-in-a-site.conf")
def old_protocols_are_refused_for_every_site(edge: Edge) -> None:
    # This check runs under the profile modern.
    for host in (APP, WWW):
        context = trusting()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        try:
            edge.connect(sni=host, context=context).close()
        except ssl.SSLError as error:
            assert error.reason == "TLSV1_ALERT_PROTOCOL_VERSION", error.reason  # noqa: PT017
        else:
            raise AssertionError(f"{host} speaks TLS 1.2")


def secured(found: Response) -> None:
    """Assert that a response has the headers that every response must have, each once and from nginx."""
    for name in SECURITY:
        assert found[name] not in ("", "app"), name
    assert found["X-Content-Type-Options"] == "nosniff"


def refused(edge: Edge, host: str, *, tls: bool) -> bool:
    """Tell whether nginx closes the connection without an answer."""
    try:
        edge.ask(host, tls=tls)
    except http.client.RemoteDisconnected:
        return True
    return False


def alert(edge: Edge, sni: str | None) -> str:
    """Return the reason why nginx refuses a handshake; "" if nginx accepts it."""
    try:
        edge.connect(sni=sni).close()
    except ssl.SSLError as error:
        return error.reason or ""
    return ""


def preflight(edge: Edge, host: str, origin: str) -> Response:
    asks = {
        "Origin": origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization",
    }
    return edge.ask(host, "/", asks, method="OPTIONS")


def handshake(edge: Edge, host: str, headers: dict[str, str]) -> bytes:
    with contextlib.closing(edge.connect(sni=host)) as sock:
        return shake_hands(sock, host, headers=headers)


def speaks(edge: Edge, host: str, path: str) -> None:
    with contextlib.closing(edge.connect(sni=host)) as sock:
        assert shake_hands(sock, host, path).startswith(b"HTTP/1.1 101"), f"{host}{path}"
        sock.sendall(b"hello")
        assert sock.recv(100) == b"hello"


def record(line: str) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(line)
    except ValueError as error:
        raise AssertionError(f"{line}: {error}") from None
    return found


def login(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
