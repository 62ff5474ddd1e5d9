"""Installs the package with pip, in an environment without this checkout."""

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

from tools.steps import StepError, ask, cache, locked, step

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Archives:
    """The archives that `make dist` builds."""

    wheel: Path
    sdist: Path

    @property
    def metadata(self) -> str:
        """The metadata of the wheel."""
        with zipfile.ZipFile(self.wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            return archive.read(name).decode()


@dataclass(frozen=True, slots=True)
class Installed:
    """A virtual environment with the wheel, and a shell without access to this checkout."""

    folder: Path

    @property
    def bin(self) -> Path:
        """The folder with the environment's commands."""
        return self.folder / "bin"

    def run(self, *argv: str | Path, folder: Path, code: int = 0) -> str:
        """Run a command of the environment by name, and return the output."""
        done = subprocess.run(
            [self.bin / argv[0], *argv[1:]],
            cwd=folder, env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout


def build(source: Path, target: Path, *kinds: str, env: Mapping[str, str] | None = None) -> None:
    """Build the archives of a source tree with the pinned tool, as `make dist` does."""
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
    """Build the archives from this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Archives(wheel, sdist)


@pytest.fixture(scope="session")
def installed(archives: Archives, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install the wheel into a new environment."""
    return install(archives, tmp_path_factory.mktemp("installed") / "venv")


def install(archives: Archives, venv: Path) -> Installed:
    """Make a virtual environment and install the wheel into the environment."""
    shutil.copytree(with_dependencies(), venv, symlinks=True, copy_function=_link)
    # pip uses no index, because the environment already has the dependencies in their pinned versions.
    done = ask([*_pip(venv), "--no-index", str(archives.wheel)], limit=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return Installed(venv)


def with_dependencies() -> Path:
    """Return an environment with the program's locked dependencies, cached under a hash of the lock.

    Pulumi's language host lists packages with the environment's own pip, so the lock contains pip too.
    """
    lock = ROOT / "requirements.txt"
    key = hashlib.sha256(f"{sys.version} {lock.read_text()}".encode()).hexdigest()[:16]
    venv = cache() / "programs" / f"wheel-{key}"
    with locked(venv.parent, "the environment of the wheel"):
        if not (venv / ".complete").exists():
            shutil.rmtree(venv, ignore_errors=True)
            done = ask([sys.executable, "-m", "venv", "--without-pip", str(venv)], limit=300)
            if done.returncode:
                raise StepError(f"the command `python -m venv` failed: {(done.stdout + done.stderr).strip()}")
            hashed = ["--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
            step("installing what the wheel needs", [*_pip(venv), *hashed], limit=900)
            (venv / ".complete").touch()
    return venv


def _pip(venv: Path) -> list[str]:
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin/python"), "install"]
    return [*pip, "--disable-pip-version-check", "--no-input", "--quiet"]


def _link(source: str, target: str) -> str:
    """Make a hard link if possible: pip and Python replace files but never change them."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
