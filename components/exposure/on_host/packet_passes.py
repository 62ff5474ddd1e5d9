"""Finds the ports that ufw and the forward filter open, and undeclared rules that act before both.

The functions parse the output of ufw, nft and iptables-save, and do no I/O.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portcullis.components.firewall.on_host.ufw_rules import FAMILIES, RANKS, Match, plain

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from portcullis.components.firewall.on_host.ufw_rules import Rule

ANYWHERE = "anywhere"
OPEN = "everything"
FILTER = "inet portcullis"
_PUBLIC = re.compile(
    r"ct status dnat meta l4proto (?P<protocol>tcp|udp) ct original proto-dst (?P<ports>[\d-]+)"
    r"(?: (?P<family>ip6?) saddr (?P<source>\S+))? accept"
)

Passes = dict[str, str]


# ufw --------------------------------------------------------------------------------------------------------


def by_ufw(rules: Mapping[str, Iterable[Rule]], families: Collection[str]) -> Passes:
    """Return the ports that rules of ufw open, each with its sources: ``tcp4 443`` → ``anywhere``.

    Rules of ufw that refuse packets are left out.
    """
    found: dict[str, set[str]] = {}
    for family in families:
        for rule in rules[family]:
            if rule.rank != RANKS["deny"] and rule.match.direction in ("in", "route"):
                for key in keys(rule.match, family):
                    found.setdefault(key, set()).add(source(rule.match))
    return joined(found)


def keys(match: Match, family: str) -> Iterator[str]:
    """Return the keys of a rule, one for each of its ports."""
    routed = " routed" if match.direction == "route" else ""
    for port in match.dport.split(","):
        yield f"{match.proto}{family} {port.replace(':', '-')}{routed}"


def source(match: Match) -> str:
    """Return the sources that a rule lets in, and the host's address if the rule names one."""
    words = [ANYWHERE if match.src == "any" else plain(match.src)]
    words += ["port", match.sport] if match.sport != "any" else []
    words += ["on", match.in_on] if match.in_on else []
    words += ["to", plain(match.dst)] if match.dst != "any" else []
    return " ".join(words)


def joined(found: Mapping[str, Collection[str]]) -> Passes:
    """Join the sources of each key into one text. The source "anywhere" includes all other sources."""
    return {
        key: ANYWHERE if ANYWHERE in sources else ", ".join(sorted(sources)) for key, sources in found.items()
    }


def wide_open(why: str, families: Collection[str]) -> Passes:
    """Return the entry of a host without a working firewall, where every packet passes."""
    return {f"any{family} any": f"{OPEN}: {why}" for family in families}


# The filter, and tables of others ---------------------------------------------------------------------------


def tables(ruleset: str) -> dict[str, dict[str, list[str]]]:
    """Parse the output of ``nft list ruleset`` into rules, by table and chain."""
    found: dict[str, dict[str, list[str]]] = {}
    chains: dict[str, list[str]] = {}
    chain: list[str] | None = None
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
    """Return what the forward filter lets through to containers. Without its table, everything passes."""
    if chains is None:
        return {"any routed": f"{OPEN}: the filter {FILTER} is not loaded"}
    found: dict[str, set[str]] = {}
    for rule in chains.get("forward", ()):
        match = _PUBLIC.fullmatch(rule)
        if match:
            known = {"ip": ("4",), "ip6": ("6",), None: FAMILIES}[match["family"]]
            for family in known:
                found.setdefault(public_key(match["protocol"], family, match["ports"]), set()).add(
                    match["source"] or ANYWHERE
                )
        elif _lets_in(rule) and rule != "ct state established,related accept":
            found.setdefault(f"nft {FILTER} forward: {rule}", set()).add("a rule that is not ours")
    return joined(found)


def public_key(protocol: str, family: str, ports: str) -> str:
    """Return the key of a port that containers publish to the world."""
    return f"{protocol}{family} {ports} to containers"


