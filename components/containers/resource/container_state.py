"""The state of a running container: its process limit, its networks and its health."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pulumi

from portcullis.components.containers.facts import (
    EXPECTED,
    JOINED,
    ContainerStateDesired,
    ContainerStateFacts,
)
from portcullis.host.provider import ABSENT, HostProvider, Normaliser
from portcullis.host.resource import HostResource
from portcullis.provider.base import CreateResult, UpdateResult
from portcullis.provider.changes import Line, Section, Severity, difference, with_rest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from portcullis.host.host import Host
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change

_OF_CONTAINER = {"container", "container_id", "image"}
"""These properties change together with the container, which has a line of its own in a report. So a report
leaves out these properties."""


class ContainerStateProvider(HostProvider):
    """Provider of `ContainerState`."""

    kind = "containers.container_states"
    section = Section.SITES
    desired_type = ContainerStateDesired
    facts_type = ContainerStateFacts
    identity = ("host", "item")
    instead_of_import = "declare the resource instead; it does not exist before the first `up`"
    remembered = ("previous_image",)

    def normalise(self, inputs: Normaliser) -> None:
        """Check the inputs, and that `expects` is `healthy` or `exited`."""
        for name in ("item", "container", "container_id", "image"):
            inputs.text(name)
        inputs.one_of("expects", *EXPECTED)
        inputs.text("pids")
        inputs.text("within")
        inputs.text("status")
        if inputs.news.get("secret") is True:
            inputs.keep("secret")
        inputs.keep("networks")
        if inputs.news.get("environment") is not None:
            inputs.keep("environment")

    def live_inputs(self, facts: ContainerStateFacts) -> Props:
        """Return the container's id, process limit, networks and status.

        The status of a container that has just started is left out.
        """
        live: Props = {"container_id": facts.container_id}
        if facts.networks is not None:
            live["networks"] = dict(facts.networks)
        if facts.pids:
            live["pids"] = facts.pids
        if facts.status != "starting":
            live["status"] = facts.status
        return live

    def absent_inputs(self) -> Props:
        """Return the status of a container that is gone."""
        return {"status": ABSENT}

    def create(self, props: Props) -> CreateResult:
        """Bring the container to its declared state. The first container has no previous image."""
        done = super().create(props)
        return CreateResult(done.id, {**done.outs, "previous_image": ""})

    def update(self, id_: str, olds: Props, news: Props) -> UpdateResult:
        """Bring the container to its declared state, and remember the image that was healthy before."""
        done = super().update(id_, olds, news)
        same = olds.get("image") == news.get("image")
        before = olds.get("previous_image", "") if same else olds.get("image", "")
        return UpdateResult({**done.outs, "previous_image": before})

    def subject(self, change: Change) -> str:
        """Return the name of the container."""
        return str(change.props.get("container", change.name))

    def lines(self, change: Change) -> list[Line]:
        """Describe the state of the container. A report has a separate line for a new container."""
        subject = self.subject(change)
        topic = f"container {subject}"
        if change.op == "update" and change.changes("status"):
            status = str(change.live.get("status"))
            what = "container is gone" if status == ABSENT else f"container is {status}"
            item = f"container {change.props.get('item', subject)}"
            found = [
                Line(subject, what, "up starts it", Severity.WRONG, at=("status",), topic=item, echo=True)
            ]
            return with_rest(change, subject, [*found, *_networks(change, subject)], *_OF_CONTAINER)
        follows = change.op != "update" or {*change.names()} <= _OF_CONTAINER
        return [
            replace(line, topic=line.topic or topic, follows=follows or line.follows)
            for line in super().lines(change)
        ]

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Return a line for the variables, and for each network that the container should join or leave."""
        found = _networks(change, subject)
        if change.changes("environment"):
            name = str(change.live.get("container", subject))
            what = difference(change, "environment")
            line = Line(name, what, "up replaces it", at=("environment",), topic=f"container {name}")
            found = [line, *found]
        return with_rest(change, subject, found, *_OF_CONTAINER if change.op == "update" else ())


def _networks(change: Change, subject: str) -> list[Line]:
    found = []
    for network, live, _ in change.entries("networks"):
        what, remedy = ("is", "up disconnects it") if live else ("is not", "up connects it")
        found.append(
            Line(
                subject,
                f"{what} in the network {network}",
                remedy,
                Severity.WRONG if change.by_hand(("networks", network)) else Severity.COSMETIC,
                at=("networks", network),
                topic=f"member {network}: {subject}",
            )
        )
    return found


class ContainerState(HostResource):
    """A container's process limit and networks, and its status: healthy, or exited with code 0.

    Docker's provider has no attribute for the process limit. We set the limit on the running container, so
    for a moment after the start there is no limit. Docker keeps the process limit over restarts. Docker's
    provider does not read back the networks of a container either. If somebody connects or disconnects a
    network by hand, `up` undoes that while the container runs.

    If a container does not reach the expected status, the deployment fails. The error has the container's
    exit code, the output of its last health check and the end of its log. In this case, Pulumi does not
    change the resources that depend on this resource.

    Attributes:
        image: the image with which the container was last healthy.
        previous_image: the image that was healthy before `image`; "" for the first image.
        status: the status that Docker reports.
    """

    image: pulumi.Output[str]
    previous_image: pulumi.Output[str]
    status: pulumi.Output[str]
    pids: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        container: pulumi.Input[str],
        container_id: pulumi.Input[str],
        image: pulumi.Input[str],
        pids: int = 256,
        expects: Literal["healthy", "exited"] = "healthy",
        within: int = 90,
        item: str | None = None,
        secret: bool | Awaitable[bool | None] | None = False,
        networks: Sequence[pulumi.Input[str]] | None = None,
        environment: Mapping[str, str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the state of a container.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            container: name of the container on the host.
            container_id: the container's id, so that a new container with the same name is checked again.
            image: the image that the container runs. After a change of the image, `previous_image` has the
                former value.
            pids: the limit of processes and threads.
            expects: `healthy` for a container that should become healthy, `exited` for one that should exit
                with code 0.
            within: seconds in which the container must reach this status.
            item: the name of the container in the host's records; the resource's name by default.
            secret: whether the container's environment or command contains a secret, which the preview key
                may not see. The function `is_any_secret` finds this out.
            networks: the names of the only networks that the container should be in. If the value is None,
                the networks stay unchanged.
            environment: variables of the container that are no secret. If one variable is a secret, Pulumi
                hides all variables of the container itself. Previews show these.
            opts: resource options.
        """
        super().__init__(
            ContainerStateProvider,
            name,
            host=host,
            adopt=False,
            inputs={
                "item": item or name,
                "container": container,
                "container_id": container_id,
                "image": image,
                "pids": str(pids),
                "expects": expects,
                "within": str(within),
                "status": EXPECTED[expects],
                **({"secret": secret} if secret else {}),
                **({"networks": _by_name(networks)} if networks is not None else {}),
                **({"environment": environment} if environment else {}),
            },
            outputs=("previous_image",),
            opts=opts,
        )


def _by_name(networks: Sequence[pulumi.Input[str]]) -> pulumi.Output[dict[str, str]]:
    def joined(names: list[str]) -> dict[str, str]:
        return dict.fromkeys(sorted(names), JOINED)

    return pulumi.Output.all(*networks).apply(joined)
