"""The gRPC service that Pulumi's engine calls.

The service turns requests into plain Python, and exceptions into errors.
"""

from __future__ import annotations

import contextlib
import difflib
import threading
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from portcullis import __version__
from portcullis.host.provider import message_of_current_exception
from portcullis.provider.base import GENERAL_KINDS, PACKAGE, import_kinds, kinds
from portcullis.provider.schema import schema_text
from portcullis.provider.values import from_struct, to_struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portcullis.provider.base import Provider, ReadResult

_CANCELLED = "cancelled"
_FORMER_KINDS = {f"{PACKAGE}:index:Cpu"}
"""Kinds of earlier versions that changed nothing on the host. A state may still have them."""
_DIFF = {
    None: provider_pb2.DiffResponse.DIFF_UNKNOWN,
    False: provider_pb2.DiffResponse.DIFF_NONE,
    True: provider_pb2.DiffResponse.DIFF_SOME,
}


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Serves all kinds of resources to Pulumi's engine. Each call runs in its own thread."""

    def __init__(self, close: Callable[[], None]) -> None:
        """`close` ends the connections to the hosts.

        `close` is called once, after Pulumi's engine cancels the run.
        """
        self._providers = _served(GENERAL_KINDS)
        self._close = close
        self._lock, self._importing = threading.Lock(), threading.Lock()
        self._writes = 0
        self._cancelled = False

    # The protocol defines the names of these methods.
    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        # After a handshake, the engine would call Create and Update in previews too.
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "there is no handshake; use Configure")

    def Attach(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return Empty()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return plugin_pb2.PluginInfo(version=__version__)

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._answering(context):
            return provider_pb2.GetSchemaResponse(schema=schema_text(__version__))

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        # The engine passes all settings portcullis:*, which only the program needs. If we returned these
        # settings, the state would contain them, with all addresses.
        return provider_pb2.CheckResponse()

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        # acceptSecrets=False: the engine itself marks secrets in our answers.
        # supportsPreview=False: we cannot know the outputs before a change.
        return provider_pb2.ConfigureResponse(acceptSecrets=False, supportsPreview=False)

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._answering(context):
            # The host remembers the owner of each thing, so that a renamed resource does not delete it.
            news = {**from_struct(request.news), "managed_by": request.urn}
            found = self._provider(request).check(from_struct(request.olds), news)
            response = provider_pb2.CheckResponse(inputs=to_struct(found.inputs))
            for failure in found.failures:
                response.failures.add(property=failure.property, reason=failure.reason)
            return response

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._answering(context):
            provider = self._provider(request)
            news = from_struct(request.news)
            found = provider.diff(request.id, from_struct(request.olds), news)
            changes = found.changes
            if provider.renamed:
                # For the engine, a former name is a difference. In a refresh, `news` are the state's inputs.
                held, present = from_struct(request.old_inputs), provider.by_present_names
                if held != news and present(held) == present(news):
                    changes = False
            return provider_pb2.DiffResponse(
                changes=_DIFF[changes],
                replaces=found.replaces,
                deleteBeforeReplace=found.delete_before_replace,
            )

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._answering(context), self._writing():
            made = self._provider(request).create(from_struct(request.properties))
            return provider_pb2.CreateResponse(id=made.id, properties=to_struct(made.outs))

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        if _token(request) in _FORMER_KINDS:
            return provider_pb2.ReadResponse()  # it is gone, so a refresh removes it from the state
        with self._answering(context):
            provider = self._provider(request)
            state = provider.by_present_names(from_struct(request.properties))
            found: ReadResult | None = (
                provider.read(request.id, state) if state else provider.import_(request.id, request.urn)
            )
            if found is None:
                return provider_pb2.ReadResponse()
            return provider_pb2.ReadResponse(
                id=found.id,
                properties=to_struct(found.outs, found.secrets),
                inputs=to_struct(found.inputs, found.secrets),
            )

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._answering(context), self._writing():
            done = self._provider(request).update(
                request.id, from_struct(request.olds), from_struct(request.news)
            )
            return provider_pb2.UpdateResponse(properties=to_struct(done.outs))

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        if _token(request) in _FORMER_KINDS:
            return Empty()
        with self._answering(context), self._writing():
            self._provider(request).delete(request.id, from_struct(request.properties))
            return Empty()

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        """Finish running changes, and refuse new ones.

        Pulumi's engine also calls this method at the end of every run.
        """
        with self._lock:
            idle = not self._cancelled and not self._writes
            self._cancelled = True
        if idle:
            # The engine waits for this answer, and the end of a half-open connection may take long.
            threading.Thread(target=self._close, daemon=True, name="close").start()
        return Empty()

    def _provider(self, request: Any) -> Provider:
        token = _token(request)
        # The import of all parts takes time, and simple programs need only the general kinds.
        with self._importing:
            if token not in self._providers:
                self._providers = _served()
        provider = self._providers.get(token)
        if provider is None:
            raise _UnknownType(token, list(self._providers))
        return provider

    @contextlib.contextmanager
    def _answering(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Turn an exception into a status with one message for people."""
        if self._cancelled:
            context.abort(grpc.StatusCode.CANCELLED, _CANCELLED)
        try:
            yield
        except _Cancelled:
            context.abort(grpc.StatusCode.CANCELLED, _CANCELLED)
        except _UnknownType as error:
            message = str(error)
        except Exception:  # noqa: BLE001 - the engine must get a message and no traceback
            message = _CANCELLED if self._cancelled and not self._writes else message_of_current_exception()
        else:
            return
        context.abort(grpc.StatusCode.UNKNOWN, message)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Count a running change: connections stay open until the last change has ended."""
        with self._lock:
            if self._cancelled:  # the engine has cancelled meanwhile, and connections may already be closed
                raise _Cancelled(_CANCELLED)
            self._writes += 1
        try:
            yield
        finally:
            with self._lock:
                self._writes -= 1
                last = self._cancelled and not self._writes
            if last:
                self._close()


def _token(request: Any) -> str:
    token: str = request.type or request.urn.split("::")[2].rpartition("$")[2]
    return token


def _served(*packages: str) -> dict[str, Provider]:
    import_kinds(*packages)
    return {token: kind() for token, kind in kinds().items()}


class _Cancelled(Exception):
    """Pulumi's engine cancelled the run before a change began."""


class _UnknownType(Exception):
    def __init__(self, token: str, known: list[str]) -> None:
        names = sorted(each.rpartition(":")[2] for each in known)
        name = token.rpartition(":")[2]
        near = difflib.get_close_matches(name, names, 1)
        meant = f"; did you mean {PACKAGE}:index:{near[0]}?" if near else ""
        super().__init__(f"there is no resource type {token}{meant}\n  → known types: {', '.join(names)}")
