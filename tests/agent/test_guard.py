"""Tests the agent's part of a confirmed commit, which is a change that stays only after a new login.

The agent registers an undo before the change. A login removes the undo; without a login, the undo runs.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent import guard as guard_module
from portcullis.agent.errors import AgentError
from portcullis.agent.guard import Guards, main
from portcullis.agent.guarded import Guarded, Peer, Undo
from portcullis.agent.run import Done
from portcullis.agent.store import Store
from portcullis.host.bundle import agent_bundle
from portcullis.resources.file.on_host import Files
from tests import on_host
from tests.on_host import WHO, Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from portcullis.agent.machine import Machine
    from portcullis.agent.step import Json, Step
    from portcullis.agent.store import Record
    from portcullis.resources.file.facts import FileDesired, FileFacts

WINDOW = 120
PEER = Peer.parse("192.0.2.9 40000 192.0.2.1 22")


class Door(Guarded["FileDesired", "FileFacts"], Files):
    """A kind of resource for these tests: a file that decides who can log in.

    It works like the kind `Files`, but its changes need a confirmation.
    """

    def preflight(
        self, desired: FileDesired, facts: FileFacts, steps: list[Step], peer: Peer | None
    ) -> AgentError | None:
        del facts, steps
        if peer is not None and f"deny {peer.address}" in desired.content:
            return AgentError("lock-out", f"it denies {peer.address}, where this session comes from")
        return None

    def undo(self, desired: FileDesired, facts: FileFacts, steps: list[Step]) -> Undo | None:
        del facts
        if all(step.prop == "mode" for step in steps):
            return None
        return Undo((desired.path,), (("reload", "door"),))

    def undo_removal(self, desired: FileDesired, record: Record, facts: FileFacts) -> Undo | None:
        del record, facts
        return Undo((desired.path,), (("reload", "door"),))


class FakeHost:
    """Records the commands that are started. Commands whose first word is in `fail` fail."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.fail: set[str] = set()
        self.on: dict[str, Callable[[], None]] = {}

    def __call__(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> Done:
        del env
        assert timeout > 0
        self.calls.append(list(argv))
        self.on.get(argv[0], lambda: None)()
        return Done(1, "", "it does not work") if argv[0] in self.fail else Done(0, "", "")

    def started(self, word: str) -> list[list[str]]:
        return [call for call in self.calls if call[0] == word]


class DoorClient:
    """A deployment that declares the file of the kind `Door`."""

    def __init__(self, machine: Machine, path: Path) -> None:
        self.machine, self.path = machine, path
        self.client = Client(machine)
        self.client.operations._kinds["door"] = Door(machine, Store(machine.state))

    def again(self) -> DoorClient:
        self.client.close()
        return DoorClient(self.machine, self.path)

    def beside(self) -> DoorClient:
        """Return a second session with the same host, such as the login that confirms a change."""
        return DoorClient(self.machine, self.path)

    def desired(self, content: str, **more: Any) -> Json:
        return {
            "path": str(self.path), "content": content, "owner": "root", "group": "root", "mode": "0644",
            "on_delete": "restore", **more,
        }  # fmt: skip

    def put(self, content: str, **more: Any) -> Json:
        desired = self.desired(content, **more)
        return self.client.on("put", "door", str(self.path), desired, guard=WINDOW, adopt=True)

    def remove(self, content: str) -> Json:
        return self.client.on("remove", "door", str(self.path), self.desired(content), guard=WINDOW)


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


@pytest.fixture
def door(machine: Machine, host: FakeHost, tmp_path: Path, etc: Path) -> Iterator[DoorClient]:
    units = tmp_path / "units"
    (units / "multi-user.target.wants").mkdir(parents=True)
    made = DoorClient(dataclasses.replace(machine, run=host, units=units, peer=PEER), etc / "door")
    yield made
    made.client.close()


def boot_units(door: DoorClient) -> list[str]:
    return sorted(path.name for path in door.machine.units.rglob("*guard*"))


def test_a_change_is_kept_once_a_fresh_login_confirms(door: DoorClient, host: FakeHost) -> None:
    door.path.write_text("open\n")
    guard = door.put("narrow\n")["guard"]
    assert door.path.read_text() == "narrow\n"
    (timer,) = host.started("systemd-run")
    assert f"--on-active={WINDOW}" in timer
    assert timer[-1] == guard
    assert boot_units(door) == ["portcullis-guard.service"] * 2

    fresh = door.beside()
    assert fresh.client.ask("armed", guard=guard) == {"armed": True}
    assert fresh.client.ask("confirm", guard=guard) == {}
    assert ["systemctl", "--no-pager", "stop", f"portcullis-guard-{guard}.timer"] in host.calls
    assert door.path.read_text() == "narrow\n"
    assert boot_units(door) == []
    assert not (door.machine.state / "guards").exists()
    assert "guard" not in door.put("narrow\n"), "nothing was changed"


def test_the_timer_and_the_boot_unit_start_the_same_undo(door: DoorClient, host: FakeHost) -> None:
    guard = door.put("narrow\n")["guard"]
    (timer,) = host.started("systemd-run")
    undo = timer[8:-1]
    assert timer[:8] == [
        "systemd-run", "--quiet", f"--unit=portcullis-guard-{guard}", "--on-active=120",
        "--timer-property=AccuracySec=500ms", "--property=Restart=on-failure", "--property=RestartSec=5",
        "--description=Portcullis: undo a change that nobody confirmed",
    ]  # fmt: skip
    assert undo[:3] == [sys.executable, "-I", "-c"]
    assert undo[-1] == str(door.machine.state)
    unit = door.machine.units / "portcullis-guard.service"
    quoted = " ".join(f'"{word}"' for word in undo)
    assert f"\nExecStart={quoted}\n" in unit.read_text()
    assert unit.stat().st_mode & 0o777 == 0o644
    assert (unit.parent / "multi-user.target.wants" / unit.name).readlink() == unit
    assert (door.machine.state / "guards").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("asked", "window"), [(1, 10), (10, 10), (900, 900), (9000, 900)])
