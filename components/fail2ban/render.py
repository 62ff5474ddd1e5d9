"""fail2ban's own files, and the jails for the SSH server and for nginx, from the settings.

Bans for what nginx logs are much shorter than for SSH. Who visits a site is a person: one who mistyped, or an
office with one address for all. An hour ends an attack's run, and who comes back is out for longer each time.
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

# Read after the package's defaults-debian.conf and before anybody's jail.local: defaults, and no more.
DEFAULTS_PATH = f"{FOLDER}/jail.d/{OURS}.conf"
SERVER_PATH = f"{FOLDER}/fail2ban.local"
TEST = ["fail2ban-client", "-t"]

HTTP_AUTH, LIMIT_REQ, UNKNOWN_HOST = "nginx-http-auth", "nginx-limit-req", "nginx-unknown-host"
"""Names of nginx's jails; those of the first two are their filters' as well, which the package brings."""

FILTER = "portcullis-unknown-host"
FILTER_PATH = f"{FOLDER}/filter.d/{FILTER}.conf"
"""A jail does not follow its filter's file: a filter that changes gets another name."""

FAILURES = r'^<ADDR> - .* \[\] "[^"]*" (?:400|421|444) \d+ "'
"""What counts, in the log of the servers for unknown hosts; fail2ban takes the time out of the brackets.

nginx writes a quote within a field as \\x22, so the status is nginx's own word and the address always is.
"""


def defaults(resource: str, args: Fail2banArgs) -> str:
    """Render what holds for every jail that says nothing else, also for those that people add by hand."""
    find_time, ban_time, longest = seconds(args.find_time), seconds(args.ban_time), seconds(_longest(args))
    return header(resource, "fail2ban: what holds for every jail that says nothing else") + (
        f"""
[DEFAULT]
# A table of its own, `inet f2b-table`: it bans IPv4 and IPv6 alike, before ufw's rules, whatever their order.
banaction = nftables
banaction_allports = nftables[type=allports]
# Never banned: this host itself, and the addresses that are declared.
ignoreip = {" ".join(ignored(args.ignore))}
maxretry = {args.max_retry}
# {in_words(find_time)}.
findtime = {find_time}
# {in_words(ban_time)}; each further ban of the same address lasts twice as long as the one before.
bantime = {ban_time}
bantime.increment = true
# {in_words(longest)}: the longest ban.
bantime.maxtime = {longest}

# The package enables this jail, and on Debian 12 it looks for an auth.log that is not written any more: the
# whole server would not start. Jails run when they are declared, in files of their own that win over this.
[sshd]
enabled = false
"""
    )


def server(resource: str, args: Fail2banArgs) -> str:
    """Render fail2ban.local, the settings of the server itself."""
    kept = seconds(args.ban_time)
    return header(resource, "fail2ban: the server itself") + (
        f"""
[Definition]
# {in_words(kept)}: the database keeps an address for three times its last ban, and this much longer. Only
# addresses in the database count as repeat offenders.
dbpurgeage = {kept}
# The default, said: some versions warn when it is not.
allowipv6 = auto
"""
    )


def sshd(args: Fail2banArgs, port: int) -> dict[str, Value]:
    """Return the options of the jail for the SSH server, which listens on `port`."""
    return {
        # The mode stands here: as an option of its own it has no effect beside a filter that is named.
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
    """Return the options of nginx's jails by the name of each.

    Wrong passwords: a browser asks without one first, which is no failure to the filter. Requests over a
    site's limit are refused already (429): the jail is for programs that go on all the same. A page that
    overshoots the limit does so by some dozens of requests, and an office shares one address. Requests for no
    site: somebody who waits for a new name to work reloads, and each time a browser tries more than once.
    """
    jails = {UNKNOWN_HOST: _proxy_jail(args, FILTER, [args.unknown_host_log], failures=30)}
    logs = sorted(args.error_logs)
    if logs:
        jails[LIMIT_REQ] = _proxy_jail(args, LIMIT_REQ, logs, failures=100)
    if args.auth:
        jails[HTTP_AUTH] = _proxy_jail(args, HTTP_AUTH, logs, failures=5)
    return jails


def unknown_host_filter(resource: str) -> str:
    """Render the filter for requests that name no site.

    fail2ban's own `nginx-botsearch` wants a 404 and one of a list of paths: here nobody gets a 404, and any
    path will do.
    """
    return header(resource, "fail2ban: who asks this host for names that are no site of it") + (
        rf"""
[Definition]
# 444: no such site, closed unanswered. 421: a handshake for one name and a request for another. 400: what is
# no HTTP at all. A certificate authority's questions are not in this log.
failregex = {FAILURES}
ignoreregex =
# In the combined format the time stands in brackets, behind a name that the client may choose.
datepattern = \[(%%d/%%b/%%Y:%%H:%%M:%%S %%z)\]
"""
    )


def _proxy_jail(
    args: ProxyJailsArgs, filter_: str, logs: Sequence[str], *, failures: int
) -> dict[str, Value]:
    return {
        "filter": filter_,
        # nginx writes files. Newer packages look into the journal by default, and would see nothing there.
        "backend": "auto",
        # One by one: a pattern is looked up once, when the jail starts, and a site that came later is missed.
        "logpath": list(logs),
        # Not all ports: whoever is banned from the sites may still log in.
        "port": "http,https",
        "banaction": "nftables",
        "maxretry": failures,
        "findtime": "10m",
        "bantime": "1h",
        "bantime.increment": True,
        "bantime.maxtime": args.max_ban_time,
    }


def _longest(args: Fail2banArgs) -> str:
    """Return the longest ban: none is shorter than the first."""
    return max(args.ban_time, args.max_ban_time, key=seconds)
