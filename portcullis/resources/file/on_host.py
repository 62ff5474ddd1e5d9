"""Files: content, owner, group and mode."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import disk, paths, withheld
from portcullis.agent.errors import HostError
from portcullis.agent.packaged import is_as_shipped
from portcullis.agent.step import Json, Step, compare, text_diff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record

LIMIT = 100 * 1024  # bytes of content that travel
CHECK_TIMEOUT = 60.0
_OUTPUT_LINES = 40
# What facts, here and in the client, say in the place of content that is no text.
_PLACEHOLDER = re.compile(
    r"<(absent|changed on the host, and not shown to the preview key"
    r"|[0-9]+ bytes, too large to show|[0-9]+ bytes that are not UTF-8 text"
    r"|a symbolic link( to .*)?|a directory|a named pipe|a socket|a (block|character) device"
    r"|something unknown)>"
)


class Files:
    """The kind ``file``."""

    def __init__(self, machine: Machine) -> None:
        """Need the machine for its package database and for running checks."""
        self._machine = machine
        self._testing = threading.Lock()

    def spec(self, item: str, desired: Json) -> Json:  # noqa: ARG002
        return {"path": item}

    def facts(self, questions: Sequence[Question]) -> Answers:
        """See `Kind`."""
        answers: Answers = []
        for spec, record in questions:
            try:
                answers.append(
                    {**_read(paths.checked(spec["path"])), "revision": record.revision if record else ""}
                )
            except HostError as error:
                answers.append(error)
        return [{"exists": False} if isinstance(a, dict) and not a["exists"] else a for a in answers]

    def plan(self, desired: Json, facts: Json) -> list[Step]:
        """See `Kind`. A secret's step has no diff."""
        path, content = str(desired["path"]), str(desired["content"])
        want = _measure(content)
        if not facts["exists"]:
            return [Step("content", "absent", want, "create")]
        steps: list[Step] = []
        if facts["_opaque"]:
            steps = [Step("content", facts["content"].strip("<>"), want, "write")]
        elif facts["content"] != content:
            diff = "" if desired.get("secret") else _diff(facts, content, path)
            steps = [Step("content", _measure(facts["content"]), want, "write", diff)]
        return steps + compare(desired, facts, ("owner", "group", "mode"), "set")

    def obstacle(self, desired: Json, facts: Json) -> HostError | None:
        """See `Kind`. Files and links are replaced; nothing else is."""
        content = str(desired["content"])
        if len(content.encode("utf-8", "surrogatepass")) > LIMIT:
            return HostError("invalid", f"the content is over {LIMIT // 1024} KB", prop="content")
        if _PLACEHOLDER.fullmatch(content):
            return HostError(
                "invalid",
                f"the content is {content}, which only stands for what was on the host once",
                prop="content",
                hint="declare the text of the file; ignore_changes cannot keep content that is no text",
            )
        if facts["exists"] and facts["_type"] not in ("file", "link"):
            return HostError(
                "invalid",
                f"{desired['path']} is {facts['content'].strip('<>')} on the host, where a file shall be",
                prop="path",
                hint="move it away, or declare another path",
            )
        return None

    def is_nobodys(self, item: str, facts: Json) -> bool:
        """See `Kind`. A file that a package shipped and nobody changed."""
        return facts.get("_type") == "file" and is_as_shipped(self._machine, Path(item))

    def original(self, item: str, facts: Json, folder: Path) -> Json:
        """See `Kind`."""
        kept = paths.keep(Path(item), folder / "original")
        return {**kept, "shipped": kept["type"] == "file" and self.is_nobodys(item, facts)}

    def apply(self, desired: Json, steps: list[Step], work: Work) -> None:
        """See `Kind`. The tree's own test runs after the write; when it fails, what stood there is back.

        One file with such a test at a time: the test of a good one must not see a bad one next to it.
        """
        tested = desired.get("test") or "before" in work.record.extra
        with self._testing if tested else contextlib.nullcontext():
            self._apply(desired, steps, work)
        withheld.note(work.record, desired)

    def _apply(self, desired: Json, steps: list[Step], work: Work) -> None:
        record, path, before = work.record, Path(work.record.id), work.folder / "before"
        uid, gid = paths.ids(desired)
        mode = paths.mode_bits(desired, "0644")
        disk.sweep(path)
        content = _encode(str(desired["content"]))
        if steps and all(step.action == "set" for step in steps):
            _set(path, content, uid, gid, mode)
        elif steps:
            if (
                "before" not in record.extra
            ):  # else a run was cut off before its test: what it replaced still counts
                record.extra["before"] = paths.keep(path, before)
                work.save()
            disk.write(
                path,
                content,
                mode=mode,
                uid=uid,
                gid=gid,
                check=lambda new: self._check("validate", desired, new),
            )
        if "before" not in record.extra:
            return
        try:
            self._check("test", desired, path)
        except HostError:
            with self._machine.readers.absent():  # where there was nothing before it goes
                paths.put_back(path, record.extra["before"], before)
            raise
        finally:
            del record.extra["before"]
            work.save()  # first: killed in between, the next run must not look for a copy that is gone
            with contextlib.suppress(FileNotFoundError):
                before.unlink()

    def _check(self, which: str, desired: Json, path: Path) -> None:
        argv = desired.get(which)
        if not argv:
            return
        with self._machine.readers.reading():
            done = self._machine.run(
                [str(word).replace("{path}", str(path)) for word in argv], timeout=CHECK_TIMEOUT
            )
        if done.code == 0:
            return
        said = "\n".join(done.text.replace(str(path), str(desired["path"])).splitlines()[-_OUTPUT_LINES:])
        raise HostError(
            "test-failed",
            f"{' '.join(map(str, argv))} refuses the new content (exit code {done.code})",
            prop="content",
            hint="what stood there before is in place",
            detail="(its output is withheld: the content is a secret)" if desired.get("secret") else said,
        )

    def remove(self, desired: Json, record: Record, folder: Path) -> str:
        """See `Kind`. Not while a test or a reload may be about to open it."""
        path = Path(record.id)
        disk.sweep(path)
        what = desired.get("on_delete", "restore")
        if what == "keep":
            return "kept"
        with self._machine.readers.absent():
            return self._remove(path, what, record, folder)

    def _remove(self, path: Path, what: str, record: Record, folder: Path) -> str:
        with disk.removing(path) as place:
            there = place.look()
            homeless = place.folder < 0
        if there is not None and stat.S_ISDIR(there.st_mode):
            return "kept"  # somebody made it a directory since; not ours to empty
        kept = record.original
        if what == "restore" and kept["type"] in ("file", "symlink"):
            if homeless:
                if kept.get("shipped"):
                    return "absent"  # its package went, and the folder with it
                with disk.writing(path, make=True):
                    pass
            paths.put_back(path, kept, folder / "original")
            return "restored"
        paths.remove_file(path)
        return "absent" if there is None else "removed"


