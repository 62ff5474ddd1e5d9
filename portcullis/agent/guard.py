"""Confirmed commits: a change that could cut people off is undone unless somebody logs in again.

Before the change, what it touches is copied to ``/var/lib/portcullis/guards/<id>``, then a transient systemd
timer is armed that puts it back, and a unit that does the same at the next boot, since such a timer does not
outlive a reboot. A fresh login disarms both. The undo runs from a copy of the agent: it needs neither the
client, nor the session, nor the change to have worked.

The undo is registered before anything changes, as certbot's reverter does; the timer and the confirmation
over a new connection are what Junos calls ``commit confirmed``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Iterator

from portcullis.agent import disk, paths
from portcullis.agent.errors import AgentError
from portcullis.agent.machine import Machine
from portcullis.agent.store import Store

if TYPE_CHECKING:
    from portcullis.agent.guarded import Undo
    from portcullis.agent.step import Json

SHORTEST, LONGEST = 10, 900  # seconds of a window
COMMAND_TIMEOUT = 60.0
_SYSTEMD_TIMEOUT = 30.0
_ENDS = 20.0  # seconds in which an agent that is cut off finishes what is under way
BOOT_UNIT = "portcullis-guard.service"
"""The unit that takes changes back when the host boots before they are confirmed."""
_PREFIX = "portcullis-guard-"

_RESTORE = (
    "import sys; sys.path.insert(0, sys.argv[1]); from portcullis.agent.guard import main; main(sys.argv[2:])"
)

_BOOT_TEXT = """\
# Written by Portcullis while a change waits for its confirmation, and removed with it.
[Unit]
Description=Portcullis: undo the changes that nobody confirmed before the reboot
# After everything that it may have to reload: before them, it would wait for units that wait for it.
After=network.target ufw.service ssh.service fail2ban.service docker.service

[Service]
Type=oneshot
ExecStart={command}

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Change:
    """A change that wants a guard.

    Attributes:
        what: the resource, for the host's log.
        undo: how to take it back.
        window: seconds after which the host does that by itself.
        attempt: by what the client asks what became of it, after its session broke.
        who: whose deployment it is.
        drop_on_confirm: kind and id of the record that goes once it is confirmed that the thing is gone.
        drop_on_restore: kind and id of the record that goes once it is as if we had never touched the thing.
    """

    what: str
    undo: Undo
    window: float
    attempt: str = ""
    who: str = ""
    drop_on_confirm: list[str] = field(default_factory=list)
    drop_on_restore: list[str] = field(default_factory=list)


