"""Tests which options of the official mongo image the entry point of the lab's image accepts or refuses."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from lab import stores

if TYPE_CHECKING:
    from pathlib import Path

# A stand-in for the server. It prints its environment, and makes the socket that the first start waits for.
SERVER = """#!/bin/sh
case "${1:-}" in --listen-unix=*)
    env > "$MADE"
    exec python3 -c 'import socket, sys, time
socket.socket(socket.AF_UNIX).bind(sys.argv[1]); time.sleep(60)' "${1#*=}" ;;
esac
env | sort
"""


class Image:
    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self.made = folder / "made"
        self.password = folder / "password"
        self.password.write_text("hidden-word")
        (folder / "ferretdb").write_text(SERVER)
        (folder / "ferretdb").chmod(0o755)
        self.env = {"PATH": f"{folder}:{os.environ['PATH']}", "MADE": str(self.made)}
        self.root = {
            "MONGO_INITDB_ROOT_USERNAME": "root",
            "MONGO_INITDB_ROOT_PASSWORD_FILE": str(self.password),
        }

    def start(self, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", str(stores.ENTRYPOINTS / "mongo.sh"), "mongod", "--dbpath", str(self.data), *options],
            env={**self.env, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path)


def test_the_root_user_is_made_once_and_the_server_knows_no_password(image: Image) -> None:
    first = image.start("--auth", "--bind_ip_all", **image.root)
    assert "created the root user root" in first.stdout
    assert "FERRETDB_SETUP_PASSWORD=hidden-word" in image.made.read_text()
    assert "FERRETDB_TEST_ENABLE_NEW_AUTH=true" in first.stdout
    assert "hidden-word" not in first.stdout + first.stderr
    assert "MONGO_INITDB" not in first.stdout
    image.made.unlink()
    image.password.write_text("another")
    second = image.start("--auth", **image.root)
    assert second.returncode == 0
    assert not image.made.exists()


def test_data_without_a_user_is_left_alone(image: Image) -> None:
    (image.data / "WiredTiger").touch()
    assert image.start("--auth", **image.root).returncode == 0
    assert not image.made.exists()


def test_without_auth_it_is_open_as_the_official_one_is(image: Image) -> None:
    assert "ENABLE_NEW_AUTH" not in image.start().stdout


def test_the_variables_alone_mean_auth(image: Image) -> None:
    assert "FERRETDB_TEST_ENABLE_NEW_AUTH=true" in image.start(**image.root).stdout


def test_tls_takes_the_one_pem_file_of_mongod(image: Image) -> None:
    pem = "--tlsCertificateKeyFile=/run/secrets/server.pem"
    said = image.start("--auth", "--tlsMode", "requireTLS", pem, "--tlsCAFile", "/ca").stdout
    assert "FERRETDB_LISTEN_ADDR=\n" in said
    assert "FERRETDB_LISTEN_TLS=:27017" in said
    assert said.count("=/run/secrets/server.pem") == 2
    assert "FERRETDB_LISTEN_TLS_CA_FILE=/ca" in said
    lenient = image.start(
        "--tlsMode=requireTLS", pem, "--tlsCAFile=/ca", "--tlsAllowConnectionsWithoutCertificates"
    )
    assert "TLS_CA_FILE" not in lenient.stdout


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--replSet", "rs0"], "FerretDB is no replica set"),
        (["--keyFile=/k"], "FerretDB is no replica set"),
        (["--tlsMode", "preferTLS", "--tlsCertificateKeyFile", "/x"], "use requireTLS"),
        (["--tlsMode", "requireTLS"], "needs --tlsCertificateKeyFile"),
        (["--config", "/etc/mongod.conf"], "does not know"),
        (["--fork"], "needs a value, or is not known"),
        (["stray"], "unknown argument stray"),
    ],
)
def test_what_the_stand_in_cannot_do_is_refused(image: Image, options: list[str], reason: str) -> None:
    done = image.start(*options)
    assert done.returncode == 2
    assert reason in done.stderr


def test_half_a_root_user_is_refused(image: Image) -> None:
    assert "needed together" in image.start(MONGO_INITDB_ROOT_USERNAME="root").stderr
    assert "belongs in a file" in image.start(MONGO_INITDB_ROOT_PASSWORD="x").stderr
    gone = {**image.root, "MONGO_INITDB_ROOT_PASSWORD_FILE": "/nowhere"}
    assert "cannot read /nowhere" in image.start(**gone).stderr
