from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.guarded import GuardedDesired
from portcullis.agent.wire import Facts, Spec
from portcullis.host import guarded
from portcullis.host.errors import (
    AgentRefused,
    ConnectionFailed,
    LoginRefused,
    RolledBack,
    SessionBroken,
    TimedOut,
    Unreachable,
)
from portcullis.host.guarded import GuardedProvider
from portcullis.host.session import Login

if TYPE_CHECKING:
    from collections.abc import Callable

    from portcullis.host.provider import Normaliser, Props
    from tests.canned import CannedChannel

URN = "urn:pulumi:lab::portcullis::portcullis:index:Door::door"
PROPS = {"host": "web1", "managed_by": URN, "closed": "no"}


@dataclass(frozen=True)
class DoorSpec(Spec):
    pass


@dataclass(frozen=True)
class DoorDesired(GuardedDesired):
    closed: str = "no"

    @property
    def id(self) -> str:
        return "door"

    def spec(self) -> DoorSpec:
        return DoorSpec()


@dataclass(frozen=True)
class DoorFacts(Facts):
    closed: str = ""


class DoorProvider(GuardedProvider):
    kind = "door"
    desired_type = DoorDesired
    facts_type = DoorFacts
    live = ("closed",)
    identity = ("host",)

    def normalise(self, inputs: Normaliser) -> None:
        inputs.text("closed")

    def absent_inputs(self) -> Props:
        return {}

    def login(self, props: Props) -> Login:
        return Login(port=props.get("port"))


