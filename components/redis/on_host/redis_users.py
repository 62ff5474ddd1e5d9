"""Users of Redis: a user is one line of the ACL file, and the same user in the running server.

The agent sets the running server first, so rules that Redis refuses never reach the ACL file. A server that
does not run reads the file when it starts.
"""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from portcullis.agent import disk, paths
from portcullis.agent.claims import Claims
from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind, each
from portcullis.agent.step import Step
from portcullis.agent.wire import ABSENT
from portcullis.components.redis.facts import (
    DECLARED,
    DEFAULT,
    FILE_MODE,
    OFF,
    TRUSTED,
    RedisUserDesired,
    RedisUserFacts,
    RedisUserSpec,
    file_ownership,
)
from portcullis.components.redis.on_host import redis_acl, redis_server
from portcullis.components.redis.on_host.redis_acl import DEFAULT_OFF
from portcullis.components.redis.on_host.resp import NotRunning, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record, Store
    from portcullis.components.redis.on_host.redis_server import Access, Login, Server, State

KIND = "redis.redis_users"
_LIMIT = 1024 * 1024


class RedisUsers(Kind[RedisUserSpec, RedisUserDesired, RedisUserFacts]):
    """Users of Redis.

    One user of each server is the keeper. The keeper's resource also manages the user ``default``, the ACL
    file, and every undeclared user.
    """

    spec_type = RedisUserSpec
    desired_type = RedisUserDesired
    facts_type = RedisUserFacts

    def __init__(self, machine: Machine, store: Store) -> None:
        """Prepare the lock and the logins. The records in `store` say which users are declared."""
        super().__init__(machine, store)
        self._alone = threading.Lock()
        # Logins that worked before the credential file was on the host: a deployment writes the file after
        # the user.
        self._worked: dict[Access, Login] = {}

    def claims(self, record: Record) -> Claims:
        """Claim the ACL file, so that the inventory does not report it.

        This code itself reports each undeclared user in the file.
        """
        return Claims(paths=(str(record.spec.get("acl", "")),))

    def facts(self, questions: Sequence[Question[RedisUserSpec]]) -> Answers[RedisUserFacts]:
        """Read each server once, whatever the number of its users."""
        states: dict[Access, State | AgentError] = {}
        for spec, _ in questions:
            server = redis_server.access(spec)
            if server not in states:
                rules = [s.rules for s, _ in questions if redis_server.access(s) == server]
                try:
                    states[server] = redis_server.read(self._machine, server, self._others(server), rules)
                except AgentError as error:
                    states[server] = error
        return each(lambda spec, _: self._facts(spec, states[redis_server.access(spec)]), questions)

    def _facts(self, spec: RedisUserSpec, state: State | AgentError) -> RedisUserFacts:
        if isinstance(state, AgentError):
            raise state
        text, status = _read(spec.acl)
        line = _line(spec)
        running = DECLARED
        if state.trouble:
            running = state.trouble
        elif state.users is not None:
            running = redis_acl.in_server(state.users.get(spec.user), line, state.rules[spec.rules])
        in_file = redis_acl.in_file(text, line)
        found = RedisUserFacts(
            exists=in_file != ABSENT or spec.user in (state.users or ()),
            line=in_file,
            running=running,
            # A certificate gives no step: a later resource of the same deployment renews an expired one.
            certificate=(state.untrusted or TRUSTED) if spec.ca else None,
        )
        if not spec.keeper:
            return found
        default, undeclared = _default(text, state), self._undeclared(spec, text, state)
        return replace(
            found,
            # A new keeper needs no `adopt` if another keeper left the file in the declared state.
            exists=found.exists or bool(undeclared) or (status is not None and default != OFF),
            default=default,
            undeclared=undeclared,
            file=_ownership(status),
        )

    def _undeclared(self, spec: RedisUserSpec, text: str, state: State) -> dict[str, str]:
        """Return users without a resource, each with the place where the agent found the user."""
        declared = {DEFAULT, spec.user}
        declared |= {
            str(r.spec["user"]) for r in self._store.all() if r.kind == KIND and r.spec["acl"] == spec.acl
        }
        in_file = {redis_acl.name_of(line) for line in redis_acl.lines(text)} - declared
        live = set(state.users or ()) - declared
        where = {
            (True, True): "in the file and in the running server",
            (True, False): "in the file",
            (False, True): "in the running server",
        }
        return {
            name or "(a line without a user)": where[name in in_file, name in live]
            for name in sorted(in_file | live)
        }

    def plan(self, desired: RedisUserDesired, facts: RedisUserFacts) -> list[Step]:
        wanted = {"line": DECLARED, "running": DECLARED}
        if desired.keeper:
            wanted.update({"default": OFF, "file": file_ownership(desired.gid)})
        steps = [
            Step(prop, str(getattr(facts, prop)) if facts.exists else ABSENT, want, "set")
            for prop, want in wanted.items()
            if not facts.exists or getattr(facts, prop) != want
        ]
        undeclared = (facts.undeclared or {}) if desired.keeper else {}
        return steps + [
            Step(f"undeclared.{name}", have, "absent", "take away") for name, have in undeclared.items()
        ]

    def apply(self, desired: RedisUserDesired, steps: list[Step], work: Work) -> None:
        if not steps:
            return
        spec, own = desired.spec(), (desired.user, desired.password)
        with self._alone, contextlib.ExitStack() as stack:
            trouble, server = "", None
            try:
                server = stack.enter_context(contextlib.closing(self._enter(spec, own)))
                self._set(server, spec, own)
            except NotRunning:
                server = None
            except Refused as refused:
                trouble = str(refused)
            self._write(spec)
            if trouble:
                raise _login_refused(spec, trouble)
            if server is not None:
                self._clean(server, spec)

    def _enter(self, spec: RedisUserSpec, own: Login) -> Server:
        access = redis_server.access(spec)
        others = [*self._others(access), *([own] if spec.keeper else [])]
        return redis_server.enter(self._machine, access, others)

    def _others(self, access: Access) -> list[Login]:
        return [self._worked[access]] if access in self._worked else []

    def _set(self, server: Server, spec: RedisUserSpec, own: Login) -> None:
        """Set the user in the running server, and prove that it can log in."""
        line, user = _line(spec), spec.user
        before = server.users().get(user)
        try:
            server.set(line)
        except Refused as refused:
            raise AgentError(
                "test-failed",
                f"Redis at {spec.address} refuses the rules of the user {user}: {refused}",
                prop="rules",
                hint="nothing was changed",
            ) from None
        access = redis_server.access(spec)
        if spec.keeper:
            self._worked[access] = own
        if before is not None and redis_acl.other_passwords(before, line):
            server.end_sessions(user)  # they may have logged in with a password that is no longer valid
        try:
            access.connect(self._machine).log_in(*own).close()
        except Refused as refused:
            raise AgentError(
                "not-converged",
                f"Redis at {spec.address} refuses the login of {user}, which `up` has just set: {refused}",
                prop="password",
            ) from None

    def _write(self, spec: RedisUserSpec) -> None:
        before, status = _read(spec.acl)
        text = redis_acl.with_line(before, _line(spec))
        if spec.keeper:
            text = redis_acl.with_line(text, DEFAULT_OFF)
            text = redis_acl.without(text, set(self._names(self._undeclared(spec, text, _NO_STATE))))
        elif status is None:
            text = redis_acl.with_line(text, DEFAULT_OFF)  # so that the default user is never open
        if status is not None and text == before and _ownership(status) == file_ownership(spec.gid):
            return
        disk.write(paths.checked(spec.acl), text.encode(), mode=FILE_MODE, uid=0, gid=int(spec.gid))

    def _clean(self, server: Server, spec: RedisUserSpec) -> None:
        """If the user is the keeper, switch ``default`` off in the server, and delete undeclared users."""
        if not spec.keeper:
            return
        users = server.users()
        if _default(f"{DEFAULT_OFF}\n", redis_server.State(users, "", {})) != OFF:
            server.set(DEFAULT_OFF)
            server.end_sessions(DEFAULT)
        server.drop(self._names(self._undeclared(spec, "", redis_server.State(users, "", {}))))

    @staticmethod
    def _names(undeclared: Iterable[str]) -> list[str]:
        return ["" if name.startswith("(") else name for name in undeclared]

    def remove(self, desired: RedisUserDesired, record: Record, folder: Path) -> str:
        """Remove the user, first from the file: a server that starts meanwhile must not know the user."""
        spec = self.as_spec(record.spec)
        with self._alone, contextlib.ExitStack() as stack:
            trouble, server = "", None
            try:
                server = self._enter(spec, (spec.user, desired.password))
                stack.callback(server.close)
            except NotRunning:
                server = None
            except Refused as refused:
                trouble = str(refused)
            text, status = _read(spec.acl)
            left = redis_acl.without(text, {spec.user})
            if status is not None and left != text:
                running = server is not None or trouble != ""
                self._rewrite(paths.checked(spec.acl), left, status, running=running)
            if trouble:
                raise _login_refused(spec, trouble)
            if server is not None:
                server.drop([spec.user])
        return "removed" if left != text else "absent"

    @staticmethod
    def _rewrite(path: Path, text: str, status: os.stat_result, *, running: bool) -> None:
        """Write `text`, the ACL file without the removed user.

        If no server runs and no declared user is left, remove the file.
        """
        if not running and redis_acl.lines(text) == [DEFAULT_OFF]:
            paths.remove_file(path)
            return
        disk.write(path, text.encode(), mode=status.st_mode & 0o7777, uid=status.st_uid, gid=status.st_gid)


