"""Kernel settings, routes, addresses and interfaces that nobody declared."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import re
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Tuple

from portcullis.agent.errors import AgentError
from portcullis.components.inventory.on_host import docker
from portcullis.components.inventory.on_host.look import Entry
from portcullis.resources.sysctl.facts import STATIC
from portcullis.resources.sysctl.on_host import sysctl_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from portcullis.agent.machine import Machine
    from portcullis.components.inventory.on_host.look import Found, Look

Entries = Dict[str, Entry]
Json = Dict[str, Any]

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
"""What a kernel has by itself, of settings that let packets through or run a program as root.

https://docs.kernel.org/networking/ip-sysctl.html and https://docs.kernel.org/admin-guide/sysctl/kernel.html.
"""
# What Docker sets when it starts: github.com/moby/moby, daemon/libnetwork/drivers/bridge.
_DOCKERS = ("net/ipv4/ip_forward",)
_DOCKERS_IPV6 = ("net/ipv6/conf/all/forwarding",)
_INTERFACE = re.compile(r"net/ipv[46]/(?:conf|neigh)/([^/]+)/")
_ROUTE_LOCALNET = re.compile(r"net/ipv4/conf/([^/]+)/route_localnet")

# Fallback devices come with their module, and carry nothing while they are down.
_FALLBACKS = ("tunl0", "gre0", "gretap0", "erspan0", "sit0", "ip_vti0", "ip6_vti0", "ip6tnl0", "ip6gre0")
_QUIET_KINDS = ("ifb",)
_PASSES = ("macvlan", "macvtap", "ipvlan", "ipvtap")
# The end of a container's cable, as Docker names it.
_VETH = re.compile(r"veth[0-9a-f]{7}")
_USUAL_RULES = ("0: from all lookup local", "32766: from all lookup main", "32767: from all lookup default")
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
    """Return what is there."""
    known = _Docker(look)
    found: Entries = {}
    for part in (_settings, _links, _routes):
        try:
            found.update(part(look, known))
        except AgentError as error:
            found[f"reading {part.__name__.strip('_')}"] = Entry(f"cannot be read: {error.message}")
    return {"kernel": found}


class _Docker:
    """Docker's networks, asked for when something depends on them. Those that nobody declared show there."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._networks: Optional[List[docker.Network]] = None

    @property
    def networks(self) -> List[docker.Network]:
        if self._networks is None:
            self._networks = []
            with contextlib.suppress(AgentError):  # told by the reader of Docker
                self._networks = docker.networks(self._look.machine)
        return self._networks

    @property
    def is_declared(self) -> bool:
        return bool(
            self._look.spec.networks
            or self._look.spec.containers
            or self._look.claims.packages & {"docker.io", "docker-ce"}
            or "docker.service" in self._look.claims.units  # whose packages are somebody else's
        )

    @property
    def has_ipv6(self) -> bool:
        """Whether a declared network, or the declared settings of Docker, have IPv6."""
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
    """Return settings that differ from the files that set them, and a few that no file has to set."""
    declared = _declared(look)
    wanted = _from_files(look.machine, known)
    found: Entries = {}
    for path, (value, file) in wanted.items():
        have = _value(look.machine, path)
        if have is not None and not _is_same(have, value) and not _is_one_of(path, declared):
            found[_key(path)] = Entry(f"{_shown(have)}; {file} says {_shown(value)}")
    for pattern, usual in USUAL.items():
        for path in _paths(look.machine, pattern):
            have = _value(look.machine, path)
            if have is None or have in usual or path in wanted or _is_one_of(path, declared):
                continue
            if not _is_dockers(path, have, known):
                text = f"{_shown(have)}; the kernel has {_shown(usual[0])} by itself"
                found[_key(path)] = Entry(text)
    return found


def _from_files(machine: Machine, known: _Docker) -> Dict[str, Tuple[str, str]]:
    """Return the value of each setting that a file sets, with the last file that does: sysctl.d(5)."""
    single: Dict[str, Tuple[str, str]] = {}
    patterns: Dict[str, Tuple[str, str]] = {}
    for entry in (*sysctl_files.assignments(machine.sysctl_d), *sysctl_files.by_ufw(machine.etc)):
        if not entry.key or ".." in entry.key:
            continue
        is_pattern = bool(set("*?[") & set(entry.key))
        (patterns if is_pattern else single)[entry.key] = (entry.value, entry.file)
    found: Dict[str, Tuple[str, str]] = {}
    # A key by its name wins over a pattern, wherever it stands, and so does one that is only left out.
    apart = {*single, *sysctl_files.left_out(machine.sysctl_d)}
    for pattern, value in patterns.items():
        for path in _paths(machine, pattern):
            interface = _INTERFACE.match(path)
            # udev sets them for an interface that comes; a container's come and go with it.
            is_passing = interface and (_VETH.fullmatch(interface[1]) or interface[1] in known.bridges)
            if path not in apart and not is_passing:
                found[path] = value
    return {**found, **single}


