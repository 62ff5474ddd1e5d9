"""The visitors tell a request that the server lost from one that it never read."""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest

from tests.load import HANG, _exchange, _Unanswered
from tests.proxy.certificates import issue
from tests.proxy.edge import trusting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "app.example.com"


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def lines(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[socket.socket, socket.socket]:
    """Both ends of an open connection: the client's and the server's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near, far = socket.create_connection(server.getsockname(), timeout=HANG), server.accept()[0]
    if not request.param:
        return near, far
    issued = issue([NAME])
    (tmp_path / "pair").write_text(issued.chain + issued.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair")
    context.num_tickets = 0  # else the client has something to read before it asks
    secured: list[socket.socket] = []
    shaking = threading.Thread(target=lambda: secured.append(context.wrap_socket(far, server_side=True)))
    shaking.start()
    near = trusting().wrap_socket(near)
    shaking.join()
    return near, secured[0]


def test_a_server_that_hung_up_before_the_request_has_not_read_it(
    lines: tuple[socket.socket, socket.socket],
) -> None:
    near, far = lines
    far.close()
    select.select([near], [], [], HANG)
    with near, pytest.raises(_Unanswered):
        _exchange(near, NAME, "/")


def never_reads(far: socket.socket) -> None:
    select.select([far], [], [], HANG)


def reads(far: socket.socket) -> None:
    assert far.recv(4096).startswith(b"GET / ")


@pytest.mark.parametrize(
    ("serve", "told"),
    [(never_reads, _Unanswered), (reads, http.client.HTTPException)],
    ids=["unread", "read"],
)
def test_a_server_that_hangs_up_has_lost_what_it_read(
    lines: tuple[socket.socket, socket.socket],
    serve: Callable[[socket.socket], None],
    told: type[Exception],
) -> None:
    near, far = lines

    def hang_up() -> None:
        with far:
            serve(far)

    serving = threading.Thread(target=hang_up)
    serving.start()
    with near, contextlib.closing(far), pytest.raises(told):
        _exchange(near, NAME, "/")
    serving.join()
