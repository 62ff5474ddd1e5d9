"""Firewall and forward filter: there, on, and closed by default."""

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

# What leads to the world may be taken out, by its whole name; Docker's own bridges are never that.
_BUT = r'(?: {} != "(?!docker0"|br-[0-9a-f]{{12}}")[\w.-]+")*'
_BRIDGE_OUT = rf'meta oifkind "bridge"{_BUT.format("oifname")} counter drop\b'
_BRIDGE_IN = rf'meta iifkind "bridge"{_BUT.format("iifname")} goto containers\b'
_OWN = r"ct original ip daddr \S+ ct status dnat counter drop\b"
_PUBLIC = r"ct status dnat meta l4proto \w+ ct original proto-dst [\d-]+(?: ip6? saddr \S+)? accept"
_DROPS = (
    # The chain, what a packet is about, and the line that stops it.
    ("forward", "anything: no hook calls it", r"type filter hook forward\b"),
    ("forward", "what is published for this host alone", _OWN),
    ("forward", "who knows the address of a container", _BRIDGE_OUT),
    ("forward", "what comes from containers", _BRIDGE_IN),
    ("containers", "containers on their way to ports that others publish", r"ct status dnat counter drop\b"),
    ("containers", "containers on their way to those of another network", _BRIDGE_OUT),
    *(
        (
            "containers",
            f"containers on their way to the metadata of {service.cloud}",
            rf"{re.escape(metadata.match(service))} counter drop\b",
        )
        for service in metadata.closed()
    ),
)
# In the chain that every forwarded packet passes, these alone may let one through.
_ACCEPTS = re.compile(rf"ct state established,related accept|{_PUBLIC}")
_PASSES = re.compile(r"\b(?:accept|return|jump|goto|queue|vmap)\b")
# What may stand before the last line that stops something, and let a packet pass by it.
_BEFORE = {
    "forward": re.compile(rf"{_ACCEPTS.pattern}|{_BRIDGE_IN}"),
    "containers": re.compile(r"fib daddr (?:\. iif oif exists|type multicast) accept"),
}
_BARE_ACCEPT = re.compile(r"(?:counter )?accept\b.*")


def hosts(resources: list[Resource]) -> list[str]:
    """Give the aliases of the hosts that run containers: whom Docker's providers speak to by SSH."""
    found = set()
    for resource in resources:
        address = re.fullmatch(r"ssh://(?:[^@]*@)?([^:/]+)(?::\d+)?/?", resource.text("host"))
        if resource.type == "pulumi:providers:docker" and address:
            found.add(address[1])
    return sorted(found)


def _without(kind: str, what: str, resources: list[Resource]) -> Iterator[Found]:
    there = {resource.text("host") for resource in resources if resource.is_host(kind)}
    yield from (
        Found(f"the host {host} runs containers and has {what}")
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
    yield from _without("UfwPolicy", "no firewall (UfwPolicy): whatever listens on it is open", resources)


def _chains(table: str) -> dict[str, list[str]]:
    """Give the lines of each chain, as nft lists them, without their comments."""
    chains: dict[str, list[str]] = {}
    for name, body in re.findall(r"^\tchain (\S+) \{\n(.*?)^\t\}$", table, re.MULTILINE | re.DOTALL):
        # nft takes a second block of a chain for its end.
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
                yield f"lets through what is not declared ({line})"
            elif chain == "forward" and at < _first(_OWN, lines) and re.fullmatch(_PUBLIC, line):
                yield f"lets through what is published for this host alone ({line})"


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
                    f"takes the containers' own bridge {name} for one that leads to the world", resource
                )


def _no_filter(resources: list[Resource]) -> Iterator[Found]:
    yield from _without(
        "ForwardFilter", "no forward filter (ForwardFilter): Docker's ports go past the firewall", resources
    )


def _engine(resource: Resource) -> Iterator[str]:
    address = resource.text("host")
    if resource.type == "pulumi:providers:docker" and re.match(r"(?:tcp|https?)://", address):
        yield f"reaches Docker at {address}, where others reach it too"
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
        yield "gives Docker no settings: the file holds something else"
        return
    listens = settings.get("hosts") or ()
    for address in [listens] if isinstance(listens, str) else listens:
        # Without a scheme it is TCP.
        if not str(address).startswith(("unix://", "fd://")):
            yield f"lets Docker listen on {address}"
    for key in ("iptables", "ip6tables"):
        if settings.get(key) is False:
            yield f"keeps Docker from its own rules of isolation ({key}: false)"
    if not private(str(settings.get("ip"))):
        where = settings.get("ip") or "every address (no `ip`)"
        yield f"publishes ports on {where} where a container names no address"


POLICIES = (
    Policy(
        "firewall-denies-by-default",
        "The firewall is on, denies what comes in, and opens single ports.",
        "A program that listens by mistake is then reached by nobody.",
        "Leave UfwPolicy's defaults, and open single ports in firewall.allow.",
        _firewall,
    ),
    Policy(
        "host-has-firewall",
        "Every host that runs containers has a firewall policy.",
        "Without one, whatever listens on the host is open to the Internet.",
        "Keep the component Firewall (HardenedHost has it), or declare a UfwPolicy for the host.",
        check_stack=_no_firewall,
    ),
    Policy(
        "filter-closes-dockers-bypass",
        "The forward filter drops what is not declared: published ports, containers, cloud metadata.",
        "Docker forwards packets past ufw: a neighbour in the network reaches every container otherwise.",
        "Take the table from Firewall, which renders it; open single ports in firewall.public.",
        check_stack=_filters,
    ),
    Policy(
        "host-has-filter",
        "Every host that runs containers has a forward filter.",
        "Docker forwards packets past ufw: what a container publishes is reached, whatever ufw says.",
        "Keep the component Firewall (HardenedHost has it), or declare a ForwardFilter for the host.",
        check_stack=_no_filter,
    ),
    Policy(
        "docker-engine-is-private",
        "The Docker engine listens on no network, isolates networks, and publishes on docker0's address.",
        "Docker's API on the network is root for whoever reaches it.",
        "Leave /etc/docker/daemon.json to the component DockerEngine; reach Docker by SSH.",
        _engine,
    ),
)
