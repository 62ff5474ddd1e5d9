from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.guarded import Peer
from portcullis.agent.step import Step
from portcullis.agent.store import Store
from portcullis.components.firewall.facts import UfwPolicyFacts, UfwPolicySpec
from portcullis.components.firewall.on_host.ufw import UfwPolicies
from tests.components.firewall.fake_ufw import FakeUfw
from tests.on_host import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portcullis.agent.errors import AgentError
    from portcullis.agent.machine import Machine

Json = dict[str, Any]
WEB = {"in 80/tcp": "allow # web"}
DEFAULTS = {"incoming": "deny", "outgoing": "allow", "routed": "deny"}
SETTINGS = {"IPV6": "yes", "IPT_SYSCTL": "/etc/ufw/sysctl.conf", "MANAGE_BUILTINS": "no"}


def policy(rules: dict[str, str] | None = None, **more: Any) -> Json:
    return {
        "enabled": True, "defaults": DEFAULTS, "logging": "low", "settings": SETTINGS,
        "rules": WEB if rules is None else rules, **more,
    }  # fmt: skip


@dataclass
class Firewall:
    """A client for the firewall policy of a host whose SSH server already has its rule in ufw."""

    client: Client
    ufw: FakeUfw

    def put(self, desired: Json, *, adopt: bool = False) -> list[str]:
        self.ufw.calls.clear()
        done = self.client.on("put", "firewall.ufw", "ufw", desired, adopt=adopt)
        assert self.client.on("put", "firewall.ufw", "ufw", desired)["steps"] == []
        return [step["property"] for step in done["steps"]]

    def refused(self, desired: Json) -> AgentError:
        return self.client.refused("put", "firewall.ufw", "ufw", desired)

    def remove(self, desired: Json) -> str:
        self.ufw.calls.clear()
        done: str = self.client.on("remove", "firewall.ufw", "ufw", desired)["done"]
        return done

    def facts(self) -> Json:
        return self.client.look("firewall.ufw", "ufw", {"custom": []})

    def rules(self) -> Json:
        rules: Json = self.facts()["rules"]
        return rules


@pytest.fixture
def bare(machine: Machine, tmp_path: Path) -> Iterator[Firewall]:
    """A host without ufw."""
    ufw = FakeUfw(tmp_path)
    places = {"ufw": ufw.etc, "ufw_shipped": ufw.shipped, "proc_sys": ufw.proc_sys}
    client = Client(dataclasses.replace(machine, run=ufw, **places))
    yield Firewall(client, ufw)
    client.close()


@pytest.fixture
def firewall(bare: Firewall) -> Firewall:
    bare.ufw.install()
    bare.ufw.run("ufw allow in proto tcp from any to any port 22 comment portcullis ssh")
    return bare


def test_without_ufw_nothing_is_read_and_the_error_says_what_to_do(bare: Firewall) -> None:
    assert bare.facts() == {"exists": False}
    error = bare.refused(policy())
    assert error.message == "ufw is not installed on the host"
    assert "Packages" in error.hint
    (step,) = bare.client.on("plan", "firewall.ufw", "ufw", policy())["steps"]
    assert (step["property"], step["have"], step["want"], step["action"]) == (
        "enabled", "absent", "ufw installed", "install",
    )  # fmt: skip


def test_on_a_fresh_host_the_rules_come_before_ufw_is_switched_on(firewall: Firewall) -> None:
    firewall.put(policy({"in 80/tcp": "allow # web", "in any from 203.0.113.9": "deny"}))
    assert firewall.ufw.calls == [
        "ufw insert 1 deny in from 203.0.113.9 to any",
        "ufw allow in proto tcp from any to any port 80 comment web",
        "ufw --force enable",
    ]
    assert firewall.rules() == {"in 80/tcp": "allow # web", "in any from 203.0.113.9": "deny"}
    assert firewall.facts()["live"] == "ok"


def test_the_rule_of_the_ssh_server_is_neither_shown_nor_touched(firewall: Firewall) -> None:
    before = firewall.ufw.tuples("4")
    firewall.put(policy({}))
    assert firewall.rules() == {}
    assert firewall.ufw.tuples("4") == before
    firewall.remove(policy({}))
    assert firewall.ufw.tuples("4") == before


