"""Make this machine ready: Debian packages, virtual environment, Pulumi engine. `make setup` runs it.

The script changes nothing that exists already. If everything exists, it takes less than a second.

- `tools/prepare.py`: everything, and print which engine and plugins are used
- `tools/prepare.py --no-engine`: everything except the engine: enough for lint, types and unit tests
- `tools/prepare.py --tests`: everything except the engine, plus the packages that only the tests need
- `tools/prepare.py --quiet`: everything, and print nothing if all of it exists
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if not __package__:  # started by path, from any folder
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools import engine, mongo, packages, venv
from tools.steps import reported


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="tools/prepare.py", description="Make this machine ready.")
    parser.add_argument("--no-engine", action="store_true", help="enough for lint, types and unit tests")
    parser.add_argument("--tests", action="store_true", help="packages for the tests, and no engine")
    parser.add_argument("--quiet", action="store_true", help="print nothing if everything exists")
    chosen = parser.parse_args()
    with reported():
        ready = None if chosen.no_engine else engine.find()
        go = ready is None or not mongo.built()
        packages.ensure(lab=not chosen.no_engine, go=go and not chosen.no_engine)
        if chosen.tests:
            packages.ensure_for_tests()
        venv.ensure()
        if not (chosen.no_engine or chosen.tests) and not (chosen.quiet and ready):
            engine.report(engine.ensure())


if __name__ == "__main__":
    main()
