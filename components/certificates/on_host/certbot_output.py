"""What certbot says when it fails, in the words of the authority, for people.

Its output is long and ends with advice about logs. The same blocks are in its log, where the timer's renewals
leave their reasons.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_SHOWN = 300  # characters of one reason
_TAIL = 15  # lines, where nothing is recognised

# "  Domain: x", "  Type:   unauthorized", "  Detail: …", which may go on in the following lines.
_PROBLEM = re.compile(
    r"^ *(?:Domain|Identifier): *(?P<domain>\S+)\n *Type: *(?P<type>\S+)\n"
    r" *Detail: *(?P<detail>.+(?:\n(?! *(?:Domain|Identifier|Hint):|\d{4}-\d\d-).*\S.*)*)",
    re.MULTILINE,
)
_UNEXPECTED = re.compile(r"^(?:.*:)?An unexpected error occurred:\n(?P<what>.+)", re.MULTILINE)
_RENEWAL = "Failed to renew certificate {} with error: "
_NO_ACCOUNT = r"accountDoesNotExist|Account \S+ not found"
# Debian 12's certbot 2.1 on Python 3.11: what an authority answers is an exception on which nothing can be
# set, and that it could not be passed on out of a `with` is what certbot prints instead.
_MASK = "AttributeError: can't set attribute"
_MASKED = re.compile(r"^acme\.messages\.Error: \S+ :: (?P<what>.+)", re.MULTILINE)
_BUSY = "Another instance of Certbot is already running"


@dataclass(frozen=True)
class Reason:
    """Why there is no certificate: a message on one line, a line for each name, what to do."""

    message: str
    detail: str
    hint: str


_LIMIT = re.compile(
    r"rateLimited|too many (?:certificates|failed authorizations|new orders|registrations|currently pending)"
)
# What is looked for in the text, what it means, what to do; the first that is found counts.
_CAUSES = (
    (
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed",
        "the certificate of the authority's own server is trusted by nobody here",
        "name the root that signed it in ca_bundle",
    ),
    (
        (
            r"NewConnectionError|ConnectTimeout|ReadTimeout|Connection refused|Name or service not known"
            r"|Temporary failure in name resolution|NameResolutionError|Connection reset|RemoteDisconnected"
            r"|Service Unavailable|Bad Gateway|Network is unreachable"
        ),
        "the authority does not answer",
        "try again; what is served stays as it is",
    ),
    (
        _NO_ACCOUNT,
        "the authority knows nothing of the account that this host has there",
        "look at /etc/letsencrypt/accounts on the host",
    ),
    (
        r"does not appear to be installed|unrecognized arguments",
        "certbot lacks what is asked of it",
        "install the plugin's package, and look whether this certbot has that option",
    ),
    (
        r"rejectedIdentifier|caa\b|CAA record",
        "the authority may not or will not issue for that name",
        "look at the zone's CAA records",
    ),
)
_PROBLEMS = {
    "dns": "look at the name's records and at the zone's servers",
    "connection": "let port 80 be reached from everywhere, at every address of the name, IPv6 too",
    "unauthorized": "something else answered: let every address of the name lead to this host",
    "caa": "look at the zone's CAA records",
}


def is_busy(text: str) -> bool:
    """Whether certbot only says that another one runs."""
    return _BUSY in text


def is_masked(text: str) -> bool:
    """Whether certbot had words of the authority and could not print them; its log has them."""
    return _MASK in text


def unmasked(log: str) -> str:
    """What certbot would have printed, out of the log of that run; "" where it says nothing."""
    found = _MASKED.findall(log)
    return f"An unexpected error occurred:\n{found[-1]}\n" if found else ""


def is_worth_another_try(text: str) -> bool:
    """Whether the authority only refused a nonce: it may do so at any request, and certbot tries twice."""
    return "badNonce" in text or "anti-replay nonce" in text


def is_forgotten(text: str) -> bool:
    """Whether the authority knows nothing of the account, as one does that was made anew."""
    return re.search(_NO_ACCOUNT, text) is not None


def reason(text: str) -> Reason:
    """Why certbot failed, out of what it printed."""
    problems = _problems(text)
    said = "\n".join(f"{domain}: {detail}" for domain, _, detail in problems)
    if _LIMIT.search(text):
        return Reason(
            "a limit of the authority is reached",
            said or _sentence(text),
            "wait as long as it says; every other change works meanwhile, and staging has limits of its own",
        )
    if problems:
        hints = dict.fromkeys(_PROBLEMS.get(kind, "") for _, kind, _ in problems)
        names = problems[0][0] if len(problems) == 1 else f"{len(problems)} names"
        return Reason(f"the authority refuses {names}", said, "; ".join(hint for hint in hints if hint))
    for pattern, message, hint in _CAUSES:
        if re.search(pattern, text):
            return Reason(message, _sentence(text) or _tail(text), hint)
    return Reason("certbot failed", _sentence(text) or _tail(text), "")


def last_reason(log: str, lineage: str, domains: Collection[str]) -> str:
    """Why a lineage was not renewed the last time, out of certbot's log; "" where it says nothing."""
    begin = log.rfind(_RENEWAL.format(lineage))
    line = log[begin:].partition("\n")[0].partition("with error: ")[2] if begin >= 0 else ""
    details = [
        (found.start(), _one_line(f"{found['domain']}: {found['detail']}"))
        for found in _PROBLEM.finditer(log)
        if found["domain"] in domains
    ]
    if details and (begin < 0 or "challenges have failed" in line or details[-1][0] > begin):
        return details[-1][1]
    return _one_line(line)


def _problems(text: str) -> list[tuple[str, str, str]]:
    return [
        (found["domain"], found["type"].lower(), _one_line(found["detail"]))
        for found in _PROBLEM.finditer(text)
    ]


def _sentence(text: str) -> str:
    found = _UNEXPECTED.search(text)
    return _one_line(found["what"]) if found else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_SHOWN]


def _tail(text: str) -> str:
    dull = ("Saving debug log to", "Ask for help or search", "See the logfile", "- - - -")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(dull)]
    return "\n".join(lines[-_TAIL:])
