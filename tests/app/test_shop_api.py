"""Tests the shop's API, also as a real process with a real Redis and the lab's MongoDB."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient

from lab import shop
from tests.app.conftest import (
    PASSWORD,
    Api,
    Start,
    Store,
    certificate,
    serve_mongo,
    serve_redis,
)
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_its_own_tests_pass(app: Path) -> None:
    done = subprocess.run(
        [shop.node(), "--test"], cwd=app, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.findall(r"^. pass (\d+)$", done.stdout, re.MULTILINE)[0]) >= 11


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
    api.wait_for_log("WRONGPASS")
    api.wait_for_log("Authentication failed")
    output = api.stop()
    assert api.process.returncode == 0
    assert "wrong-secret" not in output


def test_a_store_that_comes_after_the_app_is_found(start_at: Start, redis: Store, tmp_path: Path) -> None:
    port = free_port()
    api = start_at(
        f"redis://app-1:{PASSWORD}@127.0.0.1:{redis.port}/0",
        f"mongodb://root:{PASSWORD}@127.0.0.1:{port}/shop?authSource=admin&directConnection=true",
    )
    api.wait_for_stores(mongo=False, redis=True)
    time.sleep(4)  # longer than the client looks for a server
    with serve_mongo(tmp_path, port=port):
        api.wait_until_well()
    api.stop()


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
        api.wait_for_stores(mongo=False, redis=True)
    assert "of-the-shop" not in api.stop()


def test_with_tls_only_the_declared_authority_is_trusted(start_at: Start, tmp_path: Path) -> None:
    ours = certificate(tmp_path)
    (tmp_path / "mongo").mkdir()
    with serve_redis(tmp_path, ours) as redis, serve_mongo(tmp_path / "mongo", ours) as mongodb:
        urls = (
            f"rediss://app-1:{PASSWORD}@127.0.0.1:{redis.port}/0",
            (
                f"mongodb://root:{PASSWORD}@127.0.0.1:{mongodb.port}/shop?authSource=admin&tls=true"
                f"&directConnection=true&tlsCAFile={tmp_path}/mongo_ca.pem"
            ),
        )
        shutil.copy(ours.file, tmp_path / "redis_ca.crt")
        shutil.copy(ours.file, tmp_path / "mongo_ca.pem")
        api = start_at(*urls)
        api.wait_until_well()
        assert api.ask("/api/items", {"name": "tea"})[0] == 201
        api.stop()

        other = tmp_path / "other"
        other.mkdir()
        stranger = certificate(other)
        shutil.copy(stranger.file, tmp_path / "redis_ca.crt")
        shutil.copy(stranger.file, tmp_path / "mongo_ca.pem")
        api = start_at(*urls)
        assert api.ask("/healthz")[1] == {"ok": False, "mongo": False, "redis": False}
        api.wait_for_log("self-signed certificate")
        api.stop()
