"""fail2ban's own files, and the jails for the SSH server and for nginx, from the settings.

Bans by the jails of nginx are much shorter than for SSH. Visitors of a site are people: somebody may have
mistyped a password, or a whole office may share one address. An hour stops an attack, and an address that
continues is banned for longer each time.
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

# fail2ban reads this file after the package's defaults-debian.conf and before jail.local. So it sets defaults
# that people can override.
DEFAULTS_PATH = f"{FOLDER}/jail.d/{OURS}.conf"
SERVER_PATH = f"{FOLDER}/fail2ban.local"
TEST = ["fail2ban-client", "-t"]

HTTP_AUTH, LIMIT_REQ, UNKNOWN_HOST = "nginx-http-auth", "nginx-limit-req", "nginx-unknown-host"
"""The names of nginx's jails. The first two are also the names of their filters, from the package."""

FILTER = "portcullis-unknown-host"
FILTER_PATH = f"{FOLDER}/filter.d/{FILTER}.conf"
"""The path of our filter. A changed filter needs a new name: a jail does not notice a change of the file."""

FAILURES = r'^<ADDR> - .* \[\] "[^"]*" (?:400|421|444) \d+ "'
"""The pattern of a failure in the log of requests for unknown hosts. fail2ban removes the time in brackets.

nginx writes a quote inside a field as \\x22. So a client can forge neither the status nor the address.
"""


def defaults(resource: str, args: Fail2banArgs) -> str:
    """Render the defaults of every jail, including jails that people add by hand."""
    find_time, ban_time, longest = seconds(args.find_time), seconds(args.ban_time), seconds(_longest(args))
    return header(resource, "fail2ban: the defaults of every jail.") + (
        f"""
[DEFAULT]
# Bans go into the table `inet f2b-table`. They apply to IPv4 and IPv6, before all rules of ufw.
banaction = nftables
banaction_allports = nftables[type=allports]
# Never banned: this host itself and the declared addresses.
ignoreip = {" ".join(ignored(args.ignore))}
maxretry = {args.max_retry}
# {in_words(find_time)}: the time within which failures count.
findtime = {find_time}
# {in_words(ban_time)}: how long the first ban lasts. Each further ban of the same address lasts twice as long
# as the one before.
bantime = {ban_time}
bantime.increment = true
# {in_words(longest)}: how long a ban lasts at most.
bantime.maxtime = {longest}

# The package enables this jail. On Debian 12 it needs a file auth.log that no longer exists, so the whole
# server would not start. Each declared jail has its own file, which overrides this one.
[sshd]
enabled = false
"""
    )


def server(resource: str, args: Fail2banArgs) -> str:
    """Render fail2ban.local, the settings of the server itself."""
    kept = seconds(args.ban_time)
    return header(resource, "fail2ban: the settings of the server itself.") + (
        f"""
[Definition]
# {in_words(kept)}: the database keeps an address for three times its last ban, and this much longer. Only
# addresses in the database count as repeat offenders.
dbpurgeage = {kept}
# This is the default. It is written down because some versions warn without it.
allowipv6 = auto
"""
    )


def sshd(args: Fail2banArgs, port: int) -> dict[str, Value]:
    """Return the options of the jail for the SSH server, which listens on `port`."""
    return {
        # The mode is a part of the filter: as a separate option it has no effect together with a filter.
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

    Why each limit has its value:

    - Wrong passwords: a browser first asks without a password, which the filter does not count.
    - Requests over a site's limit: nginx already refuses them (429). The jail is for programs that continue
      all the same. A busy page may exceed the limit by some dozens of requests, and an office shares one
      address.
    - Requests for an unknown host: people reload while they wait for a new name to work, and a browser tries
      several times each time.
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

    fail2ban's own `nginx-botsearch` counts only 404 answers for certain paths. This host answers no such
    request with 404, and any path counts.
    """
    return header(resource, "fail2ban: finds requests for host names that are not sites of this host.") + (
        rf"""
[Definition]
# 444: unknown site, closed without an answer. 421: the handshake and the request name different hosts.
# 400: not a valid HTTP request. This log has no requests of certificate authorities.
failregex = {FAILURES}
ignoreregex =
# In the format `combined` the time is in brackets, after a user name that the client can choose.
datepattern = \[(%%d/%%b/%%Y:%%H:%%M:%%S %%z)\]
"""
    )


def _proxy_jail(
    args: ProxyJailsArgs, filter_: str, logs: Sequence[str], *, failures: int
) -> dict[str, Value]:
    return {
        "filter": filter_,
        # nginx writes files. Newer packages read the journal by default, and would find nothing there.
        "backend": "auto",
        # Each log by its path. fail2ban expands a pattern only when the jail starts, and misses later sites.
        "logpath": list(logs),
        # Not all ports, so that a banned address can still log in by SSH.
        "port": "http,https",
        "banaction": "nftables",
        "maxretry": failures,
        "findtime": "10m",
        "bantime": "1h",
        "bantime.increment": True,
        "bantime.maxtime": args.max_ban_time,
    }


def _longest(args: Fail2banArgs) -> str:
    """Return the longest ban, which is at least as long as the first one."""
    return max(args.ban_time, args.max_ban_time, key=seconds)
