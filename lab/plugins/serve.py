"""Runs a stand-in as the engine expects: a gRPC server on loopback whose port is the first line on stdout.

It ends when the engine cancels, when the engine is gone (nobody reads answers then), on SIGTERM and SIGINT.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
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
"""For Docker's calls that are under way when the engine says stop."""


class EngineLog:
    """Shows lines through the engine; without one (tests) on stderr."""

    def __init__(self, address: str) -> None:
        """`address` is the engine's HOST:PORT, or empty."""
        self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address)) if address else None

    def __call__(self, message: str, urn: str = "", *, warning: bool = False) -> None:
        """Show a line at a resource, or at the stack without a URN."""
        if self._engine is None:
            sys.stderr.write(message + "\n")
            return
        severity = engine_pb2.WARNING if warning else engine_pb2.INFO
        try:
            self._engine.Log(engine_pb2.LogRequest(severity=severity, message=message, urn=urn), timeout=5)
        except grpc.RpcError:
            sys.stderr.write(message + "\n")


def main(arguments: list[str]) -> None:
    """Serve the package named first until told to stop; an engine address may follow."""
    if not arguments or arguments[0] not in _PACKAGES:
        sys.exit(f"usage: python lab/plugins {'|'.join(_PACKAGES)} [ENGINE_ADDRESS]")
    # Each plugin is a package of its own, so that none pays for another's imports.
    module = importlib.import_module(f"lab.plugins.{arguments[0]}_plugin.provider")
    log = EngineLog(next((word for word in arguments[1:] if not word.startswith("-")), ""))
    plugin: Plugin = module.plugin(log)
    parent = os.getppid()
    done = threading.Event()
    server = grpc.server(
        ThreadPoolExecutor(_CALLS_AT_ONCE),
        options=[
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            ("grpc.max_send_message_length", _LARGEST_MESSAGE),
        ],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(plugin, done.set), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    announce(log, parent)
    while not done.wait(_PARENT_CHECK_SECONDS) and os.getppid() == parent:
        pass
    if arguments[0] == "docker" and done.is_set():
        # What Docker is doing must end in the engine's state: cut off, a network would be there and unknown.
        server.stop(_GRACE_SECONDS).wait(_GRACE_SECONDS + 1)
    plugin.close()
    server.stop(grace=1).wait(2)
    os._exit(0)  # a call still waiting for a host must not keep us