class Guards:
    """The undos that are registered on this host."""

    def __init__(self, machine: Machine) -> None:
        """Touch nothing yet."""
        self._machine = machine
        self.root = machine.state / "guards"
        self._undone = machine.state / "undone.json"
        # The host's cache of it may be renewed or cleared under a session that lives.
        code = Path(__file__).parents[2]
        if code.with_suffix(".pyz").is_file():
            code = code.with_suffix(".pyz")  # of which the folder was compiled: portcullis/host/bootstrap.py
        self._code = code.read_bytes() if code.is_file() else code
        self._deadlines: dict[str, float] = {}
        self._mutex = threading.Lock()

    @contextlib.contextmanager
    def armed(self, change: Change) -> Iterator[str]:
        """Register the undo, start its clock, and give its id; what fails inside is undone at once.

        The clock cannot cut into the change itself: until that has ended, the undo waits.

        Raises:
            AgentError: no timer could be started, and nothing has changed; or what the change raised.
        """
        number = f"{time.time_ns():x}"
        try:
            with self._locked():
                note = self._register(number, change)
                yield number
                # The window is for the login, however long the change took.
                self._write(number, note, change.window)
        except AgentError as error:
            done = self.restore(number)
            if done is None:
                raise  # nothing was registered
            detail = "\n".join(filter(None, [error.detail, *done["failed"]]))
            told = f"{error.message}; the change was taken back"
            raise AgentError(error.code, told, hint=error.hint, prop=error.prop, detail=detail) from error
        except BaseException:
            self.restore(number)
            raise

    def _register(self, number: str, change: Change) -> Json:
        folder = self._make(number)
        note: Json = {
            "what": change.what,
            "attempt": change.attempt,
            "who": change.who,
            "agent": [os.getpid(), self._started(os.getpid())],
            "files": [
                {"path": path, "kept": paths.keep(paths.checked(path), folder / str(index))}
                for index, path in enumerate(change.undo.paths)
            ],
            "commands": [list(argv) for argv in change.undo.commands],
            "peer": str(self._machine.peer.address) if self._machine.peer else "",
            "drop_on_confirm": change.drop_on_confirm,
            "drop_on_restore": change.drop_on_restore,
        }
        self._write(number, note, change.window)
        self._arm_boot()
        self._arm_timer(number, _bounded(change.window))
        return note

    def _write(self, number: str, note: Json, window: float) -> None:
        # Of the monotonic clock, which all processes of a boot share and nobody sets.
        note["deadline"] = deadline = time.monotonic() + _bounded(window)
        with self._mutex:
            self._deadlines[number] = deadline
        disk.write(self.root / number / "undo.json", json.dumps(note, indent=1).encode() + b"\n")

    def pending(self) -> list[str]:
        """Ids of all that is registered on the host, oldest first."""
        try:
            return sorted(path.parent.name for path in self.root.glob("[0-9a-f]*/undo.json"))
        except OSError:
            return []

    def confirm(self, number: str) -> None:
        """Disarm: the change stays.

        Raises:
            AgentError: ``rolled-back`` when the window has ended before.
        """
        with self._locked():
            note = self._read(number)
            if note is None:
                raise AgentError(
                    "rolled-back",
                    "the host has undone the change by itself before it was confirmed",
                    hint="the login took longer than the window; look why it is slow, then run again",
                )
            self._forget(number)
            self._drop(note["drop_on_confirm"])
        self._stop_timer(number)

    def was_confirmed(self, number: str) -> bool:
        """Whether another session has confirmed it: it is gone, and before the host would have undone it."""
        with self._mutex:
            deadline = self._deadlines.get(number)
        return deadline is not None and time.monotonic() < deadline and number not in self.pending()

    def wait_for(self, number: str) -> None:
        """Wait until the window of one has ended, as far as it is still there."""
        while (note := self._read(number)) is not None:
            left = note["deadline"] - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 1.0))

    def restore(self, number: str, *, unasked: bool = False) -> Json | None:
        """Put everything back; None where it was confirmed or put back already.

        Killed in the middle, it is done again: by the timer's service, at the next boot or by the next
        deployment.

        Args:
            number: its id.
            unasked: nobody hears the answer. It is kept for whoever made the change, until somebody deploys.

        Returns:
            ``what`` the change was, and ``failed``, what did not work, as lines for people.
        """
        with self._locked():
            note = self._read(number)
            if note is None:
                return None
            failed: list[str] = []
            for index, file in enumerate(note["files"]):
                try:
                    paths.put_back(Path(file["path"]), file["kept"], self.root / number / str(index))
                except (AgentError, OSError) as error:
                    failed.append(f"{file['path']}: {error}")
            for argv in note["commands"]:
                try:
                    done = self._machine.run(argv, timeout=COMMAND_TIMEOUT)
                except AgentError as error:
                    failed.append(error.message)
                    continue
                if done.code:
                    failed.append(f"{' '.join(argv)}: {done.text}")
            self._pardon(note["peer"])
            with self._mutex:
                self._deadlines.pop(number, None)
            if unasked:
                outcome = {"who": note["who"], "failed": failed}
                self._keep_outcomes({**self._outcomes(), note["attempt"]: outcome})
            self._forget(number)
            self._drop(note["drop_on_restore"])
        self._stop_timer(number)
        return {key: note[key] for key in ("what", "attempt", "agent")} | {"failed": failed}

    def _pardon(self, peer: str) -> None:
        """Lift the ban of whoever made the change: its refused logins were our own."""
        if peer:
            with contextlib.suppress(AgentError):  # there need not be a fail2ban
                self._machine.run(["fail2ban-client", "unban", peer], timeout=COMMAND_TIMEOUT)

    def outcome(self, attempt: str) -> Json:
        """What became of a change: it is ``armed``, or ``undone`` with what did not work, or neither."""
        # In this order: what is undone is noted before it stops to be armed.
        armed = any((note := self._read(number)) and note["attempt"] == attempt for number in self.pending())
        return {"armed": armed, "undone": self._outcomes().get(attempt, {}).get("failed")}

    def forget_outcomes(self, who: str) -> None:
        """Of other deployments than the one of `who`, which may still ask."""
        known = self._outcomes()
        kept = {attempt: one for attempt, one in known.items() if one["who"] == who}
        if kept != known:
            self._keep_outcomes(kept)

    def _keep_outcomes(self, outcomes: dict[str, Json]) -> None:
        if outcomes:
            disk.write(self._undone, json.dumps(outcomes).encode())
        else:
            paths.remove_file(self._undone)

    def _outcomes(self) -> dict[str, Json]:
        try:
            found: dict[str, Json] = json.loads(self._undone.read_bytes())
        except (OSError, ValueError):
            return {}
        return found

    def end_agent(self, done: Json) -> None:
        """End the agent that made a change, and free its lock: nobody has heard of it for a whole window.

        It finishes what is under way. One that cannot, since it writes to a connection that nobody reads, is
        killed.
        """
        pid, started = done["agent"]
        for sign, patience in ((signal.SIGTERM, _ENDS), (signal.SIGKILL, 0.0)):
            until = time.monotonic() + patience
            if not started or self._started(pid) != started:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
            while self._started(pid) == started and time.monotonic() < until:
                time.sleep(0.1)

    def _started(self, pid: int) -> str:
        """Boot and time at which a process began, which with its id tell it from every other; proc(5)."""
        proc = self._machine.proc
        try:
            boot = (proc / "sys/kernel/random/boot_id").read_text("utf-8").strip()
            stat = (proc / str(pid) / "stat").read_text("utf-8", "replace")
        except OSError:
            return ""
        state, *fields = stat.rpartition(")")[2].split()
        return "" if state == "Z" else f"{boot} {fields[18]}"

    def recover(self) -> None:
        """Put back what a deployment left that is gone: whoever holds the deployment's lock may ask."""
        with self._mutex:
            strangers = [number for number in reversed(self.pending()) if number not in self._deadlines]
        for number in strangers:
            self.restore(number)

    def _make(self, number: str) -> Path:
        if isinstance(self._code, Path) and not self._code.is_dir():
            raise AgentError("internal", "the agent has no copy of itself to undo the change with")
        folder = self.root / number
        try:
            for path in (self._machine.state, self.root, folder):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise disk.write_error(error, folder) from None
        return folder

    def _read(self, number: str) -> Json | None:
        if not number or set(number) - set("0123456789abcdef"):
            raise AgentError("invalid", f"{number!r} is no guard")
        try:
            note: Json = json.loads((self.root / number / "undo.json").read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            raise AgentError(
                "unreadable",
                f"the undo {self.root / number} on the host cannot be read",
                hint="look at it at the console: it holds what stood there before the last change",
            ) from None
        return note

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Changing, confirming and restoring exclude each other, whichever process does it."""
        path = self._machine.lock.parent / "guard.lock"
        fd = self._hold(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(fd)
            with contextlib.suppress(OSError):  # a deployment is under way
                path.parent.rmdir()

    def _hold(self, path: Path) -> int:
        while True:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except FileNotFoundError:
                continue  # a deployment that ended took the folder away
            fcntl.flock(fd, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), path.lstat()):
                    return fd
            os.close(fd)  # its last holder took it away

    def _drop(self, thing: list[str]) -> None:
        """Forget the record of a thing that is not ours any more, or never was."""
        store = Store(self._machine.state)
        record = store.load(*thing) if thing else None
        if record is not None:
            store.drop(record)
        else:
            store.tidy()

    def _forget(self, number: str) -> None:
        """The note goes first: killed after that, nothing is put back any more."""
        folder = self.root / number
        with contextlib.suppress(FileNotFoundError):
            (folder / "undo.json").unlink()
        shutil.rmtree(folder, ignore_errors=True)
        if not self.pending():
            self._disarm_boot()
            shutil.rmtree(self.root, ignore_errors=True)

    def _command(self) -> list[str]:
        """What puts back, by the code that runs now."""
        code = self._code
        if isinstance(code, bytes):
            copy = self.root / "agent.pyz"
            disk.write(copy, code)
            code = copy
        return [
            sys.executable or "/usr/bin/python3",
            "-I",
            "-c",
            _RESTORE,
            str(code),
            str(self._machine.state),
        ]

    def _arm_timer(self, number: str, window: float) -> None:
        unit = _PREFIX + number
        done = self._machine.run(
            [
                "systemd-run", "--quiet", f"--unit={unit}", f"--on-active={window:.0f}",
                "--timer-property=AccuracySec=500ms",
                "--property=Restart=on-failure", "--property=RestartSec=5",
                "--description=Portcullis: undo a change that nobody confirmed",
                *self._command(), number,
            ],
            timeout=_SYSTEMD_TIMEOUT,
        )  # fmt: skip
        if done.code:
            raise AgentError(
                "systemd", "no timer could be started that would undo the change", detail=done.text,
                hint="nothing was changed; look at `systemctl status` on the host",
            )  # fmt: skip

    def _stop_timer(self, number: str) -> None:
        """Only tidies up: what the timer starts finds that the note is gone. Its service may be who asks."""
        with contextlib.suppress(AgentError):
            self._machine.run(
                ["systemctl", "--no-pager", "stop", f"{_PREFIX}{number}.timer"], timeout=_SYSTEMD_TIMEOUT
            )

    def _arm_boot(self) -> None:
        words = " ".join(f'"{word}"' for word in self._command())
        unit = self._machine.units / BOOT_UNIT
        disk.write(unit, _BOOT_TEXT.format(command=words).encode(), mode=0o644)
        wants = self._machine.units / "multi-user.target.wants"
        wants.mkdir(mode=0o755, exist_ok=True)
        with disk.writing(wants / unit.name) as place:
            paths.point(place, str(unit))

    def _disarm_boot(self) -> None:
        unit = self._machine.units / BOOT_UNIT
        paths.remove_file(unit.parent / "multi-user.target.wants" / unit.name)
        paths.remove_file(unit)


def _bounded(window: float) -> float:
    return min(max(window, SHORTEST), LONGEST)


def main(arguments: list[str]) -> None:
    """Put back one undo when its window has ended, or all: what the timer and the boot unit start.

    Args:
        arguments: the state folder, and the one's id.
    """
    os.umask(0o077)
    guards = Guards(Machine(state=Path(arguments[0])))
    for number in arguments[1:]:
        guards.wait_for(number)
    for number in arguments[1:] or reversed(guards.pending()):
        done = guards.restore(number, unasked=True)
        if done is not None:
            if arguments[1:]:
                guards.end_agent(done)
            lines = [f"undone, since nobody confirmed it: {done['what']}", *done["failed"]]
            print(*lines, sep="\n")  # noqa: T201 - to the journal
