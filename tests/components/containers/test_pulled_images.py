"""Images that require a login, with a fake Docker engine that listens on a socket in a temporary folder."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import socketserver
import threading
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portcullis.agent.errors import AgentError
    from portcullis.agent.machine import Machine
    from tests.on_host import Client

DIGEST = "sha256:" + "ab" * 32
IMAGE = f"r.example.com:5000/acme/api:1.2@{DIGEST}"
PASSWORD = "registry-secret-4Lm8"
LOGIN = {"username": "bot", "password": PASSWORD}
DESIRED = {"image": IMAGE, **LOGIN}


class Docker(socketserver.ThreadingUnixStreamServer):
    """A fake Docker engine: its images, the requests it got, and its answer to a pull."""

    has: set[str]
    asked: list[str]
    logins: list[dict[str, str]]
    status: int
    refusal: str


class Handler(socketserver.StreamRequestHandler):
    server: Docker

    def handle(self) -> None:
        method, target, version = self.rfile.readline().decode().split()
        assert version == "HTTP/1.0"
        headers = {}
        for line in iter(self.rfile.readline, b"\r\n"):
            key, _, value = line.decode().strip().partition(": ")
            headers[key] = value
        self.server.asked.append(f"{method} {target}")
        if method == "GET":
            image = target.removeprefix("/images/").removesuffix("/json")
            there = image in self.server.has
            self.answer(200 if there else 404, {"Id": "sha256:1"} if there else {"message": "No such image"})
            return
        self.server.logins.append(json.loads(base64.urlsafe_b64decode(headers["X-Registry-Auth"])))
        if self.server.status != 200:
            self.answer(self.server.status, {"message": self.server.refusal})
        elif self.server.refusal:
            self.answer(200, {"status": "Pulling"}, {"errorDetail": {}, "error": self.server.refusal})
        else:
            self.server.has.add(IMAGE)
            self.answer(200, {"status": "Pulling"}, {"status": "Pull complete"})

    def answer(self, status: int, *lines: dict[str, Any]) -> None:
        head = f"HTTP/1.0 {status} X\r\nContent-Type: application/json\r\n\r\n"
        body = "".join(json.dumps(line) + "\r\n" for line in lines)
        with contextlib.suppress(BrokenPipeError):  # the client hangs up when it needs only the status
            self.wfile.write((head + body).encode())


@pytest.fixture
def machine(machine: Machine, tmp_path: Path) -> Machine:
    return dataclasses.replace(machine, docker=tmp_path / "docker.sock")


@pytest.fixture
def docker(machine: Machine) -> Iterator[Docker]:
    made = Docker(str(machine.docker), Handler)
    made.has, made.asked, made.logins, made.status, made.refusal = set(), [], [], 200, ""
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def put(client: Client, **more: Any) -> dict[str, Any]:
    return client.on("put", "containers.pulled_images", IMAGE, {**DESIRED, **more})


def refused(client: Client) -> AgentError:
    return client.refused("put", "containers.pulled_images", IMAGE, DESIRED)


def test_an_image_is_pulled_once_with_the_login(client: Client, docker: Docker) -> None:
    assert [step["action"] for step in put(client)["steps"]] == ["pull"]
    assert f"POST /images/create?fromImage=r.example.com:5000/acme/api&tag={DIGEST}" in docker.asked
    assert docker.logins == [LOGIN]
    assert put(client.again(), password="another")["steps"] == []
    assert docker.logins == [LOGIN]


def test_no_file_and_no_answer_holds_the_login(client: Client, docker: Docker, tmp_path: Path) -> None:
    said = json.dumps(put(client))
    assert docker.logins
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert any(IMAGE in text for text in files), "its record"
    header = base64.urlsafe_b64encode(json.dumps(LOGIN).encode()).decode()
    assert not [text for text in [said, *files] if PASSWORD in text or header in text]


def test_an_image_that_the_host_has_needs_no_login(client: Client, docker: Docker) -> None:
    docker.has.add(IMAGE)
    assert put(client)["steps"] == []
    assert docker.logins == []


def test_a_removed_image_is_drift(client: Client, docker: Docker) -> None:
    put(client)
    docker.has.clear()
    assert client.look("containers.pulled_images", IMAGE, {"image": IMAGE}) == {"exists": False}


@pytest.mark.parametrize(
    ("status", "refusal", "hint"),
    [
        (200, "unauthorized: authentication required", "portcullis:registries.r.example.com:5000"),
        (404, f"pull access denied, {PASSWORD} is wrong", "portcullis:registries.r.example.com:5000"),
        (500, "Get https://r.example.com:5000/v2/: dial tcp: no route to host", "reaches the registry"),
    ],
)
def test_the_error_says_why_the_pull_failed_and_hides_the_password(
    client: Client, docker: Docker, status: int, refusal: str, hint: str
) -> None:
    docker.status, docker.refusal = status, refusal
    error = refused(client)
    assert error.code == "pull"
    assert refusal.partition(",")[0] in error.message
    assert hint in error.hint
    assert PASSWORD not in json.dumps(error.as_json())
    docker.refusal, docker.status = "", 200
    assert put(client.again())["facts"]["exists"] is True


def test_without_docker_the_image_is_absent_and_a_pull_fails(client: Client) -> None:
    assert client.look("containers.pulled_images", IMAGE, {"image": IMAGE}) == {"exists": False}
    assert "no Docker runs on the host" in refused(client).message


def test_a_silent_docker_is_an_error_and_not_an_absent_image(client: Client, machine: Machine) -> None:
    Docker(str(machine.docker), Handler).server_close()  # the socket is there, but nothing listens
    (found,) = client.ask(
        "survey", items=[{"kind": "containers.pulled_images", "id": IMAGE, "spec": {"image": IMAGE}}]
    )["items"]
    assert found["error"]["code"] == "unreadable"
    assert "systemctl status docker" in found["error"]["hint"]


@pytest.mark.parametrize("name", ["redis", "redis:8", f"re dis@{DIGEST}", f"redis@{DIGEST}\r\nX: y"])
def test_an_image_without_a_digest_is_not_pulled(client: Client, docker: Docker, name: str) -> None:
    error = client.refused("put", "containers.pulled_images", name, {**DESIRED, "image": name})
    assert error.code == "invalid"
    assert docker.asked == []


def test_delete_leaves_the_image(client: Client, docker: Docker) -> None:
    put(client)
    assert client.on("remove", "containers.pulled_images", IMAGE, DESIRED)["done"] == "kept"
    assert docker.has == {IMAGE}
