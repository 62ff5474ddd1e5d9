"""Links: an internal Docker network for each pair of a container and the server that it uses.

The user of the server is created in the network. The server joins while it runs, so it never restarts because
of a user. Docker's own rules keep packets of an internal network inside it.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind
from portcullis.agent.step import Step
from portcullis.components.containers.facts import (
    INTERNAL,
    JOINED,
    OUTSIDE,
    LinkDesired,
    LinkFacts,
    LinkSpec,
)
from portcullis.components.containers.on_host.container_states import recorded
from portcullis.components.containers.on_host.docker import containers, docker, inspected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.run import Done
    from portcullis.agent.step import Json
    from portcullis.agent.store import Record
    from portcullis.components.containers.on_host.docker import Container

_FORMAT = (
    '{"name":{{json .Name}},"driver":{{json .Driver}},"internal":{{json .Internal}},'
    '"members":{{json .Containers}}}'
)
# Seconds that a container gets to finish its work. Without a declared number, the key is missing.
_GRACE = '{"grace":{{json (index .Config "StopTimeout")}}}'
_TIMEOUT = 60.0
_PART = r"(?:-(?:before|after)-[0-9]+)?(?:-[0-9]+)?"
"""What follows the name of an app in the names of its jobs and releases."""
_NAMELESS = "joined without its name"


class Links(Kind[LinkSpec, LinkDesired, LinkFacts]):
    """The networks of pairs of containers, and the servers in them."""

    spec_type = LinkSpec
    desired_type = LinkDesired
    facts_type = LinkFacts

    def facts(self, questions: Sequence[Question[LinkSpec]]) -> Answers[LinkFacts]:
        """Read all networks with one call to Docker, and all servers with another."""
        try:
            networks = self._networks([spec.network for spec, _ in questions])
            servers = containers(self._machine, sorted({spec.container for spec, _ in questions}))
        except AgentError as error:
            return [error] * len(questions)
        known = recorded(self._store.all())
        return [
            _facts(spec, networks.get(spec.network), servers.get(spec.container), known)
            for spec, _ in questions
        ]

    def plan(self, desired: LinkDesired, facts: LinkFacts) -> list[Step]:
        join = Step("member", facts.member, JOINED, "join")
        if not facts.exists:
            return [Step("network", "absent", desired.id, "create"), join]
        if facts.network_type != INTERNAL:
            return [Step("network_type", facts.network_type, INTERNAL, "rebuild"), join]
        steps = [] if facts.member == JOINED else [join]
        return steps + [Step(f"others.{name}", JOINED, "absent", "leave") for name in sorted(facts.others)]

    def keep_instead(self, item: str) -> str:
        return f"remove it (docker network rm {item}), or "

    def apply(self, desired: LinkDesired, steps: list[Step], work: Work) -> None:
        """Make the network, then let the server join, then disconnect undeclared containers."""
        network = desired.id
        for step in steps:
            if step.action == "rebuild":
                self._rebuild(desired)
            elif step.action == "create":
                self._docker(network, "create", "--internal", network)
            elif step.action == "leave":
                self._docker(network, "disconnect", "--force", network, step.prop.partition(".")[2])
            else:
                if step.have == _NAMELESS:
                    self._docker(network, "disconnect", network, desired.container)
                self._docker(network, "connect", "--alias", desired.server, network, desired.container)

    def _rebuild(self, desired: LinkDesired) -> None:
        """Replace a network of another type. Its declared containers stay connected, except for a moment."""
        network, known = desired.id, recorded(self._store.all())
        members = self._networks([network])[network]["members"]
        for member in members:
            self._docker(network, "disconnect", "--force", network, member)
        self._docker(network, "rm", network)
        self._docker(network, "create", "--internal", network)
        for member in members:
            if known.get(member) == desired.user:
                self._docker(network, "connect", "--alias", desired.user, network, member)

    def remove(self, desired: LinkDesired, record: Record, folder: Path) -> str:
        """Remove the network. The server leaves it before, so that it can start again without the network."""
        network, known = desired.id, recorded(self._store.all())
        found = self._without_user(desired, known)
        if found is None:
            return "absent"
        servers = containers(self._machine, [desired.container]).values()
        # Docker lists only containers that run. A release before this one may still run, too.
        leaving = {one.id for one in servers if network in one.networks}
        leaving |= {
            key
            for key, one in found["members"].items()
            if _is_of(desired.server, str(one.get("Name")), known.get(key))
        }
        for member in sorted(leaving):
            # A release that ends at this moment leaves by itself.
            left = docker(self._machine, "network", "disconnect", network, member, timeout=_TIMEOUT)
            rest = containers(self._machine, [member]).values() if left.code else ()
            if any(network in one.networks for one in rest):
                raise _failed("disconnect", network, left)
        self._docker(network, "rm", network)
        return "removed"

    def _without_user(self, desired: LinkDesired, known: Mapping[str, str]) -> Json | None:
        """Wait until the containers of the user are gone. Return the network, if there is one.

        The engine removes a container that it has replaced at the same time as the link. Until the container
        ends, it may need the server.
        """
        begun = time.monotonic()
        while found := self._networks([desired.id]).get(desired.id):
            members = {str(one.get("Name")): known.get(key) for key, one in found["members"].items()}
            rest = [name for name, item in members.items() if not _is_of(desired.server, name, item)]
            ours = all(_is_of(desired.user, name, members[name]) for name in rest)
            if not rest:
                return found
            ending = inspected(self._machine, "container", _GRACE, sorted(rest))
            limit = max((int(one["grace"] or 10) for one in ending), default=0) + _TIMEOUT
            if not ours or time.monotonic() > begun + limit:
                raise AgentError(
                    "invalid",
                    f"the network {desired.id} still has containers: {', '.join(sorted(rest))}",
                    prop="network",
                    hint="remove them, or disconnect them, and run `up` again",
                )
            if self._machine.alone.wait(self._machine.settle / 2):
                raise AgentError("interrupted", f"the deployment was interrupted at the network {desired.id}")
        return None

    def _networks(self, names: Sequence[str]) -> dict[str, Json]:
        """Return the networks that exist, by name."""
        found = inspected(self._machine, "network", _FORMAT, sorted(set(names)))
        return {str(one["name"]): {**one, "members": one["members"] or {}} for one in found}

    def _docker(self, network: str, *argv: str) -> None:
        said = docker(self._machine, "network", *argv, timeout=_TIMEOUT)
        if said.code:
            raise _failed(argv[0], network, said)


def _failed(what: str, network: str, said: Done) -> AgentError:
    text = f"Docker cannot {what} for the network {network}"
    return AgentError("docker", text, prop="network", detail=said.text)


def _is_of(app: str, name: str, item: str | None) -> bool:
    """Return whether a container is one of an app or store.

    The records say so, or its name until `up` records it. The inventory tells of one that only has the name.
    """
    return item == app or (item is None and re.fullmatch(re.escape(app) + _PART, name) is not None)


def _facts(
    spec: LinkSpec, network: Json | None, server: Container | None, known: Mapping[str, str]
) -> LinkFacts:
    joined = server.networks.get(spec.network) if server else None
    member = OUTSIDE
    if joined is not None and server is not None:
        member = JOINED if spec.server in (server.name, *joined) else _NAMELESS
    if network is None:
        return LinkFacts(exists=False, member=member)
    kind = " ".join([*(["internal"] if network["internal"] else []), str(network["driver"])])
    names = {str(one.get("Name")): known.get(key) for key, one in network["members"].items()}
    others = {
        name: JOINED
        for name, item in names.items()
        if item is None and not any(_is_of(app, name, item) for app in (spec.user, spec.server))
    }
    return LinkFacts(exists=True, network_type=kind, member=member, others=others)
