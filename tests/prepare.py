"""Fetches and builds what the tests need, so that no test waits for it: `python -m tests.prepare`.

What is in the cache takes no time. tools/engine.py builds Pulumi's engine.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from lab import debian, machine, mariadb, postgres, shop, wordpress
from lab.errors import LabError
from lab.processes import this_process
from tests.observatory import scan
from tests.package import installed
from tests.proxy import roots
from tools import golang, mongo, programs
from tools.steps import ROOT, StepError, say

if TYPE_CHECKING:
    from collections.abc import Callable

TRIES = 3
_TOOLS = ROOT / "tools"


def _packages() -> None:
    """Fetch packages of Debian one by one, because apt has one lock."""
    debian.program("pebble", "/usr/bin/pebble")
    debian.program("pebble", "/usr/bin/pebble-challtestsrv")
    debian.program("docker-registry", "/usr/bin/docker-registry")
    debian.program("busybox-static", "/bin/busybox")
    debian.tree("redis-server", "redis-tools")
    debian.tree("libstdc++6", "libc6", "libgcc-s1")


def _file_systems() -> None:
    """Make the root file systems of hosts and of images, which need the lab's gateway."""
    machine.prepare()
    systems = [wordpress.SYSTEM, *mariadb.SYSTEMS.values(), *postgres.SYSTEMS.values()]
    if missing := [system for system in systems if not system.tar.exists()]:
        machine.join(lease := this_process())
        try:
            for system in missing:
                system.ready()
        finally:
            machine.leave(lease)


def _environments() -> None:
    """Make the virtual environments one by one, because all of them have one lock."""
    for name in ("sslyze", "s3", "workflows"):
        programs.installed(_TOOLS / f"requirements-{name}.txt")
    installed.with_dependencies()


STEPS: tuple[Callable[[], object], ...] = (
    mongo.server,
    _file_systems,
    _environments,
    _packages,
    partial(roots.root, "debian-12"),
    partial(roots.root, "debian-13"),
    shop.site,
    shop.modules,
    scan.installed,
    partial(golang.tool, _TOOLS / "go/actionlint", "github.com/rhysd/actionlint/cmd/actionlint"),
    mongo.programs,
)
"""Slow ones come first."""
_interrupted = threading.Event()


def tried(step: Callable[[], object], pause: float = 5) -> str:
    """Run a step, three times if it fails, and return why it failed, or ""."""
    for left in reversed(range(TRIES)):
        try:
            step()
        except (LabError, StepError, OSError) as error:
            why = str(error)
            if left:
                say(f"note: {why}; it is tried again in {pause:.0f} s")
                if _interrupted.wait(pause):
                    break
        else:
            return ""
    return why


def main() -> None:
    """Run all steps, three at once.

    Raises:
        SystemExit: a step failed three times.
    """
    with ThreadPoolExecutor(3) as pool:
        try:
            failed = [why for why in pool.map(tried, STEPS) if why]
        except KeyboardInterrupt:
            _interrupted.set()
            pool.shutdown(cancel_futures=True)
            sys.exit(130)
    if failed:
        sys.exit("\n".join(f"error: {why}" for why in failed))


if __name__ == "__main__":
    main()
