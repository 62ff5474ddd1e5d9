"""The properties of a container that Docker's provider does not manage: process limit, networks and health.

Another resource creates the container. Then this module does three things. First, this module sets the
process limit on the running container. Docker keeps the limit over restarts. Second, this module connects
networks to the running container, and disconnects others. Third, this module waits until the container is
healthy, or until a job has ended.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind
from portcullis.agent.redaction import CONTAINER, SECRET
from portcullis.agent.step import Step
from portcullis.components.containers.facts import (
    FORMER,
    JOINED,
    ContainerStateDesired,
    ContainerStateFacts,
    ContainerStateSpec,
)
from portcullis.components.containers.on_host.docker import Container, containers, docker, last_words
from portcullis.components.containers.on_host.lacks import lacks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.store import Record

_UPDATE_TIMEOUT = 60.0
# Docker doubles the pause before each restart, from 0.1 s. So this many restarts are more than 20 s of
# immediate crashes.
_RESTARTS = 8
_ILLEGAL = 132  # the exit code after SIGILL: 128 and the number of the signal
_TRIES = 3
_MOST_FORMER = 20  # each `up` that fails leaves one


class ContainerStates(Kind[ContainerStateSpec, ContainerStateDesired, ContainerStateFacts]):
    """The process limit, the networks and the status of containers that other resources create."""

    spec_type = ContainerStateSpec
    desired_type = ContainerStateDesired
    facts_type = ContainerStateFacts

    def facts(self, questions: Sequence[Question[ContainerStateSpec]]) -> Answers[ContainerStateFacts]:
        """Read all containers with one call to Docker."""
        try:
            found = containers(self._machine, sorted({spec.container for spec, _ in questions}))
        except AgentError as error:
            return [error] * len(questions)
        links = [record for record in self._store.all() if record.kind == "containers.links"]
        return [
            _facts(
                spec,
                found.get(spec.container),
                {link.id for link in links if record and link.spec.get("server") == record.id},
            )
            for spec, record in questions
        ]

    def plan(self, desired: ContainerStateDesired, facts: ContainerStateFacts) -> list[Step]:
        if not facts.exists:
            return [Step("container", "absent", desired.container, "refuse")]
        steps = []
        if facts.pids not in ("", desired.pids):
            steps.append(Step("pids", facts.pids, desired.pids, "set"))
        if desired.networks is not None:
            have = facts.networks or {}
            for network in sorted(desired.networks.keys() ^ have.keys()):
                states = ("absent", JOINED) if network in desired.networks else (JOINED, "absent")
                steps.append(Step(f"networks.{network}", *states, "join" if states[1] == JOINED else "leave"))
        if facts.status != desired.status:
            steps.append(Step("status", facts.status, desired.status, "wait"))
        return steps

    def obstacle(self, desired: ContainerStateDesired, facts: ContainerStateFacts) -> AgentError | None:
        if not facts.exists:
            return AgentError(
                "invalid",
                f"there is no container {desired.container} on the host",
                prop="container",
                hint="somebody removed the container during the deployment; run `up` again",
            )
        if desired.container_id and facts.container_id != desired.container_id:
            return AgentError(
                "invalid",
                f"the container {desired.container} on the host is not the declared one: its id differs",
                prop="container_id",
                hint="somebody replaced the container during the deployment; run `up` again",
            )
        return None

    def is_unmodified_default(self, item: str, facts: ContainerStateFacts) -> bool:
        """Return True: another resource has just created the container, and nobody else has changed it."""
        return True

    def apply(self, desired: ContainerStateDesired, steps: list[Step], work: Work) -> None:
        """Set the process limit first, because a container may need a while to become healthy."""
        extra, former = work.record.extra, work.record.extra.get(CONTAINER)
        if former and former != desired.container_id:
            extra[FORMER] = [former, *extra.get(FORMER, [])][:_MOST_FORMER]
        extra |= {SECRET: desired.secret, CONTAINER: desired.container_id}
        work.save()  # save before the wait: meanwhile the preview key must see only what it may see
        done = {step.prop for step in steps}
        if "pids" in done:
            self._limit(desired)
        for step in steps:
            if step.action in ("join", "leave"):
                self._move(desired, step)
        if "status" in done:
            self._wait(desired)

    def _limit(self, desired: ContainerStateDesired) -> None:
        """Set the process limit. Docker refuses if the program has ended and Docker does not know it yet."""
        begun, tries = time.monotonic(), 0
        while True:
            limit = ("update", "--pids-limit", desired.pids, desired.container)
            said, tries = docker(self._machine, *limit, timeout=_UPDATE_TIMEOUT), tries + 1
            if not said.code:
                return
            now, waited = self._look(desired.container), time.monotonic() - begun
            if now.restarts >= _RESTARTS or (now.restarts and waited > float(desired.within)):
                raise self._failed(desired, now, waited)
            # A program that ends again and again is told by its log. For all else Docker has the reason.
            is_over = tries >= _TRIES and not now.restarts
            if is_over or self._machine.alone.wait(self._machine.settle / 2):
                why = f"Docker cannot set the process limit of the container {desired.container}"
                raise AgentError("docker", why, prop="pids", detail=said.text)

    def _move(self, desired: ContainerStateDesired, step: Step) -> None:
        """Connect a running container to a network, or disconnect it.

        The container's other connections stay open.
        """
        name, network = desired.container, step.prop.partition(".")[2]
        # Other containers look the container up by this name, without the number of its release.
        verb = ["connect", "--alias", desired.item] if step.action == "join" else ["disconnect"]
        said = docker(self._machine, "network", *verb, network, name, timeout=_UPDATE_TIMEOUT)
        if said.code:
            raise AgentError(
                "docker", f"the container {name} cannot {step.action} the network {network}", prop="networks",
                detail=said.text,
            )  # fmt: skip

    def remove(self, desired: ContainerStateDesired, record: Record, folder: Path) -> str:
        """Change nothing: the limit and the connections to networks end with the container."""
        return "kept"

    def _wait(self, desired: ContainerStateDesired) -> None:
        """Wait until the container has the expected status."""
        name, want, begun = desired.container, desired.status, time.monotonic()
        first = self._look(name)
        if first.state.get("Status") == "created" or (want == "healthy" and _stopped(first)):
            docker(self._machine, "start", name, timeout=_UPDATE_TIMEOUT)
        while True:
            now = self._look(name)
            if now.status == want:
                return
            if desired.expects == "exited" and _stopped(now):
                raise self._failed_job(name, now)
            waited = time.monotonic() - begun
            if waited > float(desired.within) or now.restarts - first.restarts >= _RESTARTS:
                raise self._failed(desired, now, waited)
            if self._machine.alone.wait(self._machine.settle / 2):
                raise AgentError(
                    "interrupted",
                    f"the deployment was interrupted while it waited for the container {name}",
                    prop="status",
                )

    def _look(self, name: str) -> Container:
        found = containers(self._machine, [name]).get(name)
        if found is None:
            raise AgentError(
                "docker",
                f"the container {name} disappeared during the deployment",
                prop="status",
                hint="run `up` again",
            )
        return found

    def _failed(self, desired: ContainerStateDesired, found: Container, waited: float) -> AgentError:
        want = "healthy" if desired.expects == "healthy" else "done"
        fault, detail = self._evidence(found)
        return AgentError(
            "unhealthy",
            f"the container {found.name} is not {want} after {waited:.0f} s: {fault}",
            prop="status",
            hint="nothing that depends on it was changed; fix the image or its settings and run `up` again",
            detail=detail,
        )

    def _failed_job(self, name: str, found: Container) -> AgentError:
        fault, detail = self._evidence(found)
        error = AgentError(
            "failed-job",
            f"the job {name} failed: {fault}",
            prop="status",
            hint="nothing that depends on it was changed; fix the job and run `up` again to repeat it",
            detail=detail,
        )
        # The error has its output now. We remove the container: if it stayed, an `up` with the same settings
        # would only find the old failure.
        docker(self._machine, "container", "rm", name)
        return error

    def _evidence(self, found: Container) -> tuple[str, str]:
        """Return what is wrong with a container, as one line, and what the container printed."""
        said, log = found.health_said, last_words(self._machine, found.name)
        parts = [("its last health check printed", said), ("its log ends with", log)]
        printed = "\n".join(f"{what}:\n{text}" for what, text in parts if text)
        return "; ".join([_description(found), *lacks(log)]), printed


def recorded(records: Iterable[Record]) -> dict[str, str]:
    """Return the names of the declared containers, by their ids and those of their predecessors."""
    return {
        str(one): record.id
        for record in records
        if record.kind == "containers.container_states"
        for one in (record.extra.get(CONTAINER), *record.extra.get(FORMER, ()))
        if one
    }


def _facts(spec: ContainerStateSpec, found: Container | None, links: set[str]) -> ContainerStateFacts:
    """Return the facts of a container, without the `links` that it joins as a server."""
    if found is None:
        return ContainerStateFacts(exists=False)
    networks = dict.fromkeys(sorted(found.networks.keys() - links), JOINED)
    # A job that has ended has no process limit.
    ended = spec.expects == "exited" and _stopped(found)
    return ContainerStateFacts(
        exists=True,
        container_id=found.id,
        pids="" if ended else str(found.pids),
        status=found.status,
        networks=networks if spec.networks else None,
    )


def _stopped(found: Container) -> bool:
    return found.state.get("Status") in ("exited", "dead")


def _description(found: Container) -> str:
    status, code = found.status, found.state.get("ExitCode", 0)
    if code == _ILLEGAL:
        return (
            f"{status}; its program ended at an illegal instruction (exit code {code}): perhaps the host's "
            "processor lacks a feature that the program needs, such as AVX"
        )
    if found.state.get("OOMKilled"):
        return f"{status}; it was killed because it needed more memory than its limit: raise `memory`"
    if found.restarts:
        return f"{status}; Docker restarted it {found.restarts} times, and its program exited with {code}"
    return f"{status}; {found.state['Error']}" if found.state.get("Error") else status
