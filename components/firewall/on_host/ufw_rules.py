"""ufw's rules: the tuples in its files, the normal spelling of a rule, and the commands that make rules.

The name of a rule is its match (``in 443/tcp``, ``in 53/udp on docker0 to 172.17.0.1``). The value of a rule
is its action (``allow``, ``deny log # why``). This module does no I/O. The deploying machine checks rules
with this module too.
"""

from __future__ import annotations

import binascii
import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Family = str  # an address family, "4" or "6"
Rules = dict[Family, tuple["Rule", ...]]

FAMILIES = ("4", "6")
ANYWHERE = {"4": "0.0.0.0/0", "6": "::/0"}
SSH = "portcullis ssh"
"""The comment of each rule of the SSH server's resource begins with this text."""

# ufw uses the first rule that matches, so refusing rules come first. A rule with `limit` refuses packets
# above its limit, so it comes before `allow`.
RANKS = {"deny": 0, "reject": 0, "limit": 1, "allow": 2}
ONLY_4 = ("igmp", "ipv6")  # ufw has these protocols for IPv4 only
_PORTS = re.compile(r"any|[0-9]{1,5}(?::[0-9]{1,5})?(?:,[0-9]{1,5}(?::[0-9]{1,5})?)*")
_TUPLE_LENGTHS = (
    6,
    7,
    8,
    9,
)  # old releases of ufw wrote no direction; application profiles are two more words


@dataclass(frozen=True)
class Match:
    """The packets that a rule matches; ``any`` matches every packet.

    `direction` is ``in``, ``out`` or ``route``.
    """

    direction: str = "in"
    proto: str = "any"
    dport: str = "any"
    dst: str = "any"
    sport: str = "any"
    src: str = "any"
    in_on: str = ""
    out_on: str = ""
    app: str = ""

    def __str__(self) -> str:
        """The normal spelling of the match: a key in the `rules` of a policy."""
        words = [self.direction, self.dport if self.proto == "any" else f"{self.dport}/{self.proto}"]
        if self.direction == "route":
            words += ["in", "on", self.in_on] if self.in_on else []
            words += ["out", "on", self.out_on] if self.out_on else []
        elif self.in_on or self.out_on:
            words += ["on", self.in_on or self.out_on]
        if self.src != "any" or self.sport != "any":
            words += ["from", plain(self.src)]
        if self.sport != "any":
            words += ["port", self.sport]
        if self.dst != "any":
            words += ["to", plain(self.dst)]
        if self.app:
            words += ["app", self.app]
        return " ".join(words)

    @property
    def families(self) -> tuple[Family, ...]:
        """The address families that the rule can match.

        A protocol or an address may limit the rule to one address family.
        """
        for address in (self.src, self.dst):
            if address != "any":
                return (str(network(address).version),)
        return ("4",) if self.proto in ONLY_4 else FAMILIES


@dataclass(frozen=True)
class Rule:
    """A rule of ufw in one address family."""

    match: Match
    action: str
    log: str = ""
    comment: str = ""

    @property
    def value(self) -> str:
        """The normal spelling of the action: a value in the `rules` of a policy."""
        return " ".join([self.action, *filter(None, [self.log, self.comment and f"# {self.comment}"])])

    @property
    def rank(self) -> int:
        """The rank of the rule's action. Rules are sorted by rank."""
        return RANKS[self.action]

    @property
    def is_ssh(self) -> bool:
        """Whether the rule belongs to the SSH server's resource."""
        return self.comment.startswith(SSH)

    def argv(self, *verb: str, family: Family = "") -> tuple[str, ...]:
        """Return the ufw command for the rule. The argument `verb` is (), ("delete",) or ("insert", N).

        With `family`, the command changes only the rules of this address family.
        """
        match = self.match
        anywhere = ANYWHERE[family] if family else "any"
        words = ["ufw", *(["route"] if match.direction == "route" else []), *verb, self.action]
        if match.direction != "route":
            words.append(match.direction)
            words += ["on", match.in_on or match.out_on] if match.in_on or match.out_on else []
        else:
            words += ["in", "on", match.in_on] if match.in_on else []
            words += ["out", "on", match.out_on] if match.out_on else []
        words += [self.log] if self.log else []
        sapp, dapp = _apps(match.app)
        if match.proto != "any" and not match.app:
            words += ["proto", match.proto]
        for word, address, port, app in (
            ("from", match.src, match.sport, sapp),
            ("to", match.dst, match.dport, dapp),
        ):
            words += [word, anywhere if address == "any" else address]
            if app:
                words += ["app", app]
            elif port != "any":
                words += ["port", port]
        if self.comment and "delete" not in verb:
            words += ["comment", self.comment]
        return tuple(words)


def plain(address: str) -> str:
    """Return the shortest spelling of an address or network.

    Texts that are no address (any, a dotted mask) stay unchanged.
    """
    try:
        found = ipaddress.ip_network(address, strict=False)
    except ValueError:
        return address
    return str(found.network_address if found.prefixlen == found.max_prefixlen else found)


def network(address: str) -> Network:
    """Return the network that a text of ufw names.

    If no prefix length can express its mask, return all of IPv4.
    """
    try:
        return ipaddress.ip_network(address, strict=False)
    except ValueError:
        return ipaddress.ip_network(ANYWHERE["4"])


