"""Tests the preview of a pull request from a fork.

It needs no host, no state and no secret. It runs the real program twice: before and after the change.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from portcullis.cli.pipeline import code_only
from portcullis.cli.pipeline.preview import Preview
from portcullis.cli.report.differences import Report

CHECKOUT = Path(__file__).parents[3]
PARTS = (
    "Pulumi.yaml",
    "Pulumi.prod.yaml",
    "__main__.py",
    "components",
    "portcullis",
    "plugin",
    "policy",
    "docs",
)


def test_encrypted_values_are_found_wherever_they_are() -> None:
    config = {
        "portcullis:secrets": {"stripeKey": {"secure": "v1:x"}, "plain": "no"},
        "portcullis:registries": {"ghcr.io": {"username": "bot", "password": {"secure": "v1:y"}}},
        "portcullis:list": [{"secure": "v1:z"}, "no"],
    }
    assert list(code_only.secret_paths(config)) == [
        'portcullis:secrets["stripeKey"]',
        'portcullis:registries["ghcr.io"]["password"]',
        "portcullis:list[0]",
    ]
    assert "v1:" not in json.dumps(code_only.without_secrets(config))


def test_a_difference_names_each_resource_once() -> None:
    urn = "urn:pulumi:prod::portcullis::a:A$docker:index/container:Container::{}".format

    def state(name: str, inputs: dict[str, Any]) -> dict[str, Any]:
        type_ = "docker:index/container:Container"
        return {"urn": urn(name), "type": type_, "custom": True, "inputs": {"name": name, **inputs}}

    steps = [
        {
            "op": "update", "urn": urn("api"), "oldState": state("api", {"memory": 256, "ports": [1]}),
            "newState": state("api", {"memory": 512, "ports": [1]}),
        },
        {"op": "delete", "urn": urn("old"), "oldState": state("old", {}), "newState": None},
        {"op": "create", "urn": urn("new"), "oldState": None, "newState": state("new", {"__defaults": []})},
        {"op": "same", "urn": urn("same"), "oldState": state("same", {}), "newState": state("same", {})},
    ]  # fmt: skip
    found = code_only.difference("prod", steps)
    assert [f"{one.op} {one.subject}: {one.what}" for one in found.differences] == [
        "update api: memory 256, declared 512",
        "create new: new container",
        "delete old: container no longer declared",
    ]
    assert not any(one.by_hand for one in found.differences)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a fork's job: an engine, and no variable that leads to a state."""
    asked = [sys.executable, str(CHECKOUT / "tools/engine.py"), "env", "--json"]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60)
    environment = {**os.environ, **json.loads(done.stdout)}
    for name in ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PYTHONPATH"):
        environment.pop(name, None)
    return {**environment, "XDG_RUNTIME_DIR": str(tmp_path_factory.mktemp("run"))}


def checkout(folder: Path, old: str = "", new: str = "") -> Path:
    """A checkout of this project, with one change to its settings."""
    for part in PARTS:
        folder.mkdir(exist_ok=True)
        if (CHECKOUT / part).is_dir():
            shutil.copytree(CHECKOUT / part, folder / part, symlinks=True)
        else:
            shutil.copyfile(CHECKOUT / part, folder / part)
    (folder / ".venv").symlink_to(CHECKOUT / ".venv")
    settings = folder / "Pulumi.prod.yaml"
    assert old in settings.read_text()
    # This value is encrypted with an unknown passphrase.
    sealed = '  portcullis:secrets:\n    stripeKey: {secure: "v1:AAAAAAAAAAAAAAAA:BBBB"}\n'
    settings.write_text(settings.read_text().replace(old, new) + sealed)
    return folder


