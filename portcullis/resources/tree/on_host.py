"""Trees: folders of many files.

Each version of a tree is a folder beside a symbolic link, which switches in one step. ``/srv/www/site`` is a
link to ``.site.portcullis-<version>`` in the same folder. New bytes are kept in our state folder until
`apply`. An original folder at the path moves to ``.site.portcullis-original``, which only root can enter. The
owner of the surrounding folder can rename the link and these folders. So the code works on open files and
folders, not on names, wherever it can.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from portcullis.agent import disk, paths, safe_paths
from portcullis.agent.claims import Claims
from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind, each
from portcullis.agent.step import Json, Step, compare
from portcullis.resources.tree.facts import TreeDesired, TreeFacts, TreeSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.safe_paths import FolderEntry
    from portcullis.agent.store import Record, Store

FILE_MODE, FOLDER_MODE = 0o644, 0o755
_STAGE, _ORIGINAL, _TREE = "stage", "original", "tree"
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class _Found(TreeFacts):
    """More facts for `plan`: whether something other than a tree or a symbolic link is at the path."""

    is_in_the_way: bool = False


class Trees(Kind[TreeSpec, TreeDesired, _Found]):
    """The kind `tree`."""

    spec_type = TreeSpec
    desired_type = TreeDesired
    facts_type = TreeFacts

    def __init__(self, machine: Machine, store: Store) -> None:
        """Start without staged pieces: uploads of an earlier session are not continued."""
        super().__init__(machine, store)
        self._begun: set[Path] = set()

    def claims(self, record: Record) -> Claims:
        return Claims(trees=(record.id,))

    def facts(self, questions: Sequence[Question[TreeSpec]]) -> Answers[_Found]:
        """Return the facts about the trees.

        If an entry has other permissions than ours, its value has the mode before the digest.
        """
        return each(lambda spec, _: _read(paths.checked(spec.path)), questions)

    def plan(self, desired: TreeDesired, facts: _Found) -> list[Step]:
        want, have = desired.files, facts.files
        if not facts.exists:
            return [Step("files", "absent", f"{len(want)} files", "create")]
        steps = []
        for name in sorted({*want, *have}):
            if have.get(name) != want.get(name):
                action = "write" if name in want else "remove"
                steps.append(Step(f"files.{name}", _short(have.get(name)), _short(want.get(name)), action))
        return steps + compare(desired, facts, ("owner", "group"), "set")

    def obstacle(self, desired: TreeDesired, facts: _Found) -> AgentError | None:
        for name, digest in desired.files.items():
            if (
                os.path.normpath(name) != name
                or name.startswith(("/", "../"))
                or name in ("..", ".")
                or "\0" in name
            ):
                return AgentError("invalid", f"{name!r} is not a path within the tree", prop="files")
            if not _DIGEST.match(digest):
                return AgentError("invalid", f"{name} has no SHA-256", prop="files")
        if facts.is_in_the_way:
            return AgentError(
                "invalid",
                f"{desired.path} is {facts.files['.'].strip('<>')} on the host, but a tree is declared",
                prop="path",
                hint=f"move {desired.path} away, or declare another path",
            )
        return None

    def original(self, item: str, facts: _Found, folder: Path) -> Json:
        """Describe the original at the path. `apply` moves an original folder aside as a whole."""
        return paths.keep(Path(item), folder / "original")

    def missing(self, path: str, files: Mapping[str, str]) -> list[str]:
        """Return the digests that neither the present tree nor the staged bytes have."""
        known = _read(paths.checked(path)).files.values()
        stage = self._store.folder("tree", path) / _STAGE
        return sorted(digest for digest in {*files.values()} - {*known} if not (stage / digest).exists())

    def stage(self, path: str, digest: str, data: str, *, last: bool) -> None:
        """Append a piece to the staged bytes of `digest`.

        After the last piece, the bytes must have that digest.

        Raises:
            AgentError: ``invalid`` for damaged bytes, ``no-space``.
        """
        paths.checked(path)
        if not _DIGEST.match(digest):
            raise AgentError("invalid", f"{digest!r} is not a SHA-256 digest", prop="files")
        stage = self._store.make_folder("tree", path) / _STAGE
        part = stage / f"{digest}.part"
        try:
            piece = base64.b64decode(data, validate=True)
            stage.mkdir(mode=0o700, exist_ok=True)
            how = os.O_APPEND if part in self._begun else os.O_TRUNC
            self._begun.add(part)
            fd = os.open(part, os.O_RDWR | os.O_CREAT | how | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                disk.write_all(fd, piece)
                if last:
                    self._begun.discard(part)
                    os.fsync(fd)
                    os.lseek(fd, 0, os.SEEK_SET)
                    if _digest(fd) != digest:
                        part.unlink()
                        raise _damaged()
                    part.replace(stage / digest)
            finally:
                os.close(fd)
        except binascii.Error:
            raise _damaged() from None
        except OSError as error:
            self._begun.discard(part)
            part.unlink(missing_ok=True)
            raise disk.write_error(error, part) from None

    def apply(self, desired: TreeDesired, steps: list[Step], work: Work) -> None:
        """Build the whole new version first. Readers see the old version until the link switches."""
        path, stage = Path(work.record.id), work.folder / _STAGE
        ids = paths.ids(desired.owner, desired.group)
        with disk.writing(path) as place:
            if steps:
                version = disk.temporary_name(path)
                try:
                    _build(place, version, stage, desired.files, ids)
                    _move_aside(place)
                    paths.point(place, version)
                except BaseException:
                    with contextlib.suppress(OSError):
                        safe_paths.remove_all(place.folder, version)
                    raise
            _sweep(place)
        shutil.rmtree(stage, ignore_errors=True)

    def remove(self, desired: TreeDesired, record: Record, folder: Path) -> str:
        """Remove our versions and restore the original link or folder."""
        path = Path(record.id)
        with disk.removing(path) as place:
            if desired.on_delete == "keep":
                _sweep(place)
                return "kept"
            there = place.look()
            if there is not None and not stat.S_ISLNK(there.st_mode):
                return "kept"  # the link never switched to our version, or somebody put a folder there
            paths.remove_file(path)
            if not _move_back(place) and record.original["type"] == "symlink":
                paths.put_back(path, record.original, folder / "original")
            _sweep(place)
            _forget(place, f"{disk.temporary_prefix(path)}{_ORIGINAL}")
        return "restored" if record.original["type"] != "absent" else "absent" if there is None else "removed"


def _damaged() -> AgentError:
    return AgentError("invalid", "a file arrived damaged", prop="files", hint="run `up` again")


def _build(
    place: FolderEntry, version: str, stage: Path, files: Mapping[str, str], ids: tuple[int, int]
) -> None:
    """Make the folder `version` from staged bytes and files of the present tree.

    Only root can enter the folder until everything in it is final.
    """
    with _opened(_top(place)) as present:
        sources = {digest: name for name, digest in _scan(present, place.path)} if present >= 0 else {}
        with _opened(safe_paths.make_folder(place.folder, version, place.path)) as top:
            for name, digest in files.items():
                folder, _, leaf = name.rpartition("/")
                source = _source(stage, present, digest, sources, name)
                with _opened(source), safe_paths.below(top, folder, make=True) as inner:
                    copied = _copy(source, inner, leaf, ids)
                if copied != digest:
                    (stage / digest).unlink(missing_ok=True)  # so that the file is sent again
                    raise AgentError(
                        "invalid",
                        f"the file {name} changed while the agent copied it",
                        prop="files",
                        hint="run `up` again",
                    )
            folders = {str(folder) for name in files for folder in Path(name).parents if folder.name}
            # The top folder comes last: nobody can enter before everything is final.
            for folder in [*sorted(folders, reverse=True), ""]:
                with safe_paths.below(top, folder) as inner:
                    disk.give(inner, *ids, FOLDER_MODE)
                    os.fsync(inner)


@contextlib.contextmanager
def _opened(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        if fd >= 0:
            os.close(fd)


def _source(stage: Path, present: int, digest: str, sources: Mapping[str, str], name: str) -> int:
    """Open the bytes of `digest`: staged bytes, or a file of the present tree."""
    with contextlib.suppress(FileNotFoundError):
        return os.open(stage / digest, safe_paths.FILE)
    if digest not in sources:
        raise AgentError(
            "invalid",
            f"the host did not receive the content of the file {name}",
            prop="files",
            hint="run `up` again",
        )
    folder, _, leaf = sources[digest].rpartition("/")
    with safe_paths.below(present, folder) as inner:
        return safe_paths.open_file(inner, leaf, Path(name))


def _copy(source: int, folder: int, name: str, ids: tuple[int, int]) -> str:
    digest = hashlib.sha256()
    how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with _opened(os.open(name, how, 0o600, dir_fd=folder)) as fd:
        for piece in safe_paths.pieces(source):
            digest.update(piece)
            disk.write_all(fd, piece)
        disk.give(fd, *ids, FILE_MODE)
        os.fsync(fd)
    return digest.hexdigest()


def _move_aside(place: FolderEntry) -> None:
    """Move a real folder at `place` aside, as the original.

    A real folder that appears at `place` later counts as drift, and is removed.
    """
    status = place.look()
    if status is None or not stat.S_ISDIR(status.st_mode):
        return
    name = f"{disk.temporary_prefix(place.path)}{_ORIGINAL}"
    aside = place.path.parent / name
    try:
        fd = os.open(name, safe_paths.FOLDER, dir_fd=place.folder)
    except FileNotFoundError:
        fd = safe_paths.make_folder(place.folder, name, aside)
    except NotADirectoryError:
        raise _not_ours(aside) from None
    with _opened(fd):
        if not safe_paths.is_ours(fd):
            raise _not_ours(aside)
        if os.listdir(fd):  # noqa: PTH208 - by descriptor
            safe_paths.remove_all(place.folder, place.name)
        else:
            os.rename(place.name, _TREE, src_dir_fd=place.folder, dst_dir_fd=fd)


def _move_back(place: FolderEntry) -> bool:
    """Move the original folder back to `place`. Return whether there was an original folder."""
    name = f"{disk.temporary_prefix(place.path)}{_ORIGINAL}"
    try:
        with safe_paths.below(place.folder, name) as fd:
            kept = os.stat(_TREE, dir_fd=fd, follow_symlinks=False)
            if not safe_paths.is_ours(fd) or not stat.S_ISDIR(kept.st_mode):
                return False
            os.rename(_TREE, place.name, src_dir_fd=fd, dst_dir_fd=place.folder)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _not_ours(aside: Path) -> AgentError:
    return AgentError(
        "invalid",
        f"{aside} is not ours, but Portcullis has to keep the original folder there",
        prop="path",
        hint=f"look at {aside} and move it away",
    )


def _sweep(place: FolderEntry) -> None:
    """Remove versions that the link does not point to, and leftovers of interrupted runs."""
    status = place.look()
    current = place.target() if status is not None and stat.S_ISLNK(status.st_mode) else ""
    for name in disk.leftovers(place):
        if name not in (current, f"{disk.temporary_prefix(place.path)}{_ORIGINAL}"):
            _forget(place, name)


def _forget(place: FolderEntry, name: str) -> None:
    with contextlib.suppress(OSError):
        safe_paths.remove_all(place.folder, name)


def _top(place: FolderEntry) -> int:
    """Open the folder of the present tree: our version behind the link, or a real folder; otherwise -1."""
    status = place.look()
    if status is None:
        return -1
    name = place.target() if stat.S_ISLNK(status.st_mode) else place.name
    if name != place.name and ("/" in name or not name.startswith(disk.temporary_prefix(place.path))):
        return -1
    try:
        return os.open(name, safe_paths.FOLDER, dir_fd=place.folder)
    except (FileNotFoundError, NotADirectoryError):
        return -1


def _read(path: Path) -> _Found:
    with disk.reading(path) as place:
        status = place.look()
        if status is None:
            return _Found(exists=False)
        with _opened(_top(place)) as top:
            if top < 0:
                return _oddity(place, status)
            status = os.fstat(top)
            owners, groups = {status.st_uid}, {status.st_gid}
            files: dict[str, str] = {}
            if stat.S_IMODE(status.st_mode) != FOLDER_MODE:
                files["."] = f"<mode {paths.mode_text(status.st_mode)}>"
            for name, value in _scan(top, path, owners, groups):
                files[paths.shown(name)] = value
    return _Found(
        exists=True,
        files=files,
        owner=" and ".join(sorted(paths.user_name(uid) for uid in owners)),
        group=" and ".join(sorted(paths.group_name(gid) for gid in groups)),
        owner_id=" and ".join(sorted(map(str, owners))),
        group_id=" and ".join(sorted(map(str, groups))),
    )


def _oddity(place: FolderEntry, status: os.stat_result) -> _Found:
    return _Found(
        exists=True,
        files={".": f"<{paths.named(place, status)}>"},
        owner=paths.user_name(status.st_uid),
        group=paths.group_name(status.st_gid),
        is_in_the_way=not stat.S_ISLNK(status.st_mode),
    )


def _scan(
    folder: int, path: Path, owners: set[int] | None = None, groups: set[int] | None = None, prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield the manifest's entries for an open folder.

    Subfolders with the right owner and mode are left out.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            name = f"{prefix}{entry.name}"
            if owners is not None and groups is not None:
                owners.add(status.st_uid)
                groups.add(status.st_gid)
            value = _value(folder, entry.name, path, status)
            if value:
                yield name, value
            if stat.S_ISDIR(status.st_mode):
                with safe_paths.below(folder, entry.name) as inner:
                    yield from _scan(inner, path, owners, groups, f"{name}/")


def _value(folder: int, name: str, path: Path, status: os.stat_result) -> str:
    """Return the manifest's value for an entry: a file's digest, or "" for a folder with the right mode."""
    if stat.S_ISDIR(status.st_mode):
        right = stat.S_IMODE(status.st_mode) == FOLDER_MODE
        return "" if right else f"<a directory, mode {paths.mode_text(status.st_mode)}>"
    if stat.S_ISLNK(status.st_mode):
        return f"<a symbolic link to {paths.shown(os.readlink(name, dir_fd=folder))}>"
    if not stat.S_ISREG(status.st_mode):
        return f"<{paths.type_name(status)}>"
    with _opened(safe_paths.open_file(folder, name, path)) as fd:
        digest = _digest(fd)
    if stat.S_IMODE(status.st_mode) != FILE_MODE:
        return f"<mode {paths.mode_text(status.st_mode)}> {digest}"
    return digest


def _digest(fd: int) -> str:
    digest = hashlib.sha256()
    for piece in safe_paths.pieces(fd):
        digest.update(piece)
    return digest.hexdigest()


def _short(digest: object) -> str:
    text = "absent" if digest is None else str(digest)
    return text[:12] if _DIGEST.match(text) else text
