"""Open ports and rules, from the output of ufw, nft and iptables-save."""

from __future__ import annotations

from pathlib import Path

import pytest

from portcullis.components.exposure.on_host import packet_passes
from portcullis.components.firewall.on_host.ufw_names import declared
from portcullis.components.firewall.on_host.ufw_rules import parse_tuples

RECORDED = Path(__file__).parents[1] / "firewall" / "recorded"
BOTH = ("4", "6")


def by_ufw(*names: str, value: str = "allow") -> dict[str, str]:
    rules: dict[str, list[object]] = {"4": [], "6": []}
    for name in names:
        for family, found in declared(name, value).items():
            rules[family] += found
    return packet_passes.by_ufw(rules, BOTH)  # type: ignore[arg-type]


def test_rules_of_ufw_by_port_and_source() -> None:
    assert by_ufw("in 443/tcp") == {"tcp4 443": "anywhere", "tcp6 443": "anywhere"}
    assert by_ufw("in 5432/tcp from 203.0.113.0/24", "in 5432/tcp from 2001:db8::7") == {
        "tcp4 5432": "203.0.113.0/24",
        "tcp6 5432": "2001:db8::7",
    }
    assert by_ufw("in 80,443,60000:61000/tcp from 203.0.113.7") == {
        "tcp4 80": "203.0.113.7", "tcp4 443": "203.0.113.7", "tcp4 60000-61000": "203.0.113.7"
    }  # fmt: skip
    assert by_ufw("in 53/udp on docker0 from 172.17.0.0/16 to 172.17.0.1") == {
        "udp4 53": "172.17.0.0/16 on docker0 to 172.17.0.1"
    }
    assert by_ufw("in any from 203.0.113.9") == {"any4 any": "203.0.113.9"}
    assert by_ufw("route 8080/tcp in on eth0 from 203.0.113.9") == {"tcp4 8080 routed": "203.0.113.9 on eth0"}


def test_anywhere_includes_all_other_sources() -> None:
    assert by_ufw("in 22/tcp", "in 22/tcp from 203.0.113.9")["tcp4 22"] == "anywhere"


def test_rules_that_refuse_and_outgoing_rules_are_left_out() -> None:
    assert by_ufw("in 25/tcp", value="deny") == {}
    assert by_ufw("out 25/tcp") == {}
    assert by_ufw("in 22/tcp", value="limit")["tcp4 22"] == "anywhere"


def test_a_recorded_host() -> None:
    rules = {
        family: parse_tuples((RECORDED / "ufw" / f"user{end}.rules").read_text())
        for family, end in (("4", ""), ("6", "6"))
    }
    found = packet_passes.by_ufw(rules, BOTH)
    assert found
    assert all(key.partition(" ")[0][-1] in "46" for key in found)
    saved = (RECORDED / "ufw/iptables-save").read_text()
    assert packet_passes.by_iptables(saved, "iptables", (), ()) == {}


# The rules that Docker 26 writes on Debian 13, together with the rules of ufw and fail2ban.
DOCKER = """\
*filter
:INPUT DROP [0:0]
-A INPUT -j ufw-before-input
-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION-STAGE-1
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A FORWARD -i docker0 -o docker0 -j DROP
-A FORWARD -i shop0 -o shop0 -j ACCEPT
-A FORWARD -j ufw-before-forward
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 8080 -j ACCEPT
-A DOCKER-USER -j RETURN
-A ufw-user-input -p tcp -m tcp --dport 443 -j ACCEPT
-A f2b-sshd -s 203.0.113.66/32 -j REJECT --reject-with icmp-port-unreachable
COMMIT
*nat
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
-A DOCKER -d 172.17.0.1/32 ! -i docker0 -p tcp --dport 2019 -j DNAT --to-destination 172.17.0.2:8080
COMMIT
"""
BRIDGES, PUBLISHED = {"docker0", "shop0"}, {("tcp", 2019)}


def test_ufw_docker_and_fail2ban_are_quiet() -> None:
    assert packet_passes.by_iptables(DOCKER, "iptables", BRIDGES, PUBLISHED) == {}


def test_docker_28_and_swarm_are_quiet() -> None:
    rules = """*filter
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -i shop0 -j ACCEPT
-A DOCKER-CT -o shop0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-BRIDGE -o shop0 -j DOCKER
-A DOCKER -d 172.18.0.2/32 ! -i shop0 -o shop0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER-INGRESS -p tcp -m tcp --dport 8080 -j ACCEPT
-A DOCKER-INGRESS -p tcp -m conntrack --ctstate RELATED,ESTABLISHED -m tcp --sport 8080 -j ACCEPT
*nat
-A DOCKER-INGRESS -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.19.0.2:8080
-A DOCKER ! -i shop0 -p sctp -m sctp --dport 2905 -j DNAT --to-destination 172.18.0.2:2905
"""
    assert packet_passes.by_iptables(rules, "iptables", BRIDGES, {("sctp", 2905)}) == {}


