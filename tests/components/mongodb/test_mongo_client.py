"""The agent's MongoDB client, against our fake server, and its BSON in comparison with pymongo's."""

from __future__ import annotations

import datetime as dt
import math
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import bson
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from portcullis.components.mongodb.on_host import mongo_client
from portcullis.components.mongodb.on_host.mongo_bson import Malformed, decode, encode
from portcullis.components.mongodb.on_host.mongo_client import Client, LoginRefused, Refused, Unanswered
from portcullis.components.mongodb.on_host.mongo_scram import Conversation, ServerUnproven, prepared
from tests.components.mongodb.fake_mongo import FakeMongo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PASSWORD = "correct-horse"


@pytest.fixture
def mongo() -> Iterator[FakeMongo]:
    fake = FakeMongo()
    fake.user("root", PASSWORD, "admin", "root@admin")
    yield fake
    fake.stop()


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"hello": 1, "$db": "admin"},
        {"a": 2**31, "b": -(2**31), "c": -(2**40), "d": True, "e": False},
        {
            "text": "naïve ☃",
            "empty": "",
            "bytes": b"\0\1",
            "list": [1, "x", {"y": []}],
            "deep": {"er": {}},
        },
    ],
)
def test_documents_are_encoded_as_pymongo_encodes_them(document: dict[str, Any]) -> None:
    assert encode(document) == bson.encode(document)
    assert decode(encode(document)) == document


def test_every_type_that_a_server_may_send_can_be_read() -> None:
    sent = {
        "oid": bson.ObjectId(), "when": dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "nothing": None,
        "number": 1.5, "decimal": bson.Decimal128("1.5"), "stamp": bson.Timestamp(1, 2),
        "code": bson.Code("x"),
        "pattern": bson.Regex("a.b", "i"), "least": bson.MinKey(), "most": bson.MaxKey(), "last": "here",
    }  # fmt: skip
    read = decode(bson.encode(sent))
    assert list(read) == list(sent)
    assert (read["number"], read["nothing"], read["last"]) == (1.5, None, "here")


@pytest.mark.parametrize("cut", range(40))
def test_incomplete_bytes_are_malformed(cut: int) -> None:
    whole = encode({"a": {"b": "text"}, "c": [1, 2], "d": b"bytes"})
    with pytest.raises(Malformed):
        decode(whole[:cut])


def test_changed_bytes_are_malformed_at_worst() -> None:
    whole = encode({"a": {"b": "text"}, "c": [1, 2], "d": b"bytes", "e": 2**40})
    for index in range(len(whole)):
        for value in (0, 1, 3, 0x7F, 0xFF):
            changed = whole[:index] + bytes([value]) + whole[index + 1 :]
            try:
                decode(changed)
            except Malformed:
                continue


def test_documents_nested_too_deeply_are_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"a": deep}
    with pytest.raises(Malformed):
        decode(encode(deep))


