"""Tells when a certificate is due for renewal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.plugins.values import Properties


def ready_for_renewal(state: Properties) -> bool:
    """Return whether the certificate has ended, or ends within `earlyRenewalHours`."""
    end = datetime.fromisoformat(state["validityEndTime"][:19] + "+00:00")
    return datetime.now(UTC) >= end - timedelta(hours=state.get("earlyRenewalHours") or 0)
