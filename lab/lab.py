#!/usr/bin/env python3
"""The lab's program: `python3 lab/lab.py --help`."""

from __future__ import annotations

import sys
from pathlib import Path

# Run as a file, Python would put this folder first, where `lab` is this file and not the package.
sys.path[:] = [str(Path(__file__).resolve().parent.parent)] + [
    entry for entry in sys.path if entry and Path(entry).resolve() != Path(__file__).resolve().parent
]

from lab.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
