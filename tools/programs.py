"""Installs programs from PyPI, each in its own environment, because their packages conflict with ours."""

from __future__ import annotations

import hashlib
import shutil
import sys
from typing import TYPE_CHECKING

from tools.steps import ROOT, StepError, ask, cache, locked, step

if TYPE_CHECKING:
    from pathlib import Path

_PREFIX = "requirements-"
# If pip has to build a package (sslyze), it builds the package with tools of known hashes.
_HASHED = ("--require-hashes", "--only-binary", ":all:", "--build-constraint", str(ROOT / "requirements.txt"))


def installed(requirements: Path) -> Path:
    """Return the `bin` folder of the environment of `requirements-NAME.txt`.

    The first call makes the environment. The environment is in the cache. The name of its folder contains a
    hash of the file and the Python version, so a changed pin makes a new environment.

    Raises:
        StepError: the environment cannot be made.

    """
    name = requirements.stem.removeprefix(_PREFIX)
    key = hashlib.sha256(f"{sys.version} {requirements.read_text()}".encode()).hexdigest()[:16]
    venv = cache() / "programs" / f"{name}-{key}"
    complete = venv / ".complete"
    with locked(venv.parent, f"the environment of {name}"):
        if not complete.exists():
            shutil.rmtree(venv, ignore_errors=True)
            # Our own pip installs into the environment. A pip in each environment would cost two seconds.
            made = ask([sys.executable, "-m", "venv", "--without-pip", str(venv)], limit=300)
            if made.returncode != 0:
                raise StepError(
                    f"the command `python -m venv` failed for {name}: {(made.stdout + made.stderr).strip()}"
                )
            pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "install"]
            step(
                f"installing {name}",
                [*pip, "--disable-pip-version-check", "--no-input", *_HASHED, "-r", str(requirements)],
                hint="It comes from PyPI or the index that pip is configured for: is it reachable?",
                limit=600,
            )
            complete.touch()
    return venv / "bin"
