"""An internal network for a container and the server that it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.components.containers.facts import OUTSIDE, LinkDesired, LinkFacts, LinkProps, link_name
from portcullis.host.provider import ABSENT, HostProvider
from portcullis.host.resource import DeclaredResource
from portcullis.provider.changes import Line, Section, Severity, with_rest

if TYPE_CHECKING:
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change


class LinkProvider(HostProvider):
    """Provider of `Link`."""

    kind = "containers.links"
    section = Section.SITES
    desired_type = LinkDesired
    facts_type = LinkFacts

    def absent_inputs(self) -> Props:
        """Return the inputs that show a missing network."""
        return {"network_type": ABSENT}

    def subject(self, change: Change) -> str:
        """Return the name of the network."""
        return f"network {_network(change)}"

    def lines(self, change: Change) -> list[Line]:
        """Say of a new link who reaches whom."""
        if change.op != "create" or change.gone:
            return super().lines(change)
        what = f"{change.goal.get('user')} reaches {change.goal.get('server')}"
        return [Line(self.subject(change), what, "up creates it")]

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Return a line for the server, and one for each undeclared container in the network."""
        found = [
            Line(
                subject,
                f"has {name}, which nobody declared",
                "up disconnects it",
                Severity.OPEN,
                at=("others", name),
            )
            for name, live, _ in change.entries("others")
            if live
        ]
        if change.changes("member"):
            server, member = str(change.props.get("server")), change.live.get("member")
            what = f"is {'not' if member == OUTSIDE else member} in the network {_network(change)}"
            topic = f"member {_network(change)}: {server}"
            found.append(Line(server, what, "up connects it", Severity.WRONG, at=("member",), topic=topic))
        return with_rest(change, subject, found, "container", "container_id")


def _network(change: Change) -> str:
    return link_name(str(change.props.get("user")), str(change.props.get("server")))


class Link(LinkProps, DeclaredResource):
    """An internal network in which a container reaches a server: an app, or a store.

    Nobody else is in the network, and it leads nowhere else. The server joins it while it runs. The container
    that uses the server is created in it. A refresh reads who is in the network, and `up` disconnects
    undeclared containers.

    In the network, the server reaches all ports of the other container too.
    """

    provider_type = LinkProvider
    outputs = ()
