"""Timed runs, and what is said about several of them."""

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
"""Seconds of round trip between the tools and the host."""
_QUIET = 0.5


class BenchmarkError(Exception):
    """A run that cannot be compared: it failed, or did not find what it should."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its seconds, and what went over the network."""

    seconds: float
    counts: Counts


@dataclass(frozen=True, slots=True)
class Series:
    """Several runs of the same thing."""

    name: str
    runs: tuple[Run, ...]

    @property
    def seconds(self) -> float:
        """Median of the seconds."""
        return statistics.median(run.seconds for run in self.runs)

    @property
    def fastest(self) -> float:
        """Fewest seconds: what others do on the machine only ever adds to them."""
        return min(run.seconds for run in self.runs)

    @property
    def span(self) -> str:
        """Fastest and slowest."""
        return f"{self.fastest:.2f} - {max(r.seconds for r in self.runs):.2f}"

    @property
    def connections(self) -> int:
        """Most connections that a run opened."""
        return max(run.counts.connections for run in self.runs)

    @property
    def round_trips(self) -> int:
        """Median of the round trips."""
        return int(statistics.median(run.counts.round_trips for run in self.runs))


def timed(action: Callable[[], None], relay: Relay | None = None) -> Run:
    """Do it and return its seconds and, through `relay`, what it cost the network.

    What a client still says while it hangs up belongs to its run, but not to its seconds.
    """
    if relay:
        relay.reset()
    begun = time.monotonic()
    action()
    seconds = time.monotonic() - begun
    return Run(seconds, settled(relay)) if relay else Run(seconds, Counts())


def settled(relay: Relay) -> Counts:
    """Return the counts once nothing has gone through for half a second."""
    before = None
    while before != relay.counts:
        before = relay.counts
        time.sleep(_QUIET)
    return relay.counts


def run(
    argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, limit: float = 600
) -> subprocess.CompletedProcess[str]:
    """Run a command quietly, without a terminal; `limit` is in seconds.

    Raises:
        BenchmarkError: it could not be started or took too long.
    """
    try:
        return subprocess.run(
            argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=limit, errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchmarkError(f"{argv[0]}: {error}") from None


def succeeded(done: subprocess.CompletedProcess[str], what: str) -> str:
    """Return what a command printed.

    Raises:
        BenchmarkError: it failed; the end of its output is quoted.
    """
    if done.returncode:
        end = "\n".join(line[:200] for line in (done.stdout + done.stderr).strip().splitlines()[-15:])
        raise BenchmarkError(f"{what} failed (exit code {done.returncode}):\n{end}")
    return done.stdout
