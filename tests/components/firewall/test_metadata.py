from __future__ import annotations

import ipaddress

import pytest

from portcullis.components.firewall import metadata
from portcullis.components.firewall.render.forward_filter import ForwardPolicy, table


def test_nine_clouds_have_a_source_for_each_address() -> None:
    assert len({service.cloud for service in metadata.SERVICES}) == 9
    assert all(service.source.startswith("https://") for service in metadata.SERVICES)


@pytest.mark.parametrize("service", metadata.SERVICES, ids=lambda s: f"{s.cloud} {s.address}")
def test_every_address_is_dropped_once_but_for_dns_and_ntp(service: metadata.Service) -> None:
    asked = ipaddress.ip_network(service.address)
    drops = [
        line.split()
        for line in table(ForwardPolicy()).partition("chain containers")[2].splitlines()
        if " th dport != 53 th dport != 123 counter drop" in line
    ]
    closed = [ipaddress.ip_network(words[2]) for words in drops]
    covering = [net for net in closed if net.version == asked.version and asked.subnet_of(net)]  # type: ignore[arg-type]
    assert len(covering) == 1


@pytest.mark.parametrize("service", metadata.SERVICES, ids=lambda s: f"{s.cloud} {s.address}")
def test_users_of_the_host_are_refused_at_every_address_once(service: metadata.Service) -> None:
    asked = ipaddress.ip_network(service.address)
    words = [
        line.split()
        for line in table(ForwardPolicy()).partition("chain output")[2].splitlines()
        if "tcp dport != 53 counter reject" in line
    ]
    assert {tuple(line[:3]) for line in words} == {("meta", "skuid", "!=")}
    closed = [ipaddress.ip_network(line[6]) for line in words]
    assert len([net for net in closed if net.version == asked.version and asked.subnet_of(net)]) == 1  # type: ignore[arg-type]


def test_a_setting_lets_users_reach_the_metadata() -> None:
    assert "skuid" not in table(ForwardPolicy(metadata_for_users=True))