def test_the_ssh_servers_rule_cannot_be_declared_in_the_policy(firewall: Firewall) -> None:
    error = firewall.refused(policy({"in 22/tcp": "allow"}))
    assert error.message == "in 22/tcp is the SSH server's own rule"


def test_an_earlier_policy_needs_adopt_and_comes_back_in_its_own_order(firewall: Firewall) -> None:
    firewall.ufw.run(
        "ufw allow in proto tcp from 203.0.113.5 to any port 3306;"
        "ufw deny in proto tcp from any to any port 3306 comment mine; ufw default reject incoming;"
        "ufw logging full; ufw enable"
    )
    before = [firewall.ufw.tuples(family) for family in "46"]
    error = firewall.refused(policy())
    assert error.code == "differs"
    firewall.put(policy(), adopt=True)
    assert firewall.rules() == {"in 80/tcp": "allow # web"}
    assert firewall.remove(policy()) == "restored"
    assert [firewall.ufw.tuples(family) for family in "46"] == before
    facts = firewall.facts()
    assert (facts["enabled"], facts["logging"], facts["defaults"]["incoming"]) == (True, "full", "reject")
    assert firewall.remove(policy()) == "absent"


def test_removal_switches_ufw_off_if_it_was_off_before(firewall: Firewall) -> None:
    firewall.put(policy())
    assert firewall.remove(policy()) == "restored"
    assert not firewall.ufw.is_enabled
    assert firewall.rules() == {}
    assert firewall.ufw.calls[0] == "ufw --force disable"


def test_removal_does_nothing_if_ufws_package_is_already_gone(firewall: Firewall) -> None:
    firewall.put(policy())
    shutil.rmtree(firewall.ufw.shipped)
    assert firewall.remove(policy()) == "absent"
    assert firewall.ufw.calls == []


def test_one_command_switches_ufw_off(firewall: Firewall) -> None:
    firewall.put(policy())
    assert firewall.put(policy(enabled=False)) == ["enabled"]
    assert firewall.ufw.calls == ["ufw --force disable"]
    assert firewall.ufw.kernel == {"4": "", "6": ""}


BENT = {
    "ufw allow in proto tcp from any to any port 3306": ['rules["in 3306/tcp"]'],
    "ufw route allow in on eth0 out on docker0 from any to 172.17.0.2": [
        'rules["route any in on eth0 out on docker0 to 172.17.0.2"]'
    ],
    "ufw delete allow in proto tcp from ::/0 to any port 80": [
        'rules["in 80/tcp"]',
        'rules["in 80/tcp (v4)"]',
    ],
    "ufw limit in proto tcp from any to any port 80": ['rules["in 80/tcp"]'],
    "ufw allow in log proto tcp from any to any port 80 comment other": ['rules["in 80/tcp"]'],
    "ufw default allow incoming": ["defaults.incoming"],
    "ufw logging off": ["logging"],
    "ufw disable": ["enabled"],
}


@pytest.mark.parametrize("command", BENT)
def test_a_change_made_with_ufw_is_drift_and_repaired(firewall: Firewall, command: str) -> None:
    firewall.put(policy())
    before = [firewall.ufw.tuples(family) for family in "46"]
    firewall.ufw.run(command)
    assert firewall.put(policy()) == BENT[command]
    assert [sorted(firewall.ufw.tuples(family)) for family in "46"] == [sorted(rules) for rules in before]


def test_each_step_names_its_action(firewall: Firewall) -> None:
    firewall.put(policy({"in 80/tcp": "allow", "in 81/tcp": "allow"}))
    wanted = policy(
        {"in 81/tcp": "limit", "in 82/tcp": "allow"}, logging="high", enabled=False,
        defaults={**DEFAULTS, "incoming": "reject"}, settings={**SETTINGS, "IPV6": "no"},
    )  # fmt: skip
    steps = firewall.client.on("plan", "firewall.ufw", "ufw", wanted)["steps"]
    assert [(s["property"], s["have"], s["want"], s["action"]) for s in steps] == [
        ('rules["in 80/tcp"]', "allow", "absent", "delete"),
        ('rules["in 81/tcp"]', "allow", "limit", "change"),
        ('rules["in 82/tcp"]', "absent", "allow", "add"),
        ("settings.IPV6", "yes", "no", "set"),
        ("defaults.incoming", "deny", "reject", "set"),
        ("logging", "low", "high", "set"),
        ("enabled", "True", "False", "set"),
    ]


