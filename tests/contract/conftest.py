"""A host with Docker for the calls that need one, and the images that the recordings name."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from lab import images, keys
from tests.contract.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.pytest_lab import Host, Lab

# A stand-in for Python in an image with only busybox, for the health check `python3 -c 1` and a server of
# pages.
_PYTHON = b'#!/bin/sh\n[ "$1" = -m ] || exit 0\nexec httpd -f -p "$4"\n'


def mini(tag: str) -> images.Image:
    """Return the image that the recordings call mini."""
    files = {"bin/python3": _PYTHON, "bin/false": b"#!/bin/sh\nexit 1\n", "etc/version": tag.encode()}
    return images.Image("mini", ("sleep", "600"), tag=tag, files=files, user="")


def digest(content: bytes) -> str:
    """Return the digest of bytes, in the form of registries and Docker."""
    return f"sha256:{sha256(content).hexdigest()}"


@pytest.fixture(scope="module")
def project(docker_host: Host, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project folder whose ssh_config names the host web1."""
    folder = tmp_path_factory.mktemp("project")
    known = keys.known_hosts(docker_host.name, docker_host.address)
    lines = [
        "Host web1",
        f"  HostName {docker_host.address}",
        "  User root",
        f"  IdentityFile {docker_host.identity_file}",
        f"  UserKnownHostsFile {known}",
        "  StrictHostKeyChecking yes",
        "  BatchMode yes",
        "  LogLevel ERROR",
    ]
    (folder / "ssh_config").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The `World` in which calls that need no host are replayed."""
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def hosted_world(project: Path, docker_host: Host, lab: Lab) -> Iterator[World]:
    """The `World` in which calls that need a host are replayed.

    A lab host takes the place of the recorded host.
    """
    made = World(project)
    first, second = lab.push(mini("1")), lab.push(mini("2"))
    for recorded, ours in (
        ("sha256:a7d5454a8b1eb7c469af544e20eaeba94eb06fd97656f04342480ad7118bf869", digest(first.config)),
        ("sha256:24e168b465d1d3e84e4300ef2519502e72ffac1550a2939ccb6c6a7c02518cdb", first.digest),
        ("sha256:2f8ccf1916f5a788040e1b031c421ccb9f4aee30f3b144776297033e60df580e", digest(second.config)),
        ("sha256:36467199511af8f1594fdc46cf8aff009d90bf63bab44d3e75743266191c773e", second.digest),
        ("198.51.100.1:5000", lab.registry),
        ("ssh://root@198.51.100.10", "ssh://web1"),
        ("198.51.100.10", docker_host.address),
        (
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO2q8YREHwHGm/XQKhkVbx8c7BWkBJUW+xFGrlQUqG8U",
            " ".join(docker_host.host_key.split()[-2:]),
        ),
        ("<OPENSSH PRIVATE KEY PEM>", docker_host.identity_file.read_text(encoding="utf-8")),
        (_options(","), '["-F","ssh_config"]'),
        (_options(", "), '["-F", "ssh_config"]'),
    ):
        made.exchange(recorded, ours)
    yield made
    made.close()


def _options(separator: str) -> str:
    """Return the recorded ssh options, as the program wrote them or as the plugin stores them."""
    words = (
        "-i",
        "<lab>/id",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "LogLevel=ERROR",
    )
    return "[" + separator.join(f'"{word}"' for word in words) + "]"
