"""The lab's mongodump, mongorestore and mongosh work with the lab's server in the way that a backup needs."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from portcullis.components.backups.job import archive
from tests.app.conftest import PASSWORD, Store
from tools import mongo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def client(mongodb: Store) -> Iterator[MongoClient[Any]]:
    with MongoClient(f"mongodb://root:{PASSWORD}@127.0.0.1:{mongodb.port}/admin") as client:
        yield client


@pytest.fixture
def run(mongodb: Store, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    config = tmp_path / "config"
    config.write_text(f'password: "{PASSWORD}"\n')

    def one(name: str, *options: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        program = tmp_path / name
        if not program.exists():
            program.symlink_to(mongo.programs())
        login = [f"--config={config}", "--username", "root", "--authenticationDatabase", "admin"]
        given = [*([] if name == "mongosh" else login), f"--port={mongodb.port}", *options]
        return subprocess.run([program, *given], input=stdin, capture_output=True, timeout=60, check=False)

    return one


def test_what_was_dumped_comes_back(
    client: MongoClient[Any], run: Callable[..., subprocess.CompletedProcess[bytes]], tmp_path: Path
) -> None:
    client.depot.things.insert_many([{"n": n, "text": "x" * 50} for n in range(1200)])
    client.depot.things.create_index([("n", -1)], unique=True, name="by_n")
    client.other.one.insert_one({"kept": True})
    dumped = run("mongodump", "--archive", "--gzip")
    assert dumped.returncode == 0, dumped.stderr
    file = tmp_path / "all.archive.gz"
    file.write_bytes(dumped.stdout)
    assert archive.documents(file) == {"depot": 1200, "other": 1}

    client.depot.things.drop()
    client.depot.things.insert_one({"n": "wrong"})
    client.other.one.insert_one({"later": True})
    restored = run(
        "mongorestore", "--archive", "--gzip", "--drop", "--nsInclude=depot.*", stdin=dumped.stdout
    )
    assert b"1200 document(s) restored successfully. 0 document(s) failed" in restored.stderr
    assert client.depot.things.count_documents({}) == 1200
    assert "by_n" in client.depot.things.index_information()
    assert client.other.one.count_documents({}) == 2


def test_a_damaged_archive_and_strange_options_are_errors(
    client: MongoClient[Any], run: Callable[..., subprocess.CompletedProcess[bytes]]
) -> None:
    client.damaged.one.insert_one({"word": "recognisable"})
    whole = run("mongodump", "--db=damaged", "--archive").stdout
    for length in (len(whole) // 2, len(whole) - 4):
        assert run("mongorestore", "--archive", "--dryRun", stdin=whole[:length]).returncode == 1
    flipped = whole.replace(b"recognisable", b"recognizable")
    assert b"checksum" in run("mongorestore", "--archive", "--dryRun", stdin=flipped).stderr
    assert b"oplog" in run("mongodump", "--archive", "--oplog").stderr
    assert b"password in the arguments" in run("mongodump", "mongodb://root:word@h/", "--archive").stderr


def test_mongosh_answers_a_health_check_and_nothing_else(
    run: Callable[..., subprocess.CompletedProcess[bytes]],
) -> None:
    assert run("mongosh", "--quiet", "--eval", "db.adminCommand('ping').ok").stdout == b"1\n"
    assert run("mongosh", "--quiet", "--eval", "quit(db.runCommand({ping: 1}).ok ? 0 : 2)").returncode == 0
    refused = run("mongosh", "--eval", "db.items.drop()")
    assert refused.returncode == 1
    assert b"ping and hello only" in refused.stderr
