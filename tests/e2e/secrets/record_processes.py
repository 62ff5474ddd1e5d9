"""Notes every command line and environment of the machine, again and again, until its input ends.

A program of its own: what it watches must not wait for it, nor it for the test. The argument is a folder. What
is new goes to a file there that is named `SIDE WHAT PROGRAM`: SIDE is "host" or "deployer", by the namespace.
"""

from __future__ import annotations

import os
import select
import sys


def main(folder: str) -> None:
    """Watch."""
    ours = os.readlink("/proc/self/ns/pid")
    known: set[int] = set()
    sides: dict[str, str] = {}
    rounds = 0
    files = {}
    while not select.select([sys.stdin], [], [], 0.001)[0]:
        rounds += 1
        pids = [name for name in os.listdir("/proc") if name.isdigit()]
        for pid in pids:
            for what in ("cmdline", "environ"):
                try:
                    with open(f"/proc/{pid}/{what}", "rb", 0) as file:
                        text = file.read(1 << 20)
                    mark = hash((what, text))
                    if not text or mark in known:
                        continue
                    if pid not in sides:
                        here = os.readlink(f"/proc/{pid}/ns/pid") == ours
                        sides[pid] = "deployer" if here else "host"
                    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                        program = "".join(
                            c if c.isalnum() or c in "-._" else "_" for c in file.read().strip()
                        )
                except OSError:
                    continue
                known.add(mark)
                name = f"{sides[pid]} {what} {program}"
                if name not in files:
                    files[name] = open(os.path.join(folder, name), "ab", 0)
                files[name].write(text.replace(b"\0", b"\n") + b"\n")
        for gone in sides.keys() - set(pids):
            del sides[gone]
    with open(os.path.join(folder, "rounds"), "w") as file:
        file.write(f"{rounds} {len(known)}\n")


if __name__ == "__main__":
    main(sys.argv[1])
