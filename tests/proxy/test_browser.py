"""CORS, WebSockets and CSP of our sites in headless Chromium, with pages of allowed and of foreign origins.

A page of www.example.com may read api.example.com, and a page of www.example.net may not. A real nginx serves
everything over HTTPS. The browser's console shows what a site's policy refuses.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shutil
import socket
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from selenium.webdriver.support.wait import WebDriverWait

from lab import shop
from portcullis.components.nginx.args import CorsArgs
from tests.golden.nginx_sites import API, LIVE, a_site, lets_encrypt
from tests.proxy import catalogue, namespace, nginx_process, roots
from tests.proxy.app import App, answering
from tests.proxy.certificates import issue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from selenium.webdriver import Chrome

    from portcullis.components.nginx import render as nginx

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # of RFC 6455, the same for everybody
FRIEND, STRANGER = "https://www.example.com", "https://www.example.net"
APP = "https://api.example.com"
SHOP, INLINE, LOOSE = "shop.example.com", "inline.example.com", "loose.example.com"
_CORS = CorsArgs(origins=(FRIEND,), exposed_headers=("X-Total-Count",), credentials=True)
# These pages may connect to any server: the tests are about the server's rules.
_ASKING = "default-src 'self'; connect-src https: wss:"
_PAGE = "<!doctype html><title>page</title><link rel=icon href=data:,>"
_INLINE = f"{_PAGE}<script>window.ran = true</script>"

_FETCH = """
const [url, options, done] = arguments;
fetch(url, options).then(
    async answer => done({status: answer.status, total: answer.headers.get("X-Total-Count"),
                          hidden: answer.headers.get("X-Hidden"), body: await answer.json()}),
    error => done({refused: String(error)}));
