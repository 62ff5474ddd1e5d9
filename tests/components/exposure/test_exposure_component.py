"""Tests which open ports a whole host declares, and which settings and arguments are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components import ExposureArgs, FirewallArgs, HostExposure, RuleArgs
from portcullis.components.host.stack import load
from portcullis.config.faults import ArgumentsError, SettingsError
from portcullis.host import Host
from tests.components.host.test_stores_of_a_host import DIGEST, host
from tests.config.test_settings import smallest
from tests.previews import unknown_in
from tests.recording_engine import Engine, declare

if TYPE_CHECKING:
    from tests.recording_engine import Deploy

IMAGE = f"ghcr.io/acme/api@sha256:{'a' * 64}"


def full(**of_host: Any) -> dict[str, Any]:
    config = smallest()
    config["hosts"]["web1"] |= {"port": 2222, **of_host}
    config["stores"] = {
        "redis": {"image": f"redis:8{DIGEST}"},
        "mongo": {"image": f"mongo:8{DIGEST}", "databases": {"shop": {}}},
    }
    config["apps"]["shop"] = {"image": IMAGE, "port": 80, "health": "/", "uses": ["redis"]}
    config["apps"]["worker"] = {"image": IMAGE, "healthCommand": ["true"]}
    config["sites"]["shop.example.com"] = {"app": "shop"}
    return config


def exposed(config: dict[str, Any]) -> dict[str, Any]:
    return up(config).one(":Exposure").inputs


def up(config: dict[str, Any]) -> Engine:
    return declare(lambda: host(config), preview=False)


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The full stack, declared once for all tests that only read it."""
    return up(full())


def test_a_full_stack(engine: Engine) -> None:
    found = engine.one(":Exposure").inputs
    assert found["listeners"] == {
        "tcp4 0.0.0.0:80": "nginx.service", "tcp6 [::]:80": "nginx.service",
        "tcp4 0.0.0.0:443": "nginx.service", "tcp6 [::]:443": "nginx.service",
        "tcp4 0.0.0.0:2222": "ssh.service", "tcp6 [::]:2222": "ssh.service",
    }  # fmt: skip
    assert found["published"] == {
        "tcp4 172.17.0.1:2019": 'container "api"',
        "tcp4 172.17.0.1:6379": 'container "redis"',
        "tcp4 172.17.0.1:27017": 'container "mongo"',
        "tcp4 172.17.0.1:28000-28999 for shop": 'container "shop"',
    }
    assert set(found["passes"]) == {f"tcp{family} {port}" for family in "46" for port in (80, 443, 2222)}
    assert set(found["networks"]) == {
        "api",
        "shop",
        "worker",
        "redis",
        "mongo",
        "redis-shared",
        "mongo-shared",
    }
    assert found["accepted"] == {}
    assert "udp 68 by dhclient" in found["usual"]


def test_every_network_and_every_port_of_docker_is_declared(engine: Engine) -> None:
    made = {network.inputs["name"] for network in engine.of("network:Network")}
    assert set(engine.one(":Exposure").inputs["networks"]) == made
    ports = {
        int(port["external"])
        for container in engine.of("container:Container")
        for port in container.inputs.get("ports", [])
    }
    fixed = {key.rpartition(":")[2] for key in engine.one(":Exposure").inputs["published"]}
    released = 20001  # the port that the recording engine gives to a release
    assert {str(port) for port in ports - {released}} == {port for port in fixed if port.isdigit()}


def test_the_settings_of_ufw_and_the_filter_are_declared_as_passes() -> None:
    firewall = {
        "allow": {"51820/udp": {}, "5432/tcp": {"from": ["203.0.113.0/24"]}},
        "public": {"8000:8010/tcp": {}},
    }
    found = exposed(full(firewall=firewall))
    assert found["passes"]["udp6 51820"] == "anywhere"
    assert found["passes"]["tcp4 5432"] == "203.0.113.0/24"
    assert "tcp6 5432" not in found["passes"]
    assert found["passes"]["tcp4 8000-8010"] == found["passes"]["tcp4 8000-8010 to containers"] == "anywhere"
    assert found["usual"]["udp 51820 by *"] == "firewall.allow opens it"
    assert found["usual"]["published tcp 8000-8010 by *"] == "firewall.public opens it"
    assert "tcp 443 by *" not in found["usual"], "nginx alone may listen there"


def test_a_host_without_sites_and_docker_of_another_address() -> None:
    config = full(dockerEngine={"bip": "10.200.0.1/24"}) | {"sites": {}}
    found = exposed(config)
    assert set(found["listeners"]) == {"tcp4 0.0.0.0:2222", "tcp6 [::]:2222"}
    assert "tcp4 10.200.0.1:6379" in found["published"]
    assert not [key for key in found["published"] if " for " in key]


def test_the_host_is_read_after_everything_else(engine: Engine) -> None:
    before = engine.before("web1-exposure-found")
    assert before >= {"web1-firewall-policy", "web1-firewall-forward", "web1-ssh-server", "api-state"}
    assert "web1-nginx-served" in before


def test_accepted_keys_reach_the_resource() -> None:
    accept = {"udp4 0.0.0.0:5353": "mDNS", "network monitoring": "grafana"}
    assert exposed(full(exposure={"accept": accept}))["accepted"] == accept


def test_an_accepted_key_is_not_declared_as_well(engine: Engine) -> None:
    plain = engine.one(":Exposure").inputs
    accept = dict.fromkeys(
        ("tcp6 [::]:80", "tcp4 172.17.0.1:28000-28999 for shop", "tcp6 443", "network worker"), "x"
    )
    found = exposed(full(exposure={"accept": accept}))
    gone = [set(plain[name]) - set(found[name]) for name in ("listeners", "published", "passes", "networks")]
    assert gone == [
        {"tcp6 [::]:80"}, {"tcp4 172.17.0.1:28000-28999 for shop"}, {"tcp6 443"}, {"worker"},
    ]  # fmt: skip


def test_all_faults_of_accept_are_reported_at_once() -> None:
    accept = {"3306/tcp": "x", "tcp4 0.0.0.0:3306": "", "tcp4 0.0.0.0:3307": 'a "good" one: #1'}
    with pytest.raises(SettingsError) as caught:
        load(full(exposure={"accept": accept}))
    said = str(caught.value)
    assert "hosts.web1.exposure.accept" in said
    assert '"3306/tcp" is not something that a host exposes; copy the key from the preview' in said
    assert "is not a reason; write on one line why you accept it" in said
    assert "3307" not in said


def test_arguments_are_checked_where_they_are_made() -> None:
    with pytest.raises(ArgumentsError, match=r'ExposureArgs\.accept\.3306: "3306" is not something that'):
        ExposureArgs(accept={"3306": "x"})


def alone() -> HostExposure:
    firewall = FirewallArgs(allow={"5432/tcp": RuleArgs(from_=["203.0.113.0/24"])})
    return HostExposure("web1-exposure", ExposureArgs(), host=Host("web1"), firewall=firewall, web=True)


def test_alone(deploy: Deploy) -> None:
    found = deploy(alone).one(":Exposure").inputs
    assert found["published"] == {}
    assert found["passes"]["tcp4 5432"] == "203.0.113.0/24"
    assert found["passes"]["tcp4 443"] == "anywhere"
    assert "adopt" not in found


def test_a_preview_knows_everything() -> None:
    """test_stores_of_a_host.py tests the preview of a whole host."""
    assert unknown_in(alone) == set()
