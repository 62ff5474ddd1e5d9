"""The shop's API: its own tests, and its real process between a real Redis and the lab's MongoDB."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from pymongo import MongoClient

from lab import shop
from tests.app.conftest import PASSWORD, Store, free_port, wait_for_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The API's folder with its packages, as in its image."""
    folder = tmp_path_factory.mktemp("api")
    for part in ("src", "test"):
        shutil.copytree(shop.SHOP / "api" / part, folder / part)
    shutil.copy(shop.SHOP / "api" / "package.json", folder)
    (folder / "node_modules").symlink_to(shop.modules())
    return folder


def test_its_own_tests_pass(app: Path) -> None:
    done = subprocess.run(
        [shop.node(), "--test"], cwd=app, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.findall(r"^. pass (\d+)$", done.stdout, re.MULTILINE)[0]) >= 11


@dataclass
class Api:
    process: subprocess.Popen[str]
    port: int
    secrets: Path

    def ask(self, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": "application/json"})
        try:
            with urlopen(request, timeout=10) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)

    def wait_until_well(self) -> None:
        end = time.monotonic() + 20
        while self.ask("/healthz")[0] != 200:
            assert time.monotonic() < end, self.ask("/healthz")
            time.sleep(0.05)

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=30)
        return output


@pytest.fixture
def start(app: Path, redis: Store, mongodb: Store, tmp_path: Path) -> Iterator[Callable[..., Api]]:
    started: list[subprocess.Popen[str]] = []

    def one(login: str = f"app-1:{PASSWORD}", user: str = f"root:{PASSWORD}") -> Api:
        (tmp_path / "redis_url").write_text(f"redis://{login}@127.0.0.1:{redis.port}/0\n")
        (tmp_path / "mongo_shop_url").write_text(
            f"mongodb://{user}@127.0.0.1:{mongodb.port}/shop?authSource=admin&directConnection=true\n"
        )
        port = free_port()
        process = subprocess.Popen(
            [shop.node(), "src/main.js"],
            cwd=app,
            env={"SECRETS_DIR": str(tmp_path), "PORT": str(port), "HOST": "127.0.0.1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        wait_for_port(port, process)
        return Api(process, port, tmp_path)

    yield one
    for process in started:
        process.kill()
        process.communicate()


def test_items_are_kept_and_visits_counted(start: Callable[..., Api]) -> None:
    api = start()
    api.wait_until_well()
    status, added = api.ask("/api/items", {"name": "tea"})
    assert status == 201
    first = api.ask("/api/items")[1]
    second = api.ask("/api/items")[1]
    assert first["items"] == second["items"] == [added]
    assert second["visits"] == first["visits"] + 1
    output = api.stop()
    assert api.process.returncode == 0
    assert '"stopped"' in output
    assert PASSWORD not in output

    again = start()
    again.wait_until_well()
    assert again.ask("/api/items")[1]["items"] == [added]


def test_wrong_passwords_are_a_503_and_stay_out_of_the_log(start: Callable[..., Api]) -> None:
    api = start(login="app-1:wrong-secret", user="root:wrong-secret")
    status, health = api.ask("/healthz")
    assert (status, health) == (503, {"ok": False, "mongo": False, "redis": False})
    assert api.ask("/api/items")[0] == 503
    output = api.stop()
    assert api.process.returncode == 0
    assert "WRONGPASS" in output
    assert "Authentication failed" in output
    assert "wrong-secret" not in output


def test_a_user_of_one_database_is_enough(start: Callable[..., Api], mongodb: Store) -> None:
    root: MongoClient[Any] = MongoClient(f"mongodb://root:{PASSWORD}@127.0.0.1:{mongodb.port}/admin")
    with root:
        root.admin.command(
            "createUser", "shop-1", pwd="of-the-shop", roles=[{"role": "readWrite", "db": "shop"}]
        )
        api = start(user="shop-1:of-the-shop")
        api.wait_until_well()
        assert api.ask("/api/items", {"name": "coffee"})[0] == 201
        root.admin.command("dropUser", "shop-1")
        assert api.ask("/healthz")[1] == {"ok": False, "mongo": False, "redis": True}
    assert "of-the-shop" not in api.stop()
