"""Confirmed commits: the host undoes a change that could cut people off, unless somebody logs in again.

Before such a change, the agent copies the affected files to ``/var/lib/portcullis/guards/<id>``. The agent
then starts a transient systemd timer that restores these files. If the host reboots, the transient timer is
lost. Then a systemd unit restores the files at boot. A fresh login disarms the timer and the unit. The undo
runs from a copy of the agent. So the undo needs no client and no session, and it also works after a failed
change.

The agent registers the undo before it changes anything, as certbot's reverter does. Junos calls such an
automatic undo ``commit confirmed``.
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
from typing import TYPE_CHECKING

from portcullis.agent import disk, paths
from portcullis.agent.errors import AgentError
from portcullis.agent.machine import Machine
from portcullis.agent.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portcullis.agent.guarded import Undo
    from portcullis.agent.step import Json

SHORTEST, LONGEST = 10, 900  # limits of the time to confirm a change, in seconds
COMMAND_TIMEOUT = 60.0
_SYSTEMD_TIMEOUT = 30.0
_ENDS = 20.0  # seconds in which an agent without a client may finish its work
BOOT_UNIT = "portcullis-guard.service"
"""The unit that undoes changes when the host boots before they are confirmed."""
_PREFIX = "portcullis-guard-"

_RESTORE = (
    "import sys; sys.path.insert(0, sys.argv[1]); from portcullis.agent.guard import main; main(sys.argv[2:])"
)

_BOOT_TEXT = """\
# Portcullis writes this unit when a change waits for its confirmation, and removes it afterwards.
[Unit]
Description=Portcullis: undo the changes that nobody confirmed before the reboot
# It starts after all services that it may have to reload. Otherwise it and they would wait for each other.
After=network.target ufw.service ssh.service fail2ban.service docker.service

[Service]
Type=oneshot
ExecStart={command}

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Change:
    """A change that the host undoes unless somebody confirms it.

    Attributes:
        what: the name of the changed resource, for the host's log.
        undo: how to undo the change.
        window: seconds after which the host undoes the change by itself.
        attempt: the client's id for the change. If the session broke, the client asks with this id for the
            outcome of the change.
        who: the person or program that deploys.
        drop_on_confirm: kind and id of the record to drop when the removal of its resource is confirmed.
        drop_on_restore: kind and id of the record to drop after an undo, if Portcullis did not manage the
            resource before the change.
    """

    what: str
    undo: Undo
    window: float
    attempt: str = ""
    who: str = ""
    drop_on_confirm: list[str] = field(default_factory=list)
    drop_on_restore: list[str] = field(default_factory=list)


