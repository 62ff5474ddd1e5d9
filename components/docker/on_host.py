"""Read the version of Docker on the host, check that we can use it, and read the limit of open files.

This module changes nothing on the host. The engine must support the API that our client speaks, and the keys
of our daemon.json.

The version is the answer to `GET /version`, see https://docs.docker.com/reference/api/engine/.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from portcullis.agent.docker_socket import ask
from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind, each
from portcullis.agent.step import Step, compare
from portcullis.agent.wire import ABSENT
from portcullis.components.docker.facts import EngineDesired, EngineFacts, EngineSpec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.store import Record

_TIMEOUT = 20.0
_OK = 200
_NUMBERS = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,4}){1,3}")
# The name of the limit, the soft limit, the hard limit: proc_pid_limits(5).
_OPEN_FILES = re.compile(r"^Max open files +\S+ +([0-9]{1,10}) ", re.MULTILINE)
_HINT = "take an engine that will do: docs/hardening/docker.md#which-versions-will-do"


class Engines(Kind[EngineSpec, EngineDesired, EngineFacts]):
    """Reads and checks the Docker engine of a host."""

    spec_type = EngineSpec
    desired_type = EngineDesired
    facts_type = EngineFacts

    def facts(self, questions: Sequence[Question[EngineSpec]]) -> Answers[EngineFacts]:
        return each(lambda spec, _: self._read(spec), questions)

    def _read(self, spec: EngineSpec) -> EngineFacts:
        open_files = self._open_files()
        try:
            answer = ask(self._machine.docker, "GET", "/version", timeout=_TIMEOUT)
        except AgentError as error:
            # The same `up` may start Docker first, so this must not stop it.
            return EngineFacts(exists=True, unusable=error.message, open_files=open_files)
        if answer is None:
            return EngineFacts(exists=True, unusable="no Docker runs on the host", open_files=open_files)
        with answer as said:
            found = said.document() if said.status == _OK else None
        words = found if isinstance(found, dict) else {}
        version, newest, oldest = (
            _text(words.get(key)) for key in ("Version", "ApiVersion", "MinAPIVersion")
        )
        if not (version and newest and oldest):
            raise AgentError(
                "unreadable",
                "Docker's answer has no usable version",
                hint="run `docker version` on the host to see the answer",
            )
        if _numbers(newest) < _numbers(spec.api_from) or _numbers(oldest) > _numbers(spec.api_to):
            # This error stops previews too, because every request of the client would fail with a protocol
            # error.
            raise AgentError(
                "invalid",
                f"{spec.client} cannot talk to Docker {version} on the host: the plugin speaks the "
                f"versions {spec.api_from} to {spec.api_to} of Docker's API, and the host speaks {oldest} to "
                f"{newest}",
                prop="engine",
                hint=_HINT,
            )
        too_old = _numbers(version) < _numbers(spec.engine)
        why = f"Docker {version} on the host is too old: the oldest that we support is {spec.engine}"
        unusable = why if too_old else ""
        return EngineFacts(exists=True, version=version, unusable=unusable, open_files=open_files)

    def _open_files(self) -> int:
        """Return the hard limit of the host's first process, or 0 if it is unknown.

        On a host that is itself a container, no process can raise this limit, and a container that asks for
        more does not start. On other hosts, systemd has raised it to the kernel's own.
        """
        try:
            limits = (self._machine.proc / "1" / "limits").read_text("ascii")
        except (OSError, ValueError):
            return 0
        found = _OPEN_FILES.search(limits)
        return int(found[1]) if found else 0

    def plan(self, desired: EngineDesired, facts: EngineFacts) -> list[Step]:
        return compare(desired, facts, ("unusable",), "refuse")

    def obstacle(self, desired: EngineDesired, facts: EngineFacts) -> AgentError | None:
        """Refuse an engine that does not answer or is too old, because this resource changes nothing."""
        code = "no-docker" if facts.version == ABSENT else "invalid"
        return AgentError(code, facts.unusable, prop="engine", hint=_HINT) if facts.unusable else None

    def apply(self, desired: EngineDesired, steps: list[Step], work: Work) -> None:
        """Change nothing, because this resource only reads the host."""

    def remove(self, desired: EngineDesired, record: Record, folder: Path) -> str:
        return "kept"


def _text(said: Any) -> str:
    """Return the numbers at the start of a version: 29.8.2 for 29.8.2-rc.1."""
    found = _NUMBERS.match(said) if isinstance(said, str) else None
    return found[0] if found else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
