"""The forward filter: one nftables table in the kernel, and a unit that loads it at every boot."""

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

_NFTABLES = "nftables.service"
_WANTED_BY = "sysinit.target.wants"
_TIMEOUT = 30.0
_TEXTS = ("table", "file", "unit")


@dataclass(frozen=True)
class _Found(ForwardFilterFacts):
    """The facts, and the text of the kernel's table for the undo and the removal; "" if there is no table."""

    live: str = ""


class ForwardFilters(
    Guarded[ForwardFilterDesired, _Found], Kind[ForwardFilterSpec, ForwardFilterDesired, _Found]
):
    """Handles the host resource of the kind ``firewall.forward_filters``. A host has one such resource."""

    spec_type = ForwardFilterSpec
    desired_type = ForwardFilterDesired
    facts_type = ForwardFilterFacts

    def __init__(self, machine: Machine, store: Store) -> None:
        """Store `machine`, which knows the paths of files and runs nft and systemctl."""
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
        """Refuse the filter while nftables.service is enabled, because that service flushes all tables."""
        if not facts.conflict:
            return None
        return AgentError(
            "invalid",
            f"{_NFTABLES} is enabled on the host. When it starts or stops, it flushes the whole ruleset: this"
            " filter, and the rules of ufw and Docker",
            prop="conflict",
            hint=f"run `systemctl disable {_NFTABLES}` without --now, because a stop flushes too; or mask it",
        )

    def original(self, item: str, facts: _Found, folder: Path) -> Json:
        """Record an existing table of the same name, to restore it later. Hosts seldom have such a table."""
        return {
            "type": "filter",
            "table": facts.live,
            "file": paths.keep(self._file, folder / "file"),
            "unit": paths.keep(self._unit, folder / "unit"),
            "wanted": paths.keep(self._link, folder / "wanted"),
        }

    def apply(self, desired: ForwardFilterDesired, steps: list[Step], work: Work) -> None:
        """Load the table. The kernel replaces the old one in one transaction."""
        if not steps:
            return
        for path in (self._file, self._unit):
            disk.sweep(path)
        self._make_folder()
        disk.write(self._file, desired.file.encode(), mode=0o644, check=self._validate)
        disk.write(self._unit, desired.unit.encode(), mode=0o644)
        self._systemctl("daemon-reload")
        self._systemctl("enable", UNIT)
        # The unit loads the table, not nft, so that this also tests the unit for the next boot.
        self._systemctl("reload-or-restart", UNIT)

    def remove(self, desired: ForwardFilterDesired, record: Record, folder: Path) -> str:
        """Remove the table, its file and its unit. All other tables of nftables stay."""
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
        """Return None: the packets of a session with the host's own sshd do not go through the filter.

        A session may pass through a container or a virtual machine of this host. Only a new login shows
        whether the filter lets such a session through.
        """
        return None

    def undo(self, desired: ForwardFilterDesired, facts: _Found, steps: list[Step]) -> Undo | None:
        """Return an undo only for a changed table, because other changes cannot lock anybody out."""
        if all(step.prop != "table" for step in steps):
            return None
        return self._undo(facts)

    def undo_removal(self, desired: ForwardFilterDesired, record: Record, facts: _Found) -> Undo | None:
        """Return an undo only if an earlier table comes back.

        Without an earlier table, no filter remains after the removal, so nobody is locked out.
        """
        return self._undo(facts) if record.original["table"] else None

    def _undo(self, facts: _Found) -> Undo:
        live = facts.live
        table = _reload(live) if live else f"delete table {TABLE}"
        commands: tuple[Argv, ...] = (("systemctl", "daemon-reload"), ("nft", table))
        return Undo((str(self._file), str(self._unit), str(self._link)), commands)

    @property
    def _link(self) -> Path:
        """The link that `systemctl enable` makes."""
        return self._machine.units / _WANTED_BY / UNIT

    def _facts(self) -> _Found:
        live, shown = self._live()
        (file, of_file), (unit, of_unit) = (self._text(path) for path in (self._file, self._unit))
        conflict = f"{_NFTABLES} is enabled" if self._enabled(_NFTABLES) == ENABLED else ""
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
        """The table in the kernel ("" for none), and the text to show for it."""
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
        raise AgentError("unreadable", f"nft cannot list the table `{TABLE}`", prop="table", detail=done.text)

    def _text(self, path: Path) -> tuple[str, str]:
        """Return the text of a file, and its owner, group and mode; `ABSENT` and "" for a missing file."""
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
                f"nft refuses the table `{TABLE}`",
                prop="table",
                hint="check whether the host's kernel has the modules nft_fib and nft_ct",
                detail=done.text.replace(str(path), str(self._file)),
            )

    def _make_folder(self) -> None:
        with disk.writing(self._file, make=True):
            pass

    def _remove_folder(self) -> None:
        """Remove the folder only if it is empty, because other parts may have files in it."""
        with disk.removing(self._file.parent) as place, contextlib.suppress(OSError):
            os.rmdir(place.name, dir_fd=place.folder)

    def _systemctl(self, *words: str) -> None:
        since = time.time()
        done = self._machine.run(["systemctl", "--no-pager", *words], timeout=_TIMEOUT)
        if done.code:
            said = journal.last_lines(self._machine, UNIT, since=since) if UNIT in words else ""
            raise AgentError(
                "systemd",
                f"the command `systemctl {' '.join(words)}` failed",
                prop="boot",
                detail="\n".join(part for part in (said, done.text) if part),
            )

    def _nft(self, command: str) -> Done:
        done = self._machine.run(["nft", command], timeout=_TIMEOUT)
        if done.code:
            raise AgentError("nft", "nft refuses to delete the table", prop="table", detail=done.text)
        return done


def _reload(listing: str) -> str:
    """Return nft's commands that replace the present table, if there is one, with the table `listing`."""
    return f"table {TABLE}\ndelete table {TABLE}\n{listing}"


def _measure(text: str) -> str:
    return text.strip("<>") if text[:1] == "<" else f"{text.count(chr(10))} lines"
