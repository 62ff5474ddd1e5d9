"""Runs the shell scripts of our CI pipelines, with a real host and a stand-in for GitHub and GitLab."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab import keys
from tests.cli.pipeline.forge_server import ForgeServer
from tests.e2e.project import CHECKOUT, STACK
from tests.e2e.stack.workflow import Runner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.stack.program import Program

pytestmark = pytest.mark.e2e
FILE = "/etc/nginx/conf.d/hello.example.com.conf"


@pytest.fixture(scope="module")
def forge() -> Iterator[ForgeServer]:
    with ForgeServer() as running:
        yield running


@pytest.fixture(scope="module")
def looking(deployed: Program) -> str:
    """Return the preview key from the state."""
    deployed.set("hosts.web1", preview={})
    # The policies refuse a site without TLS.
    deployed.site("hello.example.com", tls="internal")
    deployed.up()
    # The runner does not have the lab's key, so remove its path.
    deployed.set("hosts.web1", identityFile=None)
    argv = ["pulumi", "stack", "output", "previewKey-web1", "--stack", STACK, "--show-secrets"]
    asked = subprocess.run(
        argv, cwd=deployed.folder, env=deployed.env, capture_output=True, check=True, text=True
    )
    return asked.stdout


@pytest.fixture
def runner(deployed: Program, forge: ForgeServer, looking: str, tmp_path: Path) -> Runner:
    for part in (".github", "bin", "docs", "policy", "tools"):
        if not (deployed.folder / part).exists():
            shutil.copytree(CHECKOUT / part, deployed.folder / part, symlinks=True)
    for part in (".gitlab-ci.yml", "Pulumi.yaml", "requirements.in", "requirements.txt"):
        shutil.copyfile(CHECKOUT / part, deployed.folder / part)
    serve_pulumi(tmp_path, deployed.env["PATH"])
    (tmp_path / "summary.md").touch()
    backend = deployed.env["PULUMI_BACKEND_URL"]
    environment = {
        **{name: value for name, value in deployed.env.items() if not name.startswith("PULUMI_CONFIG")},
        **forge.github,
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "SSH_AUTH_SOCK": "",
        "HOME": str(tmp_path),
    }
    context = {
        "vars.PULUMI_STACK": STACK,
        "vars.PULUMI_BACKEND_URL": backend,
        "secrets.PREVIEW_KEY": looking,
        "secrets.DEPLOY_KEY": keys.client_key().read_text(),
        "secrets.PULUMI_CONFIG_PASSPHRASE": deployed.env["PULUMI_CONFIG_PASSPHRASE"],
        "runner.temp": str(tmp_path),
        "github.token": forge.github["GITHUB_TOKEN"],
        "github.event.pull_request.number": "7",
        "github.event.pull_request.head.sha": "feedfacefeedface",
    }
    return Runner(deployed.folder, environment, context)


def serve_pulumi(folder: Path, search: str) -> None:
    """Put a `curl` on the PATH that serves the lab's engine in the archive of the official one."""
    engine = Path(shutil.which("pulumi", path=search) or "").parent
    with tarfile.open(folder / "served", "w:gz") as archive:
        for program in engine.glob("pulumi*"):
            link = tarfile.TarInfo(f"pulumi/{program.name}")
            link.type, link.linkname = tarfile.SYMTYPE, str(program)
            archive.addfile(link)
    curl = folder / "bin/curl"
    curl.parent.mkdir()
    curl.write_text(f'#!/bin/sh\nexec cp "{folder}/served" "$2"\n')
    curl.chmod(0o755)


def comment(forge: ForgeServer) -> str:
    """Return the text of the only comment."""
    (only,) = forge.comments
    return str(only["body"])


