"""Finds the Debian mirror of this machine, and extracts programs and libraries from Debian's packages.

The registry and busybox are extracted from their packages and not installed. On a machine with systemd, an
installed package would start its service.
"""

from __future__ import annotations

import functools
import re
import shutil
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.places import cache, made
from lab.shell import run
from tools.steps import locked

if TYPE_CHECKING:
    from collections.abc import Iterable

_PUBLIC_MIRROR = "http://deb.debian.org/debian"


def mirror() -> str:
    """Return the Debian mirror that this machine installs from, or the public one."""
    debians = (address for address, label in _listed() if label == "Debian")
    return next(debians, _PUBLIC_MIRROR).rstrip("/")


def repositories() -> list[str]:
    """Return the addresses of all repositories of this machine's apt, and of `mirror`."""
    return [mirror(), *(address for address, _ in _listed())]


@functools.cache
def _listed() -> list[tuple[str, str]]:
    """Return the address and the label of each repository of this machine's apt."""
    answer = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Identifier: Packages"], check=False
    )
    parted = (line.partition(" ") for line in answer.stdout.splitlines())
    return [(address, label) for address, _, label in parted]


def program(package: str, path: str) -> Path:
    """Return the program at ``path`` of a Debian package.

    The program is extracted once, into the cache.

    Raises:
        LabError: the package cannot be downloaded or has no such file.
    """
    kept = cache() / "programs" / package / Path(path).name
    if kept.exists():
        return kept
    with locked(made(kept.parent), f"{package}'s {path}"), TemporaryDirectory() as folder:
        if kept.exists():
            return kept
        tree = _unpacked(Path(folder), [package])
        found = tree / path.lstrip("/")
        if not found.is_file():
            raise LabError(f"Debian's package {package} has no file {path}")
        temporary = kept.with_suffix(".new")
        shutil.copy2(found, temporary)
        temporary.rename(kept)
    return kept


def tree(*packages: str) -> Path:
    """Return a folder with the files of Debian packages and of the libraries that they depend on.

    The folder is made once and kept in the cache.

    Raises:
        LabError: a package cannot be downloaded.
    """
    key = sha256(" ".join(packages).encode()).hexdigest()[:8]
    kept = made(cache() / "programs") / f"{packages[0]}-tree-{key}"
    if kept.exists():
        return kept
    with (
        locked(kept.parent, f"the files of {packages[0]}"),
        TemporaryDirectory(dir=kept.parent, prefix="unpacking-") as folder,
    ):
        if not kept.exists():
            _unpacked(Path(folder), [*packages, *_libraries_of(packages)]).rename(kept)
    return kept


def libraries(tree: Path) -> dict[str, Path]:
    """Return shared libraries and their loader from a folder of package files, by their paths in an image.

    Symbolic links are followed, because the target of a link may be in another folder of the tree.
    """
    found: dict[str, Path] = {}
    for file in sorted(tree.glob("**/*.so*")):
        place = file.parent.relative_to(tree).as_posix()
        if not re.fullmatch(r"(usr/)?lib(64)?(/[\w]+-linux-gnu)?", place):
            continue  # these folders have plugins and converters of character sets
        if file.name.startswith("ld-linux"):
            for folder in ("lib", "lib64"):
                found[f"{folder}/{file.name}"] = _real(tree, file)
        else:
            found[f"usr/lib/{file.name}"] = _real(tree, file)
    return found


def _real(tree: Path, file: Path) -> Path:
    while file.is_symlink():
        target = file.readlink()
        file = tree / str(target).lstrip("/") if target.is_absolute() else file.parent / target
    return file


def _libraries_of(packages: Iterable[str]) -> list[str]:
    """Return the lib* packages that ``packages`` depend on, directly or through others."""
    ask = ["apt-cache", "depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts"]
    ask += ["--no-breaks", "--no-replaces", "--no-enhances", *packages]
    needs: dict[str, list[str]] = {}
    for line in run(ask, timeout=60).stdout.splitlines():
        if not line.startswith((" ", "<")):
            needs[name := line.strip()] = []
        elif found := re.fullmatch(r" [ |](?:Pre)?Depends: (lib\S+)", line):
            needs[name].append(found[1])
    wanted: dict[str, None] = {}
    waiting = list(packages)
    while waiting:
        for library in needs.get(waiting.pop(), []):
            if library not in wanted:
                wanted[library] = None
                waiting.append(library)
    return sorted(set(wanted) - set(packages))


def _unpacked(folder: Path, packages: list[str]) -> Path:
    # The user _apt, as which apt downloads, cannot write to our folder. root can write there.
    script = 'cd "$1" && shift && apt-get -q -o APT::Sandbox::User=root download "$@"'
    download = ["sh", "-c", script, "sh", str(folder), *packages]
    if run(download, timeout=300, check=False).returncode != 0:
        run(["apt-get", "-q", "update"], timeout=300)
        run(download, timeout=300)
    for archive in sorted(folder.glob("*.deb")):
        run(["dpkg-deb", "--extract", str(archive), f"{folder}/tree"], timeout=120)
    return folder / "tree"
