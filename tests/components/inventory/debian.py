"""A fake Debian in a folder: files, and dpkg's records of these files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from portcullis.agent.claims import Claimed, Claims
from portcullis.agent.machine import Machine
from portcullis.components.inventory.facts import InventorySpec
from portcullis.components.inventory.on_host.look import Look

NOTHING = InventorySpec([], {}, [], [], {})
PASSWD = "root:x:0:0:root:/root:/bin/bash\ndeploy:x:1000:1000::/home/deploy:/bin/bash\n"
GROUP = "root:x:0:\ndeploy:x:1000:\n"


@dataclass
class Debian:
    """A host in the folder `root`. All paths in the arguments are paths on this host."""

    root: Path

    def __post_init__(self) -> None:
        self.root.chmod(0o755)
        (self.dpkg / "info").mkdir(parents=True)
        (self.dpkg / "status").write_text("")
        self.file("/etc/passwd", PASSWD)
        self.file("/etc/group", GROUP)
        self.file("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")

    @property
    def dpkg(self) -> Path:
        return self.root / "var/lib/dpkg"

    @property
    def machine(self) -> Machine:
        return Machine(
            root=self.root, state=self.root / "var/lib/portcullis", lock=self.root / "run/lock",
            dpkg=self.dpkg, ucf=self.root / "var/lib/ucf/hashfile", etc=self.root / "etc",
            homes=self.root / "home", settle=0.01, apt_lock_wait=0.5,
        )  # fmt: skip

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def file(self, path: str, text: str = "", mode: int = 0o644) -> str:
        place = self.at(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)
        return path

    def link(self, path: str, target: str) -> str:
        place = self.at(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
        return path

    def package(
        self, name: str, files: dict[str, str], *, conffiles: tuple[str, ...] = (), status: str = "install ok"
    ) -> None:
        """Install a package: its files with their folders, and dpkg's records."""
        listed = {"/."}
        for path, text in files.items():
            self.file(path, text)
            listed.update((path, *map(str, Path(path).parents)))
        (self.dpkg / "info" / f"{name}.list").write_text("\n".join(sorted(listed)) + "\n")
        sums = "".join(
            f" {path} {hashlib.md5(files[path].encode(), usedforsecurity=False).hexdigest()}\n"
            for path in conffiles
        )
        with (self.dpkg / "status").open("a") as file:
            file.write(
                f"Package: {name}\nStatus: {status} installed\nArchitecture: amd64\nVersion: 1.0-1\n"
                + (f"Conffiles:\n{sums}" if sums else "")
                + "Description: a package\n\n"
            )

    def look(self, *claims: Claims, spec: InventorySpec = NOTHING) -> Look:
        return Look(self.machine, Claimed(claims), spec)
