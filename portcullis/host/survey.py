"""What is on a host now: one question answers every read of an operation.

The first read asks the agent for all that this stack manages there; the others are answered from
that. The list on the host is only a hint: an item that it lacks is asked for by itself.
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
    """A thing on a host: its kind, its identity, and what the agent needs to read it."""

    kind: str
    id: str
    spec: dict[str, Any] = field(hash=False)

    @property
    def key(self) -> tuple[str, str]:
        """Identity among the things of one host."""
        return self.kind, self.id

    def message(self) -> Json:
        """Return the item as the protocol has it."""
        return {"kind": self.kind, "id": self.id, "spec": self.spec}


class Survey:
    """The facts of one host and stack, as far as they are known and still hold.

    Thread-safe: while one thread asks for everything, the others wait for its answer.
    """

    def __init__(self, channel: Channel, stack: str) -> None:
        self._channel = channel
        self._stack = stack
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Json] = {}
        self._listed = False

    def facts(self, item: Item) -> Json:
        """Return what is there now for one item.

        Raises:
            HostError: it could not be read; absence is a fact and no error.
        """
        with self._lock:
            known = self._known.get(item.key)
            if known is None or not _answers(known, item):
                self._ask(item)
                known = self._known.get(item.key)
        if known is None:
            raise not_ours(f"it tells nothing of the {item.kind} {item.id}")
        if "error" in known:
            raise refusal(known["error"])
        facts: Json = known["facts"]
        return facts

    def changed(self, item: Item) -> None:
        """Forget what a write to this item may have changed.

        A file changes whether services run on their present files; a package or service may change anything.
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
            # An answer for just this spec wins over the one the host's list asked for.
            if key != item.key or _answers(found, item):
                self._known[key] = found


def _answers(found: Json, item: Item) -> bool:
    """Whether facts are about just this spec. The preview key gets those of the recorded one, untold."""
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
