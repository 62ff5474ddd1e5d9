"""A fresh clone of the repository, in which tests run the commands of the documentation."""

from __future__ import annotations

import itertools
import os
import subprocess
from typing import TYPE_CHECKING

from lab.state import load
from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SITE_FILE = "/etc/nginx/conf.d/shop.example.com.conf"


class Clone:
    """A clone of the repository, and a shell in the clone. The clone uses the cache of the machine."""

    def __init__(self, folder: Path, called: str) -> None:
        self.folder = folder
        # Not web1: the developer's own demo may be up. Files that run side by side differ in `called`.
        taken = load().hosts
        self.host = next(name for n in itertools.count(1) if (name := f"{called}-{n}") not in taken)
        subprocess.run(["git", "clone", "-q", ROOT, folder], check=True, timeout=600)
        # What the developer's own shell and `make test` set must not reach it.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "MAKE"))}
        path = [entry for entry in kept["PATH"].split(os.pathsep) if not entry.startswith(str(ROOT))]
        self.env = {**kept, "PATH": os.pathsep.join(path), "HOST": self.host}

    def run(self, line: str, *, text: str = "", fails: bool = False, timeout: float = 900) -> str:
        """Run a line as it stands in the README; return what it printed."""
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder, env=self.env, input=text, text=True, check=False, timeout=timeout,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, f"{line} ended with {done.returncode}:\n{done.stdout}"
        assert "Traceback" not in done.stdout, done.stdout
        return done.stdout
