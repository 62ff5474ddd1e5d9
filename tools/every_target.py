"""Start every target of the Makefile once, so that no broken one stays unnoticed. It runs at night.

It writes files of the checkout (`make golden`, `make lock`), so run it in a clone that nobody needs.

    python3 tools/every_target.py [target ...]
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

if not __package__:  # started by path, from any folder
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.steps import ROOT, say

EXCLUDED = {
    "test-all": "the night runs it beside this script",
    "rollback": "it needs an app that has had two images, as in tests/e2e/stack/test_stack_change.py",
}
"""Targets that do not start here, each with its reason."""
ARGUMENTS = {
    "password": ["STORE=redis"],
    "fuzz": ["FUZZ=50", "PYTEST=-k test_quoting"],
    "e2e": ["PYTEST=-k test_engine"],
    "e2e-docker29": ["PYTEST=-k test_gateway_modes"],
    "drill": ["PYTEST=-k v6-only"],
    "drill-inventory": ["PYTEST=-k test_all_changes_together"],
    "torture": ["KILLS=2", "RACES=1", "PYTEST=-k 'not test_drill'"],
    "mutants": ["MUTANTS=policy/secrets --most 3"],
}
"""What a target needs, or what keeps it short: here it only has to start and to end well."""
LAST = ("destroy", "down")
"""They take away the host that the others use."""
LIMIT = 5400


def targets(makefile: str) -> list[str]:
    """Return the targets that `make help` lists, in an order in which they can run."""
    found = re.findall(r"^([a-z0-9-]+):.*## ", makefile, re.MULTILINE)
    return sorted(found, key=lambda target: (target in LAST, found.index(target)))


def start(target: str, folder: Path) -> bool:
    """Run a target, and return whether it ended well."""
    argv = ["make", target, *ARGUMENTS.get(target, ())]
    say(f"==> {argv}")
    began = time.monotonic()
    with subprocess.Popen(argv, cwd=folder, stdin=subprocess.DEVNULL, start_new_session=True) as running:
        try:
            code = running.wait(LIMIT)
        except subprocess.TimeoutExpired:
            code = 124
            os.killpg(running.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                running.wait(120)
        finally:
            with suppress(ProcessLookupError):  # also what an ended `make` has left
                os.killpg(running.pid, signal.SIGKILL)
    say(f"    ended with {code} after {time.monotonic() - began:.0f} s")
    return code == 0


def main(chosen: list[str], folder: Path = ROOT) -> int:
    """Start the chosen targets, or all of them. Return 1 if one failed; the others run nevertheless."""
    all_of_them = targets((folder / "Makefile").read_text())
    failed = [
        target
        for target in all_of_them
        if (target in chosen if chosen else target not in EXCLUDED) and not start(target, folder)
    ]
    for target, reason in EXCLUDED.items():
        say(f"NOT STARTED  make {target}: {reason}")
    for target in failed:
        say(f"FAILED  make {target}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
