"""Notes every command line and environment of the machine, again and again, until its input ends.

A program of its own: what it watches must not wait for it, nor it for the test. The argument is a folder.
What is new goes to a file there that is named `SIDE WHAT PROGRAM`: SIDE is "host" or "deployer", by the
namespace.
"""

from __future__ import annotations

import select
import sys
from pathlib import Path


def main(folder: str) -> None:
    """Watch."""
    ours = Path("/proc/self/ns/pid").readlink()
    known: set[int] = set()
    sides: dict[str, str] = {}
    rounds = 0
    while not select.select([sys.stdin], [], [], 0.001)[0]:
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
