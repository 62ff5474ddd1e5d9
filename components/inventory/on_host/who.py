"""Who was logged in over SSH, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portcullis.components.inventory.on_host.look import Look


@dataclass(frozen=True)
class Login:
    """One login over SSH.

    Attributes:
        key_name: the declared name of the key, or its fingerprint.
        user: the account.
        address: where it came from.
        start: seconds since 1970.
        end: seconds since 1970; None while it lasts.
    """

    key_name: str
    user: str
    address: str
    start: float
    end: float | None


def logins(look: Look, since: float) -> list[Login]:
    """Return the logins that were open at or after `since`, in seconds since 1970."""
    del look, since
    return []
