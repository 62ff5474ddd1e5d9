"""What is particular about a host's fail2ban."""

from __future__ import annotations

from typing import Annotated, ClassVar

from portcullis.config.forms import Duration, Network
from portcullis.config.kinds import ListOf, Number
from portcullis.config.section import Section, Written

Tries = Annotated[int, Number("a number of tries", 1, 1000)]


class Fail2banArgs(Section):
    """Who is banned, and for how long. Times are written as 600 (seconds), 10m, 12h, 7d or 8w."""

    what: ClassVar[str] = "fail2ban"

    ignore: ListOf[Network] = ()
    """Addresses and networks that are never banned, besides the host's own."""
    max_retry: Tries = 5
    """Failed logins until the ban."""
    find_time: Duration = "10m"
    """The time within which they count."""
    ban_time: Duration = "7d"
    """How long the first ban lasts. Each further ban lasts twice as long as the one before."""
    max_ban_time: Duration = "8w"
    """How long a ban lasts at most. A longer `banTime` wins."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse to ignore everybody."""
        for network, place in written.elements("ignore"):
            if str(network).endswith("/0"):
                place.refuse(network, "is every address", "nobody would ever be banned")
