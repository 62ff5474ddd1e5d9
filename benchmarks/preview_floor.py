"""Compares a preview without changes with the least work of the engine: `python -m benchmarks.preview_floor`.

The floor is the CPU time that the engine needs in any case. To measure it, a second program declares the same
resources with the same parents, inputs and order. Plugins with the same package names serve these resources,
but do nothing. Both programs have the same command line, language host, SDK and `refresh: always`. So the
difference is the cost of our program, our plugin and our tools.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cpu_time import cpu_time
from benchmarks.measure import BenchmarkError, run, succeeded
from lab import machine, stack
from lab.errors import LabError
from lab.processes import this_process
from tools.steps import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_TIMES_FLOOR = 1.3
_HOST = "bench2"
_STACK = "lab"
_LINKED = (
    ".venv", "Pulumi.yaml", "__main__.py", "bin", "components", "lab", "plugin", "policy",
    "portcullis", "requirements.in", "requirements.txt",
)  # fmt: skip
_PACKAGES = ("docker", "portcullis", "tls")
_QUIET = ("--non-interactive", "--color", "never")
# Pulumi's own, on both sides: the report is not what is measured.
_PREVIEW = ("preview", "--expect-no-changes", *_QUIET)
_UP = ("up", "--yes", "--skip-preview", *_QUIET)


class _Stack:
    """One of the two, in a folder of its own with its own state. `command` takes the verbs of Pulumi."""

    def __init__(self, folder: Path, state: str, command: str) -> None:
        self.folder = folder
        self._command = command
        self._env = {
            **os.environ,
            "PULUMI_BACKEND_URL": (folder / state).as_uri(),
            # Modules of the checkout are found from the program's folder; this is for `benchmarks.cpu_time`.
            "PYTHONPATH": str(ROOT),
            "XDG_RUNTIME_DIR": str(folder.parent),
        }

    def verb(self, *words: str) -> None:
        """Run a verb."""
        self.pulumi(*words, command=self._command)

    def pulumi(self, *words: str, command: str = "pulumi") -> str:
        """Return what Pulumi itself answers."""
        done = run([command, *words], cwd=self.folder, env=self._env)
        return succeeded(done, f"{self.folder.name}: {command} {words[0]}")

    def preview(self) -> float:
        """Return the CPU time of a preview, in seconds."""
        return cpu_time(["pulumi", *_PREVIEW], cwd=self.folder, env=self._env)


def measured(folder: Path, rounds: int) -> list[tuple[float, float]]:
    """Return the seconds of CPU time of both previews, ours first, round by round.

    Raises:
        BenchmarkError: the engine refused, or a preview found a difference.
        LabError: the host could not be raised.
    """
    ours = _ours(folder / "ours")
    floor = _floor(folder / "floor", ours.pulumi("stack", "export", "--stack", _STACK, "--show-secrets"))
    found = []
    for number in range(rounds + 1):
        pair = ours.preview(), floor.preview()
        _say(f"round {number} of {rounds}: {pair[0]:.2f} and {pair[1]:.2f} s of CPU time")
        found.append(pair)
    return found[1:]  # caches were filled in round 0


def checkout(folder: Path) -> None:
    """Make a folder that has the checkout's files."""
    folder.mkdir()
    for name in _LINKED:
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "tools", folder / "tools")  # they work where they lie


def _ours(folder: Path) -> _Stack:
    """Deploy stack lab as `make demo` does, from a folder that has the checkout's files."""
    checkout(folder)
    (folder / f"Pulumi.{_STACK}.yaml").write_text(stack.renew(stack.template(_HOST), stack.fact)[0])
    ours = _Stack(folder, ".pulumi-state", "tools/stack.sh")
    _say("stack lab: first deployment")
    ours.verb(*_UP)
    # Docker's provider reads more of what it made than it knew before: written down once.
    ours.verb("refresh", "--yes", "--skip-preview", *_QUIET)
    return ours


def _floor(folder: Path, export: str) -> _Stack:
    shutil.copytree(Path(__file__).resolve().parent / "floor", folder)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / "state").mkdir()
    (folder / "export.json").write_text(export)
    for package in _PACKAGES:
        (folder / "plugin" / f"pulumi-resource-{package}").symlink_to("pulumi-resource-nothing")
    floor = _Stack(folder, "state", "pulumi")
    _say("the floor: first deployment")
    floor.verb("stack", "init", _STACK)
    floor.verb(*_UP)
    if _resources(floor.pulumi("stack", "export")) != _resources(export):
        raise BenchmarkError("the floor has other resources than stack lab")
    return floor


def _resources(export: str) -> set[str]:
    found = json.loads(export)["deployment"]["resources"]
    # Our providers are declared or the engine's own; the floor's are the engine's own.
    return {each["urn"] for each in found if not each["type"].startswith("pulumi:providers:")}


def report(rounds: Sequence[tuple[float, float]]) -> tuple[str, bool]:
    """Return the report as text, and whether the result is within the limit."""
    ours, floor = (statistics.median(pair[side] for pair in rounds) for side in (0, 1))
    times = statistics.median(mine / least for mine, least in rounds)
    text = (
        f"Quiet preview of stack lab, median of {len(rounds)} rounds: {ours:.2f} s of CPU time;"
        f" the same resources from plugins that do nothing: {floor:.2f} s; {times:.2f} times"
    )
    if times <= MOST_TIMES_FLOOR:
        return text, True
    return f"{text}\n\nBROKEN: it must be at most {MOST_TIMES_FLOOR} times", False


def main() -> int:
    """Return 1 if the result breaks its limit, 2 if nothing could be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.preview_floor", description="Work of a preview."
    )
    parser.add_argument("--rounds", type=int, default=7, help="how often (default: %(default)s)")
    rounds = parser.parse_args().rounds
    machine.down([_HOST])
    lease = this_process()
    machine.join(lease)
    try:
        machine.up(_HOST, lease=lease)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            text, holds = report(measured(Path(folder), rounds))
    except (BenchmarkError, LabError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        machine.leave(lease)
    print(text)
    return 0 if holds else 1


def _say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
