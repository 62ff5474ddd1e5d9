"""What firewall and filter let through from outside, and rules of others that come first; pure text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Dict, Iterator, List, Tuple

from portcullis.host.agent.ufw_rules import FAMILIES, RANKS, Match, plain

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from portcullis.host.agent.ufw_rules import Rule

ANYWHERE = "anywhere"
OPEN = "everything"
FILTER = "inet portcullis"
_PUBLIC = re.compile(
    r"ct status dnat meta l4proto (?P<protocol>tcp|udp) ct original proto-dst (?P<ports>[\d-]+)"
    r"(?: (?P<family>ip6?) saddr (?P<source>\S+))? accept"
)

Passes = Dict[str, str]


# ufw --------------------------------------------------------------------------------------------------------


def by_ufw(rules: Mapping[str, Iterable[Rule]], families: Collection[str]) -> Passes:
    """What rules of ufw let in: ``tcp4 443`` → from where. What refuses is left out."""
    found: Dict[str, set[str]] = {}
    for family in families:
        for rule in rules[family]:
            if rule.rank != RANKS["deny"] and rule.match.direction in ("in", "route"):
                for key in keys(rule.match, family):
                    found.setdefault(key, set()).add(source(rule.match))
    return joined(found)


def keys(match: Match, family: str) -> Iterator[str]:
    """The keys of a rule, one for each of its ports."""
    routed = " routed" if match.direction == "route" else ""
    for port in match.dport.split(","):
        yield f"{match.proto}{family} {port.replace(':', '-')}{routed}"


def source(match: Match) -> str:
    """From where a rule lets in, and to which address of the host, if not to all."""
    words = [ANYWHERE if match.src == "any" else plain(match.src)]
    words += ["port", match.sport] if match.sport != "any" else []
    words += ["on", match.in_on] if match.in_on else []
    words += ["to", plain(match.dst)] if match.dst != "any" else []
    return " ".join(words)


def joined(found: Mapping[str, Collection[str]]) -> Passes:
    """One text for all sources; where everybody may, the others say nothing more."""
    return {
        key: ANYWHERE if ANYWHERE in sources else ", ".join(sorted(sources)) for key, sources in found.items()
    }


def wide_open(why: str, families: Collection[str]) -> Passes:
    """What passes where there is no firewall."""
    return {f"any{family} any": f"{OPEN}: {why}" for family in families}


# The filter, and tables of others ---------------------------------------------------------------------------


def tables(ruleset: str) -> Dict[str, Dict[str, List[str]]]:
    """The rules of each chain of each table, out of ``nft list ruleset``."""
    found: Dict[str, Dict[str, List[str]]] = {}
    chains: Dict[str, List[str]] = {}
    chain: List[str] | None = None
    depth = 0
    for raw in ruleset.splitlines():
        line = raw.strip()
        if line.startswith("table ") and line.endswith("{"):
            chains = found.setdefault(line[6:-1].strip(), {})
            depth = 1
        elif depth == 1 and line.endswith("{"):
            chain = chains.setdefault(line[6:-1].strip(), []) if line.startswith("chain ") else None
            depth = 2
        elif line == "}":
            depth, chain = max(depth - 1, 0), None
        elif chain is not None and line and not line.startswith(("type ", "comment ", "#")):
            chain.append(line)
    return found


def by_filter(chains: Mapping[str, Iterable[str]] | None) -> Passes:
    """What the forward filter lets through to containers; all of it where the table is not loaded."""
    if chains is None:
        return {"any routed": f"{OPEN}: the filter {FILTER} is not loaded"}
    found: Dict[str, set[str]] = {}
    for rule in chains.get("forward", ()):
        match = _PUBLIC.fullmatch(rule)
        if match:
            known = {"ip": ("4",), "ip6": ("6",), None: FAMILIES}[match["family"]]
            for family in known:
                found.setdefault(public_key(match["protocol"], family, match["ports"]), set()).add(
                    match["source"] or ANYWHERE
                )
        elif _lets_in(rule) and rule != "ct state established,related accept":
            found.setdefault(f"nft {FILTER} forward: {rule}", set()).add("a rule besides ours")
    return joined(found)


def public_key(protocol: str, family: str, ports: str) -> str:
    """The key of a port that containers publish to the world."""
    return f"{protocol}{family} {ports} to containers"


# iptables' own tables, which iptables-save reads; fail2ban, which only refuses; Docker 29's.
_KNOWN_TABLES = re.compile(
    r"(?:ip|ip6) (?:filter|nat|raw|mangle|security)|\S+ f2b-table|(?:ip|ip6) docker-bridges|inet portcullis"
)
_HARMLESS = re.compile(
    r"ct state (?:established,related|related,established|established)\b.*|iif(?:name)? \"?lo\"? .*"
)


def by_tables(found: Mapping[str, Mapping[str, Iterable[str]]]) -> Passes:
    """Rules of tables that are neither ours nor of a program we know, which accept or redirect."""
    return {
        f"nft {table} {chain}: {rule}": (
            "redirects by a table of its own"
            if _redirects(rule)
            else "accepts in a table of its own; ufw and the filter still decide"
        )
        for table, chains in found.items()
        if not _KNOWN_TABLES.fullmatch(table)
        for chain, rules in chains.items()
        for rule in rules
        if not _HARMLESS.fullmatch(rule) and (_lets_in(rule) or _redirects(rule))
    }


def _lets_in(rule: str) -> bool:
    return re.search(r"(?:^| )accept(?: comment .*)?$", rule) is not None


def _redirects(rule: str) -> bool:
    return re.search(r"(?:^| )(?:dnat|redirect|tproxy)(?: |$)", rule) is not None


# iptables ---------------------------------------------------------------------------------------------------

# What a packet from outside never passes.
_OUTGOING = ("OUTPUT", "POSTROUTING")
_TARGETS = {"ACCEPT": "accepts", "DNAT": "redirects", "REDIRECT": "redirects", "NETMAP": "redirects",
            "TPROXY": "redirects"}  # fmt: skip
# DOCKER-USER is where people put their own.
_OTHERS_CHAINS = re.compile(r"ufw6?-.*|f2b-.*|DOCKER(?!-USER\b).*")
_ESTABLISHED = re.compile(r".*--ctstate (?:RELATED,ESTABLISHED|ESTABLISHED,RELATED|ESTABLISHED) -j ACCEPT")
# Docker's own in FORWARD: from a bridge outwards, or to a neighbour on it.
_FROM_BRIDGE = re.compile(r"-i (?P<bridge>\S+) (?:! )?-o (?P=bridge) -j ACCEPT")
_PUBLISHED = re.compile(r".*-p (?P<protocol>tcp|udp) .*--dport (?P<port>\d+) -j DNAT .*")


def by_iptables(
    saved: str, tool: str, bridges: Collection[str], published: Collection[Tuple[str, int]]
) -> Passes:
    """Rules that accept or redirect and belong neither to ufw, nor to Docker, nor to fail2ban.

    Args:
        saved: output of ``iptables-save`` or ``ip6tables-save``.
        tool: ``iptables`` or ``ip6tables``.
        bridges: the interfaces that are bridges.
        published: protocol and port of all that Docker has published.
    """
    found, table = {}, ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        if not line.startswith("-A "):
            continue
        chain, _, rule = line[3:].partition(" ")
        does = _TARGETS.get(_target(rule), "")
        if not does or chain in _OUTGOING or (does == "accepts" and table != "filter"):
            continue
        if table == "nat" and chain == "DOCKER":
            match = _PUBLISHED.fullmatch(rule)
            if match and (match["protocol"], int(match["port"])) in published:
                continue
        elif _OTHERS_CHAINS.fullmatch(chain) or _is_harmless(rule, bridges):
            continue
        place = chain if table == "filter" else f"{table} {chain}"
        found[f"{tool} {place}: {rule}"] = f"{does} before ufw and the filter are asked"
    return found


def _target(rule: str) -> str:
    match = re.search(r"(?:^| )-j (\S+)", rule)
    return match[1] if match else ""


def _is_harmless(rule: str, bridges: Collection[str]) -> bool:
    if _ESTABLISHED.fullmatch(rule) or rule == "-i lo -j ACCEPT":
        return True
    match = _FROM_BRIDGE.fullmatch(rule)
    return bool(match and match["bridge"] in bridges)