class Guards:
    """All undos that are registered on this host."""

    def __init__(self, machine: Machine) -> None:
        """Create the object without a change to the host."""
        self._machine = machine
        self.root = machine.state / "guards"
        self._undone = machine.state / "undone.json"
        # Another session may renew or clear the host's cache of the agent's code while this session runs.
        code = Path(__file__).parents[2]
        if code.with_suffix(".pyz").is_file():
            code = code.with_suffix(".pyz")  # the folder was compiled from it: portcullis/host/bootstrap.py
        self._code = code.read_bytes() if code.is_file() else code
        self._deadlines: dict[str, float] = {}
        self._mutex = threading.Lock()

    @contextlib.contextmanager
    def armed(self, change: Change) -> Iterator[str]:
        """Register the undo of a change, start the timer of the undo, and yield the id of the undo.

        If the `with` block fails, undo the change at once. The timer cannot interrupt the change: the undo
        waits until the change has ended.

        Raises:
            AgentError: systemd cannot start the timer (nothing has changed then), or the change failed.
        """
        number, registered = f"{time.time_ns():x}", False
        try:
            with self._locked():
                note = self._register(number, change)
                registered = True
                yield number
                # The window starts now: its seconds are for the confirming login, however long the change
                # took.
                self._write(number, note, change.window)
        except AgentError as error:
            done = self.restore(number)
            if done is None and not registered:
                raise
            # If the change took longer than the window, the timer may have undone it already.
            failed = (done or self._outcomes().get(change.attempt, {})).get("failed", [])
            detail = "\n".join(filter(None, [error.detail, *failed]))
            message = f"{error.message}; the change was taken back"
            raise AgentError(error.code, message, hint=error.hint, prop=error.prop, detail=detail) from error
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
        # The deadline uses the monotonic clock: all processes of a boot share that clock, and nobody can set
        # it.
        note["deadline"] = deadline = time.monotonic() + _bounded(window)
        with self._mutex:
            self._deadlines[number] = deadline
        disk.write(self.root / number / "undo.json", json.dumps(note, indent=1).encode() + b"\n")

    def pending(self) -> list[str]:
        """Return the ids of all undos that are registered on the host, oldest first."""
        try:
            return sorted(path.parent.name for path in self.root.glob("[0-9a-f]*/undo.json"))
        except OSError:
            return []

    def confirm(self, number: str) -> None:
        """Disarm the undo, so that the change stays.

        Raises:
            AgentError: ``rolled-back`` if the window ended before this confirmation.
        """
        with self._locked():
            note = self._read(number)
            if note is None:
                raise AgentError(
                    "rolled-back",
                    "the host has undone the change by itself, because no login confirmed the change in time",
                    hint="find out why logins to this host are slow, then run `up` again",
                )
            self._forget(number)
            self._drop(note["drop_on_confirm"])
        self._stop_timer(number)

    def was_confirmed(self, number: str) -> bool:
        """Return whether another session confirmed the change, that is, removed the undo in time."""
        with self._mutex:
            deadline = self._deadlines.get(number)
        return deadline is not None and time.monotonic() < deadline and number not in self.pending()

    def wait_for(self, number: str) -> None:
        """Wait until the time to confirm a change is over, or until its undo was removed."""
        while (note := self._read(number)) is not None:
            left = note["deadline"] - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 1.0))

    def restore(self, number: str, *, unasked: bool = False) -> Json | None:
        """Undo a change. Return None if the change was confirmed or undone before.

        If the process is killed midway, the undo runs again: in the timer's service, at the next boot or in
        the next deployment.

        Args:
            number: the id of the undo.
            unasked: whether no client waits for the outcome. In this case, the host keeps the outcome until
                the next deployment, because the client that made the change may ask for it.

        Returns:
            ``what``, the changed resource, and ``failed``, a list with a line for people about each file or
            command whose undo failed.
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
            self._unban(note["peer"])
            with self._mutex:
                self._deadlines.pop(number, None)
            if unasked:
                outcome = {"who": note["who"], "failed": failed}
                self._keep_outcomes({**self._outcomes(), note["attempt"]: outcome})
            self._forget(number)
            self._drop(note["drop_on_restore"])
        self._stop_timer(number)
        return {key: note[key] for key in ("what", "attempt", "agent")} | {"failed": failed}

    def _unban(self, peer: str) -> None:
        """Remove fail2ban's ban of the client that made the change.

        Our own checks of logins caused the failed logins that led to the ban.
        """
        if peer:
            with contextlib.suppress(AgentError):  # the host may have no fail2ban
                self._machine.run(["fail2ban-client", "unban", peer], timeout=COMMAND_TIMEOUT)

    def outcome(self, attempt: str) -> Json:
        """Return whether the undo is still ``armed``. If the undo has run, ``undone`` lists its failures."""
        # Read `armed` first: an undo writes its outcome before it stops being armed.
        armed = any((note := self._read(number)) and note["attempt"] == attempt for number in self.pending())
        return {"armed": armed, "undone": self._outcomes().get(attempt, {}).get("failed")}

    def forget_outcomes(self, who: str) -> None:
        """Forget the outcomes of all clients except `who`, which may still ask for its own outcomes."""
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
        """End the agent that made a change. The lock that this agent holds is then free.

        The client of that agent did not confirm the change in time. The agent gets time to finish the change.
        An agent that hangs in a write to a dead connection is killed.
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
        """Return the id of the present boot and the start time of a process.

        Boot id, start time and process id together are unique; see proc(5).
        """
        proc = self._machine.proc
        try:
            boot = (proc / "sys/kernel/random/boot_id").read_text("utf-8").strip()
            stat = (proc / str(pid) / "stat").read_text("utf-8", "replace")
        except OSError:
            return ""
        state, *fields = stat.rpartition(")")[2].split()
        return "" if state == "Z" else f"{boot} {fields[18]}"

    def recover(self) -> None:
        """Undo the unconfirmed changes of deployments that have ended.

        The caller has to hold the deployment's lock.
        """
        with self._mutex:
            abandoned = [number for number in reversed(self.pending()) if number not in self._deadlines]
        for number in abandoned:
            self.restore(number)

    def _make(self, number: str) -> Path:
        if isinstance(self._code, Path) and not self._code.is_dir():
            raise AgentError(
                "internal", "the agent's zip file is missing on the host, so the agent cannot prepare an undo"
            )
        folder = self.root / number
        try:
            for path in (self._machine.state, self.root, folder):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise disk.write_error(error, folder) from None
        return folder

    def _read(self, number: str) -> Json | None:
        if not number or set(number) - set("0123456789abcdef"):
            raise AgentError("invalid", f"the request names {number!r}, which is not the id of an undo")
        try:
            note: Json = json.loads((self.root / number / "undo.json").read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            raise AgentError(
                "unreadable",
                f"the agent cannot read the undo {self.root / number} on the host",
                hint=f"look at {self.root / number} on the host: the folder contains the files from before "
                "the last "
                "change",
            ) from None
        return note

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Let only one change, confirmation or undo run at a time, even in other processes."""
        path = self._machine.lock.parent / "guard.lock"
        fd = self._hold(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(fd)
            with contextlib.suppress(OSError):  # the folder is not empty: a deployment is under way
                path.parent.rmdir()

    def _hold(self, path: Path) -> int:
        while True:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            try:
                fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except FileNotFoundError:
                continue  # another deployment has ended and removed the folder
            fcntl.flock(fd, fcntl.LOCK_EX)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(fd), path.lstat()):
                    return fd
            os.close(fd)  # the last holder of the lock has removed the file

    def _drop(self, thing: list[str]) -> None:
        """Drop the record of a resource that we do not manage any more, or never managed."""
        store = Store(self._machine.state)
        record = store.load(*thing) if thing else None
        if record is not None:
            store.drop(record)
        else:
            store.tidy()

    def _forget(self, number: str) -> None:
        """Remove an undo.

        The file undo.json is removed first. So if the process is killed after that, no undo runs later.
        """
        folder = self.root / number
        with contextlib.suppress(FileNotFoundError):
            (folder / "undo.json").unlink()
        shutil.rmtree(folder, ignore_errors=True)
        if not self.pending():
            self._disarm_boot()
            shutil.rmtree(self.root, ignore_errors=True)

    def _command(self) -> list[str]:
        """Return the command that undoes changes. The command runs the code of this agent."""
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
                "systemd", "systemd cannot start the timer that would undo the change", detail=done.text,
                hint="nothing was changed; look at `systemctl status` on the host",
            )  # fmt: skip

    def _stop_timer(self, number: str) -> None:
        """Stop the undo's timer.

        The timer would do nothing anyway, because the file undo.json is gone. If the timer has fired, this
        function runs in the service that the timer started, so it stops only the timer.
        """
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
    """Undo one change when its window has ended, or all changes.

    The timer and the boot unit call this function.

    Args:
        arguments: the state folder, then the id of an undo. Without an id, all registered changes are undone.
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
            lines = [f"Portcullis undid a change that nobody confirmed: {done['what']}", *done["failed"]]
            print(*lines, sep="\n")  # noqa: T201 - to the journal
