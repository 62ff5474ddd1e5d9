"""Fetches and builds what the tests need, so that no test waits for a network: `python -m tests.prepare`.

What is in the cache takes no time. Pulumi's engine and MongoDB's stand-in are made by tools/prepare.py.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from lab import debian, machine, shop
from lab.errors import LabError
from tests.observatory import scan
from tests.package import installed
from tests.proxy import roots
from tools import golang, mongo, programs
from tools.steps import ROOT, StepError, say

if TYPE_CHECKING:
    from collections.abc import Callable

TRIES = 3
_TOOLS = ROOT / "tools"
# Slow ones first. All environments have one lock, so they are one step.
STEPS: tuple[Callable[[], object], ...] = (
    mongo.server,
    machine.prepare,
    lambda: [
        programs.installed(_TOOLS / f"requirements-{name}.txt") for name in ("sslyze", "s3", "workflows")
    ],
    partial(roots.root, "debian-12"),
    partial(roots.root, "debian-13"),
    shop.site,
    shop.modules,
    scan.installed,
    installed.with_dependencies,
    partial(golang.tool, _TOOLS / "go/actionlint", "github.com/rhysd/actionlint/cmd/actionlint"),
    mongo.programs,
    partial(debian.program, "pebble", "/usr/bin/pebble"),
    partial(debian.program, "pebble", "/usr/bin/pebble-challtestsrv"),
    partial(debian.program, "docker-registry", "/usr/bin/docker-registry"),
    partial(debian.program, "busybox-static", "/bin/busybox"),
    partial(debian.tree, "redis-server", "redis-tools"),
)


def tried(step: Callable[[], object], pause: float = 5) -> str:
    """Run a step, three times if it fails, and return why it failed, or ""."""
    for left in reversed(range(TRIES)):
        try:
            step()
        except (LabError, StepError, OSError) as error:
            why = str(error)
            if left:
                say(f"note: {why}; it is tried again in {pause:.0f} s")
                time.sleep(pause)
        else:
            return ""
    return why


def main() -> None:
    """Run all steps, three at once.

    Raises:
        SystemExit: a step failed three times.
    """
    with ThreadPoolExecutor(3) as pool:
        failed = [why for why in pool.map(tried, STEPS) if why]
    if failed:
        sys.exit("\n".join(f"error: {why}" for why in failed))


if __name__ == "__main__":
    main()
