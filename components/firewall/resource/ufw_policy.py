"""The resource for ufw's whole policy on a host: whether ufw runs, its defaults, and all its rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from portcullis.components.firewall.facts import (
    DEFAULTS,
    SETTINGS,
    SHIPPED,
    UFW,
    UfwPolicyDesired,
    UfwPolicyFacts,
)
from portcullis.components.firewall.on_host.ufw_names import normal_name, normal_value
from portcullis.host.guarded import GuardedProvider
from portcullis.host.provider import ABSENT, Normaliser, is_known
from portcullis.host.resource import HostResource
from portcullis.provider.changes import Line, Section, Severity, difference, with_rest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi

    from portcullis.host.host import Host
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change

_ACTIONS = ("allow", "deny", "reject")
# The declared values of these properties never change. A host with other values shows a difference.
_EXPECTED = {"settings": dict(SETTINGS), "altered": {}, "order": "ok", "live": "ok"}

_DONE = {"allow": "allowed", "deny": "denied", "reject": "rejected", "limit": "limited"}
# The words that a report puts before the host's own text.
_PREFIXES = {"live": "the kernel has other rules: ", "order": "order of rules: "}


class UfwPolicyProvider(GuardedProvider):
    """Provider of `UfwPolicy`."""

    kind = "firewall.ufw"
    section = Section.FIREWALL
    desired_type = UfwPolicyDesired
    facts_type = UfwPolicyFacts
    live = ("enabled", "logging", "defaults", "rules", *_EXPECTED)
    identity = ("host",)
    instead_of_import = "the id of a host's one policy is ALIAS:ufw, such as web1:ufw"

    def normalise(self, inputs: Normaliser) -> None:
        """Check every rule, and normalise its spelling."""
        inputs.inputs["enabled"] = inputs.news.get("enabled", True)
        inputs.one_of("logging", "off", "low", "medium", "high", "full")
        _defaults(inputs)
        _rules(inputs)
        inputs.keep("custom_files")
        for name in inputs.news.get("custom_files") or ():
            if is_known(name) and name not in SHIPPED:
                inputs.fail("custom_files", f"{name!r} is none of {', '.join(SHIPPED)}")
        inputs.inputs |= _EXPECTED

    def importable(self, item: str) -> Props | None:
        """Return the inputs for `pulumi import` of the host's only policy."""
        if item != UFW:
            return None
        return {"enabled": True, "logging": "low", "defaults": {}, "rules": {}, "settings": {}}

    def absent_inputs(self) -> Props:
        """Return the inputs of a host without ufw."""
        return {"enabled": False, "rules": {}, "live": ABSENT}

    def subject(self, change: Change) -> str:
        """Return "ufw", which is the subject of all lines of a report."""
        return UFW

    def differing(self, change: Change, subject: str) -> list[Line]:
        """Report each rule and setting of ufw that differs.

        The worst differences are an opened port, and ufw that is switched off.
        """
        found = []
        if change.changes("enabled"):
            severity = Severity.OPEN if change.by_hand(("enabled",)) else Severity.COSMETIC
            off = not change.live.get("enabled")
            what, remedy = ("is off", "up turns it on") if off else ("is on", "up turns it off")
            found.append(Line(UFW, what, remedy, severity, at=("enabled",)))
        for rule, live, goal in change.entries("rules"):
            at = ("rules", rule)
            action = str(goal if live is None else live).split(" ")[0]
            if live is None:
                what, remedy, opens = (
                    f"{_rule(rule)} is not {_DONE.get(action, action)}",
                    "up adds it",
                    action != "allow",
                )
            else:
                what, opens = f"{_rule(rule)} {_DONE.get(action, action)}", action == "allow"
                remedy = "up removes it" if goal is None else f"up makes it {str(goal).split(' ')[0]}"
            bad = Severity.OPEN if opens else Severity.WRONG
            severity = bad if change.by_hand(at) else Severity.COSMETIC
            found.append(Line(UFW, what, remedy, severity, at=at, topic=_rule(rule)))
        for name in ("defaults", "live", "order", "altered", "settings", "logging"):
            if change.changes(name):
                opens = name in ("defaults", "live") and change.by_hand((name,))
                severity = Severity.OPEN if opens else Severity.WRONG
                text = str(change.live.get(name))
                for each in text.split("; ") if name == "live" else [text]:
                    what = f"{_PREFIXES[name]}{each}" if name in _PREFIXES else difference(change, name)
                    # Exposure also reports such a rule, under the same topic.
                    topic = each.replace(": a rule in INPUT bypasses ufw:", " INPUT:")
                    found.append(Line(UFW, what, "", severity, at=(name,), topic=topic))
        return with_rest(change, subject, found)


