"""Runs MDN's HTTP Observatory, the real program, on a site of ours, in the network of a process.

The program is installed once, into the cache, from npm's registry by the lock file in this folder. The
installation runs no scripts. The program's own script would download the list of hosts that browsers preload.
This list has none of our hosts.
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
    """The result of one test of the Observatory, in the Observatory's own words."""

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
        """Return the results that lowered the score, each with its negative points."""
        return {found.result: found.modifier for found in self.findings.values() if found.modifier < 0}


def scan(name: str, address: str, authority: str, network: Path) -> Report:
    """Let the Observatory grade the site of a host name, on ports 80 and 443.

    ``authority`` is the certificate, in PEM, of the authority that signed the site's certificate. ``network``
    is the network namespace in which the Observatory runs, as a path such as /proc/PID/ns/net or
    /run/netns/NAME.
    """
    with tempfile.TemporaryDirectory(prefix="observatory-") as scratch:
        folder = Path(scratch)
        roots = folder / "roots.pem"
        roots.write_text(authority)
        # Not by the package's own command: that puts its own authorities in place of ours.
        argv = [str(shop.node()), str(installed() / _SCANNER / "src" / "scan.js"), name]
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


def installed() -> Path:
    """Return the folder with the Observatory's packages. The first call makes the folder."""
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
