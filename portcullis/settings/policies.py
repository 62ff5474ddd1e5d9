"""The keys of the policy pack, `portcullis:policy`: how severe each policy is, and who is exempt until when.

The policies themselves stand in policy/, which judges resources and imports nothing of the program.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from portcullis.settings.faults import NAMESPACE, Place, SettingsError, closest
from portcullis.settings.kinds import Choice, Field, MapOf, Section, Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portcullis.settings.faults import Fault

NAMES = (
    "no-public-bind",
    "no-swarm-service",
    "no-privileged-container",
    "no-docker-socket",
    "no-host-network",
    "no-host-namespaces",
    "drop-all-capabilities",
    "no-new-privileges",
    "read-only-root",
    "no-root-user",
    "digest-pinned-image",
    "memory-limit",
    "no-secret-in-plain-sight",
    "store-must-authenticate",
    "no-open-database-port",
    "data-volume-protected",
    "firewall-denies-by-default",
    "host-has-firewall",
    "filter-closes-dockers-bypass",
    "host-has-filter",
    "docker-engine-is-private",
    "ssh-without-passwords",
    "ssh-stays-narrow",
    "tunnels-are-limited",
    "host-has-ssh-policy",
    "host-key-pinned",
    "site-has-tls",
    "hsts-floor",
)
"""Every policy of the pack; a test holds the two together."""
_SHORTEST_REASON = 10


@dataclass(frozen=True, slots=True)
class Exemption:
    """One resource that a policy lets pass: why, and the last day on which it does."""

    reason: str
    until: dt.date


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """What is particular about the policies of a stack.

    Attributes:
        severity: `stop`, `warn` or `off`, by policy.
        exempt: exemptions by policy and then by the resource's name or URN; `stack` is the stack as a whole.
    """

    severity: Mapping[str, Literal["stop", "warn", "off"]]
    exempt: Mapping[str, Mapping[str, Exemption]]


def today() -> dt.date:
    """Give the day by which exemptions are judged."""
    return dt.datetime.now(dt.UTC).date()


def _in_a_year() -> dt.date:
    now = today()
    try:
        return now.replace(year=now.year + 1)
    except ValueError:  # the 29th of February
        return now.replace(year=now.year + 1, day=28)


@dataclass(frozen=True, slots=True)
class Date:
    """A day, within a year from today: what holds for longer is no exemption.

    YAML reads one without quotes as a moment, which arrives with its time.
    """

    def read(self, raw: Any, at: Place) -> dt.date | None:
        """Take year, month and day."""
        found = (
            re.fullmatch(r"(\d{4}-\d{2}-\d{2})(?:T00:00:00Z| 00:00:00 \+0000 UTC)?", raw)
            if isinstance(raw, str)
            else None
        )
        try:
            day = dt.date.fromisoformat(found[1] if found else "")
        except ValueError:
            at.refuse(raw, "is not a date", "write year-month-day, such as 2027-01-31")
            return None
        if day > (last := _in_a_year()):
            at.refuse(raw, "is more than a year from today", f"write {last} at most, and renew it then")
            return None
        return day

    def schema(self) -> dict[str, Any]:
        """A date as text."""
        return {"type": "string", "format": "date"}


def _policy(name: str) -> tuple[str, str] | None:
    return None if name in NAMES else ("is not a policy", closest(name, NAMES))


def _reason(text: str) -> tuple[str, str] | None:
    if not text.isprintable() or len(text.strip()) < _SHORTEST_REASON:
        return ("is not a reason", "write a sentence that somebody can judge it by, on one line")
    return None


# The pattern is for editors; what people are told is the refusal.
POLICY_NAME = Text("a policy", "|".join(NAMES), refusal=_policy)
RESOURCE = Text("a resource", r"\S+", "write the resource's name or URN, or stack")
SEVERITY = Choice("a severity", ("stop", "warn", "off"), {})

EXEMPTION = Section(
    "an exemption",
    Exemption,
    (
        Field("reason", Text("a reason", refusal=_reason), "why this one may, in a sentence"),
        Field(
            "until",
            Date(),
            "the last day on which it holds, such as 2027-01-31; the policy applies again after it",
        ),
    ),
)

POLICY = Section(
    "the policies",
    PolicySettings,
    (
        Field(
            "severity",
            MapOf(POLICY_NAME, SEVERITY),
            "`stop` fails a preview, `warn` is only told, `off` is not judged; by policy (docs/policy.md)",
            {},
        ),
        Field(
            "exempt",
            MapOf(POLICY_NAME, MapOf(RESOURCE, EXEMPTION)),
            "what a policy lets pass, by policy and then by the resource's name or URN",
            {},
        ),
    ),
)


def read(raw: Any) -> PolicySettings:
    """Read what stands under `portcullis:policy`; nothing there is every policy as it is.

    Raises:
        SettingsError: naming every fault.
    """
    faults: list[Fault] = []
    settings = POLICY.read(raw or {}, Place(f"{NAMESPACE}:policy", faults))
    if settings is None:
        raise SettingsError(faults)
    return settings


def of_config(text: str | None) -> PolicySettings:
    """Read the value of `portcullis:policy` as Pulumi hands it on: JSON in a text, or nothing.

    Raises:
        SettingsError: naming every fault.
    """
    try:
        raw = json.loads(text) if text else {}
    except ValueError:
        raw = text
    return read(raw)