def test_a_pull_request_has_one_comment_that_follows_it(
    deployed: Program, runner: Runner, forge: ForgeServer
) -> None:
    deployed.set("apps.hello", memory=300)
    for job in ("check", "preview"):
        code, printed = runner.github("preview", job)
        assert code == 0, printed
    assert runner.github("preview", "comment")[0] == 0
    assert "memory" in comment(forge)
    assert "commit feedfacefeed" in comment(forge)
    assert "Code only" not in comment(forge)

    deployed.set("apps.hello", memory=None)
    assert runner.github("preview", "preview")[0] == 0
    runner.github("preview", "comment")
    assert "no differences in" in comment(forge), comment(forge)


def test_a_failure_is_explained_in_the_comment(deployed: Program, runner: Runner, forge: ForgeServer) -> None:
    deployed.set("apps.hello", prot=8080)
    try:
        code, _ = runner.github("preview", "preview")
    finally:
        deployed.set("apps.hello", prot=None)
    assert code == 1
    assert runner.github("preview", "comment")[0] == 0
    assert "The preview failed" in comment(forge)
    assert "portcullis:apps.hello.prot" in comment(forge)


def test_a_job_that_was_cut_off_is_told_too(runner: Runner, forge: ForgeServer) -> None:
    (runner.folder / ".portcullis/pipeline/comment.md").unlink()
    assert runner.github("preview", "comment")[0] == 0
    assert "There is no preview" in comment(forge)


def test_a_preview_without_the_host_says_so(deployed: Program, runner: Runner, tmp_path: Path) -> None:
    known = {**runner.context, "vars.PORTCULLIS_CODE_ONLY": "the runner does not reach the host"}
    broken = {**runner.environment, "PATH": f"{tmp_path}:{runner.environment['PATH']}"}
    (tmp_path / "ssh").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "ssh").chmod(0o755)
    code, printed = Runner(runner.folder, broken, known).github("preview", "preview")
    assert code == 0, printed
    page = (deployed.folder / ".portcullis/pipeline/comment.md").read_text()
    assert "Code only, not the live host:** the runner does not reach the host" in page


def test_drift_opens_an_issue_and_a_deployment_closes_it(
    deployed: Program, runner: Runner, forge: ForgeServer
) -> None:
    deployed.host.run(f"echo '# by hand' >> {FILE}")
    code, printed = runner.github("drift", "drift")
    assert code == 0, printed
    (issue,) = forge.issues
    assert issue["title"] == f"Drift: {STACK} does not match the code"
    assert "- # by hand" in " ".join(issue["body"].split())
    runner.github("drift", "drift")
    assert len(forge.issues) == 1

    code, printed = runner.github("deploy", "deploy")
    assert code == 0, printed
    assert "PRIVATE KEY" not in printed

    assert runner.github("drift", "drift")[0] == 0
    assert issue["state"] == "closed"


def test_a_look_that_fails_is_red_and_has_an_issue(runner: Runner, forge: ForgeServer) -> None:
    forge.issues.clear()
    wrong = {**runner.context, "secrets.PREVIEW_KEY": "no key"}
    code, _ = Runner(runner.folder, runner.environment, wrong).github("drift", "drift")
    assert code == 1
    (issue,) = forge.issues
    assert issue["title"] == f"Drift watch: {STACK} could not be read"


def test_a_deployment_that_fails_says_what_to_do(deployed: Program, runner: Runner, tmp_path: Path) -> None:
    deployed.set("apps.hello", prot=8080)
    try:
        code, _ = runner.github("deploy", "deploy")
    finally:
        deployed.set("apps.hello", prot=None)
    assert code
    assert "# After a deployment that failed" in (tmp_path / "summary.md").read_text()


@pytest.fixture
def shared() -> Iterator[Path]:
    """Return a folder for temporary files. Its path is short, because sockets are in it."""
    with tempfile.TemporaryDirectory(prefix="jobs-", dir="/tmp") as folder:
        yield Path(folder)


