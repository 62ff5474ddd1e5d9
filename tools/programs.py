"""Programs from PyPI that cannot share the environment of everything else, each in one of its own."""

from __future__ import annotations

import hashlib
import shutil
import sys
from typing import TYPE_CHECKING

from tools.steps import ROOT, StepError, ask, cache, locked, step

if TYPE_CHECKING:
    from pathlib import Path

_PREFIX = "requirements-"
# What a file lets pip build (sslyze), it builds with tools of known hashes.
_HASHED = ("--require-hashes", "--only-binary", ":all:", "--build-constraint", str(ROOT / "requirements.txt"))


def installed(requirements: Path) -> Path:
    """Return the `bin` folder of an environment with what `requirements-NAME.txt` locks, made on first use.

    It lives in the cache under a key of the file and the Python version: a changed pin makes a new one.

    Raises:
        StepError: it could not be made.

    """
    name = requirements.stem.removeprefix(_PREFIX)
    key = hashlib.sha256(f"{sys.version} {requirements.read_text()}".encode()).hexdigest()[:16]
    venv = cache() / "programs" / f"{name}-{key}"
    complete = venv / ".complete"
    with locked(venv.parent, f"the environment of {name}"):
        if not complete.exists():
            shutil.rmtree(venv, ignore_errors=True)
            # Our own pip installs into it: a pip for each costs two seconds of work and is of no use.
            made = ask([sys.executable, "-m", "venv", "--without-pip", str(venv)], limit=300)
            if made.returncode != 0:
                raise StepError(f"python -m venv failed for {name}: {(made.stdout + made.stderr).strip()}")
            pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "install"]
            step(
                f"installing {name}",
                [*pip, "--disable-pip-version-check", "--no-input", *_HASHED, "-r", str(requirements)],
                hint="It comes from PyPI or the index that pip is configured for: is it reachable?",
                limit=600,
            )
            complete.touch()
    return venv / "bin"