_DOCKERS_TABLE = re.compile(r"ip6? docker-bridges")
# The rules that Docker 29 itself writes with its nftables backend (nftabler in moby).
_DOCKERS_JUMP = re.compile(r"[io]ifname vmap @(?:filter-forward|nat-postrouting)-(?:in|out)-jumps")
_DOCKERS_BRIDGE = re.compile(r"filter-forward-(?:in|out)__(?P<bridge>.+)")
_DOCKERS_DNAT = re.compile(
    r"(?:iifname != \"[^\"]+\" )?(?:ip6 saddr != fe80::/10 )?(?:ip6? daddr \S+ )?"
    r"(?P<protocol>tcp|udp|sctp) dport (?P<port>\d+) counter dnat to \S+ comment \"DNAT\""
)
_IPTABLES = re.compile(r"(?:ip|ip6) (?:filter|nat|raw|mangle|security)")
_HARMLESS = re.compile(
    r"ct state (?:established,related|related,established|established) .*|iif(?:name)? \"?lo\"? .*"
)
_VERDICTS = re.compile(r"(?P<state>(?:^| )ct state )?vmap (?:@|\{(?P<pairs>[^}]*)\})")


def by_tables(
    found: Mapping[str, Mapping[str, Iterable[str]]],
    shown: Mapping[str, Collection[str]],
    bridges: Collection[str] = (),
    published: Collection[tuple[str, int]] = (),
) -> Passes:
    """Return rules that accept or redirect packets, in tables that no known program wrote.

    Args:
        found: the rules, by table and chain.
        shown: the chains that iptables-save shows, by table. If somebody wrote a rule to a table with nft,
            iptables-save leaves out the chain or the whole table. Its exit code is still 0.
        bridges: the names of the interfaces that are bridges.
        published: protocol and port of each port that Docker has published.
    """
    return {
        f"nft {table} {chain}: {rule}": does
        for table, chains in found.items()
        if table != FILTER
        for chain, rules in chains.items()
        for rule in rules
        if not (_DOCKERS_TABLE.fullmatch(table) and _is_dockers_by_nft(chain, rule, bridges, published))
        if (does := _does(table, chain, rule, shown))
    }


def _is_dockers_by_nft(
    chain: str, rule: str, bridges: Collection[str], published: Collection[tuple[str, int]]
) -> bool:
    """Whether Docker itself wrote a rule in its table.

    The table's name proves nothing, because anybody can use the name.
    """
    if _redirects(rule):
        match = _DOCKERS_DNAT.fullmatch(rule) if chain == "nat-prerouting-and-output" else None
        return bool(match and (match["protocol"], int(match["port"])) in published)
    if _DOCKERS_JUMP.fullmatch(rule):
        return True
    match = _DOCKERS_BRIDGE.fullmatch(chain)
    return bool(match and match["bridge"] in bridges)


def _does(table: str, chain: str, rule: str, shown: Mapping[str, Collection[str]]) -> str:
    """Return the text for people about a rule; "" if the rule neither accepts nor redirects packets."""
    if _HARMLESS.fullmatch(rule) or not (_lets_in(rule) or _redirects(rule)):
        return ""
    if not _IPTABLES.fullmatch(table):
        if _redirects(rule):
            return "redirects by a table of its own"
        return "accepts in a table of its own; ufw and the filter still decide"
    # The firewall's own resource compares ufw's chains. If a rule has a map of verdicts, iptables-save shows
    # the rule without the map.
    known = chain in _OUTGOING or _UFWS_CHAINS.fullmatch(chain) or chain in shown.get(table, ())
    if known and not _VERDICTS.search(rule):
        return ""
    return f"{'redirects' if _redirects(rule) else 'accepts'}, and iptables-save does not show it"


def _lets_in(rule: str) -> bool:
    if re.search(r"(?:^| )accept(?: comment .*)?$", rule):
        return True
    match = _VERDICTS.search(rule)
    if match is None or match["pairs"] is None:
        return match is not None  # nft -t does not list the elements of a named map
    pairs = [pair.rpartition(" : ") for pair in match["pairs"].split(",")]
    passing = {key.strip() for key, _, verdict in pairs if verdict.strip() == "accept"}
    return bool(passing - ({"established", "related"} if match["state"] else set()))


