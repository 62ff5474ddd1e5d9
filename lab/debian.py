"""Debian's packages on this machine: which mirror it uses, and single programs taken out of packages.

A registry or a busybox is taken out of its package, not installed: on a machine with systemd the package
would start a service of its own.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from lab.errors import LabError
from lab.places import cache, made
from lab.shell import run

_PUBLIC_MIRROR = "http://deb.debian.org/debian"


def mirror() -> str:
    """Return the one Debian mirror that this machine installs from, or the public one."""
    listed = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Identifier: Packages"], check=False
    )
    for line in listed.stdout.splitlines():
        match line.split():
            case [address, "Debian"]:
                return address.rstrip("/")
            case _:
                continue
    return _PUBLIC_MIRROR


def program(package: str, path: str) -> Path:
    """Return the program at ``path`` of a Debian package, taken out once and kept in the cache.

    Raises:
        LabError: the package cannot be downloaded or has no such file.
    """
    kept = cache() / "programs" / package / Path(path).name
    if kept.exists():
        return kept
    made(kept.parent)
    with TemporaryDirectory() as folder:
        # The user that apt downloads as cannot write to our folder; root may.
        script = 'cd "$1" && apt-get -q -o APT::Sandbox::User=root download "$2"'
        download = ["sh", "-c", script, "sh", folder, package]
        if run(download, timeout=300, check=False).returncode != 0:
            run(["apt-get", "-q", "update"], timeout=300)
            run(download, timeout=300)
        (archive,) = Path(folder).glob("*.deb")
        run(["dpkg-deb", "--extract", str(archive), f"{folder}/tree"], timeout=120)
        found = Path(folder, "tree", path.lstrip("/"))
        if not found.is_file():
            raise LabError(f"Debian's package {package} holds no {path}")
        temporary = kept.with_suffix(".new")
        shutil.copy2(found, temporary)
        temporary.rename(kept)
    return kept