@pytest.mark.parametrize(
    ("table", "rule", "place"),
    [
        ("filter", "-A INPUT -p tcp -m tcp --dport 3306 -j ACCEPT", "INPUT"),
        ("filter", "-A INPUT -s 203.0.113.9/32 -j ACCEPT", "INPUT"),
        ("filter", "-A mine -p tcp -m tcp --dport 3306 -j ACCEPT", "mine"),
        ("filter", "-A DOCKER-USER -i eth0 -j ACCEPT", "DOCKER-USER"),
        ("filter", "-A DOCKER-mine -i docker0 -j ACCEPT", "DOCKER-mine"),
        ("filter", "-A DOCKER -j ACCEPT", "DOCKER"),
        ("filter", "-A DOCKER-FORWARD ! -i docker0 -o eth0 -j ACCEPT", "DOCKER-FORWARD"),
        ("filter", "-A DOCKER-INGRESS -j ACCEPT", "DOCKER-INGRESS"),
        ("filter", "-A f2b-mine -s 203.0.113.9/32 -j ACCEPT", "f2b-mine"),
        ("filter", "-A ufw-mine -p tcp -m tcp --dport 3306 -j ACCEPT", "ufw-mine"),
        ("filter", "-A FORWARD -i eth0 ! -o eth0 -j ACCEPT", "FORWARD"),
        ("nat", "-A PREROUTING -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 22", "nat PREROUTING"),
        ("nat", "-A PREROUTING -p tcp --dport 81 -j DNAT --to-destination 10.0.0.7:80", "nat PREROUTING"),
        ("nat", "-A DOCKER -p tcp --dport 3306 -j DNAT --to-destination 172.17.0.5:3306", "nat DOCKER"),
    ],
)  # fmt: skip
def test_a_rule_by_hand_shows(table: str, rule: str, place: str) -> None:
    saved = DOCKER.replace(f"*{table}\n", f"*{table}\n{rule}\n")
    (key,) = packet_passes.by_iptables(saved, "ip6tables", BRIDGES, PUBLISHED)
    assert key == f"ip6tables {place}: {rule.split(' ', 2)[2]}"


RULESET = """\
# Warning: table ip filter is managed by iptables-nft, do not touch!
table ip filter {
	chain INPUT {
		type filter hook input priority filter; policy drop;
		tcp dport 3306 counter packets 0 bytes 0 accept
	}
}
table inet f2b-table {
	set addr-set-sshd {
		type ipv4_addr
	}

	chain f2b-chain {
		type filter hook input priority filter - 1; policy accept;
		tcp dport 22 ip saddr @addr-set-sshd reject with icmp port-unreachable
	}
}
table inet filter {
	chain input {
		type filter hook input priority filter; policy accept;
	}
}
table inet mine {
	comment "somebody's"
	chain in {
		type filter hook input priority filter - 5; policy accept;
		ct state established,related accept
		iifname "lo" accept
		tcp dport 3306 accept comment "database"
		tcp dport { 25, 587 } drop
	}

	chain pre {
		type nat hook prerouting priority dstnat; policy accept;
		tcp dport 81 dnat ip to 10.0.0.7:80
	}
}
"""


def test_tables_of_others_show_by_their_rules() -> None:
    assert packet_passes.by_tables(packet_passes.tables(RULESET), {"ip filter": {"INPUT"}}) == {
        'nft inet mine in: tcp dport 3306 accept comment "database"': (
            "accepts in a table of its own; ufw and the filter still decide"
        ),
        "nft inet mine pre: tcp dport 81 dnat ip to 10.0.0.7:80": "redirects by a table of its own",
    }


@pytest.mark.parametrize(
    ("rule", "shows"),
    [
        ("ct state established,related accept", False),
        ("ct state established,related counter accept", False),
        ("ct state established,related,new accept", True),
        ("ct state vmap { invalid : drop, established : accept, related : accept }", False),
        ("ct state vmap { new : accept, established : accept }", True),
        ("tcp dport vmap { 22 : drop, 3306 : accept }", True),
        ("tcp dport vmap { 22 : drop, 25 : drop }", False),
        ("tcp dport vmap @ports", True),
        ('tcp dport 81 counter xt target "DNAT"', True),
    ],
)
def test_which_rules_of_a_table_let_packets_in(rule: str, *, shows: bool) -> None:
    assert bool(packet_passes.by_tables({"inet mine": {"in": [rule]}}, {})) is shows


def test_an_accepting_rule_in_a_table_named_like_fail2bans_shows() -> None:
    assert packet_passes.by_tables({"inet f2b-table": {"f2b-chain": ["tcp dport 3306 accept"]}}, {})


