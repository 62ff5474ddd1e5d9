"""A small Pulumi project for a test, with its own program and state, and methods that run Pulumi commands.

The program knows the host as `web1`. The methods return the whole output of a command, because the tests
check what people read.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from portcullis.host import Connection

if TYPE_CHECKING:
    from lab.pytest_lab import Host

CHECKOUT = Path(__file__).resolve().parents[2]
STACK = "e2e"
PASSPHRASE = "portcullis-e2e"
TIMEOUT = 600.0  # seconds of one verb: it ends what hangs, and measures nothing

# The engine warns of each plugin that it finds on PATH, whether or not a program uses it.
_NOISE = re.compile(r"^.*warning: using pulumi-resource-\S+ from \$PATH.*\n", re.MULTILINE)

_MANIFEST = """\
name: {name}
description: A test of the host layer.
runtime:
  name: python
  options:
    toolchain: pip
    virtualenv: {venv}
options:
  refresh: always
plugins:
  providers:
    - name: portcullis
      path: {plugin}
"""

_HEAD = """\
import os
import signal

import pulumi
from portcullis.host import Connection, write_ssh_config
from portcullis.resources import Directory, File, Packages, Service, Tree

signal.signal(signal.SIGINT, lambda *_: os._exit(32))
write_ssh_config({{"web1": Connection(**{connection})}})

"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The exit code, the output and the duration of a Pulumi command."""

    verb: str
    code: int
    output: str
    seconds: float

    def has(self, *parts: str) -> Outcome:
        """Assert that the output has each part. The comparison ignores the alignment of columns."""
        for part in parts:
            assert _unaligned(part) in _unaligned(self.output), f"{part!r} is not in:\n{self.output}"
        return self

    def lacks(self, *parts: str) -> Outcome:
        """Assert that the output has none of the parts."""
        for part in parts:
            assert part not in self.output, f"{part!r} is in:\n{self.output}"
        return self

    @property
    def error(self) -> str:
        """Return the diagnostics at the end of a failed command, without the progress display."""
        return self.output.partition("Diagnostics:")[2] or self.output


class Project:
    """A project folder with its stack. `close` ends all processes that the project started."""

    def __init__(self, folder: Path, host: Host, *, name: str = "e2e") -> None:
        self.folder = folder
        self.host = host
        self.connection = Connection(
            address=host.address,
            port=host.ssh_port,
            host_key=host.host_key,
            identity_file=str(host.identity_file),
        )
        self.name = name
        self.env = _environment(folder)
        self._running: list[subprocess.Popen[str]] = []
        self._made = False
        (folder / "state").mkdir(parents=True)
        (folder / "Pulumi.yaml").write_text(_manifest(name))

    def close(self) -> None:
        """Kill whatever verb still runs, with its process group."""
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=10)
        self._running.clear()

    def program(self, text: str, **connection: Any) -> Self:
        """Write the program: `text` declares its resources.

        `connection` changes parts of the connection to the host.
        """
        parts = {name: getattr(self.connection, name) for name in Connection.__dataclass_fields__}
        head = _HEAD.format(connection=repr({**parts, **connection}))
        (self.folder / "__main__.py").write_text(head + textwrap.dedent(text))
        return self

    def up(self, *arguments: str, fails: bool = False, timeout: float = TIMEOUT) -> Outcome:
        """Deploy."""
        return self.run("up", "--yes", "--skip-preview", *arguments, fails=fails, timeout=timeout)

    def preview(self, *arguments: str, fails: bool = False) -> Outcome:
        """Run `pulumi preview`, which shows every property that differs."""
        return self.run("preview", "--diff", *arguments, fails=fails)

    def unchanged(self) -> Outcome:
        """Assert that a preview finds nothing to do and no drift on the host."""
        return self.preview("--expect-no-changes").lacks("(refresh)")

    def refresh(self, *arguments: str, fails: bool = False) -> Outcome:
        """Run `pulumi refresh`, which reads the host into the state."""
        return self.run("refresh", "--yes", "--skip-preview", "--diff", *arguments, fails=fails)

    def destroy(self, *arguments: str, fails: bool = False, timeout: float = TIMEOUT) -> Outcome:
        """Take everything away."""
        return self.run("destroy", "--yes", "--skip-preview", *arguments, fails=fails, timeout=timeout)

    def cancel(self) -> Outcome:
        """Run `pulumi cancel`, which removes the lock of a killed engine."""
        return self.run("cancel", "--yes")

    def run(self, verb: str, *arguments: str, fails: bool = False, timeout: float = TIMEOUT) -> Outcome:
        """Run a verb to its end; its exit code must say what is expected, and no traceback may be printed."""
        begun = time.monotonic()
        process = self.start(verb, *arguments)
        outcome = self.finish(process, verb, begun, timeout)
        assert (outcome.code != 0) == fails, f"pulumi {verb} ended with {outcome.code}:\n{outcome.output}"
        assert "Traceback" not in outcome.output, outcome.output
        return outcome

    def start(self, verb: str, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Start a Pulumi command in its own process group, as a shell with job control does."""
        self._ensure_stack()
        process = subprocess.Popen(
            ["pulumi", verb, "--stack", STACK, "--non-interactive", "--color", "never", *arguments],
            cwd=self.folder, env={**self.env, **(env or {})}, text=True, process_group=0,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._running.append(process)
        return process

    def finish(
        self, process: subprocess.Popen[str], verb: str, begun: float, timeout: float = TIMEOUT
    ) -> Outcome:
        """Wait for a verb that was started."""
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            raise AssertionError(f"pulumi {verb} did not end within {timeout:.0f} s:\n{output}") from None
        finally:
            self._running.remove(process)
        return Outcome(verb, process.returncode, _NOISE.sub("", output), time.monotonic() - begun)

    def secret(self, key: str, value: str) -> None:
        """Set a secret of the stack's configuration; the value goes in by standard input."""
        self._ensure_stack()
        subprocess.run(
            ["pulumi", "config", "set", "--secret", "--stack", STACK, key],
            cwd=self.folder, env=self.env, input=value, text=True, capture_output=True, check=True,
            timeout=TIMEOUT,
        )  # fmt: skip

    def _ensure_stack(self) -> None:
        if not self._made:
            subprocess.run(
                ["pulumi", "stack", "init", STACK, "--non-interactive"],
                cwd=self.folder, env=self.env, capture_output=True, text=True, check=True, timeout=TIMEOUT,
            )  # fmt: skip
            self._made = True


def _manifest(name: str) -> str:
    return _MANIFEST.format(name=name, venv=CHECKOUT / ".venv", plugin=CHECKOUT / "plugin")


def _unaligned(text: str) -> str:
    return " ".join(text.split()).replace(" :", ":")


@functools.cache
def engine_environment() -> dict[str, str]:
    """Return what tools/engine.py says a command needs: the engine, its home with caches, and PATH."""
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / "tools" / "engine.py"), "env", "--json"],
        capture_output=True, text=True, check=True, timeout=TIMEOUT,
    )  # fmt: skip
    variables: dict[str, str] = json.loads(done.stdout)
    return variables


def _environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        **engine_environment(),
        "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PYTHONPATH": str(CHECKOUT),
    }
