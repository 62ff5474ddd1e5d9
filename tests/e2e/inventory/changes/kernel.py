"""Changes by hand of kernel settings, routes, addresses and interfaces."""

from __future__ import annotations

from tests.e2e.inventory.changes.change import Change

KERNEL, NETWORK = "kernel settings", "routes, addresses and interfaces"

# Sends one router advertisement (RFC 4861, 4.2) of a router with high preference (RFC 4191), for half an
# hour. Its source is an unused address: for its own address the neighbour would tell the host that it is no
# router. The frame goes to the hardware address HOST, because the other hosts of the lab would receive a
# multicast.
ADVERTISES = """\
import socket, struct
source, everybody = (socket.inet_pton(socket.AF_INET6, name) for name in ("fe80::d711", "ff02::1"))
said = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0x08, 1800, 0, 0)
total = sum(struct.unpack("!28H", source + everybody + struct.pack("!II", len(said), 58) + said))
total = (total & 0xFFFF) + (total >> 16)
said = said[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + said[4:]
packet = struct.pack("!IHBB", 6 << 28, len(said), 58, 255) + source + everybody + said
line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
line.bind(("eth0", 0))
line.send(bytes.fromhex("HOST" "02000000d711" "86dd") + packet)
"""
_HEARS = "sysctl -qw net.ipv6.conf.eth0.accept_ra=1"
_IS_DEAF = "sysctl -qw net.ipv6.conf.eth0.accept_ra=0"
_ROUTER = "ip -6 route show default proto ra"

CHANGES = {
    "declared-setting": Change(
        KERNEL,
        "sysctl -qw net.ipv4.conf.all.log_martians=0",
        ("kernel", "net.ipv4.conf.all.log_martians"),
        "sysctl -qw net.ipv4.conf.all.log_martians=1",
        stays=False,
        review="F4: a sysctl",
    ),
    "setting-that-lets-local-users-take-a-containers-port": Change(
        KERNEL,
        "sysctl -qw net.ipv4.ip_unprivileged_port_start=1024",
        ("kernel", "net.ipv4.ip_unprivileged_port_start", "local users can take a container's port"),
        "sysctl -qw net.ipv4.ip_unprivileged_port_start=32768",
        stays=False,
    ),
    "setting-that-lets-containers-reach-loopback": Change(
        KERNEL,
        "sysctl -qw net.ipv4.conf.eth0.route_localnet=1",
        ("net.ipv4.conf.eth0.route_localnet",),
        "sysctl -qw net.ipv4.conf.eth0.route_localnet=0",
        paste=True,
    ),
    "setting-that-answers-for-others": Change(
        KERNEL,
        "sysctl -qw net.ipv4.conf.eth0.proxy_arp=1",
        ("net.ipv4.conf.eth0.proxy_arp",),
        "sysctl -qw net.ipv4.conf.eth0.proxy_arp=0",
    ),
    "router-that-advertises-itself": Change(
        NETWORK,
        f"{_HEARS}; for n in $(seq 600); do {_ROUTER} | grep -q . && break; sleep 0.1; done;"
        f" {_ROUTER} | grep -q .",
        ("route default via fe80::d711 dev eth0", "sent by a router (ra)"),
        f"{_IS_DEAF}; ip -6 route flush proto ra",
        neighbour=ADVERTISES,
        may=(("route", "ra"), ("net.ipv6.conf.<static>.accept_ra",)),
        review="F3: a neighbour takes the host's outgoing IPv6 with one router advertisement",
    ),
    "ipv6-forwarding": Change(
        KERNEL,
        "sysctl -qw net.ipv6.conf.all.forwarding=1",
        ("net.ipv6.conf.all.forwarding", "1; the kernel has 0 by itself"),
        "sysctl -qw net.ipv6.conf.all.forwarding=0",
        apart="when forwarding is on, the kernel drops the router of another change",
        review="F3: net.ipv6.conf.all.forwarding at 1 unseen",
    ),
    "address": Change(
        NETWORK,
        "ip address add 192.0.2.9/32 dev eth0",
        ("address 192.0.2.9/32 on eth0",),
        "ip address del 192.0.2.9/32 dev eth0",
        paste=True,
        review="F4: an extra address",
    ),
    "address-of-loopback": Change(
        NETWORK,
        "ip address add 203.0.113.66/32 dev lo",
        ("address 203.0.113.66/32 on lo",),
        "ip address del 203.0.113.66/32 dev lo",
    ),
    "ipv6-address": Change(
        NETWORK,
        "ip address add 2001:db8:bad::9/128 dev eth0 nodad",
        ("2001:db8:bad::9/128", "eth0"),
        "ip address del 2001:db8:bad::9/128 dev eth0",
        may=(("route", "2001:db8:bad::9"),),
    ),
    "route": Change(
        NETWORK,
        "ip route add 203.0.113.0/25 via 198.51.100.66",
        ("route", "203.0.113.0/25"),
        "ip route del 203.0.113.0/25",
        paste=True,
        review="F4: an extra route",
    ),
    "route-to-nowhere": Change(
        NETWORK,
        "ip route add blackhole 10.99.0.0/16",
        ("route blackhole 10.99.0.0/16",),
        "ip route del blackhole 10.99.0.0/16",
    ),
    "second-default-route": Change(
        NETWORK,
        "ip route add default via 198.51.100.66 metric 4000",
        ("route default", "198.51.100.66"),
        "ip route del default via 198.51.100.66 metric 4000",
    ),
    "rule-of-routing": Change(
        NETWORK,
        "ip rule add from 192.0.2.128/25 fwmark 0x66 table 99 pref 99",
        ("rule 99", "from 192.0.2.128/25 fwmark 0x66 lookup 99"),
        "ip rule del pref 99",
        paste=True,
    ),
    "bridge": Change(
        NETWORK,
        "ip link add drillbr0 type bridge",
        ("link drillbr0", "bridge"),
        "ip link del drillbr0",
        paste=True,
    ),
    "vxlan": Change(
        NETWORK,
        "ip link add drillvx type vxlan id 9 dstport 4789 remote 198.51.100.66 dev eth0",
        ("drillvx", "vxlan"),
        "ip link del drillvx",
    ),
    "cable": Change(
        NETWORK,
        "ip link add drillve0 type veth peer name drillve1",
        ("drillve0",),
        "ip link del drillve0",
        also=(("drillve1",),),
    ),
}