@pytest.mark.parametrize(
    "command",
    [
        "ufw allow in proto tcp from any to any port 3306", "ufw default allow incoming", "ufw logging full",
        "ufw enable",
    ],
)  # fmt: skip
def test_only_ufw_as_its_package_left_it_needs_no_adopt(firewall: Firewall, command: str) -> None:
    firewall.put(policy({}, enabled=False))
    assert firewall.remove(policy({}, enabled=False)) == "restored"
    firewall.ufw.run(command)
    assert firewall.refused(policy()).code == "differs"


def test_ufw_with_changed_settings_needs_adopt(firewall: Firewall) -> None:
    firewall.ufw.default.write_text(firewall.ufw.default.read_text().replace("IPV6=yes", "IPV6=no"))
    assert firewall.refused(policy({}, settings={**SETTINGS, "MANAGE_BUILTINS": "yes"})).code == "differs"


def test_ufw_that_was_installed_after_a_killed_try_goes_back_to_its_packages_settings(
    bare: Firewall, tmp_path: Path
) -> None:
    wanted = policy(logging="high", defaults={**DEFAULTS, "outgoing": "reject"})
    store = Store(bare.client.machine.state)
    kind = UfwPolicies(bare.client.machine, store)
    before = kind.original("ufw", found(kind), tmp_path)
    assert before == {"type": "absent"}
    bare.ufw.install()
    fresh = bare.facts()
    bare.put(wanted)
    record = store.load("firewall.ufw", "ufw")
    assert record is not None
    record = dataclasses.replace(record, original=before)
    assert kind.remove(kind.as_desired(wanted), record, tmp_path) == "restored"
    assert {**bare.facts(), "revision": ""} == fresh


def test_only_the_difference_is_applied(firewall: Firewall) -> None:
    firewall.put(policy())
    firewall.put(policy({"in 80/tcp": "allow # web", "in 443/tcp": "allow"}))
    assert firewall.ufw.calls == ["ufw allow in proto tcp from any to any port 443"]
    firewall.put(policy({"in 443/tcp": "allow # tls"}))
    assert firewall.ufw.calls == [
        "ufw delete allow in proto tcp from any to any port 80",
        "ufw allow in proto tcp from any to any port 443 comment tls",
    ]


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        (":INPUT DROP", ":INPUT ACCEPT", "iptables: the policy of INPUT is ACCEPT, not DROP"),
        (
            "-A ufw-user-input -p tcp --dport 80 -j ACCEPT\n",
            "",
            "ufw-user-input lacks -p tcp --dport 80 -j ACCEPT",
        ),
        ("-A INPUT -j ufw-before-input\n", "", "iptables: INPUT lacks -j ufw-before-input"),
        (
            "-A INPUT",
            "-A INPUT -s 203.0.113.5/32 -j ACCEPT\n-A INPUT",
            "iptables: a rule in INPUT bypasses ufw",
        ),
        ("*filter", "*mangle", "iptables has no rules of ufw"),
    ],
)
@pytest.mark.parametrize("family", ["4", "6"])
def test_a_change_in_the_kernel_past_ufw_is_drift_and_repaired(
    firewall: Firewall, family: str, old: str, new: str, shown: str
) -> None:
    if family == "6":
        old, new, shown = (
            text.replace("ufw-", "ufw6-")
            .replace("iptables", "ip6tables")
            .replace("203.0.113.5/32", "::5/128")
            for text in (old, new, shown)
        )
    firewall.put(policy())
    firewall.ufw.kernel[family] = firewall.ufw.kernel[family].replace(old, new, 1)
    assert firewall.facts()["live"].startswith(shown)
    (step,) = firewall.client.on("plan", "firewall.ufw", "ufw", policy())["steps"]
    assert (step["have"], step["want"], step["action"]) == (firewall.facts()["live"], "ok", "reload")
    assert firewall.put(policy()) == ["live"]
    assert firewall.ufw.calls[-1] == "ufw reload"


