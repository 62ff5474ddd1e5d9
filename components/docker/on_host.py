"""Which Docker answers on the host, and whether its client and our daemon.json can do with it. Read only.

https://docs.docker.com/reference/api/engine/ (`GET /version`)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Tuple

from portcullis.agent.docker_socket import ask
from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind, each
from portcullis.agent.step import Step, compare
from portcullis.components.docker.facts import EngineDesired, EngineFacts, EngineSpec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.store import Record

_TIMEOUT = 20.0
_OK = 200
_NUMBERS = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,4}){1,3}")
_HINT = "take an engine that will do: docs/hardening/docker.md#which-versions-will-do"


class Engines(Kind[EngineSpec, EngineDesired, EngineFacts]):
    """The one engine of the host."""

    spec_type = EngineSpec
    desired_type = EngineDesired
    facts_type = EngineFacts

    def facts(self, questions: Sequence[Question[EngineSpec]]) -> Answers[EngineFacts]:
        return each(lambda spec, _: self._read(spec), questions)

    def _read(self, spec: EngineSpec) -> EngineFacts:
        answer = ask(self._machine.docker, "GET", "/version", timeout=_TIMEOUT)
        if answer is None:
            return EngineFacts(exists=True, unusable="no Docker runs on the host")
        with answer as said:
            found = said.document() if said.status == _OK else None
        words = found if isinstance(found, dict) else {}
        version, newest, oldest = (
            _text(words.get(key)) for key in ("Version", "ApiVersion", "MinAPIVersion")
        )
        if not (version and newest and oldest):
            raise AgentError(
                "unreadable", "Docker does not tell its version", hint="look at `docker version`"
            )
        if _numbers(newest) < _numbers(spec.api_from) or _numbers(oldest) > _numbers(spec.api_to):
            # Of every verb: whatever the client asks, in a preview too, ends in an error of its protocol.
            raise AgentError(
                "invalid",
                f"Docker {version} on the host speaks its API from {oldest} to {newest}, and {spec.client} "
                f"from {spec.api_from} to {spec.api_to}: they cannot talk",
                prop="engine",
                hint=_HINT,
            )
        too_old = _numbers(version) < _numbers(spec.engine)
        why = f"Docker {version} runs on the host, and {spec.engine} is the oldest that will do"
        return EngineFacts(exists=True, version=version, unusable=why if too_old else "")

    def plan(self, desired: EngineDesired, facts: EngineFacts) -> list[Step]:
        return compare(desired, facts, ("unusable",), "refuse")

    def obstacle(self, desired: EngineDesired, facts: EngineFacts) -> AgentError | None:
        """Only who looks after the engine can change it."""
        return AgentError("invalid", facts.unusable, prop="engine", hint=_HINT) if facts.unusable else None

    def apply(self, desired: EngineDesired, steps: list[Step], work: Work) -> None:
        """There is nothing to do."""

    def remove(self, desired: EngineDesired, record: Record, folder: Path) -> str:
        return "kept"


def _text(said: Any) -> str:
    """A version's numbers at the start of what Docker says: 29.8.2 of 29.8.2-rc.1."""
    found = _NUMBERS.match(said) if isinstance(said, str) else None
    return found[0] if found else ""


def _numbers(version: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
