"""Kernel settings: live values under /proc/sys, the file for the boot, and other files that win over it."""

from __future__ import annotations

import collections
import contextlib
import errno
import fnmatch
import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent.claims import Claims
from portcullis.agent.errors import AgentError
from portcullis.agent.guarded import Guarded, Undo
from portcullis.agent.kind import Kind
from portcullis.agent.packaged import is_as_shipped
from portcullis.agent.step import Json, Step
from portcullis.agent.wire import ABSENT
from portcullis.resources.file.facts import FileDesired, FileFacts, FileSpec
from portcullis.resources.file.on_host import Files
from portcullis.resources.sysctl.facts import STATIC, SysctlDesired, SysctlFacts, SysctlSpec
from portcullis.resources.sysctl.on_host import static_routes, sysctl_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portcullis.agent.guarded import Peer
    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record, Store

_SHOWN = 5  # interfaces that a text names
_PORT_START = "net/ipv4/ip_unprivileged_port_start"  # the kernel's own port range must begin above this value
# Maps a path below /proc/sys to its value.
Live = dict[str, str]


@dataclass(frozen=True)
class _Found(SysctlFacts):
    """More facts for `plan`.

    Attributes:
        file: the facts of the file.
        live: live values of all keys, by path below /proc/sys.
        theirs: the administrator's files that set our keys to other values, each under its key.
        static: the interfaces that `STATIC` stands for.
        ipv6: a global IPv6 address of each interface that has one; empty if no setting is about IPv6.
    """

    file: FileFacts = field(default_factory=lambda: FileFacts(exists=False))
    live: Mapping[str, str] = field(default_factory=dict)
    theirs: Mapping[str, str] = field(default_factory=dict)
    static: Sequence[str] = ()
    ipv6: Mapping[str, str] = field(default_factory=dict)


