"""Settings of secrets, registries and images by tag."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field

from portcullis.components.containers.args import RegistryArgs, RegistryName
from portcullis.components.host.stack import load
from portcullis.config.faults import SettingsError
from portcullis.config.forms import Image, PinnedImage, SecretName, SecretValue
from portcullis.config.load import read
from portcullis.config.secret import Secret
from portcullis.config.section import Section
from portcullis.config.value_types import MapOf

DIGEST = "@sha256:" + "0" * 64


class Images(Section):
    what = "images"
    by_tag: Image = "redis:8"
    pinned: PinnedImage = ""


class Secrets(Section):
    what = "secrets"
    secrets: MapOf[SecretName, SecretValue] = Field(default_factory=dict)
    registries: MapOf[RegistryName, RegistryArgs] = Field(default_factory=dict)


def faults_of(model: type[Section], raw: dict[str, Any]) -> list[str]:
    try:
        read(model, raw, "portcullis:")
    except SettingsError as error:
        return [str(fault) for fault in error.faults]
    return []


@pytest.mark.parametrize(
    "image",
    ["redis:8", "ghcr.io/acme/api:v1.2-RC1", "r.example.com:5000/a:1", "redis" + DIGEST, "redis:8" + DIGEST],
)
def test_an_image_has_a_tag_or_a_digest(image: str) -> None:
    assert faults_of(Images, {"byTag": image}) == []
    assert bool(faults_of(Images, {"pinned": image})) == ("@" not in image)


@pytest.mark.parametrize("image", ["redis", "ghcr.io/acme/api", "r.example.com:5000/a"])
def test_an_image_without_a_tag_is_refused(image: str) -> None:
    (fault,) = faults_of(Images, {"byTag": image})
    assert "names no tag" in fault


@pytest.mark.parametrize(
    "image", ["redis:", "Redis:8", "redis:8 ", "redis:8@sha256:1", "redis:-1", "http://x/y:1"]
)
def test_a_wrong_image_name_is_refused(image: str) -> None:
    assert len(faults_of(Images, {"byTag": image})) == 1


def test_secrets_are_texts_and_never_shown() -> None:
    good = {"stripeKey": "sk-1", "pem": "a\nb\n"}
    bad = {"empty": "", "number": 12345678, "../x": "sk-2", "long": "x" * 70000}
    assert read(Secrets, {"secrets": good}, "portcullis:").secrets == {
        name: Secret(text) for name, text in good.items()
    }
    found = faults_of(Secrets, {"secrets": good | bad})
    assert [fault.partition(": ")[0] for fault in found] == [
        "portcullis:secrets.empty", "portcullis:secrets.number", "portcullis:secrets.../x",
        "portcullis:secrets.long",
    ]  # fmt: skip
    assert not [value for value in ("12345678", "sk-", "xxx") if value in "\n".join(found)]


def test_a_login_has_a_name_and_a_password() -> None:
    raw = {"ghcr.io": {"username": "bot", "password": "pw-1"}}
    login = read(Secrets, {"registries": raw}, "portcullis:").registries["ghcr.io"]
    assert login == RegistryArgs(username="bot", password="pw-1")
    assert login.secret.reveal() == "pw-1"
    assert "pw-1" not in repr(login)
    bad = {"https://ghcr.io": raw["ghcr.io"], "ghcr.io/acme": raw["ghcr.io"], "x.io": {"password": 12345678}}
    found = faults_of(Secrets, {"registries": bad})
    assert [fault.partition(": ")[0] for fault in found] == [
        "portcullis:registries.https://ghcr.io", "portcullis:registries.ghcr.io/acme",
        "portcullis:registries.x.io.username", "portcullis:registries.x.io.password",
    ]  # fmt: skip
    assert "12345678" not in "".join(found)


@pytest.mark.parametrize("key", ["secrets", "registries"])
def test_secrets_and_logins_must_be_encrypted(key: str) -> None:
    values = {"secrets": {"a": "b"}, "registries": {"x.io": {"username": "bot", "password": "pw-1"}}}
    how = {"secrets": "portcullis:secrets.NAME", "registries": "'portcullis:registries[\"NAME\"].password'"}
    for secret, expected in (([key], 0), ([], 1)):
        with pytest.raises(SettingsError) as caught:  # the settings declare no host
            load({key: values[key]}, secret=secret)
        found = [str(fault) for fault in caught.value.faults if fault.path == f"portcullis:{key}"]
        assert len(found) == expected
    assert f"`pulumi config set --secret --path {how[key]}`" in found[0]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("apps", {"api": {"image": "api:1", "port": 1, "secrets": ["sk-1"]}}),
        ("sites", {"a.example.com": {"redirect": "https://b.example.com", "basicAuth": {"me": "sk-1"}}}),
    ],
)
def test_a_secret_in_the_place_of_its_name_is_not_shown(key: str, value: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        load({key: value}, secret=[key])
    told = str(caught.value)
    assert "this value (a secret) is not a secret of this stack" in told
    assert "`pulumi config set --secret --path portcullis:secrets.NAME` asks for it" in told
    assert "sk-1" not in told


def test_a_secret_does_not_become_text_by_accident() -> None:
    secret = Secret("pw-1")
    for accident in (str, format, lambda value: f"{value}", "{}".format):
        with pytest.raises(TypeError, match="a Secret cannot become text"):
            accident(secret)
    assert "pw-1" not in repr(secret)
    assert Secret.of("pw-1") == Secret.of(secret) == secret
