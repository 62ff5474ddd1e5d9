"""Measures whether changes of many hosts wait for each other in the plugin: `python -m benchmarks.workers`.

The real servicer answers over gRPC, as in a run of the engine. Only the hosts are simulated: each host takes
a fixed time for a change.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any
from unittest import mock

import grpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from portcullis.host import provider
from portcullis.provider.__main__ import serve
from portcullis.provider.servicer import Servicer
from portcullis.provider.values import to_struct

CHANGES = 40
TAKES = 0.5
"""Seconds that a host takes for a change."""
MOST_SECONDS = 2.0
_TYPE = "portcullis:index:File"
_FACTS = {"content": "", "owner": "root", "group": "root", "mode": "0644", "revision": "1"}


class _SlowHost:
    def request(self, op: str, **arguments: Any) -> dict[str, Any]:
        del op, arguments
        time.sleep(TAKES)
        return {"facts": {"exists": True, **_FACTS}, "steps": []}


def measure() -> float:
    """Return the seconds that all changes take if the engine asks for them at the same time."""
    server, port = serve(Servicer(lambda: None))
    slow = mock.patch.object(provider, "session", return_value=_SlowHost())
    with slow, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        grpc.channel_ready_future(channel).result(10)
        begun = time.monotonic()
        changes = [stub.Create.future(_change(number)) for number in range(CHANGES)]
        for change in changes:
            change.result(60)
        seconds = time.monotonic() - begun
    server.stop(0).wait()
    return seconds


def _change(number: int) -> Any:
    urn = f"urn:pulumi:bench::bench::{_TYPE}::file-{number}"
    props = {
        "host": f"web{number}", "managed_by": urn, "path": "/etc/motd", "content": "", "owner": "root",
        "group": "root", "mode": "0644", "on_delete": "restore",
    }  # fmt: skip
    return provider_pb2.CreateRequest(urn=urn, type=_TYPE, properties=to_struct(props))


def main() -> int:
    """Print the seconds of some runs. Return 1 if the fastest run breaks the limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description="Changes at once.")
    parser.add_argument("--runs", type=int, default=3, help="how often (default: %(default)s)")
    runs = [measure() for _ in range(parser.parse_args().runs)]
    seconds = ", ".join(f"{run:.2f}" for run in runs)
    print(
        f"{CHANGES} changes of {TAKES} s at once, one host each: {seconds} s; must be under {MOST_SECONDS} s"
    )
    if min(runs) < MOST_SECONDS:
        return 0
    print(f"\nBROKEN: changes wait for each other in the plugin; it must be under {MOST_SECONDS} s")
    return 1


if __name__ == "__main__":
    sys.exit(main())
