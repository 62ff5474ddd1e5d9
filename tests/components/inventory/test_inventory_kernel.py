"""Settings that differ from their files, and routes, addresses and interfaces as iproute2 prints them."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.claims import Claims
from portcullis.agent.errors import AgentError
from portcullis.components.inventory.on_host import docker, kernel
from portcullis.components.inventory.remedies import command
from tests.components.inventory.looking import SPEC, record

if TYPE_CHECKING:
    from tests.components.inventory.looking import Host

Json = dict[str, Any]

# Recorded with iproute2 6.1, shortened to the relevant fields.
LO = {
    "ifname": "lo", "flags": ["LOOPBACK", "UP", "LOWER_UP"], "link_type": "loopback",
    "addr_info": [{"family": "inet", "local": "127.0.0.1", "prefixlen": 8, "scope": "host", "label": "lo"}],
}  # fmt: skip
ETH0 = {
    "ifindex": 4, "ifname": "eth0", "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"],
    "link_type": "ether",
    "parentbus": "virtio",
    "addr_info": [
        {"family": "inet", "local": "192.0.2.2", "prefixlen": 24, "scope": "global", "label": "eth0"},
        {"family": "inet6", "local": "fe80::fc:ff:fe00:1", "prefixlen": 64, "scope": "link"},
    ],
}  # fmt: skip
DEFAULT = {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0", "flags": []}
CONNECTED = {
    "dst": "192.0.2.0/24",
    "dev": "eth0",
    "protocol": "kernel",
    "scope": "link",
    "prefsrc": "192.0.2.2",
}
LOCAL = {"type": "local", "dst": "192.0.2.2", "dev": "eth0", "table": "local", "protocol": "kernel"}
RULES = [
    {"priority": 0, "src": "all", "table": "local"},
    {"priority": 32766, "src": "all", "table": "main"},
    {"priority": 32767, "src": "all", "table": "default"},
]
SIX = [
    {"dst": "default", "gateway": "fd00::1", "dev": "eth0", "metric": 1024, "flags": [], "pref": "medium"},
    {"dst": "fe80::/64", "dev": "eth0", "protocol": "kernel", "metric": 256, "flags": [], "pref": "medium"},
    {
        "type": "multicast",
        "dst": "ff00::/8",
        "dev": "eth0",
        "table": "local",
        "protocol": "kernel",
        "metric": 256,
    },
]


@pytest.fixture
def debian(host: Host) -> Host:
    (host.root / "proc/sys").mkdir(parents=True)
    say(host, [LO, ETH0], [DEFAULT, CONNECTED, LOCAL], SIX)
    return host


def say(host: Host, links: list[Json], four: list[Json], six: list[Json], rules: list[Json] = RULES) -> None:
    host.says.update(
        {
            "ip -j -d address show": json.dumps(links),
            "ip -j -4 route show table all": json.dumps(four),
            "ip -j -6 route show table all": json.dumps(six),
            "ip -j -4 rule show": json.dumps(rules),
            "ip -j -6 rule show": json.dumps(rules[:2]),
        }
    )


def setting(host: Host, path: str, value: str) -> None:
    host.write(f"proc/sys/{path}", f"{value}\n")


def told(host: Host) -> dict[str, str]:
    return {key: entry.text for key, entry in kernel.read(host.look())["kernel"].items()}


def settings(host: Host) -> dict[str, str]:
    return {key: text for key, text in told(host).items() if key.startswith("sysctl ")}


def test_the_network_of_a_plain_host(debian: Host) -> None:
    assert told(debian) == {
        "address 192.0.2.2/24 on eth0": "set on this host",
        "route default via 192.0.2.1 dev eth0": "set on this host",
        "route default via fd00::1 dev eth0": "set on this host, metric 1024",
    }
    assert len(debian.calls) == 5


# Settings ---------------------------------------------------------------------------------------------------


def test_a_setting_that_differs_from_its_file(debian: Host) -> None:
    debian.write("usr/lib/sysctl.d/50-a.conf", "net.ipv4.tcp_syncookies = 1\nkernel.printk = 4 4 1 7\n")
    debian.write(
        "etc/sysctl.d/60-b.conf", "kernel.sysrq=0x1b6\n-kernel.absent = 1\nnet.ipv4.tcp_syncookies=2\n"
    )
    setting(debian, "net/ipv4/tcp_syncookies", "0")
    setting(debian, "kernel/printk", "4\t4\t1\t7")
    setting(debian, "kernel/sysrq", "438")
    file = debian.root / "etc/sysctl.d/60-b.conf"
    assert settings(debian) == {"sysctl net.ipv4.tcp_syncookies": f"0; {file} says 2"}
    debian.records.append(record("sysctl", "/x", values={"net.ipv4.tcp_syncookies": "2"}))
    assert settings(debian) == {}


def test_a_pattern_covers_all_interfaces_except_named_ones_and_those_of_containers(debian: Host) -> None:
    for name in ("all", "default", "eth0", "veth1a2b3c4", "eth0.5"):
        setting(debian, f"net/ipv4/conf/{name}/rp_filter", "0")
    text = (
        "net.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\nnet.ipv4.conf.default.rp_filter = 0\n"
    )
    file = debian.write("usr/lib/sysctl.d/50-default.conf", text)
    assert settings(debian) == {
        "sysctl net.ipv4.conf.eth0.rp_filter": f"0; {file} says 2",
        "sysctl net.ipv4.conf.eth0/5.rp_filter": f"0; {file} says 2",
    }
    debian.records.append(record("sysctl", "/x", values={"net.ipv4.conf.*.rp_filter": "1"}))
    assert settings(debian) == {}


def test_a_setting_of_ufw_counts_over_systemds(debian: Host) -> None:
    debian.write("usr/lib/sysctl.d/50-a.conf", "net.ipv4.conf.all.log_martians = 1\n")
    ufw = debian.write("etc/ufw/sysctl.conf", "net/ipv4/conf/all/log_martians=0\n")
    debian.write("etc/default/ufw", f"IPT_SYSCTL={ufw}\n")
    debian.write("etc/ufw/ufw.conf", "ENABLED=yes\n")
    setting(debian, "net/ipv4/conf/all/log_martians", "0")
    assert settings(debian) == {}
    debian.write("etc/ufw/ufw.conf", "ENABLED=no\n")
    assert set(settings(debian)) == {"sysctl net.ipv4.conf.all.log_martians"}


def test_settings_that_no_file_sets_and_that_open_the_host(debian: Host) -> None:
    setting(debian, "net/ipv6/conf/all/forwarding", "1")
    setting(debian, "net/ipv4/ip_forward", "0")
    setting(debian, "kernel/core_pattern", "|/tmp/evil %p")
    setting(debian, "kernel/modprobe", "/usr/sbin/modprobe")
    setting(debian, "net/ipv4/conf/eth0/proxy_arp", "1")
    assert settings(debian) == {
        "sysctl net.ipv6.conf.all.forwarding": "1; the kernel has 0 by itself",
        "sysctl kernel.core_pattern": "|/tmp/evil %p; the kernel has core by itself",
        "sysctl net.ipv4.conf.eth0.proxy_arp": "1; the kernel has 0 by itself",
    }


def network(name: str, bridge: str, *, ipv6: bool = False) -> docker.Network:
    return docker.Network(name, "bridge", "", bridge, ipv6, internal=False, swarm=False, created=None)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> list[docker.Network]:
    made = [network("bridge", "docker0"), network("redis", "br-redis")]
    monkeypatch.setattr(docker, "networks", lambda _machine: made)
    return made


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("claims", [Claims(packages=("docker.io",)), Claims(units=("docker.service",))])
def test_forwarding_is_explained_if_docker_is_declared(debian: Host, claims: Claims) -> None:
    setting(debian, "net/ipv4/ip_forward", "1")
    setting(debian, "net/ipv4/conf/br-redis/route_localnet", "1")
    setting(debian, "net/ipv4/conf/eth0/route_localnet", "1")
    assert set(settings(debian)) == {
        "sysctl net.ipv4.ip_forward",
        "sysctl net.ipv4.conf.br-redis.route_localnet",
        "sysctl net.ipv4.conf.eth0.route_localnet",
    }
    debian.claims.append(claims)
    assert set(settings(debian)) == {"sysctl net.ipv4.conf.eth0.route_localnet"}


def test_forwarding_of_ipv6_is_explained_only_by_a_declared_network_with_ipv6(
    debian: Host, engine: list[docker.Network]
) -> None:
    debian.claims.append(Claims(packages=("docker.io",)))
    setting(debian, "net/ipv6/conf/all/forwarding", "1")
    engine.append(network("six", "br-six", ipv6=True))
    assert set(settings(debian)) == {"sysctl net.ipv6.conf.all.forwarding"}
    debian.spec = dataclasses.replace(SPEC, networks={"six": ""})
    assert settings(debian) == {}
    debian.spec = SPEC
    debian.write("etc/docker/daemon.json", '{"ipv6": true}')
    assert settings(debian) == {}


# Interfaces and addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "text"),
    [
        ({"linkinfo": {"info_kind": "bridge"}}, "bridge"),
        ({"link": "eth0", "linkinfo": {"info_kind": "macvlan"}}, "macvlan on eth0, passes all firewalls"),
        ({"link": "eth0", "linkinfo": {"info_kind": "vlan"}}, "vlan on eth0"),
        ({"linkinfo": {"info_kind": "wireguard"}, "link_type": "none"}, "wireguard"),
        (
            {
                "link": None,
                "linkinfo": {"info_kind": "gre", "info_data": {"remote": "203.0.113.9", "local": "any"}},
            },
            "gre, local any, remote 203.0.113.9",
        ),
        (
            {"linkinfo": {"info_kind": "veth"}, "link_netnsid": 0, "link": "x", "master": "br0"},
            "veth, in br0",
        ),
        ({"link_type": "none"}, "none"),
        ({"linkinfo": {"info_kind": "ifb"}}, ""),
        ({"link_type": "ether"}, ""),
    ],
)
def test_interfaces(link: Json, text: str) -> None:
    assert kernel.link_text({"ifname": "x0", "flags": [], **link}) == text


def test_fallback_devices_are_quiet_until_they_are_up() -> None:
    down = {"ifname": "sit0", "flags": ["NOARP"], "linkinfo": {"info_kind": "sit"}}
    assert kernel.link_text(down) == ""
    assert kernel.link_text({**down, "flags": ["NOARP", "UP"]}) == "sit"


@pytest.mark.parametrize(
    ("address", "sender"),
    [
        ({"family": "inet6", "protocol": "kernel_ra", "dynamic": True}, "sent by a router (ra)"),
        ({"family": "inet6", "dynamic": True, "mngtmpaddr": True}, "sent by a router (ra)"),
        ({"family": "inet6", "dynamic": True}, "for a time, by a router or DHCP"),
        ({"family": "inet", "dynamic": True}, "by DHCP"),
        ({"family": "inet"}, "set on this host"),
    ],
)
def test_where_an_address_comes_from(address: Json, sender: str) -> None:
    assert kernel.sender_of_address(address) == sender


def test_an_extra_address_shows_and_temporary_ones_do_not(debian: Host) -> None:
    more = [
        {"family": "inet", "local": "203.0.113.66", "prefixlen": 32, "scope": "global", "label": "lo"},
        {"family": "inet6", "local": "2001:db8::5", "prefixlen": 64, "scope": "global", "temporary": True},
    ]
    say(debian, [{**LO, "addr_info": more}], [], [])
    assert told(debian) == {"address 203.0.113.66/32 on lo": "set on this host"}


def test_dockers_own_interfaces_are_left_out(debian: Host, engine: list[docker.Network]) -> None:
    address = {"family": "inet", "local": "172.18.0.1", "prefixlen": 16, "scope": "global"}
    veth = {"linkinfo": {"info_kind": "veth"}, "link_netnsid": 1, "addr_info": []}
    links = [
        {"ifname": "docker0", "linkinfo": {"info_kind": "bridge"}, "addr_info": [address]},
        {"ifname": "br-redis", "linkinfo": {"info_kind": "bridge"}, "addr_info": [address]},
        {"ifname": "veth1a2b3c4", "master": "br-redis", **veth},
        {"ifname": "veth5d6e7f8", **veth},
        {"ifname": "br-mine", "linkinfo": {"info_kind": "bridge"}, "addr_info": [address]},
        {"ifname": "mine0", **veth},
    ]
    say(debian, links, [], [])
    assert told(debian) == {
        "link br-mine": "bridge",
        "address 172.18.0.1/16 on br-mine": "set on this host",
        "link mine0": "veth",
    }
    engine.clear()
    assert {"link docker0", "link veth5d6e7f8"} <= set(told(debian))


# Routes -----------------------------------------------------------------------------------------------------


def routes(route: Json) -> dict[str, str]:
    return {key: entry.text for key, entry in kernel.route_entries(route)}


def test_a_neighbours_router_advertisement(debian: Host) -> None:
    sent = {
        "dst": "default", "gateway": "fe80::bad", "dev": "eth0", "protocol": "ra", "metric": 1024,
        "flags": [], "expires": 1795, "pref": "high",
    }  # fmt: skip
    say(debian, [], [], [*SIX, sent])
    assert told(debian)["route default via fe80::bad dev eth0"] == (
        "sent by a router (ra), preference high, metric 1024"
    )


@pytest.mark.parametrize(
    ("route", "key", "text"),
    [
        (
            {"dst": "198.51.100.0/24", "gateway": "192.0.2.9", "dev": "eth0", "protocol": "static"},
            "route 198.51.100.0/24 via 192.0.2.9 dev eth0",
            "set on this host",
        ),
        ({"dst": "default", "dev": "wg0", "table": 5}, "route default dev wg0 table 5", "set on this host"),
        ({"type": "blackhole", "dst": "10.0.0.0/8"}, "route blackhole 10.0.0.0/8", "set on this host"),
        ({"dst": "default", "gateway": "10.0.0.1", "dev": "e", "protocol": "dhcp", "metric": 100},
         "route default via 10.0.0.1 dev e", "by DHCP, metric 100"),
        ({"dst": "default", "nexthops": [{"gateway": "::1", "dev": "a"}, {"gateway": "::2", "dev": "b"}]},
         "route default via ::1 dev a via ::2 dev b", "set on this host"),
        ({"dst": "10.0.0.0/8", "via": {"family": "inet6", "host": "fe80::1"}, "dev": "e"},
         "route 10.0.0.0/8 via fe80::1 dev e", "set on this host"),
    ],
)  # fmt: skip
def test_routes(route: Json, key: str, text: str) -> None:
    assert routes(route) == {key: text}


def test_routes_that_the_kernel_made_from_addresses_are_left_out() -> None:
    assert routes(CONNECTED) == routes(LOCAL) == routes({"type": "anycast", "dst": "fe80::"}) == {}


def test_a_rule_that_chooses_another_table(debian: Host) -> None:
    mark = {
        "priority": 100,
        "not": None,
        "src": "10.0.0.0",
        "srclen": 8,
        "fwmark": "0xca6c",
        "table": "51820",
    }
    say(debian, [], [], [], [*RULES, mark])
    assert told(debian) == {
        "rule 100: not from 10.0.0.0/8 fwmark 0xca6c lookup 51820": "chooses a table of routes"
    }


def test_an_invalid_answer_hides_no_other(debian: Host) -> None:
    debian.says["ip -j -d address show"] = "Segmentation fault"
    assert told(debian)["reading links"] == "cannot be read: the command `ip -d address show` prints no JSON"
    assert "route default via 192.0.2.1 dev eth0" in told(debian)


def test_a_host_without_ip(debian: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise AgentError("invalid", "there is no program ip on the host")

    monkeypatch.setattr(type(debian), "run", missing)
    assert told(debian) == {}


# How root undoes a difference -------------------------------------------------------------------------------


def commands(host: Host) -> dict[str, str]:
    return {key: command("kernel", entry.fixes) for key, entry in kernel.read(host.look())["kernel"].items()}


def test_the_command_of_each_kind_of_entry(debian: Host) -> None:
    bridge = {"ifname": "br9", "flags": [], "linkinfo": {"info_kind": "bridge"}}
    fallback = {"ifname": "sit0", "flags": ["UP"], "linkinfo": {"info_kind": "sit"}}
    macvlan = {"ifname": "mac", "flags": [], "linkinfo": {"info_kind": "macvlan"}}
    address = {"family": "inet6", "local": "2001:db8::9", "prefixlen": 64, "scope": "global"}
    ra = {**address, "local": "2001:db8::8", "protocol": "kernel_ra", "dynamic": True}
    both = {"dst": "default", "dev": "wg0"}
    four = {"dst": "default", "gateway": "198.51.100.66", "dev": "eth0", "metric": 4000}
    six = {"dst": "default", "gateway": "fe80::1", "dev": "eth0", "protocol": "ra", "metric": 1024}
    hops = {"dst": "default", "nexthops": [{"gateway": "::1", "dev": "a"}, {"gateway": "::2", "dev": "b"}]}
    rule = {"priority": 99, "src": "all", "table": "99"}
    links = [{**bridge, "addr_info": [address, ra]}, fallback, macvlan]
    say(debian, links, [four, both], [six, both, hops], [*RULES, rule])
    debian.says["ip -j -6 rule show"] = json.dumps([rule])
    assert commands(debian) == {
        "link br9": "ip link del br9",
        "address 2001:db8::9/64 on br9": "ip address del 2001:db8::9/64 dev br9",
        "address 2001:db8::8/64 on br9": "ip address del 2001:db8::8/64 dev br9",
        # The kernel keeps this device while its module is loaded.
        "link sit0": "ip link set sit0 down",
        "link mac": "ip link del mac",
        "route default via 198.51.100.66 dev eth0": (
            "ip route del default via 198.51.100.66 dev eth0 metric 4000"
        ),
        "route default dev wg0": "ip route del default dev wg0 || ip -6 route del default dev wg0",
        "route default dev wg0 (IPv6)": "ip -6 route del default dev wg0",
        "route default via fe80::1 dev eth0": "ip -6 route del default via fe80::1 dev eth0 metric 1024",
        "route default via ::1 dev a via ::2 dev b": "",
        "rule 99: from all lookup 99": "ip rule del pref 99",
        "rule 99: from all lookup 99 (IPv6)": "ip -6 rule del pref 99",
    }
    opened = {key for key, entry in kernel.read(debian.look())["kernel"].items() if entry.is_open}
    assert opened == {
        "address 2001:db8::8/64 on br9", "link mac", "route default via fe80::1 dev eth0",
    }  # fmt: skip


def test_a_setting_gets_the_value_of_its_file_or_of_the_kernel(debian: Host) -> None:
    debian.write("etc/sysctl.d/a b.conf", "kernel.core_pattern = |/y %p\n")
    for path, value in (
        ("kernel/core_pattern", "|/x"),
        ("kernel/hotplug", "/x"),
        ("net/ipv4/ip_forward", "1"),
    ):
        debian.write(f"proc/sys/{path}", value)
    found = {key: way for key, way in commands(debian).items() if key.startswith("sysctl ")}
    assert found == {
        "sysctl kernel.core_pattern": "sysctl -w kernel.core_pattern='|/y %p'",
        "sysctl kernel.hotplug": "sysctl -w kernel.hotplug=''",
        "sysctl net.ipv4.ip_forward": "sysctl -w net.ipv4.ip_forward=0",
    }
    entries = kernel.read(debian.look())["kernel"]
    assert [key for key in found if entries[key].is_open] == ["sysctl kernel.core_pattern"]
    assert entries["sysctl kernel.core_pattern"].state == {"value": "|/x"}
