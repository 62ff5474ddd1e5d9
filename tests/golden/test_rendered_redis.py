"""The rendered configurations of Redis, compared with golden files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.components.redis import render as redis

if TYPE_CHECKING:
    from tests.golden.conftest import Golden


def test_redis_that_keeps_its_data(golden: Golden) -> None:
    golden("redis.aof.conf", redis.redis_conf("redis-config", redis.Limits(256, "noeviction", "aof")))


def test_redis_as_a_cache(golden: Golden) -> None:
    golden("redis.cache.conf", redis.redis_conf("redis-config", redis.Limits(64, "allkeys-lru", "none")))


def test_redis_with_tls(golden: Golden) -> None:
    golden(
        "redis.tls.conf", redis.redis_conf("redis-config", redis.Limits(256, "noeviction", "aof"), tls=True)
    )
