"""The ufw rules that allow SSH: one rule for each port, marked by a comment as the SSH server's.

We read the rules from ufw's files, because ``ufw status`` shows none while ufw is inactive. The firewall
component does not manage these rules, because a port and its rule must change together. If only one of the
two changed, somebody could be locked out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portcullis.agent.errors import AgentError
from portcullis.components.firewall.facts import INPUT, open_port
from portcullis.components.firewall.on_host.ufw_rules import SSH

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from portcullis.agent.machine import Machine
    from portcullis.agent.step import Json

_TIMEOUT = 60.0
# A rule for a TCP port from anywhere to anywhere. ufw keeps one such rule for each port, whatever its action.
_TUPLE = re.compile(
    r"^### tuple ### (?P<action>\w+) tcp (?P<port>\d+) (?P<to>0\.0\.0\.0/0|::/0) any (?P=to) in"
    r"(?: comment=(?P<comment>(?:[0-9a-f]{2})*)[0-9a-f]?)?$",
    re.MULTILINE,
)

Rules = dict[str, "Rule"]


@dataclass(frozen=True)
class Rule:
    """A rule of ufw for connections to a port from any address.

    `comment` is the rule's comment as plain text.
    """

    action: str
    comment: str

    @property
    def is_ours(self) -> bool:
        """Return whether the rule belongs to the SSH server."""
        return self.comment.startswith(SSH)


@dataclass(frozen=True)
class Firewall:
    """ufw's rules for connections to TCP ports from any address: each port with its rule.

    `v4` has the rules for IPv4, `v6` those for IPv6.
    """

    v4: Rules
    v6: Rules
    uses_v6: bool
    enabled: bool

    @property
    def ours(self) -> set[str]:
        """Ports with a rule of the SSH server."""
        return {port for rules in (self.v4, self.v6) for port, rule in rules.items() if rule.is_ours}

    def is_open(self, port: str) -> bool:
        """Return whether a port has the SSH server's rule in each address family that ufw filters."""
        families = (self.v4, self.v6) if self.uses_v6 else (self.v4,)
        return all(
            port in rules and rules[port].is_ours and rules[port].action == "allow" for rules in families
        )


def read(machine: Machine) -> Firewall | None:
    """The rules of ufw, or None if ufw is not installed."""
    v4 = _text(machine.ufw / "user.rules")
    conf = _text(machine.ufw / "ufw.conf")
    # After somebody removes the package ufw, its configuration files stay, but its other files do not.
    if v4 is None or conf is None or not machine.ufw_shipped.is_dir():
        return None
    defaults = _text(machine.ufw.parent / "default" / "ufw") or ""
    return Firewall(
        parse(v4),
        parse(_text(machine.ufw / "user6.rules") or ""),
        uses_v6=re.search(r"^IPV6=[\"']?no", defaults, re.MULTILINE) is None,
        enabled=re.search(r"^ENABLED=[\"']?yes", conf, re.MULTILINE) is not None,
    )


def parse(text: str) -> Rules:
    """The rules for single TCP ports from any address, in the text of ``user.rules`` or ``user6.rules``."""
    return {
        found["port"]: Rule(found["action"], bytes.fromhex(found["comment"] or "").decode("utf-8", "replace"))
        for found in _TUPLE.finditer(text)
    }


def allow(machine: Machine, ports: Iterable[str], before: Json) -> None:
    """Allow SSH on `ports`. Add the former rule of each port to `before`, if the port is not there yet.

    Raises:
        AgentError: ufw refuses a rule.
    """
    for port in sorted(ports, key=int):
        firewall = read(machine)
        if firewall is None or firewall.is_open(port):
            continue
        rule = firewall.v4.get(port) or firewall.v6.get(port)
        known = {"action": rule.action, "comment": rule.comment} if rule and not rule.is_ours else None
        before.setdefault(port, known)
        _ufw(machine, "allow", "proto", "tcp", "to", "any", "port", port, "comment", SSH)


def pass_filter(machine: Machine, ports: Iterable[str]) -> None:
    """Open `ports` in the table of the forward filter, until a deploy of the filter adds these ports.

    Raises:
        AgentError: nft refuses a rule.
    """
    try:
        there = machine.run(["nft", "-s", "list", "chain", *INPUT.split()], timeout=_TIMEOUT)
    except AgentError as error:
        if error.code != "invalid":  # "invalid": nft is not installed
            raise
        return
    lines = [line.strip() for line in there.out.splitlines()]
    for port in sorted(ports, key=int):
        rule = open_port("tcp", port)
        if there.code or rule in lines:
            continue
        done = machine.run(["nft", f"insert rule {INPUT} {rule}"], timeout=_TIMEOUT)
        if done.code:
            raise AgentError(
                "nft", f"nft refuses the rule that opens port {port}", prop="port", detail=done.text
            )


def give_back(machine: Machine, ports: Iterable[str], before: Json) -> None:
    """Restore the rule of each port as it was before `allow`. A rule that is no longer ours stays unchanged.

    Raises:
        AgentError: ufw refuses a rule.
    """
    firewall = read(machine)
    for port in sorted(ports, key=int):
        kept = before.pop(port, None)
        if firewall is None or port not in firewall.ours:
            continue
        if kept:
            words = (kept["action"], "proto", "tcp", "to", "any", "port", port, "comment", kept["comment"])
            _ufw(machine, *words)
        else:
            _ufw(machine, "--force", "delete", "allow", "proto", "tcp", "to", "any", "port", port)


def files(machine: Machine) -> tuple[str, ...]:
    """The files in which ufw keeps these rules."""
    return (str(machine.ufw / "user.rules"), str(machine.ufw / "user6.rules"))


def _ufw(machine: Machine, *words: str) -> None:
    done = machine.run(["ufw", *words], timeout=_TIMEOUT)
    if done.code:
        raise AgentError(
            "invalid", f"ufw refuses the command `ufw {' '.join(words)}`", prop="firewall", detail=done.text
        )


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return None