def _is_same(have: str, wanted: str) -> bool:
    """Return whether two values are one: a file may write a number as 0x1b6."""
    if have == wanted:
        return True
    try:
        return [int(word, 0) for word in have.split()] == [int(word, 0) for word in wanted.split()]
    except ValueError:
        return False


def _declared(look: Look) -> List[str]:
    """Return the keys, some with `*`, that are read back where they are declared."""
    return [
        sysctl_files.normal(str(key).replace(STATIC, "*"))
        for record in look.records
        if record.kind == "sysctl"
        for key in record.spec.get("values") or {}
    ]


def _is_one_of(path: str, patterns: Iterable[str]) -> bool:
    return any(path == pattern or fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def _is_dockers(path: str, value: str, known: _Docker) -> bool:
    """Return whether Docker set it, for something that is declared."""
    if not known.is_declared or value != _ENABLED:
        return False
    if path in _DOCKERS:
        return True
    local = _ROUTE_LOCALNET.fullmatch(path)
    if local and local[1] in known.bridges:
        return True
    return path in _DOCKERS_IPV6 and known.has_ipv6


def _paths(machine: Machine, pattern: str) -> List[str]:
    if "*" not in pattern:
        return [pattern]
    # pathlib's NotImplementedError is about a pattern that begins with a slash: no setting has that name.
    with contextlib.suppress(OSError, ValueError, NotImplementedError):
        return sorted(str(path.relative_to(machine.proc_sys)) for path in machine.proc_sys.glob(pattern))
    return []


def _value(machine: Machine, path: str) -> Optional[str]:
    """Return a value, None where the kernel has none or lets nobody read it."""
    try:
        return " ".join((machine.proc_sys / path).read_text("utf-8", "replace").split())
    except (OSError, ValueError):
        return None


def _key(path: str) -> str:
    return "sysctl " + path.translate(str.maketrans("/.", "./"))


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
            found[f"link {name}"] = Entry(text)
        for address in link.get("addr_info") or ():
            if address.get("scope") == "global" and not address.get("temporary"):
                key = f"address {address.get('local')}/{address.get('prefixlen')} on {name}"
                found[key] = Entry(sender_of_address(address))
    return found


def _is_of_docker(link: Json, name: str, known: _Docker) -> bool:
    """Return whether Docker made an interface: of its networks those that nobody declared are told there."""
    kind = (link.get("linkinfo") or {}).get("info_kind")
    if kind == "veth" and (
        link.get("master") in known.bridges or ("link_netnsid" in link and _VETH.fullmatch(name))
    ):
        return bool(known.networks)
    return kind == "bridge" and name in known.bridges


def link_text(link: Json) -> str:
    """Return what an interface is, of the output of ``ip -j -d address show``; "" for what needs no word."""
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
    """Return who gave an address: a router, DHCP, or somebody by hand or in a file."""
    protocol = str(address.get("protocol") or "")
    if protocol == "kernel_ra" or (address.get("mngtmpaddr") and address.get("dynamic")):
        return _SENDERS["ra"]
    if address.get("dynamic"):
        # A lease, or a router's prefix: older kernels do not say which.
        return _SENDERS["dhcp"] if address.get("family") == "inet" else "for a time, by a router or DHCP"
    return "set on this host"


# Routes -----------------------------------------------------------------------------------------------------


def _routes(look: Look, known: _Docker) -> Entries:
    del known
    found: Entries = {}
    for family in ("-4", "-6"):
        for route in _json(look.machine, family, "route", "show", "table", "all"):
            for key, entry in route_entries(route):
                found[f"{key} (IPv6)" if key in found else key] = entry
        for rule in _json(look.machine, family, "rule", "show"):
            text = rule_text(rule)
            if text not in _USUAL_RULES:
                found[f"rule {text}{' (IPv6)' if family == '-6' else ''}"] = Entry(
                    "chooses a table of routes"
                )
    return found


def route_entries(route: Json) -> List[Tuple[str, Entry]]:
    """Return the entry of a route of ``ip -j route``; none for what the kernel makes of addresses."""
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
    told = [_SENDERS.get(protocol, "set on this host")]
    if route.get("pref") not in (None, "medium"):
        told.append(f"preference {route['pref']}")
    if route.get("metric"):
        told.append(f"metric {route['metric']}")
    return [(f"route {' '.join(words)}", Entry(", ".join(told)))]


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


def _json(machine: Machine, *words: str) -> List[Json]:
    """Return what ``ip -j`` prints. Raises `AgentError`."""
    try:
        done = machine.run(["ip", "-j", *words], timeout=_TIMEOUT)
    except AgentError as error:
        if error.code == "invalid":
            return []  # a host without iproute2 has no network of anybody's
        raise
    if done.code:
        # A kernel without IPv6, or a table that does not exist.
        return []
    try:
        found = json.loads(done.out or "[]")
    except ValueError:
        raise AgentError("unreadable", f"ip {' '.join(words)} prints no JSON", detail=done.err) from None
    return [one for one in found if isinstance(one, dict) and one]