"""
_SOCKET = """
const [url, done] = arguments;
const socket = new WebSocket(url);
socket.onopen = () => socket.send("hello");
socket.onmessage = event => done(event.data);
socket.onerror = () => done("refused");
"""


@dataclass(frozen=True, slots=True)
class World:
    """The app behind nginx, and the port and names by which a browser reaches nginx."""

    app: App
    port: int
    names: tuple[str, ...]


def sites() -> list[nginx.Site]:
    found = (
        a_site("api.example.com", {"/": API, "/ws": LIVE}, cors=_CORS),
        a_site("www.example.com", root="/var/www/asking", csp=_ASKING),
        a_site("www.example.net", root="/var/www/asking", csp=_ASKING),
        a_site(SHOP, {"/ws": LIVE}, root="/var/www/shop", spa=True),
        a_site(INLINE, root="/var/www/inline"),
        a_site(LOOSE, root="/var/www/inline", csp=False),
    )
    return [replace(site, certificate=lets_encrypt(site.name)) for site in found]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("browser")
    root = roots.root("debian-13")
    names = catalogue.every_name(sites())
    certificate = issue(names)
    files = nginx_process.prepare(root, folder, catalogue.files(root, sites(), certificate))
    files.put("/var/www/asking/index.html", _PAGE)
    files.put("/var/www/inline/index.html", _INLINE)
    shutil.copytree(shop.site(), files.path("/var/www/shop"))
    # The site has only files, so a file stands for the app's answer.
    files.put("/var/www/shop/api/items", '{"items": [], "visits": 1}')
    with contextlib.ExitStack() as stack:
        pid = stack.enter_context(nginx_process.running(files))
        app = stack.enter_context(answering(pid, API.address, API.port))
        stack.enter_context(echoing(pid))
        port = stack.enter_context(door(pid))
        yield World(app, port, tuple(names))


@pytest.fixture
def visit(world: World, open_browser: Callable[[Mapping[str, str]], Chrome]) -> Callable[[str], Chrome]:
    """Return a function that opens a page in a browser of its own."""

    def visit(url: str) -> Chrome:
        addresses = dict.fromkeys(world.names, f"127.0.0.1:{world.port}")
        browser = open_browser(addresses)
        browser.get(url)
        return browser

    return visit


@contextlib.contextmanager
def listening(listener: socket.socket, meet: Callable[[socket.socket], None]) -> Iterator[None]:
    """Call `meet` with each connection to a listening socket, each in a thread of its own."""

    def accept() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=meet, args=[line], daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@contextlib.contextmanager
def door(pid: int) -> Iterator[int]:
    """Give a port of this machine that leads to port 443 in the network of a process."""

    def meet(line: socket.socket) -> None:
        inner = namespace.connected(pid, (nginx_process.VISITOR, 443), nginx_process.VISITOR)
        inner.settimeout(None)
        back = threading.Thread(target=pour, args=[inner, line], daemon=True)
        back.start()
        pour(line, inner)
        back.join()
        line.close()
        inner.close()

    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    with listening(listener, meet):
        yield listener.getsockname()[1]


def pour(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def echoing(pid: int) -> Iterator[None]:
    """Serve WebSockets at the address of the second app. Echo each short text."""

    def meet(line: socket.socket) -> None:
        with line, line.makefile("rb") as stream:
            head = [text.decode().strip().partition(": ") for text in iter(stream.readline, b"\r\n")]
            key = next(value for name, _, value in head if name.lower() == "sec-websocket-key")
            accept = base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode()  # noqa: S324
            line.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
            )
            while (start := stream.read(2)) and start[0] == 0x81:  # one complete text frame
                mask, text = stream.read(4), stream.read(start[1] & 0x7F)
                said = bytes(byte ^ mask[place % 4] for place, byte in enumerate(text))
                line.sendall(bytes([0x81, len(said)]) + said)

    with listening(namespace.listening(pid, (LIVE.address, LIVE.port)), meet):
        yield


def ask(browser: Chrome, path: str, **options: Any) -> dict[str, Any]:
    return browser.execute_async_script(_FETCH, APP + path, options)


def test_a_page_of_an_allowed_origin_reads_an_answer(visit: Callable[[str], Chrome]) -> None:
    found = ask(visit(FRIEND), "/simple?header=X-Total-Count:7&header=X-Hidden:1")
    assert found["status"] == 200
    assert (found["total"], found["hidden"]) == ("7", None), "a script sees exposed headers only"


def test_a_page_of_a_foreign_origin_reads_nothing(visit: Callable[[str], Chrome]) -> None:
    assert "Failed to fetch" in ask(visit(STRANGER), "/foreign")["refused"]


CHANGE = {
    "method": "PUT",
    "headers": {"Content-Type": "application/json", "Authorization": "Bearer x"},
    "body": "{}",
}


def test_nginx_answers_a_preflight_and_the_request_reaches_the_app_once(
    world: World, visit: Callable[[str], Chrome]
) -> None:
    found = ask(visit(FRIEND), "/change", **CHANGE)
    assert found["body"]["method"] == "PUT"
    assert [line for line in world.app.asked if line.endswith(" /change")] == ["PUT /change"]


def test_a_request_with_a_preflight_from_a_foreign_origin_never_reaches_the_app(
    world: World, visit: Callable[[str], Chrome]
) -> None:
    assert "Failed to fetch" in ask(visit(STRANGER), "/forged", **CHANGE)["refused"]
    assert not [line for line in world.app.asked if "/forged" in line]


def test_a_request_header_that_is_not_listed_is_refused(world: World, visit: Callable[[str], Chrome]) -> None:
    found = ask(visit(FRIEND), "/unlisted", headers={"X-Unlisted": "1"})
    assert "Failed to fetch" in found["refused"]
    assert not [line for line in world.app.asked if "/unlisted" in line]


def test_an_allowed_origin_may_send_cookies(visit: Callable[[str], Chrome]) -> None:
    browser = visit(FRIEND)
    cookie = quote("Set-Cookie:session=known; Secure; HttpOnly; SameSite=None; Path=/")
    assert ask(browser, f"/login?header={cookie}", credentials="include")["status"] == 200
    with_it = ask(browser, "/me", credentials="include")["body"]["headers"]
    without = ask(browser, "/me", credentials="omit")["body"]["headers"]
    assert ["cookie", "session=known"] in with_it
    assert "cookie" not in [name for name, _ in without]


def test_a_foreign_origin_reads_nothing_with_cookies_either(visit: Callable[[str], Chrome]) -> None:
    assert "Failed to fetch" in ask(visit(STRANGER), "/me", credentials="include")["refused"]


def test_a_websocket_of_an_allowed_origin_works(visit: Callable[[str], Chrome]) -> None:
    assert visit(FRIEND).execute_async_script(_SOCKET, "wss://api.example.com/ws") == "hello"


def test_a_websocket_of_a_foreign_origin_is_refused(visit: Callable[[str], Chrome]) -> None:
    assert visit(STRANGER).execute_async_script(_SOCKET, "wss://api.example.com/ws") == "refused"


def violations(browser: Chrome) -> list[str]:
    return [
        line["message"] for line in browser.get_log("browser") if "Content Security Policy" in line["message"]
    ]


def test_the_built_shop_runs_under_the_strict_policy(visit: Callable[[str], Chrome]) -> None:
    browser = visit(f"https://{SHOP}/")
    rules = "return document.styleSheets.length && document.styleSheets[0].cssRules.length"
    assert browser.execute_script(rules) > 0, "its styles are in force"
    shown = "return document.querySelector('#root').innerText"
    WebDriverWait(browser, 120).until(lambda _: browser.execute_script(shown), "its script has made the page")
    assert browser.execute_async_script(_SOCKET, f"wss://{SHOP}/ws") == "hello"
    assert violations(browser) == []


def test_an_inline_script_does_not_run_under_the_strict_policy(visit: Callable[[str], Chrome]) -> None:
    browser = visit(f"https://{INLINE}/")
    assert browser.execute_script("return window.ran") is None
    told = WebDriverWait(browser, 120).until(violations, "the browser tells of the policy in its own time")
    assert len(told) == 1


def test_the_inline_script_runs_without_the_policy(visit: Callable[[str], Chrome]) -> None:
    browser = visit(f"https://{LOOSE}/")
    assert browser.execute_script("return window.ran") is True
    assert violations(browser) == []
