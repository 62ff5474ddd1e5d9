"""The firewall rules that let SSH in: ufw's own, one for each port, marked as the SSH server's.

Read from ufw's files, since ``ufw status`` says nothing while ufw is inactive. They are here, and not with
the rest of the firewall, because a port and its rule move together or somebody is locked out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Dict, Set

from portcullis.agent.errors import AgentError
from portcullis.components.firewall.facts import INPUT, open_port
from portcullis.components.firewall.on_host.ufw_rules import SSH

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from portcullis.agent.machine import Machine
    from portcullis.agent.step import Json

_TIMEOUT = 60.0
# A rule for a TCP port from anywhere to anywhere; ufw keeps one for each port, whatever its action.
_TUPLE = re.compile(
    r"^### tuple ### (?P<action>\w+) tcp (?P<port>\d+) (?P<to>0\.0\.0\.0/0|::/0) any (?P=to) in"
    r"(?: comment=(?P<comment>[0-9a-f]+))?$",
    re.MULTILINE,
)

Rules = Dict[str, "Rule"]


@dataclass(frozen=True)
class Rule:
    """What ufw does with a port, for everybody. `comment` is text."""

    action: str
    comment: str

    @property
    def is_ours(self) -> bool:
        """Whether it is the SSH server's."""
        return self.comment.startswith(SSH)


@dataclass(frozen=True)
class Firewall:
    """ufw's rules for TCP ports from anywhere: port to rule, v4 and v6."""

    v4: Rules
    v6: Rules
    uses_v6: bool
    enabled: bool

    @property
    def ours(self) -> Set[str]:
        """Ports with a rule of the SSH server."""
        return {port for rules in (self.v4, self.v6) for port, rule in rules.items() if rule.is_ours}

    def is_open(self, port: str) -> bool:
        """Whether a port has the SSH server's rule, in each family that ufw filters."""
        families = (self.v4, self.v6) if self.uses_v6 else (self.v4,)
        return all(
            port in rules and rules[port].is_ours and rules[port].action == "allow" for rules in families
        )


def read(machine: Machine) -> Firewall | None:
    """The rules of ufw, None where it is not installed."""
    v4 = _text(machine.ufw / "user.rules")
    conf = _text(machine.ufw / "ufw.conf")
    # Its configuration stays behind when the package is removed; what it ships does not.
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
    """The rules for one TCP port from anywhere, out of ``user.rules`` or ``user6.rules``."""
    return {
        found["port"]: Rule(found["action"], bytes.fromhex(found["comment"] or "").decode("utf-8", "replace"))
        for found in _TUPLE.finditer(text)
    }


def allow(machine: Machine, ports: Iterable[str], before: Json) -> None:
    """Let `ports` in; what a rule of that port was is noted in `before`, where nothing is noted yet.

    Raises:
        AgentError: ufw refused.
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
    """Let `ports` in through the forward filter's own table, until the filter itself is declared with them.

    Raises:
        AgentError: nft refused.
    """
    try:
        there = machine.run(["nft", "-s", "list", "chain", *INPUT.split()], timeout=_TIMEOUT)
    except AgentError as error:
        if error.code != "invalid":  # there is no nft
            raise
        return
    lines = [line.strip() for line in there.out.splitlines()]
    for port in sorted(ports, key=int):
        rule = open_port("tcp", port)
        if there.code or rule in lines:
            continue
        done = machine.run(["nft", f"insert rule {INPUT} {rule}"], timeout=_TIMEOUT)
        if done.code:
            raise AgentError("nft", f"nft refuses to let port {port} in", prop="port", detail=done.text)


def give_back(machine: Machine, ports: Iterable[str], before: Json) -> None:
    """Make the rule of each port what it was before `allow`; one that is not ours any more is left alone.

    Raises:
        AgentError: ufw refused.
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
    """Where ufw keeps these rules."""
    return (str(machine.ufw / "user.rules"), str(machine.ufw / "user6.rules"))


def _ufw(machine: Machine, *words: str) -> None:
    done = machine.run(["ufw", *words], timeout=_TIMEOUT)
    if done.code:
        raise AgentError("invalid", f"ufw refuses: ufw {' '.join(words)}", prop="firewall", detail=done.text)


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return None
