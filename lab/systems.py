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
    from pathlib import Path

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
