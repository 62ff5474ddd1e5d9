"""For the preview key, sudo starts a program as root. This program starts the agent of the last deploy."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import pwd
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from portcullis.components.previews import render as preview
from portcullis.host.bundle import agent_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator


class Host:
    """A folder that stands for a host, with an agent that works in that folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.agents = folder, folder / "agent"
        self.agents.mkdir(mode=0o700)
        self.program = folder / "preview-as-root"
        text = preview.as_root("web1-preview-as-root", "web/prod")
        self.program.write_text(text.replace("/var/lib/portcullis/agent", str(self.agents)))

    def install(self, *, without: str = "") -> Path:
        data = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(agent_bundle().data)) as source,
            zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as target,
        ):
            for name in source.namelist():
                text = source.read(name).replace(b"/run/docker.sock", f"{self.folder}/docker.sock".encode())
                if not without or not name.endswith(without):
                    target.writestr(name, text.replace(b"/var/lib/portcullis", str(self.folder).encode()))
        path = self.agents / f"{hashlib.sha256(data.getvalue()).hexdigest()}.pyz"
        path.write_bytes(data.getvalue())
        path.chmod(0o600)
        return path

    def run(self, word: str, sent: bytes) -> subprocess.CompletedProcess[bytes]:
        # The client's environment must not matter: sudo removes it, and with -I Python ignores it.
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": "/nowhere"}
        return subprocess.run(
            [sys.executable, "-I", self.program, word],
            input=sent, capture_output=True, env=env, check=False, timeout=30,
        )  # fmt: skip


@pytest.fixture
def host() -> Iterator[Host]:
    """Return a host in a folder that `nobody` may enter to reach the socket, unlike pytest's own folders."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Host(Path(name))


def ask(**request: Any) -> bytes:
    return json.dumps({"id": 1, **request}).encode() + b"\n"


def test_the_agent_that_a_deploy_installed_answers(host: Host) -> None:
    path = host.install()
    done = host.run("agent", ask(op="hello"))
    word, answer = done.stdout.decode().splitlines()
    assert word == "have"
    assert json.loads(answer)["result"]["agent"] == path.stem
    refused = json.loads(host.run("agent", ask(op="put", kind="file")).stdout.splitlines()[1])
    assert refused["error"]["code"] == "read-only"
    assert sorted(one.name for one in host.folder.iterdir()) == ["agent", "preview-as-root"]


def test_without_an_agent_the_error_says_what_to_do(host: Host) -> None:
    done = host.run("agent", b"")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"no agent is installed on the host; `up` with the deploy key installs it" in done.stderr


def test_a_changed_agent_is_not_started(host: Host) -> None:
    path = host.install()
    path.write_bytes(path.read_bytes() + b"x")
    done = host.run("agent", ask(op="hello"))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"is damaged" in done.stderr


def test_an_agent_that_root_does_not_own_is_not_started(host: Host) -> None:
    os.chown(host.install(), 65534, 65534)
    assert b"is damaged" in host.run("agent", ask(op="hello")).stderr


def test_a_link_in_place_of_the_agent_is_not_followed(host: Host, tmp_path: Path) -> None:
    path = host.install()
    path.rename(tmp_path / "other")
    path.symlink_to(tmp_path / "other")
    assert b"no agent is installed" in host.run("agent", b"").stderr


def test_an_agent_without_support_for_previews_is_reported_as_older(host: Host) -> None:
    host.install(without="/preview.py")
    assert b"is older than the preview key" in host.run("agent", b"").stderr


def test_an_agent_that_the_client_sends_is_not_run(host: Host) -> None:
    """If the host has no agent, a deploy sends `agent LENGTH` and the agent's bytes."""
    host.install()
    evil = b"import os; os.mkdir('/tmp/evil')"
    done = host.run("agent", b"agent %d\n" % len(evil) + evil + b"\n" + ask(op="hello"))
    assert b'"ok": true' in done.stdout
    assert not Path("/tmp/evil").exists()  # noqa: S108


class Answering(http.server.BaseHTTPRequestHandler):
    who: ClassVar[list[tuple[int, int]]] = []

    def do_GET(self) -> None:
        _, uid, gid = struct.unpack(
            "3i", self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        )
        self.who.append((uid, gid))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"Version": "28", "Me": "docker"}).encode())

    def log_message(self, *_: Any) -> None:
        pass

    def address_string(self) -> str:
        return "unix"


def test_the_user_nobody_in_dockers_group_asks_docker(host: Host) -> None:
    """After it gives up root, the program cannot read the agent's file, so it loads all modules before."""
    host.install()
    place = host.folder / "docker.sock"
    with socketserver.ThreadingUnixStreamServer(str(place), Answering) as server:
        place.chmod(0o660)
        os.chown(place, 0, 4711)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            good = b"GET /version HTTP/1.1\r\nHost: docker\r\n\r\n"
            done = host.run("docker", good + good + b"POST /containers/create HTTP/1.1\r\n\r\n")
        finally:
            server.shutdown()
            thread.join()
    assert done.stderr == b""
    assert set(Answering.who) == {(pwd.getpwnam("nobody").pw_uid, 4711)}
    assert done.stdout.count(b'{"Version": "28", "Me": "docker"}') == 2
    assert done.stdout.count(b"HTTP/1.1 403 Forbidden") == 1


def test_without_docker_the_answer_is_an_error(host: Host) -> None:
    host.install()
    done = host.run("docker", b"GET /version HTTP/1.1\r\nHost: docker\r\n\r\n")
    assert done.stdout.startswith(b"HTTP/1.1 503 ")