def test_rules_by_nft_in_a_table_of_iptables() -> None:
    plain, by_map = "tcp dport 3306 accept", "tcp dport vmap { 3306 : accept }"
    found = {
        "ip filter": {
            "INPUT": [plain, by_map], "mine": [plain], "OUTPUT": [plain], "ufw-user-input": [plain]
        }
    }  # fmt: skip
    # The output of iptables 1.8.9 for a table with such a chain, and below for a table with such a rule.
    tainted = "# Table `filter' contains incompatible base-chains.\n*filter\n:INPUT DROP [0:0]\nCOMMIT\n"
    shown = packet_passes.chains(tainted, "iptables")
    assert set(packet_passes.by_tables(found, shown)) == {
        f"nft ip filter INPUT: {by_map}", f"nft ip filter mine: {plain}",
    }  # fmt: skip
    nothing = packet_passes.chains("# Table `filter' is incompatible, use 'nft' tool.\n", "iptables")
    assert set(packet_passes.by_tables(found, nothing)) == {
        f"nft ip filter INPUT: {plain}", f"nft ip filter INPUT: {by_map}", f"nft ip filter mine: {plain}",
    }  # fmt: skip


# Rules of Docker 29 with `firewall-backend: nftables`, as nft lists them without counters.
DOCKERS = {
    "ip docker-bridges": {
        "filter-FORWARD": [
            "oifname vmap @filter-forward-in-jumps", "iifname vmap @filter-forward-out-jumps",
        ],
        "nat-POSTROUTING": ["iifname vmap @nat-postrouting-out-jumps"],
        "nat-PREROUTING": ["fib daddr type local counter jump nat-prerouting-and-output"],
        "nat-prerouting-and-output": [
            ('iifname != "docker0" ip daddr 172.17.0.1 tcp dport 2019 counter dnat to 172.17.0.2:8080 '
            'comment "DNAT"'),
            'iifname != "br-shop" udp dport 8053 counter dnat to 172.30.0.2:8053 comment "DNAT"',
        ],
        "filter-forward-in__docker0": [
            "ct state established,related counter accept",
            "ip daddr 172.17.0.2 tcp dport 8080 counter accept",
            'counter drop comment "UNPUBLISHED PORT DROP"',
        ],
        "filter-forward-out__br-shop": ['counter accept comment "OUTGOING"'],
    },
    "ip6 docker-bridges": {
        "nat-prerouting-and-output": [
            ('iifname != "br-shop" ip6 saddr != fe80::/10 tcp dport 8082 counter dnat to [fd00:30::10]:8080 '
            'comment "DNAT"'),
        ],
    },
}  # fmt: skip
_BRIDGES = {"docker0", "br-shop"}
_PORTS = {("tcp", 2019), ("udp", 8053), ("tcp", 8082)}


def test_dockers_own_rules_in_nft_are_quiet() -> None:
    assert packet_passes.by_tables(DOCKERS, {}, _BRIDGES, _PORTS) == {}


@pytest.mark.parametrize(
    ("chain", "rule"),
    [
        ("nat-prerouting-and-output", 'tcp dport 9999 counter dnat to 172.17.0.2:80 comment "DNAT"'),
        ("nat-prerouting-and-output", "tcp dport 2019 redirect to :22"),
        ("nat-PREROUTING", 'tcp dport 2019 counter dnat to 172.17.0.2:80 comment "DNAT"'),
        ("filter-FORWARD", "tcp dport 8080 accept"),
        ("filter-FORWARD", "tcp dport vmap @filter-forward-in-jumps"),
        ("filter-forward-in__eth0", "tcp dport 8080 accept"),
        ("mine", "accept"),
    ],
)
def test_an_undeclared_rule_in_dockers_table_shows(chain: str, rule: str) -> None:
    found = packet_passes.by_tables({"ip docker-bridges": {chain: [rule]}}, {}, _BRIDGES, _PORTS)
    assert list(found) == [f"nft ip docker-bridges {chain}: {rule}"]


def test_the_filter_lets_public_ports_through() -> None:
    chains = {
        "forward": [
            "ct state established,related accept",
            "ct status dnat meta l4proto tcp ct original proto-dst 8443 accept",
            "ct status dnat meta l4proto udp ct original proto-dst 8000-8010 ip saddr 203.0.113.7 accept",
            "ct status dnat meta l4proto tcp ct original proto-dst 9 ip6 saddr 2001:db8::/32 accept",
            'meta iifkind "bridge" goto containers',
        ],
        "containers": ["fib daddr . iif oif exists accept"],
    }
    wanted = {
        "tcp4 8443 to containers": "anywhere",
        "tcp6 8443 to containers": "anywhere",
        "udp4 8000-8010 to containers": "203.0.113.7",
        "tcp6 9 to containers": "2001:db8::/32",
    }
    assert packet_passes.by_filter(chains) == wanted
    chains["forward"].insert(0, "tcp dport 3306 accept")
    assert packet_passes.by_filter(chains) == {
        **wanted,
        "nft inet portcullis forward: tcp dport 3306 accept": "a rule that is not ours",
    }


def test_a_filter_that_is_gone_lets_everything_through() -> None:
    assert packet_passes.by_filter(packet_passes.tables("").get(packet_passes.FILTER)) == {
        "any routed": "everything: the filter inet portcullis is not loaded"
    }
