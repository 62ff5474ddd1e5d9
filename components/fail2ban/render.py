"""Render fail2ban's own files, and the options of the jails for the SSH server and nginx.

A ban by a jail for nginx is much shorter than a ban by the jail for SSH. A banned visitor of a site may be a
person who mistyped a password, or a whole office with one address. A ban of an hour stops an attack. An
address that continues is banned for longer each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.components.fail2ban.facts import OURS
from portcullis.components.fail2ban.jail_options import (
    FOLDER,
    SSH_JOURNAL,
    Value,
    ignored,
    in_words,
    seconds,
)
from portcullis.rendering import header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.components.fail2ban.args import Fail2banArgs, ProxyJailsArgs

# fail2ban reads this file after the package's defaults-debian.conf and before jail.local. So our file sets
# defaults that people can override.
DEFAULTS_PATH = f"{FOLDER}/jail.d/{OURS}.conf"
SERVER_PATH = f"{FOLDER}/fail2ban.local"
TEST = ["fail2ban-client", "-t"]

HTTP_AUTH, LIMIT_REQ, UNKNOWN_HOST = "nginx-http-auth", "nginx-limit-req", "nginx-unknown-host"
"""The names of nginx's jails. fail2ban's package has filters with the first two names."""

FILTER = "portcullis-unknown-host"
FILTER_PATH = f"{FOLDER}/filter.d/{FILTER}.conf"
"""The path of our filter for unknown host names. A changed filter needs a new name, because a jail does not
notice a changed file."""

FAILURES = r'^<ADDR> - .* \[\] "[^"]*" (?:400|421|444) \d+ "'
"""The pattern of a failure in the log of requests for unknown hosts. fail2ban removes the time in brackets
before it applies the pattern.

nginx writes a quote inside a field as \\x22. So a client can forge neither the status nor the address.
"""


def defaults(resource: str, args: Fail2banArgs) -> str:
    """Render the defaults of every jail, including jails that people add by hand."""
    find_time, ban_time, longest = seconds(args.find_time), seconds(args.ban_time), seconds(_longest(args))
    return header(resource, "This file sets the defaults of all fail2ban jails.") + (
        f"""
[DEFAULT]
# fail2ban writes bans into the nftables table `inet f2b-table`. The bans apply to IPv4 and IPv6, before the
# rules of ufw.
banaction = nftables
banaction_allports = nftables[type=allports]
# fail2ban never bans this host itself and these addresses.
ignoreip = {" ".join(ignored(args.ignore))}
maxretry = {args.max_retry}
# {in_words(find_time)}: the time within which fail2ban counts the failures of an address.
findtime = {find_time}
# {in_words(ban_time)}: how long the first ban lasts. Each further ban of the same address lasts twice as long
# as the ban before.
bantime = {ban_time}
bantime.increment = true
# {in_words(longest)}: how long a ban lasts at most.
bantime.maxtime = {longest}

# fail2ban's package enables the jail sshd, which reads /var/log/auth.log. Debian 12 has no such file, and
# fail2ban does not start if a jail's log file is missing. If Portcullis declares the jail sshd, the jail's
# own file overrides this setting.
[sshd]
enabled = false
"""
    )


def server(resource: str, args: Fail2banArgs) -> str:
    """Render fail2ban.local, the settings of the server itself."""
    kept = seconds(args.ban_time)
    return header(resource, "This file configures the fail2ban server for all jails.") + (
        f"""
[Definition]
# fail2ban counts an address as a repeat offender only while the address is in fail2ban's database. The
# address stays in the database for {in_words(kept)} plus three times the length of its last ban, counted from
# the start of this ban.
dbpurgeage = {kept}
# This value is the default. Without this line, some versions of fail2ban print a warning.
allowipv6 = auto
"""
    )


def sshd(args: Fail2banArgs, port: int) -> dict[str, Value]:
    """Return the options of the jail for the SSH server, which listens on `port`."""
    return {
        # The mode is written as a part of the filter. As a separate option, it has no effect together with a
        # filter.
        "filter": "sshd[mode=aggressive]",
        "backend": "systemd",
        "journalmatch": SSH_JOURNAL,
        "port": port,
        "banaction": "nftables",
        "maxretry": args.max_retry,
        "findtime": args.find_time,
        "bantime": args.ban_time,
        "bantime.increment": True,
        "bantime.maxtime": _longest(args),
    }


def proxy_jails(args: ProxyJailsArgs) -> dict[str, dict[str, Value]]:
    """Return the options of each of nginx's jails, by name.

    Each limit has its value for a reason:

    - Wrong passwords: a browser first sends a request without a password. The filter does not count this
      request.
    - Requests over a site's limit: nginx already refuses such requests (429). The jail bans programs that
      ignore the answer 429. A busy page may exceed the limit by some dozens of requests, and an office shares
      one address.
    - Requests for an unknown host: people reload the page while they wait until a new name works. A browser
      sends several requests for each reload.
    """
    jails = {UNKNOWN_HOST: _proxy_jail(args, FILTER, [args.unknown_host_log], failures=30)}
    logs = sorted(args.error_logs)
    if logs:
        jails[LIMIT_REQ] = _proxy_jail(args, LIMIT_REQ, logs, failures=100)
    if args.auth:
        jails[HTTP_AUTH] = _proxy_jail(args, HTTP_AUTH, logs, failures=5)
    return jails


def unknown_host_filter(resource: str) -> str:
    """Render the filter for requests that name no site of this host.

    fail2ban's own `nginx-botsearch` counts only 404 answers for certain paths. nginx never answers a request
    for an unknown host with 404, and our filter counts every path.
    """
    return header(
        resource, "This fail2ban filter finds requests for host names that are not sites of this host."
    ) + (
        rf"""
[Definition]
# Status 444: nginx closed the connection, because it does not know the site. Status 421: the TLS handshake
# and the request name different hosts. Status 400: the request is not valid HTTP. The jail
# never bans a certificate authority, because nginx does not write an authority's requests to this log.
failregex = {FAILURES}
ignoreregex =
# In nginx's format `combined`, the time is in brackets after a user name that the client can choose.
datepattern = \[(%%d/%%b/%%Y:%%H:%%M:%%S %%z)\]
"""
    )


def _proxy_jail(
    args: ProxyJailsArgs, filter_: str, logs: Sequence[str], *, failures: int
) -> dict[str, Value]:
    return {
        "filter": filter_,
        # nginx logs to files. Newer packages of fail2ban read the journal by default, which has no such
        # entries.
        "backend": "auto",
        # Name each log by its path. fail2ban expands a pattern only when the jail starts, so it would miss
        # later sites.
        "logpath": list(logs),
        # Only these ports are closed, so that a banned address can still log in by SSH.
        "port": "http,https",
        "banaction": "nftables",
        "maxretry": failures,
        "findtime": "10m",
        "bantime": "1h",
        "bantime.increment": True,
        "bantime.maxtime": args.max_ban_time,
    }


def _longest(args: Fail2banArgs) -> str:
    """Return the longest ban, which is at least as long as the first ban."""
    return max(args.ban_time, args.max_ban_time, key=seconds)
