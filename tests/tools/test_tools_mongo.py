"""The folder with the lab's MongoDB is named after its sources.

The build reports a patch that does not fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools import mongo
from tools.steps import StepError

if TYPE_CHECKING:
    from pathlib import Path


def test_another_source_is_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTCULLIS_CACHE", str(tmp_path / "cache"))
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module a\n")
    before = mongo._place("server", module)
    assert before == mongo._place("server", module)
    (module / "go.sum").write_text("x\n")
    assert mongo._place("server", module) != before
    assert not mongo.built()


def test_a_program_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    program = tmp_path / "server-1" / "server"

    def fails(_: Path, output: Path) -> None:
        output.write_text("half")
        raise StepError("does not compile")

    with pytest.raises(StepError):
        mongo._once(program, fails)
    assert not program.exists()
    assert mongo._once(program, lambda _, output: output.write_text("whole")).read_text() == "whole"
    assert mongo._once(program, fails) == program


def test_a_patch_that_does_not_fit_is_said(tmp_path: Path) -> None:
    sources = tmp_path / "sources" / "internal" / "handler"
    sources.mkdir(parents=True)
    (sources / "commands.go").write_text("package handler\n")
    with pytest.raises(StepError, match=r"roles.patch does not apply to FerretDB: .*commands\.go"):
        mongo._patch(tmp_path / "sources", mongo._SERVER / "roles.patch")
