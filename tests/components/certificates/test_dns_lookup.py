"""Look-ups of names in DNS. A small name server gives the answers that each test prepares."""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from portcullis.components.certificates.on_host import dns_lookup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAME = "www.example.com"
V4, V6 = b"\xc0\x00\x02\x07", bytes.fromhex("20010db8000000000000000000000007")


class Server:
    """A name server that answers every question with a record of the asked type.

    With other `flags` its answers have no record.
    """

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.asked: list[bytes] = []
        self.flags = 0x8180
        self.alias = False
        self.mangle: Callable[[bytes], bytes] = lambda answer: answer
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                question, client = self.socket.recvfrom(4096)
            except OSError:
                return
            self.asked.append(question)
            (kind,) = struct.unpack("!H", question[-4:-2])
            data = {1: V4, 28: V6}[kind]
            records = [(kind, data)] if self.flags == 0x8180 else []
            if self.alias:
                records.insert(0, (5, b"\x04host\xc0\x10"))
            body = b"".join(
                b"\xc0\x0c" + struct.pack("!HHIH", type_, 1, 60, len(value)) + value
                for type_, value in records
            )
            head = question[:2] + struct.pack("!5H", self.flags, 1, len(records), 0, 0)
            self.socket.sendto(self.mangle(head + question[12:] + body), client)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(dns_lookup, "_TIMEOUT", 60)
    made = Server()
    yield made
    made.socket.close()


def test_a_name_has_the_addresses_from_dns(server: Server) -> None:
    assert dns_lookup.addresses(NAME, ["127.0.0.1"], server.port) == (["192.0.2.7"], ["2001:db8::7"])
    assert b"\x03www\x07example\x03com\x00" in server.asked[0]


def test_alias_records_in_an_answer_are_skipped(server: Server) -> None:
    server.alias = True
    assert dns_lookup.addresses(NAME, ["127.0.0.1"], server.port)[0] == ["192.0.2.7"]


def test_a_name_that_does_not_exist_has_no_addresses(server: Server) -> None:
    server.flags = 0x8183
    assert dns_lookup.addresses(NAME, ["127.0.0.1"], server.port) == ([], [])


@pytest.mark.parametrize(("flags", "code"), [(0x8182, "2"), (0x8185, "5")])
def test_an_error_of_the_name_server_is_reported(server: Server, flags: int, code: str) -> None:
    server.flags = flags
    with pytest.raises(dns_lookup.LookupFailed, match=f"error {code}"):
        dns_lookup.addresses(NAME, ["127.0.0.1"], server.port)


def test_the_next_server_is_asked_when_one_is_silent(server: Server) -> None:
    assert dns_lookup.addresses(NAME, ["127.0.0.99", "127.0.0.1"], server.port)[0] == ["192.0.2.7"]


def test_an_answer_to_another_question_is_ignored(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_lookup, "_TIMEOUT", 0.2)
    server.mangle = lambda answer: bytes([answer[0] ^ 1]) + answer[1:]
    with pytest.raises(dns_lookup.LookupFailed, match="no answer"):
        dns_lookup.addresses(NAME, ["127.0.0.1"], server.port)


def test_an_answer_that_is_cut_off_is_malformed(server: Server) -> None:
    server.mangle = lambda answer: answer[:-3]
    with pytest.raises(dns_lookup.LookupFailed, match="malformed"):
        dns_lookup.addresses(NAME, ["127.0.0.1"], server.port)


def test_name_servers_come_from_resolv_conf(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    assert dns_lookup.servers(file) == ["127.0.0.1"]
    lines = ["# nameserver 192.0.2.1", "search test", "nameserver 192.0.2.2", "nameserver"]
    lines.append("nameserver fe80::1%eth0")
    file.write_text("\n".join(lines))
    assert dns_lookup.servers(file) == ["192.0.2.2", "fe80::1%eth0"]
