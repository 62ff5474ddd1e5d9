"""The verbs of a pipeline: what they write, and what they leave alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.cli.pipeline import __main__ as verbs
from portcullis.cli.pipeline import preview
from portcullis.cli.pipeline.preview import Preview

if TYPE_CHECKING:
    from pathlib import Path


def test_a_preview_deletes_nothing_but_what_it_wrote_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "comment.md").write_text("of yesterday")
    seen = Preview("prod", ok=False, changes={}, text="error: no", steps={})
    monkeypatch.setattr(preview, "look", lambda *_, **__: seen)
    assert verbs.main(["preview", "--stack", "prod", "--out", str(tmp_path)]) == verbs.FAILED
    assert "The preview failed" in (tmp_path / "comment.md").read_text()
    assert (tmp_path / "mine.txt").exists()


def test_what_the_program_warns_of_is_no_verdict(tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy/__init__.py").touch()
    (tmp_path / "portcullis").mkdir()
    (tmp_path / "portcullis/policy").symlink_to("../policy")
    judge = tmp_path / "policy/judge.py"
    judge.write_text("import sys; print('3 judged: 0 stop.'); print('warning: soon', file=sys.stderr)")
    assert preview.judged("prod", tmp_path, {"PATH": "/usr/bin"}) == ("3 judged: 0 stop.", False)
    judge.write_text("import sys; print('error: nothing was judged', file=sys.stderr); sys.exit(2)")
    assert preview.judged("prod", tmp_path, {}) == ("error: nothing was judged", True)
    assert preview.judged("prod", tmp_path / "elsewhere", {}) == ("", False)


def test_base_without_code_only_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        verbs.main(["preview", "--stack", "prod", "--base", "x"])
    assert "--base goes with --code-only" in capsys.readouterr().err


@pytest.mark.parametrize(("changes", "code"), [({}, verbs.CLEAN), ({"update": 1}, verbs.DRIFTED)])
def test_without_a_forge_whoever_runs_the_drift_watch_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    changes: dict[str, int], code: int,
) -> None:  # fmt: skip
    for name in ("GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)
    seen = Preview("prod", ok=True, changes=changes, text="~ a line of difference", steps={})
    monkeypatch.setattr(preview, "look", lambda *_, **__: seen)
    assert verbs.main(["drift", "--stack", "prod", "--out", str(tmp_path)]) == code
    said = capsys.readouterr().out
    assert ("Drift: prod is not what the code says" in said) == bool(changes)
    assert (tmp_path / "diff.txt").read_text() == "~ a line of difference"


def test_without_a_forge_a_comment_is_an_error_for_people(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)
    argv = ["comment", "--stack", "prod", "--number", "7", "--out", str(tmp_path)]
    assert verbs.main(argv) == verbs.FAILED
    assert "neither a GitHub workflow nor a GitLab pipeline" in capsys.readouterr().err