def _redirects(rule: str) -> bool:
    words = r"dnat|redirect|tproxy|xt target \"(?:DNAT|REDIRECT|NETMAP|TPROXY)\""
    return re.search(rf"(?:^| )(?:{words})(?: |$)", rule) is not None


# iptables ---------------------------------------------------------------------------------------------------

# No packet from outside passes these chains.
_OUTGOING = ("OUTPUT", "POSTROUTING")
_TARGETS = {"ACCEPT": "accepts", "DNAT": "redirects", "REDIRECT": "redirects", "NETMAP": "redirects",
            "TPROXY": "redirects"}  # fmt: skip
# We compare whole names, because anybody may name a chain DOCKER-mine. The chains of fail2ban are not listed,
# because they only refuse.
_UFWS_CHAINS = re.compile(
    r"ufw6?-(?:(?:before|after|user)-(?:logging-)?(?:input|output|forward)|user-limit(?:-accept)?|not-local"
    r"|(?:reject|track|skip-to-policy)-(?:input|output|forward)|logging-(?:deny|allow))"
)
_DOCKERS_CHAINS = re.compile(
    # DOCKER-USER is not listed, because people put their own rules into this chain.
    r"DOCKER(?:-FORWARD|-CT|-BRIDGE|-INTERNAL|-ISOLATION-STAGE-[12])?"
)
_SWARMS_CHAIN = "DOCKER-INGRESS"
_ESTABLISHED = re.compile(r".*--ctstate (?:RELATED,ESTABLISHED|ESTABLISHED,RELATED|ESTABLISHED) -j ACCEPT")
# Docker's own rules in FORWARD: from a bridge outwards, or to another container on the same bridge.
_FROM_BRIDGE = re.compile(r"-i (?P<bridge>\S+) (?:! )?-o (?P=bridge) -j ACCEPT")
# Rules in Docker's own chains: to a container on a bridge, or from a container on a bridge.
_BY_BRIDGE = re.compile(r"(?:.* )?(?<!! )-[io] (?P<bridge>\S+) .*")
_PUBLISHED = re.compile(r".*-p (?P<protocol>tcp|udp|sctp) .*--dport (?P<port>\d+) -j DNAT .*")


def by_iptables(
    saved: str, tool: str, bridges: Collection[str], published: Collection[tuple[str, int]]
) -> Passes:
    """Return rules that accept or redirect packets, and that neither ufw nor Docker nor fail2ban wrote.

    Args:
        saved: output of ``iptables-save`` or ``ip6tables-save``.
        tool: ``iptables`` or ``ip6tables``.
        bridges: the names of the interfaces that are bridges.
        published: protocol and port of each port that Docker has published.
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
        elif _UFWS_CHAINS.fullmatch(chain) or _is_harmless(chain, rule, bridges):
            continue
        place = chain if table == "filter" else f"{table} {chain}"
        found[f"{tool} {place}: {rule}"] = f"{does} before ufw and the filter are asked"
    return found


def chains(saved: str, tool: str) -> dict[str, set[str]]:
    """Return the chains that ``iptables-save`` shows, by the table's name in nft, such as ``ip filter``."""
    found: dict[str, set[str]] = {}
    family, table = "ip6" if tool == "ip6tables" else "ip", ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = f"{family} {line[1:].strip()}"
        elif line.startswith(":"):
            found.setdefault(table, set()).add(line[1:].partition(" ")[0])
    return found


def _is_dockers(chain: str, rule: str, bridges: Collection[str]) -> bool:
    if chain == _SWARMS_CHAIN:
        return re.search(r"--[ds]port \d+ ", rule) is not None
    match = _BY_BRIDGE.fullmatch(rule) if _DOCKERS_CHAINS.fullmatch(chain) else None
    return bool(match and match["bridge"] in bridges)


def _target(rule: str) -> str:
    match = re.search(r"(?:^| )-j (\S+)", rule)
    return match[1] if match else ""


def _is_harmless(chain: str, rule: str, bridges: Collection[str]) -> bool:
    if _ESTABLISHED.fullmatch(rule) or rule == "-i lo -j ACCEPT" or _is_dockers(chain, rule, bridges):
        return True
    match = _FROM_BRIDGE.fullmatch(rule)
    return bool(match and match["bridge"] in bridges)