class Sysctls(Guarded[SysctlDesired, _Found], Kind[SysctlSpec, SysctlDesired, _Found]):
    """The kind `sysctl`: one file of settings, and their live values.

    In a key, `*` means every interface that no other key names.
    """

    spec_type = SysctlSpec
    desired_type = SysctlDesired
    facts_type = SysctlFacts

    def __init__(self, machine: Machine, store: Store) -> None:
        """Store the host, for /proc/sys, the other files of settings, and ufw's file."""
        super().__init__(machine, store)
        self._files = Files(machine, store)

    def claims(self, record: Record) -> Claims:
        return Claims(paths=(record.id,))

    def facts(self, questions: Sequence[Question[SysctlSpec]]) -> Answers[_Found]:
        answers: Answers[_Found] = []
        for (spec, _), file in zip(
            questions,
            self._files.facts([(FileSpec(spec.path), record) for spec, record in questions]),
            strict=True,
        ):
            try:
                answers.append(file if isinstance(file, AgentError) else self._facts(spec, file))
            except AgentError as error:
                answers.append(error)
        return answers

    def _facts(self, spec: SysctlSpec, file: FileFacts) -> _Found:
        wanted, static = spec.values, self._static()
        live = {key: self._read(key, wanted) for key in wanted}
        after = [
            *sysctl_files.after(self._machine.sysctl_d, spec.path),
            *sysctl_files.by_ufw(self._machine.etc),
        ]
        return _Found(
            exists=True,
            values={key: self._shown(key, spec, live[key]) for key in wanted},
            overridden={
                key: f"{entry.value} in {entry.file}"
                for key in wanted
                for entry in after
                if entry.key in _paths(key, static) and entry.value != wanted[key]
            },
            content=static_routes.read(file.content, static) if file.exists else ABSENT,
            owner=file.owner if file.exists else ABSENT,
            group=file.group if file.exists else ABSENT,
            mode=file.mode if file.exists else ABSENT,
            file=file,
            live={path: value for found in live.values() for path, value in found.items()},
            theirs=self._theirs(spec.path, wanted),
            static=static,
            ipv6=self._global_ipv6() if any(key.endswith(".disable_ipv6") for key in wanted) else {},
        )

    def plan(self, desired: SysctlDesired, facts: _Found) -> list[Step]:
        steps = [
            Step(f"overridden.{key}", said, "nothing", "refuse")
            for key, said in sorted(facts.overridden.items())
        ]
        steps += [
            Step(f"values.{key}", facts.values[key], want, "set", facts.theirs.get(key, ""))
            for key, want in sorted(desired.values.items())
            if facts.values.get(key) != want
        ]
        # A refusal names the first step, so the first step should be a value that somebody set on purpose.
        steps.sort(key=lambda step: not step.detail)
        return steps + self._files.plan(_file(desired, facts.static), facts.file)

    def obstacle(self, desired: SysctlDesired, facts: _Found) -> AgentError | None:
        unknown = sorted(key for key, value in facts.values.items() if value == ABSENT)
        if unknown:
            return AgentError(
                "invalid",
                f"the host's kernel has no {', '.join(unknown)}",
                prop="values",
                hint="leave the key out; in KernelSettings, set the key to None",
            )
        if facts.overridden:
            key, said = min(facts.overridden.items())
            return AgentError(
                "invalid",
                f"{key} is set to {said}, which is read after {desired.path} and wins at the next boot",
                prop="overridden",
                hint="remove that line, or declare its value"
                + (
                    "; the component Firewall declares this file of ufw, and has to come first"
                    if sysctl_files.ufw_file(self._machine.etc) in said
                    else ""
                ),
            )
        file = _file(desired, facts.static)
        return _lasting_loss(desired, facts) or self._files.obstacle(file, facts.file)

    def is_unmodified_default(self, item: str, facts: _Found) -> bool:
        """Return whether the values come from the kernel or a package, and not from an administrator."""
        if facts.theirs:
            return False
        return not facts.file.exists or self._files.is_unmodified_default(item, facts.file)

    def original(self, item: str, facts: _Found, folder: Path) -> Json:
        """Describe the original file of the settings. `apply` records the original live values key by key."""
        return self._files.original(item, facts.file, folder)

    def apply(self, desired: SysctlDesired, steps: list[Step], work: Work) -> None:
        """Set live values first: a value that the kernel refuses must not get into the file for the boot."""
        wanted = desired.values
        kept: Live = work.record.extra.setdefault("live", {})
        done: Live = {}
        try:
            # Set the values twice, for an interface that appears meanwhile, such as docker0 in the same
            # deployment.
            for _ in range(2):
                live = {
                    path: (value, wanted[key])
                    for key in wanted
                    for path, value in self._read(key, wanted).items()
                }
                for path, (value, _) in live.items():
                    kept.setdefault(path, value)
                work.save()
                for path, (value, want) in live.items():
                    if value != want:
                        self._write(path, want)
                        done.setdefault(path, value)
            file_steps = [s for s in steps if not s.prop.startswith(("values.", "overridden."))]
            static = self._static()
            self._files.apply(_file(desired, static), file_steps, work)
        except AgentError:
            for path, value in done.items():
                with contextlib.suppress(AgentError):
                    self._write(path, value)
            raise
        for path in [path for path in kept if not _declared(path, wanted, static)]:
            self._restore(path, kept.pop(path))

    def remove(self, desired: SysctlDesired, record: Record, folder: Path) -> str:
        """Restore live values and the file. Some kernel settings cannot be restored before the next boot."""
        for path, value in record.extra.get("live", {}).items():
            self._restore(path, value)
        return self._files.remove(_file(desired, ()), record, folder)

    def preflight(
        self, desired: SysctlDesired, facts: _Found, steps: list[Step], peer: Peer | None
    ) -> AgentError | None:
        """Refuse to disable IPv6 in a session over IPv6.

        Only the login after the change can show whether a reverse-path filter is right for this host.
        """
        off = [key for key, value in desired.values.items() if key.endswith(".disable_ipv6") and value == "1"]
        if peer is None or peer.address.version != 6 or not off:  # noqa: PLR2004 - IPv6
            return None
        return AgentError(
            "invalid",
            f"{off[0]} = 1 would cut off this session, which comes over IPv6",
            prop=f"values.{off[0]}",
            hint="connect over IPv4 first",
        )

    def undo(self, desired: SysctlDesired, facts: _Found, steps: list[Step]) -> Undo | None:
        """Return the undo of network settings. Other settings cannot cut anybody off."""
        have, want = (
            {entry.key: entry.value for entry in sysctl_files.parse(content) if entry.key.startswith("net/")}
            for content in (facts.content, desired.content)
        )
        if have == want and not any(step.prop.startswith("values.net.") for step in steps):
            return None
        return self._undo(desired, facts)

    def undo_removal(self, desired: SysctlDesired, record: Record, facts: _Found) -> Undo | None:
        return self._undo(desired, facts)

    def _undo(self, desired: SysctlDesired, facts: _Found) -> Undo | None:
        live = {path: value for path, value in facts.live.items() if path.startswith("net/")}
        if not live:
            return None
        # The undo uses sh, because the package of sysctl(8) may be missing.
        write = ("sh", "-c", 'printf "%s\\n" "$1" >"$2"', "sh")
        commands = tuple((*write, value, str(self._machine.proc_sys / path)) for path, value in live.items())
        return Undo((desired.path,), commands)

    def _read(self, key: str, wanted: Mapping[str, str]) -> Live:
        """Return the live values of a key, each under its path below /proc/sys.

        ``*`` does not match paths that other keys name.
        """
        normal, root, static = sysctl_files.normal(key), self._machine.proc_sys, self._static()
        if "*" not in normal:
            values = {path: self._value(path) for path in _paths(key, static)}
            return {path: value for path, value in values.items() if value is not None}
        found: Live = {}
        named = {path for other in wanted if "*" not in other for path in _paths(other, static)}
        for path in sorted(root.glob(normal)):
            name = str(path.relative_to(root))
            value = None if name in named else self._value(name)  # an interface may vanish at any moment
            if value is not None:
                found[name] = value
        return found

    def _value(self, path: str) -> str | None:
        try:
            return " ".join((self._machine.proc_sys / path).read_text("ascii").split())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            why = os.strerror(getattr(error, "errno", 0) or errno.EINVAL)
            raise AgentError(
                "unreadable", f"the kernel setting {_dotted(path)} cannot be read: {why}", prop="values"
            ) from None

    def _shown(self, key: str, spec: SysctlSpec, live: Live) -> str:
        """Return one text for a key's values: the most frequent value, then the interfaces that differ."""
        is_many = "*" in key or STATIC in key
        if is_many and live:
            counts = collections.Counter(live.values())
            most = min(counts, key=lambda value: (-counts[value], value))
            other = [f"{path.split('/')[-2]}: {value}" for path, value in live.items() if value != most]
            more = f" and {len(other) - _SHOWN} more" if len(other) > _SHOWN else ""
            return f"{most}, but {', '.join(other[:_SHOWN])}{more}" if other else most
        # The setting applies to nothing: no such interface, a part that this kernel lacks, or no IPv6.
        no_ipv6 = key.startswith("net.ipv6.") and not (self._machine.proc_sys / "net/ipv6").exists()
        idle = no_ipv6 or is_many or key in spec.optional
        return next(iter(live.values()), spec.values[key] if idle else ABSENT)

    def _write(self, path: str, value: str) -> None:
        try:
            fd = os.open(self._machine.proc_sys / path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, value.encode() + b"\n")
            finally:
                os.close(fd)
        except OSError as error:
            read_only = error.errno in (errno.EROFS, errno.EACCES)
            hint = "see the kernel's documentation for the values of this setting"
            if path == _PORT_START:
                hint = f"raise net.ipv4.ip_local_port_range to begin at {value} or above, where it is set"
            raise AgentError(
                "invalid",
                f"the kernel refuses {value!r} for {_dotted(path)}: {os.strerror(error.errno or 0)}",
                prop=f"values.{_dotted(path)}",
                hint='a container can set no other keys than net.*: declare KernelSettings(only=("net.",))'
                if read_only
                else hint,
            ) from None

    def _restore(self, path: str, value: str) -> None:
        if self._value(path) not in (None, value):
            with contextlib.suppress(AgentError):
                self._write(path, value)

    def _theirs(self, own: str, wanted: Mapping[str, str]) -> dict[str, str]:
        """Return the administrator's files that set our keys to other values, each under its key."""
        keys = {path: key for key in wanted for path in _paths(key, self._static())}
        found = {}
        for entry in sysctl_files.assignments(self._machine.sysctl_d):
            key = keys.get(entry.key)
            by_hand = Path(entry.file).parent == self._machine.sysctl_d[0] and entry.file != own
            if key and by_hand and entry.value != wanted[key]:
                real = Path(os.path.realpath(entry.file))
                if not is_as_shipped(self._machine, real):
                    found[key] = f"{entry.file} sets it to {entry.value}"
        return found

    def _static(self) -> Sequence[str]:
        return static_routes.interfaces(self._machine.proc_sys.parent / "net")

    def _global_ipv6(self) -> dict[str, str]:
        """Return a global IPv6 address of each interface that has one, from proc_net(5)."""
        found = {}
        with contextlib.suppress(OSError):
            for line in (self._machine.proc_sys.parent / "net/if_inet6").read_text("ascii").splitlines():
                digits, _, _, scope, _, name = line.split()
                if scope == "00":
                    found[name] = str(ipaddress.IPv6Address(int(digits, 16)))
        return found


