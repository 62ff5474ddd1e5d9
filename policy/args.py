"""The settings of the policies: how severe each is, and which resource is exempt until when.

The policies themselves judge resources and import nothing of the program.
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


def today() -> dt.date:
    """Return the day by which exemptions are judged."""
    return dt.datetime.now(dt.UTC).date()


def _in_a_year() -> dt.date:
    now = today()
    try:
        return now.replace(year=now.year + 1)
    except ValueError:  # the 29th of February
        return now.replace(year=now.year + 1, day=28)


class _Day(ValueType):
    """A day, within a year from today: what holds for longer is no exemption.

    YAML reads one without quotes as a moment, which arrives with its time.
    """

    def read(self, raw: Any) -> dt.date:
        """Take year, month and day."""
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
            raise refusal("is not a date", "write year-month-day, such as 2027-01-31") from None
        if day > (last := _in_a_year()):
            raise refusal("is more than a year from today", f"write {last} at most, and renew it then")
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
PolicyName = Annotated[str, Text("a policy", "|".join(NAMES), refused=_policy)]
ResourceName = Annotated[str, Text("a resource", r"\S+", "write the resource's name or URN, or stack")]
Severity = Annotated[Literal["stop", "warn", "off"], Choice("a severity")]
WhyExempt = Annotated[str, Text("a reason", refused=_reason)]
Day = Annotated[dt.date, _Day()]


class ExemptionArgs(Section):
    """One resource that a policy lets pass."""

    what: ClassVar[str] = "an exemption"

    reason: WhyExempt
    """Why this one may, in a sentence."""
    until: Day
    """The last day on which it holds, such as 2027-01-31; the policy applies again after it."""


class PolicyArgs(Section):
    """What is particular about the policies of a stack."""

    what: ClassVar[str] = "the policies"

    severity: MapOf[PolicyName, Severity] = Field(default_factory=dict)
    """`stop` fails a preview, `warn` is only told, `off` is not judged; by policy (docs/policy.md)."""
    exempt: MapOf[PolicyName, MapOf[ResourceName, ExemptionArgs]] = Field(default_factory=dict)
    """What a policy lets pass, by policy and then by the resource's name or URN; `stack` is the stack as a
    whole."""


def of_raw(raw: Any) -> PolicyArgs:
    """Read what stands under `portcullis:policy`; nothing there is every policy as it is.

    Raises:
        SettingsError: naming every fault.
    """
    return read(PolicyArgs, raw or {}, f"{NAMESPACE}:policy")


def of_config(text: str | None) -> PolicyArgs:
    """Read the value of `portcullis:policy` as Pulumi hands it on: JSON in a text, or nothing.

    Raises:
        SettingsError: naming every fault.
    """
    try:
        raw = json.loads(text) if text else {}
    except ValueError:
        raw = text
    return of_raw(raw)
