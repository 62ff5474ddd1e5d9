"""A snapshot is made once and copied. What it is made of decides whether it is made again."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab import base, engine, hosts, machine, snapshots, state
from lab.errors import LabError
from lab.places import CHECKOUT
from lab.processes import this_process
from lab.shell import Progress
from tests.e2e.stack import deployed, program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.pytest_lab import Lab
    from lab.state import HostRecord


def _nothing(_: HostRecord, __: Path) -> None:
    """Leave the host bare."""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkout, in a folder that in a real one is left by tools, and a cache of its own."""
    (made := tmp_path / "dist" / "checkout").joinpath("lab").mkdir(parents=True)
    (made / "lab" / "hosts.py").write_text("first")
    monkeypatch.setattr(snapshots, "CHECKOUT", made)
    monkeypatch.setenv("PORTCULLIS_CACHE", str(tmp_path / "cache"))
    return made


@pytest.mark.parametrize(
    "change",
    [
        lambda checkout, _: (checkout / "lab" / "hosts.py").write_text("second"),
        lambda checkout, _: (checkout / "lab" / "more.py").touch(),
        lambda checkout, _: (checkout / "lab" / "hosts.py").chmod(0o755),
        lambda _, patch: patch.setenv("LAB_SNAPSHOTS", "again"),
    ],
    ids=["text", "file", "mode", "second try"],
)
def test_another_key(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path, pytest.MonkeyPatch], object]
) -> None:
    kind = snapshots.Snapshot("bare", (), _nothing)
    before = kind.key("image")
    assert kind.key("image") == before
    assert kind.key("another image") != before
    assert snapshots.Snapshot("bare", (), _nothing, "facts").key("image") != before
    change(checkout, monkeypatch)
    assert kind.key("image") != before


def test_the_same_key(checkout: Path) -> None:
    kind = snapshots.Snapshot("bare", (), _nothing)
    before = kind.key("image")
    (checkout / "lab" / "__pycache__").mkdir()
    (checkout / "lab" / "__pycache__" / "hosts.pyc").touch()
    assert kind.key("image") == before


def test_a_part_that_is_missing(checkout: Path) -> None:
    with pytest.raises(LabError, match=f"{checkout}/components is missing"):
        snapshots.Snapshot("bare", ("components",), _nothing).key("image")


def test_a_deployed_host_is_made_of_all_that_the_tests_program_copies() -> None:
    text = (CHECKOUT / "tests" / "e2e" / "stack" / "program.py").read_text()
    words = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
    top = {path.name for path in CHECKOUT.iterdir()}
    copied = words & (top - {".venv", "tests", "lab"})
    assert {"components", "__main__.py"} <= copied
    assert copied | {str(program.HELLO.relative_to(CHECKOUT))} <= set(deployed.PARTS)


class TestCopies:
    @pytest.fixture
    def copy(
        self,
        lab: Lab,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Iterator[Callable[[snapshots.Snapshot], HostRecord]]:
        """Return a function that raises a copy. The snapshots are new, and in a cache of their own."""
        monkeypatch.setenv("LAB_SNAPSHOTS", str(tmp_path))
        monkeypatch.setattr(snapshots, "cache", lambda: tmp_path)
        made: list[str] = []

        def copy(kind: snapshots.Snapshot) -> HostRecord:
            made.append((record := kind.copy(lease=this_process(), folder=tmp_path / str(len(made)))).name)
            return record

        yield copy
        machine.down(made, Progress(), lease=this_process())
        with state.locked() as current:
            docker = engine.current(current)
        for folder in (tmp_path / "snapshots").glob("*/*/"):
            docker.remove_images(f"{base.REPOSITORY}/snapshot-{folder.parent.name}:{folder.name}")

    def test_it_is_made_once(self, copy: Callable[[snapshots.Snapshot], HostRecord], tmp_path: Path) -> None:
        names = []

        def make(record: HostRecord, folder: Path) -> None:
            names.append(record.name)
            docker, _ = machine.find(record.name)
            disk = "mkdir -p /var/lib/docker/kept; cd /var/lib/docker/kept; touch /etc/once file"
            done = hosts.console(docker, record, ["sh", "-ec", f"{disk}; chown games file"])
            assert done.returncode == 0, done.stderr
            (folder / "told").write_text("to each copy")

        kind = snapshots.Snapshot("tried", (), make)
        # The oldest folders make room for a new one. A file among them is none of ours.
        folder = tmp_path / "snapshots" / "tried"
        for name in ("old", "older", "oldest"):
            (folder / name).mkdir(parents=True)
        (folder / "file").touch()
        os.utime(folder / "file", (0, 0))
        both = [copy(kind), copy(kind)]
        assert len(names) == 1
        assert (folder / "file").exists()
        assert len(list(filter(Path.is_dir, folder.iterdir()))) == 3
        read = "cat /etc/machine-id; hostname; stat -c %U /var/lib/docker/kept/file /etc/once"
        read += "; cat /etc/ssh/*.pub"
        docker, _ = machine.find(both[0].name)
        first, second = (hosts.console(docker, record, ["sh", "-c", read]).stdout for record in both)
        assert first == second
        assert first.splitlines()[1:4] == [names[0], "games", "root"]
        assert both[0].number != both[1].number
        assert [(tmp_path / str(number) / "told").read_text() for number in range(2)] == ["to each copy"] * 2

    def test_a_maker_that_fails_leaves_no_host_and_is_tried_again(
        self, copy: Callable[[snapshots.Snapshot], HostRecord]
    ) -> None:
        names = []

        def fail_once(record: HostRecord, folder: Path) -> None:
            (folder / "half").touch(exist_ok=False)
            names.append(record.name)
            if len(names) == 1:
                raise LabError("it fails")

        kind = snapshots.Snapshot("failing", (), fail_once)
        with pytest.raises(LabError, match="it fails"):
            copy(kind)
        with pytest.raises(LabError):
            machine.find(names[0])
        copy(kind)
        assert len(names) == 2
