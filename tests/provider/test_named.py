from __future__ import annotations

import sys
from pathlib import Path

import pytest

from portcullis.provider.named import missing

NAMED = "plugins: {providers: [{name: portcullis, path: plugin}]}\n"
OTHERS = "plugins: {providers: [{name: another, path: x}], languages: [{name: portcullis, path: x}]}\n"


def project(folder: Path, more: str = "", runtime: str = "python") -> Path:
    (folder / "Pulumi.yaml").write_text(f"name: mine\nruntime: {runtime}\n{more}")
    (folder / "below").mkdir(exist_ok=True)
    return folder / "below"


def plugin(folder: Path, name: str = "pulumi-resource-portcullis") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"PATH": str(tmp_path / "bin"), "PULUMI_HOME": str(tmp_path / "home")}


def test_a_project_that_names_the_plugin_gets_no_message(tmp_path: Path, environ: dict[str, str]) -> None:
    assert missing(project(tmp_path, NAMED), environ) == ""


@pytest.mark.parametrize("more", ["", OTHERS, "plugins:\n", "plugins: {providers: }\n"])
def test_a_project_that_does_not_name_the_plugin_gets_the_lines_to_add(
    tmp_path: Path, environ: dict[str, str], more: str
) -> None:
    told = missing(project(tmp_path, more), environ)
    assert told.startswith(f"{tmp_path}/Pulumi.yaml does not name the plugin")
    folder = told.rpartition("path: ")[2].strip()
    assert (Path(folder) / "pulumi-resource-portcullis").is_file()


def test_a_plugin_that_is_installed_needs_no_name(tmp_path: Path, environ: dict[str, str]) -> None:
    folder = project(tmp_path)
    (tmp_path / "home" / "plugins" / "resource-portcullis-v1.0.0").mkdir(parents=True)
    assert missing(folder, environ) == ""


def test_a_plugin_on_path_needs_no_name(tmp_path: Path, environ: dict[str, str]) -> None:
    folder = project(tmp_path)
    plugin(tmp_path / "bin")
    assert missing(folder, environ) == ""


def test_the_programs_activated_environment_is_not_the_engines_path(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin(tmp_path / "venv" / "bin")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    environ["PATH"] = f"{tmp_path}/venv/bin:{environ['PATH']}"
    activated = "{name: python, options: {virtualenv: venv}}"
    assert missing(project(tmp_path, runtime=activated), environ)
    assert missing(project(tmp_path), environ) == ""


def test_a_program_without_a_project_gets_no_message(tmp_path: Path, environ: dict[str, str]) -> None:
    assert missing(tmp_path, environ) == ""
