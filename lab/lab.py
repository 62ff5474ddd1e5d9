#!/usr/bin/env python3
"""The lab's program: `python3 lab/lab.py --help`."""

from __future__ import annotations

import sys
from pathlib import Path

# Python puts this folder first, where `lab` would be this file instead of the package. So remove this folder
# from sys.path.
sys.path[:] = [str(Path(__file__).resolve().parent.parent)] + [
    entry for entry in sys.path if entry and Path(entry).resolve() != Path(__file__).resolve().parent
]

from lab.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
