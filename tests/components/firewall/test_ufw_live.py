"""The kernel's rules against ufw's files, both as Debian 12 and 13 wrote them (they are the same)."""

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
def test_what_ufw_loaded_is_what_its_files_say(family: str) -> None:
    found = look(kernel(family), family)
    assert found.said == []
    assert found.text == "ok"


@pytest.mark.parametrize("family", ["", "6"])
def test_every_rule_that_accepts_or_refuses_is_missed(family: str) -> None:
    lines = kernel(family).splitlines()
    counted = [
        n for n, line in enumerate(lines)
        if line.startswith(f"-A ufw{family}-user-") and "logging" not in line and "LOG" not in line
    ]  # fmt: skip
    assert len(counted) > 15
    for number in counted:
        without = "\n".join(lines[:number] + lines[number + 1 :])
        (said,) = look(without, family).said
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
            "ufw-user-input has -p gre -j ACCEPT besides",
        ),
        ("RELATED,ESTABLISHED", "NEW,RELATED", "ufw-before-input lacks -m conntrack --ctstate RELATED,ESTA"),
        ("! --dport 9", "--dport 9", "ufw-before-input lacks -p tcp ! --dport 9"),
    ],
)  # fmt: skip
def test_a_change_is_named(old: str, new: str, said: str) -> None:
    assert old in kernel()
    assert look(kernel().replace(old, new, 1)).text.startswith(said)


def test_the_order_of_rules_counts() -> None:
    lines = kernel().splitlines()
    chain = [line for line in lines if line.startswith("-A ufw-user-input")]
    swapped = [*(line for line in lines if line not in chain), *chain[::-1]]
    assert look("\n".join(["*filter", *swapped])).text == "ufw-user-input has its rules in another order"


def test_what_a_reload_does_not_mend_is_told_apart() -> None:
    saved = kernel().replace("-A INPUT -j ufw-reject-input\n", "-A INPUT -s 203.0.113.5/32 -j ACCEPT\n")
    found = look(saved)
    assert found.unhooked == [("INPUT", "ufw-reject-input")]
    assert found.open == [("-s", "203.0.113.5/32", "-j", "ACCEPT")]


def test_rules_of_others_are_left_alone() -> None:
    saved = kernel().replace(
        "-A INPUT",
        ":f2b-sshd - [0:0]\n-A INPUT -p tcp -j f2b-sshd\n-A INPUT -s 203.0.113.66/32 -j DROP\n-A INPUT",
        1,
    )
    docker = saved.replace("-A FORWARD", "-A FORWARD -o docker0 -j ACCEPT\n-A FORWARD", 1)
    assert look(docker).text == "ok"


def test_docker_may_close_forwarding_where_it_was_declared_open() -> None:
    open_ = {**DEFAULTS, "routed": "allow"}
    assert look(kernel(), defaults=open_).text == "ok"


@pytest.mark.parametrize(("name", "number"), [("esp", "50"), ("tcp", "6"), ("icmp", "1")])
def test_a_host_without_names_of_protocols_prints_numbers(name: str, number: str) -> None:
    assert look(kernel().replace(f"-p {name} ", f"-p {number} ")).text == "ok"


@pytest.mark.parametrize("saved", ["", "*nat\n:ufw-user-input - [0:0]\nCOMMIT\n"])
def test_a_kernel_without_ufw_is_said_once(saved: str) -> None:
    assert look(saved).text == "iptables has no rules of ufw"
    assert look(saved, "6").text == "ip6tables has no rules of ufw"


def test_a_flushed_chain_is_shown_in_a_line() -> None:
    lines = [line for line in kernel().splitlines() if not line.startswith("-A ufw-user-input")]
    text = look("\n".join(lines)).text
    assert text.count("lacks") == 3
    assert "more" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "line", [":", ":ufw-user-input", '-A ufw-user-input -m comment --comment "open', "-A"]
)
def test_a_file_that_somebody_broke_is_read_as_far_as_it_goes(line: str) -> None:
    files = [(RECORDED / f"{name}.rules").read_text() for name in ("before", "after", "user")]
    broken = files[0].replace("COMMIT", f"{line}\nCOMMIT")
    assert compare(kernel(), [broken, *files[1:]], "ufw", DEFAULTS).said == [
        f"ufw-user-input lacks {line.partition(' ')[2].partition(' ')[2]}"
    ] * line.startswith("-A ")


def test_a_policy_that_ufw_does_not_know_lets_nothing_in() -> None:
    said = look(
        kernel().replace(":INPUT DROP", ":INPUT ACCEPT"), defaults={**DEFAULTS, "incoming": "sometimes"}
    ).said
    assert said == ["iptables: the policy of INPUT is ACCEPT, not DROP"]
