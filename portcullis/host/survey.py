"""Reads the facts of a host: one request answers every read of an operation.

The first read asks the agent for everything that this stack manages on the host. The answer to the first read
serves the other reads too. The list on the host may be incomplete: an item that is missing in the list gets a
request of its own.

The first read of a stack asks all its hosts at the same time. So the stack waits only once, for the slowest
host.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from portcullis.host.errors import not_ours
from portcullis.host.session import READ_TIMEOUT, Channel, refusal

if TYPE_CHECKING:
    from portcullis.host.agent_process import Json


@dataclass(frozen=True, slots=True)
class Item:
    """A resource on a host: its kind, its identity, and the spec by which the agent reads it."""

    kind: str
    id: str
    spec: dict[str, Any] = field(hash=False)

    @property
    def key(self) -> tuple[str, str]:
        """The identity of the resource on its host."""
        return self.kind, self.id

    def message(self) -> Json:
        """Return the item in the form of the protocol."""
        return {"kind": self.kind, "id": self.id, "spec": self.spec}


class Survey:
    """The facts of one host and stack that are known and still valid.

    Thread-safe: while one thread asks for everything, the other threads wait for its answer.
    """

    def __init__(self, channel: Channel, stack: str) -> None:
        self._channel = channel
        self._stack = stack
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Json] = {}
        self._listed = False

    def facts(self, item: Item) -> Json:
        """Return the facts of one item.

        Raises:
            HostError: the agent could not read the item. A missing thing is no error: its facts say so.
        """
        with self._lock:
            known = self._known.get(item.key)
            if known is None or not _answers(known, item):
                self._ask(item)
                known = self._known.get(item.key)
        if known is None:
            raise not_ours(f"the {item.kind} {item.id} is missing in the agent's answer")
        if "error" in known:
            raise refusal(known["error"])
        facts: Json = known["facts"]
        return facts

    def changed(self, item: Item) -> None:
        """Forget all facts that a write to this item may have changed.

        A written file can make services stale. A package or service can change any other fact.
        """
        with self._lock:
            if item.kind in ("packages", "service"):
                self._known.clear()
                self._listed = False
                return
            self._known.pop(item.key, None)
            for key in [key for key in self._known if key[0] == "service"]:
                del self._known[key]

    def _ask(self, item: Item) -> None:
        result = self._channel.request(
            "survey", timeout=READ_TIMEOUT, stack=self._stack, items=[item.message()], index=not self._listed
        )
        self._listed = True
        for found in result["items"]:
            key = (found["kind"], found["id"])
            # An answer for exactly this spec replaces the answer for the spec in the host's list.
            if key != item.key or _answers(found, item):
                self._known[key] = found


def _answers(found: Json, item: Item) -> bool:
    """Tell whether facts are about exactly this spec.

    For the preview key, the host answers about the spec in its record, and the answer contains no spec.
    """
    return "spec" not in found or bool(found["spec"] == item.spec)


_surveys: dict[tuple[int, str], Survey] = {}
_surveys_lock = threading.Lock()


def survey(channel: Channel, stack: str) -> Survey:
    """Return the survey that this process keeps for a session and stack."""
    key = (id(channel), stack)
    with _surveys_lock:
        if key not in _surveys:
            _surveys[key] = Survey(channel, stack)
        return _surveys[key]
