"""The view of Docker for the preview key answers a few requests, and refuses all others."""

from __future__ import annotations

import contextlib
import http.server
import io
import json
import os
import pwd
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from portcullis.agent import redaction
from portcullis.agent.store import Record, Store
from portcullis.components.previews.on_host import docker_view, preview
from portcullis.components.previews.on_host.docker_answers import HIDDEN, scrubbed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portcullis.agent.machine import Machine

DIGEST = "sha256:" + "0" * 64
CONTAINER = {
    "Id": "c1", "Name": "/shop", "Created": "now", "Image": DIGEST,
    "Path": "node", "Args": ["--token=hunter2"],
    "State": {
        "Status": "running", "Error": "exec: hunter2",
        "Health": {"Status": "healthy", "Log": [{"Output": "hunter2"}]},
    },
    "Config": {
        "Image": "shop", "Env": ["LOG=info", "PASSWORD=hunter2"], "Cmd": ["hunter2"],
        "Labels": {"a": "hunter2"},
    },
    "HostConfig": {"NetworkMode": "shop", "LogConfig": {"Config": {"splunk-token": "hunter2"}}},
}  # fmt: skip


class FakeDocker(http.server.BaseHTTPRequestHandler):
    """Records every request line, and sends the answers that the test has prepared."""

    protocol_version = "HTTP/1.1"
    asked: list[str]
    answers: dict[str, tuple[int, Any]]

    def handle_any(self) -> None:
        self.asked.append(self.requestline)
        path = self.path.partition("?")[0]
        status, answer = self.answers.get(path, (200, {}))
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Api-Version", "1.47")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: Any) -> None:
        pass


for _method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"):
    setattr(FakeDocker, f"do_{_method}", FakeDocker.handle_any)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class View:
    """The view of a fake Docker."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, Any]] = {}

    def say(self, data: bytes, shown: set[str] | None = None) -> bytes:
        out = io.BytesIO()
        docker_view.serve(io.BytesIO(data), out, self.path, shown or set())
        return out.getvalue()

    def get(self, target: str, shown: set[str] | None = None) -> Any:
        said = self.say(f"GET {target} HTTP/1.1\r\nHost: docker\r\n\r\n".encode(), shown)
        head, _, body = said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), said
        return json.loads(body)


@pytest.fixture
def view(tmp_path: Path) -> Iterator[View]:
    made = View(tmp_path / "docker.sock")
    handler = type("Handler", (FakeDocker,), {"asked": made.asked, "answers": made.answers})
    with Server(str(made.path), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "target",
    [
        "/version",
        "/v1.47/containers/json?all=1&filters=%7B%22id%22%3A%5B%22a%22%5D%7D",
        "/v1.47/containers/json?limit=-1&all=1&size=0&trunc_cmd=0",
        "/v1.47/images/json?only_ids=0&all=1",
        "/v1.47/containers/json?filters=%7B%22name%22%3A%7B%22shop%22%3Atrue%7D%7D",
        "/v1.47/images/json?filters=%7B%22reference%22%3A%5B%22redis%22%5D%7D",
        "/v1.47/containers/shop-1/json",
        "/v1.47/containers/shop-1/json?size=1",
        "/v1.24/images/json?all=1",
        f"/v1.47/images/ghcr.io/acme/api@{DIGEST}/json",
        f"/v1.47/images/localhost:5000/a/b:tag@{DIGEST}/json",
        f"/v1.47/images/{DIGEST}/json",
        "/v1.47/networks",
        "/v1.47/networks/shop?verbose=false&scope=",
        "/v1.47/volumes",
        "/v1.47/volumes/redis-data",
    ],
)
def test_the_requests_of_a_refresh_are_answered(view: View, target: str) -> None:
    view.get(target)
    assert view.asked == [f"GET {target.replace('@', '%40')} HTTP/1.1"]


def test_a_ping_negotiates_the_version_and_the_connection_stays_open(view: View) -> None:
    view.answers["/_ping"] = (200, b"OK")
    ping = b"HEAD /_ping HTTP/1.1\r\nHost: docker\r\n\r\n"
    said = view.say(ping + ping.replace(b"HEAD", b"GET") + b"GET /version HTTP/1.1\r\nHost: d\r\n\r\n")
    assert said.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert b"Api-Version: 1.47\r\n" in said
    assert view.asked == ["HEAD /_ping HTTP/1.1", "GET /_ping HTTP/1.1", "GET /version HTTP/1.1"]


def test_an_error_of_docker_is_passed_on(view: View) -> None:
    view.answers["/v1.47/containers/gone/json"] = (404, {"message": "No such container: gone"})
    said = view.say(b"GET /v1.47/containers/gone/json HTTP/1.1\r\nHost: d\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert b"No such container" in said


def test_without_docker_the_status_is_503(tmp_path: Path) -> None:
    said = View(tmp_path / "none").say(b"GET /version HTTP/1.1\r\nHost: d\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 503 ")


def test_an_escaped_at_sign_is_accepted(view: View) -> None:
    """docker-py, Docker's Python client, writes @ as %40."""
    view.get(f"/v1.47/images/redis%40{DIGEST}/json")
    assert view.asked == [f"GET /v1.47/images/redis%40{DIGEST}/json HTTP/1.1"]


