"""Turn the findings of policies into verdicts, with severity, exemptions and messages for people."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portcullis.policy.catalogue import BY_NAME, POLICIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from portcullis.policy.args import ExemptionArgs, PolicyArgs
    from portcullis.policy.model import Found, Policy, Resource, Severity


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict of one policy about one resource, or about the whole stack if `resource` is "".

    Attributes:
        policy: the policy's name.
        resource: the resource's name.
        urn: the resource's URN.
        what: the fault, as a text without the resource's name.
        severity: `stop` or `warn`.
        exemption: the exemption of this resource from this policy, or None without an exemption.
        expired: whether the exemption has ended.
    """

    policy: str
    resource: str
    urn: str
    what: str
    severity: Severity
    exemption: ExemptionArgs | None = None
    expired: bool = False

    @property
    def exempt(self) -> bool:
        """Whether an exemption lets the resource pass."""
        return self.exemption is not None and not self.expired

    @property
    def finding(self) -> str:
        """The fault, as a sentence with the resource's name."""
        return f"{self.resource}: {self.what}." if self.resource else f"{self.what}."

    @property
    def ended(self) -> str:
        """A sentence about an exemption that has ended; "" without such an exemption."""
        if self.exemption is None or not self.expired:
            return ""
        return (
            f'The exemption "{self.exemption.reason}" ended on {self.exemption.until}: '
            "fix the resource, or renew the date."
        )

    @property
    def message(self) -> str:
        """The whole message: the fault, the reason for the policy, and what to do."""
        return "\n".join(filter(None, [self.finding, *advice(self.policy), self.ended]))


def advice(policy: str) -> tuple[str, str]:
    """Return the reason for a policy, and what to do about a violation."""
    return f"Why: {BY_NAME[policy].why}", f"Fix: {BY_NAME[policy].fix}"


def severity_of(policy: Policy, settings: PolicyArgs) -> Severity:
    """Return the severity of a policy in this stack."""
    return settings.severity.get(policy.name, policy.severity)


def verdict(policy: Policy, found: Found, settings: PolicyArgs, today: dt.date | None = None) -> Verdict:
    """Return the verdict about one finding of a policy."""
    resource = found.resource
    exemption = _exemption(settings, policy.name, resource)
    now = today or dt.datetime.now(dt.UTC).date()
    return Verdict(
        policy=policy.name,
        resource=resource.name if resource else "",
        urn=resource.urn if resource else "",
        what=found.what,
        severity=severity_of(policy, settings),
        exemption=exemption,
        # The exemption still applies on its last day.
        expired=exemption is not None and now > exemption.until,
    )


def judge(resources: list[Resource], settings: PolicyArgs, today: dt.date | None = None) -> Iterator[Verdict]:
    """Yield the verdicts about all resources of a stack, by every policy that is not off."""
    for policy in POLICIES:
        if severity_of(policy, settings) != "off":
            yield from (verdict(policy, found, settings, today) for found in policy.found(resources))


def milder(settings: PolicyArgs) -> Iterator[tuple[str, Severity, Severity]]:
    """Yield each policy that the settings make less severe, with the declared and the default severity."""
    order: tuple[Severity, ...] = ("off", "warn", "stop")
    for policy in POLICIES:
        severity = severity_of(policy, settings)
        if order.index(severity) < order.index(policy.severity):
            yield policy.name, severity, policy.severity


def unneeded(verdicts: Iterable[Verdict], settings: PolicyArgs) -> Iterator[tuple[str, str]]:
    """Yield policy and resource of each unused exemption: the resource was fixed, or its name is misspelt."""
    used = {(one.policy, name) for one in verdicts for name in (one.resource or "stack", one.urn)}
    for policy, exempt in settings.exempt.items():
        yield from ((policy, name) for name in exempt if (policy, name) not in used)


def _exemption(settings: PolicyArgs, policy: str, resource: Resource | None) -> ExemptionArgs | None:
    """Return the exemption of a resource, by its name or URN. The name `stack` stands for the whole stack."""
    exempt = settings.exempt.get(policy, {})
    names = (resource.urn, resource.name) if resource else ("stack",)
    return next((exempt[name] for name in names if name in exempt), None)