def test_rules_in_the_kernel_while_ufw_is_off_are_drift(firewall: Firewall) -> None:
    firewall.put(policy(enabled=False))
    firewall.ufw.load()
    assert firewall.facts()["live"].startswith("ufw is off, but its rules are in the kernel")
    assert firewall.put(policy(enabled=False)) == ["live"]
    assert firewall.ufw.calls == ["ufw --force disable"]
    firewall.ufw.load()
    assert firewall.put(policy()) == ["enabled"]  # switching ufw on also updates the kernel


def test_a_refusing_rule_that_comes_too_late_is_moved(firewall: Firewall) -> None:
    rules = {"in any from 203.0.113.9": "deny", "in 80/tcp": "allow # web"}
    firewall.put(policy(rules))
    firewall.ufw.run("ufw delete deny in from 203.0.113.9 to any; ufw deny in from 203.0.113.9 to any")
    (step,) = firewall.client.on("plan", "firewall.ufw", "ufw", policy(rules))["steps"]
    assert (step["property"], step["want"], step["action"]) == ("order", "ok", "move")
    assert step["have"] == "in any from 203.0.113.9 (deny) comes after in 22/tcp (allow)"
    assert firewall.put(policy(rules)) == ["order"]


@pytest.mark.parametrize("enabled", [True, False])
def test_settings_that_ufw_reads_only_at_its_start_need_one_reload(firewall: Firewall, enabled: bool) -> None:  # noqa: FBT001
    """Settings and .init files do not show in the kernel, so no other step reloads ufw for them."""
    reload = ["ufw reload"] if enabled else []
    init = firewall.ufw.etc / "before.init"
    init.write_text("#!/bin/sh\nexit 1\n")
    firewall.put(policy({}, enabled=enabled), adopt=True)
    init.write_text("#!/bin/sh\nexit 2\n")
    assert firewall.put(policy({}, enabled=enabled)) == ["altered.before.init"]
    assert firewall.ufw.calls == reload
    text = firewall.ufw.default.read_text()
    firewall.ufw.default.write_text(text.replace("BUILTINS=no", "BUILTINS=yes"))
    assert firewall.put(policy({}, enabled=enabled)) == ["settings.MANAGE_BUILTINS"]
    assert firewall.ufw.calls == reload
    firewall.remove(policy({}, enabled=enabled))
    assert init.read_text() == "#!/bin/sh\nexit 1\n"
    assert firewall.ufw.calls == (["ufw --force disable"] if enabled else [])


def test_a_removal_that_restores_an_init_file_reloads_once(firewall: Firewall) -> None:
    (firewall.ufw.etc / "before.init").write_text("#!/bin/sh\nexit 1\n")
    (firewall.ufw.etc / "after.init").unlink()
    firewall.ufw.run("ufw enable")
    firewall.put(policy({}), adopt=True)
    firewall.remove(policy({}))
    assert firewall.ufw.calls == ["ufw reload"]
    assert firewall.facts()["altered"] == {"before.init": "changed"}


def test_ufw_that_is_off_needs_no_reload_before_it_is_switched_on(firewall: Firewall) -> None:
    text = firewall.ufw.default.read_text()
    firewall.ufw.default.write_text(text.replace("BUILTINS=no", "BUILTINS=yes"))
    firewall.put(policy({}), adopt=True)
    assert firewall.ufw.calls == ["ufw --force enable"]


def test_a_change_in_a_custom_file_does_not_reload_ufw(firewall: Firewall) -> None:
    firewall.ufw.run("ufw enable")
    wanted = policy({}, custom_files=["before.init"])
    firewall.put(wanted, adopt=True)
    (firewall.ufw.etc / "before.init").write_text("#!/bin/sh\nexit 1\n")
    firewall.put(wanted)
    assert firewall.ufw.calls == []
    firewall.remove(wanted)
    assert firewall.ufw.calls == []


def test_a_removal_switches_ufw_on_if_it_was_on_before(firewall: Firewall) -> None:
    firewall.ufw.run("ufw enable")
    firewall.put(policy({}), adopt=True)
    firewall.ufw.run("ufw disable")
    firewall.remove(policy({}))
    assert firewall.ufw.calls == ["ufw --force enable"]


