"""Compares the kernel's rules with ufw's files, both as Debian 12 and 13 write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from portcullis.components.firewall.on_host.ufw_live import Findings, compare

RECORDED = Path(__file__).parent / "recorded" / "ufw"
DEFAULTS = {"incoming": "deny", "outgoing": "allow", "routed": "deny"}


def look(saved: str, family: str = "", defaults: dict[str, str] = DEFAULTS) -> Findings:
    files = [(RECORDED / f"{name}{family}.rules").read_text() for name in ("before", "after", "user")]
    return compare(saved, files, f"ufw{family}", defaults)


def kernel(family: str = "") -> str:
    return (RECORDED / f"ip{family}tables-save").read_text()


@pytest.mark.parametrize("family", ["", "6"])
def test_rules_that_ufw_loaded_match_its_files(family: str) -> None:
    found = look(kernel(family), family)
    assert found.differences == []
    assert found.text == "ok"


@pytest.mark.parametrize("family", ["", "6"])
def test_every_missing_rule_that_accepts_or_refuses_is_reported(family: str) -> None:
    lines = kernel(family).splitlines()
    counted = [
        n for n, line in enumerate(lines)
        if line.startswith(f"-A ufw{family}-user-") and "logging" not in line and "LOG" not in line
    ]  # fmt: skip
    assert len(counted) > 15
    for number in counted:
        without = "\n".join(lines[:number] + lines[number + 1 :])
        (said,) = look(without, family).differences
        assert " lacks " in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (":INPUT DROP", ":INPUT ACCEPT", "iptables: the policy of INPUT is ACCEPT, not DROP"),
        (":FORWARD DROP", ":FORWARD ACCEPT", "iptables: the policy of FORWARD is ACCEPT, not DROP"),
        (":OUTPUT ACCEPT", ":OUTPUT DROP", "iptables: the policy of OUTPUT is DROP, not ACCEPT"),
        ("-A INPUT -j ufw-before-input\n", "", "iptables: INPUT lacks -j ufw-before-input"),
        ("-s 203.0.113.0/24 -p", "-p", "ufw-user-input lacks -p tcp --dport 443 -s 203.0.113.0/24 -j ACCEPT"),
        ("-p esp -j DROP", "-p esp -j ACCEPT", "ufw-user-input lacks -p esp -j DROP"),
        (
            "-A ufw-before-input -j ufw-user-input\n",
            "",
            "ufw-before-input lacks -j ufw-user-input",
        ),
        (
            "-A ufw-user-input -p esp",
            "-A ufw-user-input -p gre -j ACCEPT\n-A ufw-user-input -p esp",
            "ufw-user-input has the extra rule -p gre -j ACCEPT",
        ),
        ("RELATED,ESTABLISHED", "NEW,RELATED", "ufw-before-input lacks -m conntrack --ctstate RELATED,ESTA"),
        ("! --dport 9", "--dport 9", "ufw-before-input lacks -p tcp ! --dport 9"),
    ],
)  # fmt: skip
def test_a_changed_rule_is_named(old: str, new: str, said: str) -> None:
    assert old in kernel()
    assert look(kernel().replace(old, new, 1)).text.startswith(said)


def test_another_order_of_rules_is_a_difference() -> None:
    lines = kernel().splitlines()
    chain = [line for line in lines if line.startswith("-A ufw-user-input")]
    swapped = [*(line for line in lines if line not in chain), *chain[::-1]]
    assert look("\n".join(["*filter", *swapped])).text == "ufw-user-input has its rules in another order"


def test_differences_that_a_reload_does_not_repair_are_listed_separately() -> None:
    saved = kernel().replace("-A INPUT -j ufw-reject-input\n", "-A INPUT -s 203.0.113.5/32 -j ACCEPT\n")
    found = look(saved)
    assert found.unhooked == [("INPUT", "ufw-reject-input")]
    assert found.open == [("-s", "203.0.113.5/32", "-j", "ACCEPT")]


def test_rules_of_other_programs_are_no_difference() -> None:
    saved = kernel().replace(
        "-A INPUT",
        # The second rule only counts packets.
        ":f2b-sshd - [0:0]\n-A INPUT -p tcp -j f2b-sshd\n-A INPUT\n"
        "-A INPUT -s 203.0.113.66/32 -j DROP\n-A INPUT",
        1,
    )
    docker = saved.replace("-A FORWARD", "-A FORWARD -o docker0 -j ACCEPT\n-A FORWARD", 1)
    assert look(docker).text == "ok"


def test_docker_may_close_forwarding_although_it_was_declared_open() -> None:
    open_ = {**DEFAULTS, "routed": "allow"}
    assert look(kernel(), defaults=open_).text == "ok"


@pytest.mark.parametrize(("name", "number"), [("esp", "50"), ("tcp", "6"), ("icmp", "1")])
def test_protocol_numbers_mean_the_same_as_names(name: str, number: str) -> None:
    assert look(kernel().replace(f"-p {name} ", f"-p {number} ")).text == "ok"


@pytest.mark.parametrize("saved", ["", "*nat\n:ufw-user-input - [0:0]\nCOMMIT\n"])
def test_a_kernel_without_rules_of_ufw_is_one_difference(saved: str) -> None:
    assert look(saved).text == "iptables has no rules of ufw"
    assert look(saved, "6").text == "ip6tables has no rules of ufw"


def test_a_flushed_chain_is_shown_in_one_line() -> None:
    lines = [line for line in kernel().splitlines() if not line.startswith("-A ufw-user-input")]
    text = look("\n".join(lines)).text
    assert text.count("lacks") == 3
    assert "more" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "line",
    [":", ":ufw-user-input", "-A ufw-user-input", '-A ufw-user-input -m comment --comment "open', "-A"],
)
def test_valid_lines_of_a_broken_file_still_count(line: str) -> None:
    files = [(RECORDED / f"{name}.rules").read_text() for name in ("before", "after", "user")]
    broken = files[0].replace("COMMIT", f"{line}\nCOMMIT")
    assert compare(kernel(), [broken, *files[1:]], "ufw", DEFAULTS).differences == [
        f"ufw-user-input lacks {line.partition(' ')[2].partition(' ')[2]}"
    ] * line.startswith("-A ")


def test_an_unknown_policy_counts_as_drop() -> None:
    said = look(
        kernel().replace(":INPUT DROP", ":INPUT ACCEPT"), defaults={**DEFAULTS, "incoming": "sometimes"}
    ).differences
    assert said == ["iptables: the policy of INPUT is ACCEPT, not DROP"]
