"""Releases of an app. Each release has a number, and an unused port on docker0's address.

Only the deploying machine knows the definition of a release. The deploying machine requests a new release
with a token that it never used before. The agent's record on the host contains only the number, the port and
the token.
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

_LISTENING = "0A"  # the state LISTEN in /proc/net/tcp


@dataclass(frozen=True)
class _Found(ReleaseFacts):
    """The facts of a release, with the token that requested the present release.

    `plan` compares this token.
    """

    token: str = ""


class Releases(Kind[ReleaseSpec, ReleaseDesired, ReleaseFacts]):
    """The number and port of each app's present release."""

    spec_type = ReleaseSpec
    desired_type = ReleaseDesired
    facts_type = ReleaseFacts

    def __init__(self, machine: Machine, store: Store) -> None:
        """Create the lock that keeps two releases from taking the same port."""
        super().__init__(machine, store)
        self._lock = threading.Lock()

    def facts(self, questions: Sequence[Question[ReleaseSpec]]) -> Answers[ReleaseFacts]:
        """Read the containers of all numbered releases with one call to Docker."""
        known = [dict(record.extra) if record and "number" in record.extra else {} for _, record in questions]
        names = [
            f"{spec.app}-{extra['number']}"
            for (spec, _), extra in zip(questions, known, strict=True)
            if extra and (spec.published or spec.numbered)
        ]
        try:
            found = containers(self._machine, names)
        except AgentError as error:
            return [error] * len(questions)
        return [_facts(spec, extra, found) for (spec, _), extra in zip(questions, known, strict=True)]

    def plan(self, desired: ReleaseDesired, facts: ReleaseFacts) -> list[Step]:
        if isinstance(facts, _Found) and facts.token == desired.token:
            return []
        return [Step("number", str(facts.number), str(facts.number + 1), "release")]

    def apply(self, desired: ReleaseDesired, steps: list[Step], work: Work) -> None:
        if not steps:
            return
        extra = work.record.extra
        with self._lock:
            # The number is also greater than the deploying machine's last number, because a host that lost
            # its records must not repeat a name.
            number = max(int(extra.get("number", 0)), desired.after) + 1
            port = self._free() if desired.published else 0
            extra.update(number=number, port=port, token=desired.token)
            work.save()

    def remove(self, desired: ReleaseDesired, record: Record, folder: Path) -> str:
        """Forget the release numbers of an app. The next release gets number 1 again."""
        return "removed"

    def _free(self) -> int:
        """Return an unused port for a release.

        The search begins after the highest port that a release has. So a port that has just become free is
        not used again soon.
        """
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
            f"the host has no free port between {PORTS[0]} and {PORTS[-1]} for the new container",
            prop="port",
            hint="remove old containers: `docker ps -a` lists all containers of the host",
        )

    def _listening(self) -> set[int]:
        found = set()
        for name in ("tcp", "tcp6"):
            try:
                lines = (self._machine.proc_sys.parent / "net" / name).read_text("ascii").splitlines()[1:]
            except OSError:
                continue  # this kernel has no IPv6
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
        container=_drift(spec, one) if spec.published or spec.numbered else RUNNING,
        token=extra["token"],
    )


def _drift(spec: ReleaseSpec, one: Container | None) -> str:
    """Return a fault of a release's container that only a new release can fix."""
    if one is None:
        return "absent"
    if not one.running:
        return one.status
    # `docker update` changes this limit, but Docker's provider would replace the container to change it back.
    billionths = round(float(spec.cpus) * 10**9)
    return RUNNING if one.cpus == billionths else f"running with {one.cpus / 10**9:g} CPUs"
