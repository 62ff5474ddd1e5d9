"""Starts a stand-in like the engine, and calls it over real gRPC."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import empty_pb2, json_format
from google.rpc import status_pb2

from lab.plugins.protocol import provider_pb2, provider_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
LAUNCHERS = ROOT / "lab" / "plugins" / "bin"
SECONDS = 120

_REQUESTS = {
    "Handshake": provider_pb2.ProviderHandshakeRequest,
    "CheckConfig": provider_pb2.CheckRequest,
    "DiffConfig": provider_pb2.DiffRequest,
    "Configure": provider_pb2.ConfigureRequest,
    "Check": provider_pb2.CheckRequest,
    "Diff": provider_pb2.DiffRequest,
    "Create": provider_pb2.CreateRequest,
    "Read": provider_pb2.ReadRequest,
    "Update": provider_pb2.UpdateRequest,
    "Delete": provider_pb2.DeleteRequest,
    "Invoke": provider_pb2.InvokeRequest,
    "Cancel": empty_pb2.Empty,
    "GetPluginInfo": empty_pb2.Empty,
}


@dataclass(frozen=True)
class Refusal:
    """An error status: gRPC's code and text, and the state of a partly made resource."""

    code: str
    message: str
    made: dict[str, Any] | None = None

    @property
    def recorded_form(self) -> str:
        """The error text in the form of the recordings, which is the form of grpc-go."""
        name = {"UNIMPLEMENTED": "Unimplemented", "UNKNOWN": "Unknown"}.get(self.code, self.code)
        return f"rpc error: code = {name} desc = {self.message}"


class PluginProcess:
    """One running stand-in, or another `program` that serves the package."""

    def __init__(
        self,
        package: str,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        program: Path | None = None,
    ) -> None:
        self._errors = (folder / f"{package}.stderr").open("a+")
        self.process = subprocess.Popen(
            [program or LAUNCHERS / f"pulumi-resource-{package}"],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=folder,
            env={**os.environ, "PORTCULLIS_CACHE": str(folder), **(environment or {})},
        )
        assert self.process.stdout is not None
        port = self.process.stdout.readline().strip()
        assert port.isdigit(), self.stderr
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self._stub = provider_pb2_grpc.ResourceProviderStub(self._channel)

    @property
    def stderr(self) -> str:
        """The standard error of the stand-in so far."""
        self._errors.seek(0)
        return self._errors.read()

    def call(self, method: str, request: dict[str, Any]) -> dict[str, Any] | Refusal:
        """Call the stand-in with a request in JSON, and return the answer in JSON or the refusal."""
        message = json_format.ParseDict(request, _REQUESTS[method]())
        try:
            answer = getattr(self._stub, method)(message, timeout=SECONDS)
        except grpc.RpcError as error:
            return _refusal(error)
        return json_format.MessageToDict(answer)

    def close(self) -> None:
        """End the stand-in like the engine, by Cancel."""
        if self.process.poll() is None:
            self.call("Cancel", {})
        self.wait()

    def wait(self) -> None:
        """See it end, as the engine lets it after a Cancel."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0
        self._release()

    def kill(self) -> None:
        """End a program that is not a stand-in, whose exit code does not matter."""
        self.process.kill()
        self.process.wait()
        self._release()

    def _release(self) -> None:
        self._channel.close()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._errors.close()


def _refusal(error: grpc.RpcError) -> Refusal:
    made = None
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            detail = provider_pb2.ErrorResourceInitFailed()
            assert status_pb2.Status.FromString(value).details[0].Unpack(detail)
            made = json_format.MessageToDict(detail)
    return Refusal(error.code().name, error.details() or "", made)
