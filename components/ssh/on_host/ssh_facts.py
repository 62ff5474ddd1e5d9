"""What holds on a host's sshd: its own word for every option, who set what wins, and where it listens."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, List

from portcullis.agent.errors import AgentError
from portcullis.components.ssh.facts import ENTRANCE
from portcullis.components.ssh.on_host import sshd_config

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from portcullis.agent.machine import Machine
    from portcullis.agent.run import Done
    from portcullis.components.ssh.facts import SshServerSpec
    from portcullis.components.ssh.on_host.sshd_config import Effective, Line

SERVICE, SOCKET = "ssh.service", "ssh.socket"
ANYONE = "nobody"
"""Stands for a user whom no Match block names."""
_TIMEOUT = 30.0
_NO_FOLDER = "Missing privilege separation directory"
# From the documentation's range: what holds for it holds for the whole internet.
_STRANGER = "addr=192.0.2.1,laddr=192.0.2.2,host=stranger.invalid"

# What ss writes after the name of each process that holds a socket. People name their processes, with up to
# 15 characters: too few to pass for the end of one entry and the start of the next.
_OWNERS = re.compile(r',pid=(\d+),fd=\d+\)(?=,\("|\)\s*$)')

ByUser = Dict[str, "Effective"]

_ENTRANCE = frozenset(map(str.lower, ENTRANCE))


class Refused(Exception):
    """sshd does not take a configuration; the text is its own."""


class Stopped(Refused):
    """sshd looks at nothing while its run folder is missing, which systemd makes when it starts it."""


def effective(machine: Machine, users: Iterable[str], port: str, text: str | None = None) -> ByUser:
    """What sshd says of every option, for each user: of its own files, or of `text` alone.

    Raises:
        AgentError: there is no sshd.
        Refused: it does not take the configuration.
    """
    found: ByUser = {}
    given = command_line(machine) if text is None else []
    with _as_file(text) as where:
        for user in users:
            who = f"user={user},{_STRANGER},lport={port}"
            done = machine.run(["sshd", "-T", *where, *given, "-C", who], timeout=_TIMEOUT)
            if done.code:
                raise (Stopped if _NO_FOLDER in done.err else Refused)(_plain(done, where))
            found[user] = sshd_config.parse_effective(done.out)
    return found


@contextlib.contextmanager
def _as_file(text: str | None) -> Iterator[list[str]]:
    """The switches that make sshd read `text`, which is written to memory only: a look leaves no trace."""
    if text is None:
        yield []
        return
    fd = os.memfd_create("sshd_config")
    try:
        os.write(fd, text.encode())
        yield ["-f", f"/proc/{os.getpid()}/fd/{fd}"]
    finally:
        os.close(fd)


def command_line(machine: Machine) -> List[str]:
    """What sshd is started with besides (``SSHD_OPTS``): it wins over every file."""
    text = sshd_config.read_text(machine.ssh.parent / "default/ssh") or ""
    found = re.findall(r"^\s*SSHD_OPTS=(.*)$", text, re.MULTILINE)
    try:
        return [word for line in found[-1:] for quoted in shlex.split(line) for word in quoted.split()]
    except ValueError:
        return []  # systemd would not start it with that


def _plain(done: Done, where: list[str]) -> str:
    said = done.text.replace(where[1], "the declared options") if where else done.text
    return "\n".join(said.splitlines()[-10:])


def differing(spec: SshServerSpec, both: tuple[ByUser, ByUser], keyword: str) -> tuple[str, list[str]] | None:
    """The user for whom `keyword` is not as declared, and what it is for them; None where all is well.

    Users of whom it is declared by name are left out: see `for_users`.
    """
    apart = {user for user, given in spec.users.items() if keyword in map(str.lower, given)}
    for user in [ANYONE, *sorted(both[1])]:
        other = None if user in apart else _other(both, user, keyword)
        if other is not None:
            return user, other
    return None


def _other(both: tuple[ByUser, ByUser], user: str, keyword: str) -> list[str] | None:
    """What an option is for a user, where that is not what is declared."""
    declared, live = both
    have = live[user].get(keyword)
    return None if have == declared[user].get(keyword) else have or ["unset"]


def options(
    machine: Machine, spec: SshServerSpec, both: tuple[ByUser, ByUser], lines: list[Line], ours: str
) -> Dict[str, str]:
    """Each declared option with its value if that holds, else with what holds, for whom and why."""
    found = {}
    for name, value in spec.options.items():
        keyword = name.lower()
        reasons = suspects(spec, both, lines, ours, keyword)
        other = differing(spec, both, keyword)
        if other:
            user, values = other
            whom = "" if user == ANYONE else f" for {user}"
            places = [line.place for line in reasons[:1]] or _elsewhere(machine, name)
            found[name] = " ".join(values) + whom + "".join(f" ({place})" for place in places)
        elif reasons:
            found[name] = f"{reasons[0].value} ({reasons[0].place})"
        else:
            found[name] = _declared(name, value, lines, ours)
    return found


def _declared(name: str, value: str, lines: list[Line], ours: str, match: str = "") -> str:
    """What is declared of an option that holds: what our own file has.

    After a refresh whose update failed the state has what was found in place of what was declared.
    """
    # By number: who includes our folder twice has every line of ours twice.
    found = {
        line.number: line.words
        for line in lines
        if (line.file, line.keyword, line.match) == (ours, name.lower(), match)
    }
    # Of most options the first line counts, and an older name of one may stand beside it.
    counting = list(found.values()) if name.lower() in sshd_config.CUMULATIVE else list(found.values())[:1]
    words = [word for line in counting for word in line]
    return value if not words or words == sshd_config.split(f"{name} {value}")[1:] else " ".join(words)


def _elsewhere(machine: Machine, name: str) -> List[str]:
    given = " ".join(command_line(machine)).lower()
    return ["SSHD_OPTS in /etc/default/ssh"] if name.lower() in given else []


def suspects(
    spec: SshServerSpec, both: tuple[ByUser, ByUser], lines: list[Line], ours: str, keyword: str
) -> list[Line]:
    """The lines of others that keep an option from being as declared."""
    wanted = {line.value_alone.lower() for line in lines if line.file == ours and line.keyword == keyword}
    wanted |= {value.lower() for name, value in spec.options.items() if name.lower() == keyword}
    if differing(spec, both, keyword):
        return sshd_config.rivals(lines, ours, keyword, wanted)
    return sshd_config.early_exceptions(lines, ours, keyword, wanted) if keyword in _ENTRANCE else []


@dataclass(frozen=True)
class Exceptional:
    """An option that is declared of one user and is something else for them, and the lines to blame."""

    user: str
    name: str
    value: str
    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        """What it is, with the line that does it."""
        return self.value + "".join(f" ({line.place})" for line in self.lines[:1])


def exceptional(
    spec: SshServerSpec, both: tuple[ByUser, ByUser], lines: list[Line], ours: str
) -> List[Exceptional]:
    """Every option that does not hold for the user of whom it is declared."""
    found = []
    for user, given in spec.users.items():
        for name, value in given.items():
            other = _other(both, user, name.lower())
            if other is not None:
                rivals = sshd_config.rivals(lines, ours, name.lower(), {value.lower()})
                found.append(Exceptional(user, name, " ".join(other), tuple(rivals)))
    return found


def for_users(
    spec: SshServerSpec, both: tuple[ByUser, ByUser], lines: list[Line], ours: str
) -> Dict[str, Dict[str, str]]:
    """What is declared of users by name: each option with its value if that holds, else with what does."""
    found = {
        user: {name: _declared(name, given[name], lines, ours, f"User {user}") for name in given}
        for user, given in spec.users.items()
    }
    for other in exceptional(spec, both, lines, ours):
        found[other.user][other.name] = other.text
    return found


def configured_ports(live: Effective) -> set[str]:
    """Where sshd will listen once it has read its files, by ``listenaddress`` lines of ``sshd -T``."""
    return {address.rpartition(":")[2] for address in live.get("listenaddress", [])} or set(
        live.get("port", [])
    )


def listening_ports(machine: Machine, *, by_socket: bool) -> tuple[set[str], dict[str, str]]:
    """Ports that SSH is answered on now, and the TCP ports that other programs have, with their names.

    Anybody may call a process sshd, and sshd's own sessions listen for what people forward: what counts is
    the process that systemd started, or the ports that systemd itself has for it.
    """
    done = machine.run(["ss", "-Htlnp"], timeout=_TIMEOUT)
    given = socket_ports(machine) if by_socket else set()
    main = "" if by_socket else _main_process(machine)
    ours, others = set(), {}
    for line in done.out.splitlines():
        words = line.split()
        if len(words) < 4 or words[0] != "LISTEN":  # noqa: PLR2004 - state, two queues, local address
            continue
        port = words[3].rpartition(":")[2]
        if port in given or main in _OWNERS.findall(line):
            ours.add(port)
        else:
            names = re.findall(r'\("([^"]+)"', line)
            name = names[0] if names else "another program"
            others[port] = f"another {name}" if name == "sshd" else name
    return ours, {port: name for port, name in others.items() if port not in ours}


def sockets(machine: Machine) -> set[str]:
    """Inodes of the sockets that ssh.service's process listens on: others once it executed itself anew."""
    done, main = machine.run(["ss", "-Htlnpe"], timeout=_TIMEOUT), _main_process(machine)
    # "… users:((…)) ino:1234 sk:5 cgroup:/… <->"; between the two is a uid where it is not root's.
    # The first of " ino:", since a process's name is too short to have that too; a cgroup's is not.
    lines = [line.partition(" ino:") for line in done.out.splitlines()]
    return {inode.split()[0] for owners, _, inode in lines if main in _OWNERS.findall(owners)}


