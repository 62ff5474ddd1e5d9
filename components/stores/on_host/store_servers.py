"""The agent's code for the server of a store: who comes in, its databases, and undeclared users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind, each
from portcullis.agent.step import Step
from portcullis.components.stores.facts import (
    ANSWERS,
    DECLARED,
    LOADED,
    REQUIRED,
    StoreServerDesired,
    StoreServerFacts,
    StoreServerSpec,
)
from portcullis.components.stores.on_host.postgres import Down, Server, reload

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.store import Record


class StoreServers(Kind[StoreServerSpec, StoreServerDesired, StoreServerFacts]):
    """Servers of stores."""

    spec_type = StoreServerSpec
    desired_type = StoreServerDesired
    facts_type = StoreServerFacts

    def facts(self, questions: Sequence[Question[StoreServerSpec]]) -> Answers[StoreServerFacts]:
        return each(lambda spec, _: self._read(spec), questions)

    def _read(self, spec: StoreServerSpec) -> StoreServerFacts:
        try:
            server = Server(self._machine, spec.store, spec.databases)
        except Down as error:
            return StoreServerFacts(exists=True, server=str(error))
        declared = {
            str(record.spec.get("user"))
            for record in self._store.all()
            if record.kind == "stores.store_users" and record.spec.get("store") == spec.store
        }
        return StoreServerFacts(
            exists=True,
            server=ANSWERS,
            login=server.login,
            rules=server.rules,
            databases={name: server.database(name) for name in sorted(spec.databases)},
            undeclared=server.undeclared(declared | {*spec.databases}),
        )

    def plan(self, desired: StoreServerDesired, facts: StoreServerFacts) -> list[Step]:
        if facts.server != ANSWERS:
            return [Step("server", facts.server, ANSWERS, "wait")]
        # What it lets in comes from the files, so the server reads them.
        steps = [
            Step(name, have, want, "reload")
            for name, have, want in (
                ("rules", facts.rules or "", LOADED),
                ("login", facts.login or "", REQUIRED),
            )
            if have != want
        ]
        have = facts.databases or {}
        steps += [
            Step(f"databases.{name}", have.get(name, ""), DECLARED, "database")
            for name in sorted(desired.databases)
            if have.get(name) != DECLARED
        ]
        return steps + [
            Step(f"undeclared.{name}", may, "absent", "drop")
            for name, may in sorted((facts.undeclared or {}).items())
        ]

    def is_unmodified_default(self, item: str, facts: StoreServerFacts) -> bool:
        """Return whether nobody but us has used the server, so that `up` may create databases."""
        return not facts.undeclared

    def apply(self, desired: StoreServerDesired, steps: list[Step], work: Work) -> None:
        if not steps:
            return
        try:
            if any(step.action in ("reload", "wait") for step in steps):
                reload(self._machine, desired.store)
            server = Server(self._machine, desired.store)
            for name in desired.databases:
                if server.database(name) != DECLARED:
                    server.put_database(name)
            server = Server(self._machine, desired.store)
            for step in steps:
                if step.action == "drop":
                    server.drop(step.prop.partition(".")[2])
        except Down as error:
            raise unanswered(desired.store, error) from None

    def remove(self, desired: StoreServerDesired, record: Record, folder: Path) -> str:
        """Remove nothing: databases stay with their data."""
        return "kept"


def unanswered(store: str, error: Down) -> AgentError:
    """Return the error about a server that does not answer."""
    return AgentError(
        "unreadable",
        f"the server of the store {store} {error}",
        prop="server",
        hint=f"`docker logs --tail 50 {store}` shows why; `docker start {store}` starts it; if you no longer "
        f"need the store, remove its container: `docker rm -f {store}`",
    )
