"""fail2ban's jails for what nginx logs: wrong passwords, requests over the limit, requests for no site.

Bans here are much shorter than for SSH. Who visits a site is a person: one who mistyped, or an office with
one address for all. An hour ends an attack's run, and who comes back is out for longer each time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portcullis.components.fail2ban.render.fail2ban import FOLDER
from portcullis.rendering import header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.components.fail2ban.render.fail2ban import Value

HTTP_AUTH, LIMIT_REQ, UNKNOWN_HOST = "nginx-http-auth", "nginx-limit-req", "nginx-unknown-host"
"""Names of the jails; those of the first two are their filters' as well, which the package brings."""

FILTER = "portcullis-unknown-host"
FILTER_PATH = f"{FOLDER}/filter.d/{FILTER}.conf"
"""A jail does not follow its filter's file: a filter that changes gets another name."""

FAILURES = r'^<ADDR> - .* \[\] "[^"]*" (?:400|421|444) \d+ "'
"""What counts, in the log of the servers for unknown hosts; fail2ban takes the time out of the brackets.

nginx writes a quote within a field as \\x22, so the status is nginx's own word and the address always is.
"""


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


def http_auth(logs: Sequence[str], longest: str) -> dict[str, Value]:
    """Return the options of the jail for wrong passwords of basic authentication.

    A browser asks without a password first: that is no failure to the filter.
    """
    return _options(HTTP_AUTH, logs, longest, failures=5)


def limit_req(logs: Sequence[str], longest: str) -> dict[str, Value]:
    """Return the options of the jail for requests over a site's limit.

    They are refused already (429), so this is for programs that go on all the same. A hundred: a page that
    overshoots the limit does so by some dozens of requests, and an office shares one address.
    """
    return _options(LIMIT_REQ, logs, longest, failures=100)


def unknown_host(log: str, longest: str) -> dict[str, Value]:
    """Return the options of the jail for requests that name no site.

    Thirty: somebody who waits for a new name to work reloads, and each time a browser tries more than once.
    """
    return _options(FILTER, [log], longest, failures=30)


def _options(filter_: str, logs: Sequence[str], longest: str, *, failures: int) -> dict[str, Value]:
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
        "bantime.maxtime": longest,
    }
