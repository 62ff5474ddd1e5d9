"""The settings of the policies: the severity of each policy, and the exemptions with their dates.

This module imports no policy, because the Pulumi program reads these settings too.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from portcullis.config.faults import NAMESPACE, closest, refusal
from portcullis.config.load import read
from portcullis.config.section import Section
from portcullis.config.value_types import Choice, MapOf, Text, ValueType

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
    "secret-in-environment",
    "store-must-authenticate",
    "no-leaking-mongodb",
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
"""The names of all policies of the pack. A test compares this list with the pack."""
_SHORTEST_REASON = 10


def today() -> dt.date:
    """Return the current day, for the check of exemptions."""
    return dt.datetime.now(dt.UTC).date()


def _in_a_year() -> dt.date:
    now = today()
    try:
        return now.replace(year=now.year + 1)
    except ValueError:  # the 29th of February
        return now.replace(year=now.year + 1, day=28)


class _Day(ValueType):
    """A day within a year from today. An exemption must not last longer than a year.

    YAML reads a date without quotes as a timestamp, so the value may contain a time of day.
    """

    def read(self, raw: Any) -> dt.date:
        """Read a date of year, month and day."""
        if isinstance(raw, dt.date):
            raw = raw.isoformat()[:10]
        found = (
            re.fullmatch(r"(\d{4}-\d{2}-\d{2})(?:T00:00:00Z| 00:00:00 \+0000 UTC)?", raw)
            if isinstance(raw, str)
            else None
        )
        try:
            day = dt.date.fromisoformat(found[1] if found else "")
        except ValueError:
            raise refusal("the value is not a date", "write year-month-day, such as 2027-01-31") from None
        if day > (last := _in_a_year()):
            raise refusal(
                "the value is more than a year from today",
                f"write {last} or an earlier date, and renew the exemption then",
            )
        return day

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the value: a string with a date."""
        return {"type": "string", "format": "date"}


def _policy(name: str) -> tuple[str, str] | None:
    return None if name in NAMES else ("is not a policy", closest(name, NAMES))


def _reason(text: str) -> tuple[str, str] | None:
    if not text.isprintable() or len(text.strip()) < _SHORTEST_REASON:
        return ("is not a reason", "write one line that explains the exemption to a reviewer")
    return None


# Editors use the pattern. People get the messages of `_policy`.
PolicyName = Annotated[str, Text("a policy", "|".join(NAMES), refused=_policy)]
ResourceName = Annotated[str, Text("a resource", r"\S+", 'write the resource\'s name or URN, or "stack"')]
Severity = Annotated[Literal["stop", "warn", "off"], Choice("a severity")]
WhyExempt = Annotated[str, Text("a reason", refused=_reason)]
Day = Annotated[dt.date, _Day()]


class ExemptionArgs(Section):
    """An exemption: until a date, a policy lets a resource pass."""

    what: ClassVar[str] = "an exemption"

    reason: WhyExempt
    """The reason for the exemption, in one sentence."""
    until: Day
    """The last day of the exemption, such as 2027-01-31. After it, the policy applies again."""


class PolicyArgs(Section):
    """The severities and exemptions of a stack."""

    what: ClassVar[str] = "the policies"

    severity: MapOf[PolicyName, Severity] = Field(default_factory=dict)
    """The severity of policies, by name: `stop` fails a preview, `warn` only prints a message, `off` disables
    the policy (docs/policy.md)."""
    exempt: MapOf[PolicyName, MapOf[ResourceName, ExemptionArgs]] = Field(default_factory=dict)
    """The exemptions, by policy and then by the resource's name or URN. `stack` exempts the stack as a
    whole."""


def of_raw(raw: Any) -> PolicyArgs:
    """Read the value of `portcullis:policy`. Without a value, every policy keeps its default.

    Raises:
        SettingsError: the settings have faults. The error lists every fault.
    """
    return read(PolicyArgs, raw or {}, f"{NAMESPACE}:policy")


def of_config(text: str | None) -> PolicyArgs:
    """Read the value of `portcullis:policy` as Pulumi passes it: JSON in a text, or None if it is not set.

    Raises:
        SettingsError: the settings have faults. The error lists every fault.
    """
    try:
        raw = json.loads(text) if text else {}
    except ValueError:
        raw = text
    return of_raw(raw)
