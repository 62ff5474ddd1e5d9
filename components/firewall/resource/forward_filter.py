"""The nftables table of a host that decides what may be forwarded, live and after every boot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.components.firewall.facts import (
    ENABLED,
    PERMISSIONS,
    TABLE,
    ForwardFilterDesired,
    ForwardFilterFacts,
)
from portcullis.components.firewall.render import forward_filter as render
from portcullis.host.guarded import GuardedProvider
from portcullis.host.provider import ABSENT, Normaliser
from portcullis.host.resource import HostResource

if TYPE_CHECKING:
    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props


class ForwardFilterProvider(GuardedProvider):
    """Provider of `ForwardFilter`."""

    kind = "firewall.forward_filters"
    desired_type = ForwardFilterDesired
    facts_type = ForwardFilterFacts
    live = ("table", "file", "unit", "boot", "permissions")
    identity = ("host",)

    def normalise(self, inputs: Normaliser) -> None:
        """Check that the table is one, and ours; the rest follows from it."""
        table = inputs.text("table")
        if table is not None and not (table.startswith(f"table {TABLE} {{\n") and table.endswith("\n}\n")):
            inputs.fail("table", f"must be the whole of table {TABLE}, as nft lists it")
        inputs.keep("file", "unit", "boot", "permissions")

    def live_inputs(self, facts: ForwardFilterFacts) -> Props:
        """Add what flushes the table, only where something does."""
        conflict = {"conflict": facts.conflict} if facts.conflict else {}
        return super().live_inputs(facts) | conflict

    def absent_inputs(self) -> Props:
        """Return a host that forwards everything."""
        return {"table": ABSENT, "file": ABSENT, "unit": ABSENT, "boot": ABSENT}


class ForwardFilter(HostResource):
    """What may be forwarded through a host, to and from its containers: table `inet portcullis`.

    The kernel's table is compared with the declared one line by line. A unit of its own loads it at boot,
    before the network and before Docker. A host has one.

    Attributes:
        table: the table as `nft -s list table inet portcullis` prints it.
        boot: "enabled" if the unit starts at boot.
    """

    table: pulumi.Output[str]
    boot: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        table: str,
        adopt: bool | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the filter. nft has to be there: depend on the package nftables.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            table: the table in nft's own spelling; `firewall/render/forward_filter.py` writes it.
            adopt: take over a table or file of this name that differs.
            opts: resource options.
        """
        super().__init__(
            ForwardFilterProvider,
            name,
            host=host,
            adopt=adopt,
            inputs={
                "table": table,
                "file": render.file(name, table),
                "unit": render.unit(name),
                "boot": ENABLED,
                "permissions": PERMISSIONS,
            },
            opts=opts,
        )
