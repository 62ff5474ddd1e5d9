"""Tests which inputs the firewall's component and provider give to the engine, their order and spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pulumi import ResourceOptions
from pulumi.output import Unknown

from portcullis.components import Firewall, FirewallArgs, RuleArgs
from portcullis.components.firewall.facts import UfwPolicyFacts
from portcullis.components.firewall.render import forward_filter
from portcullis.components.firewall.render.forward_filter import ForwardPolicy
from portcullis.components.firewall.resource.ufw_policy import UfwPolicyProvider
from portcullis.host import Host
from portcullis.resources import Packages
from tests.previews import unknown_in

if TYPE_CHECKING:
    from tests.recording_engine import Deploy

OWNER = "urn:pulumi:lab::web::portcullis:index:UfwPolicy::web1-firewall-policy"
SHOULD = {
    "settings": {"IPV6": "yes", "IPT_SYSCTL": "/etc/ufw/sysctl.conf", "MANAGE_BUILTINS": "no"},
    "altered": {},
    "order": "ok",
    "live": "ok",
}


WIRING = ("web", "ssh_port", "bind_address", "egress", "opts")


def firewall(**args: Any) -> Firewall:
    wiring = {"web": True} | {name: args.pop(name) for name in WIRING if name in args}
    return Firewall("web1-firewall", FirewallArgs(**args), host=Host("web1"), **wiring)


def test_by_default_only_the_web_is_open_besides_ssh(deploy: Deploy) -> None:
    engine = deploy(firewall)
    policy = engine.one(":UfwPolicy").inputs
    assert policy["rules"] == {"in 80/tcp": "allow # HTTP and certificates", "in 443/tcp": "allow # HTTPS"}
    assert policy["enabled"] is True
    assert policy["logging"] == "low"
    assert set(engine.one(":Packages").inputs["packages"]) == {"nftables", "ufw"}
    assert engine.one(":File").inputs["path"] == "/etc/ufw/sysctl.conf"
    service = engine.one(":Service").inputs
    assert (service["unit"], service["enabled"], service["active"]) == ("ufw.service", "enabled", "active")
    assert {r.parent for r in engine.declared if r.name.startswith("web1-firewall-")} == {"web1-firewall"}


def test_each_rule_has_its_reason_as_comment(deploy: Deploy) -> None:
    reports = RuleArgs(from_=["203.0.113.0/24", "2001:db8::/32"])
    rules = {
        "allow": {"5432/tcp": reports, "25/tcp": RuleArgs()},
        "deny": {"any from 198.51.100.9": "", "123/udp": "no clock"},
    }
    assert deploy(lambda: firewall(**rules, web=False)).one(":UfwPolicy").inputs["rules"] == {
        "in 5432/tcp from 203.0.113.0/24": "allow # from the settings",
        "in 5432/tcp from 2001:db8::/32": "allow # from the settings",
        "in 25/tcp": "allow # from the settings",
        "in any from 198.51.100.9": "deny",
        "in 123/udp": "deny # no clock",
    }


def test_the_policy_comes_after_the_resource_that_opens_ssh(deploy: Deploy) -> None:
    def program() -> None:
        ssh = Packages("ssh", host="web1", names=["openssh-server"])
        firewall(opts=ResourceOptions(depends_on=[ssh]))

    engine = deploy(program)
    assert engine.before("web1-firewall-policy") >= {
        "ssh",
        "web1-firewall-packages",
        "web1-firewall-sysctl.conf",
    }
    assert "web1-firewall-policy" in engine.before("web1-firewall-service")


def test_containers_are_closed_by_default(deploy: Deploy) -> None:
    engine = deploy(firewall)
    found = engine.one(":ForwardFilter").inputs
    assert found["table"] == forward_filter.table(ForwardPolicy())
    assert f"\n{found['table']}" in found["file"]
    assert found["boot"] == "enabled"
    assert engine.before("web1-firewall-forward") == {"web1-firewall-packages"}


def test_a_public_port_of_a_container_is_open_in_ufw_and_in_the_forward_filter(deploy: Deploy) -> None:
    office = RuleArgs(from_=["203.0.113.0/24", "2001:db8::/32"])
    public = {"8443/tcp": RuleArgs(), "9000:9010/udp": office}
    engine = deploy(lambda: firewall(public=public, web=False, bind_address="10.200.0.1", outside=["vmbr0"]))
    assert engine.one(":UfwPolicy").inputs["rules"] == dict.fromkeys(
        ["in 8443/tcp", "in 9000:9010/udp from 203.0.113.0/24", "in 9000:9010/udp from 2001:db8::/32"],
        "allow # published by a container",
    )
    table = engine.one(":ForwardFilter").inputs["table"]
    assert table == forward_filter.table(
        ForwardPolicy("10.200.0.1", {"8443/tcp": [], "9000-9010/udp": office.from_}, {}, ["vmbr0"])
    )


def test_the_forward_filter_closes_docker_proxys_ports_without_ufw(deploy: Deploy) -> None:
    office = RuleArgs(from_=["203.0.113.0/24", "2001:db8::/32"])
    allow = {"60000:61000/udp": office, "25/tcp": RuleArgs()}
    engine = deploy(lambda: firewall(allow=allow, public={"8443/tcp": RuleArgs()}, ssh_port=2222))
    table = engine.one(":ForwardFilter").inputs["table"]
    host = {"2222/tcp": [], "25/tcp": [], "80/tcp": [], "443/tcp": [], "60000-61000/udp": office.from_}
    assert table == forward_filter.table(ForwardPolicy(public={"8443/tcp": []}, host=host))
    chain = table.partition("chain input {")[2]
    for line in ("tcp dport 2222 accept", "ip6 saddr 2001:db8::/32 udp dport 60000-61000 accept",
                 "tcp dport 8443 accept",
                 'meta l4proto tcp counter drop comment "docker-proxy may serve this port"',
                 'meta l4proto udp counter drop comment "docker-proxy may serve this port"'):  # fmt: skip
        assert f"\t\t{line}\n" in chain
    # Without a known port of SSH, the filter closes no port of the host.
    engine = deploy(lambda: firewall(allow=allow))
    assert "chain input" not in engine.one(":ForwardFilter").inputs["table"]


def test_one_error_names_all_faults_of_the_settings() -> None:
    with pytest.raises(ValueError, match="FirewallArgs") as caught:
        FirewallArgs(
            allow={"https/tcp": RuleArgs()}, deny={"1.2.3": "", "25/tcp": "it's"}, logging="much",
            public={"8443": RuleArgs()}, outside=["docker0"],
        )  # fmt: skip
    lines = str(caught.value).splitlines()
    for part, line in zip(
        ("allow.https/tcp: ", "deny.1.2.3: ", "deny.25/tcp: ", "public.8443: ", "outside[0]: ", "logging: "),
        lines,
        strict=True,
    ):
        assert line.startswith(f"FirewallArgs.{part}"), lines
    assert "cannot be the comment" in lines[2]


def test_one_error_names_all_faults_of_the_other_arguments(deploy: Deploy) -> None:
    egress = {"shop0": ["x"], "a b": ["*:53/udp"]}
    with pytest.raises(ValueError, match="Firewall") as caught:
        deploy(lambda: firewall(bind_address="docker0", egress=egress))
    lines = str(caught.value).splitlines()
    assert [line.partition(" '")[0] for line in lines] == [
        "Firewall.bind_address:", "Firewall.egress:", "Firewall.egress.shop0:",
    ]  # fmt: skip


def check(**inputs: Any) -> Any:
    return UfwPolicyProvider().check({}, {"host": "web1", "managed_by": OWNER, "logging": "low", **inputs})


def test_check_normalises_the_spelling() -> None:
    checked = check(
        rules={"https/tcp from 203.0.113.5/24": "allow", "in on docker0 53/udp": "deny   log # x"},
        defaults={"outgoing": "reject"},
    )
    assert checked.failures == []
    assert checked.inputs == {
        "host": "web1", "managed_by": OWNER, "logging": "low", "enabled": True,
        "defaults": {"incoming": "deny", "outgoing": "reject", "routed": "deny"},
        "rules": {"in 443/tcp from 203.0.113.0/24": "allow", "in 53/udp on docker0": "deny log # x"},
        **SHOULD,
    }  # fmt: skip
    assert UfwPolicyProvider().check({}, checked.inputs).inputs == checked.inputs


def test_check_names_every_fault() -> None:
    checked = check(
        logging="loud",
        defaults={"incoming": "maybe", "inward": "deny"},
        rules={
            "443/tcp": "allow", "in https/tcp": "deny", "in 80/tcp": "open",
            "25/tcp (v4)": "deny", "25/tcp": "deny",
        },
        custom_files=["user.rules"],
    )  # fmt: skip
    assert [failure.property for failure in checked.failures] == [
        "logging", "defaults", "defaults", "rules", "rules", "rules", "custom_files",
    ]  # fmt: skip
    reasons = " ".join(failure.reason for failure in checked.failures)
    for part in ("loud", "maybe", "inward", "declared twice", "'open' does not begin", "IPv4 and IPv6"):
        assert part in reasons


def test_check_accepts_values_that_a_preview_does_not_know() -> None:
    assert check(rules={"in 80/tcp": Unknown()}).failures == []
    assert check(rules=Unknown(), defaults=Unknown()).failures == []


def test_facts_have_the_same_form_as_inputs() -> None:
    facts = {
        "exists": True, "enabled": True, "logging": "low", "defaults": {},
        "rules": {"in 80/tcp (v4)": "deny"}, **SHOULD,
    }  # fmt: skip
    live = UfwPolicyProvider().live_inputs(UfwPolicyFacts(**facts))
    assert live == {key: value for key, value in facts.items() if key != "exists"}
    assert UfwPolicyProvider().absent_inputs() == {"enabled": False, "rules": {}, "live": "<absent>"}
    item = UfwPolicyProvider().item({**check().inputs, "custom_files": ["before.rules"]})
    assert (item.kind, item.id, item.spec) == ("firewall.ufw", "ufw", {"custom": ["before.rules"]})


def test_a_preview_has_no_unknown_inputs() -> None:
    assert (
        unknown_in(lambda: firewall(public={"8443/tcp": RuleArgs()}, deny={"any from 198.51.100.9": ""}))
        == set()
    )
