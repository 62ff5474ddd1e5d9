"""`portcullis init`: the files that it writes, and the files that it does not touch."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from portcullis import __version__, project
from portcullis.cli import command, init
from portcullis.cli.main import parsed

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = {"Pulumi.yaml", "__main__.py", "requirements.txt", ".gitignore"}


def run(*words: str) -> int:
    return init.run(parsed(["init", *words]))


def environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this Python look like the Python of a virtual environment in which the package is installed."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/pulumi-resource-portcullis").touch()
    monkeypatch.setattr(sys, "prefix", str(folder))
    monkeypatch.setattr(sys, "executable", str(folder / "bin/python"))
    return folder


def written(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "Pulumi.yaml").read_text())
    return found


def test_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shop"
    environment(folder / ".venv", monkeypatch)
    monkeypatch.chdir(folder)
    assert run() == 0
    assert {path.name for path in folder.iterdir()} == {*WRITTEN, ".venv"}
    assert written(folder) == {
        "name": "shop",
        "description": "A hardened Docker host, declared and diffed in code.",
        "runtime": {"name": "python", "options": {"toolchain": "pip", "virtualenv": ".venv"}},
        "options": {"refresh": "always"},
        "plugins": {"providers": [{"name": "portcullis", "path": ".venv/bin"}]},
    }
    assert (folder / ".gitignore").read_text() == "/.portcullis/\n/.venv\n__pycache__/\n"
    said = capsys.readouterr().out.splitlines()
    assert len(said) <= 6
    assert said[0] == f"Next, in {folder}:"


def test_a_new_folder_and_an_environment_outside_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = environment(tmp_path / "my venv", monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert run("new/123") == 0
    found = written(tmp_path / "new/123")
    assert found["name"] == "123", "not a number"
    assert found["runtime"]["options"]["virtualenv"] == str(elsewhere)
    assert found["plugins"]["providers"][0]["path"] == str(elsewhere / "bin")


def test_an_environment_behind_a_symbolic_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "here").symlink_to("there")
    environment(tmp_path / "here/.venv", monkeypatch)
    assert run(str(tmp_path / "there")) == 0
    assert written(tmp_path / "there")["runtime"]["options"]["virtualenv"] == ".venv"


def test_without_a_virtual_environment_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert run(str(tmp_path)) == 0
    assert written(tmp_path)["runtime"] == {"name": "python"}


@pytest.mark.parametrize("name", [".web", "my shop", "ä", "yes"])
def test_pulumi_accepts_the_name(tmp_path: Path, name: str) -> None:
    assert run(str(tmp_path / name)) == 0
    found = written(tmp_path / name)["name"]
    assert isinstance(found, str)
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", found)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    for name in ("Pulumi.yaml", "__main__.py"):
        (tmp_path / name).write_text("mine\n")
    with pytest.raises(
        command.Failed,
        match=r"the project was not written: .* already contains Pulumi\.yaml and __main__\.py",
    ):
        run(str(tmp_path))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "Pulumi.yaml": "mine\n", "__main__.py": "mine\n",
    }  # fmt: skip
    (tmp_path / "file").touch()
    with pytest.raises(command.Failed, match="is not a folder"):
        run(str(tmp_path / "file"))


def test_an_existing_gitignore_keeps_its_lines(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("*.log\n/.venv")
    assert run(str(tmp_path)) == 0
    assert (tmp_path / ".gitignore").read_text() == "*.log\n/.venv\n/.portcullis/\n__pycache__/\n"


def test_requirements_have_the_name_of_this_package_on_pypi(tmp_path: Path) -> None:
    run(str(tmp_path))
    name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    assert (tmp_path / "requirements.txt").read_text() == f"{name}=={__version__}\n"


def test_the_program_is_the_same_as_in_the_readme() -> None:
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    program = next(text for text in shown if "HardenedHost(" in text)
    ours = ast.parse(init.PROGRAM)
    ours.body.pop(0)  # its docstring
    assert ast.dump(ours) == ast.dump(ast.parse(program))


def test_a_checkout_names_its_own_plugin() -> None:
    assert project.plugin_folder() == ROOT / "plugin"