def _dotted(path: str) -> str:
    return path.replace("/", ".")


def _lasting_loss(desired: SysctlDesired, facts: _Found) -> AgentError | None:
    """Return an error if IPv6 would be switched off and an undo could not restore the lost addresses."""
    for key, value in desired.values.items():
        name = sysctl_files.normal(key).split("/")[-2]
        lost = {k: v for k, v in facts.ipv6.items() if name in ("all", "*", k)}
        if key.endswith(".disable_ipv6") and value == "1" != facts.values[key] and lost:
            interface, address = min(lost.items())
            return AgentError(
                "invalid",
                f"{key} = 1 would remove {address} from {interface}, and an undo would not bring it back",
                prop=f"values.{key}",
                hint="first remove the address where it is configured, or boot with ipv6.disable=1",
            )
    return None


def _paths(key: str, static: Sequence[str]) -> list[str]:
    """Return the paths below /proc/sys that a key means. A key with ``*`` gives a pattern."""
    return [sysctl_files.normal(one) for one in static_routes.keys(key, static)]


def _declared(path: str, wanted: Mapping[str, str], static: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for key in wanted for pattern in _paths(key, static))


def _file(desired: SysctlDesired, static: Sequence[str]) -> FileDesired:
    """Return the file of the settings as a declared `File`."""
    content = static_routes.written(desired.content, static)
    return FileDesired(desired.path, content, desired.owner, desired.group, desired.mode)
