"""The resource for a host's nftables table of forwarded packets, in the kernel and after every boot."""

from __future__ import annotations

import shlex
from dataclasses import replace
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
from portcullis.provider.changes import STAYS, Line, Section, Severity, difference, with_rest

if TYPE_CHECKING:
    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change

_NAME = "forward filter"


class ForwardFilterProvider(GuardedProvider):
    """Provider of `ForwardFilter`."""

    kind = "firewall.forward_filters"
    section = Section.FIREWALL
    desired_type = ForwardFilterDesired
    facts_type = ForwardFilterFacts
    live = ("table", "file", "unit", "boot", "permissions")
    identity = ("host",)

    def normalise(self, inputs: Normaliser) -> None:
        """Check that the text is exactly our table. The other inputs follow from the table."""
        table = inputs.text("table")
        if table is not None and not (table.startswith(f"table {TABLE} {{\n") and table.endswith("\n}\n")):
            inputs.fail("table", f"must be the whole of table {TABLE}, as nft lists it")
        inputs.keep("file", "unit", "boot", "permissions")

    def live_inputs(self, facts: ForwardFilterFacts) -> Props:
        """Return the live inputs, and add `conflict` if a unit would flush the table."""
        conflict = {"conflict": facts.conflict} if facts.conflict else {}
        return super().live_inputs(facts) | conflict

    def absent_inputs(self) -> Props:
        """Return the inputs of a host without the filter."""
        return {"table": ABSENT, "file": ABSENT, "unit": ABSENT, "boot": ABSENT}

    def lines(self, change: Change) -> list[Line]:
        """Report whether the filter is loaded. A filter that is not loaded is the worst difference."""
        if change.op == "update" and change.live.get("table") == ABSENT:
            opened = "is not loaded: containers can be reached"
            return [Line(_NAME, opened, "up loads it", Severity.OPEN, at=("table",), topic=_NAME)]
        return [replace(line, subject=_NAME) for line in super().lines(change)]

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Report each part of the filter that differs."""
        follows = change.changes("table") and not change.by_hand(("file",))
        found = [
            Line(
                subject,
                what,
                "up loads it" if name == "table" else "",
                (Severity.OPEN if name == "table" else Severity.WRONG)
                if change.by_hand((name,))
                else Severity.COSMETIC,
                at=(name,),
                topic=_NAME,
            )
            for name, what in (
                ("table", "has other rules"),
                ("boot", difference(change, "boot")),
                ("file", "its file differs"),
                ("unit", "its unit differs"),
                ("permissions", difference(change, "permissions")),
            )
            # The file has the table, so a new table is one line.
            if change.changes(name) and not (name == "file" and follows)
        ]
        if change.changes("conflict"):
            # The inventory also reports the enabled unit, under the same topic.
            unit = str(change.live.get("conflict")).partition(" ")[0]
            # The command has no --now, because a stop of this unit flushes all rules.
            remedy = f"{STAYS}; remove it yourself: systemctl disable {shlex.quote(unit)}"
            what = f"{change.live.get('conflict')}, which flushes all rules"
            found.append(
                Line(subject, what, remedy, Severity.OPEN, at=("conflict",), topic=f"unit {unit}", echo=True)
            )
        return with_rest(change, subject, found, *(("file",) if follows else ()))


class ForwardFilter(HostResource):
    """The filter for packets that a host forwards to and from its containers: table `inet portcullis`.

    A preview compares the kernel's table with the declared table line by line. A systemd unit loads the table
    at boot, before the network and before Docker. A host has only one forward filter.

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
        """Declare the filter. It needs nft, so depend on the package nftables.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            table: the table in nft's own spelling; `firewall/render/forward_filter.py` writes it.
            adopt: take over an existing table or file of this name that differs.
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
