"""The search finds a canary in every spelling, and an allowance permits only the finds that it describes."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from tests.e2e.secrets import canaries
from tests.e2e.secrets.search import Allowance, Search, allowances

if TYPE_CHECKING:
    from pathlib import Path

CANARY = canaries.made("planted")
SPELT = {
    "clear": CANARY.text.encode(),
    "cut off in the middle": CANARY.text[:20].encode(),
    "its end alone": CANARY.text[14:].encode(),
    "JSON": json.dumps({"a": CANARY.text}).encode(),
    "URL": quote(CANARY.text, safe="").encode(),
    "hex": CANARY.text.encode().hex().upper().encode(),
    "UTF-16": CANARY.text.encode("utf-16-le"),
    **{f"base64 after {n}": base64.b64encode(b"x" * n + CANARY.text.encode() + b"y") for n in range(5)},
    "base64 in lines": b"\n".join(
        base64.b64encode(b"Authorization: " + CANARY.text.encode() * 2)[at : at + 60]
        for at in range(0, 200, 60)
    ),
    "among zero bytes": b"\0\xff" * 4000 + CANARY.text.encode() + b"\0",
}


@pytest.mark.parametrize("spelling", SPELT)
def test_each_spelling_is_found_in_a_text_and_in_a_file(spelling: str, tmp_path: Path) -> None:
    search = Search([canaries.made("another"), CANARY])
    search.text("text", "here", b"before\n" + SPELT[spelling] + b"\nafter")
    assert {(find.place, find.where, find.canary) for find in search.finds} == {("text", "here", "planted")}

    older = tmp_path / "older"
    older.write_bytes(SPELT[spelling])
    since = tmp_path / "since"
    since.touch()
    file = tmp_path / "folder" / "a name"
    file.parent.mkdir()
    file.write_bytes(SPELT[spelling])
    file.chmod(0o644)
    file.parent.chmod(0o710)
    in_files = Search([CANARY])
    in_files.tree("file", tmp_path, since=since, skip=["nothing"])
    found = {(find.where, find.canary, find.owner.partition(" ")[2]) for find in in_files.finds}
    assert found == {("/folder/a name", "planted", "640")}
    assert in_files.looked["file"] == 1


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_a_private_key_is_found_in_each_format_and_its_public_key_is_none(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
) -> None:
    def written(form: serialization.PrivateFormat) -> bytes:
        return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())

    forms = [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.OpenSSH]
    for given in forms:
        for form in forms:
            search = Search([canaries.Canary("key", written(given).decode())])
            search.text("file", "key.pem", written(form))
            assert search.finds, (given, form)
            public = key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            search = Search([canaries.Canary("key", written(given).decode())])
            search.text("file", "public.pem", public)
            assert not search.finds


def test_an_allowance_covers_its_place_owner_and_canaries_and_is_marked_as_used() -> None:
    search = Search([CANARY])
    for place, where, owner in (
        ("file", "/a", "0 600"),
        ("file", "/a", "0 644"),
        ("file", "/b", "0 600"),
        ("text", "/a", "0 600"),
    ):
        search.text(place, where, CANARY.text, owner)
    idle = Allowance("file", "/a", "other", "0 600", "never")
    allowed = [Allowance("file", "/a", "plant.*", "0 600", "it is the file"), idle]
    left = search.not_allowed(allowed)
    assert {(find.place, find.where, find.owner) for find in left} == {
        ("file", "/a", "0 644"),
        ("file", "/b", "0 600"),
        ("text", "/a", "0 600"),
    }
    assert [one.used for one in allowed] == [True, False]


def test_each_allowance_of_the_list_has_a_reason() -> None:
    assert all(len(one.why.split()) > 3 for one in allowances())
