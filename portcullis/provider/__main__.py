"""The plugin itself: a gRPC server on loopback whose port is the first line on standard output."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from portcullis.host.session import close_sessions
from portcullis.provider.engine import end_with_engine
from portcullis.provider.servicer import Servicer

WORKERS = 64
"""Calls at once, over all hosts. Each only waits for its host, and a host answers its requests side by side.
A worker costs a thread that sleeps; with fewer than what the engine asks for at once, one slow host would
keep the others waiting."""
_OPTIONS = (
    ("grpc.max_receive_message_length", 400 * 1024 * 1024),  # the engine's own limit
    # A call may wait in the queue for as long as the calls before it take; gRPC gives up after 30 seconds.
    ("grpc.server_max_unrequested_time_in_server", 30 * 60),
)

NOT_OURS = ("PULUMI_CONFIG", "PULUMI_CONFIG_SECRET_KEYS", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_ACCESS_TOKEN")
"""What the engine has in its environment, or adds for a plugin, and ours needs not: settings, decrypted, and
what decrypts them. The launcher of a checkout leaves them out already."""


def serve(servicer: Servicer) -> tuple[grpc.Server, int]:
    """Start the server; return it and its port."""
    server = grpc.server(ThreadPoolExecutor(WORKERS), options=_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def keep_secrets() -> None:
    """Leave no secret to what this process starts, such as ssh, nor to a core dump."""
    for name in NOT_OURS:
        os.environ.pop(name, None)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Serve until the engine ends us by SIGINT or SIGTERM, or is gone itself."""
    keep_secrets()
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    _, port = serve(Servicer(close_sessions))
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    end_with_engine()
    done.wait()
    # The agents finish what is under way on their hosts, and end.
    close_sessions()
    sys.stdout.flush()
    os._exit(0)  # a call that still waits for a host must not keep us


if __name__ == "__main__":
    main()
