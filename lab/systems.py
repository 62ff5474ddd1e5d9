"""Root file systems for images that are Debian's packages with a few changes.

mmdebstrap makes each file system once for each recipe. The cache keeps it as a tar file.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from lab import base
from lab.places import cache, made
from tools.steps import locked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# What every program of an unpacked package needs: the libraries, and a shell that is not Debian's.
_BASIS = (
    *(f"{usr}/bin/{name}" for usr in ("", "/usr") for name in ("busybox", "getent")),
    *(f"{usr}/lib{path}" for usr in ("", "/usr") for path in ("*/ld-linux*", "/*-linux-gnu/lib*.so*")),
)
_HOOK = 'cp -R "{files}" "$1/setup" && chroot "$1" sh /setup/setup.sh && rm -r "$1/setup"'


@dataclass(frozen=True, slots=True)
class System:
    """The recipe of a root file system.

    Attributes:
        name: its name in the cache.
        suite: Debian's suite.
        options: options of mmdebstrap.
        files: a folder, which is /setup in the new file system while its setup.sh runs there.
    """

    name: str
    suite: str
    options: tuple[str, ...]
    files: Path

    @property
    def tar(self) -> Path:
        """The place of the file system in the cache."""
        texts = (file.read_text() for file in sorted(self.files.iterdir()))
        key = sha256("\0".join([self.suite, *self.options, _HOOK, *texts]).encode()).hexdigest()[:16]
        return made(cache() / "bases") / f"{self.name}-{key}.tar"

    def ready(self) -> Path:
        """Return the file system, made if it is not in the cache.

        Raises:
            LabError: Debian's mirror cannot be reached, or the lab is down.
        """
        with locked(self.tar.parent, f"the file system of {self.name}"):
            if not self.tar.exists():
                # This variant installs nothing, and has no customize-hook.
                moment = "extract" if "--variant=extract" in self.options else "customize"
                hook = f"--{moment}-hook={_HOOK.format(files=self.files)}"
                base.bootstrap(self.tar, self.suite, [*self.options, hook], "SOURCE_DATE_EPOCH=0")
        return self.tar


def unpacked(
    name: str,
    suite: str,
    folder: Path,
    *,
    packages: Sequence[str],
    files: Sequence[str],
    excluded: Sequence[str],
) -> System:
    """Return a file system of unpacked packages and busybox. Nothing is installed.

    Args:
        name: its name in the cache.
        suite: Debian's suite.
        folder: `System.files`.
        packages: Debian's packages.
        files: the patterns of their files that are kept, besides the libraries.
        excluded: the patterns of files that are left out again.
    """
    options = (
        "--variant=extract",
        f"--include={','.join([*packages, 'busybox-static'])}",
        "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
        "--dpkgopt=path-exclude=/*",
        *(f"--dpkgopt=path-include={path}" for path in [*_BASIS, *files]),
        *(f"--dpkgopt=path-exclude={path}" for path in [*excluded, "*/perl/*", "*/libperl.so*"]),
        '--extract-hook=ln -s busybox "$1/usr/bin/sh"',
        "--skip=output/dev,cleanup/run",
    )
    return System(name, suite, options, folder)
