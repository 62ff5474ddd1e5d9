"""When a certificate is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.plugins.values import Properties


def ready_for_renewal(state: Properties) -> bool:
    """Whether the certificate is within `earlyRenewalHours` of its end, or past it."""
    end = datetime.fromisoformat(state["validityEndTime"][:19] + "+00:00")
    return datetime.now(UTC) >= end - timedelta(hours=state.get("earlyRenewalHours") or 0)
