"""The agent's code for backups: it reads the age of each store's last backup, and runs the backup job."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portcullis.agent import journal
from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind, each
from portcullis.agent.step import Step
from portcullis.components.backups.facts import (
    FRESH,
    BackupStatusDesired,
    BackupStatusFacts,
    BackupStatusSpec,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.store import Record

# How long a deployment waits for a run. The deploying machine waits a little longer.
_RUN = 1100.0  # seconds
_LINES = 15
_SHOWN = 300  # characters of a reason that the state keeps
_LATEST = 1e11  # the latest valid time, in seconds since 1970: the year 5138


class Backups(Kind[BackupStatusSpec, BackupStatusDesired, BackupStatusFacts]):
    """Handles host resources of the kind `backups`: whether each declared store has a fresh backup."""

    spec_type = BackupStatusSpec
    desired_type = BackupStatusDesired
    facts_type = BackupStatusFacts

    def facts(self, questions: Sequence[Question[BackupStatusSpec]]) -> Answers[BackupStatusFacts]:
        return each(lambda spec, _: _read(spec), questions)

    def plan(self, desired: BackupStatusDesired, facts: BackupStatusFacts) -> list[Step]:
        return [
            Step(f"stores.{name}", facts.stores.get(name, "unknown"), FRESH, "run")
            for name in sorted(desired.stores)
            if facts.stores.get(name) != FRESH
        ]

    def is_unmodified_default(self, item: str, facts: BackupStatusFacts) -> bool:
        """Return True: a backup replaces nothing on the host, so it needs no `adopt`."""
        return True

    def apply(self, desired: BackupStatusDesired, steps: list[Step], work: Work) -> None:
        """Back up everything now, as the timer would."""
        if not steps:
            return
        unit = work.record.id
        try:
            since = time.time()
            done = self._machine.run(["systemctl", "start", unit], timeout=_RUN)
        except AgentError as error:
            if error.code != "timeout":
                raise
            raise AgentError(
                "timeout",
                f"the backup has been running for {_RUN / 60:.0f} minutes and has not ended; it continues on "
                "the host",
                prop="stores",
                hint=f"`journalctl -fu {unit}` shows when the backup ends; then run `up` again",
            ) from None
        if done.code != 0:
            raise AgentError(
                "failed",
                "the backup of the stores failed",
                prop="stores",
                hint=f"fix the cause that `journalctl -u {unit}` shows, then run `up` again; older backups "
                "are unchanged",
                detail=journal.last_lines(self._machine, unit, _LINES, since=since) or done.text,
            )

    def remove(self, desired: BackupStatusDesired, record: Record, folder: Path) -> str:
        """Keep all dumps, and return "kept"."""
        return "kept"


def _read(spec: BackupStatusSpec) -> BackupStatusFacts:
    known = _status(Path(spec.status))
    return BackupStatusFacts(
        exists=True, stores={name: _state(known.get(name), spec.hours) for name in spec.stores}
    )


def _status(path: Path) -> dict[str, Any]:
    """Return the results that the job noted.

    A file that is not valid counts as missing, and the next run replaces it.
    """
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    except OSError:
        raise AgentError("unreadable", f"the agent cannot read {path} on the host", prop="status") from None
    return found if isinstance(found, dict) else {}


def _state(entry: Any, hours: float) -> str:
    """Return ``fresh``, or the fault of the store's backup."""
    known = entry if isinstance(entry, dict) else {}
    reason = " ".join(str(known.get("reason") or "").split())[:_SHOWN]
    success = known.get("success")
    if isinstance(success, bool) or not isinstance(success, (int, float)) or not 0 <= success <= _LATEST:
        return f"never backed up: {reason}" if reason else "never backed up"
    age = time.time() - success
    last = f"last success {_ago(age)} ago"
    if age > hours * 3600:
        return f"{last}: {reason or 'no run since'}"
    lost = _file_fault(known)
    return f"{last}, but {lost}" if lost else FRESH


def _file_fault(known: dict[str, Any]) -> str:
    """Return what is wrong with the file of the last successful dump, or "".

    The entry about the restic copies names no file. For this entry, the function returns "".
    """
    file, size = known.get("file"), known.get("bytes")
    if not file:
        return ""
    try:
        there = Path(str(file)).stat().st_size
    except (OSError, ValueError):  # the name contains a zero byte
        return f"{file} is gone"
    return "" if there == size else f"{file} has {there} of its {size} bytes"


def _ago(seconds: float) -> str:
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // length)
        if count:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "a moment"
