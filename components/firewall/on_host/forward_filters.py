"""The forward filter: one nftables table, live as declared, and a unit that loads it at every boot."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portcullis.agent import disk, journal, paths
from portcullis.agent.claims import Claims
from portcullis.agent.errors import AgentError
from portcullis.agent.guarded import Guarded, Undo
from portcullis.agent.kind import Kind, each
from portcullis.agent.step import Json, Step, compare, text_diff
from portcullis.agent.wire import ABSENT
from portcullis.components.firewall.facts import (
    ENABLED,
    PERMISSIONS,
    TABLE,
    UNIT,
    ForwardFilterDesired,
    ForwardFilterFacts,
    ForwardFilterSpec,
)
from portcullis.resources.file.facts import FileSpec
from portcullis.resources.file.on_host import Files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from portcullis.agent.guarded import Argv, Peer
    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.run import Done
    from portcullis.agent.store import Record, Store

_RIVAL = "nftables.service"
_WANTED_BY = "sysinit.target.wants"
_TIMEOUT = 30.0
_TEXTS = ("table", "file", "unit")


@dataclass(frozen=True)
class _Found(ForwardFilterFacts):
    """What undo and removal need besides: the table in the kernel, "" where there is none."""

    live: str = ""


class ForwardFilters(
    Guarded[ForwardFilterDesired, _Found], Kind[ForwardFilterSpec, ForwardFilterDesired, _Found]
):
    """The kind ``firewall.forward_filters``; there is one item."""

    spec_type = ForwardFilterSpec
    desired_type = ForwardFilterDesired
    facts_type = ForwardFilterFacts

    def __init__(self, machine: Machine, store: Store) -> None:
        """Need the machine for its paths and for running nft and systemctl."""
        super().__init__(machine, store)
        self._files = Files(machine, store)
        self._file, self._unit = machine.filter_file, machine.units / UNIT

    def claims(self, record: Record) -> Claims:
        return Claims(paths=(str(self._file), str(self._unit)), units=(UNIT,))

    def facts(self, questions: Sequence[Question[ForwardFilterSpec]]) -> Answers[_Found]:
        return each(lambda _spec, _record: self._facts(), questions)

    def plan(self, desired: ForwardFilterDesired, facts: _Found) -> list[Step]:
        if not facts.exists:
            return [Step("table", "absent", _measure(desired.table), "load")]
        steps = []
        for prop in _TEXTS:
            have, want = getattr(facts, prop), getattr(desired, prop)
            if have != want:
                steps.append(Step(prop, _measure(have), _measure(want), "load", text_diff(have, want, prop)))
        return steps + compare(desired, facts, ("boot", "permissions"), "set")

    def obstacle(self, desired: ForwardFilterDesired, facts: _Found) -> AgentError | None:
        """A unit that flushes our table, and ufw's and Docker's, is not ours to disable."""
        if not facts.conflict:
            return None
        return AgentError(
            "invalid",
            f"{_RIVAL} is enabled on the host: it flushes the whole ruleset when it starts and when it stops,"
            " and this filter and the rules of ufw and Docker with it",
            prop="conflict",
            hint=f"`systemctl disable {_RIVAL}` (not --now: stopping it flushes), or mask it",
        )

    def original(self, item: str, facts: _Found, folder: Path) -> Json:
        """Seldom anything: a table of this name from before."""
        return {
            "type": "filter",
            "table": facts.live,
            "file": paths.keep(self._file, folder / "file"),
            "unit": paths.keep(self._unit, folder / "unit"),
            "wanted": paths.keep(self._link, folder / "wanted"),
        }

    def apply(self, desired: ForwardFilterDesired, steps: list[Step], work: Work) -> None:
        """The kernel takes the old table for the new one in one transaction."""
        if not steps:
            return
        for path in (self._file, self._unit):
            disk.sweep(path)
        self._make_folder()
        disk.write(self._file, desired.file.encode(), mode=0o644, check=self._validate)
        disk.write(self._unit, desired.unit.encode(), mode=0o644)
        self._systemctl("daemon-reload")
        self._systemctl("enable", UNIT)
        # By the unit, not by nft: what boots the host is what was tried.
        self._systemctl("reload-or-restart", UNIT)

    def remove(self, desired: ForwardFilterDesired, record: Record, folder: Path) -> str:
        """Nothing else in the ruleset is touched."""
        kept = record.original
        there = self._facts()
        if there.unit != ABSENT:
            self._machine.run(["systemctl", "--no-pager", "disable", UNIT], timeout=_TIMEOUT)
            self._machine.run(["systemctl", "--no-pager", "stop", UNIT], timeout=_TIMEOUT)
        for path, name in ((self._link, "wanted"), (self._unit, "unit"), (self._file, "file")):
            disk.sweep(path)
            if kept[name]["type"] == "absent":
                paths.remove_file(path)
            else:
                paths.put_back(path, kept[name], folder / name)
        self._remove_folder()
        self._systemctl("daemon-reload")
        self._machine.run(["systemctl", "--no-pager", "reset-failed", UNIT], timeout=_TIMEOUT)
        if kept["table"]:
            self._nft(_reload(kept["table"]))
            return "restored"
        if there.live:
            self._nft(f"delete table {TABLE}")
        return "removed" if there.exists else "absent"

    def preflight(
        self,
        desired: ForwardFilterDesired,
        facts: _Found,
        steps: list[Step],
        peer: Peer | None,
    ) -> AgentError | None:
        """Nothing to tell: a session of this host's own sshd is never forwarded.

        Whoever comes through a container or a virtual machine of this host finds out by the fresh login.
        """
        return None

    def undo(self, desired: ForwardFilterDesired, facts: _Found, steps: list[Step]) -> Undo | None:
        """Only a changed table can cut anybody off."""
        if all(step.prop != "table" for step in steps):
            return None
        return self._undo(facts)

    def undo_removal(self, desired: ForwardFilterDesired, record: Record, facts: _Found) -> Undo | None:
        """Taking the filter away opens; only what was there before us could close."""
        return self._undo(facts) if record.original["table"] else None

    def _undo(self, facts: _Found) -> Undo:
        live = facts.live
        table = _reload(live) if live else f"delete table {TABLE}"
        commands: tuple[Argv, ...] = (("systemctl", "daemon-reload"), ("nft", table))
        return Undo((str(self._file), str(self._unit), str(self._link)), commands)

    @property
    def _link(self) -> Path:
        """What `systemctl enable` makes."""
        return self._machine.units / _WANTED_BY / UNIT

    def _facts(self) -> _Found:
        live, shown = self._live()
        (file, of_file), (unit, of_unit) = (self._text(path) for path in (self._file, self._unit))
        conflict = f"{_RIVAL} is enabled" if self._enabled(_RIVAL) == ENABLED else ""
        if not live and file == unit == ABSENT:
            return _Found(exists=False, conflict=conflict)
        odd = [permissions for permissions in (of_file, of_unit) if permissions not in ("", PERMISSIONS)]
        return _Found(
            exists=True,
            table=shown,
            file=file,
            unit=unit,
            boot=self._enabled(UNIT),
            permissions=odd[0] if odd else PERMISSIONS,
            conflict=conflict,
            live=live,
        )

    def _live(self) -> tuple[str, str]:
        """The table in the kernel, or "", and what to show of it."""
        try:
            done = self._machine.run(["nft", "-s", "list", "table", *TABLE.split()], timeout=_TIMEOUT)
        except AgentError as error:
            if error.code != "invalid":
                raise
            return "", "<there is no nft on the host>"
        if done.code == 0:
            return done.out, done.out
        if "No such file or directory" in done.err:
            return "", ABSENT
        raise AgentError("unreadable", "nft does not list the table", prop="table", detail=done.text)

    def _text(self, path: Path) -> tuple[str, str]:
        """What a file says, and its owner, group and mode; `ABSENT` and "" where there is none."""
        answer = self._files.facts([(FileSpec(str(path)), None)])[0]
        if isinstance(answer, AgentError):
            raise answer
        if not answer.exists:
            return ABSENT, ""
        return answer.content, f"{answer.owner} {answer.group} {answer.mode}"

    def _enabled(self, unit: str) -> str:
        done = self._machine.run(["systemctl", "--no-pager", "is-enabled", unit], timeout=_TIMEOUT)
        word = done.out.strip()
        return ABSENT if word in ("", "not-found") else word

    def _validate(self, path: Path) -> None:
        done = self._machine.run(["nft", "-c", "-f", str(path)], timeout=_TIMEOUT)
        if done.code:
            raise AgentError(
                "test-failed",
                "nft refuses the table",
                prop="table",
                hint="the kernel may lack a module (nft_fib, nft_ct)",
                detail=done.text.replace(str(path), str(self._file)),
            )

    def _make_folder(self) -> None:
        with disk.writing(self._file, make=True):
            pass

    def _remove_folder(self) -> None:
        """Others may keep files in it."""
        with disk.removing(self._file.parent) as place, contextlib.suppress(OSError):
            os.rmdir(place.name, dir_fd=place.folder)

    def _systemctl(self, *words: str) -> None:
        since = time.time()
        done = self._machine.run(["systemctl", "--no-pager", *words], timeout=_TIMEOUT)
        if done.code:
            said = journal.last_lines(self._machine, UNIT, since=since) if UNIT in words else ""
            raise AgentError(
                "systemd",
                f"systemctl {' '.join(words)} failed",
                prop="boot",
                detail="\n".join(part for part in (said, done.text) if part),
            )

    def _nft(self, command: str) -> Done:
        done = self._machine.run(["nft", command], timeout=_TIMEOUT)
        if done.code:
            raise AgentError("nft", "nft refuses to take the table away", prop="table", detail=done.text)
        return done


def _reload(listing: str) -> str:
    """What makes the table `listing` again, whatever stands there."""
    return f"table {TABLE}\ndelete table {TABLE}\n{listing}"


def _measure(text: str) -> str:
    return text.strip("<>") if text[:1] == "<" else f"{text.count(chr(10))} lines"
