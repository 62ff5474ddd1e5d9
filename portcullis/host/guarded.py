"""Makes each change that could break the login as a confirmed commit.

The agent registers an undo, makes the change, and answers with the id of the undo. We then log in again from
outside, over a new connection. Only this login confirms the change. If the login fails, the open session
undoes the change. If that session is broken too, the host undoes the change by itself after a time window.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any

from portcullis.host.errors import (
    AgentRefused,
    ConnectionFailed,
    HostError,
    RolledBack,
    SessionBroken,
    TimedOut,
    Unreachable,
)
from portcullis.host.provider import HostProvider, stack_name
from portcullis.host.session import READ_TIMEOUT, Login, declared_login

if TYPE_CHECKING:
    from collections.abc import Callable

    from portcullis.host.agent_process import Json
    from portcullis.host.session import Channel
    from portcullis.host.survey import Item
    from portcullis.provider.base import Props

_USUAL = 120.0


def _window() -> float:
    try:
        return float(os.environ.get("PORTCULLIS_GUARD_SECONDS", _USUAL))
    except ValueError:
        return _USUAL


WINDOW = _window()
"""The time window: seconds until a host undoes an unconfirmed change by itself."""
_PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between two tries of the new login. sshd may restart now, and fail2ban counts refused logins."""
_MARGIN = 60.0
"""After the undo, a login must work again within this many seconds.

sshd delays clients that it refused (PerSourcePenalties).
"""

_one_at_a_time: dict[str, threading.Lock] = {}
_locks = threading.Lock()


class GuardedProvider(HostProvider):
    """A provider whose changes the host undoes unless a fresh login works."""

    def login(self, props: Props) -> Login:
        """Return the login that must work after the change. The default is the login of the session."""
        del props
        return Login()

    def login_after_removal(self, props: Props, result: Json) -> Login:
        """Return the login that must work after the removal of the resource."""
        del props, result
        return Login()

    def desired(self, props: Props) -> Any:
        """Return the declaration, with the user that logs in after the change.

        The agent checks that the host will accept this user.
        """
        login = declared_login(props["host"], stack_name(props)) or props.get("login", "")
        return super().desired({**props, "login": login})

    def apply(self, channel: Channel, item: Item, props: Props) -> Json:
        """Make the change, and keep it after a fresh login has worked."""
        return self.commit(channel, item, props, self.login(props))

    def commit(self, channel: Channel, item: Item, props: Props, login: Login) -> Json:
        """Make one confirmed commit and return the facts after it.

        A kind may need several confirmed commits in a row.

        Raises:
            RolledBack: the login failed, and the host undid the change.
        """
        with _lock(props):
            channel.families_in_use()  # finds the address families while the login still works
            result = _request_with_undo(channel, lambda more: self.put(channel, item, props, **more))
            confirm(channel, result, login)
        facts: Json = result["facts"]
        return facts

    def withdraw(self, channel: Channel, item: Item, props: Props, **more: Any) -> Json:
        """Remove the resource from the host, and keep the removal after a fresh login has worked."""
        with _lock(props):
            channel.families_in_use()
            ask = super().withdraw
            result = _request_with_undo(channel, lambda guard: ask(channel, item, props, **guard, **more))
            confirm(channel, result, self.login_after_removal(props, result))
        return result


def _lock(props: Props) -> threading.Lock:
    """Return the lock of a host.

    If two changes ran at once, a failed login would not show which change is wrong.
    """
    with _locks:
        return _one_at_a_time.setdefault(f"{stack_name(props)} {props['host']}", threading.Lock())


def _request_with_undo(channel: Channel, ask: Callable[[Json], Json]) -> Json:
    """Request a change with an armed undo.

    If the change breaks the session, find out whether the host kept or undid the change.

    Raises:
        RolledBack: the change broke the session, and the host undid the change.
        HostError: the request failed before an undo was armed.
    """
    attempt = secrets.token_hex(8)
    try:
        return ask({"guard": WINDOW, "attempt": attempt})
    except (SessionBroken, TimedOut) as error:
        raise _outcome_after_broken_session(channel, attempt, error) from None


def _outcome_after_broken_session(channel: Channel, attempt: str, broken: HostError) -> HostError:
    """Log in until the host has undone the change, and return the error that reports it."""
    why = f"the change broke the session that made it ({broken.cause})"
    gave_up = time.monotonic() + WINDOW + _MARGIN
    while time.monotonic() < gave_up:
        try:
            said = channel.log_in_again("armed", Login(), attempt=attempt)
        except HostError:
            said = None
        if said and said["undone"] is not None:
            hint = "correct the declaration, then run again"
            return RolledBack(f"{why}; {_UNDONE}", detail="\n".join(said["undone"]), hint=hint)
        if said and not said["armed"]:
            return broken
        time.sleep(_PAUSES[1])
    return RolledBack(f"{why}; {_UNDONE_BY_HOST}, but no fresh login works", hint=_CONSOLE)


_UNDONE = "the change was taken back, and the login works again"
_UNDONE_BY_HOST = "the host should have taken the change back by itself"
_CONSOLE = "log in at your provider's console: `journalctl -u 'portcullis-guard-*'` shows what happened"


def confirm(channel: Channel, result: Json, login: Login) -> None:
    """Confirm a `put` or `remove` by a fresh login, if the result contains the id of an armed undo.

    Raises:
        RolledBack: no login worked, and the host undid the change.
    """
    guard = result.get("guard")
    if not guard:
        return
    failure = _login_error(lambda: channel.log_in_again("confirm", login, guard=guard))
    error = _undo(channel, guard, failure) if failure is not None else None
    if error is not None:
        raise error


def _login_error(attempt: Callable[[], object]) -> HostError | None:
    """Try a login several times. Return None if a login works, otherwise the error."""
    failure: HostError | None = None
    deadline = time.monotonic() + WINDOW / 3
    for pause in (*_PAUSES, 0.0):
        try:
            attempt()
        except (Unreachable, TimedOut) as error:
            failure = error
        except (ConnectionFailed, AgentRefused) as error:
            return error  # the server refused the login: another try would not help
        else:
            return None
        if time.monotonic() > deadline:
            break
        time.sleep(pause)
    return failure


def _undo(channel: Channel, guard: str, failure: HostError) -> RolledBack | None:
    """Undo the change and check that a login works again.

    Return the error that reports the undo, or None if the change is confirmed.
    """
    refused = f"after the change, a fresh login failed: {failure.cause}"
    try:
        done = channel.request("rollback", timeout=READ_TIMEOUT, write=True, guard=guard)
    except HostError:
        done = None  # the session is broken too: the host undoes the change by itself
    if done and done["confirmed"]:
        return None  # the login had worked, and only the host's answer was lost
    gave_up = time.monotonic() + _MARGIN + (0 if done else WINDOW)
    while True:
        try:
            armed = channel.log_in_again("armed", Login(), guard=guard)["armed"]
        except HostError:
            armed = None
        if armed is False:
            break
        if time.monotonic() > gave_up:
            undone = "the change was taken back" if done else _UNDONE_BY_HOST
            return RolledBack(
                f"{refused}; {undone}, but no fresh login works",
                detail=failure.detail,
                hint=_CONSOLE,
            )
        time.sleep(_PAUSES[1])
    failed = done["failed"] if done else []
    return RolledBack(
        f"{refused}; {_UNDONE}",
        detail="\n".join([failure.detail, *failed]).strip(),
        hint=failure.hint or "correct the declaration, then run again",
    )
