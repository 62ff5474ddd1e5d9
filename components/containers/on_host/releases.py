"""Releases of an app: a number for each, and a port on docker0's address that nothing else uses.

What a release consists of is the client's to know: it asks for a new one with a token that it never used
before. The record holds numbers only.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from portcullis.agent.errors import HostError
from portcullis.agent.kind import Kind
from portcullis.agent.step import Json, Step
from portcullis.components.containers.on_host.docker import Container, containers, published

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record, Store

# Below the ephemeral ones, which Linux begins at 32768, and registered for nothing that people run.
FIRST, LAST = 28000, 28999
_LISTENING = "0A"  # proc_net_tcp(5)


class Releases(Kind[Json, Json, Json]):
    """The kind ``release``."""

    def __init__(self, machine: Machine, store: Store) -> None:
        """Need the machine for what listens, and the store for the ports of other releases."""
        super().__init__(machine, store)
        self._lock = threading.Lock()

    def spec(self, item: str, desired: Json) -> Json:
        return {"app": item, "published": bool(desired["published"]), "cpus": str(desired["cpus"])}

    def facts(self, questions: Sequence[Question[Json]]) -> Answers[Json]:
        """One question to Docker for all whose container is theirs to watch."""
        known = [dict(record.extra) if record and "number" in record.extra else {} for _, record in questions]
        names = [
            f"{spec['app']}-{extra['number']}"
            for (spec, _), extra in zip(questions, known)
            if extra and spec["published"]
        ]
        try:
            found = containers(self._machine, names)
        except HostError as error:
            return [error] * len(questions)
        return [_facts(spec, extra, found) for (spec, _), extra in zip(questions, known)]

    def plan(self, desired: Json, facts: Json) -> list[Step]:
        if facts.get("_token") == desired["token"]:
            return []
        number = facts.get("number", 0)
        return [Step("number", str(number), str(number + 1), "release")]

    def obstacle(self, desired: Json, facts: Json) -> HostError | None:
        return None

    def is_unmodified_default(self, item: str, facts: Json) -> bool:
        return True

    def original(self, item: str, facts: Json, folder: Path) -> Json:
        return {}

    def apply(self, desired: Json, steps: list[Step], work: Work) -> None:
        if not steps:
            return
        extra = work.record.extra
        with self._lock:
            # After what the client remembers: a host that lost its records must not give a name twice.
            number = max(int(extra.get("number", 0)), int(desired.get("after") or 0)) + 1
            port = self._free() if desired["published"] else 0
            extra.update(number=number, port=port, token=desired["token"])
            work.save()

    def remove(self, desired: Json, record: Record, folder: Path) -> str:
        """The numbers begin anew."""
        return "removed"

    def _free(self) -> int:
        """A port that nothing uses: the next after the last that was given, so that none comes back soon."""
        given: set[int] = {
            int(r.extra.get("port", 0)) for r in self._store.all() if r.kind == "containers.releases"
        }
        taken = given | published(self._machine) | self._listening()
        start = max([port for port in given if FIRST <= port <= LAST], default=LAST)
        ports: list[int] = [*range(start + 1, LAST + 1), *range(FIRST, start + 1)]
        for port in ports:
            if port not in taken:
                return port
        raise HostError(
            "no-port",
            f"every port from {FIRST} to {LAST} is taken",
            prop="port",
            hint="`docker ps -a` shows what was left behind",
        )

    def _listening(self) -> set[int]:
        found = set()
        for name in ("tcp", "tcp6"):
            try:
                lines = (self._machine.proc_sys.parent / "net" / name).read_text("ascii").splitlines()[1:]
            except OSError:
                continue  # a kernel without IPv6
            for line in lines:
                _, local, _, state = line.split()[:4]
                if state == _LISTENING:
                    found.add(int(local.rsplit(":", 1)[1], 16))
        return found


def _facts(spec: Json, extra: Json, found: dict[str, Container]) -> Json:
    if not extra:
        return {"exists": False}
    name = f"{spec['app']}-{extra['number']}"
    return {
        "exists": True,
        "number": extra["number"],
        "port": extra["port"],
        "container": _drift(spec, found.get(name)) if spec["published"] else "running",
        "_token": extra["token"],
    }


def _drift(spec: Json, one: Container | None) -> str:
    """What is wrong with a release's container that only another one mends: its name and port are taken."""
    if one is None:
        return "absent"
    if not one.running:
        return one.status
    # The one limit that Docker's provider replaces a container for and `docker update` changes.
    billionths = round(float(spec["cpus"]) * 10**9)
    return "running" if one.cpus == billionths else f"running with {one.cpus / 10**9:g} CPUs"