def test_the_proof_equals_the_one_in_the_rfc() -> None:
    # RFC 7677, section 3.
    talk = Conversation("user", "pencil", nonce="rOprNGfwEbeRWgbNEkqO")
    assert talk.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    proof = talk.final(
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    assert proof.endswith(b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    talk.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    with pytest.raises(ServerUnproven):
        talk.verify(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


@pytest.mark.parametrize(
    "challenge",
    [
        b"r=somebody-elses,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"r=mine,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",  # the server adds nothing to the client's nonce
        b"r=mine-and-more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1",
        b"r=mine-and-more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=99999999",
        b"r=mine-and-more,s=???,i=4096",
        b"r=mine-and-more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=" + b"9" * 5000,
        b"r=mine-and-more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=-1",
        b"\xff",
        b"",
    ],
)
def test_an_invalid_challenge_gets_no_proof(challenge: bytes) -> None:
    with pytest.raises(ServerUnproven):
        Conversation("user", "pencil", nonce="mine").final(challenge)


def test_a_password_is_prepared_as_in_other_clients() -> None:
    assert prepared("I\u2168\u00a0x") == "IIX x"
    assert prepared("plain") == "plain"


def test_commands_work_after_a_login(mongo: FakeMongo) -> None:
    with Client(mongo.address) as client:
        with pytest.raises(Refused) as refused:
            client.command({"listDatabases": 1, "$db": "admin"})
        assert refused.value.code == mongo_client.UNAUTHORIZED
        client.log_in("root", PASSWORD, "admin")
        assert client.command({"listDatabases": 1, "$db": "admin"})["databases"] == []


@pytest.mark.parametrize("ferret", [True, False])
def test_a_wrong_password_and_an_unknown_user_give_different_errors(
    mongo: FakeMongo, *, ferret: bool
) -> None:
    mongo.ferret = ferret
    for user, unknown in (("root", False), ("nobody", True)):
        with Client(mongo.address) as client, pytest.raises(LoginRefused) as refused:
            client.log_in(user, "wrong", "admin")
        assert refused.value.unknown_user is unknown
        assert "wrong" not in str(refused.value)


def test_a_server_that_does_not_prove_itself_is_an_error(mongo: FakeMongo) -> None:
    mongo.lies = True
    with Client(mongo.address) as client, pytest.raises(Unanswered, match="does not prove"):
        client.log_in("root", PASSWORD, "admin")


def test_a_login_sends_no_password(mongo: FakeMongo) -> None:
    with Client(mongo.address) as client:
        client.log_in("root", PASSWORD, "admin")
    assert PASSWORD not in str(mongo.asked)


def test_pymongo_works_with_our_fake_server(mongo: FakeMongo) -> None:
    mongo.user("shop-1", "secret", "shop", "readWrite@shop")
    options = {"directConnection": True, "serverSelectionTimeoutMS": 60_000, "authMechanism": "SCRAM-SHA-256"}
    url = f"mongodb://shop-1:{{}}@{mongo.address}/?authSource=shop"
    with MongoClient[dict[str, Any]](url.format("secret"), **options) as client:
        client.shop.items.insert_one({"_id": "1"})
        with pytest.raises(OperationFailure, match="not authorized"):
            client.other.items.insert_one({"_id": "1"})
    with (
        MongoClient[dict[str, Any]](url.format("wrong"), **options) as client,
        pytest.raises(OperationFailure),
    ):
        client.shop.items.insert_one({"_id": "2"})
    assert [document["_id"] for document in mongo.data["shop"]] == ["1"]


@pytest.fixture
def listen() -> Iterator[Callable[[bytes | None], str]]:
    """Start listeners that give every client the same answer. With None, a listener does not answer."""
    opened: list[socket.socket] = []

    def start(says: bytes | None) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        opened.append(listener)

        def serve() -> None:
            try:
                connected, _ = listener.accept()
            except OSError:
                return
            opened.append(connected)
            if says is not None:
                connected.recv(4096)
                connected.sendall(says)
                connected.close()

        threading.Thread(target=serve, daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for one in opened:
        one.close()


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (b"", "closed the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not a MongoDB server"),
        (b"\xff\xff\xff\x7f" + b"\1\0\0\0" * 2 + b"\xdd\7\0\0", "not a MongoDB server"),
        (
            b"\x1a\0\0\0\7\0\0\0\1\0\0\0\xdd\7\0\0" + b"\0\0\0\0\0" + b"\5\0\0\0\7",
            "the MongoDB server's answer is not valid",
        ),
        (None, "no answer in time"),
    ],
)
def test_the_error_says_why_an_answer_is_no_answer_of_mongodb(
    listen: Callable[[bytes | None], str], monkeypatch: pytest.MonkeyPatch, says: bytes | None, why: str
) -> None:
    monkeypatch.setattr(mongo_client, "ANSWER", 0.3 if says is None else 60)
    with Client(listen(says)) as client, pytest.raises(Unanswered, match=why):
        client.command({"hello": 1, "$db": "admin"})


@pytest.mark.parametrize("code", [math.nan, math.inf])
def test_a_refusal_with_an_impossible_code_is_a_refusal(
    listen: Callable[[bytes | None], str], code: float
) -> None:
    body = b"\0\0\0\0\0" + bson.encode({"ok": 0, "code": code})
    head = (16 + len(body)).to_bytes(4, "little") + b"\7\0\0\0\1\0\0\0\xdd\7\0\0"
    with Client(listen(head + body)) as client, pytest.raises(Refused, match="error 0"):
        client.command({"hello": 1, "$db": "admin"})


def test_the_error_says_that_nothing_listens(mongo: FakeMongo) -> None:
    mongo.stop()
    with pytest.raises(Unanswered, match="Connection refused"), Client(mongo.address):
        pass


def test_tls_needs_a_certificate_of_the_right_name_and_authority(tmp_path: Path) -> None:
    ca, pem = certificates(tmp_path, "mongo")
    other, _ = certificates(tmp_path / "other", "mongo")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    fake = FakeMongo(tls=context)
    fake.user("root", PASSWORD, "admin", "root@admin")
    try:
        with Client(fake.address, str(ca), "mongo") as client:
            client.log_in("root", PASSWORD, "admin")
        for authority_, name in ((other, "mongo"), (ca, "elsewhere")):
            with (
                pytest.raises(Unanswered, match="the MongoDB server's certificate is not valid"),
                Client(fake.address, str(authority_), name),
            ):
                pass
        with pytest.raises(Unanswered), Client(fake.address) as client:
            client.command({"hello": 1, "$db": "admin"})
    finally:
        fake.stop()


def certificates(folder: Path, name: str) -> tuple[Path, Path]:
    """Return a CA's certificate, and a server's certificate with its key."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    folder.mkdir(exist_ok=True)
    now = dt.datetime.now(dt.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a CA")])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])

    def build(subject: x509.Name, key: Any, *extensions: tuple[x509.ExtensionType, bool]) -> bytes:
        made = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False
            )
        )  # fmt: skip
        for extension, critical in extensions:
            made = made.add_extension(extension, critical=critical)
        return made.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip
    ca = build(issuer, keys[0], (x509.BasicConstraints(ca=True, path_length=0), True), (usage, True))
    server = build(subject, keys[1], (x509.SubjectAlternativeName([x509.DNSName(name)]), False))
    key = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.pem").write_bytes(ca)
    (folder / "server.pem").write_bytes(server + key)
    return folder / "ca.pem", folder / "server.pem"
