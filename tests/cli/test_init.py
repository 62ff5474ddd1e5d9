"""`portcullis init`: the files that it writes, and the files that it does not touch."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from portcullis import __version__, project
from portcullis.cli import command, init
from portcullis.cli.main import parsed

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = {"Pulumi.yaml", "__main__.py", "requirements.txt", ".gitignore", "tests", ".github"}


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
        "requiredPulumiVersion": ">=3.216.0",
        "options": {"refresh": "always"},
        "plugins": {"providers": [{"name": "portcullis", "path": ".venv/bin"}]},
    }
    assert (folder / ".gitignore").read_text() == "/.portcullis/\n/.venv\n__pycache__/\n"
    said = capsys.readouterr().out.splitlines()
    assert len(said) <= 8
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


def test_a_checkout_names_the_wheel_that_it_would_build(tmp_path: Path) -> None:
    run(str(tmp_path))
    name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"].replace("-", "_")
    wanted = f"./{name}-{__version__}-py3-none-any.whl\npytest\n"
    assert (tmp_path / "requirements.txt").read_text() == wanted


WHEEL = "portcullis_host-1-py3-none-any.whl"


@pytest.mark.parametrize(
    ("origin", "requirement"),
    [
        (None, f"portcullis-host=={__version__}"),
        ({"url": "file://{tmp}/a%20b/" + WHEEL}, f"./{WHEEL}"),
        (
            {"url": "https://git.example/p.git", "vcs_info": {"vcs": "git", "commit_id": "5f5f"}},
            "portcullis-host @ git+https://git.example/p.git@5f5f",
        ),
        (
            {"url": "https://files.example/" + WHEEL, "archive_info": {}},
            f"portcullis-host @ https://files.example/{WHEEL}",
        ),
    ],
)
def test_requirements_name_what_pip_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: dict[str, Any] | None, requirement: str
) -> None:
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / WHEEL).write_text("a wheel")
    told = origin and json.dumps(origin).replace("{tmp}", str(tmp_path))
    distribution = SimpleNamespace(read_text=lambda _name: told)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _name: distribution)
    folder = tmp_path / "shop"
    assert run(str(folder)) == 0
    assert (folder / "requirements.txt").read_text() == f"{requirement}\npytest\n"
    assert (folder / WHEEL).exists() == requirement.startswith("./")


def test_workflows_need_an_environment_that_a_runner_has_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(tmp_path / "elsewhere", monkeypatch)
    assert run(str(tmp_path / "shop")) == 0
    assert not (tmp_path / "shop/.github").exists()


def test_the_workflows_name_no_file_of_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment(tmp_path / ".venv", monkeypatch)
    assert run(str(tmp_path)) == 0
    for name in init.WORKFLOWS:
        text = (tmp_path / f".github/workflows/{name}.yml").read_text()
        assert ".venv/bin/portcullis " in text
        scripts = [
            step["run"]
            for job in yaml.safe_load(text)["jobs"].values()
            for step in job["steps"]
            if "run" in step and step["name"] != "Refuse a machine for both"
        ]
        for script in scripts:
            ours = script.replace('echo "Read docs/after-a-failed-deployment.md of Portcullis."', "")
            assert not re.search(r"(?<!\.venv/)\b(bin|docs|policy|tools)/|--require-hashes", ours), script


def test_the_program_is_the_same_as_in_the_readme() -> None:
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    program = next(text for text in shown if "HardenedHost(" in text)
    ours = ast.parse(init.PROGRAM)
    ours.body.pop(0)  # its docstring
    assert ast.dump(ours) == ast.dump(ast.parse(program))


def test_a_checkout_names_its_own_plugin() -> None:
    assert project.plugin_folder() == ROOT / "plugin"
