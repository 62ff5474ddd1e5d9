"""Start a stand-in: `python lab/plugins docker|tls|command [ENGINE_ADDRESS]`, as the launchers in bin/ do."""

from __future__ import annotations

import sys
from pathlib import Path

# Python runs this folder, so sys.path[0] is lab/plugins. The imported packages are below the checkout's root.
sys.path[0] = str(Path(__file__).resolve().parents[2])

if __name__ == "__main__":
    from lab.plugins.serve import main

    main(sys.argv[1:])
