"""The data about backups that the provider and the host exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec

FRESH = "fresh"
"""The declared state of each store's backup: it is not older than the allowed age."""


@dataclass(frozen=True)
class BackupStatusSpec(Spec):
    """The spec by which the agent reads the state of the backups.

    Attributes:
        unit: the service that makes the backups.
        status: absolute path of the file where the service notes the last good backup of each store.
        hours: the highest allowed age of a store's last backup, in hours.
        stores: the names of the stores.
    """

    unit: str
    status: str
    hours: float
    stores: Sequence[str]


@dataclass(frozen=True)
class BackupStatusDesired(Desired):
    """The declared state: the backup of each store is fresh.

    Attributes:
        unit: the service that makes the backups.
        status: absolute path of the file where the service notes the last good backup of each store.
        hours: the highest allowed age of a store's last backup, in hours.
        stores: the names of the stores, each with the state `FRESH`.
    """

    unit: str
    status: str
    hours: float
    stores: Mapping[str, str]

    @property
    def id(self) -> str:
        """The name of the service."""
        return self.unit

    def spec(self) -> BackupStatusSpec:
        """Return the spec by which the agent reads the state of the backups."""
        return BackupStatusSpec(self.unit, self.status, self.hours, sorted(self.stores))


@dataclass(frozen=True)
class BackupStatusFacts(Facts):
    """The state of the backups: whether each store has a fresh backup.

    If the job never ran, each store counts as never backed up.

    Attributes:
        stores: the names of the stores. The value of each store is `FRESH`, or a text about its last good
            backup and the fault.
    """

    stores: Mapping[str, str] = field(default_factory=dict)
