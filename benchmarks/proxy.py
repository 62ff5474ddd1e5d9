"""Measures nginx with the rendered configuration: its speed, and the time that many sites take."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import proxy_preview, proxy_sites
from benchmarks.measure import BenchmarkError
from benchmarks.proxy_load import H2load, Wrk
from benchmarks.proxy_report import CADDY, OURS, Load, Results, broken, table
from benchmarks.proxy_servers import Processors, bare, caddy_server, nginx_server, ours, rendered
from lab.errors import LabError
from tests.proxy import roots
from tools.steps import StepError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.proxy_load import Burst, Generator
    from benchmarks.proxy_servers import Server

_RELEASE = "debian-13"
_CADDY = Path(__file__).resolve().parent / "requirements-caddy.txt"
_FEWEST_PROCESSORS = 2


def main() -> int:
    """Return 1 if a result breaks its limit, 2 if nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proxy", description="Speed of the edge.")
    parser.add_argument("--rounds", type=int, default=7, help="bursts for each proxy (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=2, help="length of a burst (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            results = measure(Path(folder), arguments.rounds, arguments.seconds)
    except (BenchmarkError, LabError, StepError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(table(results))
    faults = broken(results)
    for fault in faults:
        print(f"\nBROKEN: {fault}")
    return 1 if faults else 0


def measure(folder: Path, rounds: int, seconds: int) -> Results:
    """Measure the proxies, the sites and the preview.

    Raises:
        BenchmarkError: a program failed, or a request had no answer.
    """
    folder.chmod(0o755)  # nginx's workers are not root
    root = roots.root(_RELEASE)
    processors = _processors()
    _say(f"{proxy_sites.SITES} sites")
    many = proxy_sites.measured(root, folder)
    with contextlib.ExitStack() as stack:
        made = {
            OURS: rendered(root, ours()),
            "nginx, proxy_pass": bare(root, keepalive=0),
            "nginx, proxy_pass and keepalive 64": bare(root, keepalive=64),
        }
        servers = [
            stack.enter_context(nginx_server(name, root, folder / str(number), texts, processors))
            for number, (name, texts) in enumerate(made.items())
        ]
        servers.append(stack.enter_context(caddy_server(servers[0], folder / CADDY, _CADDY, processors)))
        generators = (Wrk(folder, processors.rest), H2load(folder, processors.rest))
        loads = [_rounds(generator, servers, rounds, seconds) for generator in generators]
    _say(f"a preview of {proxy_sites.SITES} sites")
    preview = proxy_preview.measured(folder, proxy_sites.SITES)
    machine = (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} processors, {os.uname().machine}, {_RELEASE}'s nginx "
        f"{root.dialect.nginx}, load {os.getloadavg()[2]:.1f} (15 minutes)."
    )
    return Results(machine, loads, many, preview)


def _rounds(generator: Generator, servers: Sequence[Server], rounds: int, seconds: int) -> Load:
    """Send load to all servers, one after the other.

    Each round begins with another server, so the order gives no advantage.
    """
    found: dict[str, list[Burst]] = {server.name: [] for server in servers}
    for server in servers:
        generator.burst(server, 1)  # this request fills the server's caches
    for number in range(rounds):
        shift = number % len(servers)
        for server in (*servers[shift:], *servers[:shift]):
            burst = generator.burst(server, seconds)
            found[server.name].append(burst)
        line = ", ".join(f"{name} {bursts[-1].rate:.0f}" for name, bursts in found.items())
        _say(f"{generator.protocol}, round {number + 1} of {rounds}: {line}")
    return Load(generator.protocol, found)


def _processors() -> Processors:
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < _FEWEST_PROCESSORS:
        raise BenchmarkError(
            "the benchmark needs two processors: one for the proxy, one for the load and the app"
        )
    return Processors(allowed[0], allowed[1])


def _say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
