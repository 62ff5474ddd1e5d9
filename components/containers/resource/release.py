"""Releases of an app on a host: a number for each, and a port that nothing else there uses."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from portcullis.components.containers.facts import RUNNING, ReleaseDesired, ReleaseFacts
from portcullis.host.provider import HostProvider, Normaliser
from portcullis.host.resource import HostResource
from portcullis.provider.base import CreateResult, UpdateResult
from portcullis.provider.changes import Line, Section, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change

# What a request tells the host besides, and no state keeps.
_TOKEN, _AFTER = "token", "after"


class ReleaseProvider(HostProvider):
    """Provider of `Release`."""

    kind = "containers.releases"
    section = Section.SITES
    desired_type = ReleaseDesired
    facts_type = ReleaseFacts
    live = ("container",)
    identity = ("host", "app")
    instead_of_import = "nothing of it stands on the host before it: declare it"
    chosen = ("number", "port")

    def normalise(self, inputs: Normaliser) -> None:
        """Take over what a release is made of."""
        inputs.text("app")
        inputs.text("cpus")
        inputs.keep("published", "defined_by")
        # Read back as what is wrong with the release's container that only another one mends.
        inputs.inputs["container"] = RUNNING

    def absent_inputs(self) -> Props:
        """Return nothing: the host's record is a hint, and state knows number and port."""
        return {}

    def create(self, props: Props) -> CreateResult:
        """Begin with a number that this host never gave to the app."""
        return CreateResult(f"{props['host']}:{self.item(props).id}", self._next(props, 0))

    def update(self, id_: str, olds: Props, news: Props) -> UpdateResult:
        """Take the next number, whatever it is that changed."""
        del id_
        return UpdateResult(self._next(news, int(olds.get("number") or 0)))

    def _next(self, props: Props, after: int) -> Props:
        outs = self._put({**props, _TOKEN: uuid.uuid4().hex, _AFTER: after})
        return {key: value for key, value in outs.items() if key not in (_TOKEN, _AFTER)}

    def subject(self, change: Change) -> str:
        """Return the app."""
        return str(change.props.get("app", change.name))

    def lines(self, change: Change) -> list[Line]:
        """Say why there will be another release; its container has a line of its own."""
        subject = self.subject(change)
        if change.op == "update" and change.changes("container"):
            what = f"its release {change.live.get('container')}"
            return [Line(subject, what, "up makes another release", Severity.WRONG, at=("container",))]
        return [
            replace(line, subject=f"{subject}'s release", follows=change.op != "delete")
            for line in super().lines(change)
        ]


class Release(HostResource):
    """The number of an app's present release, and the port on docker0's address that the host picked for it.

    Whatever changes in `defined_by` makes a new release: another number, another port, both unknown in a
    preview, so what is named after them shows as replaced there. Numbers are never given twice.

    Attributes:
        number: 1, 2, …
        port: the port, or 0 for an app that is not published.
    """

    number: pulumi.Output[int]
    port: pulumi.Output[int]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        app: str,
        defined_by: Mapping[str, pulumi.Input[str]],
        published: bool = True,
        cpus: str = "1",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare it.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            app: name of the app: its containers are called `APP-NUMBER`.
            defined_by: everything whose change needs another container; secrets stay secret.
            published: whether it needs a port. Then a container that stopped or was changed by hand is
                replaced too: its name and port are taken, so another release is the way.
            cpus: what its container is limited to.
            opts: resource options.
        """
        super().__init__(
            ReleaseProvider,
            name,
            host=host,
            adopt=False,
            inputs={
                "app": app,
                "defined_by": dict(defined_by),
                "published": published,
                "cpus": cpus,
                "container": RUNNING,
            },
            outputs=ReleaseProvider.chosen,
            opts=opts,
        )
