"""Resources whose changes can cut us off: applied as confirmed commits.

The agent arms an undo, changes, and answers with the undo's id. We log in again from outside, over a
connection of its own, and only that login confirms. If it fails, the change is taken back: by the session
that is still open, or by the host itself when the window ends.
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
"""Seconds until a host restores itself."""
_PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between tries of the fresh login: sshd may be restarting, and fail2ban counts what is refused."""
_MARGIN = 60.0
"""Seconds after the undo in which a login must work: sshd lets wait whom it refused (PerSourcePenalties)."""

_one_at_a_time: dict[str, threading.Lock] = {}
_locks = threading.Lock()


class GuardedProvider(HostProvider):
    """A provider whose changes stay only after a fresh login."""

    def login(self, props: Props) -> Login:
        """Return which login has to work after the change; the session's own unless a kind knows better."""
        del props
        return Login()

    def login_after_removal(self, props: Props, result: Json) -> Login:
        """Return which login has to work once the thing is removed."""
        del props, result
        return Login()

    def desired(self, props: Props) -> Any:
        """Add who logs in afterwards, so that the agent can tell whether the change refuses them."""
        login = declared_login(props["host"], stack_name(props)) or props.get("login", "")
        return super().desired({**props, "login": login})

    def apply(self, channel: Channel, item: Item, props: Props) -> Json:
        """Change, and keep the change once a fresh login has worked."""
        return self.commit(channel, item, props, self.login(props))

    def commit(self, channel: Channel, item: Item, props: Props, login: Login) -> Json:
        """Make one confirmed commit and return the facts after it. A kind may need several in a row.

        Raises:
            RolledBack: the login failed, and everything is as it was.
        """
        with _lock(props):
            channel.families_in_use()  # while all of them still work
            result = _asked(channel, lambda more: self.put(channel, item, props, **more))
            confirm(channel, result, login)
        facts: Json = result["facts"]
        return facts

    def withdraw(self, channel: Channel, item: Item, props: Props, **more: Any) -> Json:
        """Undo the thing, and let it stay undone once a fresh login has worked."""
        with _lock(props):
            channel.families_in_use()
            ask = super().withdraw
            result = _asked(channel, lambda guard: ask(channel, item, props, **guard, **more))
            confirm(channel, result, self.login_after_removal(props, result))
        return result


def _lock(props: Props) -> threading.Lock:
    """Return the lock of a host: of two changes at once, a failing login could not tell which was wrong."""
    with _locks:
        return _one_at_a_time.setdefault(f"{stack_name(props)} {props['host']}", threading.Lock())


def _asked(channel: Channel, ask: Callable[[Json], Json]) -> Json:
    """Ask for a change under a guard; where the session does not outlive it, find out what became of it.

    Raises:
        RolledBack: the change cut the session off, and the host took it back.
        HostError: as the request says; a guard was never armed.
    """
    attempt = secrets.token_hex(8)
    try:
        return ask({"guard": WINDOW, "attempt": attempt})
    except (SessionBroken, TimedOut) as error:
        raise _after_the_break(channel, attempt, error) from None


def _after_the_break(channel: Channel, attempt: str, broken: HostError) -> HostError:
    """Log in until the host has taken the change back, and return the error that says so."""
    why = f"the change cut off the session that made it ({broken.cause})"
    gave_up = time.monotonic() + WINDOW + _MARGIN
    while time.monotonic() < gave_up:
        try:
            said = channel.log_in_again("armed", Login(), attempt=attempt)
        except HostError:
            said = None
        if said and said["undone"] is not None:
            hint = "correct what is declared, then run again"
            return RolledBack(f"{why}; {_BACK}", detail="\n".join(said["undone"]), hint=hint)
        if said and not said["armed"]:
            return broken
        time.sleep(_PAUSES[1])
    return RolledBack(f"{why}; {_ALONE}, and still no fresh login works", hint=_CONSOLE)


_BACK = "the change was taken back, and the login works again"
_ALONE = "the host should have taken it back by itself"
_CONSOLE = "log in at your provider's console: `journalctl -u 'portcullis-guard-*'` tells"


def confirm(channel: Channel, result: Json, login: Login) -> None:
    """Confirm what a put or remove answered, if it waits for that.

    Raises:
        RolledBack: nobody could log in, and the host is as it was before.
    """
    guard = result.get("guard")
    if not guard:
        return
    failure = _refused(lambda: channel.log_in_again("confirm", login, guard=guard))
    error = _take_back(channel, guard, failure) if failure is not None else None
    if error is not None:
        raise error


def _refused(attempt: Callable[[], object]) -> HostError | None:
    """Try a login until it works, which gives None, or until there is no more point in it."""
    failure: HostError | None = None
    deadline = time.monotonic() + WINDOW / 3
    for pause in (*_PAUSES, 0.0):
        try:
            attempt()
        except (Unreachable, TimedOut) as error:
            failure = error
        except (ConnectionFailed, AgentRefused) as error:
            return error  # the server spoke: it will say the same again
        else:
            return None
        if time.monotonic() > deadline:
            break
        time.sleep(pause)
    return failure


def _take_back(channel: Channel, guard: str, failure: HostError) -> RolledBack | None:
    """Have the change undone and verify that; return the error that says so, None where it was confirmed."""
    refused = f"after the change, a fresh login failed: {failure.cause}"
    try:
        done = channel.request("rollback", timeout=READ_TIMEOUT, write=True, guard=guard)
    except HostError:
        done = None  # the session is cut off too: the host restores itself
    if done and done["confirmed"]:
        return None  # it worked, and only its answer was lost
    gave_up = time.monotonic() + _MARGIN + (0 if done else WINDOW)
    while True:
        try:
            armed = channel.log_in_again("armed", Login(), guard=guard)["armed"]
        except HostError:
            armed = None
        if armed is False:
            break
        if time.monotonic() > gave_up:
            undone = "the change was taken back" if done else _ALONE
            return RolledBack(
                f"{refused}; {undone}, and still no fresh login works",
                detail=failure.detail,
                hint=_CONSOLE,
            )
        time.sleep(_PAUSES[1])
    failed = done["failed"] if done else []
    return RolledBack(
        f"{refused}; {_BACK}",
        detail="\n".join([failure.detail, *failed]).strip(),
        hint=failure.hint or "correct what is declared, then run again",
    )
