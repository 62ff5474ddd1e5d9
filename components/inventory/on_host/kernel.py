"""Reads undeclared kernel settings, routes, addresses and interfaces."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from portcullis.agent.errors import AgentError
from portcullis.components.inventory.on_host import docker
from portcullis.components.inventory.on_host.look import SYSCTL, Entry
from portcullis.resources.sysctl.facts import STATIC
from portcullis.resources.sysctl.on_host import sysctl_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from portcullis.agent.machine import Machine
    from portcullis.components.inventory.on_host.look import Fixes, Found, Look

Entries = dict[str, Entry]
Json = dict[str, Any]

_TIMEOUT = 30.0
_ENABLED = "1"

USUAL: Mapping[str, Sequence[str]] = {
    "net/ipv4/ip_forward": ("0",),
    "net/ipv4/conf/all/accept_local": ("0",),
    "net/ipv4/conf/*/proxy_arp": ("0",),
    "net/ipv4/conf/*/route_localnet": ("0",),
    "net/ipv6/conf/all/forwarding": ("0",),
    "net/ipv6/conf/*/proxy_ndp": ("0",),
    "kernel/core_pattern": ("core",),
    "kernel/hotplug": ("",),
    "kernel/modprobe": ("/sbin/modprobe", "/usr/sbin/modprobe"),
    "kernel/poweroff_cmd": ("/sbin/poweroff", "/usr/sbin/poweroff"),
}
"""The kernel's defaults of settings that let packets through or run a program as root.

