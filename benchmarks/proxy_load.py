"""Load over HTTPS on open connections, by wrk (HTTP/1.1) and h2load (HTTP/2), and what it cost the server."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchmarks.measure import BenchmarkError, run, succeeded
from lab import debian
from tests.proxy import resolved

if TYPE_CHECKING:
    from benchmarks.proxy_servers import Server

CONNECTIONS = 32
STREAMS = 4
"""Requests at a time on each of HTTP/2's connections."""
_H2_CONNECTIONS = CONNECTIONS // STREAMS
_H2_COUNT = _H2_CONNECTIONS * 900
_H2_RUNS = 2  # for each second of a burst, which is about as long
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True)
class Burst:
    """What a few seconds of load saw: requests a second, seconds that 99 of 100 took at most, CPU seconds."""

    rate: float
    p99: float
    cpu: float
    """Of the server, per request."""


class Generator(Protocol):
    """A program that asks as fast as it is answered."""

    name: str
    protocol: str

    def burst(self, server: Server, seconds: int) -> Burst:
        """Load a server.

        Raises:
            BenchmarkError: a request failed.
        """
        ...


class Wrk:
    """HTTP/1.1: 32 connections, one request at a time on each."""

    name = "wrk"
    protocol = f"HTTP/1.1, {CONNECTIONS} connections"

    def __init__(self, folder: Path, processor: int) -> None:
        """Take it out of its package; it runs on one processor."""
        self._folder = folder
        self._start = _started("wrk", "usr/bin/wrk", processor)

    def burst(self, server: Server, seconds: int) -> Burst:
        """See `Generator`."""
        options = ["--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s"]
        before = _cpu(server.processes())
        said = _run(self._folder, server, [*self._start, *options, "--latency", server.url])
        spent = _cpu(server.processes()) - before
        if "Non-2xx" in said or "Socket errors" in said:
            raise BenchmarkError(f"{server.name} did not answer everything:\n{said}")
        count = int(_found(r"(\d+) requests in", said))
        p99 = re.search(r"99%\s+([0-9.]+)(us|ms|s|m)\b", said)
        if p99 is None or not count:
            raise BenchmarkError(f"wrk has no figures for {server.name}:\n{said}")
        rate = float(_found(r"Requests/sec:\s+([0-9.]+)", said))
        return Burst(rate, float(p99[1]) * _UNITS[p99[2]], spent / count)


class H2load:
    """HTTP/2: 8 connections, four requests at a time on each."""

    name = "h2load"
    protocol = f"HTTP/2, {_H2_CONNECTIONS} connections of {STREAMS} requests"

    def __init__(self, folder: Path, processor: int) -> None:
        """Take it out of its package; it runs on one processor."""
        self._folder = folder
        self._start = _started("nghttp2-client", "usr/bin/h2load", processor)

    def burst(self, server: Server, seconds: int) -> Burst:
        """See `Generator`.

        By count and not by time: h2load opens no connection again, and nginx ends each after 1000 requests.
        """
        log = self._folder / "h2load.log"
        options = ["--clients", str(_H2_CONNECTIONS), "--max-concurrent-streams", str(STREAMS)]
        options += ["--requests", str(_H2_COUNT), f"--log-file={log}"]
        taken: list[int] = []  # microseconds
        rates: list[float] = []
        before = _cpu(server.processes())
        for _ in range(seconds * _H2_RUNS):
            log.unlink(missing_ok=True)
            said = _run(self._folder, server, [*self._start, *options, server.url])
            if not re.search(rf"status codes: {_H2_COUNT} 2xx", said):
                raise BenchmarkError(f"{server.name} did not answer everything:\n{said}")
            taken += (int(line.split("\t")[2]) for line in log.read_text().splitlines())
            rates.append(float(_found(r"([0-9.]+) req/s", said)))
        spent = _cpu(server.processes()) - before
        p99 = sorted(taken)[int(len(taken) * 0.99)] / 1e6
        return Burst(statistics.harmonic_mean(rates), p99, spent / len(taken))


def _started(package: str, path: str, processor: int) -> list[str]:
    """Return how a program of a Debian package is started with the libraries of its own release."""
    tree = debian.tree(package)
    loader = next(tree.glob("lib64/ld-linux-*"), None) or next(tree.glob("lib/*/ld-linux-*"))
    places = [str(folder) for folder in tree.glob("**/*-linux-gnu") if folder.parent.name == "lib"]
    return [
        *("taskset", "--cpu-list", str(processor)),
        *(str(loader), "--library-path", ":".join(places), str(tree / path)),
    ]


def _run(folder: Path, server: Server, argv: list[str]) -> str:
    command = resolved.command(
        resolved.network_of(server.network), {server.host: server.address}, folder, *argv
    )
    return succeeded(run(command, limit=120), f"load on {server.name}")


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise BenchmarkError(f"no figures in what the load generator said:\n{text}")
    return found[1]


def _cpu(pids: list[int]) -> float:
    """Return the CPU seconds that processes have used, to the nanosecond: a burst is few ticks of stat."""
    return sum(
        int(task.read_text().split()[0]) / 1e9
        for pid in pids
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )
