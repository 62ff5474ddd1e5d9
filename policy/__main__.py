"""The program of the policy pack, which Pulumi starts: `pulumi preview --policy-pack policy`."""

from __future__ import annotations

import sys
from pathlib import Path

# Pulumi runs this folder as a program, but its modules belong to the package of the checkout.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from portcullis.policy.pack import serve

if __name__ == "__main__":
    serve()
