"""Settings of secrets, registries and images by tag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from portcullis.registry import Credentials
from portcullis.settings import forms, secrets_section
from portcullis.settings.faults import Fault, Place

if TYPE_CHECKING:
    from portcullis.settings.kinds import Kind

DIGEST = "@sha256:" + "0" * 64


def faults_of(kind: Kind[Any], raw: Any, path: str = "portcullis:x", *, secret: bool = True) -> list[str]:
    faults: list[Fault] = []
    kind.read(raw, Place(path, faults, secret))
    return [str(fault) for fault in faults]


@pytest.mark.parametrize(
    "image",
    ["redis:8", "ghcr.io/acme/api:v1.2-RC1", "r.example.com:5000/a:1", "redis" + DIGEST, "redis:8" + DIGEST],
)
def test_an_image_goes_by_tag_or_digest(image: str) -> None:
    assert faults_of(forms.IMAGE_BY_TAG, image) == []
    assert bool(faults_of(forms.IMAGE, image)) == ("@" not in image)


@pytest.mark.parametrize("image", ["redis", "ghcr.io/acme/api", "r.example.com:5000/a"])
def test_an_image_without_a_tag_is_refused(image: str) -> None:
    (fault,) = faults_of(forms.IMAGE_BY_TAG, image, secret=False)
    assert "names no tag" in fault


@pytest.mark.parametrize(
    "image", ["redis:", "Redis:8", "redis:8 ", "redis:8@sha256:1", "redis:-1", "http://x/y:1"]
)
def test_what_is_no_image_is_refused(image: str) -> None:
    assert len(faults_of(forms.IMAGE_BY_TAG, image)) == 1


def test_secrets_are_texts_and_never_shown() -> None:
    raw = {
        "stripeKey": "sk-1",
        "pem": "a\nb\n",
        "empty": "",
        "number": 12345678,
        "../x": "sk-2",
        "long": "x" * 70000,
    }
    faults: list[Fault] = []
    read = secrets_section.SECRETS.read(raw, Place("portcullis:secrets", faults, secret=False))
    assert read is not None
    assert {"stripeKey": "sk-1", "pem": "a\nb\n"}.items() <= read.items()
    assert [fault.path for fault in faults] == [
        "portcullis:secrets.empty", "portcullis:secrets.number", "portcullis:secrets.../x",
        "portcullis:secrets.long",
    ]  # fmt: skip
    said = "\n".join(map(str, faults))
    assert not [value for value in ("12345678", "sk-", "xxx") if value in said]


def test_a_login_has_a_name_and_a_password() -> None:
    raw = {"ghcr.io": {"username": "bot", "password": "pw-1"}}
    read = secrets_section.REGISTRIES.read(raw, Place("portcullis:registries"))
    assert read == {"ghcr.io": Credentials("bot", "pw-1")}
    bad = {"https://ghcr.io": raw["ghcr.io"], "ghcr.io/acme": raw["ghcr.io"], "x.io": {"password": 12345678}}
    found = faults_of(secrets_section.REGISTRIES, bad, secret=False)
    assert [fault.partition(": ")[0] for fault in found] == [
        "portcullis:x.https://ghcr.io", "portcullis:x.ghcr.io/acme", "portcullis:x.x.io.username",
        "portcullis:x.x.io.password",
    ]  # fmt: skip
    assert "12345678" not in "".join(found)


@pytest.mark.parametrize("key", ["secrets", "registries"])
def test_they_have_to_be_encrypted(key: str) -> None:
    config = {key: {"a": "b"}}
    for secret, expected in ((True, 0), (False, 1)):
        faults: list[Fault] = []
        secrets_section.encrypted(config, Place(f"portcullis:{key}", faults, secret))
        assert len(faults) == expected
    how = {"secrets": "portcullis:secrets.NAME", "registries": "'portcullis:registries[\"NAME\"].password'"}
    assert f"`pulumi config set --secret --path {how[key]}`" in str(faults[0])
