"""The network of the lab, in its own network namespaces.

```text
machine ── router ──┬── segment 198.51.100.0/24: registry, neighbour, the hosts
                    └── internet 198.18.0.0/24: everything outside of the segment
```

The machine has two routes and one end of a virtual cable, and forwards nothing. So none of the machine's own
firewall rules and sysctls change, whatever Docker or ufw does on a host. A host reaches the internet only
through the gateway (see ``gateway.py``), which listens in the router's namespace and connects from the
machine's. 172.17.0.0/16 stays free for the Docker inside a host. 203.0.113.0/24 stays free too, because some
machines have their mirror there.
"""

from __future__ import annotations

import json
import shutil
import socket
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import LabError
from lab.shell import run

if TYPE_CHECKING:
    from lab.shell import Progress

ROUTER, NEIGHBOUR, INTERNET = "portcullis-router", "portcullis-neighbour", "portcullis-internet"
NAMESPACES = (ROUTER, NEIGHBOUR, INTERNET)
CABLE = "portcullis0"
BRIDGE = "segment"
BRIDGE_HARDWARE = "02:00:c6:33:64:01"
"""The bridge's own hardware address.

Without a fixed address, the bridge uses the lowest address of its ports, and changes its address when that
port is removed. After such a change, all other hosts lost the gateway for 38 to 48 s.
"""

SEGMENT = ("198.51.100.0/24", "2001:db8:100::/64")
OUTSIDE = ("198.18.0.0/24", "2001:db8:18::/64")
FIRST_HOST, LAST_HOST = 10, 60


@dataclass(frozen=True, slots=True)
class Address:
    """An IPv4 and an IPv6 address of one interface."""

    v4: str
    v6: str


def on_segment(number: int) -> Address:
    """Return the addresses on the segment that end in ``number``."""
    return Address(f"198.51.100.{number}", f"2001:db8:100::{number}")


GATEWAY_ADDRESS = on_segment(1)
REGISTRY_ADDRESS = on_segment(2)
NEIGHBOUR_ADDRESS = on_segment(66)
INTERNET_ADDRESS = Address("198.18.0.10", "2001:db8:18::10")
MACHINE_ADDRESS = Address("198.18.255.2", "2001:db8:ff::2")
_OUTSIDE_ROUTER = Address("198.18.0.1", "2001:db8:18::1")
_CABLE_ROUTER = Address("198.18.255.1", "2001:db8:ff::1")


def exists() -> bool:
    """Tell whether the whole network of the lab is up."""
    return all(_netns(name).exists() for name in NAMESPACES) and _cable_is_there()


