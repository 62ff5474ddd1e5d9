"""Run the measurements, print the table, and fail if a result breaks its limit."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import graph, rivals
from benchmarks.measure import BenchmarkError, Series, settled, timed
from benchmarks.program import Program
from benchmarks.report import Agent, Results, Scale, broken, table
from benchmarks.target import Target, target
from lab.errors import LabError
from portcullis.host import HostError
from tools.steps import StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.measure import Run
    from lab.relay import Relay

_SIZES = (10, 100, 500)
_FEWEST = 5  # runs: the difference to canned answers is smaller than the noise of a busy machine
_DRIFTED = "/etc/bench.conf"  # no service reads this file


def main() -> int:
    """Return 1 if a result breaks its limit, 2 if nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed of a drift check.")
    parser.add_argument("--runs", type=int, default=3, help="runs of each tool (default: %(default)s)")
    parser.add_argument("--only-ours", action="store_true", help="leave the other tools out")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, target() as host:
            results = measure(Path(folder), host, arguments.runs, others=not arguments.only_ours)
    except (BenchmarkError, LabError, StepError, HostError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(table(results))
    faults = broken(results)
    for fault in faults:
        print(f"\nBROKEN: {fault}")
    return 1 if faults else 0


def measure(folder: Path, host: Target, runs: int, *, others: bool) -> Results:
    """Measure all tools and graphs.

    Raises:
        BenchmarkError: a run failed.
    """
    tools, small = _tools(folder, host, runs, others=others)
    scales, agent = _scales(folder, host, runs)
    machine = (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[2]:.1f} (15 minutes)."
    )
    return Results(machine, tools, [small, *scales], agent)


def _tools(folder: Path, host: Target, runs: int, *, others: bool) -> tuple[list[Series], Scale]:
    wanted = graph.host()
    _say("a host with 22 items: first deployment")
    host.console("apt-get -q update && apt-get -q -y install python3-apt")  # Ansible's apt module needs it
    ours = Program(folder, host, "host")
    ours.deploy(wanted)
    tools: list[rivals.Rival] = []
    if others:
        ssh_config = host.write_ssh_config(folder)
        listed = wanted.write(folder / "graph.json")
        tools = [
            rivals.Pyinfra(folder, ssh_config, listed),
            rivals.Ansible(folder, ssh_config, listed, check=False),
            rivals.Ansible(folder, ssh_config, listed, check=True),
            rivals.CommandPerItem(ssh_config, wanted),
        ]
    for name, finds in [("Portcullis", ours.finds_drift), *((tool.name, tool.changed) for tool in tools)]:
        _say(f"{name}: finding an edited file")
        with _edited(host):
            if not finds():
                raise BenchmarkError(
                    f"the tool {name} reports no change after the benchmark edited {_DRIFTED} on the host"
                )
        settled(host.far)
    ours.survey(1)
    checks: dict[str, tuple[Callable[[], None], Relay | None]] = {
        "Portcullis, preview": (ours.check, host.far),
        "canned": (ours.check_canned, None),
        **{tool.name: (_unchanged(tool), host.far) for tool in tools},
    }
    series = _rounds(checks, runs)
    canned = series.pop(1)
    return series, Scale("22 items", series[0], canned)


def _scales(folder: Path, host: Target, runs: int) -> tuple[list[Scale], Agent]:
    program = Program(folder, host, "files")
    scales: list[Scale] = []
    memory: list[int] = []
    survey: list[float] = []
    for size in _SIZES:
        _say(f"{size} files: deployment")
        with host.watched(memory):
            program.deploy(graph.files(size))
        with host.watched(memory):
            program.check()
        survey = program.survey(5)
        checks = {f"{size} files": (program.check, host.far), "canned": (program.check_canned, None)}
        series = _rounds(checks, max(runs, _FEWEST))
        scales.append(Scale(f"{size} files", *series))
    return scales, Agent(memory[-1], memory[-2], survey, host.agents())


def _rounds(checks: dict[str, tuple[Callable[[], None], Relay | None]], runs: int) -> list[Series]:
    """Run each tool once in every round.

    If the machine is busy during a round, this slows all tools and not only one.
    """
    found: dict[str, list[Run]] = {name: [] for name in checks}
    for number in range(runs):
        for name, (check, relay) in checks.items():
            run = timed(check, relay)
            found[name].append(run)
            _say(f"{name}, run {number + 1} of {runs}: {run.seconds:.2f} s")
    return [Series(name, tuple(taken)) for name, taken in found.items()]


def _unchanged(tool: rivals.Rival) -> Callable[[], None]:
    def check() -> None:
        if tool.changed():
            raise BenchmarkError(
                f"the tool {tool.name} plans changes, although the host already has the declared state"
            )

    return check


@contextlib.contextmanager
def _edited(host: Target) -> Iterator[None]:
    host.console(f"cp -p {_DRIFTED} /root/kept && echo edited >> {_DRIFTED}")
    yield
    host.console(f"cat /root/kept > {_DRIFTED}")


def _say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
