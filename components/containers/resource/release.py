"""Releases of an app on a host. Each release has a number, and an unused port."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from portcullis.components.containers.facts import RUNNING, ReleaseDesired, ReleaseFacts
from portcullis.host.provider import HostProvider, Normaliser
from portcullis.host.resource import HostResource
from portcullis.provider.base import CreateResult, UpdateResult
from portcullis.provider.changes import PORTS_OF_APPS, Line, Section, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change

# A request also sends these two values to the host. The state does not contain them.
_TOKEN, _AFTER = "token", "after"


class ReleaseProvider(HostProvider):
    """Provider of `Release`."""

    kind = "containers.releases"
    section = Section.SITES
    desired_type = ReleaseDesired
    facts_type = ReleaseFacts
    live = ("container",)
    identity = ("host", "app")
    instead_of_import = "declare the resource instead; it does not exist before the first `up`"
    chosen = ("number", "port")

    def normalise(self, inputs: Normaliser) -> None:
        """Check the inputs. The declared state of the release's container is "without a fault"."""
        inputs.text("app")
        inputs.text("cpus")
        inputs.keep("published", "numbered", "defined_by")
        # A refresh finds another value if the container has a fault that only a new release can fix.
        inputs.inputs["container"] = RUNNING

    def absent_inputs(self) -> Props:
        """Return no changes: the state still has the number and the port if the host lost its record."""
        return {}

    def create(self, props: Props) -> CreateResult:
        """Choose a release number that this host never gave to the app."""
        return CreateResult(f"{props['host']}:{self.item(props).id}", self._next(props, 0))

    def update(self, id_: str, olds: Props, news: Props) -> UpdateResult:
        """Request a release with the next number after any change."""
        del id_
        return UpdateResult(self._next(news, int(olds.get("number") or 0)))

    def _next(self, props: Props, after: int) -> Props:
        outs = self._put({**props, _TOKEN: uuid.uuid4().hex, _AFTER: after})
        return {key: value for key, value in outs.items() if key not in (_TOKEN, _AFTER)}

    def subject(self, change: Change) -> str:
        """Return the name of the app."""
        return str(change.props.get("app", change.name))

    def lines(self, change: Change) -> list[Line]:
        """Report why the app gets a new release. A report has a separate line for the new container."""
        subject = self.subject(change)
        if change.op == "update" and change.changes("container"):
            what = f"the container of its release is {change.live.get('container')}"
            # Docker's own resource and the container's state report the same container.
            topic = f"container {subject}"
            remedy = "up makes a new release"
            line = Line(subject, what, remedy, Severity.WRONG, at=("container",), topic=topic)
            port = Line(f"{subject}'s release", "gets another port", at=("port",), topic=PORTS_OF_APPS)
            return [line, replace(port, follows=True)]
        return [
            replace(line, subject=f"{subject}'s release", follows=change.op != "delete")
            for line in super().lines(change)
        ]


class Release(HostResource):
    """The number of an app's present release, and the port on docker0's address that the host picked for it.

    Each change of `defined_by` makes a new release, with another number and another port. A preview does not
    know the new number and port. So a preview shows a replacement of every resource whose name contains the
    number or the port. No two releases of an app get the same number.

    Attributes:
        number: the number of the release. The first release has the number 1.
        port: the port of the release, or 0 for an app that is not published.
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
        numbered: bool = False,
        cpus: str = "1",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the present release of an app.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            app: name of the app. The containers of the app are called `APP-NUMBER`.
            defined_by: values of the container, by name. A change of any value makes a new release. Secret
                values stay secret in state.
            published: whether the release needs a port.
            numbered: whether its container has the number in its name, as that of a published release always
                has. If such a container stopped or was changed by hand, a new release replaces it. A new
                container cannot have the same name and port, because the old container still has them.
            cpus: the CPU limit of the release's container.
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
                **({"numbered": True} if numbered and not published else {}),
                "cpus": cpus,
                "container": RUNNING,
            },
            outputs=ReleaseProvider.chosen,
            opts=opts,
        )
