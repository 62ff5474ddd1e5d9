"""Tests a hostile host at the other end of ssh. It sends any bytes or none, and hangs up at any moment."""

from __future__ import annotations

import json
import os
import shlex
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portcullis.host import agent_process
from portcullis.host import session as session_module
from portcullis.host.connections import Connection, write_ssh_config
from portcullis.host.errors import HostError
from portcullis.host.session import Session
from portcullis.host.survey import Item, Survey
from tests.canned import KEY
from tests.fuzz.texts import blobs, is_utf8, printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANY = "FUZZ" in os.environ
LIMIT = 0.4
"""Seconds for the opening of a session, and for an answer."""
ITEM = Item("file", "/etc/motd", {"path": "/etc/motd"})
ANSWER = {
    "id": 1,
    "ok": True,
    "result": {
        "items": [
            {"kind": "file", "id": "/etc/motd", "spec": ITEM.spec, "facts": {"exists": True, "content": "x"}}
        ],
        "host": {"os": "debian-13"},
    },
}
WHOLE = b"Welcome to web1!\nhave\n" + json.dumps(ANSWER).encode() + b"\nended\n"
ENDS = (
    "exit 0",
    "exit 255",
    "cat >/dev/null",
    "echo 'ssh: connect to host x: Connection refused' >&2; exit 255",
)


class Host:
    """A program that replaces ssh. The program sends some bytes, then runs a shell command."""

    def __init__(self, folder: Path) -> None:
        self._said, self._program = folder / "said", folder / "ssh"
        self._folder = folder

    def ask(self, said: bytes, then: str, errors: bytes = b"") -> None:
        """Survey the hostile host. If the survey never ends, pytest's time limit fails the test."""
        self._said.write_bytes(said)
        (self._folder / "errors").write_bytes(errors)
        place = shlex.quote(str(self._folder))
        self._program.write_text(f"#!/bin/sh\ncat {place}/errors >&2\ncat {place}/said\n{then}\n")
        self._program.chmod(0o755)
        session = Session("web1", "lab", project=self._folder)
        try:
            Survey(_Quick(session), "lab").facts(ITEM)
        except HostError as error:
            assert printable(str(error)), str(error)
            assert is_utf8(str(error))
        finally:
            session.close()


class _Quick:
    """A session with a short limit."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def request(
        self, op: str, *, timeout: float, write: bool = False, **arguments: object
    ) -> dict[str, object]:
        del timeout
        return self._session.request(op, timeout=LIMIT, write=write, **arguments)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("host")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        patch.setattr(session_module, "OPEN_TIMEOUT", LIMIT)
        patch.setattr(agent_process, "LONGEST_ANSWER", 1 << 20)
        patch.setattr(agent_process, "MOST_OF_A_SESSION", 2 << 20)
        patch.setattr(agent_process, "_TIME_TO_END", LIMIT)
        write_ssh_config({"web1": Connection("192.0.2.1", host_key=KEY)}, stack="lab", project=folder)
        yield Host(folder)


@pytest.mark.parametrize("then", ENDS)
def test_a_host_that_hangs_up_after_any_byte_is_an_error(host: Host, then: str) -> None:
    step = 1 if MANY else 70
    for count in range(0, len(WHOLE) + 1, step):
        host.ask(WHOLE[:count], then)


@given(
    said=blobs(WHOLE),
    then=st.sampled_from(ENDS[:2]),
    errors=blobs(b"Permission denied (publickey).\n", b"portcullis: no\x1b[2J"),
)
@settings(max_examples=2000 if MANY else 15)
def test_a_host_that_sends_anything_is_an_error(host: Host, said: bytes, then: str, errors: bytes) -> None:
    host.ask(said, then, errors)


DEEP = b'{"id": 1, "ok": true, "result": {"items": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}\n"


@pytest.mark.parametrize(
    ("said", "then"),
    [
        *([(b"have\n", "yes"), (b"have\n", "yes >&2"), (b"have\n", "yes '{\"id\": 1}'")] if MANY else []),
        (b"have\n", "cat /dev/zero"),
        (b"have\n", "yes | tr -d '\\n'"),
        (b"", "yes Welcome"),
        (b"", "cat /dev/urandom"),
        (b"have\n" + DEEP, "cat >/dev/null"),
        (b"have\nhave\nneed\nno-python\n", "exit 0"),
        (b"need\n", "exit 0"),
        (b"need\n", "sleep 1; exit 0"),
        (b"no-python\n", "cat >/dev/null"),
    ],
)
def test_a_host_that_never_stops_sending_is_an_error(host: Host, said: bytes, then: str) -> None:
    host.ask(said, then)
