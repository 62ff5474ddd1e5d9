"""The data that both halves of `BackupStatus` exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec

FRESH = "fresh"
"""The declared state of the backup of every store."""


@dataclass(frozen=True)
class BackupStatusSpec(Spec):
    """The backups to read.

    Attributes:
        unit: the service that makes the backups.
        status: absolute path of the file where the service notes each store's last success.
        hours: how old the last success may be.
        stores: the names of the stores.
    """

    unit: str
    status: str
    hours: float
    stores: Sequence[str]


@dataclass(frozen=True)
class BackupStatusDesired(Desired):
    """Fresh backups as declared.

    Attributes:
        unit: the service that makes the backups.
        status: absolute path of the file where the service notes each store's last success.
        hours: how old the last success may be.
        stores: the names of the stores, each with `FRESH`.
    """

    unit: str
    status: str
    hours: float
    stores: Mapping[str, str]

    @property
    def id(self) -> str:
        """The service."""
        return self.unit

    def spec(self) -> BackupStatusSpec:
        """Return the backups to read."""
        return BackupStatusSpec(self.unit, self.status, self.hours, sorted(self.stores))


@dataclass(frozen=True)
class BackupStatusFacts(Facts):
    """How fresh the backups are. If the job never ran, each store says so.

    Attributes:
        stores: the names of the stores, each with `FRESH` or with the last success and what is wrong.
    """

    stores: Mapping[str, str] = field(default_factory=dict)
