"""The engine that `make setup` finds or builds runs a program with a dynamic resource, and refreshes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tools.steps import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = """\
name: engine-proof
runtime: python
options:
  refresh: always
"""

PROGRAM = """\
from pathlib import Path

from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, ResourceProvider, UpdateResult

NOTE = Path({note!r})


class NoteProvider(ResourceProvider):
    def create(self, props):
        NOTE.write_text(props["text"])
        return CreateResult("note", {{"text": props["text"]}})

    def read(self, id_, props):
        facts = {{"text": NOTE.read_text()}}
        return ReadResult(id_, facts, facts)

    def diff(self, id_, olds, news):
        return DiffResult()

    def update(self, id_, olds, news):
        NOTE.write_text(news["text"])
        return UpdateResult({{"text": news["text"]}})

    def delete(self, id_, props):
        NOTE.unlink()


class Note(Resource, module="proof", name="Note"):
    def __init__(self, name, text):
        super().__init__(NoteProvider(), name, {{"text": text}})


Note("note", "as declared\\n")
"""


class Pulumi:
    """The engine on a project of its own, with its state beside it."""

    def __init__(self, folder: Path) -> None:
        asked = subprocess.run(
            [sys.executable, ROOT / "tools" / "engine.py", "env", "--json"],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        state = folder / "state"
        state.mkdir()
        self._folder = folder
        self._env = {**os.environ, **json.loads(asked.stdout), "PULUMI_BACKEND_URL": state.as_uri()}

    def __call__(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pulumi", *argv, "--non-interactive", "--color=never"],
            cwd=self._folder, env=self._env, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    def done(self, *argv: str) -> str:
        answer = self(*argv)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout


@pytest.mark.e2e
def test_a_dynamic_resource_lives_its_life(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)
    (tmp_path / "__main__.py").write_text(PROGRAM.format(note=str(note)))
    pulumi = Pulumi(tmp_path)
    pulumi.done("stack", "init", "proof")

    pulumi.done("up", "--yes")
    assert note.read_text() == "as declared\n"
    pulumi.done("preview", "--expect-no-changes")

    note.write_text("as declared\nby hand\n")
    assert pulumi("preview", "--expect-no-changes").returncode != 0
    assert "- by hand" in pulumi.done("preview", "--diff")
    pulumi.done("up", "--yes")
    assert note.read_text() == "as declared\n"

    pulumi.done("destroy", "--yes")
    assert not note.exists()
