"""The resource `Inventory`: undeclared files, accounts, packages and other items on a host."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from portcullis.components.inventory import inventory_keys, report_lines
from portcullis.components.inventory.facts import (
    FORMER,
    MAPS,
    InventoryDesired,
    InventoryFacts,
    acceptance,
)
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
    instead_of_import = "declare the resource instead; it only checks the host"
    # The maps are outputs and inputs. After an update, the state contains what is on the host, not what
    # should be.
    chosen = (*MAPS, "baseline", "advice")

    def normalise(self, inputs: Normaliser) -> None:
        """Fill in empty lists and maps, and check the accepted keys."""
        for name in ("containers", "volumes", "sources"):
            inputs.inputs[name] = inputs.news.get(name) or []
        for name in ("networks", "accepted", *MAPS):
            found = inputs.news.get(name)
            inputs.inputs[name] = found if found is not None else {}
        accepted = inputs.inputs["accepted"]
        for key, reason in accepted.items() if is_known(accepted) else ():
            if not re.fullmatch(inventory_keys.ACCEPTED, key):
                inputs.fail("accepted", f"{key!r} is not a key; copy the preview's line up to the colon")
            if is_known(reason) and not (isinstance(reason, str) and reason.strip()):
                inputs.fail("accepted", f"{key!r} needs a reason")

    def apply(self, channel: Channel, item: Item, props: Props) -> Json:
        """Change nothing, and print a warning for each difference."""
        answer = self.put(channel, item, props)
        for step in answer["steps"]:
            warn(props["managed_by"], line(step))
        facts: Json = answer["facts"]
        # This `up` removes the containers of former releases after this resource has read the host.
        kept = {key: text for key, text in facts["docker"].items() if text not in FORMER}
        return {**facts, "docker": kept}

    def lines(self, change: Change) -> list[Line]:
        """Return a line for each undeclared item."""
        return report_lines.lines(change)

    def desired(self, props: Props) -> InventoryDesired:
        """Return the declared inventory.

        In the state, the maps contain the items that the last refresh found, so this function empties them.
        """
        found: InventoryDesired = super().desired({**props, **{name: {} for name in MAPS}})
        return found

    def absent_inputs(self) -> Props:
        """Return nothing, because this resource is never absent."""
        return {}


def line(step: Mapping[str, str]) -> str:
    """Return one difference as a line for people: `undeclared: file /etc/foo: file 0644 root:root`."""
    match = re.fullmatch(r'(\w+)\["(.*)"\]', step["property"], re.DOTALL)
    if match is None:
        return f"{step['property']}: {step['have']}, {step['want']}"
    return f"undeclared: {acceptance(match[1], report_lines.subject(match[2]))}: {step['have']}"


class Inventory(HostResource):
    """Undeclared items on a host. The resource only reads: a preview shows each item, and an `up` warns.

    The inventory leaves out files of packages, files that programs of packages made, items that came with the
    machine, and items that the settings accept. The resource deletes nothing.

    Attributes:
        accounts: accounts that can log in or that have rights of root.
        keys: keys that let somebody log in.
        files: files, folders and links, by path.
        units: systemd units.
        programs: programs with special rights, and changed files of packages.
        packages: packages, with their origin.
        kernel: kernel settings, routes, addresses and interfaces.
        docker: containers, networks, volumes and plugins.
        accepted: undeclared items that may stay, each with the reason.
        baseline: the time when the baseline was recorded, and its number of entries.
        advice: the severity and the fixes of entries, by the name of their map and by key.
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
    advice: pulumi.Output[dict[str, dict[str, Any]]]

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
        """Declare the items that may be on the host.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            containers: names of Docker containers that are no `PrivateContainer`. A container with such a
                name shows if it is dangerous.
            networks: the declared Docker networks, each with the containers in it.
            volumes: the declared Docker volumes.
            sources: the declared apt sources, as URIs. Do not list the distribution's own sources.
            accepted: undeclared items that may stay, such as `file /etc/foo` → the reason.
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
            outputs=("baseline", "advice"),
            opts=opts,
        )
