"""A stand-in for the ssh client, and a stand-in for the connection between a provider and its host."""

from __future__ import annotations

import os
import stat
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.host import provider, session
from portcullis.host.connections import Connection, write_ssh_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO2q8YREHwHGm/XQKhkVbx8c7BWkBJUW+xFGrlQUqG8U"

PREAMBLE = """\
import json, os, sys, time
def until(path):
    while not os.path.exists(path):
        time.sleep(0.01)
"""


def until(met: Callable[[], object]) -> None:
    """Wait for something that happens in another thread or program."""
    end = time.monotonic() + 120
    while not met():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


class CannedChannel:
    """Answers requests from a function and remembers them."""

    def __init__(self, answer: Callable[[str, dict[str, Any]], dict[str, Any]]) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self._answer = answer

    def request(self, op: str, *, timeout: float, write: bool = False, **arguments: Any) -> dict[str, Any]:
        assert timeout > 0
        self.sent.append((op, {**arguments, "write": write}))
        return self._answer(op, arguments)

    def families_in_use(self) -> list[tuple[str, ...]]:
        return [()]

    def reached(self, port: int) -> None:
        self.sent.append(("reached", {"port": port}))

    def log_in_again(self, op: str, login: session.Login, **arguments: Any) -> dict[str, Any]:
        self.sent.append((op, {**arguments, "login": login}))
        return self._answer(op, arguments)


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> Callable[..., CannedChannel]:
    def install(answer: Callable[[str, dict[str, Any]], dict[str, Any]]) -> CannedChannel:
        channel = CannedChannel(answer)
        monkeypatch.setattr(provider, "session", lambda _host, _stack: channel)
        return channel

    return install


@pytest.fixture
def fake_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., session.Session]]:
    """Put a Python program in place of `ssh` and return a session that uses it, ended with the test."""
    begun: list[session.Session] = []

    def install(body: str, **bootstrap: Any) -> session.Session:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        program = folder / "ssh"
        program.write_text(f"#!{sys.executable}\n{PREAMBLE}" + textwrap.dedent(body))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        connection = Connection("192.0.2.1", host_key=KEY, **bootstrap)
        write_ssh_config({"web1": connection}, stack="lab", project=tmp_path)
        begun.append(session.Session("web1", "lab", project=tmp_path))
        return begun[-1]

    yield install
    for one in begun:
        one.close()
