"""Tests the backup job on the host: how it dumps a store, names the dumps, copies them and restores them."""

from __future__ import annotations

import calendar
import gzip
import io
import itertools
import json
import os
import stat
import struct
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components.backups.job import (
    archive,
    config,
    job,
    main,
    mongo,
    postgres,
    programs,
    redis,
    repository,
    restore,
)
from portcullis.components.backups.job.programs import Done, Failed
from portcullis.components.backups.job.shelf import DAY, Shelf, Status, read_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import IO

NOW = calendar.timegm((2026, 11, 24, 3, 30, 0))
TOO_NEW = 99
"""The number of items of a dump that a newer server made."""


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


class FakeStore:
    """A fake store. Its dump is its number of items as text."""

    ending, holds = ".rdb", "keys"

    def __init__(self, name: str, items: int = 3) -> None:
        self.name, self.items, self.fault = name, items, ""
        self.restored: list[str] = []
        self.waited = 0

    def wait(self) -> None:
        self.waited += 1

    def dump(self, out: IO[bytes]) -> None:
        if self.fault:
            out.write(b"half of")
            raise Failed(self.fault)
        out.write(str(self.items).encode())

    def check(self, path: Path) -> int:
        return int(path.read_text())

    def check_version(self, path: Path, present: Path) -> None:
        if int(path.read_text()) == TOO_NEW:
            raise Failed(f"{path.name} is newer than {present.name}")

    def restore(self, path: Path, _part: str, _say: Callable[[str], None]) -> None:
        self.restored.append(path.read_text())
        self.items = int(path.read_text())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shelf(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.setattr(os, "fsync", lambda _fd: None)
    return Shelf(tmp_path, clock)


@pytest.fixture(autouse=True)
def each_dump_has_a_moment_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    later = itertools.count()
    for module in (job, restore):
        monkeypatch.setattr(module, "Shelf", lambda folder: Shelf(folder, lambda: time.time() + next(later)))


def put(shelf: Shelf, items: int, store: str = "redis", note: str = "") -> str:
    fake = FakeStore(store, items)
    return shelf.put(store, ".rdb", fake.dump, fake.check, note).path.name


def test_a_dumps_name_has_its_time_and_its_items_and_only_root_can_read_it(shelf: Shelf) -> None:
    assert put(shelf, 12) == "2026-11-24T03-30-00Z_12.rdb"
    (dump,) = shelf.dumps("redis")
    assert (dump.name, dump.items, dump.size, dump.taken) == ("2026-11-24T03-30-00Z", 12, 2, NOW)
    assert stat.S_IMODE(dump.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(dump.path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "name",
    ["dump.rdb", ".partial-1.rdb", "2026-11-24T03-30-00Z.rdb", "2026-13-24T03-30-00Z_1.rdb", "a_1.rdb"],
)
def test_a_file_with_another_name_is_no_dump(name: str) -> None:
    assert read_name(Path(name)) is None


@pytest.mark.parametrize("refused", ["dump", "check"])
def test_a_failed_or_incomplete_dump_leaves_nothing(shelf: Shelf, refused: str) -> None:
    def write(out: IO[bytes]) -> None:
        out.write(b"half")
        if refused == "dump":
            raise Failed("the store is gone")

    def check(_path: Path) -> int:
        raise Failed("it is cut")

    with pytest.raises(Failed):
        shelf.put("redis", ".rdb", write, check)
    assert list((shelf.folder / "redis").iterdir()) == []


def test_the_next_run_removes_what_a_killed_run_left(shelf: Shelf) -> None:
    (shelf.folder / "redis").mkdir()
    (shelf.folder / "redis/.partial-7.rdb").write_text("half")
    put(shelf, 1)
    assert [path.name for path in (shelf.folder / "redis").iterdir()] == ["2026-11-24T03-30-00Z_1.rdb"]


def test_dumps_older_than_the_days_are_removed_but_never_the_newest(shelf: Shelf, clock: Clock) -> None:
    for days in (20, 15, 14.1, 13.9, 1):
        clock.now = NOW - days * DAY
        put(shelf, int(days * 10))
    clock.now = NOW - 16 * DAY
    put(shelf, 7, note="-before-restore")
    stranger = shelf.folder / "redis/2020-01-01-mine.rdb"
    stranger.write_text("mine")
    clock.now = NOW
    assert sorted(dump.items for dump in shelf.prune("redis", 14)) == [7, 141, 150, 200]
    assert [dump.items for dump in shelf.dumps("redis")] == [10, 139]
    assert stranger.exists()
    clock.now = NOW + 100 * DAY
    shelf.prune("redis", 14)
    assert [dump.items for dump in shelf.dumps("redis")] == [10], "the newest stays however old it is"


def settings(folder: Path, *stores: FakeStore, copies: Any = None) -> config.Config:
    return config.Config(folder, 14, {store.name: store for store in stores}, copies)  # type: ignore[dict-item]


def test_the_failure_of_one_store_stops_no_other_and_prunes_nothing(shelf: Shelf) -> None:
    old = shelf.folder / "redis/2020-01-01T00-00-00Z_5.rdb"
    old.parent.mkdir()
    old.write_text("5")
    broken, well = FakeStore("redis"), FakeStore("mongo")
    broken.fault = "no such container"
    said: list[str] = []
    assert not job.run(settings(shelf.folder, broken, well), said.append)
    assert old.exists()
    assert said[1] == "redis: FAILED: no such container", "the store with the smallest last dump is first"
    assert (broken.waited, well.waited) == (1, 1), "the job may run when the host has just booted"
    status = json.loads((shelf.folder / "status.json").read_text())
    assert status["redis"]["reason"] == "no such container"
    assert "success" not in status["redis"]
    assert status["mongo"]["items"] == 3
    assert Path(status["mongo"]["file"]).stat().st_size == status["mongo"]["bytes"] == 1


@pytest.mark.parametrize("fault", [IndexError("x"), RecursionError(), ValueError("x"), OSError(5, "x")])
def test_invalid_data_of_a_store_fails_only_its_own_backup(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    hostile, well = FakeStore("redis"), FakeStore("mongo")

    def check(_: Path) -> int:
        raise fault

    monkeypatch.setattr(hostile, "check", check)
    said: list[str] = []
    assert not job.run(settings(shelf.folder, hostile, well), said.append)
    assert said[0].startswith("redis: FAILED: ")
    assert said[1].startswith("mongo: 3 keys")
    assert [path.name for path in (shelf.folder / "redis").iterdir()] == [], "nothing of it is left"


def test_a_dump_leaves_space_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "dump").open("wb") as file:
        assert programs._room(file) > 0
        assert programs.run(["echo", "12"], stdout=file).code == 0
    monkeypatch.setattr(programs, "_room", lambda _: 100_000)
    with (
        (tmp_path / "dump").open("wb") as file,
        pytest.raises(Failed, match="the output of yes does not fit into the free space of 100000 bytes"),
    ):
        programs.run(["yes"], stdout=file, timeout=5)
    assert (tmp_path / "dump").stat().st_size == 100_000


def test_each_store_has_a_share_of_the_time_and_of_the_space(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = (shelf.folder / "disk").open("wb")
    (shelf.folder / "mongo").mkdir()
    (shelf.folder / "mongo/2020-01-01T00-00-00Z_5.rdb").write_bytes(b"5" * 1000)
    shares: list[tuple[float, int]] = []
    monkeypatch.setattr(
        programs.os, "fstatvfs", lambda _: os.statvfs_result((1, 1, 100_000, 0, 50_000, *[0] * 5))
    )
    monkeypatch.setattr(job.time, "monotonic", lambda: 0.0)

    def dump(out: IO[bytes]) -> None:
        shares.append((programs.share.ends, programs._room(free)))
        out.write(b"3")

    stores = [FakeStore("redis"), FakeStore("mongo")]
    for store in stores:
        monkeypatch.setattr(store, "dump", dump)
    assert job.run(settings(shelf.folder, *stores), lambda _: None)
    assert shares == [(programs.RUN / 2, 43_000), (programs.RUN, 45_000)]
    # A store that has become large leaves the others half of the space.
    (shelf.folder / "redis/2999-01-01T00-00-00Z_5.rdb").write_bytes(b"5" * 40_000)
    assert job.run(settings(shelf.folder, *stores), lambda _: None)
    assert shares[2:] == [(programs.RUN / 2, 22_500), (programs.RUN, 45_000)], (
        "a store that is done needs no more"
    )
    free.close()


def test_a_backup_ends_with_its_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs.share, "ends", 0.0)
    for slow in (lambda: programs.run(["true"]), lambda: archive.documents(written(tmp_path, *WHOLE))):
        with pytest.raises(Failed, match="took longer than this store's share of the time"):
            slow()


def test_a_failure_keeps_the_last_success_and_a_success_clears_the_reason(
    tmp_path: Path, clock: Clock
) -> None:
    status = Status(tmp_path / "status.json", clock)
    status.success("redis")
    clock.now += DAY
    status.failure("redis", "no room")
    entry = status.read()["redis"]
    assert (entry["success"], entry["attempt"], entry["reason"]) == (NOW, NOW + DAY, "no room")
    status.success("redis")
    assert status.read()["redis"]["reason"] == ""
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_a_store_that_is_suddenly_empty_has_no_backup_until_somebody_accepts_that(
    shelf: Shelf,
) -> None:
    store = FakeStore("redis")
    plan = settings(shelf.folder, store)
    said: list[str] = []
    assert job.run(plan, said.append)
    store.items = 0
    assert not job.run(plan, said.append)
    assert "the store redis has no keys, but its last backup had 3" in said[-1]
    assert [dump.items for dump in shelf.dumps("redis")] == [3]
    assert job.run(plan, said.append, accept_empty=True)
    assert job.run(plan, said.append), "it was empty before as well"


class Copies:
    """A fake restic repository, which keeps its snapshots in a list."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.forgets: list[bool] = []
        self.there: list[Any] = []
        self.fault = ""

    def keep(self, dumps: Sequence[Any], _days: int, *, forget: bool) -> None:
        self.forgets.append(forget)
        if self.fault:
            raise Failed(self.fault)
        self.kept += [dump.path.name for dump in dumps]

    def dumps(self, _store: str) -> list[Any]:
        if self.fault:
            raise Failed(self.fault)
        return self.there

    def fetch(self, dump: Any, out: IO[bytes]) -> None:
        out.write(str(dump.items).encode())


def test_copies_succeed_only_if_they_include_every_store(shelf: Shelf) -> None:
    copies, broken = Copies(), FakeStore("redis")
    broken.fault = "gone"
    plan = settings(shelf.folder, FakeStore("mongo"), broken, copies=copies)
    assert not job.run(plan, lambda _: None)
    assert len(copies.kept) == 1
    assert "restic" not in Status(plan.status).read()
    copies.fault, broken.fault = "no such bucket", ""
    assert not job.run(plan, lambda _: None)
    assert Status(plan.status).read()["restic"]["reason"] == "no such bucket"
    # The other stores' new copies would push out the last copy of a store that fails for weeks.
    assert copies.forgets == [False, True]


def test_a_restore_sets_the_present_data_aside_and_takes_the_newest_dump_with_data(
    shelf: Shelf, clock: Clock
) -> None:
    for items in (0, 5, 7):
        put(shelf, items)
        clock.now -= DAY
    store = FakeStore("redis", 9)
    plan = settings(shelf.folder, store)
    said: list[str] = []
    restore.restore(plan, "redis", "latest", said.append)
    assert store.restored == ["5"]
    newest = shelf.dumps("redis")[0]
    assert (newest.items, newest.is_before_restore) == (9, True)
    restore.restore(plan, "redis", newest.name, said.append, safety=False)
    assert store.items == 9
    listed = restore.table(restore.listed(plan, "redis"))
    assert listed.count("\n") == 3
    assert "set aside by a restore" in listed


@pytest.mark.parametrize(
    ("store", "which", "said"),
    [
        ("mysql", "latest", "'mysql' is not a store of this host; its stores: redis"),
        ("redis.shop", "latest", "'redis.shop' is not a store of this host; its stores: redis"),
        ("redis", "2020-01-01T00-00-00Z", "there is no backup 2020-01-01T00-00-00Z of redis"),
        (
            "redis",
            "latest",
            "redis has no backup with data; `portcullis-backup list redis` lists its backups",
        ),
    ],
)
def test_an_impossible_restore_changes_nothing(shelf: Shelf, store: str, which: str, said: str) -> None:
    put(shelf, 0)
    fake = FakeStore("redis")
    with pytest.raises(Failed, match=said):
        restore.restore(settings(shelf.folder, fake), store, which, lambda _: None)
    assert fake.restored == []
    assert len(shelf.dumps("redis")) == 1


def test_a_store_that_cannot_be_dumped_first_is_overwritten_only_on_request(shelf: Shelf) -> None:
    put(shelf, 5)
    fake = FakeStore("redis")
    fake.fault = "it does not answer"
    plan = settings(shelf.folder, fake)
    with pytest.raises(Failed, match="the restore changed nothing"):
        restore.restore(plan, "redis", "latest", lambda _: None)
    assert fake.restored == []
    restore.restore(plan, "redis", "latest", lambda _: None, safety=False)
    assert fake.restored == ["5"]


def test_a_dump_that_is_only_in_the_repository_is_fetched_and_removed_again(shelf: Shelf) -> None:
    copies, fake = Copies(), FakeStore("redis", 0)
    copies.there = [read_name(Path("/var/backups/x/redis/2026-11-23T03-30-00Z_8.rdb"), snapshot="abc")]
    plan = settings(shelf.folder, fake, copies=copies)
    assert [dump["place"] for dump in restore.listed(plan, "")] == ["restic"]
    restore.restore(plan, "redis", "latest", lambda _: None, safety=False)
    assert fake.restored == ["8"]
    assert not list(shelf.folder.glob(".fetched*"))


def test_a_backup_of_a_newer_server_changes_nothing(shelf: Shelf) -> None:
    name = put(shelf, TOO_NEW)
    store = FakeStore("redis")
    with pytest.raises(Failed, match=f"{name} is newer than"):
        restore.restore(settings(shelf.folder, store), "redis", "latest", lambda _: None)
    assert store.restored == []


def test_a_dump_on_the_host_is_restored_while_the_repository_does_not_answer(shelf: Shelf) -> None:
    put(shelf, 5)
    copies, fake = Copies(), FakeStore("redis", 0)
    copies.fault = "restic did not end within 2 minutes"
    plan = settings(shelf.folder, fake, copies=copies)
    (dump,) = shelf.dumps("redis")
    with pytest.raises(Failed, match="2 minutes"):
        restore.restore(plan, "redis", "latest", lambda _: None, safety=False)
    restore.restore(plan, "redis", dump.name, lambda _: None, safety=False)
    assert fake.restored == ["5"]


def test_an_archive_of_a_newer_mongodb_is_refused(tmp_path: Path) -> None:
    def of(version: str) -> Path:
        folder = tmp_path / version
        folder.mkdir()
        return written(folder, server=version)

    store, eight = mongo.Mongo("mongo", "mongo"), of("8.0.4")
    for fine in ("8.0.12", "7.0.14", "unknown"):
        store.check_version(of(fine), eight)
    with pytest.raises(Failed, match=r"the backup is from MongoDB 10\.1, and mongo is MongoDB 8\.0"):
        store.check_version(of("10.1.0"), eight)


# --- archives of mongodump


def bson(**fields: str | bool | int) -> bytes:
    body = b""
    for key, value in fields.items():
        name = key.encode() + b"\0"
        if isinstance(value, bool):
            body += b"\x08" + name + bytes([value])
        elif isinstance(value, int):
            body += b"\x12" + name + struct.pack("<q", value)
        else:
            text = value.encode() + b"\0"
            body += b"\x02" + name + struct.pack("<i", len(text)) + text
    return struct.pack("<i", len(body) + 5) + body + b"\0"


END = b"\xff\xff\xff\xff"


def block(database: str, collection: str, *documents: bytes, eof: bool = False) -> bytes:
    header = bson(db=database, collection=collection, EOF=eof, CRC=7)
    return header + b"".join(documents) + END


def written(tmp_path: Path, *blocks: bytes, magic: int = 0x8199E26D, server: str = "8.0") -> Path:
    about = bson(concurrent_collections=4, version="0.1", server_version=server, tool_version="100.10")
    prelude = struct.pack("<I", magic) + about + bson(db="shop", collection="items", metadata="{}") + END
    path = tmp_path / "a.archive.gz"
    path.write_bytes(gzip.compress(prelude + b"".join(blocks)))
    return path


WHOLE = (
    block("shop", "items", bson(a="1"), bson(a="2")),
    block("admin", "system.users", bson(user="root")),
    block("shop", "items", bson(a="3")),
    block("shop", "items", eof=True),
    block("admin", "system.users", eof=True),
    block("shop", "system.views", bson(a="view")),
    block("shop", "system.views", eof=True),
    block("shop", "empty"),
    block("shop", "empty", eof=True),
)


def test_documents_are_counted_by_database_without_the_servers_own(tmp_path: Path) -> None:
    assert archive.documents(written(tmp_path, *WHOLE)) == {"shop": 3}
    assert archive.documents(written(tmp_path)) == {}


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        (WHOLE[:1], "the archive ends before the end of the collection shop.items"),
        ((WHOLE[0][:-4],), "unpack|incomplete"),
        ((WHOLE[0][:-9],), "in the middle|bytes"),
        ((b"\x04\0\0\0",), "a document in the archive has an impossible length of 4 bytes"),
        ((bson(db="shop") + END,), "collection"),
        # Headers that no mongodump writes: the end is missing, or a length points behind the end.
        ((struct.pack("<i", 8) + b"\x10a\0\0" + END,), "not a complete archive"),
        ((struct.pack("<i", 12) + b"\x02a\0\xff\xff\xff\x7f\0" + END,), "not a complete archive"),
        ((struct.pack("<i", 10) + b"\x08abcd\0" + END,), "not a complete archive"),
    ],
)
def test_an_archive_that_ends_early_is_refused(tmp_path: Path, blocks: Sequence[bytes], said: str) -> None:
    with pytest.raises(Failed, match=said):
        archive.documents(written(tmp_path, *blocks))


def test_a_file_that_is_incomplete_or_changed_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, *WHOLE)
    whole = path.read_bytes()
    for broken in (b"", whole[:40], whole[:-1], whole[:-9] + b"\0" + whole[-8:], b"no archive at all"):
        path.write_bytes(broken)
        with pytest.raises(Failed):
            archive.documents(path)
    with pytest.raises(Failed, match="does not begin with the magic number of mongodump"):
        archive.documents(written(tmp_path, magic=1))


# --- the tools of the stores, with fake answers


class Tools:
    """Fake programs. The list `asked` records every command line."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[Any] = []
        self.asked: list[list[str]] = []
        self.env: list[dict[str, str]] = []
        for module in (programs, redis, repository, redis.containers):
            if hasattr(module, "run"):
                monkeypatch.setattr(module, "run", self.run)

    def run(self, argv: Sequence[str], *, stdout: IO[bytes] | None = None, **more: Any) -> Done:
        self.asked.append(list(argv))
        self.env.append(dict(more.get("env") or {}))
        answer, data = self.answers.pop(0)
        if stdout is not None:
            stdout.write(data)
        return answer if isinstance(answer, Done) else Done(0, "", answer)


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Tools:
    return Tools(monkeypatch)


SNAPSHOT = b"REDIS0011" + b"some keys" + b"\xff" + b"8 bytes!"
MARK = b"m" * 40


def test_the_files_of_a_server_that_an_up_started_are_not_switched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[str] = []
    state = [{"Image": "id", "Config": {"Cmd": ["redis-server"], "User": "9"}, "Mounts": [],
              "State": {"Running": True}}]  # fmt: skip

    def run(argv: Sequence[str], **_: Any) -> Done:
        ran.append(" ".join(argv))
        return Done(0, json.dumps(state) if argv[2] == "inspect" else "", "")

    for module in (programs, redis, redis.containers):
        monkeypatch.setattr(module, "run", run)
    (tmp_path / "a.rdb").write_bytes(SNAPSHOT)
    with pytest.raises(Failed, match="redis was started during the restore"):
        redis.Redis("redis", "redis").restore(tmp_path / "a.rdb", "", lambda _: None)
    assert not [words for words in ran if "dump.rdb" in words]
    assert ran[-1] == "docker start redis"


@pytest.mark.parametrize("entry_point", [True, False])
def test_a_snapshot_is_loaded_with_the_entry_point_of_the_image(tmp_path: Path, *, entry_point: bool) -> None:
    """The entry point of Redis 8 loads modules.

    Without these modules, Redis refuses a snapshot with keys of the modules.
    """
    programs_here = tmp_path / "bin"
    programs_here.mkdir()

    def program(name: str, line: str) -> None:
        path = programs_here / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    program("redis-server", 'echo "$@" >asked; sleep 0.3')
    program("redis-cli", "exit 1")
    if entry_point:
        program("docker-entrypoint.sh", 'exec "$@" --loadmodule /usr/local/lib/redis/modules/rejson.so')
    script = redis._CONVERT.replace("/data", str(tmp_path)).replace("/tmp/restore", f"{tmp_path}/restore")  # noqa: S108
    path = f"{programs_here}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", script, "sh", "/etc/redis/redis.conf"], check=False, env={"PATH": path}
    )
    assert done.returncode == 1, "this server never answers"
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("/etc/redis/redis.conf --port 0")
    assert asked.strip().endswith("rejson.so") == entry_point


