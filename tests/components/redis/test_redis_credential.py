"""redis-cli gets the password of the user ops, and no command line or environment contains it."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from portcullis.components.backups.job import redis as backup
from portcullis.components.redis import render
from tests.components.redis.redis_process import RedisProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "planted-Vw7kQ2nX9tR4"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisProcess]:
    made = RedisProcess(tmp_path)
    made.acl.write_text(f"user default off\nuser _ops-1 on >{PASSWORD} ~* +@all\n")
    made.start()
    yield made
    made.stop()


def test_redis_cli_reads_a_password_from_its_input(server: RedisProcess, tmp_path: Path) -> None:
    (tmp_path / "ops").write_text(f"_ops-1 {PASSWORD}\n")
    seen = tmp_path / "seen"
    # The real redis-cli, behind a script that writes down its arguments and environment.
    fake = tmp_path / "bin" / "redis-cli"
    fake.parent.mkdir()
    note = f"tr '\\0' '\\n' </proc/$$/environ >>{seen}; echo \"$@\" >>{seen}"
    fake.write_text(f'#!/bin/sh\n{note}\nexec {shutil.which("redis-cli")} -p {server.port} "$@"\n')
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{fake.parent}:{os.environ['PATH']}"}

    def said(script: str) -> subprocess.CompletedProcess[bytes]:
        own = script.replace(render.SECRETS, str(tmp_path))
        return subprocess.run(["sh", "-c", own], capture_output=True, check=True, env=environment)

    assert said(render.health_command()[2]).stdout == b"PONG\n"
    asked = backup.Redis("redis", "redis")
    assert b"redis_version" in said(asked._ask("info")[-1]).stdout
    assert said(asked._ask("--rdb -")[-1]).stdout.startswith(b"REDIS0")
    assert "ping" in seen.read_text()
    assert PASSWORD not in seen.read_text()
