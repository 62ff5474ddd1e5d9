from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest  # noqa: TC002

from portcullis.host import dial
from tests.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path


def serve(greeting: bytes) -> int:
    """Accept one connection, send a greeting, echo one line and close. Return the port."""
    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with server, server.accept()[0] as client:
            client.sendall(greeting)
            client.sendall(client.recv(100))

    threading.Thread(target=run, daemon=True).start()
    return int(server.getsockname()[1])


def run(*ports: int) -> subprocess.CompletedProcess[bytes]:
    words = [sys.executable, "-I", dial.__file__, "127.0.0.1", *map(str, ports)]
    # The input stays open, because its end would mean that ssh has closed the connection.
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        child.stdin.write(b"hello\n")
        child.stdin.flush()
        child.wait(30)
        out, err = child.communicate()
    return subprocess.CompletedProcess(words, child.returncode, out, err)


def test_the_declared_port_is_used_if_it_answers() -> None:
    done = run(serve(b"SSH-2.0-declared\r\n"), free_port())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"SSH-2.0-declared\r\nhello\n", b"")


def test_the_next_port_is_tried_and_named() -> None:
    first, second = free_port(), serve(b"SSH-2.0-old\r\n")
    done = run(first, second)
    assert done.stdout == b"SSH-2.0-old\r\nhello\n"
    assert f"{dial.ELSEWHERE} {second} instead of {first}" in done.stderr.decode()


def test_the_error_without_any_open_port_uses_the_words_of_ssh() -> None:
    done = run(port := free_port())
    assert done.returncode == 1
    assert f"ssh: connect to host 127.0.0.1 port {port}: Connection refused" in done.stderr.decode()


def test_behind_a_jump_host_only_a_server_that_sends_counts(tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(
        '#!/bin/sh\n[ "$4" = "[2001:db8::1]:22" ] || exit 1\nprintf "%s\\r\\n" "SSH-2.0-behind $5"\n'
    )
    ssh.chmod(0o755)
    words = [sys.executable, "-I", dial.__file__, "--through", "config", "gate", "2001:db8::1", "2222", "22"]
    done = subprocess.run(
        words,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        input=b"",
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == b"SSH-2.0-behind gate\r\n"
    assert f"{dial.ELSEWHERE} 22 instead of 2222" in done.stderr.decode()


def test_a_silent_port_does_not_delay_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    port, real = serve(b""), socket.create_connection
    over, gave_up = threading.Event(), threading.Event()

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        if address[1] == 1:
            if not over.wait(60):
                gave_up.set()
            return socket.socket()  # it is closed at once, because the other port was faster
        return real(address, timeout)

    monkeypatch.setattr(dial.socket, "create_connection", connect)
    monkeypatch.setattr(dial, "_STAGGER", 0.1)
    found = dial.direct("127.0.0.1", [1, port])
    waited = gave_up.is_set()
    over.set()
    assert found is not None
    assert found[0] == port
    assert not waited
    os.close(found[1])
