"""Checks the files of the pipelines with the usual linters and with rules of this project."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from portcullis.cli import init
from tools import golang, programs
from tools.steps import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PROJECT = [workflow for workflow in WORKFLOWS if workflow.name.startswith("project-")]
GITLAB = ROOT / ".gitlab-ci.yml"


@pytest.fixture(scope="session")
def linters() -> Path:
    """The folder with zizmor, shellcheck and check-jsonschema."""
    return programs.installed(ROOT / "tools/requirements-workflows.txt")


def said(argv: list[str]) -> str:
    """The findings of a linter, or "" for no findings."""
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.fixture
def actionlint(linters: Path) -> list[str]:
    program = golang.tool(ROOT / "tools/go/actionlint", "github.com/rhysd/actionlint/cmd/actionlint")
    return [str(program), "-no-color", "-shellcheck", str(linters / "shellcheck")]


@pytest.fixture
def of_init(tmp_path: Path) -> list[str]:
    """The workflows of `portcullis init`, by path."""
    for name, text in init.workflows().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return [str(tmp_path / name) for name in init.workflows()]


def test_actionlint_finds_nothing(actionlint: list[str], of_init: list[str]) -> None:
    assert said([*actionlint, *map(str, WORKFLOWS), *of_init]) == ""


def test_actionlint_would_find_something(actionlint: list[str], tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    text = WORKFLOWS[0].read_text()
    broken.write_text(text.replace("secrets.PULUMI_ACCESS_TOKEN", "secret.PULUMI_ACCESS_TOKEN"))
    assert 'undefined variable "secret"' in said([*actionlint, str(broken)])
    broken.write_text(text.replace('--stack "$STACK"', "--stack $STACK"))
    assert "SC2086" in said([*actionlint, str(broken)])


def test_zizmor_finds_nothing(linters: Path, of_init: list[str]) -> None:
    argv = [str(linters / "zizmor"), "--offline", "--no-progress", "--quiet"]
    assert said([*argv, *map(str, WORKFLOWS), *of_init]) == ""


def test_zizmor_would_find_something(linters: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    text = WORKFLOWS[0].read_text()
    broken.write_text(
        text.replace("bin/portcullis up", 'echo "${{ github.event.head_commit.message }}"; bin/portcullis up')
    )
    argv = [str(linters / "zizmor"), "--offline", "--no-progress", "--quiet", "--color=never"]
    assert "template-injection" in said([*argv, str(broken)])


def test_the_file_for_gitlab_matches_its_schema(linters: Path, tmp_path: Path) -> None:
    argv = [str(linters / "check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci"]
    argv += ["--data-transform", "gitlab-ci"]
    assert said([*argv, str(GITLAB)]) == ""
    broken = tmp_path / "broken.yml"
    broken.write_text(GITLAB.read_text().replace("when: manual", "when: by-hand"))
    assert said([*argv, str(broken)])


def test_gitlabs_jobs_share_no_path_with_other_jobs_of_the_machine(tmp_path: Path) -> None:
    text = GITLAB.read_text()
    assert "/tmp" not in text  # noqa: S108 - as the other jobs would have it
    variable, shared = tmp_path / "variable", tmp_path / "shared"
    variable.write_text("key")
    shared.mkdir()
    script = yaml.safe_load(text)["preview"]["script"][0] + 'stat -c "%a %n" "$PORTCULLIS_PREVIEW_KEY_FILE"'
    given = {**os.environ, "PREVIEW_KEY": str(variable), "TMPDIR": str(shared)}
    done = subprocess.run(["bash", "-ec", script], env=given, capture_output=True, text=True, check=True)
    mode, path = done.stdout.split()
    assert (mode, Path(path).parent) == ("600", shared)
    assert not list(shared.iterdir())


@pytest.mark.parametrize("workflow", PROJECT, ids=lambda path: path.stem)
def test_the_workflows_of_the_project_run_in_no_copy_of_it(workflow: Path) -> None:
    text = workflow.read_text()
    read = yaml.safe_load(text)
    assert read["name"].startswith("Project ")
    for name, job in read["jobs"].items():
        condition = "contains(github.event.repository.topics, 'portcullis-project')"
        assert "needs" in job or job["if"] == condition, name
    # GitHub gives neither a secret nor a writable token to the pull request of a fork.
    assert not re.search(r"\b(vars|secrets)\.", text)


def test_the_other_workflows_are_those_of_stacks() -> None:
    assert [file.stem for file in WORKFLOWS if file not in PROJECT] == sorted(init.WORKFLOWS)


@pytest.mark.parametrize("folder", ["tests", "portcullis", ""])
def test_a_pull_request_runs_the_tests_of_its_own_repository(tmp_path: Path, folder: str) -> None:
    steps = yaml.safe_load((ROOT / ".github/workflows/preview.yml").read_text())["jobs"]["check"]["steps"]
    (test,) = (step["run"] for step in steps if step.get("name") == "Run your tests")
    assert yaml.safe_load(GITLAB.read_text())["check"]["script"][-1] == test
    for name in {folder, "tests"} if folder else ():
        (tmp_path / name).mkdir()
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@"\nexit 5\n')
    python.chmod(0o755)
    done = subprocess.run(["bash", "-ec", test], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == ((5, "-m pytest\n") if folder == "tests" else (0, ""))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_commit_with_its_version_in_a_comment(workflow: Path) -> None:
    uses = re.findall(r"uses: (.*)", workflow.read_text())
    assert uses
    for one in uses:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one), one


def test_an_action_has_the_same_version_everywhere() -> None:
    pins: dict[str, set[str]] = {}
    for workflow in WORKFLOWS:
        for name, pin in re.findall(r"uses: (\S+?)@(.*)", workflow.read_text()):
            pins.setdefault(name, set()).add(pin)
    assert {name: len(versions) for name, versions in pins.items()} == dict.fromkeys(pins, 1)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_no_job_with_write_access_runs_the_code_of_a_pull_request(workflow: Path) -> None:
    read = yaml.safe_load(workflow.read_text())
    assert read["permissions"] == {}, "each job declares its own permissions"
    pull_request = "pull_request" in read.get(True, read.get("on"))
    for name, job in read["jobs"].items():
        writes = {right for right, may in job["permissions"].items() if may == "write"}
        if not (writes and pull_request):
            continue
        refs = [step["with"]["ref"] for step in job["steps"] if "checkout" in step.get("uses", "")]
        assert refs == ["${{ github.event.pull_request.base.sha }}"], name
        assert "secrets." not in str(job), name


def test_only_jobs_that_need_an_approval_have_the_deploy_key() -> None:
    for workflow in WORKFLOWS:
        for job in yaml.safe_load(workflow.read_text())["jobs"].values():
            if "DEPLOY_KEY" in str(job):
                assert "environment" in job
    assert "DEPLOY_KEY" not in (ROOT / ".github/workflows/preview.yml").read_text()
    assert "DEPLOY_KEY" not in (ROOT / ".github/workflows/drift.yml").read_text()


def jobs_of_own_runners() -> Iterator[tuple[str, dict[str, Any]]]:
    """GitHub jobs that may run on a self-hosted runner."""
    for workflow in WORKFLOWS:
        for name, job in yaml.safe_load(workflow.read_text())["jobs"].items():
            if job["runs-on"] != "ubuntu-24.04":
                yield f"{workflow.stem}/{name}", job


def test_pull_requests_and_deploys_run_on_runners_with_different_labels() -> None:
    labels = {name: job["runs-on"] for name, job in jobs_of_own_runners()}
    hosted = "${{ vars.PORTCULLIS_%s_RUNNER || 'ubuntu-24.04' }}"
    assert labels == {
        "preview/preview": hosted % "PREVIEW",
        "deploy/deploy": hosted % "DEPLOY",
        "drift/drift": hosted % "DEPLOY",
    }
    read = yaml.safe_load(GITLAB.read_text())
    assert read["default"]["tags"] == ["$PORTCULLIS_PREVIEW_RUNNER"]
    tags = {name: job["tags"] for name, job in read.items() if isinstance(job, dict) and "tags" in job}
    del tags["default"]
    assert tags == {"deploy": ["$PORTCULLIS_DEPLOY_RUNNER"], "drift": ["$PORTCULLIS_DEPLOY_RUNNER"]}


RUNNERS = [
    ("", "", ""),
    ("previews", "deployments", ""),
    ("previews", "", ""),
    ("", "deployments", ""),
    ("own", "own", "both 'own'"),
    ("Own", "own", "both 'own'"),
    ("previews", "self-hosted", "label self-hosted"),
    ("Linux", "deployments", "label linux"),
]


@pytest.mark.parametrize(("preview", "deploy", "refused"), RUNNERS)
def test_one_runner_label_for_both_is_refused_before_any_code_runs(
    preview: str, deploy: str, refused: str
) -> None:
    for name, job in jobs_of_own_runners():
        first = job["steps"][0]
        assert first["env"] == {
            "PREVIEW": "${{ vars.PORTCULLIS_PREVIEW_RUNNER }}",
            "DEPLOY": "${{ vars.PORTCULLIS_DEPLOY_RUNNER }}",
        }, name
        done = shell(first["run"], PREVIEW=preview, DEPLOY=deploy)
        assert done.returncode == bool(refused), name
        assert refused in done.stdout


@pytest.mark.parametrize(
    ("preview", "deploy", "tags", "refused"),
    [
        ("saas-linux-small-amd64", "saas-linux-small-amd64", '["saas-linux-small-amd64"]', ""),
        ("previews", "deployments", '["previews", "docker"]', ""),
        ("previews", "deployments", '["deployments"]', ""),
        ("saas-linux-small-amd64", "deployments", '["saas-linux-small-amd64"]', ""),
        ("own", "own", '["own"]', "both 'own'"),
        ("previews", "deployments", '["docker", "previews", "deployments"]', "tags of both"),
        ("previews", "deployments", '["deployments", "previews"]', "tags of both"),
    ],
)
def test_gitlab_refuses_one_runner_for_both(preview: str, deploy: str, tags: str, refused: str) -> None:
    read = yaml.safe_load(GITLAB.read_text())
    before = {name: job["before_script"] for name, job in read.items() if "before_script" in job}
    assert set(before) == {"default", ".pulumi"}, "every job starts with one of these"
    for lines in before.values():
        labels = {"PORTCULLIS_PREVIEW_RUNNER": preview, "PORTCULLIS_DEPLOY_RUNNER": deploy}
        done = shell(lines[0], CI_RUNNER_TAGS=tags, **labels)
        assert done.returncode == bool(refused)
        assert refused in done.stderr


def shell(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = ["bash", "-euo", "pipefail", "-c", script]
    env = {"PATH": "/usr/bin:/bin", **environment}
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_every_path_that_a_pipeline_names_exists() -> None:
    for file in [*WORKFLOWS, GITLAB]:
        for path in re.findall(r"(?<![\w.$/])(?:bin|docs|tools|tests)/[\w./-]+\b", file.read_text()):
            assert (ROOT / path).exists(), f"{file.name}: {path}"