_NO_STATE = redis_server.State(None, "", {})


def _line(spec: RedisUserSpec) -> str:
    return redis_acl.user_line(spec.user, spec.hash, spec.rules)


def _default(text: str, state: State) -> str:
    """Describe the user ``default`` in the file and in the running server."""
    said = redis_acl.in_file(text, DEFAULT_OFF)
    if said != DECLARED:
        return f"{'the default of Redis: no password, all rights' if said == ABSENT else said} (in the file)"
    words = (state.users or {}).get(DEFAULT)
    if words is None:
        return OFF
    secure = "off" in words and "nopass" not in words and redis_acl.rules_of(words) == ["-@all"]
    return OFF if secure else f"{redis_acl.described(words, '')} (in the running server)"


def _read(path: str) -> tuple[str, os.stat_result | None]:
    """Return the text and status of the ACL file; "" and None if it is missing. Raises `AgentError`."""
    with disk.reading(paths.checked(path)) as place:
        if place.look() is None:
            return "", None
        fd = place.open()
        try:
            return os.pread(fd, _LIMIT, 0).decode("utf-8", "replace"), os.fstat(fd)
        finally:
            os.close(fd)


def _ownership(status: os.stat_result | None) -> str:
    if status is None:
        return ABSENT
    return f"{status.st_uid}:{status.st_gid} {paths.mode_text(status.st_mode)}"


def _login_refused(spec: RedisUserSpec, trouble: str) -> AgentError:
    return AgentError(
        "invalid",
        f"Redis at {spec.address} {trouble}",
        prop="running",
        hint=f"{spec.acl} has the declared users: restart the container, and Redis reads this file",
    )