def test_an_edited_packaged_file_is_drift_unless_it_is_declared_as_custom(
    firewall: Firewall,
) -> None:
    firewall.put(policy())
    rules = firewall.ufw.etc / "before.rules"
    shipped = rules.read_text()
    rules.write_text(shipped.replace("-i lo", "-i eth9"))
    (firewall.ufw.etc / "user6.rules").unlink()
    facts = firewall.facts()
    assert facts["altered"] == {"before.rules": "changed", "user6.rules": "absent"}
    custom = firewall.client.look("firewall.ufw", "ufw", {"custom": ["before.rules"]})
    assert custom["altered"] == {"user6.rules": "absent"}
    assert "altered.before.rules" in firewall.put(policy())
    assert rules.read_text() == shipped


def test_packaged_files_that_were_edited_before_the_first_deploy_come_back(firewall: Firewall) -> None:
    rules = firewall.ufw.etc / "before.rules"
    mine = rules.read_text() + "# mine\n"
    rules.write_text(mine)
    error = firewall.refused(policy({}))
    assert (error.code, error.prop) == ("differs", "altered.before.rules")
    assert "+# mine" in error.detail or "-# mine" in error.detail
    firewall.put(policy(), adopt=True)
    assert "# mine" not in rules.read_text()
    firewall.remove(policy())
    assert rules.read_text() == mine


def test_settings_that_would_block_ipv6_or_flush_dockers_rules_are_drift(firewall: Firewall) -> None:
    firewall.put(policy())
    text = firewall.ufw.default.read_text()
    firewall.ufw.default.chmod(0o644)
    firewall.ufw.default.write_text(
        text.replace("IPV6=yes", "IPV6=no").replace("BUILTINS=no", 'BUILTINS="yes"')
    )
    assert firewall.put(policy()) == ["settings.IPV6", "settings.MANAGE_BUILTINS"]
    assert firewall.ufw.default.read_text() == text
    assert firewall.ufw.default.stat().st_mode & 0o777 == 0o644


def test_a_host_without_ipv6_has_rules_for_ipv4_only(firewall: Firewall) -> None:
    (firewall.ufw.proc_sys / "net" / "ipv6").rmdir()
    firewall.put(policy())
    assert firewall.rules() == {"in 80/tcp": "allow # web"}


def test_a_failed_command_is_shown_with_its_output(firewall: Firewall) -> None:
    firewall.ufw.fails = "ufw --force enable"
    error = firewall.refused(policy())
    assert (error.code, error.message) == ("ufw", "the command `ufw --force enable` failed")
    assert error.detail == "ERROR: problem running iptables"


def test_invalid_rule_files_are_unreadable_and_not_empty(firewall: Firewall) -> None:
    with (firewall.ufw.etc / "user.rules").open("a") as file:
        file.write("### tuple ### allow what\n")
    (found,) = firewall.client.ask(
        "survey", items=[{"kind": "firewall.ufw", "id": "ufw", "spec": {"custom": []}}], index=False
    )["items"]
    assert found["error"]["code"] == "unreadable"


# Preflight: whether the deploying machine could still log in

US, OTHERS = "203.0.113.7", "2001:db8::7"
ADMITTED = [
    {"rules": {}},  # the SSH server's rule allows it
    {"rules": {"in 80/tcp": "allow"}},
    {"rules": {"in any from 198.51.100.0/24": "deny"}},
    {"rules": {"in 443/tcp from 203.0.113.0/24": "deny"}},
    {"rules": {"in 2200:2300/tcp": "limit"}},
    {"rules": {"in any/udp": "deny"}},
    {"rules": {"out any": "deny"}},
    {"rules": {"in any to 192.0.2.99": "deny"}},  # another address of the host
    {"rules": {"in any on wg0": "deny"}},  # not known here: the fresh login decides
    {"rules": {"in any (v6)": "deny"}},
    {"rules": {"in any": "reject"}, "enabled": False},
    {"rules": {"route any": "deny"}},
    {"rules": {}, "defaults": {**DEFAULTS, "outgoing": "deny"}},
]
REFUSED = [
    {"rules": {"in any": "deny"}},
    {"rules": {"in 22/tcp from 203.0.113.0/24": "deny"}},
    {"rules": {"in any from 203.0.113.7": "reject"}},
    {"rules": {"in 20:30/tcp": "deny # old"}},
    {"rules": {"in any/tcp from 203.0.113.0/24": "limit"}},
    {"rules": {"in 22": "deny log"}},
    {"rules": {"in any to 192.0.2.1": "deny"}},
    {"rules": {"in any (v4)": "deny"}},
]


