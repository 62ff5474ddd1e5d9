"""A real Redis respects the limits in our redis.conf."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.components.redis import render
from portcullis.components.redis.on_host.resp import Refused
from tests.components.redis.redis_process import RedisProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from portcullis.components.redis.on_host.resp import Redis

# These directives say where the server runs. A test runs the server elsewhere.
_PLACES = ("port", "bind", "aclfile", "dir", "protected-mode")
_PIECE = "x" * (1 << 20)


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Callable[[str, render.Persistence], Redis]]:
    made: list[RedisProcess] = []

    def start(eviction: str, persistence: render.Persistence) -> Redis:
        text = render.redis_conf("redis", render.Limits(32, eviction, persistence))
        lines = [line for line in text.splitlines() if line.partition(" ")[0] not in _PLACES]
        made.append(RedisProcess(tmp_path, tuple(lines)))
        made[0].acl.write_text("user default on nopass ~* +@all\n")
        made[0].start()
        return made[0].enter_bare()

    yield start
    for server in made:
        server.stop()


def test_with_data_to_keep_a_full_memory_refuses_writes_and_loses_nothing(
    limited: Callable[[str, render.Persistence], Redis],
) -> None:
    session = limited("noeviction", "aof")
    while (written := session.call("DBSIZE")) != render.maxmemory(32):
        try:
            session.call("SET", f"key:{written}", _PIECE)
        except Refused as refused:
            assert "OOM" in str(refused)  # noqa: PT017 - the use of memory decides which write fails
            break
    assert isinstance(written, int)
    assert 0 < written < render.maxmemory(32)
    assert session.call("DBSIZE") == written
    assert session.call("STRLEN", "key:0") == len(_PIECE)


def test_a_full_cache_removes_the_least_recently_used_keys(
    limited: Callable[[str, render.Persistence], Redis],
) -> None:
    session = limited("allkeys-lru", "none")
    for number in range(40):
        assert session.call("SET", f"key:{number}", _PIECE) == "OK"
    kept = session.call("DBSIZE")
    assert isinstance(kept, int)
    assert 0 < kept < render.maxmemory(32)
    assert session.call("EXISTS", "key:39") == 1
