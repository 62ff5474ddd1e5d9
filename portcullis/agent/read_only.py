"""The operations of the preview key, which only read facts about the host and about one stack.

No operation of the preview key changes anything. Somebody with the preview key can send any request. So the
agent takes only names, such as the kind and the id of a resource, from a request. The agent reads a resource
by the spec that the deployment recorded. The agent never reads a resource without a record.
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

DEPLOY = "to change a host or to see a secret, use the deploy key"


class ReadOnlyStore(Store):
    """The records of a host, for reading only. This class cannot change the records."""

    def make_folder(self, kind: str, item: str) -> Path:
        """Refuse to make the folder of a record."""
        raise refused("the requested operation would change a record on the host")

    def save(self, record: Record) -> None:
        """Refuse to save a record."""
        raise refused("the requested operation would change a record on the host")

    def drop(self, record: Record) -> None:
        """Refuse to drop a record."""
        raise refused("the requested operation would remove a record on the host")

    def tidy(self) -> None:
        """Do nothing, because a read-only session never tidies up."""


class ReadOnly:
    """The operations of a read-only session. `ReadOnly` takes the place of `Operations`."""

    def __init__(self, machine: Machine, stack: str, digest: str) -> None:
        """Allow reads of only one stack, `stack`, given as PROJECT/STACK.

        `digest` is the hash of this agent.
        """
        self._stack, self._digest = stack, digest
        self._store = ReadOnlyStore(machine.state)
        self._kinds = Kinds(replace(machine, read_only=True), self._store)

    def close(self) -> None:
        """Do nothing: a read-only session takes no lock."""

    def do(self, request: Json) -> Json:
        """Answer one request.

        Raises `AgentError` (``read-only``) for an operation that could change something.
        """
        op = request.get("op")
        if op == "hello":
            return {**self._about(), **host_facts()}
        if op == "survey":
            return self.survey(request)
        raise refused(f"the preview key does not allow the operation {str(op)[:40]!r}")

    def _about(self) -> Json:
        return {"protocol": PROTOCOL, "agent": self._digest}

    def survey(self, request: Json) -> Json:
        """Return facts of the stack's resources on this host.

        The agent reads each resource by the spec in the host's record. The answer does not contain the specs.
        """
        if str(request.get("stack", "")) != self._stack:
            raise refused(f"the preview key gives access to the stack {self._stack} only")
        records = {
            (r.kind, r.id): r
            for r in self._store.all()
            if r.stack == self._stack and self._kinds.known(r.kind)
        }
        wanted = dict(records) if request.get("index", True) else {}
        items: list[Json] = []
        asked_for = request.get("items", [])
        if not isinstance(asked_for, list) or not all(map(_is_item, asked_for)):
            raise AgentError(
                "invalid",
                "the items of a request for a survey must be a list of JSON objects with kind and id",
            )
        for item in asked_for:
            key = str(item["kind"]), str(item["id"])
            if key in records:
                wanted[key] = records[key]
            else:
                items.append({"kind": key[0], "id": key[1], "error": _unknown(*key).as_json()})
        for kind in sorted({kind for kind, _ in wanted}):
            asked = [record for key, record in wanted.items() if key[0] == kind]
            answers = read(self._kinds[kind], [(record.spec, record) for record in asked])
            items += [
                _item(self._kinds[kind], record, answer)
                for record, answer in zip(asked, answers, strict=True)
            ]
        return {"items": items, "host": host_facts(), **self._about()}


def refused(what: str) -> AgentError:
    """Return the error for something that the preview key may not do."""
    return AgentError(READ_ONLY, f"the preview key may only read: {what}", hint=DEPLOY)


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
        # Without the detail: it may quote the content of a file.
        return {**item, "error": {**error.as_json(), "detail": ""}}
    return {**item, "facts": public(kind, facts)}
