"""fail2ban's jails: the file of each jail, and its values in the running server."""

from __future__ import annotations

import contextlib
import functools
import glob
import ipaddress
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import disk, paths, undeclared
from portcullis.agent.claims import Claims, content_of
from portcullis.agent.errors import AgentError
from portcullis.agent.guarded import Guarded, Undo
from portcullis.agent.kind import Kind, each
from portcullis.agent.packaged import is_as_shipped
from portcullis.agent.step import WARN, Json, Step, text_diff
from portcullis.components.fail2ban.facts import JAIL_NAME, NEVER, JailDesired, JailFacts, JailSpec
from portcullis.components.fail2ban.on_host import bans, fail2ban_undeclared, jail_files
from portcullis.components.fail2ban.on_host.fail2ban import Server
from portcullis.components.fail2ban.on_host.fail2ban_log import Log

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from portcullis.agent.guarded import Address, Peer
    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record, Store

_TEST = ("fail2ban-client", "-t")
# A reload does not stop a jail that no file names any more, and such a jail would continue to ban.
# `fail2ban-client --dump` lists the jails that the files start.
_UNDO = """\
fail2ban-client reload --restart --unban --if-exists "$1"
fail2ban-client --dump 2>/dev/null | grep -qF "['start', '$1']" && exit 0
fail2ban-client stop "$1" >/dev/null 2>&1 || true
"""
# After a reboot, the undo may run before fail2ban's server has read its configuration.
_WAIT = """\
for n in $(seq 100); do
    fail2ban-client ping && exit 0
    systemctl is-active -q fail2ban.service || exit 0
    sleep 0.2
done
exit 1
"""
_TIMEOUT = 60.0
_START_LIMIT = 20.0  # seconds from the start of the server until it answers
_BACKLOG_LIMIT = 20.0  # seconds from the start of a jail until it has read its log
_UP_LIMIT = 10.0  # seconds from a reload until the jail runs


@dataclass(frozen=True)
class _Found(JailFacts):
    """The facts of a jail, and more values that the plan and the undo need.

    Attributes:
        has_file: whether our file for the jail exists.
        others: other files with a section for the jail.
        later: the files of `others` that override our file.
        runs_without_us: whether other files enable the jail.
        banned: addresses that are banned, or will be as soon as the jail starts.
        marks: a digest of every undeclared file in the folder, also of accepted files.
    """

    has_file: bool = False
    others: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    runs_without_us: bool = False
    banned: tuple[str, ...] = ()
    marks: Mapping[str, str] = field(default_factory=dict)