def found(kind: UfwPolicies) -> Any:
    (facts,) = kind.facts([(UfwPolicySpec([]), None)])
    assert isinstance(facts, UfwPolicyFacts)
    return facts


def preflight(firewall: Firewall, desired: Json, address: str = US) -> AgentError | None:
    kind = UfwPolicies(firewall.client.machine, Store(firewall.client.machine.state))
    server = "2001:db8::1" if ":" in address else "192.0.2.1"
    wanted, facts = kind.as_desired(desired), found(kind)
    steps = [*kind.plan(wanted, facts), Step("live", "gone", "ok", "reload")]
    return kind.preflight(wanted, facts, steps, Peer.parse(f"{address} 50000 {server} 22"))


@pytest.mark.parametrize("declared", ADMITTED, ids=str)
def test_a_policy_that_lets_the_deploying_machine_in_passes(firewall: Firewall, declared: Json) -> None:
    assert preflight(firewall, policy(**declared)) is None


@pytest.mark.parametrize("declared", REFUSED, ids=str)
def test_a_policy_that_would_lock_the_deploying_machine_out_is_refused(
    firewall: Firewall, declared: Json
) -> None:
    error = preflight(firewall, policy(**declared))
    assert error is not None
    assert error.code == "lock-out"
    assert f"{US} could not log in on port 22 any more: the rule in " in error.message
    (value,) = declared["rules"].values()
    how = "lets in only six connections per 30 s" if value == "limit" else "refuses it"
    assert error.message.endswith(f" ({value.split()[0]}) {how}")


def test_the_rule_of_the_ssh_server_lets_us_in_even_if_it_is_a_limit(bare: Firewall) -> None:
    bare.ufw.install()
    bare.ufw.run("ufw limit in proto tcp from any to any port 22 comment portcullis ssh")
    assert preflight(bare, policy()) is None


def test_preflight_needs_a_step_a_session_and_an_installed_ufw(firewall: Firewall) -> None:
    kind = UfwPolicies(firewall.client.machine, Store(firewall.client.machine.state))
    wanted, facts = kind.as_desired(policy({"in any": "deny"})), found(kind)
    steps, peer = [Step("live", "gone", "ok", "reload")], Peer.parse(f"{US} 50000 192.0.2.1 22")
    assert kind.preflight(wanted, facts, steps, peer) is not None
    assert kind.preflight(wanted, facts, [], peer) is None
    assert kind.preflight(wanted, facts, steps, None) is None
    absent = dataclasses.replace(facts, exists=False)
    assert kind.preflight(wanted, absent, steps, peer) is None
    assert kind.undo(wanted, absent, steps) is None


def test_closing_a_host_whose_ssh_rule_is_missing_is_refused(bare: Firewall) -> None:
    bare.ufw.install()
    error = preflight(bare, policy())
    assert error is not None
    assert error.code == "no-ssh-rule"
    assert "no rule lets it in, and the default for incoming packets is deny" in error.message
    assert preflight(bare, policy({"in 22/tcp from 203.0.113.0/24": "allow"})) is None
    assert preflight(bare, policy({"in 22/tcp on eth0": "allow"})) is None
    assert preflight(bare, policy(defaults={**DEFAULTS, "incoming": "allow"})) is None
    assert preflight(bare, policy(custom_files=["before.rules"])) is None
    assert preflight(bare, policy(custom_files=["after.rules"])) is not None
    assert preflight(bare, policy(), "127.0.0.1") is None


def test_after_the_ssh_server_moved_its_new_port_counts(bare: Firewall) -> None:
    """In the first `up` with another SSH port, the session began on port 22, and sshd has moved since."""
    bare.ufw.install()
    bare.ufw.run("ufw allow in proto tcp from any to any port 2222 comment portcullis ssh")
    assert preflight(bare, policy()) is None
    assert preflight(bare, policy(), OTHERS) is None
    for closed in ("in 2222/tcp", f"in any from {US}"):
        error = preflight(bare, policy({closed: "deny"}))
        assert error is not None
        assert error.code == "lock-out"
        assert f"{US} could not log in on port 2222 any more: the rule in " in error.message


