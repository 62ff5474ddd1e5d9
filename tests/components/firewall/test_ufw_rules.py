from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from portcullis.components.firewall.on_host import ufw_changes
from portcullis.components.firewall.on_host.ufw_names import declared, normal_name, normal_value
from portcullis.components.firewall.on_host.ufw_rules import (
    FAMILIES,
    Rules,
    merged,
    overlap,
    parse_tuples,
)
from tests.components.firewall.fake_ufw import FakeUfw

RECORDED = Path(__file__).parent / "recorded" / "ufw"


def recorded() -> Rules:
    return {f: parse_tuples((RECORDED / f"user{f.replace('4', '')}.rules").read_text()) for f in FAMILIES}


def test_ufws_files_are_read_as_one_map() -> None:
    assert merged(recorded(), FAMILIES) == {
        "in 80/tcp": "allow # web: http",
        "in 443/tcp from 203.0.113.0/24": "allow",
        "in 2200/tcp from 2001:db8:5::/48": "limit",
        "in 2201/tcp": "limit",
        "in 53/udp on docker0 to 172.17.0.1": "allow # dns für container",
        "out 25/tcp": "deny",
        "out 26": "deny",
        "route 80/tcp in on eth0 out on docker0 to 172.17.0.2": "allow",
        "in 22/tcp app OpenSSH": "allow",
        "in 80,443/tcp from any port 22 app OpenSSH to WWW Full": "allow",
        "in any on eth0": "allow",
        "in any from 203.0.113.9": "reject log",
        "in any/esp": "deny",
        "in 6000:6007,7000/tcp": "allow",
        "in 68/udp from 203.0.113.99 port 67": "allow",
        "in any to 2001:db8:1::1": "allow",
        "in any from 203.0.113.10": "deny",
        "in 113/tcp": "reject",
        "in 8080/tcp (v6)": "allow",
    }


def test_a_rule_that_differs_between_the_families_names_its_family() -> None:
    rules = {
        "4": parse_tuples("### tuple ### allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in\n"),
        "6": parse_tuples("### tuple ### deny tcp 80 ::/0 any ::/0 in\n"),
    }
    assert merged(rules, FAMILIES) == {"in 80/tcp (v4)": "allow", "in 80/tcp (v6)": "deny"}
    assert merged({**rules, "6": ()}, ["4"]) == {"in 80/tcp": "allow"}
    assert merged({**rules, "6": ()}, FAMILIES) == {"in 80/tcp (v4)": "allow"}
    assert merged({**rules, "6": rules["4"]}, ["4"]) == {"in 80/tcp": "allow"}


@pytest.mark.parametrize(
    ("words", "name", "argv"),
    [
        ("allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 OpenSSH -", "in 22/tcp app OpenSSH",
         "allow in from any to any app OpenSSH"),
        ("allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 OpenSSH - out_eth0", "out 22/tcp on eth0 app OpenSSH",
         "allow out on eth0 from any to any app OpenSSH"),
        ("deny tcp any 0.0.0.0/0 22 0.0.0.0/0 - OpenSSH in", "in any/tcp from any port 22 app OpenSSH to -",
         "deny in from any app OpenSSH to any"),
        ("allow tcp 80,443 0.0.0.0/0 22 0.0.0.0/0 WWW%20Full OpenSSH in",
         "in 80,443/tcp from any port 22 app OpenSSH to WWW Full",
         "allow in from any app OpenSSH to any app WWW Full"),
        ("reject_log-all udp 53 172.17.0.1 67 203.0.113.0/24 in_docker0",
         "in 53/udp on docker0 from 203.0.113.0/24 port 67 to 172.17.0.1",
         "reject in on docker0 log-all proto udp from 203.0.113.0/24 port 67 to 172.17.0.1 port 53"),
        ("route:allow any any 0.0.0.0/0 any 0.0.0.0/0 in_eth0", "route any in on eth0",
         "route allow in on eth0 from any to any"),
        ("route:deny any any 0.0.0.0/0 any 0.0.0.0/0 out_eth1", "route any out on eth1",
         "route deny out on eth1 from any to any"),
        ("route:limit tcp 80 0.0.0.0/0 any 0.0.0.0/0 in_eth0!out_eth1",
         "route 80/tcp in on eth0 out on eth1",
         "route limit in on eth0 out on eth1 proto tcp from any to any port 80"),
        ("allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in", "in 80/tcp",
         "allow in proto tcp from any to any port 80"),
    ],
)  # fmt: skip
def test_every_form_of_a_rule_is_parsed_named_and_turned_into_its_command(
    words: str, name: str, argv: str
) -> None:
    why = " comment=" + b"why".hex()
    (rule,) = parse_tuples(f"### tuple ### {words}{why}\n")
    assert str(rule.match) == name
    made = f"ufw {argv} comment why"
    assert " ".join(rule.argv()) == made
    assert " ".join(rule.argv(family="4")) == made.replace(" any", " 0.0.0.0/0")
    verb = "ufw route" if argv.startswith("route") else "ufw"
    taken = made.replace(verb, f"{verb} delete", 1).replace(" comment why", "")
    assert " ".join(rule.argv("delete")) == taken
    assert " ".join(rule.argv("insert", "3")) == made.replace(verb, f"{verb} insert 3", 1)


