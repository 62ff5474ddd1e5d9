"""Read a host's sshd: the value of every option in effect, the line that sets the option, and the ports."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
"""The name for any user whom no Match block names."""
_TIMEOUT = 30.0
_NO_FOLDER = "Missing privilege separation directory"
# These addresses from the range for documentation stand for any client on the internet.
_ANY_CLIENT = "addr=192.0.2.1,laddr=192.0.2.2,host=stranger.invalid"

# The text that ss prints after the name of each process that holds a socket. Users can choose the names of
# their processes, but only 15 characters: too few to imitate the end of one entry and the start of the next
# entry.
_OWNERS = re.compile(r',pid=(\d+),fd=\d+\)(?=,\("|\)\s*$)')

ByUser = dict[str, "Effective"]

_ENTRANCE = frozenset(map(str.lower, ENTRANCE))


class Refused(Exception):
    """sshd refuses a configuration. The text is sshd's message."""


class Stopped(Refused):
    """sshd cannot test a configuration, because its run folder is missing.

    systemd creates this folder when it starts sshd.
    """


def effective(machine: Machine, users: Iterable[str], port: str, text: str | None = None) -> ByUser:
    """Return, for each user, every option with its value in effect.

    With `text`, sshd reads this text instead of its files.

    Raises:
        AgentError: sshd is not installed.
        Refused: sshd refuses the configuration.
    """
    found: ByUser = {}
    given = command_line(machine) if text is None else []
    with _as_file(text) as where:
        for user in users:
            who = f"user={user},{_ANY_CLIENT},lport={port}"
            done = machine.run(["sshd", "-T", *where, *given, "-C", who], timeout=_TIMEOUT)
            if done.code:
                raise (Stopped if _NO_FOLDER in done.err else Refused)(_plain(done, where))
            found[user] = sshd_config.parse_effective(done.out)
    return found


@contextlib.contextmanager
def _as_file(text: str | None) -> Iterator[list[str]]:
    """The arguments that make sshd read `text`.

    The text is in memory only, so that reading leaves no file behind.
    """
    if text is None:
        yield []
        return
    fd = os.memfd_create("sshd_config")
    try:
        os.write(fd, text.encode())
        yield ["-f", f"/proc/{os.getpid()}/fd/{fd}"]
    finally:
        os.close(fd)


def command_line(machine: Machine) -> list[str]:
    """The options on sshd's command line (``SSHD_OPTS``), which win over every file."""
    text = sshd_config.read_text(machine.ssh.parent / "default/ssh") or ""
    found = re.findall(r"^\s*SSHD_OPTS=(.*)$", text, re.MULTILINE)
    try:
        return [word for line in found[-1:] for quoted in shlex.split(line) for word in quoted.split()]
    except ValueError:
        return []  # unbalanced quotes: systemd would not start sshd with them


def _plain(done: Done, where: list[str]) -> str:
    said = done.text.replace(where[1], "the declared options") if where else done.text
    return "\n".join(said.splitlines()[-10:])


def differing(spec: SshServerSpec, both: tuple[ByUser, ByUser], keyword: str) -> tuple[str, list[str]] | None:
    """The first user for whom `keyword` has undeclared values, and these values; None without such a user.

    Users with a declared value of their own are left out, because `for_users` compares their values.
    """
    apart = {user for user, given in spec.users.items() if keyword in map(str.lower, given)}
    for user in [ANYONE, *sorted(both[1])]:
        other = None if user in apart else _other(both, user, keyword)
        if other is not None:
            return user, other
    return None


def _other(both: tuple[ByUser, ByUser], user: str, keyword: str) -> list[str] | None:
    """The values of an option for a user, if these values differ from the declared values, else None."""
    declared, live = both
    have = live[user].get(keyword)
    return None if have == declared[user].get(keyword) else have or ["unset"]


def options(
    machine: Machine, spec: SshServerSpec, both: tuple[ByUser, ByUser], lines: list[Line], ours: str
) -> dict[str, str]:
    """Each declared option with the declared value, if this value is in effect for every user.

    For any other option, the map has the value in effect, the user with this value, and the line that sets
    it.
    """
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
    """The declared value of an option, read from our own file.

    `value` is the value in the state. After a refresh and a failed update, that is the value from the host,
    and not the declared value.
    """
    # We count each line number once: if two lines include our folder, every line of our file appears twice.
    found = {
        line.number: line.words
        for line in lines
        if (line.file, line.keyword, line.match) == (ours, name.lower(), match)
    }
    # For most options only the first line counts. A second line may use an older name of the option.
    counting = list(found.values()) if name.lower() in sshd_config.CUMULATIVE else list(found.values())[:1]
    words = [word for line in counting for word in line]
    return value if not words or words == sshd_config.split(f"{name} {value}")[1:] else " ".join(words)