@pytest.mark.e2e
def test_a_forks_pull_request_shows_what_it_declares_beyond_the_base(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    base = checkout(tmp_path / "base")
    head = checkout(tmp_path / "head", "LOG_LEVEL: info", "LOG_LEVEL: debug\n      secrets: [stripeKey]")
    seen = code_only.compare("prod", base, head, environment, "it comes from a fork")
    assert seen.ok, seen.text
    assert "LOG_LEVEL" in seen.text
    assert "stripeKey" in seen.text
    assert {one.op for one in seen.report.differences} >= {"update"}
    assert "delete" not in {one.op for one in seen.report.differences}
    assert not (base / ".portcullis").exists()
    assert "v1:AAAA" not in seen.text
    assert "resources checked: 0 stop the stack" in seen.verdict, seen.verdict
    assert not seen.stopped
    assert (head / "Pulumi.prod.yaml").read_text().count("{secure:") == 1


@pytest.mark.e2e
def test_a_fault_in_the_settings_of_a_fork_is_reported_with_its_path(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    base = checkout(tmp_path / "base")
    head = checkout(tmp_path / "head", "port: 8080", "prot: 8080")
    seen = code_only.compare("prod", base, head, environment, "it comes from a fork")
    assert not seen.ok
    assert "prot" in seen.text
    assert "Traceback" not in seen.text


@pytest.mark.parametrize(
    ("base", "operations"),
    [
        ([], ["create"]),
        (["Pulumi.yaml", "Pulumi.other.yaml"], ["create"]),
        # No stack of a program without settings has a file.
        (["Pulumi.yaml"], []),
    ],
)
def test_for_a_new_stack_everything_is_new(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, base: list[str], operations: list[str]
) -> None:
    state = {"urn": "urn:pulumi:x::p::a:b:C::n", "type": "a:b:C", "custom": True, "inputs": {"a": 1}}
    steps: dict[str, Any] = {"steps": [{"newState": state}]}
    for name in ("base", "head"):
        (tmp_path / name).mkdir()
    for name in base:
        (tmp_path / "base" / name).touch()

    def alone(stack: str, *_: object) -> Preview:
        return Preview(stack, Report(stack), steps)

    monkeypatch.setattr(code_only, "alone", alone)
    seen = code_only.compare("new", tmp_path / "base", tmp_path / "head", {}, "why")
    assert [one.op for one in seen.report.differences] == operations


def test_the_steps_of_a_comparison_have_the_states_before_and_after(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    declared = {"base": {"same": 1, "changed": 1, "gone": 1}, "head": {"same": 1, "changed": 2, "new": 1}}

    def alone(stack: str, checkout: Path, *_: object) -> Preview:
        states = [
            {"urn": f"urn:pulumi:x::p::a:b:C::{name}", "type": "a:b:C", "custom": True, "inputs": {"a": a}}
            for name, a in declared[checkout.name].items()
        ]
        return Preview(stack, Report(stack), {"steps": [{"newState": s} for s in states]})

    for name in declared:
        (tmp_path / name).mkdir()
        (tmp_path / name / "Pulumi.prod.yaml").touch()
    monkeypatch.setattr(code_only, "alone", alone)
    seen = code_only.compare("prod", tmp_path / "base", tmp_path / "head", {}, "why")
    operations = {step["urn"].rpartition("::")[2]: step["op"] for step in seen.steps["steps"]}
    assert operations == {"same": "same", "changed": "update", "gone": "delete", "new": "create"}
    assert sorted(one.op for one in seen.report.differences) == ["create", "delete", "update"]


def test_a_failing_base_is_reported_as_such(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def alone(stack: str, checkout: Path, *_: object) -> Preview:
        succeeds = checkout.name == "head"
        return Preview(stack, Report(stack, errors=() if succeeds else ("no settings",)))

    for name in ("base", "head"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Pulumi.prod.yaml").touch()
    monkeypatch.setattr(code_only, "alone", alone)
    seen = code_only.compare("prod", tmp_path / "base", tmp_path / "head", {}, "why")
    assert not seen.ok
    assert "the base fails, without this change" in seen.text
    assert "no settings" in seen.text
