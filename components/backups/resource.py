"""The resource that checks the age of a host's backups. The backup job on the host notes this age."""

from __future__ import annotations

import re
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from portcullis.components.backups.facts import FRESH, BackupStatusDesired, BackupStatusFacts
from portcullis.host.provider import HostProvider, Normaliser, is_known
from portcullis.host.resource import HostResource
from portcullis.provider.changes import Line, Section, Severity, with_rest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}(?:\.[a-z][a-z0-9_]{0,39})?\Z")


class BackupStatusProvider(HostProvider):
    """Provider of `BackupStatus`."""

    kind = "backups"
    section = Section.DATA
    desired_type = BackupStatusDesired
    facts_type = BackupStatusFacts
    live = ("stores",)
    identity = ("host", "unit")
    sets = MappingProxyType({"stores": FRESH})
    instead_of_import = "declare the resource instead; it only checks the host"

    def normalise(self, inputs: Normaliser) -> None:
        """Check the inputs: the unit, the status file and the stores."""
        unit = inputs.text("unit")
        if unit is not None and not unit.endswith(".service"):
            inputs.fail("unit", f"{unit!r} is not the full name of a service")
        inputs.path("status")
        hours, stores = inputs.news.get("hours"), inputs.news.get("stores")
        inputs.inputs |= {"hours": hours, "stores": stores}
        if is_known(hours) and not (isinstance(hours, int | float) and hours > 0):
            inputs.fail("hours", f"{hours!r} is not a number of hours")
        if not is_known(stores):
            return
        for name in stores or ():
            if not _NAME.match(name):
                inputs.fail("stores", f"{name!r} is not the name of a store")

    def absent_inputs(self) -> Props:
        """Return no inputs.

        This resource is never absent: without any run, each store counts as never backed up.
        """
        return {}

    def lines(self, change: Change) -> list[Line]:
        """Report each store without a fresh backup, and the age of its last backup."""
        if change.op != "update":
            return [replace(line, follows=True) for line in super().lines(change)]
        found = [
            Line(f"backup of {store}", str(live), "up takes one now", Severity.WRONG, at=("stores", store))
            for store, live, goal in change.entries("stores")
            if live is not None and goal is not None
        ]
        return with_rest(change, "backups", found)


class BackupStatus(HostResource):
    """Checks that every store has a fresh backup.

    An old or missing backup shows as drift, and `up` takes a new backup.

    Attributes:
        stores: each store with "fresh", or with a text about its last good backup and the fault.
    """

    stores: pulumi.Output[dict[str, str]]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        unit: str,
        status: str,
        stores: Sequence[str],
        hours: float = 48,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare that each store has a fresh backup.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            unit: the service that makes the backups, such as "portcullis-backup.service".
            status: the file where the service notes the last good backup of each store.
            stores: the names of the stores.
            hours: the highest allowed age of a store's last backup, in hours.
            opts: resource options.
        """
        super().__init__(
            BackupStatusProvider,
            name,
            host=host,
            adopt=False,
            inputs={
                "unit": unit,
                "status": status,
                "hours": hours,
                "stores": dict.fromkeys(sorted(stores), FRESH),
            },
            outputs=(),
            opts=opts,
        )
