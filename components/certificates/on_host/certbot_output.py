"""Turns the output of a failed certbot into a short message with the reason that the authority gave.

certbot's output is long and ends with advice about logs. certbot's log contains the same reasons, and also
the reasons of failed renewals by the timer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_SHOWN = 300  # characters of one reason
_TAIL = 15  # lines to show if we recognise no known failure

# "  Domain: x", "  Type:   unauthorized", "  Detail: …". The detail may continue in the following lines.
_PROBLEM = re.compile(
    r"^ *(?:Domain|Identifier): *(?P<domain>\S+)\n *Type: *(?P<type>\S+)\n"
    r" *Detail: *(?P<detail>.+(?:\n(?! *(?:Domain|Identifier|Hint):|\d{4}-\d\d-).*\S.*)*)",
    re.MULTILINE,
)
_UNEXPECTED = re.compile(r"^(?:.*:)?An unexpected error occurred:\n(?P<what>.+)", re.MULTILINE)
_RENEWAL = "Failed to renew certificate {} with error: "
_NO_ACCOUNT = r"accountDoesNotExist|Account \S+ not found"
# In Debian 12's certbot 2.1 on Python 3.11, an authority's answer is an exception whose attributes cannot be
# set. In a `with` block it causes this second error, which certbot prints instead of the answer.
_MASK = "AttributeError: can't set attribute"
_MASKED = re.compile(r"^acme\.messages\.Error: \S+ :: (?P<what>.+)", re.MULTILINE)
_BUSY = "Another instance of Certbot is already running"


@dataclass(frozen=True)
class Reason:
    """Why certbot failed: a message on one line, a detail line for each name, and a hint."""

    message: str
    detail: str
    hint: str


_LIMIT = re.compile(
    r"rateLimited|too many (?:certificates|failed authorizations|new orders|registrations|currently pending)"
)
# A pattern to find in certbot's output, its meaning, and a hint. The first match counts.
_CAUSES = (
    (
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed",
        "this host does not trust the certificate of the authority's own server",
        "set ca_bundle to the root certificate that signed it",
    ),
    (
        (
            r"NewConnectionError|ConnectTimeout|ReadTimeout|Connection refused|Name or service not known"
            r"|Temporary failure in name resolution|NameResolutionError|Connection reset|RemoteDisconnected"
            r"|Service Unavailable|Bad Gateway|Network is unreachable"
        ),
        "the authority does not answer",
        "try again; nginx serves the same certificates meanwhile",
    ),
    (
        _NO_ACCOUNT,
        "the authority does not know this host's account",
        "look at /etc/letsencrypt/accounts on the host",
    ),
    (
        r"does not appear to be installed|unrecognized arguments",
        "this certbot lacks a plugin or an option",
        "install the plugin's package, and check that this version of certbot has the option",
    ),
    (
        r"rejectedIdentifier|caa\b|CAA record",
        "the authority refuses to issue a certificate for that name",
        "check the zone's CAA records",
    ),
)
_PROBLEMS = {
    "dns": "check the name's DNS records and the zone's name servers",
    "connection": "open port 80 to everybody, at every address of the name, including IPv6",
    "unauthorized": "another server answered: point every address of the name to this host",
    "caa": "check the zone's CAA records",
}


def is_busy(text: str) -> bool:
    """Whether certbot says that another certbot runs."""
    return _BUSY in text


def is_masked(text: str) -> bool:
    """Whether certbot could not print the authority's answer. In this case, certbot's log has the answer."""
    return _MASK in text


def unmasked(log: str) -> str:
    """Return the message that certbot could not print, from the log of that run; "" if the log has none."""
    found = _MASKED.findall(log)
    return f"An unexpected error occurred:\n{found[-1]}\n" if found else ""


def is_worth_another_try(text: str) -> bool:
    """Whether the authority only refused a nonce, which is a number that each request may use once.

    An authority may refuse any nonce, and certbot tries only twice.
    """
    return "badNonce" in text or "anti-replay nonce" in text


def is_forgotten(text: str) -> bool:
    """Whether the authority does not know the account, for example after the authority was set up again."""
    return re.search(_NO_ACCOUNT, text) is not None


def reason(text: str) -> Reason:
    """Return the reason for certbot's failure, from certbot's output."""
    problems = _problems(text)
    said = "\n".join(f"{domain}: {detail}" for domain, _, detail in problems)
    if _LIMIT.search(text):
        return Reason(
            "a rate limit of the authority is reached",
            said or _sentence(text),
            "wait as long as the authority says; other changes work meanwhile; staging has its own limits",
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
    """Return why the last renewal of a lineage failed, from certbot's log, or "" if the log has no reason."""
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