def test_an_interrupted_switch_of_files_brings_the_old_files_back(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir.before").mkdir()
    (tmp_path / "restore-aof").mkdir()
    subprocess.run(["sh", "-c", redis._CLEAN.replace("/data", str(tmp_path))], check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["appendonlydir"]


def test_without_memory_the_kernel_kills_the_backup_and_not_the_server() -> None:
    argv = redis.containers.shell("redis", "exec cat /proc/self/oom_score_adj")
    done = subprocess.run(argv[argv.index("sh") :], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("1000", "")


def test_the_job_waits_for_a_store_that_has_just_been_started(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    states = ("starting", "unhealthy", "healthy")
    answers = [json.dumps([{"State": {"Running": True, "Health": {"Status": state}}}]) for state in states]
    for store in (redis.Redis("redis", "redis"), mongo.Mongo("mongo", "mongo")):
        tools.answers = [(Done(0, answer, ""), b"") for answer in answers]
        store.wait()
        assert tools.answers == []
    tools.answers = [(Done(1, "", "No such container"), b"")]
    redis.Redis("redis", "redis").wait()


@pytest.mark.parametrize(
    ("said", "data"),
    [
        (f"Transfer finished with success after {len(SNAPSHOT)} bytes", SNAPSHOT + MARK),
        (f"Transfer finished with success after {len(SNAPSHOT)} bytes", SNAPSHOT),
        (f"SYNC sent to master, writing {len(SNAPSHOT)} bytes to '-'", SNAPSHOT),
    ],
)
def test_a_snapshot_has_the_length_that_redis_reports(tools: Tools, said: str, data: bytes) -> None:
    tools.answers = [(said, data)]
    out = io.BytesIO()
    redis.Redis("redis", "redis").dump(out)
    assert out.getvalue() == SNAPSHOT
    assert "</run/secrets/ops " in tools.asked[0][-1]


@pytest.mark.parametrize(
    ("said", "data", "refusal"),
    [
        (f"Transfer finished with success after {len(SNAPSHOT)} bytes", SNAPSHOT[:-1], "but Redis reports"),
        (Done(1, "", "AUTH failed: WRONGPASS"), b"", "WRONGPASS"),
        ("nothing of a snapshot", b"", "sent no snapshot"),
    ],
)
def test_an_incomplete_or_refused_snapshot_is_an_error(
    tools: Tools, said: Any, data: bytes, refusal: str
) -> None:
    tools.answers = [(said, data)]
    with pytest.raises(Failed, match=refusal):
        redis.Redis("redis", "redis").dump(io.BytesIO())


def test_a_snapshot_is_checked_by_redis_own_program(tools: Tools, tmp_path: Path) -> None:
    path = tmp_path / "a.rdb"
    store = redis.Redis("redis", "redis")
    for broken in (b"", b"REDIS0011", SNAPSHOT[:-1], b"X" + SNAPSHOT[1:]):
        path.write_bytes(broken)
        with pytest.raises(Failed, match="not a complete snapshot"):
            store.check(path)
    assert tools.asked == []
    path.write_bytes(SNAPSHOT)
    tools.answers = [(Done(0, "[offset 9] \\o/ RDB looks OK! \\o/\n[info] 12 keys read\n", ""), b"")]
    assert store.check(path) == 12
    tools.answers = [(Done(1, "--- RDB ERROR DETECTED ---\nWrong signature\n", ""), b"")]
    with pytest.raises(Failed, match="RDB ERROR DETECTED"):
        store.check(path)


def test_a_restore_of_mongo_fails_unless_every_document_is_back(tools: Tools, tmp_path: Path) -> None:
    path = written(tmp_path, *WHOLE)
    store = mongo.Mongo("mongo", "mongo")
    tools.answers = [("3 document(s) restored successfully. 0 document(s) failed to restore.", b"")]
    said: list[str] = []
    store.restore(path, "", said.append)
    assert said[-1] == "mongo: 3 documents restored"
    assert "--drop --nsExclude='admin.*' --nsExclude='config.*'" in tools.asked[-1][-1]
    tools.answers = [("4 document(s) restored successfully. 0 document(s) failed to restore.", b"")]
    store.restore(path, "shop", said.append)
    assert "--nsInclude='shop.*'" in tools.asked[-1][-1]
    for told in ("2 document(s) restored successfully. 1 document(s) failed to restore.", "done"):
        tools.answers = [(told, b"")]
        with pytest.raises(Failed, match=r"the restore of .* did not write all 3 documents"):
            store.restore(path, "", said.append)
    with pytest.raises(Failed, match="has no database other; its databases: shop"):
        store.restore(path, "other", said.append)


# --- restic


@pytest.fixture
def copies(tmp_path: Path) -> repository.Repository:
    (tmp_path / "address").write_text("rest:https://me:hunter22@example.com/\n")
    (tmp_path / "password").write_text("correcthorse\n")
    (tmp_path / "environment").write_text("AWS_SECRET_ACCESS_KEY=battery=staple\n")
    return repository.Repository(
        "web1", tmp_path / "address", tmp_path / "password", tmp_path / "environment", tmp_path / "cache"
    )


def test_restic_creates_its_repository_only_if_there_is_none(
    tools: Tools, copies: repository.Repository
) -> None:
    dump = read_name(Path("/var/backups/portcullis/redis/2026-11-24T03-30-00Z_8.rdb"))
    assert dump is not None
    well = (Done(0, "", ""), b"")
    tools.answers = [(Done(1, "", "no config"), b""), well, well, well, well]
    copies.keep([dump], 14)
    verbs = [argv[4] for argv in tools.asked]
    assert verbs == ["cat", "init", "backup", "forget", "check"]
    assert "--group-by=host" in tools.asked[3]
    tools.answers = [well, well, well, well]
    copies.keep([dump], 14)
    assert [argv[4] for argv in tools.asked[5:]] == ["cat", "backup", "forget", "check"]
    tools.answers = [well, well, well]
    copies.keep([dump], 14, forget=False)
    assert [argv[4] for argv in tools.asked[9:]] == ["cat", "backup", "check"]
    assert {variables["AWS_SECRET_ACCESS_KEY"] for variables in tools.env} == {"battery=staple"}
    assert "correcthorse" not in str(tools.asked)


@pytest.mark.parametrize("day", range(7))
def test_restic_reads_another_seventh_each_day_and_forgets_after_the_declared_days(
    tools: Tools, copies: repository.Repository, monkeypatch: pytest.MonkeyPatch, day: int
) -> None:
    dump = read_name(Path("/var/backups/portcullis/redis/2026-11-24T03-30-00Z_8.rdb"))
    assert dump is not None
    moment = time.struct_time((2026, 11, 23 + day, 3, 30, 0, day, 327 + day, 0))
    monkeypatch.setattr(repository.time, "localtime", lambda: moment)
    tools.answers = [(Done(0, "", ""), b"")] * 4
    copies.keep([dump], 14)
    first = tools.asked[0]
    common, config = first[:4], first[4:]
    assert common == [
        "restic", f"--repository-file={copies.address}", f"--password-file={copies.password}",
        f"--cache-dir={copies.cache}",
    ]  # fmt: skip
    assert config == ["cat", "config"]
    of_us = ["--host=web1", "--tag=portcullis"]
    assert [argv[4:] for argv in tools.asked[1:]] == [
        ["backup", *of_us, "--quiet", str(dump.path)],
        ["forget", *of_us, "--group-by=host", "--keep-within=14d", "--keep-daily=14", "--prune", "--quiet"],
        ["check", f"--read-data-subset={day + 1}/7", "--quiet"],
    ]
    assert all(argv[:4] == common for argv in tools.asked)


@pytest.mark.parametrize("verb", ["cat", "backup", "forget", "check"])
def test_a_failure_of_restic_fails_the_run(tools: Tools, copies: repository.Repository, verb: str) -> None:
    dump = read_name(Path("/var/backups/portcullis/redis/2026-11-24T03-30-00Z_8.rdb"))
    assert dump is not None
    well, ill = (Done(0, "", ""), b""), (Done(3, "", "no such host"), b"")
    order = ["cat", "backup", "forget", "check"]
    tools.answers = [well] * order.index(verb) + [ill]
    if verb == "cat":  # the job then tries to create the repository
        tools.answers += [ill]
        with pytest.raises(Failed, match="create the repository:\nno such host\nno such host"):
            copies.keep([dump], 14)
    else:
        with pytest.raises(Failed, match=rf"restic {verb} failed \(exit code 3\):\nno such host"):
            copies.keep([dump], 14)


def test_secrets_are_removed_from_the_output_of_restic(tools: Tools, copies: repository.Repository) -> None:
    quoting = "Fatal: rest:https://me:hunter22@example.com/ correcthorse battery=staple"
    tools.answers = [(Done(1, "", quoting), b""), (Done(1, "", quoting), b"")]
    with pytest.raises(Failed, match="neither open nor create the repository") as caught:
        copies.keep([], 14)
    text = str(caught.value)
    assert "me:***@example.com/ *** ***" in text
    for secret in ("hunter22", "correcthorse", "battery"):
        assert secret not in text


def test_the_dumps_in_restics_snapshots_are_listed(tools: Tools, copies: repository.Repository) -> None:
    paths = ["/a/redis/2026-11-24T03-30-00Z_8.rdb", "/a/mongo/2026-11-24T03-30-01Z_9.archive.gz", "/a/x"]
    tools.answers = [(Done(0, json.dumps([{"id": "abc", "paths": paths}]), ""), b"")]
    (dump,) = copies.dumps("mongo")
    assert (dump.items, dump.snapshot) == (9, "abc")
    tools.answers = [(Done(0, "null", ""), b"")]
    assert copies.dumps("mongo") == []
    at = ["2026-11-24T03-30-00Z_8.rdb", "2026-11-26T03-30-00Z_8.rdb", "2026-11-25T03-30-00Z_8.rdb"]
    told = [{"id": "abc", "paths": [f"/a/redis/{name}" for name in at]}]
    tools.answers = [(Done(0, json.dumps(told), ""), b"")]
    assert [dump.path.name for dump in copies.dumps("redis")] == [at[1], at[2], at[0]], "the newest first"


def test_a_list_does_not_wait_as_long_as_restic_tries(
    copies: repository.Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "restic").write_text("#!/bin/sh\nsleep 60\n")
    (tmp_path / "restic").chmod(0o755)
    assert repository._PATIENCE == 120
    monkeypatch.setattr(repository, "_PATIENCE", 0.6)
    monkeypatch.setattr(programs, "_ENVIRONMENT", {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(Failed, match=r"restic did not end within 0\.01 minutes"):
        copies.dumps("redis")


def test_a_value_too_short_for_a_secret_stays_in_the_output_of_restic(
    tools: Tools, copies: repository.Repository
) -> None:
    copies.environment.write_text("A=short\nB=longer\n")
    tools.answers = [(Done(1, "", "short longer"), b"")] * 2
    with pytest.raises(Failed) as caught:
        copies.keep([], 14)
    assert "short ***" in str(caught.value)


# --- the command


def test_the_command_reads_its_settings_and_refuses_a_second_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main.signal, "signal", lambda *_: None)
    monkeypatch.setattr(main.os, "umask", lambda _: 0o22)
    told = {
        "folder": str(tmp_path / "dumps"), "keep": 14,
        "stores": {"redis": {"kind": "redis", "container": "r", "append_only": False},
                   "mongo": {"kind": "mongo", "container": "m", "tls": "/ca"},
                   "postgres.shop": {"kind": "postgres", "container": "p", "database": "shop"}},
        "restic": dict.fromkeys(("host", "address", "password", "environment", "cache"), "/x"),
    }  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps(told))
    read = config.load(path)
    assert read.stores == {
        "redis": redis.Redis("redis", "r", append_only=False),
        "mongo": mongo.Mongo("mongo", "m", "/ca"),
        "postgres.shop": postgres.Postgres("postgres.shop", "p", "shop"),
    }
    assert read.repository is not None
    with main._locked(read):
        assert main.main(["--config", str(path), "run"]) == 1
    assert "another backup or restore is running on this host" in capfd.readouterr().out
    path.write_text("{")
    assert main.main(["--config", str(path), "list"]) == 1
    assert f"error: the settings file {path} is not valid" in capfd.readouterr().out


def test_the_job_needs_only_the_standard_library_of_python_3_10() -> None:
    import ast  # noqa: PLC0415
    import sys  # noqa: PLC0415

    for path in Path(main.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(), feature_version=(3, 10))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names.append(str(node.module))
            for name in names:
                assert name.partition(".")[0] in sys.stdlib_module_names, (path, name)


def test_a_run_continues_when_nobody_reads_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(_fd: int, _data: bytes) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(main.os, "write", cut)
    main._say("starting")
