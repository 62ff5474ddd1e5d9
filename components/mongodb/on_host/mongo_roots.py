"""The agent's code for the administrator of a MongoDB store: the login, and what only this user sees."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import disk
from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind, each
from portcullis.agent.step import Step, compare
from portcullis.components.mongodb.facts import (
    ANSWERS,
    REQUIRED,
    WORKS,
    MongoRootDesired,
    MongoRootFacts,
    MongoRootSpec,
)
from portcullis.components.mongodb.on_host import mongo_store
from portcullis.components.mongodb.on_host.mongo_client import Client, LoginRefused, Refused, Unanswered
from portcullis.components.mongodb.on_host.mongo_store import ADMIN, NO_USER, MongoStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.store import Record

_OPEN = "not required"
_KEPT = "portcullis-root-password"
_ELECTION = 30.0  # seconds


class MongoRoots(Kind[MongoRootSpec, MongoRootDesired, MongoRootFacts]):
    """Administrators of MongoDB stores."""

    spec_type = MongoRootSpec
    desired_type = MongoRootDesired
    facts_type = MongoRootFacts

    def facts(self, questions: Sequence[Question[MongoRootSpec]]) -> Answers[MongoRootFacts]:
        return each(lambda spec, _: self._read(spec), questions)

    def _read(self, spec: MongoRootSpec) -> MongoRootFacts:
        """Read as much as possible; unknown values are None. A server that is down shows as drift."""
        store = MongoStore(self._machine, spec)
        facts = MongoRootFacts(exists=True, server=ANSWERS)
        try:
            facts = replace(facts, authentication=REQUIRED if store.asks_for_a_password() else _OPEN)
            facts = replace(facts, login=store.root_login())
            if facts.login == WORKS:
                with store.as_root() as client:
                    facts = replace(facts, users=self._undeclared_users(client, store))
                    if spec.replica_set:
                        facts = replace(facts, replica_set=mongo_store.replica_set(client))
        except (Unanswered, LoginRefused, Refused) as error:
            return replace(facts, server=f"does not answer: {error}")
        return facts

    def plan(self, desired: MongoRootDesired, facts: MongoRootFacts) -> list[Step]:
        want = {"server": ANSWERS, "authentication": REQUIRED, "login": WORKS}
        steps = mongo_store.repair_steps(want, facts)
        steps += [
            Step(f"users.{name}", roles, "absent", "drop")
            for name, roles in sorted((facts.users or {}).items())
        ]
        if desired.replica_set and facts.replica_set is not None:
            steps += compare(desired, facts, ("replica_set",), "initiate")
        return steps

    def obstacle(self, desired: MongoRootDesired, facts: MongoRootFacts) -> AgentError | None:
        store = desired.store
        if facts.authentication == _OPEN:
            return AgentError(
                "invalid",
                f"the MongoDB server at {desired.address} lets clients in without a password",
                prop="authentication",
                hint="the server was started without --auth: `docker inspect -f '{{.Config.Cmd}}' "
                + store
                + "` shows it. Remove that container and run `up` again: the declared one has --auth",
            )
        if facts.login == NO_USER:
            volume = desired.volume or "its volume"
            return AgentError(
                "invalid",
                f"the MongoDB server has data files but no user {desired.root}: its first start was "
                "interrupted before it created the user, or the volume is from a server with another "
                "administrator",
                prop="login",
                hint=f"nothing was changed. If {volume} holds nothing you need: `docker rm -f {store}; "
                f"docker volume rm {volume}`, then run `up` again. Otherwise create the user from inside the "
                f"container, where a server without users accepts the first: `docker exec -it {store} "
                f'mongosh admin`, db.createUser({{user: "{desired.root}", pwd: passwordPrompt(), '
                f'roles: ["root"]}}), with the password in {desired.root_file}',
            )
        return None

    def is_unmodified_default(self, item: str, facts: MongoRootFacts) -> bool:
        """Return False if there are undeclared users, because somebody may need these users.

        Passwords are not compared here: `apply` checks them.
        """
        return not facts.users

    def apply(self, desired: MongoRootDesired, steps: list[Step], work: Work) -> None:
        """Carry out the steps. It reads again, because a server that was starting can answer now."""
        store = MongoStore(self._machine, desired.spec())
        if any(step.prop == "server" for step in steps):
            store.wait()
        try:
            self._log_in(store, desired, work)
            with store.as_root(desired.password) as client:
                undeclared = self._undeclared_users(client, store)
                if undeclared and not work.adopt and not work.record.extra.get("settled"):
                    raise _others(undeclared)  # the first login that works shows them
                for name in undeclared:
                    user, _, database = name.rpartition("@")
                    mongo_store.drop_user(client, user, database)
                if desired.replica_set:
                    _initiate(client, desired.replica_set)
        except Unanswered as error:
            raise store.unanswered(error) from None
        except LoginRefused:
            raise _refused(desired) from None
        except Refused as error:
            raise AgentError(
                "invalid", f"the MongoDB server {store.name} refuses a command: {error}"
            ) from None
        work.record.extra["settled"] = True

    def _log_in(self, store: MongoStore, desired: MongoRootDesired, work: Work) -> None:
        """Make sure that the declared password works and that the previous one does not."""
        password, noted = desired.password, work.record.extra
        if store.login(store.root, password, ADMIN) != WORKS:
            known = [desired.before, desired.previous, self._kept(desired.volume)]
            old = next((p for p in known if p and store.login(store.root, p, ADMIN) == WORKS), None)
            if old is None:
                raise _refused(desired)
            noted["changed"] = True
            work.save()  # if this run is interrupted after the change, the next one ends the old sessions
            with store.as_root(old) as client:
                # The same as changeUserPassword. A new connection proves the new password.
                client.command({"updateUser": store.root, "pwd": password, "$db": ADMIN})
        with store.as_root(password) as client:
            for old in {desired.before, desired.previous} - {None, "", password}:
                if store.login(store.root, str(old), ADMIN) == WORKS:
                    raise AgentError(
                        "not-converged",
                        f"the MongoDB server still accepts the previous password of {store.root}",
                        prop="login",
                        hint=f"`docker ps` shows whether another server listens at {store.address}",
                    )
            if noted.pop("changed", False):
                mongo_store.end_sessions(client, store.root, ADMIN)
        path = self._kept_path(desired.volume)
        if path is not None:
            path.unlink(missing_ok=True)

    def remove(self, desired: MongoRootDesired, record: Record, folder: Path) -> str:
        """Leave the password in a file beside the data, for root only.

        The data stay, but the state goes with the stack. Without the file nobody could use the data again.
        """
        path = self._kept_path(self.as_spec(record.spec).volume)
        if path is not None:
            disk.write(path, desired.password.encode() + b"\n", mode=0o400)
        return "kept"

    def _kept(self, volume: str | None) -> str:
        path = self._kept_path(volume)
        return mongo_store.secret(str(path)) if path else ""

    def _kept_path(self, volume: str | None) -> Path | None:
        """Return the file where a destroyed stack leaves the password: in the volume, for root only."""
        if not volume:
            return None
        argv = ["docker", "volume", "inspect", "-f", "{{.Mountpoint}}", volume]
        done = self._machine.run(argv, timeout=20.0)
        if done.code == 0 and done.out.startswith("/"):
            return Path(done.out.strip()) / _KEPT
        if "no such volume" in done.err.lower():
            return None
        # We do not assume that the volume is gone: a destroy would lose the only password of its data.
        raise AgentError(
            "unreadable",
            f"Docker does not say where the files of the volume {volume} are",
            hint="look at `systemctl status docker`",
            detail=done.text,
        )

    def _undeclared_users(self, client: Client, store: MongoStore) -> dict[str, str]:
        """Return undeclared users that may log in, by ``user@database``, with their roles."""
        declared = {
            f"{record.spec.get('user')}@{record.spec.get('database')}"
            for record in self._store.all()
            if record.kind == "mongodb.mongo_users" and record.spec.get("store") == store.name
        }
        declared.add(f"{store.root}@{ADMIN}")
        found = {
            f"{user.get('user')}@{user.get('db')}": ", ".join(sorted(mongo_store.roles_of(user)))
            or "no roles"
            for user in mongo_store.users(client)
        }
        return {name: roles for name, roles in sorted(found.items()) if name not in declared}


def _initiate(client: Client, wanted: str) -> None:
    """Create or correct a replica set of one member, and wait until it accepts writes."""
    name, _, host = wanted.partition("/")
    have = mongo_store.replica_set(client)
    if have == "not initiated":
        config = {"_id": name, "members": [{"_id": 0, "host": host}]}
        client.command({"replSetInitiate": config, "$db": ADMIN})
    elif not have:
        raise AgentError(
            "invalid",
            "the MongoDB server does not run as a member of a replica set",
            prop="replica_set",
            hint="the server was started without --replSet, or is FerretDB, which has no replica sets: "
            "set replica_set=False",
        )
    elif have.partition(", without")[0] not in (wanted, "without a primary"):
        config = client.command({"replSetGetConfig": 1, "$db": ADMIN})["config"]
        if len(config["members"]) != 1:
            raise AgentError(
                "invalid",
                f"the replica set {have} has several members, and Portcullis cannot change such a set",
                prop="replica_set",
                hint="remove the other members of the replica set, then run `up` again",
            )
        # We force the change: a server whose name changed does not find itself in the set, and cannot agree.
        short = {"_id": config["_id"], "version": config["version"] + 1, "term": config.get("term", 1)}
        members = [{"_id": config["members"][0]["_id"], "host": host}]
        client.command({"replSetReconfig": {**short, "members": members}, "force": True, "$db": ADMIN})
    deadline = time.monotonic() + _ELECTION
    while mongo_store.replica_set(client) != wanted and time.monotonic() < deadline:
        time.sleep(0.2)


def _refused(desired: MongoRootDesired) -> AgentError:
    return AgentError(
        "invalid",
        f"the MongoDB server at {desired.address} refuses the login of {desired.root} with the declared and "
        "with the previous password: somebody changed it, or the volume belongs to another stack",
        prop="login",
        hint="declare the server's present password, encrypted: `formerPassword` in the settings, "
        "`former_password` of MongoDBArgs. The next `up` replaces that password by the declared one. "
        "Nothing was changed",
    )


def _others(undeclared: dict[str, str]) -> AgentError:
    name, roles = next(iter(undeclared.items()))
    return AgentError(
        "differs",
        f"the MongoDB server has undeclared users: {', '.join(undeclared)}",
        prop=f"users.{name}",
        hint="set adopt=True (in the settings: adopt: true), and `up` drops them; their data stay",
        detail=f"{name}: {roles}",
    )
