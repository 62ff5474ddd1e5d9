"""Warnings from a provider to people, which Pulumi's engine shows among its own diagnostics."""

from __future__ import annotations

import re
import sys

import grpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from portcullis.printable import printable

_ADDRESS = re.compile(r"127\.0\.0\.1:\d{1,5}")
_TIMEOUT = 5.0  # seconds


def warn(urn: str, message: str) -> None:
    """Show a warning beside the resource.

    A warning changes neither the outcome nor the exit code. `pulumi.log` works in Pulumi programs only,
    because a provider process has no connection to the engine. Pulumi's engine passes its own address to
    every plugin as the first argument.
    """
    message = printable(message)
    address = sys.argv[1] if len(sys.argv) > 1 else ""
    if _ADDRESS.fullmatch(address):
        request = engine_pb2.LogRequest(severity=engine_pb2.WARNING, message=message, urn=urn)
        try:
            with grpc.insecure_channel(address) as channel:
                engine_pb2_grpc.EngineStub(channel).Log(request, timeout=_TIMEOUT)
        except grpc.RpcError:
            pass
        else:
            return
    sys.stderr.write(f"warning: {message}\n")
