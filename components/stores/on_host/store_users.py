"""The agent's code for a user of a store: its password, rights and memberships."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind
from portcullis.agent.step import Step
from portcullis.components.stores.facts import (
    ANSWERS,
    DECLARED,
    StoreUserDesired,
    StoreUserFacts,
    StoreUserSpec,
)
from portcullis.components.stores.on_host.postgres import Down, Server
from portcullis.components.stores.on_host.store_servers import unanswered

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.store import Record


class StoreUsers(Kind[StoreUserSpec, StoreUserDesired, StoreUserFacts]):
    """Users of stores."""

    spec_type = StoreUserSpec
    desired_type = StoreUserDesired
    facts_type = StoreUserFacts

    def facts(self, questions: Sequence[Question[StoreUserSpec]]) -> Answers[StoreUserFacts]:
        """Read all users of a store at once."""
        servers = {store: self._server(store) for store in sorted({spec.store for spec, _ in questions})}
        return [_facts(spec, servers[spec.store]) for spec, _ in questions]

    def _server(self, store: str) -> Server | Down | AgentError:
        try:
            return Server(self._machine, store)
        except (Down, AgentError) as error:
            return error

    def plan(self, desired: StoreUserDesired, facts: StoreUserFacts) -> list[Step]:
        if not facts.exists:
            return [Step("user", "absent", desired.user, "create")]
        if facts.server != ANSWERS:
            return [Step("server", facts.server, ANSWERS, "wait")]
        if facts.account == DECLARED:
            return []
        return [Step("account", str(facts.account), DECLARED, "mend")]

    def is_unmodified_default(self, item: str, facts: StoreUserFacts) -> bool:
        """Return True for a server that does not answer: its users are unknown until `apply`."""
        return facts.server != ANSWERS

    def apply(self, desired: StoreUserDesired, steps: list[Step], work: Work) -> None:
        if not steps:
            return
        try:
            server = Server(self._machine, desired.store)
            server.put_user(desired.user, desired.hash, desired.database)
        except Down as error:
            raise unanswered(desired.store, error) from None

    def remove(self, desired: StoreUserDesired, record: Record, folder: Path) -> str:
        """Remove the user with its sessions; its tables stay.

        If the store's container is gone, nobody can log in, and the stack can be destroyed. The user then
        stays in the data. The next server on these data reports it as undeclared.
        """
        spec = self.as_spec(record.spec)
        try:
            server = Server(self._machine, spec.store)
            known, dropped = server.knows(spec.user), server.drop(spec.user)
        except Down as error:
            if error.gone:
                return "kept"
            raise unanswered(spec.store, error) from None
        return "removed" if dropped else "kept" if known else "absent"


def _facts(spec: StoreUserSpec, server: Server | Down | AgentError) -> StoreUserFacts | AgentError:
    if isinstance(server, AgentError):
        return server
    if isinstance(server, Down):
        return StoreUserFacts(exists=True, server=str(server))
    account = server.account(spec.user, spec.hash, spec.database)
    return StoreUserFacts(exists=account is not None, server=ANSWERS, account=account)
