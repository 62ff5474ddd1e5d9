"""Make this machine ready: Debian packages, virtual environment, Pulumi engine. `make setup` runs it.

What is there already is left as it is, and then this takes well under a second.

    tools/prepare.py             everything, saying which engine and plugins are used
    tools/prepare.py --no-engine without the engine: enough for lint, types and unit tests
    tools/prepare.py --tests     everything, and what only the tests need
    tools/prepare.py --quiet     everything, and not a word when it is there
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
    parser.add_argument("--tests", action="store_true", help="with what only the tests need: a browser")
    parser.add_argument("--quiet", action="store_true", help="say nothing when everything is there")
    chosen = parser.parse_args()
    with reported():
        ready = None if chosen.no_engine else engine.find()
        go = ready is None or not mongo.built()
        packages.ensure(lab=not chosen.no_engine, go=go and not chosen.no_engine)
        if chosen.tests:
            packages.ensure_for_tests()
        venv.ensure()
        if not chosen.no_engine and not (chosen.quiet and ready):
            engine.report(engine.ensure())
        if chosen.tests:  # now, and not while a test waits for them
            mongo.server()
            mongo.programs()


if __name__ == "__main__":
    main()
