"""A host in a user's own program. `HardenedHost` takes the steps that `__main__` takes for a stack."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components import AppArgs, HardenedHost, HardenedHostArgs, RedisArgs, SiteArgs
from portcullis.components.host import images
from portcullis.config.faults import ArgumentsError, Fault, SettingsError
from portcullis.host import Connection, write_ssh_config
from tests.config.test_settings import IMAGE, KEY

if TYPE_CHECKING:
    from tests.recording_engine import Deploy

REDIS = "redis:8@sha256:" + "b" * 64


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def twelve_lines(name: str = "web1", **more: Any) -> HardenedHost:
    args: dict[str, Any] = {
        "address": "203.0.113.10",
        "os": "debian-13",
        "host_key": KEY,
        "stores": {"redis": RedisArgs(image=REDIS)},
        "apps": {"api": AppArgs(image=IMAGE, port=8080, uses=["redis"])},
        "sites": {"api.example.com": SiteArgs(app="api")},
    }
    return HardenedHost(name, HardenedHostArgs(**args | more))


def ssh_config() -> str:
    return Path(".portcullis/test/ssh_config").read_text()


def test_twelve_lines_are_a_whole_host(deploy: Deploy) -> None:
    engine = deploy(twelve_lines)
    (health,) = {str(engine.one(":Container", "api-container").inputs["healthcheck"]["tests"])}
    assert ":1F90 " in health, "well when it listens on its port, 8080"
    certificate = engine.one(":Certificate").inputs
    assert certificate["email"] == ""
    assert certificate["server"] == "https://acme-v02.api.letsencrypt.org/directory"
    assert "Host web1\n" in ssh_config()
    assert "203.0.113.10" not in str([r.inputs for r in engine.declared])


def test_all_hosts_of_a_program_are_in_ssh_config_and_in_the_file_of_the_scan(deploy: Deploy) -> None:
    def program() -> None:
        nothing: dict[str, Any] = {"stores": {}, "apps": {}, "sites": {}}
        twelve_lines(**nothing)
        twelve_lines("web2", address="203.0.113.20", **nothing)

    deploy(program)
    assert "HostName 203.0.113.10\n" in ssh_config()
    assert "HostName 203.0.113.20\n" in ssh_config()
    left = json.loads(Path(".portcullis/test/declared.json").read_text())
    assert {each["host"]: each["addresses"] for each in left} == {
        "web1": ["203.0.113.10"], "web2": ["203.0.113.20"],
    }  # fmt: skip


def test_a_connection_that_the_program_writes_itself_stays(deploy: Deploy) -> None:
    def program() -> None:
        own = {"web1": "198.51.100.1", "db": "db.example.com"}
        write_ssh_config({alias: Connection(address, host_key=KEY) for alias, address in own.items()})
        twelve_lines()
        twelve_lines("web2", stores={}, apps={}, sites={})

    deploy(program)
    found = re.findall(r"HostName (.*)", ssh_config())
    assert found == ["db.example.com", "198.51.100.1", "203.0.113.10"]


def test_a_preview_logs_in_with_the_preview_key(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTCULLIS_ACCESS", "preview")
    deploy(twelve_lines)
    assert "User portcullis-preview\n" in ssh_config()


def test_a_tag_becomes_a_digest(deploy: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = f"@sha256:{'c' * 64}"

    def resolve(named: dict[str, str], *_: object, place: str) -> dict[str, str]:
        assert place == "HardenedHostArgs.registries"
        return {
            path: image if "@" in image else f"{image}@sha256:{'c' * 64}" for path, image in named.items()
        }

    monkeypatch.setattr(images, "resolve", resolve)
    engine = deploy(lambda: twelve_lines(stores={"redis": RedisArgs()}))
    assert engine.one(":RemoteImage", "redis-image").inputs["name"] == f"redis:8{digest}"


def test_an_image_without_a_digest_is_a_fault_of_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(named: dict[str, str], *_: object, **__: object) -> dict[str, str]:
        raise SettingsError(Fault(path, "is nowhere") for path in named)

    monkeypatch.setattr(images, "resolve", resolve)
    with pytest.raises(ArgumentsError) as caught:
        twelve_lines()
    assert str(caught.value).splitlines() == [
        "HardenedHostArgs.apps.api.image: is nowhere",
        "HardenedHostArgs.stores.redis.image: is nowhere",
    ]


def test_the_name_of_a_host_is_checked() -> None:
    with pytest.raises(ArgumentsError, match=r'Host\.alias: "Web 1" is not a name for a host'):
        twelve_lines("Web 1")
