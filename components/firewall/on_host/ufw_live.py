"""Compares the kernel's rules, as ``iptables-save`` prints them, with ufw's files.

The functions of this module do no I/O. Somebody may have flushed a chain, set a policy, or added a rule that
bypasses ufw. The command `ufw status` shows no such change.
"""

from __future__ import annotations

import ipaddress
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Line = tuple[tuple[str, str], ...]

_HOOKS = ("INPUT", "OUTPUT", "FORWARD")
# In each built-in chain, ufw-init adds jumps to these chains, in this order (ufw-init-functions).
_PRIMARY = ("before-logging", "before", "after", "after-logging", "reject", "track")
_POLICIES = {"allow": "ACCEPT", "deny": "DROP", "reject": "DROP"}
_DIRECTIONS = {"INPUT": "incoming", "OUTPUT": "outgoing", "FORWARD": "routed"}
# The options that are compared. Each release of iptables spells other options (limits, types of ICMP
# messages, modules) differently, so other options are left out on both sides.
_TELLING = {
    "-s": "source", "-d": "destination", "-i": "in", "-o": "out", "-p": "protocol", "--dport": "to",
    "--dports": "to", "--sport": "from", "--sports": "from", "--ctstate": "state", "-j": "target",
}  # fmt: skip
# A host without /etc/protocols prints numbers instead of some of these names.
_PROTOCOLS = {
    "ah": "51", "esp": "50", "gre": "47", "icmp": "1", "icmpv6": "58", "igmp": "2", "ipv6": "41",
    "ipv6-icmp": "58", "tcp": "6", "udp": "17", "vrrp": "112",
}  # fmt: skip
_SHOWN = 3


@dataclass
class Saved:
    """The filter table in the output of ``iptables-save``."""

    policies: dict[str, str] = field(default_factory=dict)
    chains: dict[str, list[str]] = field(default_factory=dict)  # each rule without the name of its chain


@dataclass
class Findings:
    """The differences between the kernel's rules and ufw's files.

    Attributes:
        differences: each difference, as a text for people.
        loose: whether a built-in chain lacks a jump to one of ufw's chains. A reload of ufw does not add this
            jump.
        unhooked: the missing jumps to existing chains: built-in chain and ufw's chain.
        open: the words of each accepting rule in INPUT. A reload of ufw does not remove such a rule.
    """

    differences: list[str] = field(default_factory=list)
    loose: bool = False
    unhooked: list[tuple[str, str]] = field(default_factory=list)
    open: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Return the value of the property `live`: ``ok``, or the differences in one line."""
        if not self.differences:
            return "ok"
        more = f"; and {len(self.differences) - _SHOWN} more" if len(self.differences) > _SHOWN else ""
        return "; ".join(self.differences[:_SHOWN]) + more


def parse_saved(text: str) -> Saved:
    """The table ``filter`` in the format of ``iptables-save``, ``iptables-restore`` and ufw's files."""
    found, table = Saved(), ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("*"):
            table = line[1:]
        elif table != "filter":
            continue
        elif line.startswith(":"):
            # Somebody may have edited the file and truncated a line. ufw itself refuses such a line.
            name, _, rest = line[1:].partition(" ")
            found.policies[name] = rest.partition(" ")[0]
            found.chains.setdefault(name, [])
        elif line.startswith(("-A ", "-I ")):
            chain, _, rest = line[3:].partition(" ")
            rules = found.chains.setdefault(chain, [])
            rules.insert(0 if line[1] == "I" else len(rules), rest)
    return found