def test_gitlabs_jobs_do_the_same(
    deployed: Program, runner: Runner, forge: ForgeServer, tmp_path: Path, shared: Path
) -> None:
    forge.comments.clear()
    forge.issues.clear()
    kept = {name: value for name, value in runner.environment.items() if not name.startswith("GITHUB_")}
    # As GitLab writes a variable of the type "file": open to all, and without its last newline if pasted so.
    key = tmp_path / "variable"
    key.write_text(runner.context["secrets.PREVIEW_KEY"].rstrip("\n"))
    key.chmod(0o644)
    given: dict[str, Any] = {
        "STACK": STACK,
        "PREVIEW_KEY": str(key),
        "PULUMI_CONFIG_PASSPHRASE": runner.context["secrets.PULUMI_CONFIG_PASSPHRASE"],
        "CI_MERGE_REQUEST_IID": "7",
    }
    gitlab = Runner(runner.folder, {**kept, **forge.gitlab, "TMPDIR": str(shared)}, given)
    code, printed = gitlab.gitlab("preview")
    assert code == 0, printed
    deployed.host.run(f"echo '# by hand' >> {FILE}")
    code, printed = gitlab.gitlab("drift")
    assert code == 0, printed
    kept = [path.read_text(errors="replace") for path in shared.rglob("*") if path.is_file()]
    assert not any("PRIVATE KEY" in text for text in kept)
    (issue,) = forge.issues
    assert "by hand" in issue["body"]
    deploy_key = tmp_path / "deploy"
    deploy_key.write_text(runner.context["secrets.DEPLOY_KEY"].rstrip("\n"))
    gitlab = dataclasses.replace(gitlab, context={**given, "DEPLOY_KEY": str(deploy_key)})
    code, printed = gitlab.gitlab("deploy")
    assert code == 0, printed
    assert "by hand" in printed, "the deployment mends it"
    assert not list(shared.rglob("agent.*")), "no agent keeps the key of root"


@pytest.mark.once
def test_gitlabs_comment_comes_from_the_base_and_follows_no_link(
    runner: Runner, forge: ForgeServer, tmp_path: Path
) -> None:
    forge.comments.clear()
    git = ["git", "-C", str(runner.folder), "-c", "user.name=vera", "-c", "user.email=vera@example.com"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "Pulumi.yaml", "bin", "portcullis"], check=True)
    subprocess.run([*git, "commit", "-qm", "base"], check=True)
    base = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    given = {
        "STACK": STACK, "CI_MERGE_REQUEST_IID": "7", "CI_MERGE_REQUEST_DIFF_BASE_SHA": base.strip(),
        "CI_PROJECT_DIR": str(runner.folder),
    }  # fmt: skip
    kept = {name: value for name, value in runner.environment.items() if not name.startswith("GITHUB_")}
    gitlab = Runner(runner.folder, {**kept, **forge.gitlab}, given)
    page = runner.folder / ".portcullis/pipeline/comment.md"
    page.write_text("a preview\n")
    # If the job ran the request's own code, there would be no comment.
    (runner.folder / "bin/portcullis").write_text("#!/bin/sh\n")
    try:
        code, printed = gitlab.gitlab("comment")
        assert code == 0, printed
        assert "a preview" in comment(forge)
        (tmp_path / "token").write_text("a secret of this job\n")
        page.unlink()
        page.symlink_to(tmp_path / "token")
        code, printed = gitlab.gitlab("comment")
    finally:
        page.unlink()
        shutil.copyfile(CHECKOUT / "bin/portcullis", runner.folder / "bin/portcullis")
    assert code != 0
    assert "is a symbolic link" in printed
    assert "a preview" in comment(forge)


@pytest.mark.once
def test_nothing_secret_is_in_what_a_pipeline_keeps(deployed: Program, runner: Runner) -> None:
    folder = deployed.folder / ".portcullis/pipeline"
    kept = "".join(file.read_text() for file in folder.iterdir())
    assert "PRIVATE KEY" not in kept
    for key in ("secrets.PREVIEW_KEY", "secrets.DEPLOY_KEY"):
        assert runner.context[key].splitlines()[1] not in kept
    json.loads((folder / "preview.json").read_text())
    subprocess.run(["test", "!", "-e", f"{runner.environment['RUNNER_TEMP']}/preview-key"], check=True)
