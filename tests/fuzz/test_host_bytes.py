"""The agent reads or refuses any bytes that a store, an impostor or Docker sends."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portcullis.agent import docker_socket, lock, x509
from portcullis.agent.errors import AgentError
from portcullis.components.backups import on_host as backups
from portcullis.components.backups.job import archive, shelf
from portcullis.components.backups.job.programs import Failed
from portcullis.components.certificates.on_host import dns_lookup, lineages
from portcullis.components.exposure.on_host import docker_ports
from portcullis.components.fail2ban.on_host import bans, fail2ban
from portcullis.components.inventory.on_host import docker
from portcullis.components.mongodb.on_host import mongo_client
from portcullis.components.mongodb.on_host.mongo_bson import Malformed, decode, encode
from portcullis.components.mongodb.on_host.mongo_scram import Conversation, ServerUnproven
from portcullis.components.previews.on_host import docker_view
from portcullis.components.redis.on_host import resp
from tests.components.certificates.fake_certbot import issued
from tests.fuzz.texts import altered, blobs, documents, texts, values

PEM, _ = issued(["www.example.com", "*.example.com"])
DER = x509.first_of(PEM)
HELLO = encode({"ok": 1, "databases": [{"name": "admin", "size": 2**40}], "t": b"\0\1", "d": {"e": {}}})
A_RECORD = (
    struct.pack("!6H", 7, 0x8180, 1, 2, 0, 0)
    + b"\3www\7example\3com\0\0\1\0\1"
    + (b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\7\4host\xc0\x10" + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\7")
)


class Line:
    """A connection whose other end has already sent everything."""

    def __init__(self, said: bytes, size: int = 65536) -> None:
        self._said, self._size = io.BytesIO(said), size

    def recv(self, size: int) -> bytes:
        return self._said.read(min(size, self._size))

    def makefile(self, _: str) -> io.BytesIO:
        return self._said

    def sendall(self, _: bytes) -> None: ...

    def settimeout(self, _: float) -> None: ...

    def close(self) -> None: ...


@given(blobs(DER))
def test_any_bytes_are_a_certificate_or_refused(data: bytes) -> None:
    try:
        found = x509.parse(data)
    except ValueError:
        return
    assert all(isinstance(each, int) for each in (found.begins, found.ends))


@given(blobs(PEM))
def test_any_text_is_a_certificate_or_refused(data: bytes) -> None:
    try:
        x509.parse(x509.first_of(data))
    except ValueError:
        return


@given(blobs(HELLO))
def test_any_document_of_mongodb_is_decoded_or_refused(data: bytes) -> None:
    try:
        decode(data)
    except Malformed:
        return


SIMPLE = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(exclude_characters="\0", codec="utf-8"))
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5), inner, max_size=3
        )
    ),
    max_leaves=10,
)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5), SIMPLE, max_size=4
    )
)
def test_documents_of_mongodb_survive_encoding(document: dict[str, Any]) -> None:
    assert decode(encode(document)) == document


@given(said=blobs(b"r=abcdefg,s=c2FsdA==,i=4096"), last=blobs(b"v=AAAA"))
def test_a_server_of_mongodb_without_the_password_is_refused(said: bytes, last: bytes) -> None:
    talk = Conversation("root", "secret", nonce="abc")
    try:
        talk.final(said)
        talk.verify(last)
    except ServerUnproven:
        return
    raise AssertionError("a server without the password was accepted")


def _message(body: bytes, number: int = 1) -> bytes:
    return struct.pack("<iiii", 16 + 5 + len(body), 9, number, 2013) + struct.pack("<IB", 0, 0) + body


@given(
    blobs(_message(HELLO), _message(encode({"ok": 0, "code": 13, "codeName": "Unauthorized"})))
    | st.floats().map(
        lambda code: _message(b"\x18\0\0\0\x01code\0" + struct.pack("<d", code) + b"\x08ok\0\0\0")
    )
)
def test_any_answer_of_mongodb_is_read_or_refused(said: bytes) -> None:
    client = mongo_client.Client("127.0.0.1:1")
    client._socket = Line(said)  # type: ignore[assignment]
    try:
        client.command({"hello": 1, "$db": "admin"})
    except (mongo_client.Refused, mongo_client.Unanswered):
        return


@given(
    blobs(
        b"*3\r\n$3\r\nfoo\r\n:1\r\n*1\r\n-ERR #0123456789ab\r\n",
        b"+OK\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"-NOAUTH x\r\n",
    ),
    st.integers(1, 9),
)
def test_any_answer_of_redis_is_read_or_refused(said: bytes, piece: int) -> None:
    client = object.__new__(resp.Redis)
    client.address, client._socket, client._buffer, client._taken = "h:1", Line(said, piece), bytearray(), 0  # type: ignore[assignment]
    try:
        resp.texts(client.call("ACL", "LIST"))
    except (resp.Refused, resp.NotRunning, AgentError):
        return


@given(st.sampled_from([1, 28]), blobs(A_RECORD))
def test_any_answer_of_a_name_server_is_read_or_refused(kind: int, message: bytes) -> None:
    if len(message) < 12:  # the caller ignores such messages
        return
    try:
        dns_lookup._records(message, kind)
    except dns_lookup.LookupFailed:
        return


@given(blobs(b"HTTP/1.0 200 OK\r\nX: y\r\n\r\n" + b'{"Id": "a"}\n{"message": "no"}\n'))
def test_any_answer_of_docker_is_read_or_refused(said: bytes) -> None:
    with docker_socket.Answer(Line(said)) as answer:  # type: ignore[arg-type]
        answer.error()
    with docker_socket.Answer(Line(said)) as answer:  # type: ignore[arg-type]
        try:
            answer.document()
        except AgentError:
            return


@pytest.mark.parametrize("depth", [10, 200_000])
def test_deeply_nested_answers_of_docker_are_read_or_refused(depth: int) -> None:
    said = b"HTTP/1.0 200 OK\r\n\r\n" + b"[" * depth + b"]" * depth + b"\n"
    with docker_socket.Answer(Line(said)) as answer:  # type: ignore[arg-type]
        try:
            answer.document()
        except AgentError:
            return
    with docker_socket.Answer(Line(said)) as answer:  # type: ignore[arg-type]
        answer.error()


@given(
    blobs(
        b"GET /v1.41/containers/json?all=1&filters=%7B%22name%22%3A%5B%22a%22%5D%7D HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    )
)
def test_any_request_of_the_preview_key_to_docker_is_one_line_or_refused(said: bytes) -> None:
    try:
        request = docker_view.read_request(io.BytesIO(said))
    except docker_view.Refused:
        return
    # Docker gets one line, whatever the client sent.
    assert request is None or all(" " < letter < "\x7f" for part in request for letter in part)


CONTAINER = {
    "Id": "a" * 64,
    "Name": "/stranger",
    "Names": ["/stranger"],
    "Created": "2026-11-27T08:00:12Z",
    "Image": "nginx",
    "ImageID": "sha256:b",
    "State": {
        "Status": "running",
        "Error": "CANARY",
        "Health": {"Status": "healthy", "FailingStreak": 0, "Log": [{"Output": "CANARY"}]},
    },
    "Config": {"Env": ["A=CANARY"], "Cmd": ["CANARY"], "Labels": {"x": "CANARY"}, "Image": "nginx"},
    "HostConfig": {
        "PidMode": "host",
        "NetworkMode": "container:abc",
        "Privileged": True,
        "Binds": ["/:/host:ro"],
        "CapAdd": ["ALL"],
        "SecurityOpt": ["seccomp=unconfined"],
        "Devices": [{"PathOnHost": "/dev/sda"}],
        "PortBindings": {"80/tcp": [{"HostPort": "80", "HostIp": ""}]},
    },
    "Mounts": [{"Type": "bind", "Source": "/", "Destination": "/host", "RW": True}],
    "Labels": {"x": "CANARY"},
    "Command": "CANARY",
    "NetworkSettings": {
        "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "80"}]},
        "Networks": {"x": {"IPAddress": "10.0.0.2"}},
    },
    "Ports": [{"IP": "::", "PublicPort": 80, "Type": "tcp"}],
    "Args": ["CANARY"],
    "Path": "CANARY",
}
NETWORK = {
    "Name": "n",
    "Driver": "bridge",
    "Options": {"parent": "CANARY", "com.docker.network.bridge.name": "br"},
    "Labels": {"x": "CANARY"},
    "IPAM": {"Options": {"x": "CANARY"}, "Config": []},
}
VOLUME = {
    "Name": "v",
    "Driver": "local",
    "Options": {"o": "CANARY"},
    "Labels": {"x": "CANARY"},
    "Status": {"x": "CANARY"},
}
IMAGE = {
    "Id": "i",
    "Config": {"Env": ["CANARY"]},
    "ContainerConfig": {"Cmd": ["CANARY"]},
    "Comment": "CANARY",
    "Author": "CANARY",
    "Labels": {"x": "CANARY"},
    "RepoTags": ["x:1"],
}
QUESTIONS = (
    "/containers/x/json",
    "/containers/json",
    "/images/x/json",
    "/images/json",
    "/networks",
    "/networks/x",
    "/volumes",
    "/volumes/x",
    "/info",
    "/",
)


@given(
    question=st.sampled_from(QUESTIONS),
    answer=documents(
        CONTAINER, [CONTAINER], NETWORK, [NETWORK], VOLUME, {"Volumes": [VOLUME]}, IMAGE, [IMAGE]
    ),
)
def test_any_answer_of_docker_can_be_redacted(question: str, answer: Any) -> None:
    said = docker_view._scrubbed(question, json.dumps(answer).encode(), {"declared"})
    json.loads(said)


@given(question=st.sampled_from(QUESTIONS[:2]), change=st.integers(0, 10**6), gone=st.booleans())
def test_no_answer_about_an_undeclared_container_has_a_secret(question: str, change: int, gone: bool) -> None:
    # In a list, Docker gives the state as one word.
    listed = {**CONTAINER, "State": "running"} if question.endswith("containers/json") else CONTAINER
    answer = altered(listed, [(change, gone, None)])
    if not isinstance(answer, dict):
        return
    asked = [answer] if question.endswith("containers/json") else answer
    assert b"CANARY" not in docker_view._scrubbed(question, json.dumps(asked).encode(), {"declared"})


def _holds_null(value: Any) -> bool:
    """Return whether a list in JSON contains null.

    Docker writes null for empty values, but never inside a list.
    """
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (isinstance(value, list) and None in value) or any(map(_holds_null, inner))


NULLS = st.lists(st.tuples(st.integers(0, 10**6), st.booleans()), max_size=6)


@given(NULLS)
def test_containers_with_missing_fields_are_read(changes: list[tuple[int, bool]]) -> None:
    entry = altered(CONTAINER, [(place, gone, None) for place, gone in changes])
    if not isinstance(entry, dict) or _holds_null(entry):
        return
    docker.dangers_of(entry, {})
    docker.container(entry)
    docker_ports.container({"Id": "a", **entry, **({} if entry.get("Id") else {"Id": "a"})}, [])
    list(docker_ports._live(entry.get("Ports") or []))


ANSWER = pickle.dumps((0, [("Jail list", "sshd, web"), ["127.0.0.1"]]), protocol=4)


@given(blobs(ANSWER, pickle.dumps((1, Exception("x")), protocol=2)))
def test_any_answer_of_fail2ban_is_read_or_refused(said: bytes) -> None:
    server = object.__new__(fail2ban.Server)
    server._socket = Line(said + b"<F2B_END_COMMAND>")  # type: ignore[assignment]
    try:
        server.jails()
    except AgentError:
        return


@given(
    blobs(b'{"who": "me", "stack": "prod", "since": "now"}')
    | values.map(lambda value: json.dumps(value).encode())
)
def test_any_content_of_the_lock_names_a_holder(data: bytes) -> None:
    assert isinstance(lock._holder(data), str)


@given(documents({"success": 1.0, "reason": "x", "file": "/nowhere", "bytes": 3}), st.floats(0.1, 1e6))
def test_any_status_of_backups_is_described(entry: Any, hours: float) -> None:
    assert isinstance(backups._state(entry, hours), str)


@given(texts("redis-20261127T033000Z-12.rdb", "20261127T033000Z.12.rdb"))
def test_any_file_name_of_a_dump_is_read(name: str) -> None:
    shelf.read_name(Path("/x") / name.replace("/", "").replace("\0", "") or "x")


@given(blobs(b"[renewalparams]\nwebroot_path = /var/www,\nserver = https://x\n"))
def test_any_settings_of_certbot_are_read(data: bytes) -> None:
    lineages._settings(data)


def _header(**fields: str | bool) -> bytes:
    body = b"".join(
        (
            b"\x08" + name.encode() + b"\0" + bytes([value])
            if isinstance(value, bool)
            else b"\x02" + name.encode() + b"\0" + struct.pack("<I", len(value) + 1) + value.encode() + b"\0"
        )
        for name, value in fields.items()
    )
    return struct.pack("<I", len(body) + 5) + body + b"\0"


END = b"\xff\xff\xff\xff"
ARCHIVE = (
    struct.pack("<I", 0x8199E26D)
    + _header(db="shop", server_version="8.0.4")
    + END
    + _header(db="shop", collection="x", EOF=False)
    + HELLO
    + END
    + _header(db="shop", collection="x", EOF=True)
    + END
)


@given(data=blobs(ARCHIVE), packed=st.booleans(), cut=st.integers(0, 20))
def test_any_archive_of_mongodb_is_counted_or_refused(
    data: bytes, packed: bool, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "archive.gz"
    whole = gzip.compress(data) if packed else data
    path.write_bytes(whole[: len(whole) - cut] if cut < 5 else whole)
    try:
        archive.documents(path)
        archive.server_version(path)
    except Failed:
        return


@given(
    listing=documents(
        {
            "nftables": [
                {"set": {"name": "addr-set-sshd", "elem": ["1.2.3.4", {"prefix": {}}]}},
                {"rule": {"expr": [{"match": {"right": "@addr-set-sshd"}}]}},
            ]
        }
    )
)
def test_any_sets_of_the_packet_filter_are_read_or_refused(listing: Any) -> None:
    try:
        bans._in_packet_filter(json.dumps(listing), "sshd")
    except AgentError:
        return
