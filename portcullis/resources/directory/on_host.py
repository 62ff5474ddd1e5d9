"""Directories: owner, group and mode, but not their content."""

from __future__ import annotations

import os
import stat
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import disk, paths, safe_paths
from portcullis.agent.claims import Claims
from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind, each
from portcullis.agent.step import Json, Step, compare
from portcullis.resources.directory.facts import DirectoryDesired, DirectoryFacts, DirectorySpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record, Store


class Directories(Kind[DirectorySpec, DirectoryDesired, DirectoryFacts]):
    """The kind `directory`.

    With `make_parents`, missing folders above the declared folder are made, for root alone.
    """

    spec_type = DirectorySpec
    desired_type = DirectoryDesired
    facts_type = DirectoryFacts

    def __init__(self, machine: Machine, store: Store) -> None:
        """Store the host and its records, which list the parent folders that Portcullis made."""
        super().__init__(machine, store)
        self._making = threading.Lock()

    def claims(self, record: Record) -> Claims:
        return Claims(paths=(record.id,))

    def facts(self, questions: Sequence[Question[DirectorySpec]]) -> Answers[DirectoryFacts]:
        return each(lambda spec, _: _read(paths.checked(spec.path)), questions)

    def plan(self, desired: DirectoryDesired, facts: DirectoryFacts) -> list[Step]:
        if not facts.exists:
            return [Step("path", "absent", "a directory", "create")]
        return compare(desired, facts, ("owner", "group", "mode"), "set")

    def obstacle(self, desired: DirectoryDesired, facts: DirectoryFacts) -> AgentError | None:
        if not facts.mode.startswith("<"):
            return None
        return AgentError(
            "invalid",
            f"{desired.path} is {facts.mode.strip('<>')} on the host, but a directory is declared",
            prop="path",
            hint=f"move {desired.path} away, or declare the path that it points to",
        )

    def original(self, item: str, facts: DirectoryFacts, folder: Path) -> Json:
        """Describe the original, and list the parent folders that we make.

        Such a parent folder is removed together with the last declared folder in it.
        """
        others = (record for record in self._store.all() if record.kind == "directory")
        ours = {path for record in others for path in record.original.get("above", ())}
        parents = list(Path(item).parents)[:-1]
        above = [str(path) for path in parents if str(path) in ours or _is_missing(path)]
        return {**paths.keep(Path(item), folder / "original"), "above": above}

    def apply(self, desired: DirectoryDesired, steps: list[Step], work: Work) -> None:
        """Make or change the folder. The mode is final before other users than root can enter the folder."""
        if not steps:
            return
        path = Path(work.record.id)
        uid, gid = paths.ids(desired.owner, desired.group)
        mode = paths.mode_bits(desired.mode)
        with self._making:
            if desired.make_parents:
                for above in reversed(work.record.original.get("above", ())):
                    _make(Path(above))
            self._apply(path, steps, uid, gid, mode)

    def _apply(self, path: Path, steps: list[Step], uid: int, gid: int, mode: int) -> None:
        with disk.writing(path) as place:
            if steps[0].action == "create":
                fd = safe_paths.make_folder(place.folder, place.name, path)
            else:
                fd = os.open(place.name, safe_paths.FOLDER, dir_fd=place.folder)
            try:
                disk.give(fd, uid, gid, mode)
            finally:
                os.close(fd)
            os.fsync(place.folder)

    def remove(self, desired: DirectoryDesired, record: Record, folder: Path) -> str:
        """Remove an empty directory that we made.

        A folder that existed before gets its owner and mode back.
        """
        kept = record.original
        with disk.removing(Path(record.id)) as place:
            there = place.look()
            if there is None:
                return "absent"
            if desired.on_delete == "keep" or not stat.S_ISDIR(there.st_mode):
                return "kept"
            try:
                if kept["type"] == "directory":
                    with safe_paths.below(place.folder, place.name) as fd:
                        disk.give(fd, kept["uid"], kept["gid"], kept["mode"])
                    return "restored"
                os.rmdir(place.name, dir_fd=place.folder)
            except FileNotFoundError:
                return "absent"
            except OSError:
                return "kept"  # the folder is not empty, or is a mount point
        if desired.make_parents:
            _remove_empty(kept.get("above", ()))
        return "removed"


def _is_missing(path: Path) -> bool:
    with disk.reading(path) as place:
        return place.look() is None


def _make(path: Path) -> None:
    with disk.writing(path) as place:
        if place.look() is None:
            os.close(safe_paths.make_folder(place.folder, place.name, path))
            os.fsync(place.folder)


def _remove_empty(above: Sequence[str]) -> None:
    """Remove folders, the innermost first, until a folder is not empty."""
    for path in above:
        with disk.removing(Path(path)) as place:
            try:
                os.rmdir(place.name, dir_fd=place.folder)
            except OSError:
                return


def _read(path: Path) -> DirectoryFacts:
    with disk.reading(path) as place:
        status = place.look()
        if status is None:
            return DirectoryFacts(exists=False)
        facts = DirectoryFacts(exists=True, **paths.ownership(status))
        if stat.S_ISDIR(status.st_mode):
            return facts
        return replace(facts, mode=f"<{paths.named(place, status)}>")