def test_preflight_judges_each_family_separately(firewall: Firewall) -> None:
    firewall.ufw.run("ufw delete allow in proto tcp from ::/0 to any port 22")
    assert preflight(firewall, policy()) is None
    assert preflight(firewall, policy(), OTHERS) is not None
    assert preflight(firewall, policy({"in any (v4)": "deny"}), "::ffff:203.0.113.7") is not None


def test_a_change_that_cannot_lock_anybody_out_needs_no_undo(firewall: Firewall) -> None:
    refused = {"in 25/tcp": "deny", "in 26/tcp": "reject # no"}
    firewall.put(policy({**WEB, **refused}))
    kind = UfwPolicies(firewall.client.machine, Store(firewall.client.machine.state))
    facts = found(kind)

    def undo(desired: Json) -> Any:
        wanted = kind.as_desired(desired)
        return kind.undo(wanted, facts, kind.plan(wanted, facts))

    for harmless in (
        policy({"in 80/tcp": "allow # other", **refused}),
        policy({"in 80/tcp": "allow log # web", **refused}),
        policy({"in 80/tcp": "allow # web", "in 443/tcp": "allow", **refused}),
        policy(WEB),  # without the refusing rules
        policy({**WEB, "in 25/tcp": "allow", "in 26/tcp": "reject log"}),
        policy({**WEB, **refused}, logging="high"),
        policy({**WEB, **refused}, defaults={**DEFAULTS, "incoming": "allow", "routed": "reject"}),
        policy({**WEB, **refused}, enabled=False),
        policy({"in 22/tcp": "deny"}, enabled=False),
    ):
        assert undo(harmless) is None
    for change in (
        policy(refused),
        policy({**WEB, "in 25/tcp": "reject", "in 26/tcp": "reject # no"}),
        policy({"in 80/tcp": "limit", **refused}),
        policy({**WEB, **refused, "in 27/tcp": "limit"}),
        policy({**WEB, **refused}, defaults={**DEFAULTS, "incoming": "reject"}),
        policy({**WEB, **refused}, settings={**SETTINGS, "IPV6": "no"}),
    ):
        done = undo(change)
        assert done.commands == (("ufw", "reload"),)
        packaged = (
            "after.init",
            "after.rules",
            "after6.rules",
            "before.init",
            "before.rules",
            "before6.rules",
        )
        own = ("ufw.conf", "user.rules", "user6.rules")
        assert set(done.paths) == {
            str(firewall.ufw.default), *(str(firewall.ufw.etc / name) for name in (*packaged, *own)),
        }  # fmt: skip


def test_switching_ufw_on_can_lock_somebody_out(firewall: Firewall) -> None:
    firewall.put(policy())
    firewall.ufw.run("ufw disable")
    kind = UfwPolicies(firewall.client.machine, Store(firewall.client.machine.state))
    wanted, facts = kind.as_desired(policy()), found(kind)
    steps = kind.plan(wanted, facts)
    assert [step.prop for step in steps] == ["enabled"]
    done = kind.undo(wanted, facts, steps)
    assert done is not None
    assert done.commands == (("ufw", "--force", "disable"),)


def test_the_undo_restores_the_kernel(firewall: Firewall) -> None:
    kind = UfwPolicies(firewall.client.machine, Store(firewall.client.machine.state))

    def commands() -> Any:
        facts = found(kind)
        desired = kind.as_desired(policy({"in 81/tcp": "deny"}))
        done = kind.undo(desired, facts, kind.plan(desired, facts))
        assert done is not None
        return done.commands

    assert commands() == (("ufw", "--force", "disable"),)
    firewall.put(policy())
    assert commands() == (("ufw", "reload"),)
    # ufw is on, but flushed by hand. The session may depend on that, and a reload would lock it out.
    firewall.ufw.kernel["4"] = ""
    assert commands() == (("/lib/ufw/ufw-init", "force-stop"),)


FORCE_STOP, RELOAD = (("/lib/ufw/ufw-init", "force-stop"),), (("ufw", "reload"),)