def test_a_comment_that_is_not_valid_text_is_no_fault() -> None:
    text = "### tuple ### allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in comment={}\n"
    assert parse_tuples(text.format("by hand"))[0].comment == "by hand"
    assert parse_tuples(text.format("ff41"))[0].comment == "\ufffdA"


def test_two_rules_overlap_if_they_share_addresses() -> None:
    def meet(one: str, other: str) -> bool:
        tuples = (f"### tuple ### allow any any 0.0.0.0/0 any {source} in\n" for source in (one, other))
        (a,), (b,) = map(parse_tuples, tuples)
        return overlap(a.match, b.match) and overlap(b.match, a.match)

    assert meet("203.0.113.77/24", "203.0.113.5")  # ufw reads such addresses in a file edited by hand
    assert not meet("203.0.113.77/24", "198.51.100.5")
    assert meet(
        "10.0.0.1/255.0.255.0", "203.0.113.5"
    )  # no prefix expresses this mask, so it may match any address
    assert not meet("10.0.0.1/255.0.255.0", "2001:db8::5")
    assert not meet("203.0.113.5", "2001:db8::5")
    assert meet("::/0", "2001:db8::5")


def test_tuples_of_old_releases_and_unusual_ones_are_read() -> None:
    old = parse_tuples("### tuple ### allow tcp 80 0.0.0.0/0 any 0.0.0.0/0\n")
    assert str(old[0].match) == "in 80/tcp"
    masked = parse_tuples("### tuple ### deny any any 0.0.0.0/0 any 10.0.0.1/255.0.255.0 in\n")
    assert str(masked[0].match) == "in any from 10.0.0.1/255.0.255.0"
    inside = parse_tuples("### tuple ### deny any any 0.0.0.0/0 any 203.0.113.77/24 in\n")
    assert str(inside[0].match) == "in any from 203.0.113.0/24"
    twice = parse_tuples("### tuple ### deny tcp 80 0.0.0.0/0 any 0.0.0.0/0 in\n" * 2)
    assert list(merged({"4": twice, "6": ()}, ["4"])) == ["in 80/tcp", "in 80/tcp again"]
    ssh = parse_tuples(f"### tuple ### allow tcp 22 ::/0 any ::/0 in comment={b'portcullis ssh'.hex()}\n")
    assert list(merged({"4": (*ssh, *twice), "6": ()}, ["4"])) == ["in 80/tcp", "in 80/tcp again"]


