"""Runs the steps of a CI job as a fresh runner does: each shell script, in order, with its environment.

GitHub's actions cannot run here. `Runner.uses` does what each of them leaves behind.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
LIMIT = 400.0


@dataclass(frozen=True, slots=True)
class Runner:
    """A stand-in for a CI runner with a checkout.

    Attributes:
        folder: the folder of the checkout. The jobs make its `.venv`.
        environment: the variables that a runner sets, such as ``GITHUB_API_URL``, and a PATH with Pulumi.
        context: the values of expressions, such as ``secrets.PREVIEW_KEY``. An expression that is not in
            `context` is empty.
    """

    folder: Path
    environment: Mapping[str, str]
    context: Mapping[str, str] = field(default_factory=dict)

    def github(self, workflow: str, job: str) -> tuple[int, str]:
        """Run a job of a GitHub workflow. Return the exit code and the output of the job."""
        read = yaml.safe_load((self.folder / f".github/workflows/{workflow}.yml").read_text())
        steps = read["jobs"][job]["steps"]
        common = {**read.get("env", {}), **read["jobs"][job].get("env", {})}
        code, printed = 0, ""
        for step in steps:
            always = "always()" in str(step.get("if", ""))
            on_failure = "failure()" in str(step.get("if", ""))
            if on_failure != bool(code) and not always:
                continue
            if "run" not in step:
                self.uses(step["uses"].partition("@")[0], step.get("with", {}))
                continue
            ended, said = self._shell(step["run"], {**common, **step.get("env", {})})
            code, printed = code or ended, printed + said
        return code, printed

    def uses(self, action: str, given: Mapping[str, Any]) -> None:
        """Do what an action leaves behind for the steps after it."""
        match action:
            case "actions/checkout":
                if "path" in given:  # the base, which is here the same as the change
                    target = self.folder / given["path"]
                    hidden = shutil.ignore_patterns(".venv", ".portcullis", "state")
                    shutil.copytree(self.folder, target, ignore=hidden, symlinks=True, dirs_exist_ok=True)
            case "actions/setup-python":
                self.python()
            case "pulumi/actions":
                assert set(given) == {"pulumi-version"}, "it only installs"
                assert shutil.which("pulumi", path=self.environment["PATH"])
            case "actions/upload-artifact" | "actions/download-artifact":
                assert given["path"] == ".portcullis/pipeline/", "the jobs share the folder"
            case _:
                raise AssertionError(f"a runner would run {action}: say here what it does")

    def python(self) -> None:
        """Put a `python` on the PATH, as the action and GitLab's image do."""
        python = Path(self.environment["HOME"]) / "bin/python"
        if not python.exists():
            python.parent.mkdir(exist_ok=True)
            python.symlink_to(Path(sys.base_prefix) / f"bin/python3.{sys.version_info.minor}")

    def gitlab(self, job: str) -> tuple[int, str]:
        """Run a job of .gitlab-ci.yml. Return the exit code and the output of the job."""
        read = yaml.safe_load((self.folder / ".gitlab-ci.yml").read_text())
        self.python()
        given: dict[str, Any] = {**read["variables"], **read[job].get("variables", {})}
        known = {**given, **self.context}
        own = {
            key: re.sub(r"\$(\w+)", lambda found: known.get(found[1], ""), str(value))
            for key, value in given.items()
        }
        before = read[read[job].get("extends", "default")]["before_script"]
        return self._shell("\n".join([*before, *read[job]["script"]]), {**own, **self.context})

    def _shell(self, script: str, environment: Mapping[str, Any]) -> tuple[int, str]:
        own = {key: self._evaluated(str(value)) for key, value in environment.items()}
        own["PATH"] = os.pathsep.join([f"{self.environment['HOME']}/bin", self.environment["PATH"]])
        assert not (self.folder / ".venv").is_symlink(), "the job would change another environment"
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", self._evaluated(script)],
            cwd=self.folder, env={**os.environ, **self.environment, **own}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    def _evaluated(self, text: str) -> str:
        return _EXPRESSION.sub(lambda found: self._value(found[1]), text)

    def _value(self, expression: str) -> str:
        """Return the first value of an expression such as `a || 'b'` that is not empty."""
        for part in expression.split("||"):
            name = part.strip()
            value = name[1:-1] if name.startswith("'") else self.context.get(name, "")
            if value:
                return value
        return ""