def _rule(name: str) -> str:
    """Return a rule's name for people, without the word `in`, which stands for incoming packets."""
    return name.removeprefix("in ")


def _defaults(inputs: Normaliser) -> None:
    given = inputs.news.get("defaults") or {}
    if not is_known(given):
        inputs.inputs["defaults"] = given
        return
    for direction, action in given.items():
        if direction not in DEFAULTS:
            inputs.fail("defaults", f"{direction!r} is none of {', '.join(DEFAULTS)}")
        elif is_known(action) and action not in _ACTIONS:
            inputs.fail("defaults", f"{direction}: {action!r} is none of {', '.join(_ACTIONS)}")
    inputs.inputs["defaults"] = {**DEFAULTS, **given}


def _rules(inputs: Normaliser) -> None:
    given = inputs.news.get("rules") or {}
    if not is_known(given):
        inputs.inputs["rules"] = given
        return
    rules: dict[str, Any] = {}
    for name, value in given.items():
        try:
            normal = normal_name(name)
            rule = normal_value(value) if is_known(value) else value
        except ValueError as error:
            inputs.fail("rules", str(error))
            continue
        if normal in rules:
            inputs.fail("rules", f"{name!r} is declared twice: both are {normal!r}")
        rules[normal] = rule
    for normal in rules:
        if f"{normal} (v4)" in rules or f"{normal} (v6)" in rules:
            inputs.fail(
                "rules",
                f"{normal!r} is for IPv4 and IPv6, and another rule repeats it for only one of them",
            )
    inputs.inputs["rules"] = rules


class UfwPolicy(HostResource):
    """ufw's whole policy: whether ufw runs, defaults, logging, and all rules, for IPv4 and IPv6.

    A rule that somebody added by hand shows as drift, and `up` deletes it. `SshServer` manages the rule for
    SSH. A host has only one policy of ufw. The host keeps a change only after a fresh login
    (docs/hardening/firewall.md).
    """

    enabled: pulumi.Output[bool]
    rules: pulumi.Output[dict[str, str]]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        enabled: bool = True,
        defaults: Mapping[str, Literal["allow", "deny", "reject"]] | None = None,
        logging: Literal["off", "low", "medium", "high", "full"] = "low",
        rules: Mapping[str, pulumi.Input[str]] | None = None,
        custom_files: Sequence[str] = (),
        adopt: bool | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the policy of ufw.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            enabled: whether ufw runs, now and after a boot.
            defaults: the action for packets that no rule matches, by direction: `incoming` (deny), `outgoing`
                (allow), `routed` (deny).
            logging: ufw's log level.
            rules: a map of each rule's match to its action, such as `{"in 443/tcp": "allow # web"}`. The
                order of this map does not matter: the host puts `deny` and `reject` first, then `limit`, then
                `allow`.
            custom_files: names of the package's rule files, such as before.rules, that somebody else manages.
                All other rule files must have the package's text.
            adopt: replace an existing policy that differs from the declaration.
            opts: resource options.
        """
        super().__init__(
            UfwPolicyProvider,
            name,
            host=host,
            adopt=adopt,
            inputs={
                "enabled": enabled,
                "defaults": dict(defaults or {}),
                "logging": logging,
                "rules": dict(rules or {}),
                "custom_files": sorted(custom_files) or None,
                **_EXPECTED,
            },
            outputs=(),
            opts=opts,
        )
