"""The age of backups, and the run that takes a new backup, on a fake host."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.errors import AgentError
from portcullis.agent.run import Done
from portcullis.components.backups import on_host
from tests.on_host import Client

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from portcullis.agent.machine import Machine

UNIT = "portcullis-backup.service"
DAY = 86400


class Job:
    """A fake host with the backup job.

    The test decides what the job does. `ran` counts the runs of the job.
    """

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.status = folder / "status.json"
        self.dump = folder / "a.rdb"
        self.ran = 0
        self.code, self.fault = 0, ""
        self.client = Client(dataclasses.replace(machine, run=self.run))

    def run(self, argv: Sequence[str], **_: Any) -> Done:
        if argv[0] == "journalctl":
            return Done(0, "redis: FAILED: no such container\n", "")
        assert list(argv) == ["systemctl", "start", UNIT]
        self.ran += 1
        if self.fault:
            raise AgentError(self.fault, "systemctl did not end")
        if self.code == 0:
            self.note(redis={}, mongo={})
        return Done(self.code, "", "Job for portcullis-backup.service failed")

    def note(self, age: float = 60, **stores: dict[str, Any]) -> None:
        self.dump.write_bytes(b"x" * 7)
        fresh = {"success": time.time() - age, "reason": "", "file": str(self.dump), "bytes": 7}
        self.status.write_text(json.dumps({name: {**fresh, **entry} for name, entry in stores.items()}))

    def desired(self, *stores: str) -> dict[str, Any]:
        fresh = dict.fromkeys(stores or ("mongo", "redis"), "fresh")
        return {"unit": UNIT, "status": str(self.status), "hours": 48, "stores": fresh}

    def put(self, *stores: str) -> dict[str, Any]:
        return self.client.on("put", "backups", UNIT, self.desired(*stores))

    def refused(self) -> AgentError:
        return self.client.refused("put", "backups", UNIT, self.desired())

    def stores(self) -> dict[str, str]:
        spec = {**self.desired(), "stores": ["mongo", "redis"]}
        found: dict[str, str] = self.client.look("backups", UNIT, spec)["stores"]
        return found


@pytest.fixture
def job(machine: Machine, tmp_path: Path) -> Iterator[Job]:
    made = Job(machine, tmp_path)
    yield made
    made.client.close()


def test_the_first_backup_is_taken_at_once_and_only_once(job: Job) -> None:
    assert job.stores() == {"mongo": "never backed up", "redis": "never backed up"}
    done = job.put()
    assert [(step["property"], step["have"]) for step in done["steps"]] == [
        ("stores.mongo", "never backed up"),
        ("stores.redis", "never backed up"),
    ]
    assert job.put()["steps"] == []
    assert job.ran == 1


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"success": -1.9 * DAY}, "fresh"),
        ({"success": -2 * DAY + 60}, "fresh"),
        ({"success": -2 * DAY - 60}, "last success 2 days ago: no run since"),
        ({"success": -1 * DAY, "reason": "the last one failed"}, "fresh"),
        ({"success": DAY}, "fresh"),
        ({"file": "a\0b"}, "last success 1 minute ago, but a\0b is gone"),
        ({"success": -3.2 * DAY}, "last success 3 days ago: no run since"),
        ({"success": -3.2 * DAY, "reason": "no\n  such store"}, "last success 3 days ago: no such store"),
        ({"success": None, "reason": "no such store"}, "never backed up: no such store"),
        ({"success": "yesterday"}, "never backed up"),
        ({"bytes": 8}, "last success 1 minute ago, but {dump} has 7 of its 8 bytes"),
        ({"file": "/nowhere/b.rdb"}, "last success 1 minute ago, but /nowhere/b.rdb is gone"),
        ({"file": "", "success": -60}, "fresh"),
    ],
)
def test_a_backup_that_is_not_fresh_says_since_when_and_why(
    job: Job, entry: dict[str, Any], said: str
) -> None:
    if isinstance(entry.get("success"), (int, float)):
        entry = {**entry, "success": time.time() + entry["success"]}
    job.note(90, mongo={}, redis=entry)
    assert job.stores() == {"mongo": "fresh", "redis": said.format(dump=job.dump)}


def test_an_old_backup_is_drift_and_the_update_takes_a_new_one(job: Job) -> None:
    job.put()
    job.note(3 * DAY, redis={})
    assert job.stores()["redis"].startswith("last success 3 days ago")
    job.put()
    assert job.ran == 2
    assert job.stores()["redis"] == "fresh"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"redis": 7}'])
def test_an_invalid_status_file_counts_as_none(job: Job, text: str) -> None:
    job.status.write_text(text)
    assert job.stores()["redis"] == "never backed up"


def test_a_failed_backup_says_why_and_stays_drift(job: Job) -> None:
    job.code = 1
    error = job.refused()
    assert (error.code, error.prop) == ("failed", "stores")
    assert error.detail == "redis: FAILED: no such container"
    assert job.stores()["redis"] == "never backed up"


def test_a_backup_continues_when_the_deployment_stops_waiting(job: Job) -> None:
    job.fault = "timeout"
    error = job.refused()
    assert "continues" in error.message
    assert f"journalctl -fu {UNIT}" in error.hint


def test_a_store_that_the_job_does_not_know_stays_drift(job: Job) -> None:
    error = job.client.refused("put", "backups", UNIT, job.desired("other"))
    assert error.code == "not-converged"


def test_delete_keeps_the_dumps(job: Job) -> None:
    job.put()
    assert job.client.on("remove", "backups", UNIT, job.desired())["done"] == "kept"
    assert job.dump.exists()
    assert job.status.exists()


@pytest.mark.parametrize("success", [float("nan"), float("inf"), 10**400, -1, True])
def test_an_impossible_time_is_no_success(success: float) -> None:
    assert on_host._state({"success": success, "reason": "full"}, 48) == "never backed up: full"