def undone_from(firewall: Firewall, address: str, desired: Json | None = None) -> Any:
    server = "2001:db8::1" if ":" in address else "192.0.2.1"
    peer = Peer.parse(f"{address} 50000 {server} 22")
    kind = UfwPolicies(
        dataclasses.replace(firewall.client.machine, peer=peer), Store(firewall.client.machine.state)
    )
    facts = found(kind)
    wanted = kind.as_desired(desired or policy({"in 81/tcp": "limit"}))
    done = kind.undo(wanted, facts, kind.plan(wanted, facts))
    assert done is not None
    return done.commands


@pytest.mark.parametrize("address", [US, OTHERS, "127.0.0.1"])
def test_after_an_extra_rule_in_the_kernel_the_undo_does_not_leave_the_host_open(
    firewall: Firewall, address: str
) -> None:
    firewall.put(policy())
    firewall.ufw.run("iptables -I INPUT -s 192.0.2.66/32 -j ACCEPT")
    assert "bypasses ufw" in firewall.facts()["live"]
    assert undone_from(firewall, address) == RELOAD


def test_the_undo_leaves_the_host_open_if_its_files_would_refuse_the_deploying_machine(
    firewall: Firewall,
) -> None:
    firewall.put(policy())
    firewall.ufw.run(f"iptables -I INPUT -s {US}/32 -j ACCEPT")
    firewall.ufw.run("ufw delete allow in proto tcp from any to any port 22")
    assert undone_from(firewall, US) == FORCE_STOP
    firewall.ufw.run("ufw allow in on eth0 proto tcp from any to any port 22")
    assert undone_from(firewall, US) == FORCE_STOP  # the interface of the session is not known
    firewall.ufw.run("ufw allow in proto tcp from any to any port 20:30")
    assert undone_from(firewall, US) == RELOAD
    firewall.ufw.run("ufw insert 1 deny in from 203.0.113.0/24 to any")
    assert undone_from(firewall, US) == FORCE_STOP
    before = firewall.ufw.etc / "before6.rules"
    assert undone_from(firewall, OTHERS) == RELOAD
    before.write_text(before.read_text() + "# and who knows what\n")
    assert undone_from(firewall, OTHERS) == FORCE_STOP


def test_a_flushed_kernel_stays_open_even_if_the_files_let_us_in(firewall: Firewall) -> None:
    """A reload of ufw would close INPUT without adding the jumps to ufw's chains, so nobody could log in."""
    firewall.put(policy())
    lines = firewall.ufw.kernel["4"].splitlines()
    firewall.ufw.kernel["4"] = "\n".join(line for line in lines if not line.startswith("-A")).replace(
        ":INPUT DROP", ":INPUT ACCEPT"
    )
    assert undone_from(firewall, US) == FORCE_STOP


@pytest.mark.parametrize("was", ["on", "off", "not installed"])
def test_only_a_removal_that_leaves_ufw_on_needs_an_undo(bare: Firewall, was: str) -> None:
    if was != "not installed":
        bare.ufw.install()
        bare.ufw.run("ufw allow in proto tcp from any to any port 22 comment portcullis ssh")
    if was == "on":
        bare.ufw.run("ufw enable")
    if was == "not installed":
        bare.ufw.install()
    bare.put(policy(), adopt=True)
    removal = {"owner": bare.client.owner, "guard": 60}
    done = bare.client.on("remove", "firewall.ufw", "ufw", policy(), **removal)
    assert ("guard" in done) is (was == "on")
    if was == "on":
        assert bare.rules() == {}
        assert bare.client.ask("rollback", guard=done["guard"])["failed"] == []
        assert "in 80/tcp" in bare.rules()


def test_the_undo_of_a_removal_loads_the_kept_rules(firewall: Firewall) -> None:
    firewall.ufw.run("ufw enable")
    firewall.put(policy(), adopt=True)
    store = Store(firewall.client.machine.state)
    kind = UfwPolicies(firewall.client.machine, store)
    record = store.load("firewall.ufw", "ufw")
    assert record is not None
    undo = kind.undo_removal(kind.as_desired(policy()), record, found(kind))
    assert undo is not None
    assert undo.commands == RELOAD
    assert str(firewall.ufw.etc / "user.rules") in undo.paths
    absent = dataclasses.replace(found(kind), exists=False)
    assert kind.undo_removal(kind.as_desired(policy()), record, absent) is None