def _elsewhere(machine: Machine, name: str) -> list[str]:
    given = " ".join(command_line(machine)).lower()
    return ["SSHD_OPTS in /etc/default/ssh"] if name.lower() in given else []


def suspects(
    spec: SshServerSpec, both: tuple[ByUser, ByUser], lines: list[Line], ours: str, keyword: str
) -> list[Line]:
    """The lines of other files that give an option another value than the declared one."""
    wanted = {line.value_alone.lower() for line in lines if line.file == ours and line.keyword == keyword}
    wanted |= {value.lower() for name, value in spec.options.items() if name.lower() == keyword}
    if differing(spec, both, keyword):
        return sshd_config.rivals(lines, ours, keyword, wanted)
    return sshd_config.early_exceptions(lines, ours, keyword, wanted) if keyword in _ENTRANCE else []


@dataclass(frozen=True)
class Exceptional:
    """An option whose value for a user is not the declared value, and the lines that cause this."""

    user: str
    name: str
    value: str
    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        """The value in effect, with the place of the line that sets it."""
        return self.value + "".join(f" ({line.place})" for line in self.lines[:1])


def exceptional(
    spec: SshServerSpec, both: tuple[ByUser, ByUser], lines: list[Line], ours: str
) -> list[Exceptional]:
    """Every option that is declared for a single user and has another value for that user."""
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
) -> dict[str, dict[str, str]]:
    """The options of single users: each with the declared value, or else with the value in effect."""
    found = {
        user: {name: _declared(name, given[name], lines, ours, f"User {user}") for name in given}
        for user, given in spec.users.items()
    }
    for other in exceptional(spec, both, lines, ours):
        found[other.user][other.name] = other.text
    return found


def configured_ports(live: Effective) -> set[str]:
    """The ports on which sshd will listen after it has read its files (``listenaddress`` in ``sshd -T``)."""
    return {address.rpartition(":")[2] for address in live.get("listenaddress", [])} or set(
        live.get("port", [])
    )


def listening_ports(machine: Machine, *, by_socket: bool) -> tuple[set[str], dict[str, str]]:
    """The ports on which sshd listens now, and the TCP ports of other programs, with the programs' names.

    Any user can name a process sshd, and the sessions of sshd listen on ports that clients forward. So only
    the process that systemd started counts, or the ports on which systemd itself listens for sshd.
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
    """Inodes of the sockets on which ssh.service listens.

    The sockets change when sshd executes itself again.
    """
    done, main = machine.run(["ss", "-Htlnpe"], timeout=_TIMEOUT), _main_process(machine)
    # "… users:((…)) ino:1234 sk:5 cgroup:/… <->". If the socket is not root's, a uid stands before "ino:".
    # Take the first " ino:": the name of a process is too short to contain it, the name of a cgroup is not.
    lines = [line.partition(" ino:") for line in done.out.splitlines()]
    return {inode.split()[0] for owners, _, inode in lines if main in _OWNERS.findall(owners)}


def _main_process(machine: Machine) -> str:
    """The number of the process that ssh.service runs; "" if ssh.service does not run."""
    argv = ["systemctl", "show", "--no-pager", "--property=MainPID", "--", SERVICE]
    found = re.search(r"^MainPID=([1-9]\d*)$", machine.run(argv, timeout=_TIMEOUT).out, re.MULTILINE)
    return found[1] if found else ""


def socket_ports(machine: Machine) -> set[str]:
    """The ports on which systemd's ssh.socket listens (``Listen=[::]:22 (Stream)``)."""
    done = machine.run(["systemctl", "show", "--no-pager", "--property=Listen", SOCKET], timeout=_TIMEOUT)
    return set(re.findall(r":(\d+) \(Stream\)", done.out)) | set(re.findall(r"Listen=(\d+) \(", done.out))


def is_socket_activated(machine: Machine) -> bool:
    """Return whether systemd listens for sshd, as on Ubuntu since 22.10."""
    return machine.run(["systemctl", "is-active", "--quiet", SOCKET], timeout=_TIMEOUT).code == 0


def groups_of(user: str) -> list[str]:
    """The names of the groups that a user is in. The list is empty for an unknown user."""
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
    """Create sshd's run folder, which sshd needs to test files.

    systemd removes the folder when the unit stops.
    """
    machine.sshd_run.mkdir(mode=0o755, exist_ok=True)


def checked(machine: Machine) -> None:
    """Let sshd test its files and host keys. Raises `AgentError` with sshd's message."""
    done = machine.run(["sshd", "-t"], timeout=_TIMEOUT)
    if done.code:
        raise AgentError(
            "test-failed",
            "sshd refuses its new configuration",
            prop="content",
            hint="the files of sshd on the host are as they were before",
            detail="\n".join(done.text.splitlines()[-10:]),
        )
