"""The gRPC service of a stand-in, which the engine calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty
from google.rpc.status_pb2 import Status

from lab.plugins.errors import NotCoveredError, PartlyCreatedError, PluginError
from lab.plugins.plugin import Target
from lab.plugins.protocol import plugin_pb2, provider_pb2, provider_pb2_grpc
from lab.plugins.values import Properties, from_struct, to_struct

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.plugins.fields import Problem
    from lab.plugins.plugin import Plugin


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Translates between messages and plain Python, and errors into statuses without tracebacks."""

    def __init__(self, plugin: Plugin, stop: Callable[[], None]) -> None:
        """Serve one plugin; `stop` ends, when the engine cancels, what nobody waits for."""
        self._plugin = plugin
        self._stop = stop
        self._cancelled = False

    # The protocol defines the names of these methods.
    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        if self._plugin.no_handshake:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, self._plugin.no_handshake)
        return provider_pb2.ProviderHandshakeResponse(**self._plugin.handshake)

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return plugin_pb2.PluginInfo(version=self._plugin.version)

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return _checked(*self._plugin.check_config(from_struct(request.news)))

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        if self._plugin.no_diff_config:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, self._plugin.no_diff_config)
        return provider_pb2.DiffResponse()  # in this case the engine compares the inputs itself

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._answering(context):
            self._plugin.configure(from_struct(request.args))
        return provider_pb2.ConfigureResponse(**self._plugin.configured)

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._answering(context):
            return _checked(
                *self._plugin.check(_target(request), from_struct(request.olds), from_struct(request.news))
            )

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._answering(context):
            answer = self._plugin.diff(_target(request), from_struct(request.olds), from_struct(request.news))
        found = answer.differences
        replaces = sorted(difference.top for difference in found if difference.replaces)
        response = provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=list(dict.fromkeys(difference.top for difference in found)),
            replaces=replaces if answer.repeats else dict.fromkeys(replaces),
            stables=[name for name in answer.stables if name not in replaces],
            deleteBeforeReplace=bool(replaces) and answer.delete_before_replace,
            hasDetailedDiff=answer.detailed,
        )
        for difference in found:
            response.detailedDiff[difference.path].kind = provider_pb2.PropertyDiff.Kind.Value(
                difference.kind
            )
        return response

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._answering(context, f"creating {request.urn}: "):
            id_, state = self._plugin.create(
                _target(request), from_struct(request.properties), preview=request.preview
            )
        response = provider_pb2.CreateResponse(id=id_)
        to_struct(state, response.properties)
        return response

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._answering(context, f"refreshing {request.urn}: "):
            found = self._plugin.read(
                _target(request), from_struct(request.properties), from_struct(request.inputs)
            )
        if found is None:
            return provider_pb2.ReadResponse()
        response = provider_pb2.ReadResponse(id=found.id)
        to_struct(found.state, response.properties)
        to_struct(found.inputs, response.inputs)
        return response

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._answering(context, f"updating {request.urn}: "):
            state = self._plugin.update(
                _target(request),
                from_struct(request.olds),
                from_struct(request.news),
                preview=request.preview,
            )
        response = provider_pb2.UpdateResponse()
        to_struct(state, response.properties)
        return response

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._answering(context, f"deleting {request.urn}: "):
            self._plugin.delete(_target(request), from_struct(request.properties))
        return Empty()

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._answering(context):
            raise NotCoveredError(
                self._plugin.package, f"the lab's stand-in does not support the function {request.tok}"
            )

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Refuse new calls, and stay. The engine also calls this at the end of each run, before SIGINT."""
        self._cancelled = True
        self._stop()
        return Empty()

    def _answering(self, context: grpc.ServicerContext, what: str = "") -> _Failures:
        if self._cancelled:
            context.abort(grpc.StatusCode.CANCELLED, "cancelled")
        return _Failures(context, what)


class _Failures:
    """Turns a PluginError into a status, with a partly created resource for the engine to record."""

    def __init__(self, context: grpc.ServicerContext, what: str = "") -> None:
        self._context = context
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, PartlyCreatedError):
            self._partly_created(error)
        if isinstance(error, PluginError):
            prefix = self._what if error.names_resource else ""
            self._context.abort(grpc.StatusCode.UNKNOWN, f"{prefix}{error}")

    def _partly_created(self, error: PartlyCreatedError) -> NoReturn:
        detail = provider_pb2.ErrorResourceInitFailed(id=error.id, reasons=[error.reason])
        to_struct(error.state, detail.properties)
        packed = AnyMessage()
        packed.Pack(detail)
        message = f"{self._what}{error}"
        status = Status(code=grpc.StatusCode.UNKNOWN.value[0], message=message, details=[packed])
        self._context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        self._context.abort(grpc.StatusCode.UNKNOWN, message)
        raise AssertionError  # abort never returns; its types do not say so


def _target(request: Any) -> Target:
    """Return the resource of a request. Newer engines send type and name, older engines only the URN."""
    type_, name = request.urn.split("::", 3)[2:]
    return Target(
        request.urn,
        request.type or type_.rsplit("$", 1)[-1],
        request.name or name,
        getattr(request, "id", ""),
    )


def _checked(inputs: Properties, problems: list[Problem]) -> Any:
    response = provider_pb2.CheckResponse()
    to_struct(inputs, response.inputs)
    for path, reason in problems:
        response.failures.add(property=path, reason=reason)
    return response
