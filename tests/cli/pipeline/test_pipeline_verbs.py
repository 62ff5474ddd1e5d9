"""Tests which files the commands for pipelines write, and which files they do not touch."""

from __future__ import annotations

import subprocess
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


def test_a_preview_deletes_only_its_own_old_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "comment.md").write_text("of yesterday")
    seen = preview.failed("prod", "error: no")
    monkeypatch.setattr(preview, "look", lambda *_, **__: seen)
    assert run(["preview", "--stack", "prod", "--out", str(tmp_path)]) == verbs.FAILED
    assert "The preview failed" in (tmp_path / "comment.md").read_text()
    assert (tmp_path / "mine.txt").exists()


def test_a_warning_of_the_program_is_no_finding_of_the_policies(tmp_path: Path) -> None:
    (tmp_path / "portcullis").mkdir()
    program = tmp_path / "portcullis/__main__.py"
    program.write_text("import sys; print('3 checked: 0 stop.'); print('warning: soon', file=sys.stderr)")
    assert preview.check_policies("prod", tmp_path, {"PATH": "/usr/bin"}) == ("3 checked: 0 stop.", False)
    program.write_text("import sys; print('error: not checked', file=sys.stderr); sys.exit(2)")
    assert preview.check_policies("prod", tmp_path, {}) == ("error: not checked", True)


def test_base_without_code_only_is_refused() -> None:
    with pytest.raises(command.Failed, match="--base needs the option --code-only"):
        run(["preview", "--stack", "prod", "--base", "x"])


@pytest.mark.parametrize(("stream", "code"), [(Stream(), verbs.CLEAN), (drifted(), verbs.DRIFTED)])
def test_outside_a_pipeline_the_drift_watch_prints_its_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    stream: Stream, code: int,
) -> None:  # fmt: skip
    for name in ("GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)
    seen = Preview("prod", stream.report(0))
    monkeypatch.setattr(preview, "look", lambda *_, **__: seen)
    assert run(["watch", "--stack", "prod", "--out", str(tmp_path)]) == code
    said = capsys.readouterr().out
    assert ("Drift: prod does not match the code" in said) == bool(code)
    assert (tmp_path / "diff.txt").read_text() == seen.text


class Comments:
    """A service for comments. The service stores the comments and issues that it gets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bodies: list[str] = []
        monkeypatch.setattr(verbs.forge, "of_environment", lambda _: self)

    def comment(self, _number: int, _marker: str, body: str) -> str:
        self.bodies.append(body)
        return "https://forge.example/1"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("ln -s ../token comment.md", "is a symbolic link, which the command does not follow"),
        (
            "echo >comment.md; cd ..; mv out real; ln -s real out",
            "out is a symbolic link",
        ),
        ("mkdir comment.md", "is not a regular file"),
        ("mkfifo comment.md", "is not a regular file"),
        ("head -c 65537 /dev/zero | tr '\\0' x >comment.md", "at most 64 KB"),
        (r"printf 'a\033[2Kb' >comment.md", "without control characters"),
        (r"printf '\377' >comment.md", "it must be text of"),
    ],
)
def test_a_comment_file_from_a_pull_requests_job_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, made: str, said: str
) -> None:
    comments = Comments(monkeypatch)
    (tmp_path / "token").write_text("hunter2")
    (tmp_path / "out").mkdir()
    subprocess.run(["sh", "-ec", made], cwd=tmp_path / "out", check=True)
    monkeypatch.chdir(tmp_path)
    argv = ["comment", "--stack", "prod", "--number", "7", "--out", "out"]
    assert run(argv) == verbs.FAILED
    assert said in capsys.readouterr().err
    assert comments.bodies == []


@pytest.mark.parametrize("is_named", [True, False], ids=["GitLab names the checkout", "in no checkout"])
def test_a_link_in_another_checkout_is_not_followed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, *, is_named: bool
) -> None:
    comments = Comments(monkeypatch)
    for name in ("base", "request", "runner"):
        (tmp_path / name).mkdir()
    (tmp_path / "runner/pipeline").mkdir()
    (tmp_path / "runner/pipeline/comment.md").write_text("hunter2")
    (tmp_path / "request/.portcullis").symlink_to("../runner")
    monkeypatch.chdir(tmp_path / "base")
    if is_named:
        monkeypatch.setenv("CI_PROJECT_DIR", str(tmp_path / "request"))
    out = str(tmp_path / "request/.portcullis/pipeline")
    assert run(["comment", "--stack", "prod", "--number", "7", "--out", out]) == verbs.FAILED
    assert ".portcullis is a symbolic link" in capsys.readouterr().err
    assert comments.bodies == []


def test_the_file_of_the_preview_becomes_the_comment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    comments = Comments(monkeypatch)
    argv = ["comment", "--stack", "prod", "--number", "7", "--out", str(tmp_path)]
    assert run(argv) == verbs.CLEAN
    assert "There is no preview" in comments.bodies[-1]
    (tmp_path / "comment.md").write_text("### Vorschau für prod\n\tall well\n")
    assert run(argv) == verbs.CLEAN
    assert comments.bodies[-1] == "### Vorschau für prod\n\tall well\n"


def test_outside_a_pipeline_a_comment_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)
    argv = ["comment", "--stack", "prod", "--number", "7", "--out", str(tmp_path)]
    assert run(argv) == verbs.FAILED
    assert "neither a GitHub workflow nor a GitLab pipeline" in capsys.readouterr().err
