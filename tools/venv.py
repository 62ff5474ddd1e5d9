"""Makes the virtual environment for developing, testing and running the program.

The environment is in the cache. The name of its folder is a hash of the pinned requirements and the Python
version. So a changed pin makes a new environment, and an old checkout keeps the old environment. `.venv` in
the checkout is a link to the environment.
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
    """Return the key of the environment, from the pins, the Python version and the architecture."""
    digest = hashlib.sha256(_LOCK.read_bytes())
    digest.update(f"{platform.python_version()} {sys.base_prefix} {platform.machine()}".encode())
    return digest.hexdigest()[:16]


def ensure() -> Path:
    """Make the environment unless it is complete, link `.venv` to it and return its folder.

    Raises:
        StepError: this Python is too old, or a package cannot be installed.

    """
    if sys.version_info < _OLDEST_PYTHON:
        raise StepError(
            f"Python 3.11 or newer is needed, but {sys.executable} is {platform.python_version()}."
        )
    venv = cache() / "venv" / key()
    if not (venv / _COMPLETE).exists():
        with locked(venv.parent, "the virtual environment"):
            if not (venv / _COMPLETE).exists():
                _make(venv)
    _point(ROOT / ".venv", venv)
    return venv


def _make(venv: Path) -> None:
    # Scripts in a virtual environment contain its absolute path, so we build it in place. The marker file is
    # written last, because an environment without it does not count.
    shutil.rmtree(venv, ignore_errors=True)
    made = ask([_base_python(), "-m", "venv", str(venv)], limit=300)
    if made.returncode != 0:
        raise StepError(
            f"the command `python3 -m venv` failed: {(made.stdout + made.stderr).strip()}\n"
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
    """Return the interpreter outside of any virtual environment, so that environments are not nested."""
    base = getattr(sys, "_base_executable", "") or sys.executable
    return str(base)


def _point(link: Path, venv: Path) -> None:
    if link.is_symlink():
        if link.readlink() == venv:
            return
    elif link.exists():
        raise StepError(
            f"{link} must be a symbolic link into the cache, but is a file or folder: move {link} away."
        )
    fresh = link.with_name(f".venv.{os.getpid()}")
    fresh.symlink_to(venv)
    fresh.replace(link)
    say(f"==> .venv -> {venv}")
