"""The agent's code for a user of a MongoDB store: its roles, and whether its password works."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind, each
from portcullis.agent.step import Step
from portcullis.components.mongodb.facts import (
    ANSWERS,
    GRANTED,
    WORKS,
    MongoUserDesired,
    MongoUserFacts,
    MongoUserSpec,
)
from portcullis.components.mongodb.on_host import mongo_store
from portcullis.components.mongodb.on_host.mongo_client import LoginRefused, Refused, Unanswered
from portcullis.components.mongodb.on_host.mongo_store import NO_USER, MongoStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.store import Record


class MongoUsers(Kind[MongoUserSpec, MongoUserDesired, MongoUserFacts]):
    """Users of MongoDB stores."""

    spec_type = MongoUserSpec
    desired_type = MongoUserDesired
    facts_type = MongoUserFacts

    def facts(self, questions: Sequence[Question[MongoUserSpec]]) -> Answers[MongoUserFacts]:
        return each(lambda spec, _: self._read(spec), questions)

    def plan(self, desired: MongoUserDesired, facts: MongoUserFacts) -> list[Step]:
        if not facts.exists:
            return [Step("user", "absent", desired.user, "create")]
        steps = mongo_store.repair_steps({"server": ANSWERS, "login": WORKS}, facts)
        have = desired.roles if facts.roles is None else facts.roles
        for role in sorted({*have, *desired.roles}):
            if (role in have) != (role in desired.roles):
                words = (GRANTED, "not granted")
                steps.append(Step(f"roles.{role}", *(words if role in have else words[::-1]), "grant"))
        return steps

    def is_unmodified_default(self, item: str, facts: MongoUserFacts) -> bool:
        """Return True for a server that does not answer: its users are unknown until `apply`."""
        return facts.server != ANSWERS

    def apply(self, desired: MongoUserDesired, steps: list[Step], work: Work) -> None:
        if not steps:
            return
        spec, user, database = desired.spec(), desired.user, desired.database
        store = MongoStore(self._machine, spec)
        store.wait()
        try:
            with store.as_root() as client:
                facts = self._read(spec)
                roles = mongo_store.as_roles(desired.roles)
                what = {
                    "pwd": desired.password,
                    "roles": roles,
                    "mechanisms": ["SCRAM-SHA-256"],
                    "$db": database,
                }
                if facts.exists:
                    client.command({"updateUser": user, **what})
                    if facts.login != WORKS:
                        mongo_store.end_sessions(client, user, database)  # of a login with another password
                else:
                    client.command({"createUser": user, **what})
        except Unanswered as error:
            raise store.unanswered(error) from None
        except LoginRefused:
            raise store.root_refused() from None
        except Refused as error:
            raise AgentError(
                "invalid", f"the MongoDB server {store.name} refuses a command: {error}"
            ) from None

    def remove(self, desired: MongoUserDesired, record: Record, folder: Path) -> str:
        """Drop the user and end its operations. The server refuses its login afterwards.

        If the store's container is gone, nobody can log in, and the stack can be destroyed. The user then
        stays in the data. The next server on these data reports it as undeclared, see `MongoRoots`.
        """
        spec = self.as_spec(record.spec)
        store, user, database = MongoStore(self._machine, spec), spec.user, spec.database
        try:
            with store.as_root() as client:
                dropped = mongo_store.drop_user(client, user, database)
            if store.login(user, desired.password, database) == WORKS:
                raise AgentError(
                    "not-converged",
                    f"the MongoDB server still accepts the login of {user} after the user's removal",
                    prop="login",
                )
        except Unanswered as error:
            if self._is_gone(store.name):
                return "kept"
            raise store.unanswered(
                error,
                f"; if you no longer need the store {store.name}, remove its container: `docker rm -f "
                f"{store.name}`",
            ) from None
        except LoginRefused:
            raise store.root_refused() from None
        except Refused as error:
            raise AgentError(
                "invalid", f"the MongoDB server {store.name} refuses a command: {error}"
            ) from None
        return "removed" if dropped else "absent"

    def _is_gone(self, name: str) -> bool:
        """Return whether Docker says that there is no container of that name."""
        argv = ["docker", "container", "inspect", "-f", "{{.Id}}", name]
        done = self._machine.run(argv, timeout=20.0)
        return done.code != 0 and "no such container" in done.err.lower()

    def _read(self, spec: MongoUserSpec) -> MongoUserFacts:
        """Read as much as possible; unknown values are None. A server that is down shows as drift."""
        store, user, database = MongoStore(self._machine, spec), spec.user, spec.database
        facts = MongoUserFacts(exists=True, server=ANSWERS)
        try:
            with store.as_root() as client:
                answer = client.command({"usersInfo": {"user": user, "db": database}, "$db": "admin"})
                (found,) = answer.get("users") or [None]
                if found is None:
                    return replace(facts, exists=False, login=NO_USER, roles={})
                facts = replace(facts, roles=mongo_store.roles_of(found))
            return replace(facts, login=store.login(user, mongo_store.secret(spec.password_file), database))
        except LoginRefused:
            return replace(facts, server=f"refuses the login of {store.root}")
        except (Unanswered, Refused) as error:
            return replace(facts, server=f"does not answer: {error}")
