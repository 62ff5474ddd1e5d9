"""Lock the Python packages: each requirements*.in becomes a requirements*.txt with hashes.

`make lock` runs it. A lock is valid for every Python that the package supports, and for every platform. With
hashes, pip accepts only files that have one of these hashes. With `--only-binary`, pip builds no package,
because a build would run the package's code. A locked version changes only if it no longer fits, or if uv
gets a flag, as in make lock LOCK='--upgrade-package rich'
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

if not __package__:  # this script is started by its path, from any folder
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools import programs
from tools.steps import ROOT, reported

_FLAGS = (
    *(
        "--universal",
        "--python-version",
        "3.11",
        "--generate-hashes",
        "--no-annotate",
        "--no-config",
        "--quiet",
    ),
    *("--only-binary", ":all:", "--no-header"),
)
_HEADER = "# Written by `make lock` from {}.\n--only-binary :all:\n{}\n"


def sources() -> list[Path]:
    """Return the requirements files that people edit.

    The program's file comes first, because its lock constrains the other files.
    """
    found: list[Path] = []
    for folder in (ROOT, ROOT / "tools", ROOT / "benchmarks"):
        found += sorted(folder.glob("requirements*.in"), key=lambda path: path.stem)
    return found


def main() -> None:
    """Run the command line. Further arguments are passed to uv."""
    with reported():
        uv = programs.installed(ROOT / "tools/requirements-lock.txt") / "uv"
        for source in sources():
            argv = [str(uv), "pip", "compile", *_FLAGS, *sys.argv[1:]]
            lock = source.with_suffix(".txt")
            argv += [source.name, "--output-file", lock.name]
            code = subprocess.run(argv, cwd=source.parent, check=False).returncode
            if code:
                raise SystemExit(code)
            # After "all", because for pip "all" replaces earlier lines.
            built = re.findall(r"^--no-binary .*\n", source.read_text(), re.MULTILINE)
            lock.write_text(_HEADER.format(source.name, "".join(built)) + lock.read_text())


if __name__ == "__main__":
    main()
