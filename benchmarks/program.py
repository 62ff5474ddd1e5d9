"""Runs the benchmark's program on the real engine, over the network or with recorded answers of the host."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import BenchmarkError, run, succeeded
from benchmarks.target import NAME
from portcullis.host.session import Session

if TYPE_CHECKING:
    from benchmarks.graph import Graph
    from benchmarks.target import Target
    from lab.relay import Relay

_HERE = Path(__file__).resolve().parent
_QUIET = ["--non-interactive", "--color", "never"]


class Program:
    """A stack for one host, in its own folder."""

    def __init__(self, folder: Path, target: Target, stack: str) -> None:
        """Create the project, its state and its stack.

        Raises:
            BenchmarkError: the engine cannot run.
        """
        self._target = target
        self._stack = stack
        self.project = folder / stack
        shutil.copytree(_HERE / "project", self.project)
        manifest = self.project / "Pulumi.yaml"
        manifest.write_text(manifest.read_text().replace("../../plugin", str(_HERE.parent / "plugin")))
        shutil.copytree(_HERE / "canned", folder / "canned", dirs_exist_ok=True)
        self._canned = folder / "canned"
        (folder / "state").mkdir(exist_ok=True)
        self._env = {
            **os.environ,
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PYTHONPATH": str(_HERE.parent),
            "XDG_RUNTIME_DIR": str(folder),  # a folder for the sockets of this run
        }
        self._pulumi("stack", "init", stack)
        self._settings = self.project / f"Pulumi.{stack}.yaml"
        self._salt = self._settings.read_text()
        self._graph = folder / f"{stack}.json"

    def deploy(self, graph: Graph) -> None:
        """Deploy the graph over a network without delay.

        No benchmark measures this deployment. To save time, Pulumi does not write the state after each step.
        """
        graph.write(self._graph)
        self._connect(self._target.near)
        self._pulumi("up", "--yes", "--skip-preview", *_QUIET,
                     PULUMI_EXPERIMENTAL="true", PULUMI_SKIP_CHECKPOINTS="true")  # fmt: skip

    def check(self) -> None:
        """Check for drift over a network with 50 ms of delay.

        Raises:
            BenchmarkError: there is drift.
        """
        self._connect(self._target.far)
        self._preview()

    def check_canned(self) -> None:
        """Check for drift with the answer that `survey` stored, and not with the answer of a host.

        Raises:
            BenchmarkError: there is drift.
        """
        self._preview(PATH=f"{self._canned}{os.pathsep}{self._env['PATH']}")

    def finds_drift(self) -> bool:
        """Return whether a check over a network with 50 ms of delay shows a difference."""
        self._connect(self._target.far)
        done = run(["pulumi", "preview", "--expect-no-changes", *_QUIET], cwd=self.project, env=self._env)
        return done.returncode != 0 and "no changes were expected" in done.stdout + done.stderr

    def survey(self, times: int) -> list[float]:
        """Ask the agent `times` times for a whole survey, over a network without delay.

        Return the seconds of each answer, and store the last answer.
        """
        self._connect(self._target.near)
        self._preview()  # this preview writes the ssh configuration
        session = Session(NAME, self._stack, project=self.project)
        seconds = []
        answer: dict[str, Any] = {}
        try:
            session.request("hello", timeout=60)
            for _ in range(times):
                begun = time.monotonic()
                answer = session.request("survey", timeout=60, stack=f"bench/{self._stack}", items=[])
                seconds.append(time.monotonic() - begun)
        finally:
            session.close()
        (self._canned / "answer.json").write_text(json.dumps(answer))
        return seconds

    def _connect(self, relay: Relay) -> None:
        address, port = relay.address
        config = {
            "bench:address": address,
            "bench:port": port,
            "bench:hostKey": self._target.host_key,
            "bench:identityFile": str(self._target.identity_file),
            "bench:graph": str(self._graph),
        }
        self._settings.write_text(f"{self._salt.rstrip()}\nconfig: {json.dumps(config)}\n")

    def _preview(self, **env: str) -> None:
        self._pulumi("preview", "--expect-no-changes", *_QUIET, **env)

    def _pulumi(self, *words: str, **env: str) -> str:
        done = run(["pulumi", *words], cwd=self.project, env={**self._env, **env})
        try:
            return succeeded(done, f"pulumi {words[0]}")
        except BenchmarkError as error:
            raise BenchmarkError(f"a command on the stack {self._stack} failed: {error}") from None
