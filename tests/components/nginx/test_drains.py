from __future__ import annotations

import dataclasses
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.run import Done
from tests.on_host import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portcullis.agent.machine import Machine

LONG = 10**6  # seconds


class Nginx:
    """A fake nginx whose workers are entries of a fake /proc."""

    def __init__(self, client: Client, root: Path) -> None:
        self.client, self.root = client, root
        self.config = root / "etc"
        self.config.mkdir()
        (self.config / "site.conf").write_text("server {}\n")

    def worker(
        self, pid: int, *, leaving: bool = False, age: float = 0.0, parent: int = 7, title: str = ""
    ) -> Path:
        """Make a worker that started `age` seconds ago."""
        folder = self.root / "proc" / str(pid)
        folder.mkdir(parents=True)
        word = "is shutting down" if leaving else ""
        (folder / "cmdline").write_text(title or f"nginx: worker process {word}")
        ticks = (time.clock_gettime(time.CLOCK_BOOTTIME) - age) * os.sysconf("SC_CLK_TCK")
        fields = ["S", str(parent), *["0"] * 17, str(int(ticks)), "0"]
        (folder / "stat").write_text(f"{pid} (nginx (x) y) {' '.join(fields)}\n")
        return folder

    def drain(self, seconds: float) -> None:
        desired = {"service": "nginx.service", "seconds": str(seconds), "reads": str(self.config)}
        self.client.on("put", "nginx.drains", "nginx.service", desired)


@pytest.fixture
def nginx(machine: Machine, tmp_path: Path) -> Iterator[Nginx]:
    main_process = Done(0, "7\n", "")
    nginx = dataclasses.replace(machine, run=lambda *_, **__: main_process, proc_sys=tmp_path / "proc/sys")
    client = Client(nginx)
    yield Nginx(client, tmp_path)
    client.close()


@pytest.mark.parametrize("former", [{"leaving": True}, {"age": 60}])
def test_a_drain_waits_until_a_former_worker_is_gone(nginx: Nginx, former: dict[str, Any]) -> None:
    """Also for one that does not shut down yet."""
    nginx.worker(11)
    seen = nginx.worker(10, **former) / "cmdline"
    threading.Timer(0.3, seen.unlink).start()
    nginx.drain(LONG)
    assert not seen.exists()


def test_a_drain_ends_at_its_deadline(nginx: Nginx) -> None:
    nginx.worker(10, leaving=True)
    nginx.drain(0.3)


@pytest.mark.parametrize("parent", [7, 99])
def test_a_command_line_as_long_as_a_memory_is_not_read(nginx: Nginx, parent: int) -> None:
    os.truncate(nginx.worker(10, parent=parent, age=60) / "cmdline", 1 << 43)
    nginx.drain(0.3)


@pytest.mark.parametrize(
    "other",
    [{}, {"leaving": True, "parent": 99}, {"age": 60, "parent": 99}, {"title": "sleep 5", "age": 60}],
)
def test_a_drain_does_not_wait_for_new_workers_or_other_processes(
    nginx: Nginx, other: dict[str, Any]
) -> None:
    nginx.worker(10, **other)
    nginx.drain(LONG)


def test_a_drain_has_no_facts_that_could_drift(nginx: Nginx) -> None:
    nginx.drain(LONG)
    facts = nginx.client.look("nginx.drains", "nginx.service", {"service": "nginx.service"})
    assert set(facts) == {"exists", "revision"}
