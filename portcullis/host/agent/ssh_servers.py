"""The SSH server: our drop-in, that what it declares really holds, its ports, and the firewall's rule for them."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.host.agent import disk, paths, ssh_access, ssh_facts, ssh_rules, sshd_config
from portcullis.host.agent.errors import HostError
from portcullis.host.agent.guarded import Guarded, Undo
from portcullis.host.agent.services import is_stale, parse_show
from portcullis.host.agent.ssh_facts import ANYONE, SERVICE, SOCKET
from portcullis.host.agent.ssh_files import Files
from portcullis.host.agent.step import Json, Step, compare, text_diff
from portcullis.host.agent.watch import newest_change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.host.agent.guarded import Peer
    from portcullis.host.agent.kind import Answers, Question, Work
    from portcullis.host.agent.machine import Machine
    from portcullis.host.agent.ssh_facts import ByUser
    from portcullis.host.agent.store import Record

ITEM = "sshd"
DROP_IN = Path("sshd_config.d/10-portcullis.conf")
"""Sorts before what providers and cloud-init write: of most options, the first line counts."""
_MODE = "0600"
_ABSENT = "<absent>"
_TIMEOUT = 60.0
_PROPERTIES = "ActiveState,InvocationID,Id,ReloadResult,ActiveEnterTimestampMonotonic,StateChangeTimestampMonotonic"
_LISTEN_LIMIT = 15.0  # seconds from reload to listening


class SshServers(Guarded):
    """The kind ``ssh-server``. A host has one."""

    def __init__(self, machine: Machine) -> None:
        """Need the machine for sshd, systemd and ufw."""
        self._machine = machine
        self._main = machine.ssh / "sshd_config"
        self._ours = machine.ssh / DROP_IN
        self._lock = threading.Lock()

    def spec(self, item: str, desired: Json) -> Json:  # noqa: ARG002
        return {key: desired[key] for key in ("content", "options", "port", "login")}

    def facts(self, questions: Sequence[Question]) -> Answers:
        """See `Kind`."""
        answers: Answers = []
        for spec, record in questions:
            try:
                answers.append(self._facts(spec, record))
            except HostError as error:
                answers.append(error)
        return answers

    def _facts(self, spec: Json, record: Record | None) -> Json:
        users = sorted({ANYONE, "root", str(spec["login"])})
        facts: Json = {"exists": True, "options": {}, "broken": "", "_refused": "", "_files": [], "_ports": []}
        try:
            declared = ssh_facts.effective(self._machine, users, spec["port"], spec["content"])
        except ssh_facts.Refused as error:
            declared, facts["_refused"] = {}, str(error)
        except HostError as error:
            if error.code == "invalid":
                return {"exists": False}
            raise
        lines = sshd_config.read_lines(self._main)
        facts |= self._drop_in()
        try:
            live = ssh_facts.effective(self._machine, users, spec["port"])
        except ssh_facts.Refused as error:
            live, facts["broken"] = {}, str(error)
        if live and declared:
            facts["options"] = ssh_facts.options(spec, declared, live, lines, str(self._ours))
        by_socket = ssh_facts.is_socket_activated(self._machine)
        listening, taken = ssh_facts.listening_ports(self._machine, by_socket=by_socket)
        configured = ssh_facts.configured_ports(live[ANYONE]) if live else set()
        facts["port"] = port_text(configured, listening)
        facts["_ports"] = sorted(configured & listening or listening, key=int)
        facts["ports"] = facts["_ports"]
        facts["ports_before"] = record.original.get("ports", []) if record else facts["_ports"]
        facts["_taken"] = taken
        facts["_socket"] = by_socket
        dropped = self._machine.ssh.parent / "systemd/system/ssh.socket.d"
        facts["_socket_drop_ins"] = sorted(map(str, dropped.glob("*.conf"))) if by_socket else []
        facts["_files"] = sorted({line.file for line in lines} | {str(self._main), str(self._ours)})
        facts["_groups"] = {user: ssh_facts.groups_of(user) for user in users}
        facts["stale"] = self._is_stale(record)
        firewall = ssh_rules.read(self._machine)
        facts["firewall"] = None
        if firewall:
            known = firewall.ours | {str(spec["port"])}
            facts["firewall"] = {port: "allow" for port in sorted(known) if firewall.is_open(port)}
            facts["firewall"].update({port: "in part" for port in firewall.ours if not firewall.is_open(port)})
        facts["revision"] = record.revision if record else ""
        return facts

    def _drop_in(self) -> Json:
        """Our file as it stands there: content, mode, owner."""
        with disk.reading(self._ours) as place:
            status = place.look()
        text = sshd_config.read_text(self._ours)
        if status is None or text is None:
            return {"content": _ABSENT, "mode": _ABSENT}
        owner = paths.user_name(status.st_uid)
        mode = paths.mode_text(status.st_mode)
        return {"content": text, "mode": mode if owner == "root" else f"{mode}, of {owner}"}

    def plan(self, desired: Json, facts: Json) -> list[Step]:
        """See `Kind`."""
        if not facts["exists"]:
            return [Step("server", "absent", "installed", "install")]
        wanted = wanted_ports(desired)
        content = with_ports(str(desired["content"]), wanted)
        steps = []
        if facts["content"] != content:
            diff = text_diff(facts["content"], content, str(self._ours))
            steps.append(Step("content", _lines(facts["content"]), _lines(content), "write", diff))
        else:
            steps += compare({"mode": _MODE}, facts, ("mode",), "write")
        if facts["broken"]:
            steps.append(Step("config", "refused by sshd", "valid", "write", facts["broken"]))
        steps += [
            Step(f"options.{name}", facts["options"][name], str(value), "write")
            for name, value in desired["options"].items()
            if facts["options"].get(name, value) != str(value)
        ]
        if facts["port"] != ", ".join(wanted) and not facts["broken"]:
            steps.append(Step("port", facts["port"], ", ".join(wanted), "listen"))
        if facts["firewall"] is not None and facts["firewall"] != dict.fromkeys(wanted, "allow"):
            have = ", ".join(f"{port} {what}" for port, what in facts["firewall"].items()) or "no rule"
            steps.append(Step("firewall", have, ", ".join(f"{port} allow" for port in wanted), "rule"))
        if facts["stale"]:
            steps.append(Step("stale", "True", "False", "reload"))
        return steps

    def obstacle(self, desired: Json, facts: Json) -> HostError | None:  # noqa: ARG002
        """See `Kind`."""
        if not facts["exists"]:
            return HostError(
                "invalid", "there is no sshd on the host", prop="host", hint="depend on Packages openssh-server"
            )
        if facts["_refused"]:
            return HostError(
                "test-failed",
                "sshd does not take the declared options",
                prop="options",
                hint="nothing was changed; its own words are above",
                detail=facts["_refused"],
            )
        if facts["_socket_drop_ins"]:
            return HostError(
                "invalid",
                f"{facts['_socket_drop_ins'][0]} sets by hand where SSH is listened for",
                prop="port",
                hint="remove it: systemd's generator takes the ports from sshd_config, and both would clash",
            )
        return None

    def is_nobodys(self, item: str, facts: Json) -> bool:  # noqa: ARG002
        """See `Kind`. Without a file in our place only defaults are replaced; lines of others are not."""
        return bool(facts["content"] == _ABSENT)

    def original(self, item: str, facts: Json, folder: Path) -> Json:  # noqa: ARG002
        """See `Kind`."""
        kept = paths.keep(self._ours, folder / "original")
        return {"type": "sshd", "ports": facts["_ports"], "drop_in": kept}

    def apply(self, desired: Json, steps: list[Step], work: Work) -> None:
        """See `Kind`. sshd takes the new files only after they were proven; until then all can be put back."""
        if not steps:
            return
        with self._lock:
            wanted = wanted_ports(desired)
            spec = {**self.spec(ITEM, desired), "content": with_ports(str(desired["content"]), wanted)}
            extra = work.record.extra
            # First what lets people in, then what listens; the rule of a port that goes is last.
            ssh_rules.allow(self._machine, wanted, extra.setdefault("rules", {}))
            work.save()
            files = Files()
            try:
                files.write(self._ours, spec["content"], 0o600)
                self._prevail(spec, wanted, files, work)
                ssh_facts.checked(self._machine, self._machine.sshd_run)
            except BaseException:
                files.undo()
                raise
            work.save()
            self._take_up(set(wanted), work.record)
            firewall = ssh_rules.read(self._machine)
            if firewall:
                ssh_rules.give_back(self._machine, firewall.ours - set(wanted), extra["rules"])

    def _prevail(self, spec: Json, wanted: list[str], files: Files, work: Work) -> None:
        """Make what our file says hold, with `adopt` against the lines of others; without, name them."""
        ours = str(self._ours)
        lines = sshd_config.read_lines(self._main)
        if not sshd_config.includes(lines, self._ours):
            if not work.adopt:
                raise _conflict(f"{self._main} has no line `Include {self._ours.parent}/*.conf`, so ours is not read")
            text = sshd_config.read_text(self._main) or ""
            files.rewrite(self._main, sshd_config.with_include(text, self._ours.parent))
            self._note(work, self._main)
        while True:
            others = self._winners(spec, wanted)
            if not others:
                return
            if not work.adopt:
                shown = "\n".join(f"{line.place}: {line.keyword} {line.value}" for line in others)
                raise _conflict("lines of somebody else's win over what is declared", shown)
            first = Path(others[0].file)
            numbers = {line.number for line in others if line.file == others[0].file}
            text = sshd_config.read_text(first)
            if text is None or ours == others[0].file:
                raise HostError("not-converged", f"{first} changed meanwhile", prop="content", hint="run again")
            files.rewrite(first, sshd_config.take_out(text, numbers))
            self._note(work, first)

    def _winners(self, spec: Json, wanted: list[str]) -> list[sshd_config.Line]:
        """The lines of others that keep what is declared from holding, now that our file is in place."""
        users = sorted({ANYONE, "root", str(spec["login"])})
        lines = sshd_config.read_lines(self._main)
        try:
            declared = ssh_facts.effective(self._machine, users, spec["port"], spec["content"])
            live = ssh_facts.effective(self._machine, users, spec["port"])
        except ssh_facts.Refused as error:
            raise HostError(
                "test-failed", "sshd refuses its configuration", prop="content", detail=str(error),
                hint="correct the file that it names; what stood there before is in place",
            ) from None  # fmt: skip
        found = [
            line
            for name in spec["options"]
            for line in ssh_facts.suspects(spec, declared, live, lines, str(self._ours), name.lower())
        ]
        ports = ssh_facts.configured_ports(live[ANYONE])
        if ports != set(wanted):
            ours = str(self._ours)
            found += sshd_config.rivals(lines, ours, "port", set(wanted))
            found += sshd_config.rivals(lines, ours, "listenaddress", set())
        return self._explained(spec, declared, live, found, ports == set(wanted))

    def _explained(
        self, spec: Json, declared: ByUser, live: ByUser, found: list[sshd_config.Line], ports: bool
    ) -> list[sshd_config.Line]:
        """`found`, unless something differs for which no line is to blame."""
        for name in spec["options"]:
            other = ssh_facts.differing(declared, live, name.lower())
            if other and not any(line.keyword == name.lower() for line in found):
                raise HostError(
                    "not-converged",
                    f"{name} is {' '.join(other[1])} for {other[0]}, and no line of sshd's files explains it",
                    prop=f"options.{name}",
                    hint="look at /etc/ssh and at the options in /etc/default/ssh",
                )
        if not ports and not found:
            raise HostError("not-converged", "sshd would not listen on the declared port", prop="port")
        return found

    def _note(self, work: Work, path: Path) -> None:
        """Remember that lines of a file are out of force because of us."""
        edited = work.record.extra.setdefault("edited", [])
        if str(path) not in edited:
            edited.append(str(path))
            work.save()

    def _take_up(self, wanted: set[str], record: Record) -> None:
        """Make sshd read its files; sessions survive. Then wait until it listens."""
        newest = newest_change(self._watched())
        by_socket = ssh_facts.is_socket_activated(self._machine)
        if by_socket:
            # The generator of ssh.socket's ports runs at daemon-reload.
            self._systemctl("daemon-reload")
            self._systemctl("restart", SOCKET)
            # Its unit has KillMode=process: sessions survive a restart.
            self._systemctl("try-restart", SERVICE)
        else:
            self._systemctl("reload-or-restart", SERVICE)
        deadline = time.monotonic() + _LISTEN_LIMIT
        time.sleep(self._machine.settle)  # sshd executes itself anew, and the old one listens till then
        while True:
            listening, taken = ssh_facts.listening_ports(self._machine, by_socket=by_socket)
            if listening == wanted:
                break
            if time.monotonic() > deadline:
                lost = sorted(wanted - listening, key=int)
                who = [f"{port} belongs to {taken[port]}" for port in lost if port in taken]
                raise HostError(
                    "systemd",
                    f"sshd listens on {', '.join(sorted(listening, key=int)) or 'no port'}"
                    f" and not on {', '.join(sorted(wanted, key=int))}",
                    prop="port",
                    detail="\n".join(who),
                )
            time.sleep(self._machine.settle / 4)
        unit = self._unit()
        record.extra["loaded"] = {"invocation": unit["InvocationID"], "newest": newest}

    def remove(self, desired: Json, record: Record, folder: Path) -> str:  # noqa: ARG002
        """See `Kind`. The lines of others are in force again, and the ports are what they were."""
        with self._lock:
            files = Files()
            try:
                kept = record.original["drop_in"]
                if kept["type"] == "file":
                    files.write(self._ours, (folder / "original").read_text("utf-8", "surrogateescape"), kept["mode"])
                else:
                    files.remove(self._ours)
                for name in record.extra.get("edited", []):
                    text = sshd_config.read_text(Path(name))
                    if text is not None:
                        files.rewrite(Path(name), sshd_config.put_back(text))
                try:
                    ssh_facts.checked(self._machine, self._machine.sshd_run)
                    live = ssh_facts.effective(self._machine, [ANYONE], "22")
                except ssh_facts.Refused:
                    live = {}
            except HostError as error:
                files.undo()
                if error.code == "invalid" and not self._has_sshd():
                    paths.remove_file(self._ours)
                    return "removed"  # its package went first
                raise
            self._leave(ssh_facts.configured_ports(live[ANYONE]) if live else {"22"}, record)
        return "restored" if record.original["drop_in"]["type"] == "file" else "removed"

    def _leave(self, ports: set[str], record: Record) -> None:
        rules = dict(record.extra.get("rules", {}))
        firewall = ssh_rules.read(self._machine)
        if firewall and firewall.enabled:
            # Somebody filters still: whoever comes in on the restored port must not depend on our rule.
            ssh_rules.allow(self._machine, [p for p in ports if p not in firewall.v4], rules)
        self._take_up(ports, record)
        if firewall:
            stays = ports if firewall.enabled else set()
            gone = {port for port in firewall.ours if port not in stays or rules.get(port)}
            ssh_rules.give_back(self._machine, gone, rules)

    def _has_sshd(self) -> bool:
        try:
            self._machine.run(["sshd", "-V"], timeout=_TIMEOUT)
        except HostError:
            return False
        return True

    def preflight(self, desired: Json, facts: Json, steps: list[Step], peer: Peer | None) -> HostError | None:  # noqa: ARG002
        """See `Guarded`."""
        return ssh_access.refusal(desired, facts, peer)

    def undo(self, desired: Json, facts: Json, steps: list[Step]) -> Undo | None:  # noqa: ARG002
        """See `Guarded`."""
        if all(is_harmless(step) for step in steps):
            return None
        return self._undo(facts)

    def undo_removal(self, desired: Json, record: Record, facts: Json) -> Undo | None:  # noqa: ARG002
        """See `Guarded`."""
        return self._undo(facts, record.extra.get("edited", []))

    def _undo(self, facts: Json, edited: Sequence[str] = ()) -> Undo | None:
        if not facts["exists"]:
            return None
        files = tuple(dict.fromkeys([*facts["_files"], *edited]))
        commands = [("systemctl", "daemon-reload")]
        if facts["_socket"]:
            commands += [("systemctl", "restart", SOCKET), ("systemctl", "try-restart", SERVICE)]
        else:
            commands += [("systemctl", "reset-failed", SERVICE), ("systemctl", "reload-or-restart", SERVICE)]
        if facts["firewall"] is not None:
            files += ssh_rules.files(self._machine)
            commands.append(("ufw", "reload"))  # says so and does nothing where ufw is inactive
        return Undo(files, tuple(commands))

    def _is_stale(self, record: Record | None) -> bool:
        unit = self._unit()
        loaded = record.extra.get("loaded") if record else None
        wall, monotonic = time.time_ns(), time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        return is_stale(unit, newest_change(self._watched()), loaded, wall, monotonic)

    def _watched(self) -> list[str]:
        return [str(self._main), str(self._ours.parent)]

    def _unit(self) -> dict[str, str]:
        argv = ["systemctl", "show", "--no-pager", f"--property={_PROPERTIES}", "--", SERVICE]
        done = self._machine.run(argv, timeout=_TIMEOUT)
        units = parse_show(done.out)
        if done.code or not units:
            raise HostError("unreadable", "systemd does not answer on the host", prop="port", detail=done.text)
        return units[0]

    def _systemctl(self, *words: str) -> None:
        done = self._machine.run(["systemctl", "--no-pager", *words], timeout=_TIMEOUT)
        if done.code:
            argv = ["journalctl", "--no-pager", "-q", "-n", "20", "-o", "cat", "-u", SERVICE]
            said = self._machine.run(argv, timeout=_TIMEOUT).out.strip()
            detail = "\n".join(part for part in (done.text, said) if part)
            raise HostError("systemd", f"systemctl {' '.join(words)} failed", prop="port", detail=detail)


def wanted_ports(desired: Json) -> list[str]:
    """The declared port, and those that are kept for now, in order."""
    return sorted({str(desired["port"]), *map(str, desired.get("listen_also") or ())}, key=int)


def with_ports(content: str, ports: list[str]) -> str:
    """The drop-in with a line for each port; the declared one has its own line in it."""
    lines = []
    for line in content.splitlines(keepends=True):
        lines.append(line)
        if line.startswith("Port "):
            kept = [port for port in ports if port != line.split()[1]]
            lines += [f"Port {port}  # until a login on the new port has worked\n" for port in kept]
    return "".join(lines)


def port_text(configured: set[str], listening: set[str]) -> str:
    """The ports for people: those that agree by number, the others with what is wrong."""
    told = {port: "" for port in configured & listening}
    told.update({port: " (not listening)" for port in configured - listening})
    told.update({port: " (until sshd reads its files)" for port in listening - configured})
    return ", ".join(port + told[port] for port in sorted(told, key=int))


# What none of these say decides who gets in.
_HARMLESS = frozenset(
    ["LogLevel", "Banner", "DebianBanner", "PrintMotd", "PrintLastLog", "X11Forwarding", "PermitTunnel"]
    + ["AllowAgentForwarding", "GatewayPorts", "UseDNS", "PermitUserEnvironment", "Compression"]
)


def is_harmless(step: Step) -> bool:
    """Whether a step cannot cut anybody off; the drop-in's text goes by the options that differ."""
    if step.prop == "content":
        return step.have != _lines(_ABSENT)
    return step.prop == "mode" or step.prop.partition(".")[2] in _HARMLESS


def _lines(text: str) -> str:
    return "absent" if text == _ABSENT else f"{text.count(chr(10))} lines"


def _conflict(message: str, detail: str = "") -> HostError:
    return HostError(
        "differs",
        message,
        prop="options",
        detail=detail,
        hint="remove those lines, or set adopt=True: they are then taken out of force, and come back on delete",
    )
