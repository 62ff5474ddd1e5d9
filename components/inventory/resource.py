"""What is on a host beside what its packages and the settings bring."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portcullis.components.inventory import inventory_keys, report_lines
from portcullis.components.inventory.facts import MAPS, InventoryDesired, InventoryFacts, acceptance
from portcullis.host.provider import HostProvider, Normaliser, is_known
from portcullis.host.resource import HostResource
from portcullis.provider.diagnostics import warn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi

    from portcullis.host.agent_process import Json
    from portcullis.host.host import Host
    from portcullis.host.session import Channel
    from portcullis.host.survey import Item
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change, Line


class InventoryProvider(HostProvider):
    """Provider of `Inventory`."""

    kind = "inventory"
    desired_type = InventoryDesired
    facts_type = InventoryFacts
    live = MAPS
    identity = ("host",)
    instead_of_import = "it only reads: declare it"
    # The maps are inputs too: what an update leaves in the state is what is there, not what should be.
    chosen = (*MAPS, "baseline")

    def normalise(self, inputs: Normaliser) -> None:
        """Check what is declared, and what is accepted."""
        for name in ("containers", "volumes", "sources"):
            inputs.inputs[name] = inputs.news.get(name) or []
        for name in ("networks", "accepted", *MAPS):
            found = inputs.news.get(name)
            inputs.inputs[name] = found if found is not None else {}
        accepted = inputs.inputs["accepted"]
        for key, reason in accepted.items() if is_known(accepted) else ():
            if not re.fullmatch(inventory_keys.ACCEPTED, key):
                inputs.fail("accepted", f"{key!r} is not a key; copy it from a line of difference")
            if is_known(reason) and not (isinstance(reason, str) and reason.strip()):
                inputs.fail("accepted", f"{key!r} has no reason")

    def apply(self, channel: Channel, item: Item, props: Props) -> Json:
        """Change nothing, and warn of each difference."""
        answer = self.put(channel, item, props)
        for step in answer["steps"]:
            warn(props["managed_by"], line(step))
        facts: Json = answer["facts"]
        return facts

    def lines(self, change: Change) -> list[Line]:
        """Return a line for each thing that nobody declared."""
        return report_lines.lines(change)

    def desired(self, props: Props) -> InventoryDesired:
        """Return what is declared: in a state the maps are what was found."""
        found: InventoryDesired = super().desired({**props, **{name: {} for name in MAPS}})
        return found

    def absent_inputs(self) -> Props:
        """Return nothing: there is always a host."""
        return {}


def line(step: Mapping[str, str]) -> str:
    """Return a difference in one line for people: `undeclared: file /etc/foo: file 0644 root:root`."""
    match = re.fullmatch(r'(\w+)\["(.*)"\]', step["property"], re.DOTALL)
    if match is None:
        return f"{step['property']}: {step['have']}, {step['want']}"
    return f"undeclared: {acceptance(match[1], match[2])}: {step['have']}"


class Inventory(HostResource):
    """What is on a host and nobody declared. Read only: it shows in every preview, and an update warns of it.

    What packages shipped, what their programs made, what came with the machine and what is accepted is left
    out. Nothing is ever deleted.

    Attributes:
        accounts: accounts that can log in or have rights of root's.
        keys: keys that let somebody log in.
        files: files, folders and links, by path.
        units: units of systemd.
        programs: programs with rights of their own, and changed files of packages.
        packages: packages, and where they come from.
        kernel: settings, routes, addresses and interfaces.
        docker: containers, networks, volumes and plugins.
        accepted: what else may be there, with the reason.
        baseline: when what came with the machine was recorded, and how much it was.
    """

    accounts: pulumi.Output[dict[str, str]]
    keys: pulumi.Output[dict[str, str]]
    files: pulumi.Output[dict[str, str]]
    units: pulumi.Output[dict[str, str]]
    programs: pulumi.Output[dict[str, str]]
    packages: pulumi.Output[dict[str, str]]
    kernel: pulumi.Output[dict[str, str]]
    docker: pulumi.Output[dict[str, str]]
    accepted: pulumi.Output[dict[str, str]]
    baseline: pulumi.Output[dict[str, str]]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        containers: Sequence[str] = (),
        networks: Mapping[str, Sequence[str]] | None = None,
        volumes: Sequence[str] = (),
        sources: Sequence[str] = (),
        accepted: Mapping[str, str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare it.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            containers: the containers of Docker that are declared.
            networks: the networks of Docker that are declared, each with the containers in it.
            volumes: the volumes of Docker that are declared.
            sources: apt's sources beside the distribution's, as URIs.
            accepted: what else may be there, such as `file /etc/foo` → why.
            opts: resource options.
        """
        super().__init__(
            InventoryProvider,
            name,
            host=host,
            adopt=False,
            inputs={
                "containers": sorted(containers),
                "networks": {net: ",".join(sorted(who)) for net, who in sorted((networks or {}).items())},
                "volumes": sorted(volumes),
                "sources": sorted(sources),
                "accepted": dict(accepted or {}),
                **{each: {} for each in MAPS},
            },
            outputs=("baseline",),
            opts=opts,
        )
