"""Snapshots: hosts that are set up once and kept in the cache. A file of tests begins from a copy in seconds.

A hash of the bare host, of the listed files, of other facts and of the day names a snapshot. The snapshot
holds the disk of a host that was shut down, the host's keys, and a folder with what its maker needs. A copy
has the same disk, keys, machine id and host name, but other addresses.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from lab import base, engine, hosts, keys, machine, network
from lab.errors import LabError
from lab.places import CHECKOUT, cache, made
from lab.shell import Progress, run
from lab.state import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lab.engine import Engine
    from lab.processes import Process
    from lab.state import HostRecord

_RECORD = "record.json"
_MOST = 3  # of a kind. Several checkouts and versions of Docker may share the cache.
_PATIENCE = 300  # seconds for a clean shutdown
_KILLED = 137  # the exit code of a container that did not shut down
_HANGS = 600  # seconds
# The record of what came with the machine has the addresses and the zone, and others would be drift.
# overlayfs cannot rename a folder that comes from the image. The agent renames such folders, so a copy gets
# folders of its own. Nothing else writes there: our timers have just run, and nobody deploys yet.
_ADAPT = """
cd /var/lib/portcullis 2>/dev/null || exit 0
sed -i "$1" inventory/baseline.json
cd ..
cp -a portcullis copied-up
rm -r portcullis
mv copied-up portcullis
"""
_ZONE = ["readlink", "/etc/localtime"]
_MADE = {"__pycache__", "node_modules", "dist"}  # what tools leave in a checkout


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A kind of host.

    Attributes:
        kind: its name.
        parts: files and folders of the checkout that it is made of, besides the lab itself.
        make: sets a bare host up. It may write to the folder what it needs again with each copy.
        facts: what else it is made of, as text.
    """

    kind: str
    parts: tuple[str, ...]
    make: Callable[[HostRecord, Path], None]
    facts: str = ""

    def copy(self, *, lease: Process, folder: Path | None = None) -> HostRecord:
        """Raise a copy, wait until it is reachable, and copy to `folder` what the maker wrote.

        If the cache has no such snapshot, make it first. Other processes wait meanwhile.

        Raises:
            LabError: something that the host needs is missing, or the host does not shut down.
        """
        progress = Progress()
        with locked() as state:
            docker = engine.current(state)
            bare = base.ensure(docker, machine.DEFAULT_SUITE, progress)
        with (made(cache() / "snapshots") / f"{self.kind}.lock").open("w") as lock:
            progress.say(f"looking for the snapshot {self.kind}; if another process makes it, this waits")
            fcntl.flock(lock, fcntl.LOCK_SH)
            while not self._is_kept(docker, key := self.key(bare)):
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not self._is_kept(docker, key):
                    self._make(docker, key, lease, progress)
                    # A file that changed meanwhile may be in the snapshot already.
                    if self.key(bare) != key:
                        self._remove(docker, key)
                fcntl.flock(lock, fcntl.LOCK_SH)
            if folder is not None:
                shutil.copytree(self._folder(key) / "more", folder, symlinks=True)
            return self._copied(docker, key, lease, progress)

    def key(self, bare: str) -> str:
        """Return the hash that names the snapshot made of a bare host.

        The gate's second try sets LAB_SNAPSHOTS, so that it begins from a new snapshot.

        Raises:
            LabError: a part is missing.
        """
        login = keys.client_key().with_suffix(".pub").read_text()
        again = os.environ.get("LAB_SNAPSHOTS", "")
        digest = sha256(f"{bare} {self.facts} {login} {again} {datetime.now(UTC).date()}".encode())
        for path in _files(("lab", *self.parts)):
            digest.update(f"{path.relative_to(CHECKOUT)} {path.stat().st_mode} ".encode())
            digest.update(path.read_bytes())
        return digest.hexdigest()[:16]

    def _folder(self, key: str) -> Path:
        return made(cache() / "snapshots" / self.kind) / key

    def _image(self, key: str) -> str:
        return f"{base.REPOSITORY}/snapshot-{self.kind}:{key}"

    def _is_kept(self, docker: Engine, key: str) -> bool:
        return (self._folder(key) / _RECORD).exists() and docker.has_image(self._image(key))

    def _remove(self, docker: Engine, key: str) -> None:
        if self._folder(key).exists():
            shutil.rmtree(self._folder(key))
        docker.remove_images(self._image(key))

    def _make(self, docker: Engine, key: str, lease: Process, progress: Progress) -> None:
        folder = self._folder(key)
        # A file among the folders is none of ours, and stays.
        kept = sorted(filter(Path.is_dir, folder.parent.iterdir()), key=lambda path: path.stat().st_mtime)
        for old in {key, *(path.name for path in kept[: 1 - _MOST])}:
            self._remove(docker, old)
        host = machine.up(None, lease=lease, progress=progress)
        try:
            self.make(host, made(folder / "more"))
            stamps = _ask(docker, host, ["ls", hosts.STAMPS]).split()
            zone = _ask(docker, host, _ZONE).strip()
            docker.stop(host.container, patience=_PATIENCE)
            if (docker.inspect(host.container) or {})["State"]["ExitCode"] == _KILLED:
                raise LabError(f"the host of the snapshot {self.kind} did not shut down in {_PATIENCE} s")
            for path, place in hosts.volumes(docker, host).items():
                _copy(str(place), folder / _name(path))
            shutil.copytree(keys.host_keys(host.name), folder / "keys")
            repository, _, tag = self._image(key).partition(":")
            docker.commit(host.container, repository, tag)
        finally:
            machine.down([host.name], progress, lease=lease)
        new = folder / "record.new"
        new.write_text(json.dumps({"name": host.name, "number": host.number, "stamps": stamps, "zone": zone}))
        new.rename(folder / _RECORD)

    def _copied(self, docker: Engine, key: str, lease: Process, progress: Progress) -> HostRecord:
        folder = self._folder(key)
        original = json.loads((folder / _RECORD).read_text())
        with locked() as state:
            name = machine.new_name(state, "copy")
            progress.say(f"creating {name} from the snapshot {self.kind}")
            keys.set_host_keys(name, folder / "keys")
            record = hosts.register(
                state,
                docker,
                self._image(key),
                name=name,
                suite=machine.DEFAULT_SUITE,
                lease=lease,
                called=original["name"],
            )
        try:
            # Without the lock, because the disk of a Docker with images is large.
            for path, place in hosts.volumes(docker, record).items():
                _copy(f"{folder / _name(path)}/.", place)
            docker.put(record.container, hosts.clock(original["stamps"]))
            hosts.boot(docker, record)
            hosts.wait(docker, record)
            old, new = (network.on_segment(number) for number in (original["number"], record.number))
            zone = _ask(docker, record, _ZONE).strip()
            swap = f"s|{old.v4}/|{new.v4}/|g; s|{old.v6}/|{new.v6}/|g; s|{original['zone']}\\b|{zone}|g"
            _ask(docker, record, ["sh", "-ec", _ADAPT, "sh", swap])
        except BaseException:
            machine.down([name], progress, lease=lease)
            raise
        return record


def _ask(docker: Engine, record: HostRecord, argv: list[str]) -> str:
    return run([*hosts.console_argv(docker, record), *argv], timeout=_HANGS).stdout


def _copy(source: str, target: Path) -> None:
    run(["cp", "-a", "--reflink=auto", source, str(target)], timeout=_HANGS)


def _name(volume: str) -> str:
    return f"volume{volume.replace('/', '-')}"


def _files(parts: Iterable[str]) -> Iterator[Path]:
    for root in (CHECKOUT / part for part in parts):
        if not root.exists():
            raise LabError(f"{root} is missing, and a snapshot is made of it")
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if path.is_file() and not _MADE.intersection(path.relative_to(CHECKOUT).parts):
                yield path