def compare(saved: str, files: Sequence[str], prefix: str, defaults: Mapping[str, str]) -> Findings:
    """Compare the kernel's rules of one address family with ufw's files.

    Args:
        saved: output of ``iptables-save -t filter`` or ``ip6tables-save -t filter``.
        files: the texts of ufw's files with before, after and user rules, in this order.
        prefix: the prefix of the chains of this address family, ``ufw`` or ``ufw6``.
        defaults: the policies by direction.
    """
    live, found = parse_saved(saved), Findings()
    tool = "ip6tables" if prefix.endswith("6") else "iptables"
    if f"{prefix}-user-input" not in live.chains:
        found.differences.append(f"{tool} has no rules of ufw")
        found.loose = True
        return found
    for hook in _HOOKS:
        want, have = _policy(defaults[_DIRECTIONS[hook]]), live.policies.get(hook, "ACCEPT")
        # Docker itself closes FORWARD. A policy that is stricter than the declared policy is no difference.
        if have != want and (hook, want) != ("FORWARD", "ACCEPT"):
            found.differences.append(f"{tool}: the policy of {hook} is {have}, not {want}")
        hooked = {dict(_line(rule)).get("target") for rule in live.chains.get(hook, ())}
        missing = [
            chain for chain in (f"{prefix}-{name}-{hook.lower()}" for name in _PRIMARY) if chain not in hooked
        ]
        found.unhooked += [(hook, chain) for chain in missing if chain in live.chains]
        if missing:
            found.loose = True
            found.differences.append(
                f"{tool}: {hook} lacks -j {missing[0]}" + (" and more" if missing[1:] else "")
            )
    if _policy(defaults["incoming"]) != "ACCEPT":
        for rule in live.chains.get("INPUT", ()):
            if dict(_line(rule)).get("target") == "ACCEPT":
                found.open.append(tuple(_words(rule)))
                found.differences.append(f"{tool}: a rule in INPUT bypasses ufw: {rule}")
    _compare_chains(live, files, prefix, found)
    return found


def _compare_chains(live: Saved, files: Sequence[str], prefix: str, found: Findings) -> None:
    wanted: dict[str, list[str]] = {}
    for text in files:
        for chain, rules in parse_saved(text).chains.items():
            if chain.startswith(f"{prefix}-") and "logging" not in chain:
                wanted.setdefault(chain, []).extend(rules)
    for hook in _HOOKS:
        wanted.setdefault(f"{prefix}-before-{hook.lower()}", []).append(f"-j {prefix}-user-{hook.lower()}")
    for chain, rules in sorted(wanted.items()):
        if chain not in live.chains:
            if rules:
                found.differences.append(f"{chain} is gone")
            continue
        want = [(line, rule) for line, rule in ((_line(rule), rule) for rule in rules) if not _logs(line)]
        have = [(line, rule) for line, rule in ((_line(r), r) for r in live.chains[chain]) if not _logs(line)]
        if [line for line, _ in want] == [line for line, _ in have]:
            continue
        lacking = _without(want, have)
        besides = _without(have, want)
        found.differences += [f"{chain} lacks {rule}" for rule in lacking]
        found.differences += [f"{chain} has the extra rule {rule}" for rule in besides]
        if not lacking and not besides:
            found.differences.append(f"{chain} has its rules in another order")


def _without(these: list[tuple[Line, str]], those: list[tuple[Line, str]]) -> list[str]:
    left = [line for line, _ in those]
    over = []
    for line, rule in these:
        if line in left:
            left.remove(line)
        else:
            over.append(rule)
    return over


def _logs(line: Line) -> bool:
    target = dict(line).get("target", "")
    return target == "LOG" or "logging" in target


def _policy(default: str) -> str:
    """Return the kernel's word for a policy.

    An unknown word, which somebody wrote by hand, counts as DROP.
    """
    return _POLICIES.get(default, "DROP")


def _line(rule: str) -> Line:
    """Return the match and the target of a rule, in one spelling."""
    # Only rules that log have quotes. To split all words as a shell does would take ten times as long.
    found, negated, words = [], "", _words(rule) if '"' in rule or "'" in rule else rule.split()
    for word, value in zip(words, [*words[1:], ""], strict=False):
        if word == "!":
            negated = "!"
        elif word in _TELLING:
            text = _value(_TELLING[word], value)
            if text:
                found.append((_TELLING[word], negated + text))
            negated = ""
    return tuple(sorted(found))


def _words(rule: str) -> list[str]:
    """Return the words of a rule with quotes. If the quotes are broken, split the rule at its spaces."""
    try:
        return shlex.split(rule)
    except ValueError:
        return rule.split()


def _value(what: str, text: str) -> str:
    if what in ("source", "destination"):
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            return text
        return "" if network.prefixlen == 0 else str(network)
    if what == "protocol":
        return "" if text == "all" else _PROTOCOLS.get(text, text)
    return ",".join(sorted(text.split(","))) if what == "state" else text
