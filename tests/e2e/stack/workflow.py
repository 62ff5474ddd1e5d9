"""Runs the steps of a CI job as a runner does: the shell script of each step, in order, with its environment.

A runner has a checkout, Python, Pulumi and the packages already. So steps with `uses` and the steps that
install are left out.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from tests.e2e.project import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_BROUGHT = ("Install Pulumi", "Install the packages")
LIMIT = 400.0


@dataclass(frozen=True, slots=True)
class Runner:
    """A stand-in for a CI runner with a checkout.

    Attributes:
        folder: the folder of the checkout.
        environment: the variables that a runner sets, such as ``GITHUB_API_URL``, and a PATH with Pulumi.
        context: the values of expressions, such as ``secrets.PREVIEW_KEY``. An expression that is not in
            `context` is empty.
    """

    folder: Path
    environment: Mapping[str, str]
    context: Mapping[str, str] = field(default_factory=dict)

    def github(self, workflow: str, job: str) -> tuple[int, str]:
        """Run a job of a GitHub workflow. Return the exit code and the output of the job."""
        read = yaml.safe_load((CHECKOUT / f".github/workflows/{workflow}.yml").read_text())
        steps = read["jobs"][job]["steps"]
        common = {**read.get("env", {}), **read["jobs"][job].get("env", {})}
        code, printed = 0, ""
        for step in steps:
            always = "always()" in str(step.get("if", ""))
            on_failure = "failure()" in str(step.get("if", ""))
            if "run" not in step or step.get("name") in _BROUGHT or (on_failure != bool(code) and not always):
                continue
            ended, said = self._shell(step["run"], {**common, **step.get("env", {})})
            code, printed = code or ended, printed + said
        return code, printed

    def gitlab(self, job: str) -> tuple[int, str]:
        """Run a job of .gitlab-ci.yml. Return the exit code and the output of the job."""
        read = yaml.safe_load((CHECKOUT / ".gitlab-ci.yml").read_text())
        given: dict[str, Any] = {**read["variables"], **read[job].get("variables", {})}
        known = {**given, **self.context}
        own = {
            key: re.sub(r"\$(\w+)", lambda found: known.get(found[1], ""), str(value))
            for key, value in given.items()
        }
        return self._shell("\n".join(read[job]["script"]), {**own, **self.context})

    def _shell(self, script: str, environment: Mapping[str, Any]) -> tuple[int, str]:
        own = {key: self._evaluated(str(value)) for key, value in environment.items()}
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
