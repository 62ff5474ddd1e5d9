"""Prints the figures of the proxies as a table, and reports the figures that break a limit."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.proxy_sites import SITES, median

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.proxy_load import Burst
    from benchmarks.proxy_preview import Preview
    from benchmarks.proxy_sites import Sites

LEAST_OF_BARE = 0.97
MOST_SECONDS_RENDERING = 0.1
OURS, CADDY = "Portcullis", "Caddy"


@dataclass(frozen=True, slots=True)
class Load:
    """The load over one protocol: the `Burst` of each proxy in each round."""

    protocol: str
    bursts: Mapping[str, Sequence[Burst]]

    def rate(self, name: str) -> float:
        """Return the median of the requests per second."""
        return statistics.median(burst.rate for burst in self.bursts[name])

    def p99(self, name: str) -> float:
        """Return the median of the 99th percentiles, in seconds."""
        return statistics.median(burst.p99 for burst in self.bursts[name])

    def cpu(self, name: str) -> float:
        """Return the median of the proxy's CPU seconds for each request."""
        return statistics.median(burst.cpu for burst in self.bursts[name])

    def ratio(self, name: str) -> float:
        """Return another proxy's CPU seconds for a request, divided by ours: the median of all rounds.

        If the result is 2, our proxy can answer twice as many requests with one processor as the other proxy.
        We do not compare requests per second, because they also depend on other work of the machine.
        """
        return statistics.median(
            other.cpu / ours.cpu for ours, other in zip(self.bursts[OURS], self.bursts[name], strict=True)
        )

    def best(self) -> str:
        """Return the name of the bare nginx (with or without keepalive) that needs the fewest CPU seconds."""
        return min((name for name in self.bursts if name not in (OURS, CADDY)), key=self.cpu)


@dataclass(frozen=True, slots=True)
class Results:
    """All results of the benchmark."""

    machine: str
    loads: Sequence[Load]
    sites: Sites
    preview: Preview


def broken(results: Results) -> list[str]:
    """Return a sentence for each broken limit."""
    found = []
    for load in results.loads:
        best = load.best()
        if load.ratio(best) < LEAST_OF_BARE:
            found.append(
                f"{load.protocol}: {load.ratio(best):.3f} of {best}; it must be {LEAST_OF_BARE} at the least"
            )
    rendering = statistics.median(results.sites.rendering)
    if rendering >= MOST_SECONDS_RENDERING:
        found.append(
            f"rendering {SITES} sites: {rendering:.3f} s; it must be under {MOST_SECONDS_RENDERING} s"
        )
    return found


def table(results: Results) -> str:
    """Return the whole report as plain text."""
    return "\n".join(_lines(results))


def _lines(results: Results) -> Iterator[str]:
    rounds = len(results.loads[0].bursts[OURS])
    yield f"HTTPS through a proxy to an app that answers 1 KB; medians of {rounds} rounds in turn."
    yield results.machine
    yield "Each proxy has one processor, all else the other. Our limits are in force and out of reach:"
    yield "the load comes from one address. Everybody writes an access log."
    for load in results.loads:
        yield ""
        yield f"{load.protocol:<44} requests/s   p99, ms   CPU, us   ours to it"
        for name in load.bursts:
            yield (
                f"  {name:<42} {load.rate(name):>10.0f} {load.p99(name) * 1000:>9.2f}"
                f" {load.cpu(name) * 1e6:>9.1f} {load.ratio(name):>12.3f}"
            )
    yield "  (of the CPU time that the proxy takes for a request: other work on the machine does not count)"
    sites = results.sites
    yield ""
    yield f"{SITES} sites, each with a certificate of its own"
    yield f"  rendering their files            {median(sites.rendering)}"
    yield f"  nginx -t                         {median(sites.testing)}"
    yield f"  nginx -t without any site        {median(sites.testing_none)}"
    yield f"  reload until new workers answer  {median(sites.reloading)}"
    yield f"  memory, master and workers       {sites.memory / 1e6:6.0f} MB   (PSS)"
    preview = results.preview
    yield f"  preview with nothing to change   {preview.seconds:6.1f} s    (all read back, 50 ms away)"
    yield f"  first up, without certificates   {preview.first:6.1f} s"
    yield f"  up with one site more            {preview.one_more:6.1f} s"
