"""Tests which engine the tools choose, and its environment. A broken build never counts as an engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools import engine, golang, plugins, steps

if TYPE_CHECKING:
    from collections.abc import Callable

    Program = Callable[[Path, str], Path]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the tools an empty home and cache, and a PATH without programs of this checkout."""
    monkeypatch.setenv("PORTCULLIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("PULUMI_HOME", raising=False)
    monkeypatch.setattr(plugins, "FOLDER", tmp_path / "plugins")
    return tmp_path


@pytest.fixture
def program(tmp_path: Path) -> Program:
    def make(path: Path, script: str) -> Path:
        whole = tmp_path / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_text(f"#!/bin/sh\n{script}\n")
        whole.chmod(0o755)
        return whole

    return make


def official(program: Program, folder: str, version: str) -> Path:
    program(Path(folder, "pulumi-language-python"), "exit 0")
    return program(Path(folder, "pulumi"), f"echo v{version}").parent


def test_an_official_engine_is_preferred_to_a_built_one(program: Program, elsewhere: Path) -> None:
    program((engine.built() / "pulumi").relative_to(elsewhere), "echo v3.259.0")
    folder = official(program, "official", "3.300.1")

    assert engine.find_official(f"/usr/bin:{folder}") == engine.Engine("3.300.1", folder, official=True)


def test_an_engine_is_asked_once_for_its_version_and_again_when_it_changed(
    program: Program, elsewhere: Path
) -> None:
    folder = official(program, "official", "3.300.1")
    asked = elsewhere / "asked"
    for version, times in (("3.300.1", 1), ("3.300.2-dev", 2)):
        program(Path("official", "pulumi"), f"echo v{version}; echo >>{asked}")
        for _ in range(3):
            found = engine.find_official(str(folder))
            assert found
            assert found.version == version
        assert len(asked.read_text().splitlines()) == times


def test_an_official_engine_that_is_too_old_is_named_and_not_used(
    program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = official(program, "official", "3.99.0")

    assert engine.find_official(str(folder)) is None
    assert f"{folder}/pulumi is 3.99.0, so it is not used: 3.216 or newer" in capsys.readouterr().err


def test_a_pulumi_without_a_python_language_host_is_not_used(program: Program) -> None:
    folder = program(Path("alone/pulumi"), "echo v3.300.0").parent

    assert engine.find_official(str(folder)) is None


def test_our_own_engine_on_path_is_not_taken_for_an_official_one(program: Program, elsewhere: Path) -> None:
    program((engine.built() / "pulumi-language-python").relative_to(elsewhere), "exit 0")
    program((engine.built() / "pulumi").relative_to(elsewhere), "echo v3.259.0")

    assert engine.find_official(str(engine.built())) is None
    assert engine.find() == engine.Engine("3.259.0", engine.built(), official=False)


def test_the_version_that_is_built_is_the_one_that_go_mod_pins() -> None:
    module = steps.ROOT / "tools" / "go" / "pulumi"

    assert golang.required(module, "github.com/pulumi/pulumi/pkg/v3") == "3.259.0"
    assert golang.required(module, "github.com/pulumi/pulumi/sdk/v3") == "3.259.0"


@pytest.mark.parametrize("told", ["exit 1", "echo v3.0.0"])
def test_a_broken_build_never_counts(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    def build(_module: Path, _package: str, output: Path, **_: str) -> None:
        output.write_text(f"#!/bin/sh\n{told}\n")
        output.chmod(0o755)

    monkeypatch.setattr(golang, "build", build)
    monkeypatch.setattr(golang, "folder", lambda *_: scripts_of_the_sdk())

    with pytest.raises(steps.StepError, match="it is not used"):
        engine.ensure()
    assert not engine.built().exists()
    assert engine.find() is None
    assert [entry.name for entry in (steps.cache() / "engine").iterdir()] == [".lock"]


def test_a_build_appears_whole_and_is_used_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    builds = []

    def build(_module: Path, package: str, output: Path, **_: str) -> None:
        assert not engine.built().exists()
        builds.append(package)
        output.write_text("#!/bin/sh\necho v3.259.0\n")
        output.chmod(0o755)

    monkeypatch.setattr(golang, "build", build)
    monkeypatch.setattr(golang, "folder", lambda *_: scripts_of_the_sdk())

    made = engine.ensure()
    assert engine.ensure() == made
    assert len(builds) == 2
    assert sorted(entry.name for entry in made.folder.iterdir()) == [
        "pulumi",
        "pulumi-analyzer-policy-python",
        "pulumi-language-python",
        "pulumi-language-python-exec",
    ]
    assert all(os.access(entry, os.X_OK) for entry in made.folder.iterdir())


def scripts_of_the_sdk() -> Path:
    folder = steps.cache() / "sdk"
    for script in engine._HOST_SCRIPTS:
        (folder / script).parent.mkdir(parents=True, exist_ok=True)
        (folder / script).write_text("#!/bin/sh\n")
    return folder


def test_path_has_what_is_ours_first_and_the_stand_ins_last() -> None:
    path = engine.environment(engine.Engine("3.259.0", engine.built(), official=False))["PATH"].split(":")

    assert path == [
        str(steps.ROOT / "bin"),
        str(steps.ROOT / ".venv" / "bin"),
        str(engine.built()),
        "/usr/bin",
        "/bin",
        str(plugins.FOLDER),
    ]


def test_an_environment_within_the_environment_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = engine.Engine("3.259.0", engine.built(), official=False)
    once = engine.environment(ours)
    monkeypatch.setenv("PATH", once["PATH"])
    monkeypatch.setenv("PULUMI_HOME", once["PULUMI_HOME"])

    assert engine.environment(ours) == once


def test_an_official_engine_keeps_the_users_own_home_and_its_plugins(
    program: Program, elsewhere: Path
) -> None:
    folder = official(program, "official", "3.300.1")
    for name, version in plugins.pinned().items():
        (elsewhere / "home/.pulumi/plugins" / f"resource-{name}-v{version}").mkdir(parents=True)

    environment = engine.environment(engine.Engine("3.300.1", folder, official=True))

    assert environment["PULUMI_HOME"] == str(elsewhere / "home/.pulumi")
    assert str(plugins.FOLDER) not in environment["PATH"].split(":")


def test_the_environment_runs_the_program_on_refresh_and_keeps_state_in_the_checkout() -> None:
    environment = engine.environment(engine.Engine("3.259.0", engine.built(), official=False))

    assert environment["PULUMI_RUN_PROGRAM"] == "true"
    assert environment["PULUMI_BACKEND_URL"] == (steps.ROOT / ".pulumi-state").as_uri()


def test_without_an_engine_env_says_what_to_do() -> None:
    done = subprocess.run(
        [sys.executable, steps.ROOT / "tools" / "engine.py", "env", "--json"],
        cwd="/", env={**os.environ}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.strip() == "error: there is no Pulumi engine yet: run `make setup`."


def test_env_as_json_works_from_any_folder(program: Program, elsewhere: Path) -> None:
    program((engine.built() / "pulumi").relative_to(elsewhere), "echo v3.259.0")
    done = subprocess.run(
        [sys.executable, steps.ROOT / "tools" / "engine.py", "env", "--json"],
        cwd="/", env={**os.environ}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    assert json.loads(done.stdout)["PULUMI_HOME"] == str(elsewhere / "cache/pulumi-home")
