"""Faults in the settings, through the real engine. No host is needed, and none is touched."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from tests.e2e.stack.program import Program

if TYPE_CHECKING:
    from pathlib import Path

GOOD = f"""\
config:
  portcullis:hosts:
    web1: {{address: 192.0.2.1, os: debian-13, trustHostKey: true}}
  portcullis:apps:
    api: {{image: "api@sha256:{"0" * 64}", port: 8080, hostPort: 8080, health: /healthz}}
  portcullis:sites:
    api.example.com: {{app: api}}
"""

FAULTY = """\
config:
  portcullis:hosts:
    web1:
      address: root@198.51.100.10
      os: debian13
      port: 70000
      colour: green
    Web_2: {address: 198.51.100.11, os: ubuntu-22.04, trustHostKey: true}
  portcullis:apps:
    api: {image: "ghcr.io/acme/api:latest", host: web3, port: 8080, hostPort: 80, health: healthz, user: root}
    worker: {image: "ghcr.io/acme/api@sha256:12", host: web1, env: {SIZE: 010}, memory: 256m}
  portcullis:sites:
    API.example.com: {app: api}
    www.example.com: {ap: worker}
    10.0.0.1: {app: apo}
  portcullis:site: {}
"""

# path, reason, hint: a piece of each.
FAULTS = [
    ("portcullis:hosts.web1.address", '"root@198.51.100.10" is neither an IP address nor a host name', "without port"),
    ("portcullis:hosts.web1.os", '"debian13" is not an operating system that is known', "did you mean debian-13?"),
    ("portcullis:hosts.web1.port", "70000 is not a port", "write a number from 1 to 65535"),
    ("portcullis:hosts.web1.colour", "is not a known key", "known are"),
    ("portcullis:hosts.web1.hostKey", "is missing", "ssh-keyscan"),
    ("portcullis:hosts.Web_2", '"Web_2" is not a name for a host', "start with a letter"),
    ("portcullis:hosts.Web_2.os", '"ubuntu-22.04" is not supported', "write debian-12 or debian-13"),
    ("portcullis:apps.api.image", '"ghcr.io/acme/api:latest" is not pinned', "docker buildx imagetools inspect"),
    ("portcullis:apps.api.host", '"web3" is not a host of this stack', "did you mean web1?"),
    ("portcullis:apps.api.health", '"healthz" is not a path', "starts with /"),
    ("portcullis:apps.api.user", '"root" is root', "a user of its own"),
    ("portcullis:apps.worker.image", "is not an image with a digest", "64 hexadecimal digits"),
    ("portcullis:apps.worker.health", "is missing", "healthCommand"),
    ("portcullis:apps.worker.env.SIZE", "8 is not text", "put it in quotes"),
    ("portcullis:apps.worker.memory", '"256m" is not an amount of memory in MB', "such as 256"),
    ("portcullis:sites.API.example.com", "is not spelt as DNS", "write api.example.com"),
    ("portcullis:sites.www.example.com.ap", "is not a known key", "did you mean app?"),
    ("portcullis:sites.www.example.com.app", "is missing", "the app that answers"),
    ("portcullis:sites.10.0.0.1", '"10.0.0.1" is an address', "needs a host name"),
    ("portcullis:sites.10.0.0.1.app", '"apo" is not an app of this stack', "did you mean api?"),
    ("portcullis:site", "is not a known key", "did you mean sites?"),
]  # fmt: skip


@pytest.fixture
def nowhere() -> SimpleNamespace:
    """What a project asks of a host, of none that exists: 192.0.2.0/24 is for documentation."""
    return SimpleNamespace(
        name="nowhere", address="192.0.2.1", ssh_port=22, host_key="ssh-ed25519 AAAA", identity_file="none"
    )


@pytest.mark.parametrize("verb", ["preview", "up", "refresh", "destroy"])
def test_every_fault_is_told_at_once_with_what_would_be_right(
    tmp_path: Path, nowhere: SimpleNamespace, verb: str
) -> None:
    program = Program(tmp_path / "program", nowhere, FAULTY)
    arguments = () if verb == "preview" else ("--yes", "--skip-preview")
    said = program.run(verb, *arguments, fails=True)

    lines = [line.strip() for line in said.output.splitlines()]
    for path, reason, hint in FAULTS:
        found = [line for line in lines if line.startswith(f"{path}: ") and reason in line and hint in line]
        assert found, f"no line {path}: {reason} … {hint} in:\n{said.output}"
    said.has(f"The settings of this stack have {len(FAULTS)} faults:")
    said.lacks("unhandled", "  File ", "exit status", "KeyError")
    assert "created" not in said.output


def test_a_secret_value_with_a_fault_is_not_shown(tmp_path: Path, nowhere: SimpleNamespace) -> None:
    program = Program(tmp_path / "program", nowhere, GOOD)
    secret = "hunter2-is-no-port"
    program.encrypt("apps.api.hostPort", secret)
    said = program.preview(fails=True)
    said.has("portcullis:apps.api.hostPort: this value (a secret) is not a port")
    said.lacks(secret)
    assert secret not in program.settings.read_text()