https://docs.kernel.org/networking/ip-sysctl.html and https://docs.kernel.org/admin-guide/sysctl/kernel.html.
"""
_OPEN = ("forwarding", "route_localnet", "proxy_arp", "core_pattern", "modprobe")
"""The ends of names of settings that let packets through or run a program as root."""
# Settings that Docker changes when it starts: github.com/moby/moby, daemon/libnetwork/drivers/bridge.
_DOCKERS = ("net/ipv4/ip_forward",)
_DOCKERS_IPV6 = ("net/ipv6/conf/all/forwarding",)
_INTERFACE = re.compile(r"net/ipv[46]/(?:conf|neigh)/([^/]+)/")
_ROUTE_LOCALNET = re.compile(r"net/ipv4/conf/([^/]+)/route_localnet")

# A kernel module creates these fallback devices. Such a device carries no packets while it is down.
_FALLBACKS = ("tunl0", "gre0", "gretap0", "erspan0", "sit0", "ip_vti0", "ip6_vti0", "ip6tnl0", "ip6gre0")
_QUIET_KINDS = ("ifb",)
_PASSES = ("macvlan", "macvtap", "ipvlan", "ipvtap")
# Docker's name for the host's end of a container's virtual cable.
_VETH = re.compile(r"veth[0-9a-f]{7}")
_USUAL_RULES = ("0: from all lookup local", "32766: from all lookup main", "32767: from all lookup default")
_ROUTER = "by a router"
_SENDERS = {
    "ra": "sent by a router (ra)",
    "dhcp": "by DHCP",
    "redirect": "redirected by a router",
    "bird": "by the routing daemon bird",
    "zebra": "by a routing daemon",
    "bgp": "by the routing protocol BGP",
    "ospf": "by the routing protocol OSPF",
}


def read(look: Look) -> Found:
    """Return the undeclared kernel settings, routes, addresses and interfaces."""
    known = _Docker(look)
    found: Entries = {}
    for part in (_settings, _links, _routes):
        try:
            found.update(part(look, known))
        except AgentError as error:
            found[f"reading {part.__name__.strip('_')}"] = Entry(f"cannot be read: {error.message}")
    return {"kernel": found}


class _Docker:
    """Docker's networks, which are read only if they are needed.

    The reader of Docker reports undeclared networks.
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        self._networks: list[docker.Network] | None = None

    @property
    def networks(self) -> list[docker.Network]:
        if self._networks is None:
            self._networks = []
            with contextlib.suppress(AgentError):  # the reader of Docker reports this error
                self._networks = docker.networks(self._look.machine)
        return self._networks

    @property
    def is_declared(self) -> bool:
        return bool(
            self._look.spec.networks
            or self._look.spec.containers
            or self._look.claims.packages & {"docker.io", "docker-ce"}
            or "docker.service" in self._look.claims.units  # declared, but its packages are not
        )

    @property
    def has_ipv6(self) -> bool:
        """Whether a declared network or Docker's settings have IPv6."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            settings = json.loads((self._look.machine.etc / "docker/daemon.json").read_bytes())
            if settings.get("ipv6") is True:
                return True
        return any(one.ipv6 and one.name in self._look.spec.networks for one in self.networks)

    @property
    def bridges(self) -> Collection[str]:
        return {one.bridge for one in self.networks if one.bridge}


# Settings ---------------------------------------------------------------------------------------------------


def _settings(look: Look, known: _Docker) -> Entries:
    """Return settings that differ from the files that set them, and dangerous settings that no file sets."""
    declared = _declared(look)
    wanted = _from_files(look.machine, known)
    found: Entries = {}
    for path, (value, file) in wanted.items():
        have = _value(look.machine, path)
        if have is not None and not _is_same(have, value) and not _is_one_of(path, declared):
            found[_key(path)] = _setting(path, have, value, f"{file} says {_shown(value)}")
    for pattern, usual in USUAL.items():
        for path in _paths(look.machine, pattern):
            have = _value(look.machine, path)
            if have is None or have in usual or path in wanted or _is_one_of(path, declared):
                continue
            if not _is_dockers(path, have, known):
                usually = f"the kernel has {_shown(usual[0])} by itself"
                found[_key(path)] = _setting(path, have, usual[0], usually)
    return found


def _setting(path: str, have: str, wanted: str, reason: str) -> Entry:
    """Build the entry of a setting."""
    key = _key(path)
    return Entry(
        f"{_shown(have)}; {reason}",
        is_open=key.endswith(_OPEN),
        fixes=(("sysctl", key[len(SYSCTL) :], wanted),),
        state={"value": have},
    )


def _from_files(machine: Machine, known: _Docker) -> dict[str, tuple[str, str]]:
    """Return the value of each setting that a file sets, and the last file that sets it: sysctl.d(5)."""
    single: dict[str, tuple[str, str]] = {}
    patterns: dict[str, tuple[str, str]] = {}
    for entry in (*sysctl_files.assignments(machine.sysctl_d), *sysctl_files.by_ufw(machine.etc)):
        if not entry.key or ".." in entry.key:
            continue
        is_pattern = bool(set("*?[") & set(entry.key))
        (patterns if is_pattern else single)[entry.key] = (entry.value, entry.file)
    found: dict[str, tuple[str, str]] = {}
    # A line with a full key overrides a pattern, in any order. So does a line that excludes a key.
    apart = {*single, *sysctl_files.left_out(machine.sysctl_d)}
    for pattern, value in patterns.items():
        for path in _paths(machine, pattern):
            interface = _INTERFACE.match(path)
            # udev sets these keys for each new interface. Interfaces of containers come and go, so they are
            # left out.
            is_passing = interface and (_VETH.fullmatch(interface[1]) or interface[1] in known.bridges)
            if path not in apart and not is_passing:
                found[path] = value
    return {**found, **single}


def _is_same(have: str, wanted: str) -> bool:
    """Return whether two values mean the same: a file may write a number as 0x1b6."""
    if have == wanted:
        return True
    try:
        return [int(word, 0) for word in have.split()] == [int(word, 0) for word in wanted.split()]
    except ValueError:
        return False


def _declared(look: Look) -> list[str]:
    """Return the names of the kernel settings that other resources declare and read back.

    Some of the names contain `*`.
    """
    return [
        sysctl_files.normal(str(key).replace(STATIC, "*"))
        for record in look.records
        if record.kind == "sysctl"
        for key in record.spec.get("values") or {}
    ]


def _is_one_of(path: str, patterns: Iterable[str]) -> bool:
    return any(path == pattern or fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def _is_dockers(path: str, value: str, known: _Docker) -> bool:
    """Return whether Docker set this value for a declared engine or network."""
    if not known.is_declared or value != _ENABLED:
        return False
    if path in _DOCKERS:
        return True
    local = _ROUTE_LOCALNET.fullmatch(path)
    if local and local[1] in known.bridges:
        return True
    return path in _DOCKERS_IPV6 and known.has_ipv6


def _paths(machine: Machine, pattern: str) -> list[str]:
    if "*" not in pattern:
        return [pattern]
    if pattern.startswith("/"):  # pathlib refuses this name, which no kernel setting has
        return []
    with contextlib.suppress(OSError, ValueError):
        return sorted(str(path.relative_to(machine.proc_sys)) for path in machine.proc_sys.glob(pattern))
    return []


def _value(machine: Machine, path: str) -> str | None:
    """Return the value of a setting, or None if the kernel lacks the setting or we cannot read it."""
    try:
        return " ".join((machine.proc_sys / path).read_text("utf-8", "replace").split())
    except (OSError, ValueError):
        return None


def _key(path: str) -> str:
    return SYSCTL + path.translate(str.maketrans("/.", "./"))


def _shown(value: str) -> str:
    return value or "nothing"


# Interfaces and addresses -----------------------------------------------------------------------------------


def _links(look: Look, known: _Docker) -> Entries:
    found: Entries = {}
    for link in _json(look.machine, "-d", "address", "show"):
        name = str(link.get("ifname", "?"))
        if _is_of_docker(link, name, known):
            continue
        text = link_text(link)
        if text:
            # The kernel keeps a fallback device while its module is loaded.
            action = "link-down" if name in _FALLBACKS else "remove-link"
            passes = str((link.get("linkinfo") or {}).get("info_kind")) in _PASSES
            found[f"link {name}"] = Entry(text, is_open=passes, fixes=((action, name),))
        for address in link.get("addr_info") or ():
            if address.get("scope") == "global" and not address.get("temporary"):
                number = f"{address.get('local')}/{address.get('prefixlen')}"
                sender = sender_of_address(address)
                found[f"address {number} on {name}"] = Entry(
                    sender, is_open=_ROUTER in sender, fixes=(("remove-address", number, name),)
                )
    return found


def _is_of_docker(link: Json, name: str, known: _Docker) -> bool:
    """Return whether Docker made an interface. The reader of Docker reports undeclared networks."""
    kind = (link.get("linkinfo") or {}).get("info_kind")
    if kind == "veth" and (
        link.get("master") in known.bridges or ("link_netnsid" in link and _VETH.fullmatch(name))
    ):
        return bool(known.networks)
    return kind == "bridge" and name in known.bridges


def link_text(link: Json) -> str:
    """Return the text about an interface of ``ip -j -d address show``, or "" for an ordinary interface."""
    info = link.get("linkinfo") or {}
    kind = str(info.get("info_kind") or "")
    name, flags = str(link.get("ifname")), link.get("flags") or ()
    if not kind and link.get("link_type") in ("none", "ppp", "tunnel", "sit", "gre", "tunnel6"):
        kind = str(link["link_type"])
    if not kind or kind in _QUIET_KINDS or (name in _FALLBACKS and "UP" not in flags):
        return ""
    parent = link.get("link")
    on = f" on {parent}" if parent and kind != "veth" else ""
    data = info.get("info_data") or {}
    ends = [f"{word} {data[word]}" for word in ("local", "remote") if data.get(word)]
    master = [f"in {link['master']}"] if link.get("master") else []
    passes = ["passes all firewalls"] if kind in _PASSES else []
    return ", ".join([f"{kind}{on}", *passes, *ends, *master])


def sender_of_address(address: Json) -> str:
    """Return the origin of an address: a router, DHCP, or this host (by hand or from a file)."""
    protocol = str(address.get("protocol") or "")
    if protocol == "kernel_ra" or (address.get("mngtmpaddr") and address.get("dynamic")):
        return _SENDERS["ra"]
    if address.get("dynamic"):
        # Older kernels do not say whether it is a DHCP lease or a router's prefix.
        return _SENDERS["dhcp"] if address.get("family") == "inet" else "for a time, by a router or DHCP"
    return "set on this host"


# Routes -----------------------------------------------------------------------------------------------------


def _routes(look: Look, known: _Docker) -> Entries:
    del known
    found: Entries = {}
    for family in ("-4", "-6"):
        for route in _json(look.machine, family, "route", "show", "table", "all"):
            for key, entry in route_entries(route):
                if key not in found:
                    found[key] = entry
                    continue
                is_only = entry.fixes and entry.fixes[0][0] == "remove-route-4-or-6"
                fixes = (("remove-route-6", *entry.fixes[0][1:]),) if is_only else entry.fixes
                found[f"{key} (IPv6)"] = replace(entry, fixes=fixes)
        for rule in _json(look.machine, family, "rule", "show"):
            text = rule_text(rule)
            if text not in _USUAL_RULES:
                action = "remove-rule-6" if family == "-6" else "remove-rule"
                found[f"rule {text}{' (IPv6)' if family == '-6' else ''}"] = Entry(
                    "chooses a table of routes", fixes=((action, str(rule.get("priority", 0))),)
                )
    return found


def route_entries(route: Json) -> list[tuple[str, Entry]]:
    """Return the entry of a route of ``ip -j route``.

    A route that the kernel made from an address has no entry.
    """
    kind, protocol = str(route.get("type") or "unicast"), str(route.get("protocol") or "boot")
    if route.get("table") == "local" or protocol == "kernel" or kind in ("multicast", "broadcast", "anycast"):
        return []
    words = [str(route.get("dst"))] if kind == "unicast" else [kind, str(route.get("dst"))]
    hops: Sequence[Json] = route.get("nexthops") or [route]
    for hop in hops:
        via = hop.get("via") or {}
        gateway = hop.get("gateway") or (via.get("host") if isinstance(via, dict) else None)
        words += [
            *(["via", str(gateway)] if gateway else []),
            *(["dev", str(hop["dev"])] if hop.get("dev") else []),
        ]
    if route.get("table") not in (None, "main"):
        words += ["table", str(route["table"])]
    sender = _SENDERS.get(protocol, "set on this host")
    told = [sender]
    if route.get("pref") not in (None, "medium"):
        told.append(f"preference {route['pref']}")
    if route.get("metric"):
        told.append(f"metric {route['metric']}")
    entry = Entry(", ".join(told), is_open=_ROUTER in sender, fixes=_without_route(route, words, len(hops)))
    return [(f"route {' '.join(words)}", entry)]


def _without_route(route: Json, words: Sequence[str], hops: int) -> Fixes:
    """Return the fix that removes a route, or none for several hops. The words are those of `ip route`."""
    if hops > 1:
        return ()
    operands = (*words, *(["metric", str(route["metric"])] if route.get("metric") else []))
    if any(":" in word for word in operands):
        return (("remove-route-6", *operands),)
    has_address = any("." in word and word[0].isdigit() for word in operands)
    return (("remove-route" if has_address else "remove-route-4-or-6", *operands),)


def rule_text(rule: Json) -> str:
    """Return a rule of ``ip -j rule`` as ``ip rule`` prints it."""
    words = [f"{rule.get('priority', 0)}:", "not from" if "not" in rule else "from", _prefix(rule, "src")]
    if rule.get("dst"):
        words += ["to", _prefix(rule, "dst")]
    for name in ("fwmark", "iif", "oif", "ipproto", "sport", "dport", "uid_start"):
        if rule.get(name) is not None:
            words += [name, str(rule[name])]
    if rule.get("table"):
        words += ["lookup", str(rule["table"])]
    elif rule.get("action"):
        words.append(str(rule["action"]))
    return " ".join(words)


def _prefix(rule: Json, name: str) -> str:
    length = rule.get(f"{name}len")
    return f"{rule.get(name, 'all')}" + (f"/{length}" if length else "")


def _json(machine: Machine, *words: str) -> list[Json]:
    """Return the output of ``ip -j``, parsed. Raises `AgentError`."""
    try:
        done = machine.run(["ip", "-j", *words], timeout=_TIMEOUT)
    except AgentError as error:
        if error.code == "invalid":
            return []  # without iproute2, no program could have set an address or a route
        raise
    if done.code:
        # The kernel has no IPv6, or the table does not exist.
        return []
    try:
        found = json.loads(done.out or "[]")
    except ValueError:
        raise AgentError(
            "unreadable", f"the command `ip {' '.join(words)}` prints no JSON", detail=done.err
        ) from None
    return [one for one in found if isinstance(one, dict) and one]
