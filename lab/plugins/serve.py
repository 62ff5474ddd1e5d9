"""Runs a stand-in as the engine expects: as a gRPC server on loopback that first prints its port.

The server ends when the engine cancels or has ended, and on SIGTERM and SIGINT.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import grpc

from lab.plugins.notice import announce
from lab.plugins.protocol import engine_pb2, engine_pb2_grpc, provider_pb2_grpc
from lab.plugins.servicer import Servicer

if TYPE_CHECKING:
    from lab.plugins.plugin import Plugin

_PACKAGES = ("docker", "command", "tls")
_LARGEST_MESSAGE = 400 * 1024 * 1024  # the engine's own limit
_PARENT_CHECK_SECONDS = 0.5
_CALLS_AT_ONCE = 16
_GRACE_SECONDS = 30
"""For Docker's calls that are under way at SIGTERM or SIGINT. The engine itself kills after 5 seconds."""


class EngineLog:
    """Shows lines through the engine, or on stderr without an engine (in tests)."""

    def __init__(self, address: str) -> None:
        """Store the engine's address as HOST:PORT; "" if there is no engine."""
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address)) if address else None

    def __call__(self, message: str, urn: str = "", *, warning: bool = False) -> bool:
        """Show a line at a resource, or at the stack without a URN; return whether it is shown."""
        if self._engine is None:
            sys.stderr.write(message + "\n")
            return True
        severity = engine_pb2.WARNING if warning else engine_pb2.INFO
        try:
            self._engine.Log(engine_pb2.LogRequest(severity=severity, message=message, urn=urn), timeout=5)
        except grpc.RpcError:
            sys.stderr.write(message + "\n")
            return False
        return True


def main(arguments: list[str]) -> None:
    """Serve the package named first until told to stop; an engine address may follow."""
    if not arguments or arguments[0] not in _PACKAGES:
        sys.exit(f"usage: python lab/plugins {'|'.join(_PACKAGES)} [ENGINE_ADDRESS]")
    # Each plugin is a package of its own, so that none pays for another's imports.
    module = importlib.import_module(f"lab.plugins.{arguments[0]}_plugin.provider")
    is_docker = arguments[0] == "docker"
    log = EngineLog(next((word for word in arguments[1:] if not word.startswith("-")), ""))
    plugin: Plugin = module.plugin(log)
    parent = os.getppid()
    # An Event's set() in a signal handler may wait for the lock that wait() holds; a SimpleQueue does not.
    ends: SimpleQueue[None] = SimpleQueue()
    server = grpc.server(
        ThreadPoolExecutor(_CALLS_AT_ONCE),
        options=[
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            ("grpc.max_send_message_length", _LARGEST_MESSAGE),
        ],
    )
    # Docker's running calls go on after Cancel, so that the state has their results. Commands end.
    servicer = Servicer(plugin, (lambda: None) if is_docker else plugin.close)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ends.put(None))
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    announce(log, parent)
    if _is_told_to_end(ends, parent) and is_docker:
        # What Docker is doing must end in the engine's state: cut off, a network would be there and unknown.
        server.stop(_GRACE_SECONDS).wait(_GRACE_SECONDS + 1)
    plugin.close()
    server.stop(grace=1).wait(2)
    os._exit(0)  # a call still waiting for a host must not keep us


def _is_told_to_end(ends: SimpleQueue[None], parent: int) -> bool:
    """Wait for a signal, or for the parent's end; return whether it was a signal."""
    while os.getppid() == parent:
        with contextlib.suppress(Empty):
            ends.get(timeout=_PARENT_CHECK_SECONDS)
            return True
    return False