def build() -> None:
    """Build the whole network.

    Remove an old network first.

    Raises:
        LabError: the machine uses one of these prefixes for something else.
    """
    destroy()
    _refuse_collisions()
    for name in NAMESPACES:
        run(["ip", "netns", "add", name])
        _ip(name, "link set lo up")
        # The machine may have IPv6 switched off. The lab always has IPv6.
        _sysctl(name, "net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.default.disable_ipv6=0")
    _sysctl(ROUTER, "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    _ip(ROUTER, f"link add {BRIDGE} address {BRIDGE_HARDWARE} type bridge")
    _ip(ROUTER, f"link set {BRIDGE} up")
    for address in (GATEWAY_ADDRESS, REGISTRY_ADDRESS):
        _assign(ROUTER, BRIDGE, address)

    _ip(ROUTER, f"link add neighbour type veth peer name eth0 netns {NEIGHBOUR}")
    _ip(ROUTER, f"link set neighbour master {BRIDGE} up")
    _assign(NEIGHBOUR, "eth0", NEIGHBOUR_ADDRESS, GATEWAY_ADDRESS)

    _ip(ROUTER, f"link add outside type veth peer name eth0 netns {INTERNET}")
    _assign(ROUTER, "outside", _OUTSIDE_ROUTER)
    _assign(INTERNET, "eth0", INTERNET_ADDRESS, _OUTSIDE_ROUTER)

    run(["ip", "link", "add", CABLE, "type", "veth", "peer", "name", "machine", "netns", ROUTER])
    _assign(ROUTER, "machine", _CABLE_ROUTER, bits=("30", "64"))
    run(["sysctl", "-qw", f"net.ipv6.conf.{CABLE}.disable_ipv6=0"])
    _assign(None, CABLE, MACHINE_ADDRESS, bits=("30", "64"))
    for prefixes in (SEGMENT, OUTSIDE):
        run(["ip", "-4", "route", "add", prefixes[0], "via", _CABLE_ROUTER.v4])
        run(["ip", "-6", "route", "add", prefixes[1], "via", _CABLE_ROUTER.v6])


def let_bridges_filter(progress: Progress) -> None:
    """Load br_netfilter.

    A Docker engine with ``icc`` off needs this kernel module, which a host cannot load itself.
    """
    if not Path("/proc/sys/net/bridge").exists() and shutil.which("modprobe"):
        progress.say("loading the kernel module br_netfilter; it stays loaded")
        run(["modprobe", "br_netfilter"], check=False)


def destroy() -> None:
    """Remove all parts of the network that exist.

    The kernel removes a cable together with the namespace of its other end.
    """
    for name in NAMESPACES:
        if _netns(name).exists():
            run(["ip", "netns", "del", name])
    # The kernel removes a namespace some time later, and the next build must not find the old cable.
    if _cable_is_there():
        run(["ip", "link", "del", CABLE], check=False)
    # With the first namespace, `ip netns` makes this folder a mount, and leaves it mounted.
    if _netns("").exists() and not any(_netns("").iterdir()):
        run(["umount", "--lazy", str(_netns(""))], check=False)


def attach(pid: int, number: int) -> None:
    """Connect the container whose first process is ``pid`` to the segment, as eth0 with its addresses.

    Each start of a container makes a new namespace, so the container must be connected again. The container
    gets the same hardware address each time, so that the neighbour tables (ARP) of the other hosts stay
    right.
    """
    port = f"host{number}"
    address = on_segment(number)
    _ip(ROUTER, f"link del {port}", check=False)
    _ip(ROUTER, f"link add {port} type veth peer name eth0 netns {pid}")
    _ip(ROUTER, f"link set {port} master {BRIDGE} up")
    inside = ["nsenter", "--target", str(pid), "--net"]
    # Docker switches IPv6 off in a container without a Docker network.
    run(
        [*inside, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.default.disable_ipv6=0"]
    )
    run([*inside, "ip", "link", "set", "eth0", "address", f"02:00:c6:33:64:{number:02x}", "up"])
    run([*inside, "ip", "address", "add", f"{address.v6}/64", "dev", "eth0", "nodad"])
    run([*inside, "ip", "-6", "route", "add", "default", "via", GATEWAY_ADDRESS.v6])
    run([*inside, "ip", "address", "add", f"{address.v4}/24", "dev", "eth0"])
    # Add the default route last, because the host's first process waits for it.
    run([*inside, "ip", "-4", "route", "add", "default", "via", GATEWAY_ADDRESS.v4])


def detach(number: int) -> None:
    """Disconnect a host at once, so that its address is free."""
    _ip(ROUTER, f"link del host{number}", check=False)


def leftovers() -> list[str]:
    """Return the names of the network's parts that exist on the machine."""
    found = [f"network namespace {name}" for name in NAMESPACES if _netns(name).exists()]
    if _cable_is_there():
        found.append(f"network interface {CABLE}")
    return found


def _cable_is_there() -> bool:
    return any(name == CABLE for _, name in socket.if_nameindex())


def _netns(name: str) -> Path:
    return Path("/run/netns") / name


def _ip(namespace: str, command: str, *, check: bool = True) -> None:
    run(["ip", "-n", namespace, *command.split()], check=check)


def _assign(
    namespace: str | None,
    device: str,
    address: Address,
    router: Address | None = None,
    bits: tuple[str, str] = ("24", "64"),
) -> None:
    ip = ["ip", "-n", namespace] if namespace else ["ip"]
    run([*ip, "link", "set", device, "up"])
    run([*ip, "address", "add", f"{address.v4}/{bits[0]}", "dev", device])
    run([*ip, "address", "add", f"{address.v6}/{bits[1]}", "dev", device, "nodad"])
    if router:
        run([*ip, "-4", "route", "add", "default", "via", router.v4])
        run([*ip, "-6", "route", "add", "default", "via", router.v6])


def _sysctl(namespace: str, *settings: str) -> None:
    run(["ip", "netns", "exec", namespace, "sysctl", "-qw", *settings])


def _refuse_collisions() -> None:
    # The option "match" finds routes to networks that contain ours. The option "root" finds routes to parts
    # of our network.
    for prefix, which in product((SEGMENT[0], OUTSIDE[0], "198.18.255.0/30"), ("match", "root")):
        for route in json.loads(run(["ip", "-json", "-4", "route", "show", which, prefix]).stdout or "[]"):
            if route["dst"] not in ("default", "0.0.0.0/0"):
                raise LabError(
                    f"this machine already routes {route['dst']} (device {route.get('dev', '?')}), "
                    f"which the lab needs for {prefix}",
                    "run the lab on a machine that has no routes to these test networks",
                )
