"""Timed runs, and the figures of several runs."""

from __future__ import annotations

import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.relay import Counts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from lab.relay import Relay

RTT = 0.05
"""The seconds of a round trip between the tools and the host."""
_QUIET = 0.5


class BenchmarkError(Exception):
    """A run that does not count, because it failed or did not find the expected difference."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its seconds, and its traffic over the network."""

    seconds: float
    counts: Counts


@dataclass(frozen=True, slots=True)
class Series:
    """Several runs of the same measurement."""

    name: str
    runs: tuple[Run, ...]

    @property
    def seconds(self) -> float:
        """The median of the seconds."""
        return statistics.median(run.seconds for run in self.runs)

    @property
    def fastest(self) -> float:
        """The seconds of the fastest run. Other work on the machine can only make a run slower."""
        return min(run.seconds for run in self.runs)

    @property
    def span(self) -> str:
        """The fastest and the slowest run, as text."""
        return f"{self.fastest:.2f} - {max(r.seconds for r in self.runs):.2f}"

    @property
    def connections(self) -> int:
        """The number of connections in the run with the most connections."""
        return max(run.counts.connections for run in self.runs)

    @property
    def round_trips(self) -> int:
        """The median of the numbers of round trips."""
        return int(statistics.median(run.counts.round_trips for run in self.runs))


def timed(action: Callable[[], None], relay: Relay | None = None) -> Run:
    """Run an action and measure it. Return its seconds and, with `relay`, its traffic.

    The traffic includes the data that a client sends after the action to close its connection. The seconds do
    not include the time of that data.
    """
    if relay:
        relay.reset()
    begun = time.monotonic()
    action()
    seconds = time.monotonic() - begun
    return Run(seconds, settled(relay)) if relay else Run(seconds, Counts())


def settled(relay: Relay) -> Counts:
    """Wait until the relay has had no traffic for half a second, and return its counts."""
    before = None
    while before != relay.counts:
        before = relay.counts
        time.sleep(_QUIET)
    return relay.counts


def run(
    argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, limit: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run a command quietly, without a terminal. `limit` is in seconds.

    Raises:
        BenchmarkError: the command cannot be started, or took too long.
    """
    try:
        return subprocess.run(
            argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=limit, errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchmarkError(f"cannot run the command {argv[0]}: {error}") from None


def succeeded(done: subprocess.CompletedProcess[str], what: str) -> str:
    """Return the output of a command.

    Raises:
        BenchmarkError: the command failed. The error's message has the end of the command's output.
    """
    if done.returncode:
        end = "\n".join(line[:200] for line in (done.stdout + done.stderr).strip().splitlines()[-15:])
        raise BenchmarkError(f"a step of the benchmark failed ({what}, exit code {done.returncode}):\n{end}")
    return done.stdout
