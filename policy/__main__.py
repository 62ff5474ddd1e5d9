"""Where Pulumi starts the policy pack: `pulumi preview --policy-pack policy`."""

from __future__ import annotations

import sys
from pathlib import Path

# Pulumi runs this folder as a program; it is a package of the checkout around it.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from portcullis.policy.pack import serve

if __name__ == "__main__":
    serve()
