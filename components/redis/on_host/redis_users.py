"""Users of Redis: one line of its file of users each, and the same in the server while it runs.

What Redis refuses never reaches the file that it starts from: the running server is asked first. A server
that does not run reads the file when it starts.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

from portcullis.agent import disk, paths
from portcullis.agent.errors import HostError
from portcullis.agent.kind import Kind
from portcullis.agent.step import Json, Step
from portcullis.components.redis.on_host import redis_acl, redis_server, resp
from portcullis.components.redis.on_host.redis_acl import ABSENT, DECLARED, DEFAULT, DEFAULT_OFF
from portcullis.components.redis.on_host.resp import NotRunning, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record, Store
    from portcullis.components.redis.on_host.redis_server import Access, Login, Server, State

KIND = "redis.redis_users"
_LIMIT = 1024 * 1024
_MODE = 0o640
OFF = "off, no password, no rights"
"""How the user `default` has to be."""
TRUSTED = "trusted"
_SPEC = ("acl", "user", "address", "ops", "ca", "rules", "gid", "keeper")


class RedisUsers(Kind[Json, Json, Json]):
    """The kind ``redis-user``.

    One user of each server is its keeper: it answers for the user ``default``, for the file, and for every
    user that nobody declared.
    """

    def __init__(self, machine: Machine, store: Store) -> None:
        """Need the records, which tell who is declared."""
        super().__init__(machine, store)
        self._alone = threading.Lock()
        # What let us in where the credential on the host does not yet: it is written after the user is.
        self._worked: dict[Access, Login] = {}

    def spec(self, item: str, desired: Json) -> Json:
        spec = {key: desired[key] for key in _SPEC if desired.get(key) is not None}
        return {**spec, "hash": redis_acl.sha256(str(desired["password"]))}

    def facts(self, questions: Sequence[Question[Json]]) -> Answers[Json]:
        """A server is asked once, whatever the number of its users."""
        states: dict[Access, State | HostError] = {}
        for spec, _ in questions:
            server = redis_server.access(spec)
            if server not in states:
                rules = [str(s["rules"]) for s, _ in questions if redis_server.access(s) == server]
                try:
                    states[server] = redis_server.read(server, self._others(server), rules)
                except HostError as error:
                    states[server] = error
        answers: Answers[Json] = []
        for spec, record in questions:
            state = states[redis_server.access(spec)]
            try:
                answers.append(state if isinstance(state, HostError) else self._facts(spec, record, state))
            except HostError as error:
                answers.append(error)
        return answers

    def _facts(self, spec: Json, record: Record | None, state: State) -> Json:
        text, status = _read(spec["acl"])
        line = _line(spec)
        user = str(spec["user"])
        running = DECLARED
        if state.trouble:
            running = state.trouble
        elif state.users is not None:
            rules = state.rules[str(spec["rules"])]
            running = redis_acl.in_server(state.users.get(user), line, rules)
        facts: Json = {
            "line": redis_acl.in_file(text, line),
            "running": running,
            "revision": record.revision if record else "",
        }
        if spec.get("ca"):
            # No step comes of it: an expired certificate is renewed by what follows in the same deployment.
            facts["certificate"] = state.untrusted or TRUSTED
        there = facts["line"] != ABSENT or (state.users is not None and user in state.users)
        if spec.get("keeper"):
            facts["default"] = _default(text, state)
            facts["undeclared"] = self._undeclared(spec, text, state)
            facts["file"] = _ownership(status)
            # A new keeper of a file that is as the one before keeps it takes nothing from anybody.
            there = there or bool(facts["undeclared"]) or (status is not None and facts["default"] != OFF)
        return {"exists": there, **facts}

    def _undeclared(self, spec: Json, text: str, state: State) -> dict[str, str]:
        """Users without a resource, each with where it is."""
        acl = str(spec["acl"])
        declared = {DEFAULT, str(spec["user"])}
        declared |= {
            str(r.spec["user"]) for r in self._store.all() if r.kind == KIND and r.spec["acl"] == acl
        }
        in_file = {redis_acl.name_of(line) for line in redis_acl.lines(text)} - declared
        live = set(state.users or ()) - declared
        where = {
            (True, True): "in the file and in the running server",
            (True, False): "in the file",
            (False, True): "in the running server",
        }
        return {
            name or "(a line that is no user's)": where[name in in_file, name in live]
            for name in sorted(in_file | live)
        }

    def plan(self, desired: Json, facts: Json) -> list[Step]:
        wanted = {"line": DECLARED, "running": DECLARED}
        if desired.get("keeper"):
            wanted.update({"default": OFF, "file": _owned(desired)})
        steps = [
            Step(prop, str(facts[prop]) if facts["exists"] else ABSENT, want, "set")
            for prop, want in wanted.items()
            if not facts["exists"] or facts[prop] != want
        ]
        undeclared = facts.get("undeclared", {}) if desired.get("keeper") else {}
        return steps + [
            Step(f"undeclared.{name}", have, "absent", "take away") for name, have in undeclared.items()
        ]

    def obstacle(self, desired: Json, facts: Json) -> HostError | None:
        return None

    def is_unmodified_default(self, item: str, facts: Json) -> bool:
        return False

    def original(self, item: str, facts: Json, folder: Path) -> Json:
        """Nothing is kept: a user of the same name was another user."""
        return {"type": "absent"}

    def apply(self, desired: Json, steps: list[Step], work: Work) -> None:
        if not steps:
            return
        spec = self.spec("", desired)
        own = (str(desired["user"]), str(desired["password"]))
        with self._alone, contextlib.ExitStack() as stack:
            trouble, server = "", None
            try:
                server = stack.enter_context(contextlib.closing(self._enter(spec, own)))
                self._set(server, spec, own)
            except NotRunning:
                server = None
            except Refused as refused:
                trouble = str(refused)
            self._write(spec, desired)
            if trouble:
                raise _shut_out(spec, trouble)
            if server is not None:
                self._clean(server, spec)

    def _enter(self, spec: Json, own: Login) -> Server:
        access = redis_server.access(spec)
        return redis_server.enter(access, [*self._others(access), *([own] if spec.get("keeper") else [])])

    def _others(self, access: Access) -> list[Login]:
        return [self._worked[access]] if access in self._worked else []

    def _set(self, server: Server, spec: Json, own: Login) -> None:
        """Bring the running server's user to its line, and prove that it can log in."""
        line, user = _line(spec), str(spec["user"])
        before = server.users().get(user)
        try:
            server.set(line)
        except Refused as refused:
            raise HostError(
                "test-failed",
                f"Redis at {spec['address']} does not take this user: {refused}",
                prop="rules",
                hint="nothing was changed",
            ) from None
        access = redis_server.access(spec)
        if spec.get("keeper"):
            self._worked[access] = own
        if before is not None and redis_acl.other_passwords(before, line):
            server.end_sessions(user)  # any of them may have come in with what is no password any more
        try:
            resp.login(access.address, *own, ca=access.ca).close()
        except Refused as refused:
            raise HostError(
                "not-converged",
                f"Redis at {spec['address']} refuses the login of {user} after it was set: {refused}",
                prop="password",
            ) from None

    def _write(self, spec: Json, desired: Json) -> None:
        before, status = _read(spec["acl"])
        text = redis_acl.with_line(before, _line(spec))
        if spec.get("keeper"):
            text = redis_acl.with_line(text, DEFAULT_OFF)
            text = redis_acl.without(text, set(self._names(self._undeclared(spec, text, _NO_STATE))))
        elif status is None:
            text = redis_acl.with_line(text, DEFAULT_OFF)  # never a moment with a default user
        if status is not None and text == before and _ownership(status) == _owned(desired):
            return
        gid = int(desired["gid"])
        disk.write(paths.checked(spec["acl"]), text.encode(), mode=_MODE, uid=0, gid=gid)

    def _clean(self, server: Server, spec: Json) -> None:
        """Of a keeper: nobody is in the running server who is not declared, and ``default`` is off."""
        if not spec.get("keeper"):
            return
        users = server.users()
        if _default(f"{DEFAULT_OFF}\n", redis_server.State(users, "", {})) != OFF:
            server.set(DEFAULT_OFF)
            server.end_sessions(DEFAULT)
        server.drop(self._names(self._undeclared(spec, "", redis_server.State(users, "", {}))))

    @staticmethod
    def _names(undeclared: dict[str, str]) -> list[str]:
        return ["" if name.startswith("(") else name for name in undeclared]

    def remove(self, desired: Json, record: Record, folder: Path) -> str:
        """The file first, so that a server which starts meanwhile does not know the user."""
        spec = record.spec
        user = str(spec["user"])
        with self._alone, contextlib.ExitStack() as stack:
            trouble, server = "", None
            try:
                server = self._enter(spec, (user, str(desired.get("password", ""))))
                stack.callback(server.close)
            except NotRunning:
                server = None
            except Refused as refused:
                trouble = str(refused)
            text, status = _read(spec["acl"])
            left = redis_acl.without(text, {user})
            if status is not None and left != text:
                running = server is not None or trouble != ""
                self._rewrite(paths.checked(spec["acl"]), left, status, running=running)
            if trouble:
                raise _shut_out(spec, trouble)
            if server is not None:
                server.drop([user])
        return "removed" if left != text else "absent"

    @staticmethod
    def _rewrite(path: Path, text: str, status: os.stat_result, *, running: bool) -> None:
        """Put the rest of the file back; with the last user the file goes."""
        if not running and redis_acl.lines(text) == [DEFAULT_OFF]:
            paths.remove_file(path)
            return
        disk.write(path, text.encode(), mode=status.st_mode & 0o7777, uid=status.st_uid, gid=status.st_gid)


