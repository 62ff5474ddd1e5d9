"""Parses the rules that people write in a policy, and gives each rule one spelling.

The deploying machine checks rules with this module too, so that a rule has the same meaning everywhere.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from portcullis.components.firewall.on_host.ufw_rules import (
    ANYWHERE,
    FAMILIES,
    ONLY_4,
    RANKS,
    SSH,
    Match,
    Rule,
    plain,
)

if TYPE_CHECKING:
    from portcullis.components.firewall.on_host.ufw_rules import Family, Rules

_LOGS = ("log", "log-all")
_PORTLESS = ("ah", "esp", "gre", "igmp", "ipv6", "vrrp")
_PROTOCOLS = ("any", "tcp", "udp", *_PORTLESS)
_MOST_PORTS = 15  # ports of one rule; a range counts as two (iptables-extensions(8), multiport)
_LAST_PORT = 65535
# ufw's own pattern for the name of an interface (ufw/common.py, set_interface).
_INTERFACE = re.compile(r"[a-zA-Z0-9_\-.+,=%@]{1,15}\Z")

# We do not read /etc/services, which may differ between deploying machines.
SERVICES = {
    "domain": "53", "ftp": "21", "http": "80", "https": "443", "imap": "143", "imaps": "993", "ldap": "389",
    "ldaps": "636", "mongodb": "27017", "mysql": "3306", "ntp": "123", "pop3": "110", "pop3s": "995",
    "postgresql": "5432", "redis": "6379", "smtp": "25", "snmp": "161", "ssh": "22", "submission": "587",
    "telnet": "23",
}  # fmt: skip


def declared(name: str, value: str) -> Rules:
    """Return the rules for one entry in the `rules` of a policy, by address family.

    Raises ValueError with a text for people.
    """
    match, family = parse_name(name)
    action, log, comment = parse_value(value)
    rule = Rule(match, action, log, comment)
    return {f: (rule,) if f in match.families and family in ("", f) else () for f in FAMILIES}


def normal_name(name: str) -> str:
    """Return the normal spelling of a rule's name. Raises ValueError with a text for people."""
    match, family = parse_name(name)
    return f"{match} (v{family})" if family and len(match.families) > 1 else str(match)


def normal_value(value: str) -> str:
    """Return the normal spelling of a rule's value. Raises ValueError with a text for people."""
    action, log, comment = parse_value(value)
    return Rule(Match(), action, log, comment).value


def parse_value(value: str) -> tuple[str, str, str]:
    """Return the action, logging and comment of ``allow``, ``deny log`` or ``allow # why``.

    Raises ValueError.
    """
    head, _, comment = value.partition("#")
    words, comment = head.split(), comment.strip()
    if not words or words[0] not in RANKS:
        raise ValueError(
            f"the rule value {value!r} does not begin with an action; the actions: {', '.join(sorted(RANKS))}"
        )
    if words[1:] and (len(words) > 2 or words[1] not in _LOGS):  # noqa: PLR2004 - action and logging
        raise ValueError(
            f"the rule value {value!r} is not valid; write ACTION, then `log` or `log-all`, then # COMMENT"
        )
    if "'" in comment or not comment.isprintable():
        raise ValueError(
            f"the rule value {value!r} has a comment with a single quote (') or a control character"
        )
    if comment.startswith(SSH):
        raise ValueError(
            f"the rule value {value!r} has a comment that begins with {SSH!r}, which only rules of the SSH "
            "server have"
        )
    return words[0], words[1] if words[1:] else "", comment


def parse_name(name: str) -> tuple[Match, Family]:
    """The match, and the only family that the rule is for, "" for both. Words may come in any order.

    ``[in|out] [PORTS[/PROTO]] [on IF] [from ADDRESS [port P]] [to ADDRESS] [(v4)|(v6)]``. For forwarded
    packets: ``route [PORTS[/PROTO]] [in on IF] [out on IF] …``.

    Raises:
        ValueError: the name is invalid. The text is for people.
    """
    family = ""
    text = name.strip()
    for known in FAMILIES:
        if text.endswith(f"(v{known})"):
            family, text = known, text[:-4].strip()
    parts = _parts(name, text.split())
    proto = (
        _one(name, "protocol", [p for p in (parts["proto"], parts["what"].partition("/")[2]) if p]) or "any"
    )
    dport = _one(name, "port", [p for p in (parts["what"].partition("/")[0], parts["to port"]) if p]) or "any"
    match = Match(
        direction=parts["direction"] or "in",
        proto=proto,
        dport=_ports(name, dport),
        dst=_address(name, parts["to"]),
        sport=_ports(name, parts["port"] or "any"),
        src=_address(name, parts["from"]),
        in_on=parts["in on"],
        out_on=parts["out on"],
    )
    if not parts["what"] and match == Match(match.direction, in_on=match.in_on, out_on=match.out_on):
        raise ValueError(f"the rule {name!r} has no port and no address; write `any` to match every packet")
    _check(name, match)
    if family and family not in match.families:
        raise ValueError(
            f"the rule {name!r} contains (v{family}), but its address or protocol does not belong to "
            f"IPv{family}"
        )
    return match, family


