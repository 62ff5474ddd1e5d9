from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from lab import debian, shop
from tests.ports import free_port
from tools import mongo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


PASSWORD = "hidden-word-42"


@dataclass(frozen=True, slots=True)
class Store:
    port: int
    process: subprocess.Popen[bytes]


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"{process.args} does not listen")


@contextmanager
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


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed certificate for 127.0.0.1. Clients trust it as an authority."""

    file: Path
    key: Path


def certificate(folder: Path) -> Certificate:
    made = Certificate(folder / "server.crt", folder / "server.key")
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    request += ["-days", "1", "-subj", "/CN=store", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*request, "-keyout", made.key, "-out", made.file], check=True, capture_output=True)
    return made


def serve_redis(folder: Path, tls: Certificate | None = None) -> AbstractContextManager[Store]:
    tree = debian.tree("redis-server", "redis-tools")
    libraries = {str(file.parent) for file in debian.libraries(tree).values()}
    port = free_port()
    listen = (
        f"port 0\ntls-port {port}\ntls-auth-clients no\n"
        f"tls-cert-file {tls.file}\ntls-key-file {tls.key}\ntls-ca-cert-file {tls.file}\n"
        if tls
        else f"port {port}\n"
    )
    settings = folder / "redis.conf"
    # Users as Portcullis makes them: `default` is off, the app has no admin and no dangerous commands.
    settings.write_text(
        f'bind 127.0.0.1\n{listen}save ""\nuser default off\n'
        f"user app-1 on >{PASSWORD} ~* &* +@all -@admin -@dangerous +info\n"
    )
    program = tree / "usr/bin/redis-server"
    return running(
        [str(program), str(settings)], port, folder, {"LD_LIBRARY_PATH": ":".join(sorted(libraries))}
    )


def serve_mongo(
    folder: Path, tls: Certificate | None = None, port: int | None = None
) -> AbstractContextManager[Store]:
    port = port or free_port()
    listen = {
        "FERRETDB_LISTEN_ADDR": "" if tls else f"127.0.0.1:{port}",
        "FERRETDB_LISTEN_TLS": f"127.0.0.1:{port}" if tls else "",
        "FERRETDB_LISTEN_TLS_CERT_FILE": str(tls.file) if tls else "",
        "FERRETDB_LISTEN_TLS_KEY_FILE": str(tls.key) if tls else "",
    }
    env = {
        "FERRETDB_HANDLER": "sqlite",
        "FERRETDB_SQLITE_URL": f"file:{folder}/",
        "FERRETDB_STATE_DIR": "-",
        "FERRETDB_DEBUG_ADDR": "-",
        "FERRETDB_TELEMETRY": "disable",
        "FERRETDB_TEST_ENABLE_NEW_AUTH": "true",
        "FERRETDB_SETUP_DATABASE": "admin",
        "FERRETDB_SETUP_USERNAME": "root",
        "FERRETDB_SETUP_PASSWORD": PASSWORD,
    }
    return running([str(mongo.server())], port, folder, {**env, **listen})


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with serve_redis(tmp_path_factory.mktemp("redis")) as store:
        yield store


@pytest.fixture(scope="module")
def mongodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with serve_mongo(tmp_path_factory.mktemp("mongo")) as store:
        yield store


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The API's folder with its packages, as in its image."""
    folder = tmp_path_factory.mktemp("api")
    for part in ("src", "test"):
        shutil.copytree(shop.SHOP / "api" / part, folder / part)
    shutil.copy(shop.SHOP / "api" / "package.json", folder)
    (folder / "node_modules").symlink_to(shop.modules())
    return folder


@dataclass
class Api:
    process: subprocess.Popen[bytes]
    port: int
    secrets: Path
    log: Path

    def ask(self, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": "application/json"})
        try:
            with urlopen(request, timeout=120) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)

    def wait_until_well(self) -> None:
        self.wait_for_stores(mongo=True, redis=True)

    def wait_for_stores(self, *, mongo: bool, redis: bool) -> None:
        """Waits until just these stores answer. The API listens before it has connected to any."""
        wanted = {"ok": mongo and redis, "mongo": mongo, "redis": redis}
        end = time.monotonic() + 120
        while (health := self.ask("/healthz")) != (200 if wanted["ok"] else 503, wanted):
            assert time.monotonic() < end, (health, self.stop())
            time.sleep(0.05)

    def wait_for_log(self, words: str) -> None:
        end = time.monotonic() + 120
        while words not in (text := self.log.read_text()):
            assert time.monotonic() < end, text
            time.sleep(0.05)

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=120)
        return self.log.read_text()


class Start:
    """Starts the API's process, with its secrets in a folder."""

    def __init__(self, app: Path, secrets: Path) -> None:
        self.app, self.secrets = app, secrets
        self.started: list[subprocess.Popen[bytes]] = []

    def __call__(self, redis_url: str, mongo_url: str) -> Api:
        (self.secrets / "redis_url").write_text(f"{redis_url}\n")
        (self.secrets / "mongo_shop_url").write_text(f"{mongo_url}\n")
        port = free_port()
        log = self.secrets / f"api-{port}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [shop.node(), "src/main.js"],
                cwd=self.app,
                env={"SECRETS_DIR": str(self.secrets), "PORT": str(port), "HOST": "127.0.0.1"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.started.append(process)
        wait_for_port(port, process)
        return Api(process, port, self.secrets, log)


@pytest.fixture
def start_at(app: Path, tmp_path: Path) -> Iterator[Start]:
    start = Start(app, tmp_path)
    yield start
    for process in start.started:
        process.kill()
        process.wait()


@pytest.fixture
def start(start_at: Start, redis: Store, mongodb: Store) -> Callable[..., Api]:
    def one(login: str = f"app-1:{PASSWORD}", user: str = f"root:{PASSWORD}") -> Api:
        return start_at(
            f"redis://{login}@127.0.0.1:{redis.port}/0",
            f"mongodb://{user}@127.0.0.1:{mongodb.port}/shop?authSource=admin&directConnection=true",
        )

    return one
