"""What the preview key may ask: who speaks, and what is there of one stack. Nothing that changes anything.

Whoever holds that key runs code of their own against it. So the client is believed in nothing but names: a
thing is read as the deployment recorded it, and one that nobody recorded is not read at all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from portcullis.agent.errors import AgentError
from portcullis.agent.kinds import Kinds
from portcullis.agent.operations import host_facts, public, read
from portcullis.agent.redaction import PROTOCOL, READ_ONLY
from portcullis.agent.store import Record, Store

if TYPE_CHECKING:
    from pathlib import Path

    from portcullis.agent.kind import Kind
    from portcullis.agent.machine import Machine
    from portcullis.agent.step import Json

DEPLOY = "what changes a host or shows a secret needs the deploy key"


class ReadOnlyStore(Store):
    """The records of a host, which stay as they are."""

    def make_folder(self, kind: str, item: str) -> Path:
        """Refuse: see `refused`."""
        raise refused("a record would change")

    def save(self, record: Record) -> None:
        """Refuse: see `refused`."""
        raise refused("a record would change")

    def drop(self, record: Record) -> None:
        """Refuse: see `refused`."""
        raise refused("a record would go")

    def tidy(self) -> None:
        """Leave everything where it is."""


class ReadOnly:
    """The operations of a session that only looks. Stands in the place of `Operations`."""

    def __init__(self, machine: Machine, stack: str, digest: str) -> None:
        """Take the stack that is shown, as PROJECT/STACK, and the hash of this agent."""
        self._stack, self._digest = stack, digest
        self._store = ReadOnlyStore(machine.state)
        self._kinds = Kinds(replace(machine, read_only=True), self._store)

    def close(self) -> None:
        """Nothing was taken, so there is nothing to let go."""

    def do(self, request: Json) -> Json:
        """Answer one request. Raises `AgentError` (``read-only``) for whatever is no question."""
        op = request.get("op")
        if op == "hello":
            return {**self._about(), **host_facts()}
        if op == "survey":
            return self.survey(request)
        raise refused(f"{str(op)[:40]!r} is not allowed")

    def _about(self) -> Json:
        return {"protocol": PROTOCOL, "agent": self._digest}

    def survey(self, request: Json) -> Json:
        """Facts of what the stack has here. The specs are the recorded ones, and are not told."""
        if str(request.get("stack", "")) != self._stack:
            raise refused(f"it shows {self._stack} and no other stack")
        records = {
            (r.kind, r.id): r
            for r in self._store.all()
            if r.stack == self._stack and self._kinds.known(r.kind)
        }
        wanted = dict(records) if request.get("index", True) else {}
        items: list[Json] = []
        asked_for = request.get("items", [])
        if not isinstance(asked_for, list) or not all(map(_is_item, asked_for)):
            raise AgentError("invalid", "the items of a survey are a list of objects with kind and id")
        for item in asked_for:
            key = str(item["kind"]), str(item["id"])
            if key in records:
                wanted[key] = records[key]
            else:
                items.append({"kind": key[0], "id": key[1], "error": _unknown(*key).as_json()})
        for kind in sorted({kind for kind, _ in wanted}):
            asked = [record for key, record in wanted.items() if key[0] == kind]
            answers = read(self._kinds[kind], [(record.spec, record) for record in asked])
            items += [_item(self._kinds[kind], record, answer) for record, answer in zip(asked, answers)]
        return {"items": items, "host": host_facts(), **self._about()}


def refused(what: str) -> AgentError:
    """The answer to what a key that only looks may not do."""
    return AgentError(READ_ONLY, f"the preview key reads and changes nothing: {what}", hint=DEPLOY)


def _is_item(item: object) -> bool:
    return isinstance(item, dict) and {"kind", "id"} <= item.keys()


def _unknown(kind: str, item: str) -> AgentError:
    return AgentError(
        READ_ONLY,
        f"the host has no record of the {kind} {item}, so the preview key does not show it",
        hint="`up` with the deploy key makes or repairs the record",
    )


def _item(kind: Kind[Any, Any, Any], record: Record, answer: Any) -> Json:
    item: Json = {"kind": record.kind, "id": record.id}
    try:
        if isinstance(answer, AgentError):
            raise answer
        facts = kind.redacted(record, answer)
    except AgentError as error:
        # Without its detail: that may quote what a file holds.
        return {**item, "error": {**error.as_json(), "detail": ""}}
    return {**item, "facts": public(kind, facts)}