class Host:
    """Answers requests like a host with the agent.

    `logins` are the outcomes of the logins that confirm a change; the last one repeats. After these logins,
    the next `away` logins fail. `broken` is the error that ends the session during the change. `guards` tells
    whether the host had registered an undo before that error.
    """

    def __init__(
        self,
        *logins: Exception | None,
        session_lives: bool = True,
        away: float = 0,
        broken: Exception | None = None,
        guards: bool = True,
    ) -> None:
        self.broken, self.guards, self.attempt = broken, guards, ""
        self.logins = list(logins)
        self.session_lives = session_lives
        self.away = away
        self.state = "untouched"

    def __call__(self, op: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if op == "confirm":
            outcome = self.logins.pop(0) if len(self.logins) > 1 else self.logins[0]
            if outcome:
                raise outcome
            self.state = "confirmed"
            return {}
        if op == "armed" and "attempt" in arguments:
            return self.outcome(arguments["attempt"])
        if op == "armed":
            self.away -= 1
            if self.away >= 0:
                raise Unreachable("timed out")
            if not self.session_lives:
                self.state = "restored by itself"
            return {"armed": self.state == "armed"}
        return self.rollback() if op == "rollback" else self.change(arguments)

    def outcome(self, attempt: str) -> dict[str, Any]:
        self.away -= 1
        if self.away >= 0:
            raise Unreachable("timed out")
        assert attempt == self.attempt
        if self.state == "armed":
            self.state = "restored by itself"
            return {"armed": True, "undone": None}
        return {"armed": False, "undone": ["sshd: failed"] if self.state == "restored by itself" else None}

    def rollback(self) -> dict[str, Any]:
        if not self.session_lives:
            raise ConnectionFailed("the session broke")
        if self.state == "confirmed":
            return {"confirmed": True, "failed": []}
        self.state = "restored"
        return {"confirmed": False, "failed": []}

    def change(self, arguments: dict[str, Any]) -> dict[str, Any]:
        assert arguments["guard"] == guarded.WINDOW
        self.attempt = arguments["attempt"]
        if self.broken:
            self.state = "armed" if self.guards else "untouched"
            raise self.broken
        self.state = "armed"
        return {"facts": {"exists": True}, "steps": [], "done": "removed", "guard": "7f"}


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let time pass only while somebody sleeps, and then at once."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(guarded, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))


def test_a_change_stays_after_a_fresh_login(canned: Callable[..., CannedChannel]) -> None:
    channel = canned(host := Host(None))
    DoorProvider().create({**PROPS, "port": 2222})
    assert host.state == "confirmed"
    assert channel.sent[-1] == ("confirm", {"guard": "7f", "login": Login(port=2222)})


def test_the_login_is_tried_again_while_a_server_restarts(canned: Callable[..., CannedChannel]) -> None:
    canned(host := Host(Unreachable("refused"), Unreachable("refused"), None))
    DoorProvider().update("id", PROPS, PROPS)
    assert host.state == "confirmed"


def test_a_refused_login_undoes_the_change_and_reports_the_cause(
    canned: Callable[..., CannedChannel],
) -> None:
    denied = LoginRefused("the host accepts none of our keys", hint="check the key")
    channel = canned(host := Host(denied))
    with pytest.raises(RolledBack) as caught:
        DoorProvider().create(PROPS)
    assert host.state == "restored"
    assert [op for op, _ in channel.sent] == ["put", "confirm", "rollback", "armed"], "one refusal is enough"
    said = str(caught.value)
    assert said.startswith(
        'web1: Door "door": after the change, a fresh login failed: the host accepts none of our keys'
    )
    assert "taken back, and the login works again" in said


def test_with_a_broken_session_we_wait_for_the_host_to_undo_the_change(
    canned: Callable[..., CannedChannel],
) -> None:
    canned(host := Host(Unreachable("timed out"), session_lives=False, away=3))
    with pytest.raises(RolledBack, match="taken back, and the login works again"):
        DoorProvider().create(PROPS)
    assert host.state == "restored by itself"


@pytest.mark.parametrize("broken", [SessionBroken("the session broke"), TimedOut("no answer to 'put'")])
@pytest.mark.parametrize("change", ["create", "delete"])
def test_after_the_change_broke_the_session_we_wait_for_the_undo(
    canned: Callable[..., CannedChannel], broken: Exception, change: str
) -> None:
    canned(host := Host(broken=broken, away=2))
    with pytest.raises(RolledBack) as caught:
        DoorProvider().create(PROPS) if change == "create" else DoorProvider().delete("id", PROPS)
    assert host.state == "restored by itself"
    said = str(caught.value)
    assert said.startswith('web1: Door "door": the change broke the session that made it (')
    assert "the change was taken back, and the login works again\n    sshd: failed" in said


def test_a_session_that_breaks_before_the_undo_is_armed_is_a_plain_error(
    canned: Callable[..., CannedChannel],
) -> None:
    canned(Host(broken=SessionBroken("the session broke"), guards=False))
    with pytest.raises(SessionBroken, match="the session broke"):
        DoorProvider().create(PROPS)
    channel = canned(Host(broken=Unreachable("not reachable")))
    with pytest.raises(Unreachable):
        DoorProvider().create(PROPS)
    assert [op for op, _ in channel.sent] == ["put"], "nobody waits for a host that was never there"


def test_a_host_that_stays_unreachable_after_the_session_broke(
    canned: Callable[..., CannedChannel],
) -> None:
    canned(Host(broken=SessionBroken("the session broke"), away=math.inf))
    with pytest.raises(RolledBack, match="by itself, but no fresh login works"):
        DoorProvider().create(PROPS)


def test_a_host_that_stays_unreachable_after_the_change(canned: Callable[..., CannedChannel]) -> None:
    canned(Host(Unreachable("timed out"), session_lives=False, away=math.inf))
    with pytest.raises(RolledBack, match="taken the change back by itself, but no fresh login works"):
        DoorProvider().create(PROPS)


def test_a_confirmation_that_comes_too_late_is_no_success(canned: Callable[..., CannedChannel]) -> None:
    canned(Host(AgentRefused("rolled-back", "the host has undone the change by itself")))
    with pytest.raises(RolledBack, match="undone the change by itself"):
        DoorProvider().create(PROPS)


def test_a_confirmation_whose_answer_is_lost_is_a_success(canned: Callable[..., CannedChannel]) -> None:
    host = Host(None)

    def lossy(op: str, arguments: dict[str, Any]) -> dict[str, Any]:
        answer = host(op, arguments)
        if op == "confirm":
            raise ConnectionFailed("the session broke before the answer came")
        return answer

    canned(lossy)
    DoorProvider().create(PROPS)
    assert host.state == "confirmed"


def test_a_removal_is_confirmed_too(canned: Callable[..., CannedChannel]) -> None:
    canned(host := Host(LoginRefused("denied")))
    with pytest.raises(RolledBack):
        DoorProvider().delete("id", PROPS)
    assert host.state == "restored"
