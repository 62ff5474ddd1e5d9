"""Releases of an app: a number for each, and a port on docker0's address that nothing else uses.

What a release consists of is the client's to know: it asks for a new one with a token that it never used
before. The record holds numbers only.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind
from portcullis.agent.step import Step
from portcullis.components.containers.facts import (
    PORTS,
    RUNNING,
    ReleaseDesired,
    ReleaseFacts,
    ReleaseSpec,
)
from portcullis.components.containers.on_host.docker import Container, containers, published

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.step import Json
    from portcullis.agent.store import Record, Store

_LISTENING = "0A"  # proc_net_tcp(5)


@dataclass(frozen=True)
class _Found(ReleaseFacts):
    """What `plan` needs besides: the token that asked for the present release."""

    token: str = ""


class Releases(Kind[ReleaseSpec, ReleaseDesired, ReleaseFacts]):
    """The number and port of each app's present release."""

    spec_type = ReleaseSpec
    desired_type = ReleaseDesired
    facts_type = ReleaseFacts

    def __init__(self, machine: Machine, store: Store) -> None:
        """Need the machine for what listens, and the store for the ports of other releases."""
        super().__init__(machine, store)
        self._lock = threading.Lock()

    def facts(self, questions: Sequence[Question[ReleaseSpec]]) -> Answers[ReleaseFacts]:
        """One question to Docker for all whose container is theirs to watch."""
        known = [dict(record.extra) if record and "number" in record.extra else {} for _, record in questions]
        names = [
            f"{spec.app}-{extra['number']}"
            for (spec, _), extra in zip(questions, known)
            if extra and spec.published
        ]
        try:
            found = containers(self._machine, names)
        except AgentError as error:
            return [error] * len(questions)
        return [_facts(spec, extra, found) for (spec, _), extra in zip(questions, known)]

    def plan(self, desired: ReleaseDesired, facts: ReleaseFacts) -> list[Step]:
        if isinstance(facts, _Found) and facts.token == desired.token:
            return []
        return [Step("number", str(facts.number), str(facts.number + 1), "release")]

    def apply(self, desired: ReleaseDesired, steps: list[Step], work: Work) -> None:
        if not steps:
            return
        extra = work.record.extra
        with self._lock:
            # After what the client remembers: a host that lost its records must not give a name twice.
            number = max(int(extra.get("number", 0)), desired.after) + 1
            port = self._free() if desired.published else 0
            extra.update(number=number, port=port, token=desired.token)
            work.save()

    def remove(self, desired: ReleaseDesired, record: Record, folder: Path) -> str:
        """The numbers begin anew."""
        return "removed"

    def _free(self) -> int:
        """A port that nothing uses: the next after the last that was given, so that none comes back soon."""
        given: set[int] = {
            int(r.extra.get("port", 0)) for r in self._store.all() if r.kind == "containers.releases"
        }
        taken = given | published(self._machine) | self._listening()
        last = max([PORTS.index(port) for port in given if port in PORTS], default=-1)
        ports: list[int] = [*PORTS[last + 1 :], *PORTS[: last + 1]]
        for port in ports:
            if port not in taken:
                return port
        raise AgentError(
            "no-port",
            f"every port from {PORTS[0]} to {PORTS[-1]} is taken",
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


def _facts(spec: ReleaseSpec, extra: Json, found: dict[str, Container]) -> ReleaseFacts:
    if not extra:
        return ReleaseFacts(exists=False)
    one = found.get(f"{spec.app}-{extra['number']}")
    return _Found(
        exists=True,
        number=extra["number"],
        port=extra["port"],
        container=_drift(spec, one) if spec.published else RUNNING,
        token=extra["token"],
    )


def _drift(spec: ReleaseSpec, one: Container | None) -> str:
    """What is wrong with a release's container that only another one mends: its name and port are taken."""
    if one is None:
        return "absent"
    if not one.running:
        return one.status
    # The one limit that Docker's provider replaces a container for and `docker update` changes.
    billionths = round(float(spec.cpus) * 10**9)
    return RUNNING if one.cpus == billionths else f"running with {one.cpus / 10**9:g} CPUs"
