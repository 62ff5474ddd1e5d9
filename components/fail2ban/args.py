"""The settings sections for a host's fail2ban and for the jails of its nginx."""

from __future__ import annotations

from typing import Annotated, ClassVar

from portcullis.components.nginx import render as nginx
from portcullis.config.forms import Duration, Network
from portcullis.config.section import Section, Written
from portcullis.config.value_types import ListOf, Number, Text

Tries = Annotated[int, Number("a number of tries", 1, 1000)]
LogFile = Annotated[
    str, Text("the path of a log file", r"(?:/[A-Za-z0-9._-]+)+", "write its whole path, without a pattern")
]
# The longest ban, for the jails of nginx and for all others.
_LONGEST = "8w"


class Fail2banArgs(Section):
    """Who is banned, and for how long. Write times as 600 (seconds), 10m, 12h, 7d or 8w."""

    what: ClassVar[str] = "fail2ban"

    ignore: ListOf[Network] = ()
    """Addresses and networks that are never banned, besides the host's own."""
    max_retry: Tries = 5
    """The number of failed logins that leads to a ban."""
    find_time: Duration = "10m"
    """The time within which failed logins count."""
    ban_time: Duration = "7d"
    """How long the first ban lasts. Each further ban lasts twice as long as the one before."""
    max_ban_time: Duration = _LONGEST
    """How long a ban lasts at most. If the first ban is longer, its length is the maximum."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse a network that contains every address."""
        _refuse_everybody(written, "ignore")


class ProxyJailsArgs(Section):
    """Which requests to nginx lead to a ban, and how long the ban lasts."""

    what: ClassVar[str] = "the jails of nginx"

    error_logs: ListOf[LogFile] = ()
    """The error logs of the sites. All files have to exist, empty or not."""
    auth: bool = False
    """Whether a site asks for passwords."""
    ignore: ListOf[Network] = ()
    """Addresses and networks that are never banned, besides the host's own."""
    proxies: ListOf[Network] = ()
    """Proxies in front of this host, which are never banned. Otherwise a request that does not name its
    client would ban the proxy, and so everybody behind it."""
    unknown_host_log: LogFile = nginx.UNKNOWN_HOST_LOG
    """The access log of requests for unknown host names, in nginx's format `combined`."""
    max_ban_time: Duration = _LONGEST
    """How long a ban lasts at most. The first ban lasts an hour."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse a network that contains every address, and a jail without a log."""
        _refuse_everybody(written, "ignore")
        _refuse_everybody(written, "proxies")
        if written.get("auth") is True and not written.get("error_logs"):
            written.at.field("auth").report(
                "needs the logs of the sites: wrong passwords are in them",
                f"name them under {written.at.spell('error_logs')}",
            )


def _refuse_everybody(written: Written, field: str) -> None:
    for network, place in written.elements(field):
        if str(network).endswith("/0"):
            place.refuse(network, "is every address", "nobody would ever be banned")
