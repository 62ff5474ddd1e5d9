"""Images from registries that require a login.

The agent sends the login to Docker's socket, in one header of one request. Docker's command-line client would
need the login in a command line or in a file.
"""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING

from portcullis.agent.docker_socket import ask, silent
from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind, each
from portcullis.agent.step import Step
from portcullis.components.containers.facts import (
    IMAGE,
    PulledImageDesired,
    PulledImageFacts,
    PulledImageSpec,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine
    from portcullis.agent.store import Record, Store

_LOOK = 30.0  # seconds
_PULL = 300.0  # seconds without progress of the pull
_OK, _MISSING = 200, 404
_LOGIN = re.compile(r"unauthori[sz]ed|authentication|denied|forbidden|no basic auth", re.IGNORECASE)


class PulledImages(Kind[PulledImageSpec, PulledImageDesired, PulledImageFacts]):
    """Images that Docker has pulled with a login."""

    spec_type = PulledImageSpec
    desired_type = PulledImageDesired
    facts_type = PulledImageFacts

    def __init__(self, machine: Machine, store: Store) -> None:
        """Remember the path of Docker's socket."""
        super().__init__(machine, store)
        self._socket = machine.docker

    def facts(self, questions: Sequence[Question[PulledImageSpec]]) -> Answers[PulledImageFacts]:
        return each(lambda spec, _: PulledImageFacts(exists=self._is_there(spec.image)), questions)

    def plan(self, desired: PulledImageDesired, facts: PulledImageFacts) -> list[Step]:
        return [] if facts.exists else [Step("pulled", "absent", "pulled", "pull")]

    def obstacle(self, desired: PulledImageDesired, facts: PulledImageFacts) -> AgentError | None:
        if IMAGE.match(desired.image):
            return None
        return AgentError("invalid", f"{desired.image!r} is not an image with a digest", prop="image")

    def apply(self, desired: PulledImageDesired, steps: list[Step], work: Work) -> None:
        if steps:
            self._pull(desired)

    def remove(self, desired: PulledImageDesired, record: Record, folder: Path) -> str:
        """Keep the image, because containers may use it. The component `Upkeep` deletes unused images."""
        return "kept"

    def _is_there(self, image: str) -> bool:
        if not IMAGE.match(image):
            return False
        answer = ask(self._socket, "GET", f"/images/{image}/json", timeout=_LOOK)
        if answer is None:
            return False
        with answer:
            if answer.status in (_OK, _MISSING):
                return answer.status == _OK
            try:
                why = answer.error()
            except OSError as error:
                raise silent(error) from None
            raise AgentError("unreadable", f"Docker cannot say whether it has the image {image}: {why}")

    def _pull(self, desired: PulledImageDesired) -> None:
        name, _, digest = desired.image.partition("@")
        repository = re.sub(r":[^/:]*\Z", "", name)
        login = json.dumps({"username": desired.username, "password": desired.password}).encode()
        header = {"X-Registry-Auth": base64.urlsafe_b64encode(login).decode()}
        target = f"/images/create?fromImage={repository}&tag={digest}"
        answer = ask(self._socket, "POST", target, timeout=_PULL, headers=header)
        if answer is None:
            raise AgentError(
                "invalid",
                "no Docker runs on the host",
                hint="add the Docker engine to the image's `depends_on`",
            )
        with answer:
            try:
                # Docker answers 200 before most failures happen.
                said = answer.error() if answer.status != _OK else ""
                said = said or next((str(line["error"]) for line in answer.objects() if "error" in line), "")
            except OSError as error:
                raise silent(error) from None
        if said:
            raise _refused(desired.image, said.replace(desired.password, "…"))


def _refused(image: str, said: str) -> AgentError:
    registry = image.partition("/")[0]
    hint = "correct the image's name, or check that the host reaches the registry"
    if _LOGIN.search(said):
        hint = f"the registry refuses this login: look at portcullis:registries.{registry}"
    return AgentError("pull", f"Docker cannot pull {image}: {said}", prop="image", hint=hint)
