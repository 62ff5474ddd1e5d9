"""A user of a MongoDB store: that it exists, with which roles, and that its password works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.agent.errors import HostError
from portcullis.agent.kind import Kind
from portcullis.agent.step import Json, Step, compare
from portcullis.components.mongodb.on_host import mongo_store
from portcullis.components.mongodb.on_host.mongo_client import LoginRefused, Refused, Unanswered
from portcullis.components.mongodb.on_host.mongo_store import ANSWERS, NO_USER, WORKS, MongoStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.store import Record

_SPEC = ("store", "address", "root", "root_file", "ca", "user", "database", "password_file")


class MongoUsers(Kind[Json, Json, Json]):
    """The kind ``mongo-user``."""

    def spec(self, item: str, desired: Json) -> Json:
        return {key: desired[key] for key in _SPEC if desired.get(key) is not None}

    def facts(self, questions: Sequence[Question[Json]]) -> Answers[Json]:
        answers: Answers[Json] = []
        for spec, _ in questions:
            try:
                answers.append(_read(spec))
            except HostError as error:
                answers.append(error)
        return answers

    def plan(self, desired: Json, facts: Json) -> list[Step]:
        if not facts["exists"]:
            return [Step("user", "nobody", str(desired["user"]), "create")]
        want = {"server": ANSWERS, "login": WORKS}
        steps = compare(want, {**want, **facts}, tuple(want), "mend")
        have = facts["roles"] if "roles" in facts else desired["roles"]
        for role in sorted({*have, *desired["roles"]}):
            if (role in have) != (role in desired["roles"]):
                words = ("granted", "not granted")
                steps.append(Step(f"roles.{role}", *(words if role in have else words[::-1]), "grant"))
        return steps

    def obstacle(self, desired: Json, facts: Json) -> HostError | None:
        return None

    def is_unmodified_default(self, item: str, facts: Json) -> bool:
        """Of a server that does not answer nothing is known; `apply` finds out."""
        return bool(facts["server"] != ANSWERS)

    def original(self, item: str, facts: Json, folder: Path) -> Json:
        """A password of before is nothing to keep."""
        return {}

    def apply(self, desired: Json, steps: list[Step], work: Work) -> None:
        if not steps:
            return
        spec, user, database = work.record.spec, str(desired["user"]), str(desired["database"])
        store = MongoStore(spec)
        store.wait()
        try:
            with store.as_root() as client:
                facts = _read(spec)
                roles = mongo_store.as_roles(desired["roles"])
                what = {
                    "pwd": desired["password"],
                    "roles": roles,
                    "mechanisms": ["SCRAM-SHA-256"],
                    "$db": database,
                }
                if facts["exists"]:
                    client.command({"updateUser": user, **what})
                    if facts.get("login") != WORKS:
                        mongo_store.end_sessions(client, user, database)  # of whoever set that password
                else:
                    client.command({"createUser": user, **what})
        except Unanswered as error:
            raise store.unanswered(error) from None
        except LoginRefused:
            raise store.root_refused() from None
        except Refused as error:
            raise HostError("invalid", f"MongoDB {store.name}: {error}") from None

    def remove(self, desired: Json, record: Record, folder: Path) -> str:
        """Its password is refused afterwards, and what it had under way is ended.

        Without the store's container nobody lets it in, and the stack can be let go of. In data that stay
        the user does too; to the next server on them it is one that nobody declared, see `MongoRoots`.
        """
        spec, store = record.spec, MongoStore(record.spec)
        user, database = str(spec["user"]), str(spec["database"])
        try:
            with store.as_root() as client:
                dropped = mongo_store.drop_user(client, user, database)
            if store.login(user, str(desired["password"]), database) == WORKS:
                raise HostError("not-converged", f"the MongoDB server still lets {user} in", prop="login")
        except Unanswered as error:
            if self._is_gone(store.name):
                return "kept"
            raise store.unanswered(
                error, f"; if it is to go for good, remove its container: `docker rm -f {store.name}`"
            ) from None
        except LoginRefused:
            raise store.root_refused() from None
        except Refused as error:
            raise HostError("invalid", f"MongoDB {store.name}: {error}") from None
        return "removed" if dropped else "absent"

    def _is_gone(self, name: str) -> bool:
        """Whether there is no container of that name, and Docker says so."""
        argv = ["docker", "container", "inspect", "-f", "{{.Id}}", name]
        done = self._machine.run(argv, timeout=20.0)
        return done.code != 0 and "no such container" in done.err.lower()


def _read(spec: Json) -> Json:
    """What can be told; the rest is left out. A server that is down is drift like any other."""
    store, user, database = MongoStore(spec), str(spec["user"]), str(spec["database"])
    facts: Json = {"exists": True, "server": ANSWERS}
    try:
        with store.as_root() as client:
            answer = client.command({"usersInfo": {"user": user, "db": database}, "$db": "admin"})
            (found,) = answer.get("users") or [None]
            if found is None:
                return {**facts, "exists": False, "login": NO_USER, "roles": {}}
            facts["roles"] = mongo_store.roles_of(found)
        facts["login"] = store.login(user, mongo_store.secret(str(spec["password_file"])), database)
    except LoginRefused:
        facts["server"] = f"refuses the login of {store.root}"
    except (Unanswered, Refused) as error:
        facts["server"] = f"does not answer: {error}"
    return facts
