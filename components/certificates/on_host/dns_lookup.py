"""A look-up of a name's addresses in DNS, without the system's own resolver.

The system's own look-up prefers ``/etc/hosts``, where Debian maps a host's own name to 127.0.1.1. A
certificate authority asks DNS, so we do the same. RFC 1035, section 4 describes the messages of DNS.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
import struct
from pathlib import Path

_RESOLV_CONF = Path("/etc/resolv.conf")
_PORT = 53
_TIMEOUT = 3.0  # seconds for each try; each server is asked twice
_SIZE = 4096
_A, _AAAA, _IN = 1, 28, 1
_RECURSION_DESIRED, _TRUNCATED = 0x0100, 0x0200
_CODE = 0x000F
_NO_SUCH_NAME = 3
_POINTER = 0xC0


class LookupFailed(Exception):
    """No name server answered the question. The text of the exception says why."""


def servers(path: Path = _RESOLV_CONF) -> list[str]:
    """Return the name servers of this host.

    If no name server is configured, the default is 127.0.0.1 (resolv.conf(5)).
    """
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    return [line.split()[1] for line in lines if line.split()[:1] == ["nameserver"] and line.split()[1:]] or [
        "127.0.0.1"
    ]


def addresses(name: str, ask: list[str], port: int = _PORT) -> tuple[list[str], list[str]]:
    """Return the A and the AAAA records of a name. A name that does not exist has no records.

    Args:
        name: a host name in ASCII.
        ask: addresses of name servers, in the order in which to ask them.
        port: the port of the name servers.

    Raises:
        LookupFailed: no name server answers, or the name servers of the zone do not answer.
    """
    return _look_up(name, _A, ask, port), _look_up(name, _AAAA, ask, port)


def _look_up(name: str, kind: int, ask: list[str], port: int) -> list[str]:
    trouble = "no name server"
    for server in [*ask, *ask]:
        number = secrets.randbelow(1 << 16)
        try:
            answer = _exchange(_question(name, kind, number), server, port)
        except OSError as error:
            trouble = f"{server}: {error.strerror or 'no answer'}"
            continue
        code = _flags(answer) & _CODE
        if code == _NO_SUCH_NAME:
            return []
        if code == 0:
            return _records(answer, kind)
        trouble = f"{server} answers with error {code}: the name servers of the zone may be down"
    raise LookupFailed(trouble)


def _exchange(question: bytes, server: str, port: int) -> bytes:
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as line:
        line.settimeout(_TIMEOUT)
        line.connect((server, port))
        line.send(question)
        while True:
            answer = line.recv(_SIZE)
            if answer[:2] == question[:2] and len(answer) >= 12:  # noqa: PLR2004 - the length of the header
                break
    if not _flags(answer) & _TRUNCATED:
        return answer
    with socket.create_connection((server, port), timeout=_TIMEOUT) as line:
        line.sendall(struct.pack("!H", len(question)) + question)
        with line.makefile("rb") as stream:
            (length,) = struct.unpack("!H", stream.read(2).ljust(2, b"\0"))
            whole = stream.read(length)
    return whole if len(whole) == length and length >= 12 else answer  # noqa: PLR2004 - the length of the header


def _question(name: str, kind: int, number: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    return (
        struct.pack("!6H", number, _RECURSION_DESIRED, 1, 0, 0, 0) + labels + struct.pack("!xHH", kind, _IN)
    )


def _flags(message: bytes) -> int:
    return int.from_bytes(message[2:4], "big")


def _records(message: bytes, kind: int) -> list[str]:
    """Return the addresses in an answer of DNS.

    A resolver follows aliases (CNAME), so the answer contains every alias and the addresses of the last one.
    """
    questions, answers = struct.unpack("!HH", message[4:8])
    at, found = 12, []
    try:
        for _ in range(questions):
            at = _after_name(message, at) + 4
        for _ in range(answers):
            at = _after_name(message, at)
            type_, _class, _ttl, length = struct.unpack("!HHIH", message[at : at + 10])
            at += 10
            if type_ == kind:
                found.append(str(ipaddress.ip_address(message[at : at + length])))
            at += length
    except (IndexError, struct.error, ValueError):
        raise LookupFailed("the answer of the DNS server is malformed") from None
    return found


def _after_name(message: bytes, at: int) -> int:
    while message[at]:
        if message[at] & _POINTER == _POINTER:
            return at + 2
        at += message[at] + 1
    return at + 1
