"""The settings of a host's fail2ban, and of the jails for the host's nginx."""

from __future__ import annotations

from typing import Annotated, ClassVar

from portcullis.components.nginx import render as nginx
from portcullis.config.forms import Duration, Network
from portcullis.config.section import Section, Written
from portcullis.config.value_types import ListOf, Number, Text

Tries = Annotated[int, Number("a number of tries", 1, 1000)]
LogFile = Annotated[
    str,
    Text(
        "the path of a log file",
        r"(?:/[A-Za-z0-9._-]+)+",
        "write the whole path of the file, without a pattern",
    ),
]
# The default of the longest ban, for all jails.
_LONGEST = "8w"


class Fail2banArgs(Section):
    """Which addresses fail2ban bans, and for how long. Write times as 600 (seconds), 10m, 12h, 7d or 8w."""

    what: ClassVar[str] = "fail2ban"

    ignore: ListOf[Network] = ()
    """Addresses and networks that are never banned. The host's own addresses are never banned either."""
    max_retry: Tries = 5
    """The number of failed logins that leads to a ban."""
    find_time: Duration = "10m"
    """The time within which failed logins count together."""
    ban_time: Duration = "7d"
    """The duration of the first ban of an address. Each further ban of the same address lasts twice as long
    as the ban before."""
    max_ban_time: Duration = _LONGEST
    """The longest duration of a ban. If `banTime` is longer, `banTime` is the longest duration."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse a network that contains every address."""
        _refuse_everybody(written, "ignore")


class ProxyJailsArgs(Section):
    """Which requests to nginx lead to a ban, and how long the ban lasts."""

    what: ClassVar[str] = "the jails of nginx"

    error_logs: ListOf[LogFile] = ()
    """The error logs of the sites. All these files have to exist, but they may be empty."""
    auth: bool = False
    """Whether a site asks for passwords."""
    ignore: ListOf[Network] = ()
    """Addresses and networks that are never banned. The host's own addresses are never banned either."""
    proxies: ListOf[Network] = ()
    """Proxies in front of this host, which are never banned. A jail can ban a proxy that is missing here and
    that passes on a request without the client's address. Such a ban also stops every client behind the
    proxy."""
    unknown_host_log: LogFile = nginx.UNKNOWN_HOST_LOG
    """The access log of requests for unknown host names, in nginx's format `combined`."""
    max_ban_time: Duration = _LONGEST
    """The longest duration of a ban. The first ban lasts an hour."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse a network that contains every address, and a jail without a log."""
        _refuse_everybody(written, "ignore")
        _refuse_everybody(written, "proxies")
        if written.get("auth") is True and not written.get("error_logs"):
            written.at.field("auth").report(
                "needs the logs of the sites, because nginx logs wrong passwords in them",
                f"name the logs under {written.at.spell('error_logs')}",
            )


def _refuse_everybody(written: Written, field: str) -> None:
    for network, place in written.elements(field):
        if str(network).endswith("/0"):
            place.refuse(network, "contains every address", "nobody would ever be banned")
