"""The plugin: a gRPC server on the loopback address. The plugin prints its port as the first line."""

from __future__ import annotations

import os
import resource
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from portcullis.host.session import close_sessions
from portcullis.provider.engine import end_with_engine
from portcullis.provider.peers import OwnUser
from portcullis.provider.servicer import Servicer

WORKERS = 64
"""The number of simultaneous calls over all hosts.

Each call only waits for its host, and a host answers several requests at once. A worker costs one sleeping
thread. With fewer workers than calls, one slow host would delay the other hosts.
"""
_OPTIONS = (
    ("grpc.max_receive_message_length", 400 * 1024 * 1024),  # the engine's own limit
    # A call may have to wait for earlier calls. By default, gRPC drops such a call after 30 seconds.
    ("grpc.server_max_unrequested_time_in_server", 30 * 60),
)

NOT_OURS = ("PULUMI_CONFIG", "PULUMI_CONFIG_SECRET_KEYS", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_ACCESS_TOKEN")
"""Environment variables from the engine that our plugin does not need: decrypted settings and passphrases.

The launcher script of a checkout removes them as well.
"""


def serve(servicer: Servicer) -> tuple[grpc.Server, int]:
    """Start the server, and return the server and its port."""
    own = OwnUser()
    server = grpc.server(ThreadPoolExecutor(WORKERS), interceptors=(own,), options=_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    own.port = port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def keep_secrets() -> None:
    """Keep secrets out of child processes such as ssh, and out of core dumps."""
    for name in NOT_OURS:
        os.environ.pop(name, None)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Serve until the engine sends SIGINT or SIGTERM, or ends itself."""
    keep_secrets()
    # An event could block its own signal handler: `wait` and `set` take the same lock in this thread.
    signals: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: signals.put(number))
    _, port = serve(Servicer(close_sessions))
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    end_with_engine()
    signals.get()
    # The agents finish their running operations and end.
    close_sessions()
    sys.stdout.flush()
    os._exit(0)  # a call that still waits for a host must not delay the exit


if __name__ == "__main__":
    main()
