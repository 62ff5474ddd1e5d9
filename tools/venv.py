"""The virtual environment with everything that developing, testing and running the program needs.

It lives in the cache under a key of the pinned requirements and the Python version, so a changed pin makes
a new one and an old checkout keeps the old one; `.venv` in the checkout points at it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
from typing import TYPE_CHECKING

from tools.steps import ROOT, StepError, ask, cache, locked, say, step

if TYPE_CHECKING:
    from pathlib import Path

_LOCK = ROOT / "requirements-dev.txt"
_OLDEST_PYTHON = (3, 11)
_COMPLETE = ".complete"


def key() -> str:
    """Return what names the environment: the pins, the Python version, the machine's architecture."""
    digest = hashlib.sha256(_LOCK.read_bytes())
    digest.update(f"{platform.python_version()} {sys.base_prefix} {platform.machine()}".encode())
    return digest.hexdigest()[:16]


def ensure() -> Path:
    """Make the environment unless it is complete, point `.venv` at it and return its folder.

    Raises:
        StepError: this Python is too old, or a package could not be installed.

    """
    if sys.version_info < _OLDEST_PYTHON:
        raise StepError(f"Python 3.11 or newer is needed; {sys.executable} is {platform.python_version()}.")
    venv = cache() / "venv" / key()
    if not (venv / _COMPLETE).exists():
        with locked(venv.parent, "the virtual environment"):
            if not (venv / _COMPLETE).exists():
                _make(venv)
    _point(ROOT / ".venv", venv)
    return venv


def _make(venv: Path) -> None:
    # Scripts in a virtual environment carry its absolute path, so it is built in place; the marker file,
    # written last, is what makes it count.
    shutil.rmtree(venv, ignore_errors=True)
    made = ask([_base_python(), "-m", "venv", str(venv)], limit=300)
    if made.returncode != 0:
        raise StepError(
            f"python3 -m venv failed: {(made.stdout + made.stderr).strip()}\n"
            "On Debian and Ubuntu: apt-get install python3-venv"
        )
    step(
        "installing the Python packages",
        [str(venv / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input",
         "--require-hashes", "--only-binary", ":all:", "-r", str(_LOCK)],
        hint="The packages come from PyPI or the index that pip is configured for: is it reachable?",
    )  # fmt: skip
    (venv / _COMPLETE).touch()


def _base_python() -> str:
    """Return the interpreter under any virtual environment we were started in: never stack one on another."""
    base = getattr(sys, "_base_executable", "") or sys.executable
    return str(base)


def _point(link: Path, venv: Path) -> None:
    if link.is_symlink():
        if link.readlink() == venv:
            return
    elif link.exists():
        raise StepError(f"{link} is not ours (a symbolic link into the cache is expected): move it away.")
    fresh = link.with_name(f".venv.{os.getpid()}")
    fresh.symlink_to(venv)
    fresh.replace(link)
    say(f"==> .venv -> {venv}")
