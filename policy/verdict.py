"""From what policies find to what is said about it: severity, exemptions, and words for people."""

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
    """What one policy says about one resource, or about the stack where `resource` is "".

    Attributes:
        policy: the policy's name.
        resource: the resource's name.
        urn: its whole name.
        what: what is wrong.
        severity: `stop` or `warn`.
        exemption: what the settings say about exactly this, if anything.
        expired: whether that does not hold any more.
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
        """Whether it is let pass."""
        return self.exemption is not None and not self.expired

    @property
    def finding(self) -> str:
        """What is wrong."""
        return f"{self.resource}: {self.what}." if self.resource else f"{self.what}."

    @property
    def ended(self) -> str:
        """That an exemption does not hold any more, or ""."""
        if self.exemption is None or not self.expired:
            return ""
        return (
            f'The exemption "{self.exemption.reason}" ended on {self.exemption.until}: '
            "mend it, or renew the date."
        )

    @property
    def message(self) -> str:
        """What a newcomer needs to know: what is wrong, why it matters, what to do."""
        return "\n".join(filter(None, [self.finding, *advice(self.policy), self.ended]))


def advice(policy: str) -> tuple[str, str]:
    """Return why a policy is one, and what to do."""
    return f"Why: {BY_NAME[policy].why}", f"Fix: {BY_NAME[policy].fix}"


def severity_of(policy: Policy, settings: PolicyArgs) -> Severity:
    """Give what happens in this stack when a policy is violated."""
    return settings.severity.get(policy.name, policy.severity)


def verdict(policy: Policy, found: Found, settings: PolicyArgs, today: dt.date | None = None) -> Verdict:
    """Judge one thing that a policy found."""
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
        # It holds on its last day, too.
        expired=exemption is not None and now > exemption.until,
    )


def judge(resources: list[Resource], settings: PolicyArgs, today: dt.date | None = None) -> Iterator[Verdict]:
    """Judge all resources of a stack by every policy that is not switched off."""
    for policy in POLICIES:
        if severity_of(policy, settings) != "off":
            yield from (verdict(policy, found, settings, today) for found in policy.found(resources))


def milder(settings: PolicyArgs) -> Iterator[tuple[str, Severity, Severity]]:
    """Give each policy that the settings make less severe, how severe it is by them, and how by itself."""
    order: tuple[Severity, ...] = ("off", "warn", "stop")
    for policy in POLICIES:
        severity = severity_of(policy, settings)
        if order.index(severity) < order.index(policy.severity):
            yield policy.name, severity, policy.severity


def unneeded(verdicts: Iterable[Verdict], settings: PolicyArgs) -> Iterator[tuple[str, str]]:
    """Give policy and resource of each exemption that nothing made use of: it was mended, or is misspelt."""
    used = {(one.policy, name) for one in verdicts for name in (one.resource or "stack", one.urn)}
    for policy, exempt in settings.exempt.items():
        yield from ((policy, name) for name in exempt if (policy, name) not in used)


def _exemption(settings: PolicyArgs, policy: str, resource: Resource | None) -> ExemptionArgs | None:
    """Find the exemption of a resource by its name or URN; what is about the stack is named `stack`."""
    exempt = settings.exempt.get(policy, {})
    names = (resource.urn, resource.name) if resource else ("stack",)
    return next((exempt[name] for name in names if name in exempt), None)