class Jails(Guarded[JailDesired, _Found], Kind[JailSpec, JailDesired, _Found]):
    """Handles host resources of the kind ``fail2ban.jails``. The id of a resource is the name of the jail."""

    spec_type = JailSpec
    desired_type = JailDesired
    facts_type = JailFacts

    def __init__(self, machine: Machine, store: Store) -> None:
        """Store `machine`, which knows fail2ban's paths and runs fail2ban-client."""
        super().__init__(machine, store)
        # fail2ban tests all jails together. So only one jail changes at a time: the test of a good jail must
        # not fail because of another one.
        self._one_at_a_time = threading.Lock()

    def facts(self, questions: Sequence[Question[JailSpec]]) -> Answers[_Found]:
        """Read all jails over one connection to the server."""
        jails = [spec.jail for spec, _ in questions]
        bad = [jail for jail in jails if not JAIL_NAME.match(jail)]
        if bad:
            return [AgentError("invalid", f"{bad[0]!r} is not a name for a jail", prop="jail")] * len(jails)
        remembered = bans.remembered(self._machine.fail2ban_database, jails)
        try:
            with Server(self._machine.fail2ban_socket) as server:
                running = server.jails() if server else []

                def read(spec: JailSpec, record: Record | None) -> _Found:
                    live = server if spec.jail in running else None
                    found = self._facts(spec, live, remembered[spec.jail])
                    return self._with_undeclared(spec, record, found) if spec.whole else found

                return each(read, questions)
        except AgentError as error:
            return [error] * len(jails)

    def _facts(self, spec: JailSpec, live: Server | None, remembered: list[str]) -> _Found:
        folder, jail = self._machine.fail2ban, spec.jail
        ours, later = jail_files.path_of(folder, jail), jail_files.later(folder, jail)
        content = _content(ours)
        # The server does not report every option. For example, it reports the patterns of a filter, but not
        # its name.
        written = jail_files.options([ours, *later], jail)
        values = {name: written[name] for name in spec.options if name in written}
        ignored, banned, enforced = written.get("ignoreip", "").split(), remembered, True
        if live:
            told = {name: _running_value(live, jail, name, value) for name, value in spec.options.items()}
            values.update({name: value for name, value in told.items() if value is not None})
            ignored = live.ignored(jail)
            enforced = bans.enforced(
                self._machine, jail, values.get("banaction", ""), functools.partial(live.banned, jail)
            )
            banned = [*remembered, *live.banned(jail)]
        others = jail_files.others(folder, jail)
        enabled = jail_files.options(others, jail).get("enabled", "").lower()
        return _Found(
            exists=bool(content is not None or live or others),
            content=content or "",
            enabled=live is not None,
            options=values,
            ignoreip=dict.fromkeys(ignored, NEVER),
            overridden={
                option: f"{value} in {path}"
                for path in later
                for option, value in jail_files.options([path], jail).items()
            },
            enforced=enforced,
            has_file=content is not None,
            others=tuple(map(str, others)),
            later=tuple(map(str, later)),
            runs_without_us=enabled in ("true", "1", "yes", "on"),
            banned=tuple(banned),
        )

    def _undeclared(self, record: Record) -> Mapping[str, str]:
        spec = self.as_spec(record.spec)
        with contextlib.suppress(AgentError):
            if spec.whole:
                found = fail2ban_undeclared.read(self._machine, self._store)
                return undeclared.texts(undeclared.told(found, record, spec.accepted))
        return {}

    def _with_undeclared(self, spec: JailSpec, record: Record | None, facts: _Found) -> _Found:
        found = fail2ban_undeclared.read(self._machine, self._store)
        told = undeclared.told(found, record, spec.accepted)
        # The test of the configuration is slow because it starts Python. So we test only if there are
        # undeclared files.
        broken = fail2ban_undeclared.refusal(self._machine) if told else ""
        return replace(
            facts,
            broken=broken,
            undeclared=undeclared.texts(told),
            fixes=undeclared.fixes(told),
            marks=undeclared.marks(found),
        )

    def claims(self, record: Record) -> Claims:
        folder = self._machine.fail2ban
        if record.spec.get("whole"):
            return Claims(trees=(str(folder),))
        left = record.extra.get("left") or {}
        ours = jail_files.path_of(folder, record.id)
        return Claims(paths=(str(ours),), contents=tuple(left.items()))

    def redacted(self, record: Record, facts: _Found) -> _Found:
        """Hide fail2ban's error line, which may quote a file that not everybody may read."""
        return replace(facts, broken="fail2ban refuses its configuration") if facts.broken else facts

    def plan(self, desired: JailDesired, facts: _Found) -> list[Step]:
        # Our own file is correct, or this step corrects it. So fail2ban refuses another file.
        broken = [Step("broken", facts.broken, "", WARN)] if facts.broken else []
        return self._steps(desired, facts) + broken + undeclared.steps(facts.undeclared)

    def _steps(self, desired: JailDesired, facts: _Found) -> list[Step]:
        path, content = desired.path, desired.content
        steps: list[Step] = []
        if not facts.has_file:
            have = f"absent; set up in {', '.join(facts.others)}" if facts.others else "absent"
            steps.append(Step("content", have, _measure(content), "write"))
        elif facts.content != content:
            diff = text_diff(facts.content, content, path)
            steps.append(Step("content", _measure(facts.content), _measure(content), "write", diff))
        if not facts.exists:
            return steps
        steps += [
            Step("overridden", f"{option} = {value}", "", "comment it out")
            for option, value in facts.overridden.items()
        ]
        if facts.enabled != desired.enabled:
            steps.append(Step("enabled", str(facts.enabled), str(desired.enabled), "reload"))
        if not desired.enabled:
            return steps
        if not facts.enforced:
            steps.append(Step("enforced", "False", "True", "reload"))
        for option, value in desired.options.items():
            have = facts.options.get(option, "")
            if have != value:
                steps.append(Step(f"options.{option}", have, value, "reload"))
        for address in sorted(desired.ignoreip.keys() ^ facts.ignoreip.keys()):
            states = (NEVER, "") if address in facts.ignoreip else ("", NEVER)
            steps.append(Step(f"ignoreip.{address}", *states, "reload"))
        return steps

    def is_unmodified_default(self, item: str, facts: _Found) -> bool:
        """Whether only unchanged files of fail2ban's package set up the jail."""
        return not facts.has_file and all(is_as_shipped(self._machine, Path(path)) for path in facts.others)

    def original(self, item: str, facts: _Found, folder: Path) -> Json:
        kept = paths.keep(jail_files.path_of(self._machine.fail2ban, item), folder / "original")
        return {**kept, undeclared.KEPT: dict(facts.marks)}

    def accept(self, desired: JailDesired, facts: _Found, record: Record) -> None:
        undeclared.hold(record, desired.accepted, facts.marks)

    def preflight(
        self, desired: JailDesired, facts: _Found, steps: list[Step], peer: Peer | None
    ) -> AgentError | None:
        """Refuse a jail that bans this session's address. A starting jail restores bans from the database."""
        del steps
        if peer is None or not desired.enabled or _in_any(peer.address, desired.ignoreip):
            return None
        if not _in_any(peer.address, facts.banned):
            return None
        return AgentError(
            "lock-out",
            f"the jail {desired.jail} bans {peer.address}, the address of this session, and would refuse it"
            " as soon as the jail starts",
            prop="ignoreip",
            hint="add this address to fail2ban.ignore (ignoreip in a program)",
        )

    def undo(self, desired: JailDesired, facts: _Found, steps: list[Step]) -> Undo | None:
        """Return an undo that also lifts the jail's bans, because a ban may block the deploying machine."""
        del steps
        return self._undo(desired.jail, facts) if desired.enabled else None

    def undo_removal(self, desired: JailDesired, record: Record, facts: _Found) -> Undo | None:
        """Return an undo only if other files enable the jail, because a jail that ends bans nobody."""
        del desired
        return self._undo(record.id, facts) if facts.runs_without_us else None

    def _undo(self, jail: str, facts: _Found) -> Undo:
        files = (str(jail_files.path_of(self._machine.fail2ban, jail)), *facts.later)
        return Undo(files, (("sh", "-c", _WAIT), ("sh", "-c", _UNDO, "sh", jail)))

    def apply(self, desired: JailDesired, steps: list[Step], work: Work) -> None:
        """Write the file, test it, and reload the jail. Restore the earlier files if a step fails."""
        if not steps and "before" not in work.record.extra:
            return
        jail = work.record.id
        ours = jail_files.path_of(self._machine.fail2ban, jail)
        copy = work.folder / "before"
        with self._one_at_a_time:
            if desired.enabled:
                self._assert_can_start(desired)
            disk.sweep(ours)
            if (
                "before" not in work.record.extra
            ):  # after an interrupted run, the earlier file is already kept
                work.record.extra["before"] = paths.keep(ours, copy)
                work.save()
            try:
                self._change(desired, ours)
                others = jail_files.silenced(self._machine.fail2ban, jail)
                work.record.extra["left"] = {str(path): content_of(path) for path in others}
            except AgentError as error:
                paths.put_back(ours, work.record.extra["before"], copy)
                jail_files.unsilence(self._machine.fail2ban, jail)
                self._client(_reload(jail), quiet=True)
                raise undeclared.refused(error, self._undeclared(work.record)) from None
            finally:
                del work.record.extra["before"]
                work.save()
                with contextlib.suppress(FileNotFoundError):
                    copy.unlink()

    def _change(self, desired: JailDesired, ours: Path) -> None:
        jail = desired.jail
        disk.write(ours, desired.content.encode(), mode=0o644)
        for path in jail_files.later(self._machine.fail2ban, jail):
            jail_files.silence(path, jail)
        self._client(_TEST)
        with Server(self._machine.fail2ban_socket) as server:
            if server is None:
                return  # the jail is declared off, and no server runs
            log = Log(server.log())
        self._client(_reload(jail))
        deadline = time.monotonic() + _UP_LIMIT
        while self._runs(jail) != desired.enabled:
            if time.monotonic() > deadline:
                state = "does not start" if desired.enabled else "does not stop"
                raise AgentError(
                    "systemd",
                    f"fail2ban accepted the files of the jail {jail}, but the jail {state}",
                    prop="enabled",
                    hint="/var/log/fail2ban.log has the reason; the earlier files of the jail are back in "
                    "place",
                )
            time.sleep(0.1)
        peer = self._machine.peer
        if desired.enabled and peer is not None and not _in_any(peer.address, desired.ignoreip):
            self._wait_for_backlog(jail, peer, log)

    def _wait_for_backlog(self, jail: str, peer: Peer, log: Log) -> None:
        """Wait until the jail has read the older log entries, which may make it ban this session's address.

        The login that confirms the change cannot detect such a ban, because the login may succeed just before
        the ban. A jail that reads the journal writes a log line when it has reached the end of the journal.
        On a busy host, the jail may begin to read the journal only after some seconds.
        """
        settle, gave_up = 3 * self._machine.settle, time.monotonic() + _BACKLOG_LIMIT
        seen, since = -1, time.monotonic()
        while time.monotonic() < min(since + settle, gave_up):
            with Server(self._machine.fail2ban_socket) as server:
                failed = server.failed(jail) if server else 0
                banned = server.banned(jail) if server else []
                reads_on = (
                    server is not None
                    and server.option(jail, "journalmatch")
                    and not log.has(f"[{jail}] Jail is in operation now")
                )
            if _in_any(peer.address, banned):
                raise AgentError(
                    "lock-out",
                    f"the jail {jail} bans {peer.address}, the address of this session, because of "
                    "older failures in the log",
                    prop="ignoreip",
                    hint=(
                        "add this address to the setting fail2ban.ignore, or to ignoreip of a Fail2banJail; "
                        "the earlier files of the jail are back in place"
                    ),
                )
            if failed != seen or reads_on:
                seen, since = failed, time.monotonic()
            time.sleep(settle / 12)

    def _assert_can_start(self, desired: JailDesired) -> None:
        """Check that the server runs and that the jail's log files exist."""
        for pattern in desired.options.get("logpath", "").split():
            journal = desired.options.get("backend") == "systemd"
            if not journal and not glob.glob(pattern):  # noqa: PTH207 - an absolute pattern
                raise AgentError(
                    "invalid",
                    f"no file matches {pattern}, and fail2ban does not start if a jail's log file is missing",
                    prop="options",
                    hint="add the resource that creates the log file to the `depends_on` of the jail",
                )
        deadline = time.monotonic() + _START_LIMIT
        active = ["systemctl", "is-active", "--quiet", "fail2ban.service"]
        while True:
            with Server(self._machine.fail2ban_socket) as server:
                if server is not None:
                    return
            starting = self._machine.run(active, timeout=_TIMEOUT).code == 0
            if not starting or time.monotonic() > deadline:
                raise AgentError(
                    "systemd",
                    "fail2ban does not run on the host",
                    prop="enabled",
                    hint="declare a `Service` fail2ban.service, and add it to the `depends_on` of the jail",
                )
            time.sleep(0.1)

    def remove(self, desired: JailDesired, record: Record, folder: Path) -> str:
        """Remove our file for the jail. Then the jail ends, or continues with other files that set it up."""
        jail = record.id
        ours = jail_files.path_of(self._machine.fail2ban, jail)
        with self._one_at_a_time:
            disk.sweep(ours)
            with disk.reading(ours) as place:
                there = place.look() is not None
            if ours.parent.is_dir():
                paths.put_back(ours, record.original, folder / "original")
                jail_files.unsilence(self._machine.fail2ban, jail)
            with Server(self._machine.fail2ban_socket) as server:
                running = server is not None
            # If the rest of the configuration is broken, at least stop the jail.
            if running and not self._client(_reload(jail), quiet=True):
                self._client(("fail2ban-client", "stop", jail), quiet=True)
        if record.original["type"] != "absent":
            return "restored"
        return "removed" if there else "absent"

    def _runs(self, jail: str) -> bool:
        with Server(self._machine.fail2ban_socket) as server:
            return server is not None and jail in server.jails()

    def _client(self, argv: tuple[str, ...], *, quiet: bool = False) -> bool:
        try:
            done = self._machine.run(argv, timeout=_TIMEOUT)
        except AgentError:
            if quiet:
                return False
            raise
        if done.code and not quiet:
            raise AgentError(
                "test-failed",
                f"{' '.join(argv)} refuses the jail (exit code {done.code})",
                prop="content",
                hint="the earlier files of the jail are back in place",
                detail="\n".join(done.text.splitlines()[-20:]),
            )
        return done.code == 0


