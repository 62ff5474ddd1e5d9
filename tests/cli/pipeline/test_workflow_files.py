"""The pipelines' files: linted by the tools that their users take, and held to rules of the house."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from tools import golang, programs
from tools.steps import ROOT

if TYPE_CHECKING:
    from pathlib import Path

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
GITLAB = ROOT / ".gitlab-ci.yml"


@pytest.fixture(scope="session")
def linters() -> Path:
    """The folder of zizmor, shellcheck and check-jsonschema."""
    return programs.installed(ROOT / "tools/requirements-workflows.txt")


def said(argv: list[str]) -> str:
    """What a linter finds; "" where that is nothing."""
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.fixture
def actionlint(linters: Path) -> list[str]:
    program = golang.tool(ROOT / "tools/go/actionlint", "github.com/rhysd/actionlint/cmd/actionlint")
    return [str(program), "-no-color", "-shellcheck", str(linters / "shellcheck")]


def test_actionlint_finds_nothing(actionlint: list[str]) -> None:
    assert said([*actionlint, *map(str, WORKFLOWS)]) == ""


def test_actionlint_would_find_something(actionlint: list[str], tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    text = WORKFLOWS[0].read_text()
    broken.write_text(text.replace("secrets.PULUMI_ACCESS_TOKEN", "secret.PULUMI_ACCESS_TOKEN"))
    assert 'undefined variable "secret"' in said([*actionlint, str(broken)])
    broken.write_text(text.replace('--stack "$STACK"', "--stack $STACK"))
    assert "SC2086" in said([*actionlint, str(broken)])


def test_zizmor_finds_nothing(linters: Path) -> None:
    argv = [str(linters / "zizmor"), "--offline", "--no-progress", "--quiet"]
    assert said([*argv, *map(str, WORKFLOWS)]) == ""


def test_zizmor_would_find_something(linters: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    text = WORKFLOWS[0].read_text()
    broken.write_text(
        text.replace("bin/portcullis up", 'echo "${{ github.event.head_commit.message }}"; bin/portcullis up')
    )
    argv = [str(linters / "zizmor"), "--offline", "--no-progress", "--quiet", "--color=never"]
    assert "template-injection" in said([*argv, str(broken)])


def test_gitlabs_file_fits_its_schema(linters: Path, tmp_path: Path) -> None:
    argv = [str(linters / "check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci"]
    argv += ["--data-transform", "gitlab-ci"]
    assert said([*argv, str(GITLAB)]) == ""
    broken = tmp_path / "broken.yml"
    broken.write_text(GITLAB.read_text().replace("when: manual", "when: by-hand"))
    assert said([*argv, str(broken)])


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_commit_and_says_which_version_that_is(workflow: Path) -> None:
    uses = re.findall(r"uses: (.*)", workflow.read_text())
    assert uses
    for one in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one), one


def test_an_action_is_the_same_everywhere() -> None:
    pins: dict[str, set[str]] = {}
    for workflow in WORKFLOWS:
        for name, pin in re.findall(r"uses: (\S+?)@(.*)", workflow.read_text()):
            pins.setdefault(name, set()).add(pin)
    assert {name: len(versions) for name, versions in pins.items()} == dict.fromkeys(pins, 1)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_no_job_that_may_write_runs_a_pull_requests_code(workflow: Path) -> None:
    read = yaml.safe_load(workflow.read_text())
    assert read["permissions"] == {}, "each job says what it may"
    pull_request = "pull_request" in read.get(True, read.get("on"))
    for name, job in read["jobs"].items():
        writes = {right for right, may in job["permissions"].items() if may == "write"}
        if not (writes and pull_request):
            continue
        refs = [step["with"]["ref"] for step in job["steps"] if "checkout" in step.get("uses", "")]
        assert refs == ["${{ github.event.pull_request.base.sha }}"], name
        assert "secrets." not in str(job), name


def test_the_deploy_key_is_where_an_approval_is_asked_for_and_nowhere_else() -> None:
    for workflow in WORKFLOWS:
        for job in yaml.safe_load(workflow.read_text())["jobs"].values():
            if "DEPLOY_KEY" in str(job):
                assert "environment" in job
    assert "DEPLOY_KEY" not in (ROOT / ".github/workflows/preview.yml").read_text()
    assert "DEPLOY_KEY" not in (ROOT / ".github/workflows/drift.yml").read_text()


def test_every_path_that_a_pipeline_names_is_there() -> None:
    for file in [*WORKFLOWS, GITLAB]:
        for path in re.findall(r"(?<![\w.$/])(?:bin|docs|tools|tests)/[\w./-]+\b", file.read_text()):
            assert (ROOT / path).exists(), f"{file.name}: {path}"


def test_the_pipelines_use_the_python_and_the_pulumi_that_are_pinned() -> None:
    pinned = re.findall(r"^pulumi==(\S+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    texts = "\n".join(file.read_text() for file in [*WORKFLOWS, GITLAB])
    assert set(re.findall(r"(?:pulumi-version|PULUMI_VERSION): (\S+)", texts)) == set(pinned)