def _main_process(machine: Machine) -> str:
    """Number of the process that ssh.service runs, "" while it runs none."""
    argv = ["systemctl", "show", "--no-pager", "--property=MainPID", "--", SERVICE]
    found = re.search(r"^MainPID=([1-9]\d*)$", machine.run(argv, timeout=_TIMEOUT).out, re.MULTILINE)
    return found[1] if found else ""


def socket_ports(machine: Machine) -> set[str]:
    """Ports that systemd's ssh.socket listens on (``Listen=[::]:22 (Stream)``)."""
    done = machine.run(["systemctl", "show", "--no-pager", "--property=Listen", SOCKET], timeout=_TIMEOUT)
    return set(re.findall(r":(\d+) \(Stream\)", done.out)) | set(re.findall(r"Listen=(\d+) \(", done.out))


def is_socket_activated(machine: Machine) -> bool:
    """Whether systemd listens in sshd's place, as on Ubuntu since 22.10."""
    return machine.run(["systemctl", "is-active", "--quiet", SOCKET], timeout=_TIMEOUT).code == 0


def groups_of(user: str) -> List[str]:
    """Names of the groups that a user is in; none for an unknown user."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return []
    names = []
    for gid in os.getgrouplist(user, entry.pw_gid):
        with contextlib.suppress(KeyError):
            names.append(grp.getgrgid(gid).gr_name)
    return names


def prepare(machine: Machine) -> None:
    """Make sshd's run folder, without which it tests nothing; systemd takes it away with the unit."""
    machine.sshd_run.mkdir(mode=0o755, exist_ok=True)


def checked(machine: Machine) -> None:
    """Have sshd test its files, its host keys too. Raises `AgentError` with its words."""
    done = machine.run(["sshd", "-t"], timeout=_TIMEOUT)
    if done.code:
        raise AgentError(
            "test-failed",
            "sshd refuses its new configuration",
            prop="content",
            hint="what stood there before is in place",
            detail="\n".join(done.text.splitlines()[-10:]),
        )