GET = b"GET /v1.47/containers/json HTTP/1.1\r\nHost: d\r\n"


def asked_with(filters: str, what: str = "containers/json?", name: str = "filters") -> bytes:
    """Return a Docker request with filters, escaped as a Docker client escapes them."""
    query = f"{what}{name}={quote(filters, safe='&=;')}"
    return GET.replace(b"containers/json", query.encode()) + b"\r\n"


REFUSED = {
    "create": b"POST /v1.47/containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\n{}",
    "exec": b"POST /v1.47/containers/shop/exec HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\n\r\n{}",
    "start": b"POST /v1.47/containers/shop/start HTTP/1.1\r\nHost: d\r\n\r\n",
    "delete": b"DELETE /v1.47/containers/shop?force=1 HTTP/1.1\r\nHost: d\r\n\r\n",
    "put": b"PUT /v1.47/containers/shop/archive?path=/ HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n",
    "pull": b"POST /v1.47/images/create?fromImage=a HTTP/1.1\r\nHost: d\r\n\r\n",
    "build": b"POST /v1.47/build HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another method for a question": b"POST /v1.47/containers/json HTTP/1.1\r\nHost: d\r\n\r\n",
    "a small method": b"post /v1.47/containers/create HTTP/1.1\r\nHost: d\r\n\r\n",
    "archive": b"GET /v1.47/containers/shop/archive?path=/run/secrets HTTP/1.1\r\nHost: d\r\n\r\n",
    "export": b"GET /v1.47/containers/shop/export HTTP/1.1\r\nHost: d\r\n\r\n",
    "logs": b"GET /v1.47/containers/shop/logs?stdout=1 HTTP/1.1\r\nHost: d\r\n\r\n",
    "top": b"GET /v1.47/containers/shop/top HTTP/1.1\r\nHost: d\r\n\r\n",
    "changes": b"GET /v1.47/containers/shop/changes HTTP/1.1\r\nHost: d\r\n\r\n",
    "attach": b"GET /v1.47/containers/shop/attach/ws?stdin=1 HTTP/1.1\r\nHost: d\r\n\r\n",
    "an image's layers": b"GET /v1.47/images/shop/get HTTP/1.1\r\nHost: d\r\n\r\n",
    "events": b"GET /v1.47/events HTTP/1.1\r\nHost: d\r\n\r\n",
    "secrets": b"GET /v1.47/secrets HTTP/1.1\r\nHost: d\r\n\r\n",
    "info": b"GET /v1.47/info HTTP/1.1\r\nHost: d\r\n\r\n",
    "a plugin's": b"GET /v1.47/plugins HTTP/1.1\r\nHost: d\r\n\r\n",
    "dots": b"GET /v1.47/networks/../containers/shop/archive HTTP/1.1\r\nHost: d\r\n\r\n",
    "dots in an image": b"GET /v1.47/images/a/../../secrets/x/json HTTP/1.1\r\nHost: d\r\n\r\n",
    "escaped dots": b"GET /v1.47/networks/%2e%2e/secrets HTTP/1.1\r\nHost: d\r\n\r\n",
    "an escaped slash": b"GET /v1.47/containers/shop%2farchive/json HTTP/1.1\r\nHost: d\r\n\r\n",
    "an escaped letter": b"GET /v1.47/networks/%73hop HTTP/1.1\r\nHost: d\r\n\r\n",
    "two slashes": b"GET //v1.47/containers/json HTTP/1.1\r\nHost: d\r\n\r\n",
    "a whole address": b"GET http://docker/v1.47/containers/json HTTP/1.1\r\nHost: d\r\n\r\n",
    "a line end in the query": b"GET /v1.47/networks?a=\rPOST HTTP/1.1\r\nHost: d\r\n\r\n",
    "a fragment": b"GET /v1.47/networks#/../secrets HTTP/1.1\r\nHost: d\r\n\r\n",
    "a NUL": b"GET /v1.47/networks/a\0b HTTP/1.1\r\nHost: d\r\n\r\n",
    "a guess at a label": asked_with('{"label":{"token=hunter2":true}}'),
    "a guess in another spelling": asked_with('{"label":["token=hunter2"]}'),
    "a guess beside a name": asked_with('{"name":["shop"],"label":["token=hunter2"]}'),
    "a guess at a volume": asked_with('{"label":["token=hunter2"]}', "volumes?"),
    "a guess by its second name": asked_with('{}&filters={"label":["a"]}'),
    "a guess with an escaped name": asked_with('{"label":["a"]}', name="filter%73"),
    "a guess after a separator of old": asked_with('{}&a=1;filters={"label":["a"]}'),
    "filters that are no object": asked_with("[1]"),
    "filters that cannot be read": asked_with('{"name":'),
    "a parameter of an older engine": asked_with("{}", "images/json?filter=a&"),
    "a parameter of an older engine, without a value": asked_with("", "images/json?filter=&"),
    "HTTP/1.0": b"GET /v1.47/containers/json HTTP/1.0\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET /v1.47/containers/json\r\n\r\n",
    "bare line ends": b"GET /v1.47/containers/json HTTP/1.1\nHost: d\n\n",
    "one bare line end": b"GET /version HTTP/1.1\nHost: d\r\n\r\n",
    "a tab": b"GET\t/v1.47/containers/json HTTP/1.1\r\nHost: d\r\n\r\n",
    "an upgrade": GET + b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    "an upgrade by halves": GET + b"Connection: keep-alive, upgrade\r\n\r\n",
    "a body": GET + b"Content-Length: 60\r\n\r\nPOST /v1.47/containers/create HTTP/1.1\r\nHost: d\r\n\r\n",
    "two lengths": GET + b"Content-Length: 0\r\nContent-Length: 50\r\n\r\n",
    "a signed length": GET + b"Content-Length: +0\r\n\r\n",
    "chunks": GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks, spelt oddly": GET + b"transfer-ENCODING:\tchunked\r\n\r\n",
    "a promise of a body": GET + b"Expect: 100-continue\r\n\r\n",
    "trailers": GET + b"TE: trailers\r\n\r\n",
    "a trailer": GET + b"Trailer: Expires\r\n\r\n",
    "settings of HTTP/2": GET + b"HTTP2-Settings: AAMAAABk\r\n\r\n",
    "an upgrade alone": GET + b"Upgrade: h2c\r\n\r\n",
    "a method of odd bytes": b"\xff\xfe /version HTTP/1.1\r\n\r\n",
    "a folded header": GET + b"X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n",
    "a header with a space": GET + b"Transfer-Encoding : chunked\r\n\r\n",
    "a bare CR": GET + b"X-A: b\rTransfer-Encoding: chunked\r\n\r\n",
    "a header without end": GET + b"X-A: " + b"a" * 9000 + b"\r\n\r\n",
    "too many headers": GET + b"X-A: b\r\n" * 100 + b"\r\n",
    "a line without end": b"GET /" + b"a" * 20000,
    "no request": b"\x16\x03\x01\x02\x00\x01",
    "half a request": GET,
}  # fmt: skip


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED)
def test_a_forbidden_request_is_refused_and_does_not_reach_docker(view: View, sent: bytes) -> None:
    said = view.say(sent)
    assert said.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"the preview key may only read" in said
    assert view.asked == []