_NO_STATE = redis_server.State(None, "", {})


def _line(spec: Json) -> str:
    return redis_acl.user_line(str(spec["user"]), str(spec["hash"]), str(spec["rules"]))


def _default(text: str, state: State) -> str:
    """What the user ``default`` is, in the file and in the running server."""
    said = redis_acl.in_file(text, DEFAULT_OFF)
    if said != DECLARED:
        return f"{'as Redis makes it: no password, all rights' if said == ABSENT else said} (in the file)"
    words = (state.users or {}).get(DEFAULT)
    if words is None:
        return OFF
    secure = "off" in words and "nopass" not in words and redis_acl.rules_of(words) == ["-@all"]
    return OFF if secure else f"{redis_acl.described(words, '')} (in the running server)"


def _read(path: str) -> tuple[str, os.stat_result | None]:
    """The file of users, or nothing where there is none. Raises `HostError`."""
    with disk.reading(paths.checked(path)) as place:
        status = place.look()
        if status is None:
            return "", None
        fd = place.open()
        try:
            return os.pread(fd, _LIMIT, 0).decode("utf-8", "replace"), status
        finally:
            os.close(fd)


def _ownership(status: os.stat_result | None) -> str:
    if status is None:
        return ABSENT
    return f"{status.st_uid}:{status.st_gid} {paths.mode_text(status.st_mode)}"


def _owned(desired: Json) -> str:
    return f"0:{desired['gid']} {_MODE:04o}"


def _shut_out(spec: Json, trouble: str) -> HostError:
    return HostError(
        "invalid",
        f"Redis at {spec['address']} {trouble}",
        prop="running",
        hint=f"{spec['acl']} is as declared: restart the container, which reads it when it starts",
    )
