from __future__ import annotations

import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from lab import debian
from tools import mongo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PASSWORD = "hidden-word-42"


@dataclass(frozen=True, slots=True)
class Store:
    port: int
    process: subprocess.Popen[bytes]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"{process.args} does not listen")


def running(argv: list[str], port: int, cwd: Path, env: Mapping[str, str]) -> Iterator[Store]:
    process = subprocess.Popen(
        argv, cwd=cwd, env=dict(env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for_port(port, process)
        yield Store(port, process)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("redis")
    tree = debian.tree("redis-server", "redis-tools")
    libraries = {str(file.parent) for file in debian.libraries(tree).values()}
    port = free_port()
    settings = folder / "redis.conf"
    # Users as Portcullis makes them: `default` is off, the app has no admin and no dangerous commands.
    settings.write_text(
        f'bind 127.0.0.1\nport {port}\nsave ""\nuser default off\n'
        f"user app-1 on >{PASSWORD} ~* &* +@all -@admin -@dangerous +info\n"
    )
    program = tree / "usr/bin/redis-server"
    yield from running(
        [str(program), str(settings)], port, folder, {"LD_LIBRARY_PATH": ":".join(sorted(libraries))}
    )


@pytest.fixture(scope="module")
def mongodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("mongo")
    port = free_port()
    env = {
        "FERRETDB_HANDLER": "sqlite",
        "FERRETDB_SQLITE_URL": f"file:{folder}/",
        "FERRETDB_STATE_DIR": "-",
        "FERRETDB_DEBUG_ADDR": "-",
        "FERRETDB_TELEMETRY": "disable",
        "FERRETDB_LISTEN_ADDR": f"127.0.0.1:{port}",
        "FERRETDB_TEST_ENABLE_NEW_AUTH": "true",
        "FERRETDB_SETUP_DATABASE": "admin",
        "FERRETDB_SETUP_USERNAME": "root",
        "FERRETDB_SETUP_PASSWORD": PASSWORD,
    }
    yield from running([str(mongo.server())], port, folder, env)