@pytest.mark.parametrize(("headers", "said"), [(62, b"200 OK"), (63, b"200 OK"), (64, b"403 Forbidden")])
def test_a_request_has_63_headers_at_most(view: View, headers: int, said: bytes) -> None:
    asked = b"GET /_ping HTTP/1.1\r\n" + b"X-A: b\r\n" * headers + b"\r\n"
    assert view.say(asked).startswith(b"HTTP/1.1 " + said)


@pytest.mark.parametrize(("length", "said"), [(8192, b"200 OK"), (8193, b"403 Forbidden")])
def test_a_line_of_a_request_has_8_kib_at_most(view: View, length: int, said: bytes) -> None:
    header = b"X-A: " + b"a" * (length - 7) + b"\r\n"
    assert len(header) == length
    assert view.say(b"GET /_ping HTTP/1.1\r\n" + header + b"\r\n").startswith(b"HTTP/1.1 " + said)


def test_every_answer_has_its_type_and_length(view: View) -> None:
    view.answers["/_ping"] = (200, b"OK")
    head, _, body = view.say(b"GET /_ping HTTP/1.1\r\nContent-Length: 0\r\n\r\n").partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 200 OK", b"Content-Type: text/plain; charset=utf-8", b"Api-Version: 1.47",
        b"Content-Length: 2",
    ]  # fmt: skip
    assert body == b"OK"
    head, _, body = view.say(b"GET /version HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")
    assert b"Content-Type: application/json" in head
    assert f"Content-Length: {len(body)}".encode() in head
    head = view.say(b"POST /x HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")[0]
    assert b"Connection: close" in head


