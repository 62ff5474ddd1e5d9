"""Make this machine ready: Debian packages, virtual environment, Pulumi engine. `make setup` runs it.

What is there already is left as it is, and then this takes well under a second.

    tools/prepare.py             everything
    tools/prepare.py --no-engine without the engine: enough for lint, types and unit tests
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if not __package__:  # started by path, from any folder
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools import engine, packages, venv
from tools.steps import reported


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="tools/prepare.py", description="Make this machine ready.")
    parser.add_argument("--no-engine", action="store_true", help="enough for lint, types and unit tests")
    without_engine = parser.parse_args().no_engine
    with reported():
        packages.ensure(lab=not without_engine, go=not without_engine and engine.find() is None)
        venv.ensure()
        if not without_engine:
            engine.report(engine.ensure())


if __name__ == "__main__":
    main()
