"""The agent's code for the SSH server.

It writes our drop-in, checks that its options are in effect, and moves the ports together with ufw's rules.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import disk, paths, undeclared
from portcullis.agent.claims import Claims, content_of
from portcullis.agent.errors import AgentError
from portcullis.agent.guarded import Guarded, Undo
from portcullis.agent.kind import Kind, each
from portcullis.agent.wire import ABSENT
from portcullis.components.firewall.on_host import ufw_files, ufw_kernel
from portcullis.components.ssh.facts import (
    ALLOW,
    DROP_IN,
    SshServerDesired,
    SshServerFacts,
    SshServerSpec,
)
from portcullis.components.ssh.on_host import (
    ssh_access,
    ssh_daemon,
    ssh_facts,
    ssh_rules,
    ssh_steps,
    ssh_undeclared,
    sshd_config,
)
from portcullis.components.ssh.on_host.ssh_daemon import SshDaemon
from portcullis.components.ssh.on_host.ssh_facts import ANYONE
from portcullis.components.ssh.on_host.ssh_files import Files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portcullis.agent.guarded import Peer
    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.step import Json, Step
    from portcullis.agent.store import Record, Store
    from portcullis.components.ssh.on_host.ssh_facts import ByUser

_TIMEOUT = 60.0
_REMOVE = "remove those lines, or let `up` make them comments until this resource is deleted: "


@dataclass(frozen=True)
class _Found(SshServerFacts):
    """Facts that only the code on the host needs.

    Attributes:
        refused: why sshd refuses the declared options; "" if it accepts them.
        files: every file that sshd reads, with our drop-in and the main file.
        taken: TCP ports that other programs listen on, with the programs' names.
        by_socket: whether systemd listens for sshd.
        socket_drop_ins: files of an administrator that set the ports on which systemd listens.
        groups: the groups of each user whose options the agent reads.
        marks: a digest of each undeclared file, also of files that no report shows.
    """

    refused: str = ""
    files: tuple[str, ...] = ()
    taken: dict[str, str] = field(default_factory=dict)
    by_socket: bool = False
    socket_drop_ins: tuple[str, ...] = ()
    groups: dict[str, list[str]] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)


class SshServers(Guarded[SshServerDesired, _Found], Kind[SshServerSpec, SshServerDesired, _Found]):
    """The agent's code for resources of the kind ``ssh.ssh_servers``. A host has one SSH server."""

    spec_type = SshServerSpec
    desired_type = SshServerDesired
    facts_type = SshServerFacts

    def __init__(self, machine: Machine, store: Store) -> None:
        """Prepare to read and change the SSH server of a host.

        Args:
            machine: the host, with sshd, systemd and ufw.
            store: the declared resources.
        """
        super().__init__(machine, store)
        self._main = machine.ssh / "sshd_config"
        self._ours = machine.ssh / DROP_IN
        self._daemon = SshDaemon(machine, [str(self._main), str(self._ours.parent)])
        self._lock = threading.Lock()

    def facts(self, questions: Sequence[Question[SshServerSpec]]) -> Answers[_Found]:
        return each(self._facts, questions)

    def _facts(self, spec: SshServerSpec, record: Record | None) -> _Found:
        users = _users(spec)
        declared: ByUser = {}
        live: ByUser = {}
        broken = refused = ""
        try:
            declared = ssh_facts.effective(self._machine, users, spec.port, spec.content)
        except ssh_facts.Stopped as error:
            broken = f"sshd is stopped: {error}"
        except ssh_facts.Refused as error:
            refused = str(error)
        except AgentError as error:
            if error.code == "invalid":
                return _Found(exists=False)
            raise
        lines = sshd_config.read_lines(self._main)
        content, mode = self._drop_in()
        try:
            live = ssh_facts.effective(self._machine, users, spec.port)
        except ssh_facts.Refused as error:
            broken = broken or str(error)
        ours, both = str(self._ours), (declared, live)
        readable = bool(live and declared)
        by_socket = ssh_facts.is_socket_activated(self._machine)
        listening, taken = ssh_facts.listening_ports(self._machine, by_socket=by_socket)
        configured = ssh_facts.configured_ports(live[ANYONE]) if live else set()
        ports = sorted(configured & listening or listening, key=int)
        dropped = self._machine.ssh.parent / "systemd/system/ssh.socket.d"
        options = ssh_facts.options(self._machine, spec, both, lines, ours) if readable else {}
        for_users = ssh_facts.for_users(spec, both, lines, ours) if readable else {}
        blamed = [*options.values(), *(value for given in for_users.values() for value in given.values())]
        others = ssh_undeclared.read(self._machine, self._store, lines, self._ours, blamed)
        told = undeclared.told(others, record, spec.accepted)
        return _Found(
            exists=True,
            content=content,
            mode=mode,
            port=ssh_steps.port_text(configured, listening),
            options=options,
            users=for_users,
            firewall=self._firewall(spec.port),
            stale=self._daemon.is_stale(record),
            broken=broken,
            ports=ports,
            ports_before=record.original.get("ports", []) if record else ports,
            owner=record.owner if record else "",
            refused=refused,
            files=tuple(sorted({line.file for line in lines} | {str(self._main), ours})),
            taken=taken,
            by_socket=by_socket,
            socket_drop_ins=tuple(sorted(map(str, dropped.glob("*.conf")))) if by_socket else (),
            groups={user: ssh_facts.groups_of(user) for user in users},
            undeclared=undeclared.texts(told),
            fixes=undeclared.fixes(told),
            marks=undeclared.marks(others),
        )

    def _firewall(self, port: str) -> dict[str, str] | None:
        """The ports that have a rule of ours, and `port` if it is open; None if ufw is not installed."""
        firewall = ssh_rules.read(self._machine)
        if firewall is None:
            return None
        found = {known: ALLOW for known in sorted(firewall.ours | {port}) if firewall.is_open(known)}
        return found | {known: "in part" for known in firewall.ours if not firewall.is_open(known)}

    def _drop_in(self) -> tuple[str, str]:
        """The content and the mode of our drop-in on the host.

        If the owner is not root, the text of the mode also names the owner.
        """
        with disk.reading(self._ours) as place:
            status = place.look()
        text = sshd_config.read_text(self._ours)
        if status is None or text is None:
            return ABSENT, ABSENT
        owner = paths.user_name(status.st_uid)
        mode = paths.mode_text(status.st_mode)
        return text, mode if owner == "root" else f"{mode}, of {owner}"

    def _undeclared(self, record: Record) -> Mapping[str, str]:
        with contextlib.suppress(AgentError):
            lines = sshd_config.read_lines(self._main)
            found = ssh_undeclared.read(self._machine, self._store, lines, self._ours, ())
            return undeclared.texts(undeclared.told(found, record, self.as_spec(record.spec).accepted))
        return {}

    def plan(self, desired: SshServerDesired, facts: _Found) -> list[Step]:
        return ssh_steps.steps(desired, facts, str(self._ours)) + undeclared.steps(facts.undeclared)

    def claims(self, record: Record) -> Claims:
        return Claims(paths=(str(self._main),), trees=(str(self._ours.parent),))

    def obstacle(self, desired: SshServerDesired, facts: _Found) -> AgentError | None:
        if not facts.exists:
            return AgentError(
                "invalid",
                "sshd is not installed on the host",
                prop="host",
                hint="depend on Packages with openssh-server",
            )
        if facts.refused:
            return AgentError(
                "test-failed",
                "sshd refuses the declared options",
                prop="options",
                hint="nothing was changed; correct the option that sshd names",
                detail=facts.refused,
            )
        if facts.socket_drop_ins:
            return AgentError(
                "invalid",
                f"{facts.socket_drop_ins[0]} sets the ports of ssh.socket",
                prop="port",
                hint=(
                    "remove this file: systemd's generator also sets these ports, from sshd_config, and both "
                    "would clash"
                ),
            )
        return None

    def is_unmodified_default(self, item: str, facts: _Found) -> bool:
        """Return whether our drop-in does not exist yet. A new drop-in replaces only defaults of sshd."""
        return facts.content == ABSENT

    def original(self, item: str, facts: _Found, folder: Path) -> Json:
        kept = paths.keep(self._ours, folder / "original")
        return {"ports": list(facts.ports), "drop_in": kept, undeclared.KEPT: dict(facts.marks)}

    def accept(self, desired: SshServerDesired, facts: _Found, record: Record) -> None:
        undeclared.hold(record, desired.accepted, facts.marks)

    def apply(self, desired: SshServerDesired, steps: list[Step], work: Work) -> None:
        """Write and test the files, then reload sshd. If the test fails, restore every file."""
        if not steps:
            return
        with self._lock:
            wanted = ssh_steps.wanted_ports(desired)
            spec = replace(desired.spec(), content=ssh_steps.with_ports(desired.content, wanted))
            rules = work.record.extra.setdefault("rules", {})
            files = Files()
            ssh_facts.prepare(self._machine)
            try:
                files.write(self._ours, spec.content, 0o600)
                self._enforce(spec, wanted, files, work)
                edited = work.record.extra.get("edited", ())
                work.record.extra["left"] = {path: content_of(Path(path)) for path in edited}
                ssh_facts.checked(self._machine)
            except AgentError as error:
                files.undo()
                raise undeclared.refused(error, self._undeclared(work.record)) from None
            except BaseException:
                files.undo()
                raise
            # The order keeps SSH reachable: first allow the new ports, then listen on them, and only then
            # remove the rule of a port that is no longer used.
            ssh_rules.allow(self._machine, wanted, rules)
            ssh_rules.pass_filter(self._machine, wanted)
            work.save()
            self._daemon.reload(set(wanted), work.record)
            firewall = ssh_rules.read(self._machine)
            if firewall:
                ssh_rules.give_back(self._machine, firewall.ours - set(wanted), rules)

    def _enforce(self, spec: SshServerSpec, wanted: list[str], files: Files, work: Work) -> None:
        """Make our file's options take effect. With `adopt`, lines of other files that win become comments.

        Without `adopt` such lines are an error, which names them.
        """
        ours = str(self._ours)
        lines = sshd_config.read_lines(self._main)
        if not sshd_config.includes(lines, self._ours):
            if not work.adopt:
                raise _conflict(
                    f"{self._main} has no line `Include {self._ours.parent}/*.conf`: sshd ignores {ours}",
                    hint="add this line at the top of the file, or let `up` add the line, and remove it "
                    "together with this resource: ",
                )
            text = sshd_config.read_text(self._main) or ""
            self._record_edit(work, self._main)
            files.rewrite(self._main, sshd_config.with_include(text, self._ours.parent))
        while True:
            others = self._overriding_lines(spec, wanted)
            if not others:
                return
            if not work.adopt:
                shown = "\n".join(f"{line.place}: {line.keyword} {line.value}" for line in others)
                raise _conflict("sshd uses lines in other files instead of the declared options", shown)
            first = Path(others[0].file)
            numbers = {line.number for line in others if line.file == others[0].file}
            stands = sshd_config.read_text(first)
            if stands is None or ours == others[0].file:
                raise AgentError(
                    "not-converged",
                    f"the file {first} changed during the deployment",
                    prop="content",
                    hint="run `up` again",
                )
            self._record_edit(work, first)
            files.rewrite(first, sshd_config.take_out(stands, numbers))

    def _overriding_lines(self, spec: SshServerSpec, wanted: list[str]) -> list[sshd_config.Line]:
        """The lines of other files that win over declared options. The agent has already written our file."""
        users = _users(spec)
        lines = sshd_config.read_lines(self._main)
        try:
            declared = ssh_facts.effective(self._machine, users, spec.port, spec.content)
            live = ssh_facts.effective(self._machine, users, spec.port)
        except ssh_facts.Refused as error:
            raise AgentError(
                "test-failed", "sshd refuses its configuration", prop="content", detail=str(error),
                hint="correct the file that sshd's message names; the host's files are as they were before",
            ) from None  # fmt: skip
        found = [
            line
            for name in spec.options
            for line in ssh_facts.suspects(spec, (declared, live), lines, str(self._ours), name.lower())
        ]
        for other in ssh_facts.exceptional(spec, (declared, live), lines, str(self._ours)):
            if not other.lines:
                raise _unexplained(f"users.{other.user}.{other.name}", other.name, other.value, other.user)
            found += other.lines
        ports = ssh_facts.configured_ports(live[ANYONE])
        if ports != set(wanted):
            ours = str(self._ours)
            found += sshd_config.rivals(lines, ours, "port", set(wanted))
            addresses = sshd_config.rivals(lines, ours, "listenaddress", set())
            found += [line for line in addresses if line.has_port]
        return self._check_explained(spec, (declared, live), found, ports=ports == set(wanted))

    def _check_explained(
        self, spec: SshServerSpec, both: tuple[ByUser, ByUser], found: list[sshd_config.Line], *, ports: bool
    ) -> list[sshd_config.Line]:
        """Return `found`, or raise `AgentError` if an option or port differs and no line explains it."""
        for name in spec.options:
            other = ssh_facts.differing(spec, both, name.lower())
            if other and not any(line.keyword == name.lower() for line in found):
                raise _unexplained(f"options.{name}", name, " ".join(other[1]), other[0])
        if not ports and not found:
            raise AgentError(
                "not-converged",
                "sshd would not listen on the declared port, and no line in its files explains why",
                prop="port",
            )
        return found

    def _record_edit(self, work: Work, path: Path) -> None:
        """Record that the agent will turn lines of a file into comments."""
        edited = work.record.extra.setdefault("edited", [])
        if str(path) not in edited:
            edited.append(str(path))
            work.save()

    def remove(self, desired: SshServerDesired, record: Record, folder: Path) -> str:
        """Turn the commented lines of other files back into settings, and restore the former ports."""
        with self._lock:
            files = Files()
            ssh_facts.prepare(self._machine)
            try:
                kept = record.original["drop_in"]
                files.remove(self._ours)
                paths.put_back(self._ours, kept, folder / "original")
                for name in record.extra.get("edited", []):
                    text = sshd_config.read_text(Path(name))
                    if text is not None:
                        files.rewrite(Path(name), sshd_config.put_back(text))
                try:
                    ssh_facts.checked(self._machine)
                    live = ssh_facts.effective(self._machine, [ANYONE], "22")
                except ssh_facts.Refused:
                    live = {}
            except AgentError as error:
                files.undo()
                if error.code == "invalid" and not self._has_sshd():
                    paths.remove_file(self._ours)
                    return "removed"  # somebody removed the package openssh-server before this resource
                raise
            self._restore_ports(ssh_facts.configured_ports(live[ANYONE]) if live else {"22"}, record)
        return "restored" if record.original["drop_in"]["type"] == "file" else "removed"

    def _restore_ports(self, ports: set[str], record: Record) -> None:
        """Make sshd listen on `ports`, and restore the firewall rules."""
        rules = dict(record.extra.get("rules", {}))
        firewall = ssh_rules.read(self._machine)
        if firewall and firewall.enabled:
            # ufw stays enabled, so ufw must still allow SSH on the former ports.
            ssh_rules.allow(self._machine, [p for p in ports if p not in firewall.v4], rules)
        ssh_rules.pass_filter(self._machine, ports)
        self._daemon.reload(ports, record)
        if firewall:
            stays = ports if firewall.enabled else set()
            gone = {port for port in firewall.ours if port not in stays or rules.get(port)}
            ssh_rules.give_back(self._machine, gone, rules)

    def _has_sshd(self) -> bool:
        try:
            self._machine.run(["sshd", "-V"], timeout=_TIMEOUT)
        except AgentError:
            return False
        return True

    def preflight(
        self,
        desired: SshServerDesired,
        facts: _Found,
        steps: list[Step],
        peer: Peer | None,
    ) -> AgentError | None:
        return ssh_access.refusal(desired, facts.taken, facts.groups, peer)

    def undo(self, desired: SshServerDesired, facts: _Found, steps: list[Step]) -> Undo | None:
        if ssh_steps.is_harmless(desired, facts, steps):
            return None
        return self._undo(facts)

    def undo_removal(self, desired: SshServerDesired, record: Record, facts: _Found) -> Undo | None:
        return self._undo(facts, record.extra.get("edited", []))

    def _undo(self, facts: _Found, edited: Sequence[str] = ()) -> Undo | None:
        if not facts.exists:
            return None
        files = tuple(dict.fromkeys([*facts.files, *edited]))
        commands = ssh_daemon.bring_back(by_socket=facts.by_socket)
        if facts.firewall is not None:
            files += ssh_rules.files(self._machine)
            if self._may_reload():
                commands += (("ufw", "reload"),)
        return Undo(files, commands)

    def _may_reload(self) -> bool:
        """Return whether an undo may reload ufw's rules.

        If it may not, the kernel keeps its present rules, which let SSH in.
        """
        try:
            files = ufw_files.read(self._machine, ())
            found = ufw_kernel.differences(self._machine, files)
        except AgentError:
            return False  # the agent does not know which rules ufw would load
        return files.enabled and ufw_kernel.may_reload(files, found, self._machine.peer)


def _users(spec: SshServerSpec) -> list[str]:
    """Return the users whose options the agent reads.

    They are an unknown user, root, the user that logs in, and users with options of their own.
    """
    return sorted({ANYONE, "root", spec.login, *spec.users})


def _unexplained(prop: str, name: str, value: str, user: str) -> AgentError:
    return AgentError(
        "not-converged",
        f"{name} is {value} for the user {user}, and no line of sshd's files explains it",
        prop=prop,
        hint="look at /etc/ssh and at the options in /etc/default/ssh",
    )


def _conflict(message: str, detail: str = "", *, hint: str = _REMOVE) -> AgentError:
    how = "set adopt=True (in the settings: adopt: true)"
    return AgentError("differs", message, prop="options", detail=detail, hint=hint + how)