def test_an_answer_over_the_limit_is_not_passed_on(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_view, "_MOST", 10)
    asked = b"GET /_ping HTTP/1.1\r\n\r\n"
    view.answers["/_ping"] = (200, b"0123456789")
    assert view.say(asked).endswith(b"\r\n\r\n0123456789")
    view.answers["/_ping"] = (200, b"0123456789a")
    said = view.say(asked)
    assert said.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"the host cannot pass on Docker's answer" in said
    assert b"0123456789" not in said


def test_an_error_of_docker_is_passed_on_unchanged_and_without_a_body_for_head(view: View) -> None:
    view.answers["/containers/gone/json"] = (404, b"no JSON")
    assert view.say(b"GET /containers/gone/json HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\nno JSON")
    view.answers["/version"] = (200, b"no JSON")
    assert b"the host cannot read Docker's answer" in view.say(b"GET /version HTTP/1.1\r\n\r\n")
    assert view.say(b"HEAD /version HTTP/1.1\r\n\r\n").endswith(b"\r\nContent-Length: 0\r\n\r\n")


def test_the_at_sign_of_a_digest_is_escaped_for_docker(view: View) -> None:
    for at in ("@", "%40"):
        view.say(f"GET /images/shop{at}{DIGEST}/json HTTP/1.1\r\n\r\n".encode())
    assert [line.split()[1] for line in view.asked] == [f"/images/shop%40{DIGEST}/json"] * 2


def test_a_filter_by_name_reaches_docker_unchanged(view: View) -> None:
    query = "filters=" + quote('{"name":["shop"]}') + "&all=1&size="
    view.say(f"GET /containers/json?{query} HTTP/1.1\r\n\r\n".encode())
    assert [line.split()[1] for line in view.asked] == [f"/containers/json?{query}"]


def test_requests_after_a_refused_one_are_not_read(view: View) -> None:
    said = view.say(REFUSED["create"] + GET + b"\r\n")
    assert said.count(b"HTTP/1.1 ") == 1
    assert view.asked == []


def test_a_request_behind_an_allowed_one_is_checked_by_itself(view: View) -> None:
    view.answers["/v1.47/containers/json"] = (200, [])
    said = view.say(GET + b"\r\n" + REFUSED["exec"])
    assert said.count(b"HTTP/1.1 200 ") == 1
    assert said.count(b"HTTP/1.1 403 ") == 1
    assert view.asked == ["GET /v1.47/containers/json HTTP/1.1"]


