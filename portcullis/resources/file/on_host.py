"""Files: content, owner, group and mode."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import disk, paths, redaction
from portcullis.agent.claims import Claims
from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind, each
from portcullis.agent.packaged import is_as_shipped
from portcullis.agent.step import Json, Step, compare, text_diff
from portcullis.resources.file.facts import MAX_CONTENT, FileDesired, FileFacts, FileSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record, Store

CHECK_TIMEOUT = 60.0
_OUTPUT_LINES = 40
# The texts that replace content that cannot be shown, in facts of the agent and of the provider.
_PLACEHOLDER = re.compile(
    r"<(absent|changed on the host, and not shown to the preview key"
    r"|[0-9]+ bytes, too large to show|[0-9]+ bytes that are not UTF-8 text"
    r"|a symbolic link( to .*)?|a directory|a named pipe|a socket|a (block|character) device"
    r"|something unknown)>"
)


@dataclass(frozen=True)
class _Found(FileFacts):
    """More facts for `plan`: whether the content cannot be shown as text, and the type of the file."""

    opaque: bool = False
    type: str = "file"


class Files(Kind[FileSpec, FileDesired, FileFacts]):
    """The kind `file`."""

    spec_type = FileSpec
    desired_type = FileDesired
    facts_type = FileFacts

    def __init__(self, machine: Machine, store: Store) -> None:
        """Store the host, for its package database and to run checks."""
        super().__init__(machine, store)
        self._testing = threading.Lock()

    def claims(self, record: Record) -> Claims:
        return Claims(paths=(record.id,))

    def facts(self, questions: Sequence[Question[FileSpec]]) -> Answers[FileFacts]:
        return each(lambda spec, _: _read(paths.checked(spec.path)), questions)

    def plan(self, desired: FileDesired, facts: FileFacts) -> list[Step]:
        """Return the steps to the declared file. The step for a secret content has no diff."""
        want = _measure(desired.content)
        if not facts.exists:
            return [Step("content", "absent", want, "create")]
        steps: list[Step] = []
        if _is_opaque(facts):
            steps = [Step("content", facts.content.strip("<>"), want, "write")]
        elif facts.content != desired.content:
            diff = "" if desired.secret else _diff(facts, desired.content, desired.path)
            steps = [Step("content", _measure(facts.content), want, "write", diff)]
        return steps + compare(desired, facts, ("owner", "group", "mode"), "set")

    def obstacle(self, desired: FileDesired, facts: FileFacts) -> AgentError | None:
        """Refuse content that cannot be written, and refuse to replace anything but a file or a link."""
        content = desired.content
        if len(content.encode("utf-8", "surrogatepass")) > MAX_CONTENT:
            return AgentError("invalid", f"the content is over {MAX_CONTENT // 1000} KB", prop="content")
        if _PLACEHOLDER.fullmatch(content):
            return AgentError(
                "invalid",
                f"the content is {content}, which is only a description of the host's file",
                prop="content",
                hint="declare the text of the file; ignore_changes cannot keep content that is not text",
            )
        if isinstance(facts, _Found) and facts.type not in ("file", "link"):
            return AgentError(
                "invalid",
                f"{desired.path} is {facts.content.strip('<>')} on the host, but a file is declared",
                prop="path",
                hint=f"move {desired.path} away, or declare another path",
            )
        return None

    def is_unmodified_default(self, item: str, facts: FileFacts) -> bool:
        """Return whether a package shipped the file and nobody changed it."""
        return isinstance(facts, _Found) and facts.type == "file" and is_as_shipped(self._machine, Path(item))

    def redacted(self, record: Record, facts: FileFacts) -> FileFacts:
        """Return the facts of a file, without a content that is or may be a secret."""
        return redaction.redacted(record, facts)

    def original(self, item: str, facts: FileFacts, folder: Path) -> Json:
        kept = paths.keep(Path(item), folder / "original")
        return {**kept, "shipped": kept["type"] == "file" and self.is_unmodified_default(item, facts)}

    def apply(self, desired: FileDesired, steps: list[Step], work: Work) -> None:
        """Write the file, then run its `test`. If the test fails, restore the old file.

        Files with a test are written one at a time, because the test of a good file must not read a bad file
        beside it.
        """
        tested = desired.test or "before" in work.record.extra
        with self._testing if tested else contextlib.nullcontext():
            self._apply(desired, steps, work)
        redaction.note(work.record, desired.content, secret=desired.secret)

    def _apply(self, desired: FileDesired, steps: list[Step], work: Work) -> None:
        record, path, before = work.record, Path(work.record.id), work.folder / "before"
        uid, gid = paths.ids(desired.owner, desired.group)
        mode = paths.mode_bits(desired.mode)
        disk.sweep(path)
        content = _encode(desired.content)
        if steps and all(step.action == "set" for step in steps):
            _set(path, content, uid, gid, mode)
        elif steps:
            if (
                "before" not in record.extra
            ):  # otherwise a run was interrupted before its test, and its copy has to be restored
                record.extra["before"] = paths.keep(path, before)
                work.save()
            disk.write(
                path,
                content,
                mode=mode,
                uid=uid,
                gid=gid,
                check=lambda new: self._check(desired.validate, desired, new),
            )
        if "before" not in record.extra:
            return
        try:
            self._check(desired.test, desired, path)
        except AgentError:
            with self._machine.readers.absent():  # without an old file, this removes the new file
                paths.put_back(path, record.extra["before"], before)
            raise
        finally:
            del record.extra["before"]
            work.save()  # comes before `unlink`: after a kill, the next run must not look for a missing copy
            with contextlib.suppress(FileNotFoundError):
                before.unlink()

    def _check(self, argv: Sequence[str] | None, desired: FileDesired, path: Path) -> None:
        if not argv:
            return
        with self._machine.readers.reading():
            done = self._machine.run(
                [word.replace("{path}", str(path)) for word in argv], timeout=CHECK_TIMEOUT
            )
        if done.code == 0:
            return
        said = "\n".join(done.text.replace(str(path), desired.path).splitlines()[-_OUTPUT_LINES:])
        raise AgentError(
            "test-failed",
            f"{' '.join(argv)} refuses the new content of the file (exit code {done.code})",
            prop="content",
            hint="the file has its old content again",
            detail="(its output is redacted: the content is a secret)" if desired.secret else said,
        )

    def remove(self, desired: FileDesired, record: Record, folder: Path) -> str:
        """Remove the file or restore the original, while no test or reload reads files."""
        path = Path(record.id)
        disk.sweep(path)
        what = desired.on_delete
        if what == "keep":
            return "kept"
        with self._machine.readers.absent():
            return self._remove(path, what, record, folder)

    def _remove(self, path: Path, what: str, record: Record, folder: Path) -> str:
        with disk.removing(path) as place:
            there = place.look()
            folder_is_missing = place.folder < 0
        if there is not None and stat.S_ISDIR(there.st_mode):
            return "kept"  # somebody put a directory there, which we must not empty
        kept = record.original
        if what == "restore" and kept["type"] in ("file", "symlink"):
            if folder_is_missing:
                if kept.get("shipped"):
                    return "absent"  # the file's package was removed, and the folder with the package
                with disk.writing(path, make=True):
                    pass
            paths.put_back(path, kept, folder / "original")
            return "restored"
        paths.remove_file(path)
        return "absent" if there is None else "removed"


def _read(path: Path) -> FileFacts:
    with disk.reading(path) as place:
        status = place.look()
        if status is None:
            return FileFacts(exists=False)
        facts = _Found(exists=True, **paths.ownership(status), opaque=True)
        if not stat.S_ISREG(status.st_mode):
            kind = "link" if stat.S_ISLNK(status.st_mode) else "other"
            return replace(facts, type=kind, content=f"<{paths.named(place, status)}>")
        try:
            fd = place.open()
        except FileNotFoundError:
            return FileFacts(exists=False)
        try:
            # Read the status of the open file, because the folder's owner may have replaced the file. The
            # mode of the open file decides who may see the content.
            status = os.fstat(fd)
            facts = replace(facts, **paths.ownership(status))
            data = _bytes(fd, min(status.st_size, MAX_CONTENT))
        finally:
            os.close(fd)
    if len(data) > MAX_CONTENT:
        return replace(facts, content=f"<{max(status.st_size, len(data))} bytes, too large to show>")
    try:
        return replace(facts, content=data.decode(), opaque=False)
    except UnicodeDecodeError:
        return replace(facts, content=f"<{len(data)} bytes that are not UTF-8 text>")


def _is_opaque(facts: FileFacts) -> bool:
    return isinstance(facts, _Found) and facts.opaque


def _bytes(fd: int, size: int) -> bytes:
    """Return the content of a file, cut after `MAX_CONTENT` + 1 bytes.

    `size` is the size that stat(2) reports, which is 0 for files in /proc.
    """
    data = os.pread(fd, size + 1, 0)
    return data if len(data) <= size else os.pread(fd, MAX_CONTENT + 1, 0)


def _set(path: Path, content: bytes, uid: int, gid: int, mode: int) -> None:
    with disk.writing(path) as place:
        fd = place.open()
        try:
            if (
                os.pread(fd, MAX_CONTENT + 1, 0) != content
            ):  # otherwise we would change the owner of a file that somebody put in its place
                raise AgentError(
                    "invalid",
                    f"the file {path} changed during the deployment",
                    prop="content",
                    hint="run `up` again",
                )
            disk.give(fd, uid, gid, mode)
        finally:
            os.close(fd)


def _diff(facts: FileFacts, content: str, path: str) -> str:
    """Return the difference between the present and the declared content.

    If some users of the host may not read the file, return a note instead.
    """
    if int(facts.mode, 8) & stat.S_IROTH:
        return text_diff(facts.content, content, path)
    return f"(the present content is not shown: its mode {facts.mode} hides it from other users of the host)"


def _encode(content: str) -> bytes:
    try:
        return content.encode()
    except UnicodeEncodeError:
        raise AgentError(
            "invalid", "the content of the file cannot be encoded as UTF-8", prop="content"
        ) from None


def _measure(content: str) -> str:
    lines = content.count("\n") + (not content.endswith("\n") and content != "")
    return f"{lines} lines, {len(content.encode('utf-8', 'surrogatepass'))} bytes"
