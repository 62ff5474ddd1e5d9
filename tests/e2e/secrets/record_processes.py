"""Records every command line and environment on the machine, again and again, until its input ends.

The recorder is a separate program, so that the test does not slow the recorder down. The argument of the
program is a folder. New texts go into a file `SIDE WHAT PROGRAM` in this folder. SIDE is "host" for processes
of a lab host, and "deployer" for all others.
"""

from __future__ import annotations

import select
import sys
from pathlib import Path


def main(folder: str) -> None:
    """Record processes until the input ends."""
    ours = Path("/proc/self/ns/pid").readlink()
    known: set[int] = set()
    sides: dict[str, str] = {}
    rounds = 0
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        rounds += 1
        pids = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        for pid in pids:
            for what in ("cmdline", "environ"):
                try:
                    text = Path(f"/proc/{pid}/{what}").read_bytes()
                    mark = hash((what, text))
                    if not text or mark in known:
                        continue
                    if pid not in sides:
                        here = Path(f"/proc/{pid}/ns/pid").readlink() == ours
                        sides[pid] = "deployer" if here else "host"
                    comm = Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
                except OSError:
                    continue
                known.add(mark)
                program = "".join(letter if letter.isalnum() or letter in "-._" else "_" for letter in comm)
                with Path(folder, f"{sides[pid]} {what} {program}").open("ab") as file:
                    file.write(text.replace(b"\0", b"\n") + b"\n")
        for gone in sides.keys() - set(pids):
            del sides[gone]
    Path(folder, "rounds").write_text(f"{rounds} {len(known)}\n")


if __name__ == "__main__":
    main(sys.argv[1])
