"""Trees: folders of many files, each version a folder beside a symbolic link that switches in one step.

``/srv/www/site`` is a link to ``.site.portcullis-<version>`` in the same folder. Bytes wait in
``.site.portcullis-stage`` until `apply`; what stood at the path before us waits in
``.site.portcullis-original``, where only root can look.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.host.agent import disk, paths
from portcullis.host.agent.errors import HostError
from portcullis.host.agent.step import Json, Step, compare

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from portcullis.host.agent.kind import Answers, Question, Work
    from portcullis.host.agent.store import Record

FILE_MODE, FOLDER_MODE = 0o644, 0o755
PIECE = 1 << 18
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class Trees:
    """The kind ``tree``."""

    def __init__(self) -> None:
        """Know of no staged piece yet: what an earlier session began is not continued."""
        self._begun: set[Path] = set()

    def spec(self, item: str, desired: Json) -> Json:  # noqa: ARG002
        return {"path": item}

    def facts(self, questions: Sequence[Question]) -> Answers:
        """See `Kind`. A file or folder with other permissions than ours says so in its digest's place."""
        answers: Answers = []
        for spec, record in questions:
            try:
                facts = _read(paths.checked(spec["path"]))
            except HostError as error:
                answers.append(error)
                continue
            if facts["exists"]:
                facts["revision"] = record.revision if record else ""
            answers.append(facts)
        return answers

    def plan(self, desired: Json, facts: Json) -> list[Step]:
        """See `Kind`."""
        want: Json = desired["files"]
        if not facts["exists"]:
            return [Step("files", "absent", f"{len(want)} files", "create")]
        have: Json = facts["files"]
        steps = []
        for name in sorted({*want, *have}):
            if have.get(name) != want.get(name):
                action = "write" if name in want else "remove"
                steps.append(Step(f"files.{name}", _short(have.get(name)), _short(want.get(name)), action))
        return steps + compare(desired, facts, ("owner", "group"), "set")

    def obstacle(self, desired: Json, facts: Json) -> HostError | None:
        """See `Kind`."""
        for name, digest in desired["files"].items():
            if (
                os.path.normpath(name) != name
                or name.startswith(("/", "../"))
                or name in ("..", ".")
                or "\0" in name
            ):
                return HostError("invalid", f"{name!r} is no path within the tree", prop="files")
            if not _DIGEST.match(str(digest)):
                return HostError("invalid", f"{name} comes without its SHA-256", prop="files")
        if facts["exists"] and facts["_type"] == "other":
            return HostError(
                "invalid",
                f"{desired['path']} is {facts['files']['.'].strip('<>')} on the host, where a tree shall be",
                prop="path",
                hint="move it away, or declare another path",
            )
        return None

    def is_nobodys(self, item: str, facts: Json) -> bool:  # noqa: ARG002
        """See `Kind`."""
        return False

    def original(self, item: str, facts: Json, folder: Path) -> Json:  # noqa: ARG002
        """See `Kind`. A folder that is in the way moves aside in `apply`, whole."""
        return paths.keep(Path(item), folder / "original")

    def missing(self, path: str, files: dict[str, str]) -> list[str]:
        """Digests that neither the present tree nor the staged bytes have."""
        place = paths.checked(path)
        known = {digest for digest in _read(place).get("files", {}).values() if _DIGEST.match(digest)}
        return sorted(d for d in set(files.values()) - known if not (_beside(place, "stage") / d).exists())

    def stage(self, path: str, digest: str, data: str, *, last: bool) -> None:
        """Append a piece to the staged bytes of `digest`; with the last one they must hash to it.

        Raises:
            HostError: ``invalid`` for damaged bytes, ``no-space``.
        """
        place = paths.checked(path)
        if not _DIGEST.match(digest):
            raise HostError("invalid", f"{digest!r} is not a SHA-256", prop="files")
        stage = _beside(place, "stage")
        part = stage / f"{digest}.part"
        try:
            piece = base64.b64decode(data, validate=True)
            stage.mkdir(mode=0o700, exist_ok=True)
            how = os.O_APPEND if part in self._begun else os.O_TRUNC
            self._begun.add(part)
            fd = os.open(part, os.O_WRONLY | os.O_CREAT | how | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                disk.write_all(fd, piece)
            finally:
                os.close(fd)
            if last:
                self._begun.discard(part)
                if _digest(part) != digest:
                    part.unlink()
                    raise HostError("invalid", "a file arrived damaged", prop="files", hint="run again")
                part.replace(stage / digest)
        except binascii.Error:
            raise HostError("invalid", "a file arrived damaged", prop="files", hint="run again") from None
        except OSError as error:
            self._begun.discard(part)
            part.unlink(missing_ok=True)
            raise disk.write_error(error, place) from None

    def apply(self, desired: Json, steps: list[Step], work: Work) -> None:
        """See `Kind`. Builds the whole new version first; readers see the old one until the link switches."""
        path = Path(work.record.id)
        if not steps:
            _sweep(path)
            return
        uid, gid = paths.ids(desired)
        version = _beside(path, os.urandom(4).hex())
        try:
            _build(version, path, desired["files"], uid, gid)
            _move_aside(path)
            paths.point(path, version.name)
        except OSError as error:
            shutil.rmtree(version, ignore_errors=True)
            raise disk.write_error(error, path) from None
        except HostError:
            shutil.rmtree(version, ignore_errors=True)
            raise
        _sweep(path)

    def remove(self, desired: Json, record: Record, folder: Path) -> str:
        """See `Kind`. What stood there before us comes back, a folder whole."""
        path = Path(record.id)
        if desired.get("on_delete", "remove") == "keep":
            _sweep(path)
            return "kept"
        there, aside = paths.look(path), _beside(path, "original")
        if there is not None and not stat.S_ISLNK(there.st_mode):
            return "kept"  # never switched to a version of ours, or somebody put a folder there since
        try:
            paths.remove_file(path)
            if (aside / "tree").is_dir():
                (aside / "tree").rename(path)
            elif record.original["type"] == "symlink":
                paths.put_back(path, record.original, folder / "original")
        except OSError as error:
            raise disk.write_error(error, path) from None
        _sweep(path)
        shutil.rmtree(aside, ignore_errors=True)
        return "restored" if record.original["type"] != "absent" else "absent" if there is None else "removed"


def _beside(path: Path, what: str) -> Path:
    return path.parent / f"{disk.temporary_prefix(path)}{what}"


def _build(version: Path, path: Path, files: dict[str, str], uid: int, gid: int) -> None:
    """Make `version` out of the staged bytes and those of the present tree, final when it is done."""
    sources = {digest: path / name for name, digest in _read(path).get("files", {}).items()}
    stage = _beside(path, "stage")
    version.mkdir(mode=0o700)
    folders = {version}
    for name, digest in files.items():
        target = version / name
        for folder in reversed(list(Path(name).parents)[:-1]):
            if version / folder not in folders:
                (version / folder).mkdir(mode=0o700)
                folders.add(version / folder)
        source = stage / digest if (stage / digest).exists() else sources.get(digest)
        if source is None:
            raise HostError("invalid", f"the bytes of {name} did not arrive", prop="files", hint="run again")
        if _copy(source, target, uid, gid) != digest:
            raise HostError("invalid", f"{name} changed while it was copied", prop="files", hint="run again")
    for folder in sorted(folders, reverse=True):  # the top folder last: nobody looks in before all is final
        os.chown(folder, uid, gid)
        folder.chmod(FOLDER_MODE)
        disk.sync_folder(folder)


def _copy(source: Path, target: Path, uid: int, gid: int) -> str:
    digest = hashlib.sha256()
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with source.open("rb") as stream:
            for piece in iter(lambda: stream.read(PIECE), b""):
                digest.update(piece)
                disk.write_all(fd, piece)
        os.fchown(fd, uid, gid)
        os.fchmod(fd, FILE_MODE)
        os.fsync(fd)
    finally:
        os.close(fd)
    return digest.hexdigest()


def _move_aside(path: Path) -> None:
    """A real folder at `path` is what stood there before us, the first time; later ones are drift and go."""
    status = paths.look(path)
    if status is None or not stat.S_ISDIR(status.st_mode):
        return
    aside = _beside(path, "original")
    if (aside / "tree").exists():
        shutil.rmtree(path)
        return
    aside.mkdir(mode=0o700, exist_ok=True)
    path.rename(aside / "tree")


def _sweep(path: Path) -> None:
    """Take away versions that the link does not point to, staged bytes, and what interrupted runs left."""
    disk.sweep(path)
    prefix = disk.temporary_prefix(path)
    current = path.readlink().name if path.is_symlink() else ""
    try:
        names = os.listdir(path.parent)  # noqa: PTH208 - names only
    except FileNotFoundError:
        return
    for name in names:
        if name.startswith(prefix) and name not in (current, f"{prefix}original"):
            leftover = path.parent / name
            if leftover.is_symlink():
                leftover.unlink()
            else:
                shutil.rmtree(leftover, ignore_errors=True)


def _read(path: Path) -> Json:
    status = paths.look(path)
    if status is None:
        return {"exists": False}
    root = path
    if stat.S_ISLNK(status.st_mode):
        target = path.readlink()
        root = path.parent / target
        there = paths.look(root)
        if len(target.parts) != 1 or not target.name.startswith(disk.temporary_prefix(path)) or there is None:
            return _oddity(path, status, "link")
        status = there
    if not stat.S_ISDIR(status.st_mode):
        return _oddity(path, status, "other")
    owners, groups = {status.st_uid}, {status.st_gid}
    files: dict[str, str] = {}
    if stat.S_IMODE(status.st_mode) != FOLDER_MODE:
        files["."] = f"<mode {paths.mode_text(status.st_mode)}>"
    try:
        for name, entry, found in _walk(root, ""):
            owners.add(found.st_uid)
            groups.add(found.st_gid)
            value = _value(Path(entry), found)
            if value:
                files[name] = value
    except OSError as error:
        raise paths.unreadable(path, error) from None
    return {
        "exists": True,
        "files": files,
        "owner": " and ".join(sorted(paths.user_name(uid) for uid in owners)),
        "group": " and ".join(sorted(paths.group_name(gid) for gid in groups)),
        "_type": "tree",
    }


def _oddity(path: Path, status: os.stat_result, what: str) -> Json:
    shown = paths.ownership(status)
    return {
        "exists": True,
        "files": {".": f"<{paths.named(path, status)}>"},
        "owner": shown["owner"],
        "group": shown["group"],
        "_type": what,
    }


def _walk(folder: Path | str, prefix: str) -> Iterator[tuple[str, str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            yield prefix + entry.name, entry.path, status
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(entry.path, f"{prefix}{entry.name}/")


def _value(path: Path, status: os.stat_result) -> str:
    """What the manifest says of an entry: a file's digest; "" for a folder as it should be."""
    if stat.S_ISDIR(status.st_mode):
        right = stat.S_IMODE(status.st_mode) == FOLDER_MODE
        return "" if right else f"<a directory, mode {paths.mode_text(status.st_mode)}>"
    if not stat.S_ISREG(status.st_mode):
        return f"<{paths.named(path, status)}>"
    if stat.S_IMODE(status.st_mode) != FILE_MODE:
        return f"<mode {paths.mode_text(status.st_mode)}> {_digest(path)}"
    return _digest(path)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as stream:
        for piece in iter(lambda: stream.read(PIECE), b""):
            digest.update(piece)
    return digest.hexdigest()


def _short(digest: object) -> str:
    text = "absent" if digest is None else str(digest)
    return text[:12] if _DIGEST.match(text) else text