def test_a_window_is_ten_seconds_to_fifteen_minutes(
    door: DoorClient, host: FakeHost, asked: int, window: int
) -> None:
    desired = door.desired("narrow\n")
    door.client.on("put", "door", str(door.path), desired, guard=asked)
    (timer,) = host.started("systemd-run")
    assert f"--on-active={window}" in timer


def test_an_undo_reports_what_failed_and_does_the_rest(
    door: DoorClient, host: FakeHost, tmp_path: Path
) -> None:
    """A file has replaced the first file's folder, and one of the programs is missing."""
    blocked, other = tmp_path / "folder" / "blocked", tmp_path / "other"
    blocked.parent.mkdir()
    for path in (blocked, other):
        path.write_text("open\n")
    undo = Undo((str(blocked), str(other)), (("gone",), ("reload", "door")))
    guards = Guards(door.machine)
    with guards.armed(guard_module.Change("a door", undo, WINDOW, "abc", WHO)) as number:
        blocked.unlink()
        blocked.parent.rmdir()
        blocked.parent.write_text("")
        other.write_text("narrow\n")

    def gone() -> None:
        raise AgentError("invalid", "there is no program gone on the host")

    host.on["gone"] = gone
    done = guards.restore(number, unasked=True)
    assert done is not None
    assert (done["what"], done["attempt"]) == ("a door", "abc")
    assert done["failed"][0].startswith(f"{blocked}: ")
    assert done["failed"][1:] == ["there is no program gone on the host"]
    assert other.read_text() == "open\n"
    assert host.started("reload") == [["reload", "door"]]
    assert guards.outcome("abc") == {"armed": False, "undone": done["failed"]}
    assert guards.outcome("other") == {"armed": False, "undone": None}
    guards.forget_outcomes(WHO)
    assert guards.outcome("abc")["undone"] == done["failed"], "its own deployment may still ask"
    guards.forget_outcomes("somebody else")
    assert guards.outcome("abc")["undone"] is None


