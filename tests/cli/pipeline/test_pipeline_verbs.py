"""The verbs of a pipeline: what they write, and what they leave alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.cli import command
from portcullis.cli.main import parsed
from portcullis.cli.pipeline import main as verbs
from portcullis.cli.pipeline import preview
from portcullis.cli.pipeline.preview import Preview
from tests.cli.report.streams import Stream, drifted

if TYPE_CHECKING:
    from pathlib import Path


def run(arguments: list[str]) -> int:
    return verbs.run(parsed(["pipeline", *arguments]))


def test_a_preview_deletes_nothing_but_what_it_wrote_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "comment.md").write_text("of yesterday")
    seen = preview.failed("prod", "error: no")
    monkeypatch.setattr(preview, "look", lambda *_, **__: seen)
    assert run(["preview", "--stack", "prod", "--out", str(tmp_path)]) == verbs.FAILED
    assert "The preview failed" in (tmp_path / "comment.md").read_text()
    assert (tmp_path / "mine.txt").exists()


def test_what_the_program_warns_of_is_no_verdict(tmp_path: Path) -> None:
    (tmp_path / "portcullis").mkdir()
    judge = tmp_path / "portcullis/__main__.py"
    judge.write_text("import sys; print('3 judged: 0 stop.'); print('warning: soon', file=sys.stderr)")
    assert preview.judged("prod", tmp_path, {"PATH": "/usr/bin"}) == ("3 judged: 0 stop.", False)
    judge.write_text("import sys; print('error: nothing was judged', file=sys.stderr); sys.exit(2)")
    assert preview.judged("prod", tmp_path, {}) == ("error: nothing was judged", True)


def test_base_without_code_only_is_refused() -> None:
    with pytest.raises(command.Failed, match="--base goes with --code-only"):
        run(["preview", "--stack", "prod", "--base", "x"])


@pytest.mark.parametrize(("stream", "code"), [(Stream(), verbs.CLEAN), (drifted(), verbs.DRIFTED)])
def test_without_a_forge_whoever_runs_the_drift_watch_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    stream: Stream, code: int,
) -> None:  # fmt: skip
    for name in ("GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)
    seen = Preview("prod", stream.report(0))
    monkeypatch.setattr(preview, "look", lambda *_, **__: seen)
    assert run(["watch", "--stack", "prod", "--out", str(tmp_path)]) == code
    said = capsys.readouterr().out
    assert ("Drift: prod is not what the code says" in said) == bool(code)
    assert (tmp_path / "diff.txt").read_text() == seen.text


def test_without_a_forge_a_comment_is_an_error_for_people(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)
    argv = ["comment", "--stack", "prod", "--number", "7", "--out", str(tmp_path)]
    assert run(argv) == verbs.FAILED
    assert "neither a GitHub workflow nor a GitLab pipeline" in capsys.readouterr().err
