"""Policies for the firewall and the forward filter: both exist, are on, and deny by default."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from portcullis.components.firewall import metadata
from portcullis.policy.addresses import private
from portcullis.policy.firewall_rules import opened
from portcullis.policy.model import Found, Policy, Resource

if TYPE_CHECKING:
    from collections.abc import Iterator

# A rule may exclude interfaces that lead to the outside, by their full names, but never Docker's own bridges.
_BUT = r'(?: {} != "(?!docker0"|br-[0-9a-f]{{12}}")[\w.-]+")*'
_BRIDGE_OUT = rf'meta oifkind "bridge"{_BUT.format("oifname")} counter drop\b'
_BRIDGE_IN = rf'meta iifkind "bridge"{_BUT.format("iifname")} goto containers\b'
_OWN = r"ct original ip daddr \S+ ct status dnat counter drop\b"
_PUBLIC = r"ct status dnat meta l4proto \w+ ct original proto-dst [\d-]+(?: ip6? saddr \S+)? accept"
_DROPS = (
    # The name of a chain, the packets that the chain must stop, and the line that stops these packets.
    ("forward", "any packet, because no hook calls the chain", r"type filter hook forward\b"),
    ("forward", "packets from outside to ports that are published for this host only", _OWN),
    ("forward", "packets from outside to a container's own address", _BRIDGE_OUT),
    ("forward", "packets from containers, because no line leads to the chain containers", _BRIDGE_IN),
    ("containers", "packets from containers to published ports of others", r"ct status dnat counter drop\b"),
    ("containers", "packets from containers to containers of another network", _BRIDGE_OUT),
    *(
        (
            "containers",
            f"packets from containers to the metadata service of {service.cloud}",
            rf"{re.escape(metadata.match(service))} counter drop\b",
        )
        for service in metadata.closed()
    ),
)
# Every forwarded packet passes the chain `forward`. Only these lines may accept a packet there.
_ACCEPTS = re.compile(rf"ct state established,related accept|{_PUBLIC}")
_PASSES = re.compile(r"\b(?:accept|return|jump|goto|queue|vmap)\b")
# Lines that let a packet pass and may nevertheless come before the last line that stops packets.
_BEFORE = {
    "forward": re.compile(rf"{_ACCEPTS.pattern}|{_BRIDGE_IN}"),
    "containers": re.compile(r"fib daddr (?:\. iif oif exists|type multicast) accept"),
}
_BARE_ACCEPT = re.compile(r"(?:counter )?accept\b.*")


def hosts(resources: list[Resource]) -> list[str]:
    """Return the aliases of the hosts that run containers: those that docker providers reach by SSH."""
    found = set()
    for resource in resources:
        address = re.fullmatch(r"ssh://(?:[^@]*@)?([^:/]+)(?::\d+)?/?", resource.text("host"))
        if resource.type == "pulumi:providers:docker" and address:
            found.add(address[1])
    return sorted(found)


def _without(kind: str, what: str, resources: list[Resource]) -> Iterator[Found]:
    there = {resource.text("host") for resource in resources if resource.is_host(kind)}
    yield from (
        Found(f"the host {host} runs containers but has {what}")
        for host in hosts(resources)
        if host not in there
    )


def _firewall(resource: Resource) -> Iterator[str]:
    if not resource.is_host("UfwPolicy"):
        return
    if resource.props.get("enabled") is False:
        yield "switches ufw off"
    defaults = resource.props.get("defaults")
    for direction in ("incoming", "routed"):
        if isinstance(defaults, dict) and defaults.get(direction) == "allow":
            yield f"lets everything in by default ({direction}: allow)"
    rules = resource.props.get("rules")
    for name, value in rules.items() if isinstance(rules, dict) else ():
        rule = opened(str(name), value)
        if rule and rule.everything and rule.everybody:
            yield f"lets everybody reach every port (rule {name!r})"


def _no_firewall(resources: list[Resource]) -> Iterator[Found]:
    yield from _without("UfwPolicy", "no firewall (UfwPolicy): every listening port is open", resources)


def _chains(table: str) -> dict[str, list[str]]:
    """Return the lines of each chain as nft lists them, without comments."""
    chains: dict[str, list[str]] = {}
    for name, body in re.findall(r"^\tchain (\S+) \{\n(.*?)^\t\}$", table, re.MULTILINE | re.DOTALL):
        # nft appends the lines of a second block to the first block of the same chain.
        chains.setdefault(name, []).extend(
            re.sub(r' comment "[^"]*"$', "", line.strip()) for line in body.splitlines()
        )
    return chains


def _filter(resource: Resource) -> Iterator[str]:
    if not resource.is_host("ForwardFilter"):
        return
    if resource.props.get("boot") in ("disabled", "masked"):
        yield "is not loaded at boot"
    table = resource.props.get("table")
    if not isinstance(table, str):
        return
    chains = _chains(table)
    for chain, what, form in _DROPS:
        if not any(re.match(form, line) for line in chains.get(chain, ())):
            yield f"does not stop {what}"
    for chain, lines in chains.items():
        last = max((_first(form, lines) for name, _, form in _DROPS if name == chain), default=-1)
        for at, line in enumerate(lines):
            early = at < last and _PASSES.search(line) and not line.startswith("type ")
            through = chain == "forward" and re.search(r"\baccept$", line) and not _ACCEPTS.fullmatch(line)
            if through or _BARE_ACCEPT.fullmatch(line) or (early and not _BEFORE[chain].fullmatch(line)):
                yield f"accepts packets that nobody declared ({line})"
            elif chain == "forward" and at < _first(_OWN, lines) and re.fullmatch(_PUBLIC, line):
                yield f"accepts packets to ports that are published for this host only ({line})"


def _first(form: str, lines: list[str]) -> int:
    return next((at for at, line in enumerate(lines) if re.match(form, line)), -1)


def _filters(resources: list[Resource]) -> Iterator[Found]:
    bridges = set()
    for resource in resources:
        options = resource.props.get("options")
        if resource.type == "docker:index/network:Network" and isinstance(options, dict):
            bridges.add(options.get("com.docker.network.bridge.name"))
    for resource in resources:
        yield from (Found(what, resource) for what in _filter(resource))
        if resource.is_host("ForwardFilter"):
            outside = set(re.findall(r'[io]ifname != "([^"]*)"', resource.text("table")))
            for name in sorted(outside.intersection(bridges)):
                yield Found(
                    f"treats the containers' own bridge {name} as an interface to the outside", resource
                )


def _no_filter(resources: list[Resource]) -> Iterator[Found]:
    yield from _without(
        "ForwardFilter", "no forward filter (ForwardFilter): Docker's ports bypass the firewall", resources
    )


def _engine(resource: Resource) -> Iterator[str]:
    address = resource.text("host")
    if resource.type == "pulumi:providers:docker" and re.match(r"(?:tcp|https?)://", address):
        yield f"reaches Docker at {address}, which other machines can reach too"
    if resource.is_host("File") and resource.text("path") == "/etc/docker/daemon.json":
        yield from _daemon_json(resource)


def _daemon_json(resource: Resource) -> Iterator[str]:
    if resource.unknown("content"):
        return
    try:
        settings = json.loads(resource.text("content") or "{}")
    except ValueError:
        return
    if not isinstance(settings, dict):
        yield "has no settings for Docker: the file contains no JSON object"
        return
    listens = settings.get("hosts") or ()
    for address in [listens] if isinstance(listens, str) else listens:
        # An address without a scheme is TCP.
        if not str(address).startswith(("unix://", "fd://")):
            yield f"lets Docker listen on {address}"
    for key in ("iptables", "ip6tables"):
        if settings.get(key) is False:
            yield f"switches off Docker's own isolation rules ({key}: false)"
    if not private(str(settings.get("ip"))):
        where = settings.get("ip") or "every address (no `ip`)"
        yield f"publishes ports on {where} if a container names no address"


POLICIES = (
    Policy(
        "firewall-denies-by-default",
        "The firewall is on, denies incoming traffic by default, and opens single ports.",
        "Without these rules, a program that listens by mistake is open to the Internet.",
        "Keep the defaults of UfwPolicy, and open single ports in firewall.allow.",
        _firewall,
    ),
    Policy(
        "host-has-firewall",
        "Every host that runs containers has a firewall policy.",
        "Without a firewall policy, every listening port of the host is open to the Internet.",
        "Keep the component Firewall (HardenedHost has it), or declare a UfwPolicy for the host.",
        check_stack=_no_firewall,
    ),
    Policy(
        "filter-closes-dockers-bypass",
        "The forward filter drops undeclared traffic to published ports, containers and cloud metadata.",
        "Docker forwards packets past ufw. Without the filter, a neighbour in the network reaches every "
        "container.",
        "Use the table that the component Firewall renders, and open single ports in firewall.public.",
        check_stack=_filters,
    ),
    Policy(
        "host-has-filter",
        "Every host that runs containers has a forward filter.",
        "Docker forwards packets past ufw: published ports of containers are open, whatever ufw denies.",
        "Keep the component Firewall (HardenedHost has it), or declare a ForwardFilter for the host.",
        check_stack=_no_filter,
    ),
    Policy(
        "docker-engine-is-private",
        "The Docker engine listens on no network, isolates networks, and publishes on docker0's address.",
        "Everybody who reaches Docker's API over the network becomes root on the host.",
        "Leave /etc/docker/daemon.json to the component DockerEngine, and reach Docker by SSH.",
        _engine,
    ),
)