def test_a_compiled_agent_keeps_the_zip_that_it_came_from(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another session may clear the compiled folder while this session runs."""
    monkeypatch.setattr(guard_module, "__file__", str(tmp_path / "code/portcullis/agent/guard.py"))
    assert Guards(machine)._code == tmp_path / "code"
    (tmp_path / "code.pyz").write_bytes(b"zipped")
    assert Guards(machine)._code == b"zipped"


def test_an_unreadable_undo_is_an_error_and_stays(door: DoorClient) -> None:
    guard = door.put("narrow\n")["guard"]
    note = door.machine.state / "guards" / guard / "undo.json"
    note.write_text("{")
    with pytest.raises(AgentError, match="cannot read the undo") as caught:
        Guards(door.machine).restore(guard)
    assert caught.value.code == "unreadable"
    assert note.exists()


def test_the_timer_restores_the_files_and_reloads(door: DoorClient, host: FakeHost) -> None:
    door.path.write_text("open\n")
    door.path.chmod(0o640)
    guard = door.put("narrow\n")["guard"]
    Guards(door.machine).restore(guard)
    assert door.path.read_text() == "open\n"
    assert door.path.stat().st_mode & 0o777 == 0o640
    assert host.started("reload") == [["reload", "door"]]
    assert host.started("systemctl")[-1] == [
        "systemctl",
        "--no-pager",
        "stop",
        f"portcullis-guard-{guard}.timer",
    ]
    assert host.started("fail2ban-client") == [["fail2ban-client", "unban", "192.0.2.9"]]
    assert boot_units(door) == []
    with pytest.raises(AgentError, match="by itself, because no login confirmed"):
        door.beside().client.ask("confirm", guard=guard)
    assert not door.machine.state.exists(), "the undo left something behind"


def test_an_undo_restores_the_record_of_a_managed_resource(door: DoorClient) -> None:
    door.beside().client.ask("confirm", guard=door.put("one\n")["guard"])
    before = door.client.look("door", str(door.path), {"path": str(door.path)})
    guard = door.put("two\n")["guard"]
    assert door.client.ask("rollback", guard=guard) == {"confirmed": False, "failed": []}
    assert door.path.read_text() == "one\n"
    assert door.client.look("door", str(door.path), {"path": str(door.path)}) == before
    assert door.client.ask("rollback", guard=guard) == {"confirmed": False, "failed": []}


def test_a_change_that_fails_is_undone_at_once(door: DoorClient, host: FakeHost) -> None:
    door.path.write_text("open\n")
    host.fail.add("checker")
    with pytest.raises(AgentError, match=r"refuses the new content .*; the change was taken back$"):
        door.put("narrow\n", test=["checker"])
    assert door.path.read_text() == "open\n"
    assert host.started("reload")
    assert boot_units(door) == []
    assert not (door.machine.state / "guards").exists()


def test_a_failed_change_that_its_timer_undid_first_was_taken_back_as_well(
    door: DoorClient, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy host, a change took longer than the window. Then the error did not tell whether it was undone.
    door.path.write_text("open\n")
    host.fail |= {"checker", "reload"}
    restore = Guards.restore

    def late(guards: Guards, number: str, *, unasked: bool = False) -> Any:
        restore(guards, number, unasked=True)
        return restore(guards, number, unasked=unasked)

    monkeypatch.setattr(Guards, "restore", late)
    with pytest.raises(AgentError, match=r"the change was taken back$") as caught:
        door.put("narrow\n", test=["checker"])
    assert "reload" in caught.value.detail
    assert door.path.read_text() == "open\n"


def test_the_error_of_a_failed_change_has_the_failures_of_its_undo(door: DoorClient, host: FakeHost) -> None:
    door.path.write_text("open\n")
    host.fail |= {"checker", "reload"}
    with pytest.raises(AgentError, match=r"the change was taken back$") as caught:
        door.put("narrow\n", test=["checker"])
    assert "reload door: it does not work" in caught.value.detail


def test_a_rollback_learns_that_another_session_confirmed(door: DoorClient) -> None:
    guard = door.put("narrow\n")["guard"]
    door.beside().client.ask("confirm", guard=guard)
    assert door.client.ask("rollback", guard=guard) == {"confirmed": True, "failed": []}
    assert door.path.read_text() == "narrow\n"


def test_a_change_that_waits_or_whose_window_has_ended_was_not_confirmed(
    door: DoorClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    guards = door.client.operations._guards
    number = door.put("narrow\n")["guard"]
    assert not guards.was_confirmed(number)
    door.beside().client.ask("confirm", guard=number)
    assert guards.was_confirmed(number)
    assert not Guards(door.machine).was_confirmed(number), "a change of another session"
    late = guard_module.time.monotonic() + WINDOW
    monkeypatch.setattr(guard_module.time, "monotonic", lambda: late)
    assert not guards.was_confirmed(number), "the host may have undone it by itself"


def test_an_undo_works_even_if_its_timer_cannot_be_stopped(door: DoorClient, host: FakeHost) -> None:
    door.path.write_text("open\n")
    guard = door.put("narrow\n")["guard"]

    def hang() -> None:
        raise AgentError("timeout", "systemctl did not end within 30 s and was stopped")

    host.on["systemctl"] = hang
    Guards(door.machine).restore(guard)
    assert door.path.read_text() == "open\n"


def test_the_window_begins_when_the_change_has_ended(
    door: DoorClient, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(guard_module.time, "monotonic", lambda: clock[0])
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(guard_module.time, "sleep", sleep)
    host.on["checker"] = lambda: clock.__setitem__(0, clock[0] + 100)
    guard = door.put("narrow\n", test=["checker"])["guard"]
    clock[0] += 20  # the timer fires 120 seconds after the start
    Guards(door.machine).wait_for(guard)
    assert sum(slept) == pytest.approx(100)


def test_the_undo_works_without_the_agents_cache(door: DoorClient, tmp_path: Path) -> None:
    zipped = tmp_path / "agent.pyz"
    zipped.write_bytes(agent_bundle().data)
    script = (
        f"import sys; sys.path.insert(0, {str(zipped)!r}); import os, pathlib;"
        "from portcullis.agent import guard, machine, guarded, run;"
        f"m = machine.Machine(state=pathlib.Path({str(tmp_path / 'state')!r}),"
        f" lock=pathlib.Path({str(tmp_path / 'run' / 'l')!r}),"
        f" units=pathlib.Path({str(door.machine.units)!r}),"
        " run=lambda argv, **_: (print(*argv, sep='\\n', flush=True), run.Done(0, '', ''))[1]);"
        f"g = guard.Guards(m); os.unlink({str(zipped)!r});"
        f"u = guarded.Undo(({str(door.path)!r},));"
        "c = g.armed(guard.Change('door', u, 120)); c.__enter__(); os._exit(0)"
    )
    door.path.write_text("open\n")
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    door.path.write_text("narrow\n")
    words = done.stdout.splitlines()
    undo = [*words[words.index("-I") - 1 : -1]]  # without an id, as at a boot: with an id it would wait
    subprocess.run(undo, capture_output=True, text=True, check=True, timeout=60)
    assert door.path.read_text() == "open\n"


def test_without_a_timer_nothing_is_changed(door: DoorClient, host: FakeHost) -> None:
    door.path.write_text("open\n")
    host.fail.add("systemd-run")
    with pytest.raises(AgentError, match="systemd cannot start the timer"):
        door.put("narrow\n")
    assert door.path.read_text() == "open\n"
    assert boot_units(door) == []


def test_a_change_that_would_refuse_its_own_session_is_not_made(door: DoorClient, host: FakeHost) -> None:
    door.path.write_text("open\n")
    with pytest.raises(AgentError, match="where this session comes from"):
        door.put("deny 192.0.2.9\n")
    assert door.path.read_text() == "open\n"
    assert host.calls == []
    plan = door.client.on("plan", "door", str(door.path), door.desired("deny 192.0.2.9\n"), adopt=True)
    assert plan["refusal"]["code"] == "lock-out"


def test_a_change_that_cannot_cut_anybody_off_needs_no_guard(door: DoorClient, host: FakeHost) -> None:
    door.path.write_text("open\n")
    assert "guard" not in door.put("open\n", mode="0600")
    assert host.started("systemd-run") == []


def test_a_removal_can_be_undone_until_it_is_confirmed(door: DoorClient) -> None:
    door.path.write_text("open\n")
    door.beside().client.ask("confirm", guard=door.put("narrow\n")["guard"])
    guard = door.remove("narrow\n")["guard"]
    assert door.path.read_text() == "open\n"
    door.client.ask("rollback", guard=guard)
    assert door.path.read_text() == "narrow\n"
    guard = door.remove("narrow\n")["guard"]
    assert door.path.read_text() == "open\n"
    door.beside().client.ask("confirm", guard=guard)
    assert not door.machine.state.exists()


def test_the_next_deployment_undoes_the_unconfirmed_change_of_a_dead_one(door: DoorClient) -> None:
    door.path.write_text("open\n")
    door.put("narrow\n")
    later = door.again()
    later.client.on("put", "file", str(door.path.with_name("motd")), {**door.desired("hi\n"), "path": str(
        door.path.with_name("motd"))})  # fmt: skip
    assert door.path.read_text() == "open\n"
    assert boot_units(door) == []
    later.client.close()


def test_a_deployment_does_not_undo_its_own_pending_change(door: DoorClient) -> None:
    door.path.write_text("open\n")
    door.put("narrow\n")
    door.client.on("put", "file", str(door.path.with_name("motd")), {**door.desired("hi\n"), "path": str(
        door.path.with_name("motd"))})  # fmt: skip
    assert door.path.read_text() == "narrow\n"


def test_after_a_reboot_in_the_window_the_boot_unit_undoes_the_change(
    door: DoorClient, host: FakeHost
) -> None:
    door.path.write_text("open\n")
    door.put("narrow\n")
    unit = (door.machine.units / "portcullis-guard.service").read_text()
    assert str(door.machine.state) in unit
    assert "After=network.target ufw.service ssh.service" in unit
    Guards(dataclasses.replace(door.machine)).recover()
    assert door.path.read_text() == "open\n"
    assert host.started("reload")


def started(*arguments: str) -> None:
    """Run the program that the timer starts, and restore the umask that it changes."""
    umask = os.umask(0o022)
    try:
        main(list(arguments))
    finally:
        os.umask(umask)


def test_the_program_that_the_timer_starts(door: DoorClient, capsys: pytest.CaptureFixture[str]) -> None:
    door.path.write_text("open\n")
    door.put("narrow\n")
    note = next((door.machine.state / "guards").glob("*/undo.json"))
    content = json.loads(note.read_text())
    content["commands"] = [["true"], ["no-such-program-here"]]
    note.write_text(json.dumps(content))
    started(str(door.machine.state))
    assert door.path.read_text() == "open\n"
    assert capsys.readouterr().out.splitlines() == [
        'Portcullis undid a change that nobody confirmed: File "motd"',
        "there is no program no-such-program-here on the host",
    ]


def test_an_agent_without_a_client_is_ended_and_the_client_can_ask_for_the_outcome(
    door: DoorClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "run" / "deploy.lock"
    script = (
        "import pathlib, signal, sys;"
        "from portcullis.agent import guard, guarded, machine, main, operations, run;"
        f"m = machine.Machine(state=pathlib.Path({str(door.machine.state)!r}),"
        f" lock=pathlib.Path({str(lock)!r}),"
        f" units=pathlib.Path({str(door.machine.units)!r}), run=lambda argv, **_: run.Done(0, '', ''));"
        "o = operations.Operations(m); o._lock.take('alice', 'web/prod');"
        f"u = guarded.Undo(({str(door.path)!r},));"
        f"c = guard.Guards(m).armed(guard.Change('door', u, 10, 'abc', {WHO!r}));"
        "c.__enter__(); c.__exit__(None, None, None);"
        "a = main.Agent(m, 1, o); signal.signal(signal.SIGTERM, lambda *_: a.end());"
        # After this line a signal may end it, even before it reads.
        "print('armed', flush=True); a.serve([], sys.stdin.buffer)"
    )
    door.path.write_text("open\n")
    agent = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert agent.stdout is not None
    assert agent.stdout.readline() == "armed\n"
    door.path.write_text("narrow\n")
    ask = {"attempt": "abc"}
    assert door.beside().client.ask("armed", **ask) == {"armed": True, "undone": None}
    note = next((door.machine.state / "guards").glob("*/undo.json"))
    note.write_text(json.dumps({**json.loads(note.read_text()), "deadline": 0}))
    started(str(door.machine.state), note.parent.name)
    assert door.path.read_text() == "open\n"
    with agent:
        assert agent.wait(60) == 0
    assert not lock.parent.exists(), "the lock or its folder is left"
    assert door.beside().client.ask("armed", **ask) == {"armed": False, "undone": []}
    door.put("narrow\n")  # another resource of the same deployment
    assert door.beside().client.ask("armed", **ask) == {"armed": False, "undone": []}
    again = door.again()
    monkeypatch.setattr(on_host, "WHO", "bob@laptop (pid 8)")
    again.put("wide\n")  # the next deployment, by somebody else
    assert again.beside().client.ask("armed", **ask) == {"armed": False, "undone": None}
    assert not (door.machine.state / "undone.json").exists()


def test_the_timer_does_not_interrupt_a_running_change(door: DoorClient, host: FakeHost) -> None:
    door.path.write_text("open\n")
    undone = threading.Event()

    def fire() -> None:
        (number,) = Guards(door.machine).pending()
        thread = threading.Thread(target=lambda: (Guards(door.machine).restore(number), undone.set()))
        thread.start()
        assert not undone.wait(0.3), "while the change was under way"

    host.on["checker"] = fire
    guard = door.put("narrow\n", test=["checker"])["guard"]
    assert undone.wait(60)
    with pytest.raises(AgentError, match="by itself"):
        door.beside().client.ask("confirm", guard=guard)
    assert door.path.read_text() == "open\n"


def test_a_failed_command_of_an_undo_does_not_stop_the_others(door: DoorClient, host: FakeHost) -> None:
    guard = door.put("narrow\n")["guard"]
    host.fail.add("reload")
    assert door.client.ask("rollback", guard=guard)["failed"] == ["reload door: it does not work"]
    assert not door.path.exists()


@pytest.mark.parametrize("number", ["", "../x", "zz"])
def test_an_id_cannot_be_a_path(door: DoorClient, number: str) -> None:
    with pytest.raises(AgentError, match="is not the id of an undo"):
        door.client.ask("confirm", guard=number)


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("192.0.2.9 40000 192.0.2.1 22", "192.0.2.9", 22),
        ("::ffff:192.0.2.9 40000 ::ffff:192.0.2.1 2222", "192.0.2.9", 2222),
        ("fe80::1%eth0 40000 fe80::2%eth0 22", "fe80::1", 22),
    ],
)
def test_the_addresses_of_a_session_are_read(text: str, address: str, port: int) -> None:
    peer = Peer.parse(text)
    assert peer is not None
    assert (str(peer.address), peer.server_port) == (address, port)
    assert Peer.parse("") is None
