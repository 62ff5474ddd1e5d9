"""The code that reads Docker's socket, with answers that a real Docker never gives."""

from __future__ import annotations

import socket

import pytest

from portcullis.agent.docker_socket import Answer
from portcullis.agent.errors import AgentError

DEEP = b"[" * 200_000 + b"]" * 200_000


def answer(body: bytes, status: bytes = b"200") -> Answer:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.settimeout(5)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        theirs.sendall(b"HTTP/1.0 " + status + b" OK\r\n\r\n" + body)
    return Answer(ours)


def test_an_answer_that_is_nested_too_deep_is_an_error() -> None:
    with answer(DEEP) as said, pytest.raises(AgentError, match="is not JSON"):
        said.document()


def test_a_line_that_is_nested_too_deep_is_skipped() -> None:
    with answer(DEEP + b'\n{"message": "no"}\n') as said:
        assert said.error() == "no"


def test_a_status_that_is_too_long_is_ignored() -> None:
    with answer(b"", b"9" * 5000) as said:
        assert said.status == 0