def test_no_header_of_the_client_reaches_docker(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(FakeDocker, "log_request", lambda self, *_: seen.append(str(self.headers)))
    view.get("/version")
    view.say(GET + b"X-Registry-Auth: stolen\r\nCookie: a\r\n\r\n")
    assert len(seen) == 2
    assert "stolen" not in "".join(seen)


def test_a_container_of_the_stack_is_shown_without_the_output_of_its_health_check() -> None:
    shown = scrubbed("/containers/shop/json", CONTAINER, {"shop"})
    assert shown == scrubbed("/containers/shop/json", CONTAINER, {"c1"}), (
        "the container may be named by its name or its id"
    )
    assert shown["Config"] == CONTAINER["Config"]
    assert shown["State"]["Error"] == "exec: hunter2"
    assert shown["State"]["Health"] == {"Status": "healthy", "FailingStreak": None, "Log": []}


def test_any_other_container_is_shown_without_secrets() -> None:
    shown = scrubbed("/containers/shop/json", CONTAINER, set())
    assert "hunter2" not in json.dumps(shown)
    assert shown["Config"]["Env"] == [f"LOG={HIDDEN}", f"PASSWORD={HIDDEN}"]
    assert (shown["Id"], shown["Name"], shown["State"]["Status"]) == ("c1", "/shop", "running")


def test_a_list_of_containers_shows_no_more_than_single_requests() -> None:
    listed = [
        {"Id": "c1", "Names": ["/shop"], "Command": "node --token=mine", "Labels": {"a": "b"}},
        {
            "Id": "c2",
            "Names": ["/other"],
            "Command": "sh hunter2",
            "Labels": {"a": "hunter2"},
            "State": "running",
        },
    ]
    ours, theirs = scrubbed("/containers/json", listed, {"shop"})
    assert ours == listed[0]
    assert scrubbed("/containers/json", listed, {"c1"}) == [ours, theirs]
    assert theirs == {"Id": "c2", "Names": ["/other"], "State": "running", "Command": HIDDEN, "Labels": {}}


def test_images_and_volumes_show_no_secret() -> None:
    image = {
        "Id": DIGEST,
        "RepoDigests": ["a"],
        "Config": {"Env": ["P=hunter2"]},
        "ContainerConfig": {"Cmd": ["hunter2"]},
    }
    assert scrubbed("/images/shop/json", image, {"shop"}) == {
        "Id": DIGEST,
        "RepoDigests": ["a"],
        "Config": {},
    }
    volume = {"Name": "share", "Options": {"o": "username=a,password=hunter2"}, "Status": {"x": "hunter2"}}
    for answer in (
        scrubbed("/volumes/share", volume, set()),
        scrubbed("/volumes", {"Volumes": [volume], "Warnings": None}, set()),
    ):
        assert "hunter2" not in json.dumps(answer)
    for volume in ({"Labels": {"token": "hunter2"}}, {"Labels": None}):
        assert "hunter2" not in json.dumps(scrubbed("/volumes/share", {"Name": "share", **volume}, set()))
    plain = {
        "Name": "data",
        "Options": None,
        "Driver": "local",
        "Labels": {"com.docker.volume.anonymous": ""},
    }
    assert scrubbed("/volumes/data", plain, set()) == plain


def test_networks_show_their_bridge_and_no_secret() -> None:
    options = {"com.docker.network.bridge.name": "br-shop", "encrypted": ""}
    ours = {
        "Name": "shop", "Labels": {}, "Options": options,
        "IPAM": {"Driver": "default", "Options": None, "Config": [{"Subnet": "172.18.0.0/16"}]},
    }  # fmt: skip
    theirs = {
        "Name": "vpn",
        "Labels": {"token": "hunter2", "com.docker.compose.project": "vpn", "portcullis.stack": "a/b"},
        "Options": {"psk": "hunter2", **options}, "IPAM": {"Driver": "x", "Options": {"key": "hunter2"}},
    }  # fmt: skip
    listed = scrubbed("/networks", [ours, theirs], set())
    assert listed == [scrubbed("/networks/x", one, set()) for one in (ours, theirs)]
    assert listed[0] == ours
    assert "hunter2" not in json.dumps(listed)
    assert listed[1]["Options"] == {"psk": HIDDEN, **options}
    labels = {"token": HIDDEN, "com.docker.compose.project": "vpn", "portcullis.stack": "a/b"}
    assert listed[1]["Labels"] == labels


@pytest.mark.parametrize(
    "answer",
    [
        b"PASSWORD=hunter2",
        b'[{"Labels": "hunter2"}]',
        b'["hunter2"]',
        b"[" * 100_000 + b'"hunter2"' + b"]" * 100_000,
    ],
)
def test_an_answer_of_unknown_form_is_not_passed_on(view: View, answer: bytes) -> None:
    view.answers["/v1.47/networks"] = (200, answer)
    said = view.say(b"GET /v1.47/networks HTTP/1.1\r\nHost: d\r\n\r\n")
    assert b"hunter2" not in said


def test_the_view_ends_when_the_client_disconnects(view: View) -> None:
    with contextlib.suppress(BrokenPipeError):
        assert view.say(b"") == b""


def test_only_containers_of_the_stack_that_are_recorded_as_free_of_secrets_are_shown(
    machine: Machine,
) -> None:
    store = Store(machine.state)

    def note(
        name: str, extra: dict[str, Any], kind: str = "containers.container_states", stack: str = "web/prod"
    ) -> None:
        store.make_folder(kind, name)
        store.save(Record(kind, name, stack, "urn", {"container": name}, "1", {}, extra=extra))

    note("by-name", {redaction.SECRET: False})
    note("by-id", {redaction.SECRET: False, redaction.CONTAINER: "5f" * 32})
    note("secret", {redaction.SECRET: True})
    note("unnoted", {})
    note("other-stack", {redaction.SECRET: False}, stack="web/dev")
    note("/etc/motd", {redaction.SECRET: False}, kind="file")
    # A record of another kind or of another stack does not count.
    assert preview.declared(machine, "web/prod") == {"by-name", "5f" * 32}


def test_the_answer_to_head_has_a_length_and_no_body(view: View, tmp_path: Path) -> None:
    asked = b"HEAD /_ping HTTP/1.1\r\nHost: docker\r\n\r\n"
    head, _, body = view.say(asked).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b""
    head, _, body = View(tmp_path / "none").say(asked).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"Content-Length: 0" not in head
    assert body == b"", "the client would take a body for the answer to its next request"


MAIN = """
import os, sys
from pathlib import Path
from portcullis.agent.machine import Machine
from portcullis.components.previews.on_host import preview
root = Path(sys.argv[1])
place = {name: root / name for name in ("state", "lock", "docker.sock")}
place["docker"] = place.pop("docker.sock")
preview.Machine = lambda: Machine(root=root, **place)
preview.main(sys.argv[2], "web/prod", "a" * 64)
sys.stdout.flush()
print()
print(os.getuid(), os.getgid(), os.getgroups(), oct(os.umask(0)))
"""


def ran(tmp_path: Path, what: str, sent: bytes, **env: str) -> list[bytes]:
    """Return the output of the forced command's program.

    The last line of the output has the user and group ids that the program had at its end.
    """
    done = subprocess.run(
        [sys.executable, "-c", MAIN, str(tmp_path), what],
        input=sent, capture_output=True, timeout=60, check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[3]), **env},
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.mark.parametrize("env", [{}, {"SUDO_UID": "0"}, {"SUDO_UID": "4712"}])
def test_the_view_of_docker_runs_as_who_called_sudo_in_the_group_of_the_socket(
    tmp_path: Path, env: dict[str, str]
) -> None:
    nobody = pwd.getpwnam("nobody")
    user = int(env.get("SUDO_UID", "0")) or nobody.pw_uid
    asked = b"GET /version HTTP/1.1\r\nHost: d\r\n\r\n"
    said = ran(tmp_path, "docker", asked, **env)
    assert said[0] == b"HTTP/1.1 503 Service Unavailable"
    assert said[-1].decode() == f"{user} {nobody.pw_gid} [] 0o77"
    with socket.socket(socket.AF_UNIX) as line:
        line.bind(str(tmp_path / "docker.sock"))
        os.chown(tmp_path / "docker.sock", 0, 4711)
        assert ran(tmp_path, "docker", asked, **env)[-1].decode() == f"{user} 4711 [] 0o77"


def test_the_agent_announces_itself_and_answers_as_root(tmp_path: Path) -> None:
    have, answer, *_, who = ran(tmp_path, "agent", b'{"id": 1, "op": "hello"}\n')
    assert have == b"have"
    assert json.loads(answer)["result"]["agent"] == "a" * 64
    assert who.decode().startswith("0 0 ")
    assert who.endswith(b" 0o77")
