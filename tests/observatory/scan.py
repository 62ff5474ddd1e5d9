"""MDN's HTTP Observatory on a host of ours: the real program, in the network that the host is in.

It is installed from npm's registry by the lock file beside this, once, into the cache. What it does after an
installation is left out: it would download which hosts browsers have preloaded, and none of ours is.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from lab import shop
from lab.places import cache, made
from tests.proxy import resolved
from tools.steps import locked

if TYPE_CHECKING:
    from collections.abc import Mapping

_HERE = Path(__file__).resolve().parent
_LISTS = ("package.json", "package-lock.json")
_SCANNER = Path("node_modules/@mdn/mdn-http-observatory")
_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Finding:
    """What one of its tests came to, in the Observatory's own words."""

    result: str
    passed: bool
    modifier: int  # of the score


@dataclass(frozen=True, slots=True)
class Report:
    """A grade such as A+, the score behind it (100 and more is A+), and the tests by name."""

    grade: str
    score: int
    findings: Mapping[str, Finding]

    def against(self) -> dict[str, int]:
        """Return what took from the score, and how much."""
        return {found.result: found.modifier for found in self.findings.values() if found.modifier < 0}


def scan(name: str, address: str, authority: str, network: Path) -> Report:
    """Grade the site of a host name, by its ports 80 and 443.

    ``authority`` is the PEM of the one that signed its certificate; ``network`` is that of who looks, as a
    file such as /proc/PID/ns/net or /run/netns/NAME.
    """
    with tempfile.TemporaryDirectory(prefix="observatory-") as scratch:
        folder = Path(scratch)
        roots = folder / "roots.pem"
        roots.write_text(authority)
        # Not by the package's own command: that puts its own authorities in place of ours.
        argv = [str(shop.node()), str(_installed() / _SCANNER / "src" / "scan.js"), name]
        done = subprocess.run(
            resolved.command(network, {name: address}, folder, *argv),
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NODE_EXTRA_CA_CERTS": str(roots)},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return _report(done.stdout)


def _report(said: str) -> Report:
    told = json.loads(said)
    assert "scan" in told, said
    return Report(
        told["scan"]["grade"],
        told["scan"]["score"],
        {
            name: Finding(found["result"], found["pass"], found["scoreModifier"])
            for name, found in told["tests"].items()
        },
    )


def _installed() -> Path:
    """Return the folder with its packages, made on first use."""
    key = sha256(b"".join((_HERE / name).read_bytes() for name in _LISTS)).hexdigest()[:16]
    kept = made(cache() / "observatory") / key
    with locked(kept.parent, "the HTTP Observatory"):
        if not kept.exists():
            with tempfile.TemporaryDirectory(dir=kept.parent, prefix="building-") as scratch:
                fresh = made(Path(scratch) / "packages")
                for name in _LISTS:
                    (fresh / name).write_bytes((_HERE / name).read_bytes())
                shop.npm("installing the HTTP Observatory", fresh, "ci", "--omit=dev", "--ignore-scripts")
                (fresh / _SCANNER / "conf" / "hsts-preload.json").write_text("{}\n")
                fresh.rename(kept)
    return kept
