"""The systemd units that run sshd: reload them, and find out whether sshd has read its present files."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from portcullis.agent import journal
from portcullis.agent.errors import AgentError
from portcullis.agent.watch import newest_change
from portcullis.components.ssh.on_host import ssh_facts
from portcullis.components.ssh.on_host.ssh_facts import SERVICE, SOCKET
from portcullis.resources.service.on_host import clocks, is_stale, parse_show

if TYPE_CHECKING:
    from portcullis.agent.guarded import Argv
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record

_TIMEOUT = 60.0
_PROPERTIES = (
    "Id", "ActiveState", "InvocationID", "ReloadResult", "ActiveEnterTimestampMonotonic",
    "StateChangeTimestampMonotonic",
)  # fmt: skip
_LISTEN_LIMIT = 15.0  # seconds from reload to listening


# If sshd could not start on the new files, it may still be stopping, and one reload would not bring it back.
# So this script tries again. A restart ends only the listener (KillMode=process in Debian's unit), and
# sessions stay.
_BRING_BACK = """\
systemctl reset-failed ssh.service
systemctl reload-or-restart ssh.service
for second in 1 2 3 4 5; do
    sleep 1
    systemctl -q is-active ssh.service && continue
    systemctl reset-failed ssh.service
    systemctl restart ssh.service
done
systemctl -q is-active ssh.service
"""


def bring_back(*, by_socket: bool) -> tuple[Argv, ...]:
    """The commands with which an undo makes sshd read the restored files.

    The commands try several times, because nobody watches an undo.
    """
    return commands(by_socket=True) if by_socket else (("sh", "-c", _BRING_BACK),)


def commands(*, by_socket: bool) -> tuple[Argv, ...]:
    """The commands that make sshd read its files, in every state of sshd. Open sessions stay."""
    if by_socket:
        # At each daemon-reload a generator of systemd copies the ports from sshd_config to ssh.socket.
        return (
            ("systemctl", "daemon-reload"),
            ("systemctl", "restart", SOCKET),
            ("systemctl", "try-restart", SERVICE),
        )
    return ("systemctl", "reset-failed", SERVICE), ("systemctl", "reload-or-restart", SERVICE)


class SshDaemon:
    """The sshd that systemd runs. `reads` are the paths that sshd reads."""

    def __init__(self, machine: Machine, reads: list[str]) -> None:
        self._machine = machine
        self._reads = reads

    def reload(self, wanted: set[str], record: Record) -> None:
        """Make sshd read its files, and wait until it listens on the ports `wanted`. Raises `AgentError`."""
        newest = newest_change(self._reads)
        by_socket = ssh_facts.is_socket_activated(self._machine)
        former = set() if by_socket else ssh_facts.sockets(self._machine)
        for argv in commands(by_socket=by_socket):
            self._run(argv)
        deadline = time.monotonic() + _LISTEN_LIMIT
        time.sleep(self._machine.settle)
        while True:
            # A reload is only a signal. Until sshd executes itself again, it runs with the old options: on a
            # busy host they could still let somebody in. New sockets show that sshd has executed itself.
            has_new_sockets = not former & (set() if by_socket else ssh_facts.sockets(self._machine))
            listening, taken = ssh_facts.listening_ports(self._machine, by_socket=by_socket)
            late = time.monotonic() > deadline
            # An sshd that inherited its sockets keeps them after a reload. So after the deadline the same
            # sockets are fine: the login that follows shows whether sshd works.
            if listening == wanted and (has_new_sockets or late):
                break
            if late:
                lost = sorted(wanted - listening, key=int)
                who = [f"{taken[port]} listens on {port}" for port in lost if port in taken]
                raise AgentError(
                    "systemd",
                    f"sshd listens on {', '.join(sorted(listening, key=int)) or 'no port'}"
                    f" after the reload, but should listen on {', '.join(sorted(wanted, key=int))}",
                    prop="port",
                    detail="\n".join(who),
                )
            time.sleep(self._machine.settle / 4)
        unit = self._unit()
        record.extra["loaded"] = {"invocation": unit["InvocationID"], "newest": newest}

    def is_stale(self, record: Record | None) -> bool:
        """Return whether a file that sshd reads is newer than the configuration that sshd runs on."""
        unit = self._unit()
        loaded = record.extra.get("loaded") if record else None
        return is_stale(unit, newest_change(self._reads), loaded, *clocks())

    def _unit(self) -> dict[str, str]:
        argv = ["systemctl", "show", "--no-pager", f"--property={','.join(_PROPERTIES)}", "--", SERVICE]
        done = self._machine.run(argv, timeout=_TIMEOUT)
        units = parse_show(done.out)
        if done.code or not units:
            raise AgentError(
                "unreadable", "systemd does not answer on the host", prop="port", detail=done.text
            )
        return units[0]

    def _run(self, argv: Argv) -> None:
        since = time.time()
        done = self._machine.run(argv, timeout=_TIMEOUT)
        # reset-failed fails for a unit that has not failed, which is usual.
        if done.code and argv[1] != "reset-failed":
            said = journal.last_lines(self._machine, SERVICE, since=since)
            detail = "\n".join(part for part in (said, done.text) if part)
            raise AgentError("systemd", f"the command `{' '.join(argv)}` failed", prop="port", detail=detail)