def _read(path: Path) -> Json:
    with disk.reading(path) as place:
        status = place.look()
        if status is None:
            return {"exists": False}
        facts = {"exists": True, **paths.ownership(status), "_opaque": True, "_type": "file"}
        if not stat.S_ISREG(status.st_mode):
            kind = "link" if stat.S_ISLNK(status.st_mode) else "other"
            return {**facts, "_type": kind, "content": f"<{paths.named(place, status)}>"}
        try:
            fd = place.open()
        except FileNotFoundError:
            return {"exists": False}
        try:
            data = _bytes(fd, min(status.st_size, LIMIT))
        finally:
            os.close(fd)
    if len(data) > LIMIT:
        return {**facts, "content": f"<{max(status.st_size, len(data))} bytes, too large to show>"}
    try:
        return {**facts, "content": data.decode(), "_opaque": False}
    except UnicodeDecodeError:
        return {**facts, "content": f"<{len(data)} bytes that are not UTF-8 text>"}


def _bytes(fd: int, size: int) -> bytes:
    """Up to one byte more than `LIMIT`. `size` is a hint (0 in /proc)."""
    data = os.pread(fd, size + 1, 0)
    return data if len(data) <= size else os.pread(fd, LIMIT + 1, 0)


def _set(path: Path, content: bytes, uid: int, gid: int, mode: int) -> None:
    with disk.writing(path) as place:
        fd = place.open()
        try:
            if os.pread(fd, LIMIT + 1, 0) != content:  # else a file put in its place would be given away
                raise HostError("invalid", f"{path} changed meanwhile", prop="content", hint="run again")
            disk.give(fd, uid, gid, mode)
        finally:
            os.close(fd)


def _diff(facts: Json, content: str, path: str) -> str:
    """The difference, unless it would show what not every user of the host may read."""
    if int(facts["mode"], 8) & stat.S_IROTH:
        return text_diff(facts["content"], content, path)
    return f"(what stands there is not shown: its mode {facts['mode']} keeps it from other users of the host)"


def _encode(content: str) -> bytes:
    try:
        return content.encode()
    except UnicodeEncodeError:
        raise HostError("invalid", "the content is not text that UTF-8 can carry", prop="content") from None


def _measure(content: str) -> str:
    lines = content.count("\n") + (not content.endswith("\n") and content != "")
    return f"{lines} lines, {len(content.encode('utf-8', 'surrogatepass'))} bytes"
