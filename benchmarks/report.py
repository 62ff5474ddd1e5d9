"""Prints the figures of all tools as a table, and reports the figures that break a limit."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.measure import Series

MOST_SECONDS_OVER_CANNED = 1.0
MOST_AGENT_BYTES = 30_000_000
_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Scale:
    """How long the drift check of one graph takes, over the network and with recorded answers."""

    what: str
    real: Series
    canned: Series

    @property
    def difference(self) -> float:
        """The seconds that host and network need.

        This is the difference between the fastest run over the network and the fastest run with recorded
        answers.
        """
        return self.real.fastest - self.canned.fastest


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent's figures with 500 files: its largest memory in bytes, and the seconds of its answers."""

    memory_check: int
    memory_deploy: int
    survey: Sequence[float]
    left_running: int


@dataclass(frozen=True, slots=True)
class Results:
    """All results of the benchmark."""

    machine: str
    tools: Sequence[Series]  # the first tool is Portcullis
    scales: Sequence[Scale]
    agent: Agent


def broken(results: Results) -> list[str]:
    """Return a sentence for each broken limit."""
    found = []
    for scale in results.scales:
        if scale.real.connections != 1:
            found.append(f"{scale.what}: {scale.real.connections} connections; it must be 1")
        if abs(scale.difference) > MOST_SECONDS_OVER_CANNED:
            found.append(
                f"{scale.what}: {scale.difference:.2f} s over canned answers; "
                f"it must be within {MOST_SECONDS_OVER_CANNED:.0f} s"
            )
    files = [scale.real for scale in results.scales if scale.what.endswith("files")]
    if len({series.round_trips for series in files}) > 1:
        trips = ", ".join(f"{series.name}: {series.round_trips}" for series in files)
        found.append(f"round trips grow with the number of files ({trips}); they must be the same")
    agent = results.agent
    most = max(agent.memory_check, agent.memory_deploy)
    if most >= MOST_AGENT_BYTES:
        found.append(f"the agent used {_megabytes(most)}; it must be under {_megabytes(MOST_AGENT_BYTES)}")
    if agent.left_running:
        found.append(f"{agent.left_running} agent(s) still run on the host; none may")
    return found


def table(results: Results) -> str:
    """Return the whole report as plain text."""
    return "\n".join(_lines(results))


def _lines(results: Results) -> Iterator[str]:
    runs = len(results.tools[0].runs)
    ours = results.tools[0].seconds
    yield f"Drift check of a host 50 ms away, nothing to change; median of {runs} runs, cold."
    yield results.machine
    yield ""
    yield "7 packages, 11 files, 4 services     seconds      range        times  connections  round trips"
    for tool in results.tools:
        yield (
            f"  {tool.name:<32} {tool.seconds:>8.2f}  {tool.span:>15} {tool.seconds / ours:>8.1f}"
            f"  {tool.connections:>11}  {tool.round_trips:>11}"
        )
    yield ""
    yield "Portcullis, with its answers from the host and canned (what the engine costs without a host)"
    yield "                 over 50 ms, s           canned, s          difference  connections  round trips"
    for scale in results.scales:
        real, canned = scale.real, scale.canned
        yield (
            f"  {scale.what:<12} {real.seconds:>6.2f} ({real.span})   {canned.seconds:>6.2f} ({canned.span})"
            f"    {scale.difference:>+6.2f} s  {real.connections:>11}  {real.round_trips:>11}"
        )
    yield "  (the difference is between the fastest runs)"
    agent = results.agent
    survey = sorted(agent.survey)
    yield ""
    yield "The agent on the host, 500 files of 1 KB"
    yield f"  most memory, drift check         {_megabytes(agent.memory_check):>10}   (VmHWM)"
    yield f"  most memory, writing 400 files   {_megabytes(agent.memory_deploy):>10}   (VmHWM)"
    yield (
        f"  answer to one survey             {statistics.median(survey) * 1000:>7.0f} ms"
        f"   ({survey[0] * 1000:.0f} - {survey[-1] * 1000:.0f}, no delay)"
    )
    yield f"  agents running afterwards        {agent.left_running:>10}"


def _megabytes(count: int) -> str:
    return f"{count / _MEGABYTE:.1f} MB"
