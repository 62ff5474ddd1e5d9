from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from portcullis.host import provider as host_provider
from portcullis.provider.__main__ import serve
from portcullis.provider.servicer import Servicer
from portcullis.provider.values import from_struct, to_struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FACTS = {
    "exists": True, "content": "hello\n", "owner": "root", "group": "root", "mode": "0644", "revision": "7",
}  # fmt: skip


class Engine:
    """Calls a plugin over gRPC, as Pulumi's engine does."""

    def __init__(self, port: int, closed: threading.Event) -> None:
        self.closed = closed
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.stub = provider_pb2_grpc.ResourceProviderStub(self._channel)

    def check(self, kind: str, **news: Any) -> tuple[dict[str, Any], dict[str, str]]:
        answer = self.stub.Check(provider_pb2.CheckRequest(**of(kind), news=to_struct(news)), timeout=60)
        return from_struct(answer.inputs), {found.property: found.reason for found in answer.failures}

    def diff(self, kind: str, olds: dict[str, Any], **news: Any) -> Any:
        request = provider_pb2.DiffRequest(
            **of(kind), id="x", olds=to_struct(olds), old_inputs=to_struct(olds), news=to_struct(news)
        )
        return self.stub.Diff(request, timeout=60)

    def create(self, kind: str, **props: Any) -> tuple[str, dict[str, Any]]:
        request = provider_pb2.CreateRequest(**of(kind), properties=to_struct(props))
        answer = self.stub.Create(request, timeout=60)
        return answer.id, from_struct(answer.properties)

    def creating(self, kind: str, **props: Any) -> Any:
        request = provider_pb2.CreateRequest(**of(kind), properties=to_struct(props))
        return self.stub.Create.future(request, timeout=60)

    def reading(self, kind: str, **props: Any) -> Any:
        request = provider_pb2.ReadRequest(**of(kind), id="x", properties=to_struct(props))
        return self.stub.Read.future(request, timeout=60)

    def read(self, kind: str, id_: str, **props: Any) -> Any:
        request = provider_pb2.ReadRequest(**of(kind), id=id_, properties=to_struct(props))
        return self.stub.Read(request, timeout=60)

    def importing(self, kind: str, id_: str) -> str:
        """Return the message that refuses an import."""
        with pytest.raises(grpc.RpcError) as refused:
            self.read(kind, id_)
        return str(refused.value.details())

    def update(self, kind: str, olds: dict[str, Any], **news: Any) -> dict[str, Any]:
        request = provider_pb2.UpdateRequest(**of(kind), id="x", olds=to_struct(olds), news=to_struct(news))
        return from_struct(self.stub.Update(request, timeout=60).properties)

    def delete(self, kind: str, **props: Any) -> None:
        self.stub.Delete(provider_pb2.DeleteRequest(**of(kind), properties=to_struct(props)), timeout=60)

    def cancel(self) -> None:
        self.stub.Cancel(Empty(), timeout=60)

    def close(self) -> None:
        self._channel.close()


def of(kind: str) -> dict[str, str]:
    """Return the URN, type and name of a call's resource."""
    token = f"portcullis:index:{kind}"
    return {"urn": f"urn:pulumi:lab::web::{token}::it", "type": token, "name": "it"}


@pytest.fixture
def plugin() -> Iterator[Callable[[], Engine]]:
    """Return a function that starts a plugin in this process.

    The plugin serves all kinds of resources that are imported at its start.
    """
    begun: list[tuple[grpc.Server, Engine]] = []

    def start() -> Engine:
        closed = threading.Event()
        server, port = serve(Servicer(closed.set))
        begun.append((server, Engine(port, closed)))
        return begun[-1][1]

    yield start
    for server, engine in begun:
        engine.close()
        server.stop(0).wait(5)


@pytest.fixture
def engine(plugin: Callable[[], Engine]) -> Engine:
    return plugin()


class Host:
    """Answers like a host's agent. The event `held` delays its answers."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = FACTS
        self.error: Exception | None = None
        self.held: threading.Event | None = None
        self.asked = threading.Event()
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def request(self, op: str, **arguments: Any) -> dict[str, Any]:
        self.sent.append((op, arguments))
        self.asked.set()
        if self.held:
            assert self.held.wait(60)
        if self.error:
            raise self.error
        if op == "survey":
            return {"items": [{**item, "facts": self.facts} for item in arguments["items"]]}
        return {"facts": self.facts, "steps": []}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(host_provider, "session", lambda _host, _stack: made)
    return made
