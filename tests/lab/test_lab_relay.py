"""The relay of the lab delays, counts, loses and cuts connections."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from lab.relay import Counts, Relay
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

RTT = 0.3  # seconds
HANG = 60  # seconds


@contextmanager
def echo() -> Iterator[tuple[str, int]]:
    """Serve lines back until the block ends."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection:
            while piece := connection.recv(65536):
                connection.sendall(piece)

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(HANG)


def say(connection: socket.socket, text: bytes) -> bytes:
    connection.sendall(text)
    got = b""
    while len(got) < len(text):
        got += connection.recv(65536)
    return got


def test_each_exchange_costs_one_round_trip_and_the_first_also_the_handshake() -> None:
    with echo() as target, Relay(target, rtt=RTT) as relay:
        begun = time.monotonic()  # before: the relay's clock runs from when it accepts
        took = []
        with socket.create_connection(relay.address) as client:
            for _ in range(3):
                assert say(client, b"hello") == b"hello"
                took.append(time.monotonic() - begun)
                begun = time.monotonic()
    assert took[0] >= 2 * RTT
    assert all(seconds >= RTT for seconds in took[1:])


def test_a_long_answer_pays_the_delay_once() -> None:
    """It has 64 pieces or more. Meanwhile another client, who pays for each exchange, makes only a few."""
    data = bytes(64 * 65536)
    with (
        echo() as target,
        Relay(target, rtt=RTT) as relay,
        socket.create_connection(relay.address) as client,
        socket.create_connection(relay.address) as other,
    ):
        say(client, b".")
        say(other, b".")
        long = threading.Thread(target=say, args=(client, data))
        long.start()
        exchanges = 0
        while long.is_alive():
            say(other, b".")
            exchanges += 1
    assert exchanges < 48


def test_it_counts_connections_bytes_and_round_trips() -> None:
    with echo() as target, Relay(target) as relay:
        for _ in range(2):
            with socket.create_connection(relay.address) as client:
                say(client, b"12345")
                say(client, b"67890")
        assert relay.reset() == Counts(connections=2, sent=20, received=20, round_trips=4)
        assert relay.counts == Counts()


def test_a_target_that_refuses_hangs_up_on_the_client() -> None:
    with (
        Relay(("127.0.0.1", free_port())) as relay,
        socket.create_connection(relay.address, timeout=HANG) as client,
    ):
        assert client.recv(1) == b""


def test_the_end_of_one_side_reaches_the_other() -> None:
    with echo() as target, Relay(target, rtt=0.02) as relay:
        with socket.create_connection(relay.address, timeout=HANG) as client:
            client.sendall(b"last words")
            client.shutdown(socket.SHUT_WR)
            got = b""
            while piece := client.recv(100):
                got += piece
        assert got == b"last words"


def test_what_the_target_says_before_it_hears_the_client_is_no_round_trip() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Relay(server.getsockname(), rtt=RTT) as relay:
        with socket.create_connection(relay.address, timeout=HANG) as client, server.accept()[0] as target:
            target.sendall(b".")
            client.recv(100)  # the line is open both ways
            relay.delay(4)  # "hello" takes 2 s: the greeting is on its way by then
            client.sendall(b"hello")
            target.sendall(b"a greeting that was on its way")
            client.recv(100)
            assert relay.counts.round_trips == 0
            assert target.recv(100) == b"hello"
            relay.delay(0)
            target.sendall(b"an answer")
            client.recv(100)
        assert relay.counts.round_trips == 1


def test_a_line_that_loses_says_nothing_any_more_and_one_that_is_cut_ends() -> None:
    with echo() as target, Relay(target) as relay, socket.create_connection(relay.address) as client:
        assert say(client, b"heard") == b"heard"
        relay.lose()
        client.sendall(b"lost")
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(10)
        assert relay.cut() == 1
        assert client.recv(10) == b""
        with socket.create_connection(relay.address) as later:
            assert say(later, b"heard") == b"heard"


def test_a_line_that_loses_keeps_the_end_of_a_client_to_itself() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Relay(server.getsockname()) as relay:
        with socket.create_connection(relay.address) as client:
            far, _ = server.accept()
            client.sendall(b"heard")
            assert far.recv(10) == b"heard"
            relay.lose()
        with far:
            far.settimeout(0.5)
            with pytest.raises(TimeoutError):
                far.recv(10)
            relay.cut()
            assert far.recv(10) == b""


def test_a_delay_may_come_later() -> None:
    with echo() as target, Relay(target) as relay, socket.create_connection(relay.address) as client:
        say(client, b"at once")
        relay.delay(RTT)
        begun = time.monotonic()
        say(client, b"later")
        assert time.monotonic() - begun >= RTT