@pytest.mark.parametrize(
    "text",
    [
        "### tuple ### allow tcp 80",
        "### tuple ### open tcp 80 a any b in",
        "### tuple ### allow tcp http 0.0.0.0/0 any 0.0.0.0/0 in",
        "### tuple ### allow tcp 80 0.0.0.0/0 x 0.0.0.0/0 in",
    ],
)
def test_an_invalid_tuple_is_a_fault(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a rule|unknown action|a port that is not a number"):
        parse_tuples(text)


SPELLINGS = {
    "in 443/tcp": ["443/tcp", "in https/tcp", "in proto tcp to any port 443", "443/tcp in"],
    "in 80,443/tcp": ["443,80/tcp", "https,http/tcp", "in 80,443,80/tcp"],
    "in 53/udp on docker0 to 172.17.0.1": [
        "in on docker0 to 172.17.0.1 port 53 proto udp", "53/udp to 172.17.0.1/32 on docker0",
        "to 172.17.0.1 domain/udp in on docker0",
    ],
    "in 80/tcp from 203.0.113.0/24": ["80/tcp from 203.0.113.77/24", "80/tcp from 203.0.113.0/255.255.255.0"],
    "in any from 2001:db8::1": ["in any from 2001:DB8:0::1/128", "from 2001:db8::1"],
    "in any": ["in any from any to any", "any from 0.0.0.0/0 to ::/0"],
    "out 25/tcp": ["out to any port 25 proto tcp", "out smtp/tcp"],
    "out 25/tcp on eth0": ["out on eth0 25/tcp", "25/tcp out on eth0"],
    "in 68/udp from any port 67": ["in 68/udp from any port 67", "from any port 67 to any port 68 proto udp"],
    "route 80/tcp in on eth0 out on docker0": [
        "route in on eth0 out on docker0 80/tcp", "route out on docker0 in on eth0 80/tcp",
    ],
    "in any/esp": ["in any/esp", "any proto esp"],
    "in any/igmp": ["in any/igmp (v4)"],
    "in 80/tcp (v6)": ["80/tcp (v6)"],
    "in any from 10.0.0.1": ["in any from 10.0.0.1 (v4)"],
}  # fmt: skip


@pytest.mark.parametrize("normal", SPELLINGS)
def test_every_spelling_is_normalised_into_one(normal: str) -> None:
    assert normal_name(normal) == normal
    for spelling in SPELLINGS[normal]:
        assert normal_name(spelling) == normal, spelling


FAULTY = {
    "in": "has no port and no address",
    "in on docker0": "has no port and no address",
    "in ssh2/tcp": "'ssh2' is not a port",
    "in 0/tcp": "not between 1 and 65535",
    "in 70000": "not between 1 and 65535",
    "in 90:80/tcp": "ends before it begins",
    "in 80,81": "several ports, which need a protocol",
    "in 80/esp": "protocol esp has no ports",
    "in 80/icmp": "has the protocol 'icmp'; write one of",
    "in 80/tcp proto udp": "has two protocols",
    "in 80/tcp to any port 81": "has two ports",
    "in 80/tcp from 203.0.113.0/33": "is not an IP address or network",
    "in 80/tcp from example.com": "is not an IP address or network",
    "in 80/tcp from fe80::1%eth0;id": "is not an IP address or network",
    "in 80/tcp from 203.0.113.1 to 2001:db8::1": "mixes addresses of IPv4 and IPv6",
    "in any/igmp from 2001:db8::1": "IPv4 only",
    "in any/igmp (v6)": "its address or protocol does not belong to IPv6",
    "in 80/tcp from 203.0.113.1 (v6)": "its address or protocol does not belong to IPv6",
    "in 80/tcp from": "needs a value after it",
    "in 80/tcp on": "needs a value after it",
    "in 80/tcp 81/tcp": "occurs twice",
    "in out 80/tcp": "occurs twice",
    "in 80/tcp on eth0;reboot": "is not the name of a network interface",
    "in 80/tcp on a-name-that-is-too-long": "is not the name of a network interface",
    "in 1,2,3,4,5,6,7,8,9,10,11,12,13,14:15,16/tcp": "more than 15 ports",
    "in 80/tcp from $(reboot)": "is not an IP address",
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_name_that_ufw_would_refuse_or_misread_is_a_fault_with_its_reason(name: str) -> None:
    with pytest.raises(ValueError, match=re.escape(FAULTY[name])):
        normal_name(name)


def test_every_value_is_normalised_into_one_spelling() -> None:
    assert normal_value(" allow  log#why not ") == "allow log # why not"
    assert normal_value("deny log-all") == "deny log-all"
    for wrong in (
        "",
        "open",
        "allow please",
        "allow log log",
        "allow # it's",
        "allow # a\nb",
        "allow # portcullis ssh",
    ):
        with pytest.raises(ValueError, match=re.escape(repr(wrong))):
            normal_value(wrong)


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_declared_rule_reads_back_as_declared(name: str, tmp_path: Path) -> None:
    ufw = FakeUfw(tmp_path).install()
    empty: Rules = {"4": (), "6": ()}
    for argv in ufw_changes.commands(empty, declared(name, "reject log # why"), FAMILIES):
        ufw(argv, timeout=1)
    assert merged(read(ufw), FAMILIES) == {name: "reject log # why"}


def read(ufw: FakeUfw) -> Rules:
    return {family: parse_tuples("\n".join(ufw.tuples(family))) for family in FAMILIES}


def wanted(rules: dict[str, str]) -> Rules:
    found: Rules = {"4": (), "6": ()}
    for name, value in rules.items():
        for family, added in declared(name, value).items():
            found[family] += added
    return found


NAMES = [
    "in 80/tcp", "in 22/tcp (v6)", "in any from 203.0.113.0/24", "in 80,443/tcp",
    "in 80:90/tcp from 203.0.113.5",
    "in any from 2001:db8::/32", "out 25/tcp", "out any to 203.0.113.0/24", "in any on docker0",
    "route 80/tcp in on eth0 out on docker0", "route any", "in 53", "in any/esp",
    "in 53/udp from any port 53",
]  # fmt: skip
VALUES = ["allow", "deny", "reject log", "limit", "allow # web", "deny # no"]


@pytest.mark.parametrize("seed", range(60))
def test_any_rules_become_the_declared_rules(seed: int, tmp_path: Path) -> None:
    """The commands turn any rules in any order into the declared rules.

    Rules that refuse traffic come first.
    """
    chance = random.Random(seed)  # noqa: S311 - random test data
    ufw = FakeUfw(tmp_path).install()
    ssh = "ufw allow in proto tcp from any to any port 2222 comment portcullis ssh"

    def some() -> dict[str, str]:
        return {name: chance.choice(VALUES) for name in chance.sample(NAMES, chance.randrange(len(NAMES)))}

    by_hand = [
        rule.argv(family=family if len(rule.match.families) > 1 else "")
        for family in FAMILIES
        for rule in wanted(some())[family]
    ]
    chance.shuffle(by_hand)
    for argv in by_hand[: len(by_hand) // 2]:
        ufw(argv, timeout=1)
    ufw.run(ssh)
    for argv in by_hand[len(by_hand) // 2 :]:
        ufw(argv, timeout=1)
    rules = some()
    for argv in ufw_changes.commands(read(ufw), wanted(rules), FAMILIES):
        ufw(argv, timeout=1)
    have = read(ufw)
    assert merged(have, FAMILIES) == rules
    assert ufw_changes.commands(have, wanted(rules), FAMILIES) == []
    for family in FAMILIES:
        assert [str(rule.match) for rule in have[family] if rule.is_ssh] == ["in 2222/tcp"]
        assert ufw_changes.misplaced(have[family]) is None


@pytest.mark.parametrize("seed", range(20))
def test_earlier_rules_come_back_in_their_own_order(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)  # noqa: S311 - random test data
    ufw = FakeUfw(tmp_path).install()
    names = chance.sample(NAMES, 6)
    for name in names:
        (rule, *_) = (rule for rules in declared(name, chance.choice(VALUES)).values() for rule in rules)
        ufw(rule.argv(), timeout=1)
    original = read(ufw)
    for argv in ufw_changes.commands(original, wanted({"in 80/tcp": "limit"}), FAMILIES):
        ufw(argv, timeout=1)
    for argv in ufw_changes.restoration(read(ufw), original, FAMILIES):
        ufw(argv, timeout=1)
    assert read(ufw) == original
    assert ufw_changes.restoration(read(ufw), original, FAMILIES) == []


def test_the_second_copy_of_a_rule_in_the_file_is_deleted(tmp_path: Path) -> None:
    ufw = FakeUfw(tmp_path).install()
    line = "### tuple ### allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in"
    (ufw.etc / "user.rules").write_text(f"{line}\n{line}\n")
    for argv in ufw_changes.commands(read(ufw), wanted({"in 80/tcp (v4)": "allow"}), FAMILIES):
        ufw(argv, timeout=1)
    assert ufw.tuples("4") == [line]


def test_the_position_of_the_ssh_servers_rule_does_not_matter() -> None:
    text = "### tuple ### {} any {} 0.0.0.0/0 any 0.0.0.0/0 in{}\n"
    ssh = text.format("limit", "22", " comment=" + b"portcullis ssh".hex())
    assert ufw_changes.misplaced(parse_tuples(text.format("allow", "any", "") + ssh)) is None
    other = text.format("limit", "22", "")
    assert ufw_changes.misplaced(parse_tuples(text.format("allow", "any", "") + other)) is not None


def test_order_matters_only_between_rules_that_share_packets() -> None:
    def both(one: str, other: str) -> bool:
        (a,), (b,) = (declared(name, "allow")["4"] for name in (one, other))
        return overlap(a.match, b.match) and overlap(b.match, a.match)

    assert both("in 80/tcp", "in any from 203.0.113.5")
    assert both("in 80:90/tcp", "in 85/tcp")
    assert both("in any from 203.0.113.0/24", "in any from 203.0.113.5")
    assert not both("in 80/tcp", "in 80/udp")
    assert not both("in 80/tcp", "out 80/tcp")
    assert not both("in 80/tcp", "in 81:90/tcp")
    assert not both("in any from 203.0.113.5", "in any from 203.0.113.6")
    assert not both("in any on eth0", "in any on eth1")
    assert both("in any on eth0", "in 80/tcp")
    assert not both("route any out on eth0", "route any out on eth1")
    assert not both("in any to 203.0.113.5", "in any to 203.0.113.6")
    assert not both("in 53/udp from any port 53", "in 53/udp from any port 54")
    assert both("in 53/udp from any port 53", "in 53/udp")
    for one, met in (("in 89:90/tcp", True), ("in 90/tcp", True), ("in 91/tcp", False)):
        assert both("in 80:90/tcp", one) is met
    assert both("in 1,80:90/tcp", "in 70,85/tcp")
