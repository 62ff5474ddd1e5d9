"""The engine that `make setup` finds or builds runs programs with our own plugin. No host is needed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from tools.steps import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = """\
name: engine-proof
runtime: {{name: python, options: {{toolchain: pip, virtualenv: {venv}}}}}
options:
  refresh: always
"""
PLUGIN = """\
plugins:
  providers:
    - name: portcullis
      path: {plugin}
"""
PROGRAM = """\
import pulumi
from portcullis.components.secrets.resource import GeneratedSecret

made = GeneratedSecret("password", rotate={rotate!r})
pulumi.export("password", made.value)
pulumi.export("generation", made.generation)
"""
# The engine ends the program with SIGINT when a resource fails.
SIGINT = "import os, signal\nsignal.signal(signal.SIGINT, lambda *_: os._exit(32))\n"
UNKNOWN = f"""\
{SIGINT}
import pulumi

pulumi.CustomResource("portcullis:index:Fil", "motd", {{"host": "web1"}})
"""
FAULTY = f"""\
{SIGINT}
from portcullis.resources import File

File("motd", host="web1", path="etc/motd", content="x", mode="0999")
"""


class Pulumi:
    """A small Pulumi project with its own state, and methods that run the engine."""

    def __init__(self, folder: Path, manifest: str = PROJECT + PLUGIN) -> None:
        asked = subprocess.run(
            [sys.executable, ROOT / "tools" / "engine.py", "env", "--json"],
            capture_output=True, text=True, check=True, timeout=600,
        )  # fmt: skip
        state = folder / "state"
        state.mkdir()
        (folder / "Pulumi.yaml").write_text(manifest.format(venv=ROOT / ".venv", plugin=ROOT / "plugin"))
        self._folder = folder
        self._env = {**os.environ, **json.loads(asked.stdout), "PULUMI_BACKEND_URL": state.as_uri()}
        self._env["PYTHONPATH"] = str(ROOT)
        self.done("stack", "init", "proof")

    def __call__(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pulumi", *argv, "--non-interactive", "--color=never"],
            cwd=self._folder, env=self._env, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip

    def program(self, text: str) -> None:
        (self._folder / "__main__.py").write_text(text)

    def done(self, *argv: str) -> str:
        answer = self(*argv)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout

    def refused(self, *argv: str) -> str:
        answer = self(*argv)
        assert answer.returncode != 0, answer.stdout + answer.stderr
        assert "Traceback" not in answer.stdout + answer.stderr, answer.stdout + answer.stderr
        return answer.stdout.partition("Diagnostics:")[2]

    def outputs(self) -> dict[str, str]:
        read: dict[str, str] = json.loads(self.done("stack", "output", "--json", "--show-secrets"))
        return read


pytestmark = pytest.mark.e2e


def test_a_resource_of_our_plugin_lives_its_life(tmp_path: Path) -> None:
    pulumi = Pulumi(tmp_path)
    pulumi.program(PROGRAM.format(rotate=None))
    pulumi.done("up", "--yes")
    first = pulumi.outputs()
    assert re.fullmatch("[A-Za-z0-9]{40}", first["password"])
    pulumi.done("preview", "--expect-no-changes")

    pulumi.program(PROGRAM.format(rotate="now"))
    assert '+ rotate: "now"' in pulumi.done("preview", "--diff")
    pulumi.done("up", "--yes")
    second = pulumi.outputs()
    assert second["generation"] == 2
    assert second["password"] != first["password"]

    pulumi.done("refresh", "--yes")
    state = pulumi.done("stack", "export")
    assert first["password"] not in state
    assert second["password"] not in state
    assert '"type": "portcullis:index:GeneratedSecret"' in state
    pulumi.done("preview", "--expect-no-changes")

    assert "- 2 deleted" in " ".join(pulumi.done("destroy", "--yes").split())


def test_the_settings_of_the_program_are_not_in_its_state(tmp_path: Path) -> None:
    pulumi = Pulumi(tmp_path)
    pulumi.program(PROGRAM.format(rotate=None))
    pulumi.done("config", "set", "portcullis:hosts", '{"web1": {"address": "203.0.113.10"}}')
    pulumi.done("up", "--yes")
    assert "203.0.113.10" not in pulumi.done("stack", "export")


def test_a_program_whose_project_lacks_the_plugin_is_told_what_to_write(tmp_path: Path) -> None:
    pulumi = Pulumi(tmp_path, PROJECT)
    pulumi.program(PROGRAM.format(rotate=None))
    told = pulumi.refused("preview")
    assert f"error: {tmp_path}/Pulumi.yaml does not name the plugin" in told
    assert told.count("error:") == 1, told

    written = textwrap.dedent(told[told.index("    plugins:") : told.index("Resources:")])
    with (tmp_path / "Pulumi.yaml").open("a") as manifest:
        manifest.write(written)
    pulumi.done("preview")


def test_an_unknown_type_is_one_message(tmp_path: Path) -> None:
    pulumi = Pulumi(tmp_path)
    pulumi.program(UNKNOWN)
    told = pulumi.refused("preview")
    assert "there is no resource type portcullis:index:Fil; did you mean portcullis:index:File?" in told
    assert told.count("error:") == 1, told


def test_all_faults_of_a_resource_are_told_at_once(tmp_path: Path) -> None:
    pulumi = Pulumi(tmp_path)
    pulumi.program(FAULTY)
    told = pulumi.refused("preview")
    assert "'etc/motd' is not an absolute path" in told
    assert "'0999' is not a mode" in told


def test_the_schema_can_be_printed(tmp_path: Path) -> None:
    pulumi = Pulumi(tmp_path)
    schema = json.loads(
        pulumi.done("package", "get-schema", str(ROOT / "plugin" / "pulumi-resource-portcullis"))
    )
    assert schema["resources"]["portcullis:index:File"]["requiredInputs"] == ["host", "path", "content"]