def _parts(name: str, words: list[str]) -> dict[str, str]:
    """Return the clauses of a rule's name, by keyword, such as `from`. A missing clause is ""."""
    parts = dict.fromkeys(
        ("direction", "what", "proto", "from", "port", "to", "to port", "in on", "out on"), ""
    )
    queue, side = list(words), ""

    def put(clause: str, value: str) -> None:
        if parts[clause] or not value:
            raise ValueError(
                f"in the rule {name!r}, {clause!r} {'occurs twice' if value else 'needs a value after it'}"
            )
        parts[clause] = value

    while queue:
        word = queue.pop(0)
        if word in ("in", "out", "route") and not (parts["direction"] == "route" and queue[:1] == ["on"]):
            put("direction", word)
            if word != "route" and queue[:1] == ["on"]:
                del queue[0]
                put(f"{word} on", queue.pop(0) if queue else "")
        elif word in ("in", "out"):
            del queue[0]
            put(f"{word} on", queue.pop(0) if queue else "")
        elif word == "on":
            put("out on" if parts["direction"] == "out" else "in on", queue.pop(0) if queue else "")
        elif word in ("from", "to", "proto"):
            put(word, queue.pop(0) if queue else "")
            side = word if word != "proto" else side
        elif word == "port":
            put("port" if side == "from" else "to port", queue.pop(0) if queue else "")
        else:
            put("what", word)
    return parts


def _one(name: str, what: str, found: list[str]) -> str:
    if len(set(found)) > 1:
        raise ValueError(f"the rule {name!r} has two {what}s, but a rule has only one")
    return found[0] if found else ""


def _check(name: str, match: Match) -> None:
    if match.proto not in _PROTOCOLS:
        raise ValueError(
            f"the rule {name!r} has the protocol {match.proto!r}; write one of "
            f"{', '.join(sorted(_PROTOCOLS))}"
        )
    ports = [port for port in (match.dport, match.sport) if port != "any"]
    if ports and match.proto in _PORTLESS:
        raise ValueError(f"the rule {name!r} has a port, but the protocol {match.proto} has no ports")
    if any("," in port or ":" in port for port in ports) and match.proto == "any":
        raise ValueError(f"the rule {name!r} has several ports, which need a protocol, such as 80,443/tcp")
    for interface in filter(None, (match.in_on, match.out_on)):
        if not _INTERFACE.match(interface):
            raise ValueError(f"in the rule {name!r}, {interface!r} is not the name of a network interface")
    if match.direction != "route" and (match.out_on if match.direction == "in" else match.in_on):
        raise ValueError(
            f"the rule {name!r} must begin with `route`, because it is for packets between two interfaces"
        )
    versions = {ipaddress.ip_network(a).version for a in (match.src, match.dst) if a != "any"}
    if len(versions) > 1:
        raise ValueError(f"the rule {name!r} mixes addresses of IPv4 and IPv6")
    if match.proto in ONLY_4 and 6 in versions:  # noqa: PLR2004 - a version of IP
        raise ValueError(
            f"the rule {name!r} has an IPv6 address, but ufw supports {match.proto} for IPv4 only"
        )


def _address(name: str, text: str) -> str:
    if text in ("", "any"):
        return "any"
    try:
        if "%" in text:  # Python takes any text after a % as the name of an interface
            raise ValueError  # noqa: TRY301 - the error of a library call is handled in the same way
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"in the rule {name!r}, {text!r} is not an IP address or network") from None
    return "any" if str(network) in ANYWHERE.values() else plain(str(network))


def _ports(name: str, text: str) -> str:
    """Return the ports in ufw's own order: ``443,6000:6007``."""
    if text == "any":
        return text
    found: dict[str, tuple[int, ...]] = {}
    for part in text.split(","):
        ends = [SERVICES.get(end, end) for end in part.split(":")]
        if not all(re.fullmatch("[0-9]{1,5}", end) for end in ends) or len(ends) > 2:  # noqa: PLR2004 - the two ends of a range
            raise ValueError(f"in the rule {name!r}, {part!r} is not a port; write the number of the port")
        numbers = tuple(int(end) for end in ends)
        if not all(1 <= number <= _LAST_PORT for number in numbers):
            raise ValueError(f"in the rule {name!r}, the port {part!r} is not between 1 and {_LAST_PORT}")
        if len(numbers) > 1 and numbers[0] >= numbers[1]:
            raise ValueError(f"in the rule {name!r}, the range of ports {part!r} ends before it begins")
        found[":".join(map(str, numbers))] = numbers
    if sum(map(len, found.values())) > _MOST_PORTS:
        raise ValueError(
            f"the rule {name!r} has more than {_MOST_PORTS} ports, the most for a rule; a range counts as two"
        )
    return ",".join(sorted(found, key=lambda port: found[port]))
