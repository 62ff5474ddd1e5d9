"""Tests kernel settings: the declared resources, what a change does, and values that would break Docker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.components import KernelArgs, KernelSettings
from portcullis.components.containers.facts import PORTS
from portcullis.components.kernel.render import (
    DEFAULTS,
    FIRST_USER_PORT,
    PORT_START,
    refusal,
    settings,
    sysctl_conf,
)
from portcullis.host import Host
from tests.previews import unknown_in

if TYPE_CHECKING:
    from tests.recording_engine import Deploy


def test_component(deploy: Deploy) -> None:
    engine = deploy(lambda: KernelSettings("web1-kernel", KernelArgs(), host=Host("web1", adopt=True)))
    found = engine.one(":Sysctl")
    assert found.inputs["path"] == "/etc/sysctl.d/99-zz-portcullis.conf"
    assert found.inputs["values"] == DEFAULTS
    assert found.inputs["overridden"] == {}
    assert "kernel.yama.ptrace_scope" in found.inputs["optional"]
    assert "-kernel.yama.ptrace_scope = 2\n" in found.inputs["content"]
    assert found.inputs["adopt"] is True
    assert found.parent == "web1-kernel"
    assert "web1-kernel-sysctl" in found.inputs["content"]


def test_a_host_in_a_container_manages_only_its_own_network_settings(deploy: Deploy) -> None:
    engine = deploy(lambda: KernelSettings("k", KernelArgs(only=["net.ipv4."]), host=Host("web1")))
    values = engine.one(":Sysctl").inputs["values"]
    assert values
    assert all(key.startswith("net.ipv4.") for key in values)


def test_the_file_holds_exactly_the_declared_settings() -> None:
    values = settings({"vm.swappiness": "10"})
    lines = [
        line.split(" = ") for line in sysctl_conf("r", values).splitlines() if "=" in line and line[0] != "#"
    ]
    assert {key.lstrip("-"): value for key, value in lines} == values


def test_a_change_applies_to_present_and_future_interfaces() -> None:
    changed = settings({"net.ipv4.conf.all.rp_filter": "2"})
    assert {changed[f"net.ipv4.conf.{which}.rp_filter"] for which in ("all", "default", "*")} == {"2"}
    left_out = settings({"net.ipv4.conf.all.rp_filter": None})
    assert not [key for key in left_out if "rp_filter" in key]
    own = settings({"net.ipv4.conf.all.rp_filter": "2", "net.ipv4.conf.*.rp_filter": "0"})
    assert own["net.ipv4.conf.*.rp_filter"] == "0"


def test_a_usual_hop_limit_is_accepted() -> None:
    far = {"net.ipv4.ip_default_ttl": "64", "net.ipv6.conf.all.hop_limit": "32"}
    assert KernelArgs(values=far).values == far


def test_local_users_cannot_take_any_port_that_a_container_may_use() -> None:
    assert PORT_START == "net.ipv4.ip_unprivileged_port_start"
    assert DEFAULTS[PORT_START] == str(FIRST_USER_PORT)
    assert max(PORTS) < FIRST_USER_PORT
    # ip(7): a program that asks for any free port gets this port or a higher one. The kernel refuses a
    # greater value.
    assert FIRST_USER_PORT == 32768
    assert PORT_START not in settings({PORT_START: None})


def test_no_default_breaks_docker() -> None:
    assert not [key for key, value in DEFAULTS.items() if refusal(key, value)]
    learns = [key for key in DEFAULTS if key.endswith((".forwarding", "ip_forward", ".accept_ra"))]
    assert learns == ["net.ipv6.conf.<static>.accept_ra"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("net.ipv4.ip_forward", "0"),
        ("net.ipv4.conf.all.forwarding", "0"),
        ("net.ipv6.conf.all.forwarding", "0"),
        ("net.ipv6.conf.default.accept_ra", "0"),
        ("net.ipv6.conf.eth0.autoconf", "0"),
        ("user.max_user_namespaces", "0"),
        ("net.bridge.bridge-nf-call-iptables", "0"),
        ("net.ipv4.conf.docker0.route_localnet", "1"),
        ("kernel.modules_disabled", "1"),
        ("net.ipv4.ip_default_ttl", "1"),
        ("net.ipv4.ip_default_ttl", "31"),
        ("net.ipv6.conf.all.hop_limit", "2"),
        ("net.ipv6.conf.eth0.hop_limit", "0"),
    ],
)
def test_a_value_that_would_break_docker_is_refused_with_the_reason(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=rf'KernelArgs.values.{key}: "{value}" would break this host: '):
        KernelArgs(values={key: value})


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"values": {"net.ipv4.conf.all.accept_redirects": "1"}}, "would not last: the firewall sets 0"),
        ({"values": {"a;b": "1"}}, "is not a kernel setting"),
        ({"values": {"vm.swappiness": "1\n2"}}, "is not a value of a kernel setting"),
        ({"values": {"kernel.sysrq": "4"}, "only": ("net.",)}, "is not managed: only lists net."),
        ({"only": ("nothing.",)}, r'only: \["nothing."\] matches none of our settings'),
        (
            {"values": {"net.ipv4.ip_unprivileged_port_start": "1024"}},
            "would let local users listen on containers' ports below 32768",
        ),
        ({"values": {"net.ipv4.ip_unprivileged_port_start": "many"}}, "would let local users listen on"),
        (
            {"values": {"net.ipv4.ip_local_port_range": "1024 65535"}},
            'values.net.ipv4.ip_local_port_range: "1024 65535" begins below 32768',
        ),
    ],
)
def test_arguments_are_checked_where_they_are_made(args: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        KernelArgs(**args)


@pytest.mark.parametrize(
    "values",
    [
        {"net.ipv4.ip_local_port_range": "32768 65535"},
        {"net.ipv4.ip_local_port_range": "1024 65535", "net.ipv4.ip_unprivileged_port_start": None},
        {"net.ipv4.ip_local_port_range": "40000 65535", "net.ipv4.ip_unprivileged_port_start": "40000"},
    ],
)
def test_the_port_range_may_begin_where_ports_for_local_users_begin(
    values: dict[str, str | None],
) -> None:
    assert KernelArgs(values=values).values == values


def test_a_preview_has_no_unknown_inputs() -> None:
    assert unknown_in(lambda: KernelSettings("k", KernelArgs(), host=Host("web1"))) == set()