def _apps(app: str) -> tuple[str, str]:
    """The application profiles of a rule's source and destination."""
    source, _, destination = app.rpartition(" to ")
    return source, "" if destination == "-" else destination


# From ufw's files -------------------------------------------------------------------------------------------


def parse_tuples(text: str) -> tuple[Rule, ...]:
    """Return the rules of user.rules or user6.rules, in order. Raises ValueError for an invalid tuple."""
    return tuple(
        _tuple(line.partition("### tuple ###")[2])
        for line in text.splitlines()
        if line.startswith("### tuple ###")
    )


def _tuple(text: str) -> Rule:
    """Parse ``action proto dport dst sport src [dapp sapp] direction[_interface] [comment=HEX]``."""
    fields, _, encoded = text.partition(" comment=")
    words = fields.split()
    if len(words) not in _TUPLE_LENGTHS:
        raise ValueError(f"the line {text.strip()!r} is not a rule of ufw")
    action, proto, dport, dst, sport, src = words[:6]
    if not all(_PORTS.fullmatch(ports) for ports in (dport, sport)):
        raise ValueError(f"the line {text.strip()!r} has a port that is not a number")
    where = words[-1] if len(words) % 2 else "in"
    app = ""
    if len(words) > 7:  # noqa: PLR2004 - the words of a tuple with profiles
        dapp, sapp = (word.replace("%20", " ") for word in words[6:8])
        app = dapp if sapp == "-" else f"{sapp} to {dapp}"
    routed, _, action = action.rpartition(":")
    action, _, log = action.partition("_")
    if action not in RANKS:
        raise ValueError(f"the line {text.strip()!r} has an unknown action")
    in_on, out_on = _interfaces(where)
    direction = "route" if routed else where.partition("_")[0]
    src, dst = ("any" if a in ANYWHERE.values() else a for a in (src, dst))
    match = Match(direction, proto, dport, dst, sport, src, in_on, out_on, app)
    return Rule(match, action, log, _decoded(encoded.strip()))


def _interfaces(where: str) -> tuple[str, str]:
    found = {"in": "", "out": ""}
    for part in where.split("!"):
        direction, _, name = part.partition("_")
        found[direction] = name
    return found["in"], found["out"]


def _decoded(encoded: str) -> str:
    try:
        return binascii.unhexlify(encoded).decode("utf-8", "replace")
    except ValueError:
        return encoded


def merged(rules: Rules, families: Iterable[Family]) -> dict[str, str]:
    """Return the rules of both address families as one map: match → action.

    A rule gets ``(v4)`` or ``(v6)`` if it could be in both `families` but is in only one of them. A rule that
    differs between the address families also gets this mark. Rules of the SSH server are left out.
    """
    known = tuple(families)
    values: dict[str, dict[Family, str]] = {}
    widths: dict[str, tuple[Family, ...]] = {}
    for family in known:
        seen: set[str] = set()
        for rule in rules[family]:
            if rule.is_ssh:
                continue
            name = str(rule.match)
            while name in seen:
                name += " again"  # two equal names happen only in a file that somebody edited by hand
            seen.add(name)
            values.setdefault(name, {})[family] = rule.value
            widths[name] = tuple(f for f in rule.match.families if f in known)
    found = {}
    for name, by_family in values.items():
        if len(by_family) == len(widths[name]) and len(set(by_family.values())) == 1:
            found[name] = next(iter(by_family.values()))
        else:
            found |= {f"{name} (v{family})": value for family, value in by_family.items()}
    return found


# The effect of a rule on a packet
# -------------------------------------------------------------------------------


def overlap(one: Match, other: Match) -> bool:
    """Whether a packet can match both rules, so that their order matters."""
    return (
        one.direction == other.direction
        and _shared(one.proto, other.proto, "any")
        and all(_shared(a, b, "") for a, b in ((one.in_on, other.in_on), (one.out_on, other.out_on)))
        and all(_ports_meet(a, b) for a, b in ((one.dport, other.dport), (one.sport, other.sport)))
        and all(_addresses_meet(a, b) for a, b in ((one.src, other.src), (one.dst, other.dst)))
    )


def _shared(one: str, other: str, anything: str) -> bool:
    return one == other or anything in (one, other)


def _ports_meet(one: str, other: str) -> bool:
    if "any" in (one, other):
        return True
    return any(a[0] <= b[1] and b[0] <= a[1] for a in _ranges(one) for b in _ranges(other))


def _ranges(ports: str) -> list[tuple[int, int]]:
    return [(int(part.partition(":")[0]), int(part.rpartition(":")[2])) for part in ports.split(",")]


def _addresses_meet(one: str, other: str) -> bool:
    if "any" in (one, other):
        return True
    return network(one).overlaps(network(other))


def verdict(rules: Iterable[Rule], packet: Match) -> Rule | None:
    """Return the first rule that matches an incoming packet with these addresses, protocol and port.

    The packet's interface is unknown. So a rule for one interface counts if it allows packets, and is skipped
    if it refuses them. If this guess is wrong, the new login after the change fails.
    """
    for rule in rules:
        if rule.match.in_on and rule.rank == RANKS["deny"]:
            continue
        if overlap(rule.match, packet):
            return rule
    return None
