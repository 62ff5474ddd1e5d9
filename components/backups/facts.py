"""What both halves of `BackupStatus` exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portcullis.agent.wire import Desired, Facts, Spec

FRESH = "fresh"
"""What is declared of every store."""


@dataclass(frozen=True)
class BackupStatusSpec(Spec):
    """Which backups to look at.

    Attributes:
        unit: the service that backs up.
        status: absolute path of the file in which it notes each store's last success.
        hours: how old the last success may be.
        stores: names.
    """

    unit: str
    status: str
    hours: float
    stores: Sequence[str]


@dataclass(frozen=True)
class BackupStatusDesired(Desired):
    """Fresh backups as they are declared.

    Attributes:
        unit: the service that backs up.
        status: absolute path of the file in which it notes each store's last success.
        hours: how old the last success may be.
        stores: names, each with `FRESH`.
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
        """Return which backups to look at."""
        return BackupStatusSpec(self.unit, self.status, self.hours, sorted(self.stores))


@dataclass(frozen=True)
class BackupStatusFacts(Facts):
    """How fresh the backups are. A job that never ran shows store by store.

    Attributes:
        stores: each name with `FRESH`, or since when it is not and why.
    """

    stores: Mapping[str, str] = field(default_factory=dict)