def _reload(jail: str, *how: str) -> tuple[str, ...]:
    """Return the command that restarts a running jail, starts a new jail, or stops a jail that is off.

    Without `--restart`, a reload keeps an option that is no longer in the file. Such a reload also keeps the
    firewall's rule for the old port (measured with 1.0.2 and 1.1.0). After a restart, bans come back from the
    database and failures from the log.
    """
    return ("fail2ban-client", "reload", "--restart", *how, "--if-exists", jail)


def _running_value(server: Server, jail: str, name: str, declared: str) -> str | None:
    """Return the running server's value of an option, or the declared text if both mean the same."""
    if name == "logpath":
        files = set(server.files(jail))
        same = files == {path for pattern in declared.split() for path in glob.glob(pattern)}  # noqa: PTH207
        return declared if same else " ".join(sorted(files))
    value = server.option(jail, name)
    if name == "banaction" and value == declared.partition("[")[0]:
        return None  # the server reports only the name, and the file also has the parameters
    return value


def _content(path: Path) -> str | None:
    with disk.reading(path) as place:
        status = place.look()
        if status is None:
            return None
        name = paths.named(place, status)
    if name != "a file":
        return f"<{name}>"
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise disk.unreadable(error, path) from None


def _measure(content: str) -> str:
    return f"{len(content.splitlines())} lines"


def _in_any(address: Address, networks: Iterable[str]) -> bool:
    for text in networks:
        with contextlib.suppress(ValueError):
            network = ipaddress.ip_network(text, strict=False)
            if address.version == network.version and address in network:
                return True
    return False
