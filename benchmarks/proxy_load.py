"""Sends requests over HTTPS with wrk (HTTP/1.1) and h2load (HTTP/2), and measures the server's CPU time."""

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
"""The number of simultaneous requests on each connection of HTTP/2."""
_H2_CONNECTIONS = CONNECTIONS // STREAMS
_H2_COUNT = _H2_CONNECTIONS * 900
_H2_RUNS = 2  # runs for each second of a burst: a run takes about half a second
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True)
class Burst:
    """Values of some seconds of load: requests per second, 99th percentile in seconds, CPU seconds."""

    rate: float
    p99: float
    cpu: float
    """CPU seconds of the server for each request."""


class Generator(Protocol):
    """A load generator, which sends its next request as soon as it has an answer."""

    name: str
    protocol: str

    def burst(self, server: Server, seconds: int) -> Burst:
        """Send load to a server for some seconds.

        Raises:
            BenchmarkError: a request failed.
        """
        ...


class Wrk:
    """Load over HTTP/1.1 with 32 connections, one request at a time on each connection."""

    name = "wrk"
    protocol = f"HTTP/1.1, {CONNECTIONS} connections"

    def __init__(self, folder: Path, processor: int) -> None:
        """Find the program in its Debian package. The program runs on one processor."""
        self._folder = folder
        self._start = _started("wrk", "usr/bin/wrk", processor)

    def burst(self, server: Server, seconds: int) -> Burst:
        """Send load to a server, as `Generator.burst` describes."""
        options = ["--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s"]
        before = _cpu(server.processes())
        said = _run(self._folder, server, [*self._start, *options, "--latency", server.url])
        spent = _cpu(server.processes()) - before
        if "Non-2xx" in said or "Socket errors" in said:
            raise BenchmarkError(f"the proxy {server.name} did not answer every request:\n{said}")
        count = int(_found(r"(\d+) requests in", said))
        p99 = re.search(r"99%\s+([0-9.]+)(us|ms|s|m)\b", said)
        if p99 is None or not count:
            raise BenchmarkError(
                f"the load generator wrk printed no measurements for the proxy {server.name}:\n{said}"
            )
        rate = float(_found(r"Requests/sec:\s+([0-9.]+)", said))
        return Burst(rate, float(p99[1]) * _UNITS[p99[2]], spent / count)


class H2load:
    """Load over HTTP/2 with 8 connections, four requests at a time on each connection."""

    name = "h2load"
    protocol = f"HTTP/2, {_H2_CONNECTIONS} connections of {STREAMS} requests"

    def __init__(self, folder: Path, processor: int) -> None:
        """Find the program in its Debian package. The program runs on one processor."""
        self._folder = folder
        self._start = _started("nghttp2-client", "usr/bin/h2load", processor)

    def burst(self, server: Server, seconds: int) -> Burst:
        """Send load to a server, as `Generator.burst` describes.

        The length is a number of requests and not a time: nginx closes a connection after 1000 requests, and
        h2load never reopens a connection.
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
                raise BenchmarkError(f"the proxy {server.name} did not answer every request:\n{said}")
            taken += (int(line.split("\t")[2]) for line in log.read_text().splitlines())
            rates.append(float(_found(r"([0-9.]+) req/s", said)))
        spent = _cpu(server.processes()) - before
        p99 = sorted(taken)[int(len(taken) * 0.99)] / 1e6
        return Burst(statistics.harmonic_mean(rates), p99, spent / len(taken))


def _started(package: str, path: str, processor: int) -> list[str]:
    """Return a command that starts a program of a Debian package with the libraries of the same release."""
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
        raise BenchmarkError(f"the load generator printed no measurements:\n{text}")
    return found[1]


def _cpu(pids: list[int]) -> float:
    """Return the CPU seconds that processes have used.

    The kernel gives this time in nanoseconds in /proc/PID/task/*/schedstat. The ticks of /proc/PID/stat would
    be too coarse.
    """
    return sum(
        int(task.read_text().split()[0]) / 1e9
        for pid in pids
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )
