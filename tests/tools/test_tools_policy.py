"""The command with which `make policy` checks the stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import policy
from tools.engine import Engine
from tools.steps import StepError

FOLDER = Path("/somewhere/bin")


def test_an_official_pulumi_checks_in_a_preview() -> None:
    ready = Engine("3.272.0", FOLDER, official=True)
    assert policy.command("prod", ready) == [
        "pulumi",
        "preview",
        "--stack",
        "prod",
        "--policy-pack",
        "policy",
    ]


def test_without_an_official_pulumi_the_verb_policy_checks() -> None:
    for ready in (Engine("3.259.0", FOLDER, official=False), None):
        assert policy.command("lab", ready)[1:] == ["policy", "--stack", "lab"]


def test_a_lab_without_a_host_is_told_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "ROOT", tmp_path)
    with pytest.raises(StepError, match="run `make lab`"):
        policy.prepare("lab")


def test_a_stack_that_is_not_there_is_told_how_to_make_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "pulumi"
    tool.write_text(
        "#!/bin/sh\n[ -e there ] || { echo \"error: no stack named 'prod' found\" >&2; exit 1; }\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    monkeypatch.setattr(policy, "ROOT", tmp_path)
    with pytest.raises(
        StepError, match="no stack named 'prod' found\n  -> `pulumi stack init prod` creates the stack"
    ):
        policy.prepare("prod")
    (tmp_path / "there").touch()
    policy.prepare("prod")


def test_the_stack_of_the_lab_is_made_at_first_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Pulumi.lab.yaml").write_text("config: {}\n")
    tool = tmp_path / "bin/pulumi"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\necho "$@" >>asked\n[ ! -e broken ] || { echo no state >&2; exit 1; }\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    monkeypatch.setattr(policy, "ROOT", tmp_path)
    policy.prepare("lab")
    assert (tmp_path / "asked").read_text() == "stack select lab --create\n"
    (tmp_path / "broken").touch()
    with pytest.raises(StepError, match="cannot be created: no state"):
        policy.prepare("lab")
