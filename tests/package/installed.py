"""The package as pip installs it, in an environment that has nothing of this checkout."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.steps import ask, cache, locked, step

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Archives:
    """What `make dist` builds."""

    wheel: Path
    sdist: Path

    @property
    def metadata(self) -> str:
        """What the wheel says about itself."""
        with zipfile.ZipFile(self.wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            return archive.read(name).decode()


@dataclass(frozen=True, slots=True)
class Installed:
    """A virtual environment with the wheel in it, and a shell that knows of nothing else of ours."""

    folder: Path

    @property
    def bin(self) -> Path:
        """Where its commands are."""
        return self.folder / "bin"

    def run(self, *argv: str | Path, folder: Path, code: int = 0) -> str:
        """Run one of its commands by its name; return what it printed."""
        done = subprocess.run(
            [self.bin / argv[0], *argv[1:]],
            cwd=folder, env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout


def build(source: Path, target: Path, *kinds: str, env: Mapping[str, str] | None = None) -> None:
    """Build archives of a source tree with the tool that is pinned, as `make dist` does."""
    wanted = [word for kind in kinds for word in ("--target", kind)]
    done = ask(
        [sys.executable, "-m", "hatchling", "build", "--directory", str(target), *wanted],
        cwd=source,
        env=env,
        limit=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """Build them from this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Archives(wheel, sdist)


@pytest.fixture(scope="session")
def installed(archives: Archives, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install the wheel into an environment of its own."""
    return install(archives, tmp_path_factory.mktemp("installed") / "venv")


def install(archives: Archives, venv: Path) -> Installed:
    """Make a virtual environment and install the wheel into it."""
    shutil.copytree(_with_dependencies(), venv, symlinks=True, copy_function=_link)
    # Without an index: what the wheel asks for is there, in the versions that are pinned.
    done = ask([*_pip(venv), "--no-index", str(archives.wheel)], limit=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return Installed(venv)


def _with_dependencies() -> Path:
    """Return an environment with what the program is locked to, kept under a key of just that.

    Pulumi's language host lists packages by the environment's own pip, so that is in the lock too.
    """
    lock = ROOT / "requirements.txt"
    key = hashlib.sha256(f"{sys.version} {lock.read_text()}".encode()).hexdigest()[:16]
    venv = cache() / "programs" / f"wheel-{key}"
    with locked(venv.parent, "the environment of the wheel"):
        if not (venv / ".complete").exists():
            shutil.rmtree(venv, ignore_errors=True)
            done = ask([sys.executable, "-m", "venv", "--without-pip", str(venv)], limit=120)
            assert done.returncode == 0, done.stdout + done.stderr
            hashed = ["--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
            step("installing what the wheel needs", [*_pip(venv), *hashed], limit=900)
            (venv / ".complete").touch()
    return venv


def _pip(venv: Path) -> list[str]:
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin/python"), "install"]
    return [*pip, "--disable-pip-version-check", "--no-input", "--quiet"]


def _link(source: str, target: str) -> str:
    """Make a hard link where it is possible: pip and Python replace files and change none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
