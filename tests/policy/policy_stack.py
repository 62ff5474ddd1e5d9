"""Makes whole stacks for the policy pack, from the settings of the repository and a copy of the program."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import certifi
import yaml

ROOT = Path(__file__).resolve().parents[2]
STACK = "checked"
_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBZR3YwMARMndYt76G09uRhEf3IUq4cur64KMzXlUV5w"
_PARTS = ("components", "portcullis", "policy")


def prod() -> dict[str, Any]:
    """Return the settings of stack prod in the repository."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.prod.yaml").read_text())["config"]
    return config


def lab(folder: Path) -> dict[str, Any]:
    """Return the settings of stack lab with made-up values: both stores, an app, a site, a tunnel."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "index.html").write_text("<title>Shop</title>\n")
    # Use the first authority only, because some other authorities in the bundle are malformed.
    first, end, _ = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----\n")
    bundle = folder / "ca.pem"
    bundle.write_text(first + end)
    text = (ROOT / "lab/stack/Pulumi.lab.yaml").read_text()
    for form, value in (
        (r'@sha256:0"', f'@sha256:{"5f" * 32}"'),
        (r'"ssh-ed25519 AAAA"', f'"{_KEY}"'),
        (r"caBundle: .*", f'caBundle: "{bundle}"'),
        (r"root: .*", f'root: "{site}"'),
    ):
        text, count = re.subn(form, value, text)
        assert count, f"{form} stands in the lab's settings no more"
    config: dict[str, Any] = yaml.safe_load(text)["config"]
    return config


def texts(config: dict[str, Any]) -> dict[str, str]:
    """Return the settings as Pulumi passes them to a program."""
    return {key: json.dumps(value) for key, value in config.items()}


class Checkout:
    """A copy of the program, like a branch in a pull request."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.folder.mkdir()
        for part in _PARTS:
            shutil.copytree(
                ROOT / part, self.folder / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        for file in ("__main__.py", "Pulumi.yaml"):
            shutil.copy2(ROOT / file, self.folder)
        self._written: set[str] = set()

    def edit(self, file: str, before: str, after: str) -> None:
        """Replace one text in a file."""
        text = (self.folder / file).read_text()
        assert text.count(before) == 1, f"{before!r} stands {text.count(before)} times in {file}"
        self.write(file, text.replace(before, after))

    def write(self, file: str, text: str) -> None:
        """Replace the content of a file.

        Python takes a compiled file for current if the source has the same size and the same time in whole
        seconds. A check takes a second, and two changes may have the same size. So the compiled file goes.
        """
        self._written.add(file)
        (self.folder / file).write_text(text)
        Path(cache_from_source(self.folder / file)).unlink(missing_ok=True)

    def restore(self) -> None:
        """Undo the changes."""
        for file in self._written:
            shutil.copy2(ROOT / file, self.folder / file)
        self._written.clear()

    def check(self, config: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command `portcullis policy` on the copy."""
        settings = self.folder / "settings.json"
        printed = {
            key: {"value": value, "secret": key == "portcullis:secrets"}
            for key, value in texts(config).items()
        }
        settings.write_text(json.dumps(printed))
        return subprocess.run(
            [
                sys.executable,
                "-W",
                "ignore",
                "-m",
                "portcullis",
                "policy",
                "--stack",
                STACK,
                "--config",
                settings,
                *arguments,
            ],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
