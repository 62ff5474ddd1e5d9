"""Tests the table of package versions, and which features follow from a version."""

from __future__ import annotations

import pytest

from portcullis.components.nginx.args import NO_SITES
from portcullis.config.forms import Os
from portcullis.dialect import DIALECTS


@pytest.mark.parametrize(
    ("property_", "where"),
    [
        ("dockerd_validates", {"debian-13", "ubuntu-22.04", "ubuntu-24.04"}),
        ("network_defaults", {"debian-13", "ubuntu-22.04", "ubuntu-24.04"}),
        ("docker_firewall_backend", {"ubuntu-22.04", "ubuntu-24.04"}),
        ("required_rsa_size", {"debian-12", "debian-13", "ubuntu-24.04"}),
        ("source_penalties", {"debian-13"}),
        ("rejects_handshakes", {"debian-12", "debian-13", "ubuntu-24.04"}),
    ],
)
def test_the_features_of_a_version(property_: str, where: set[str]) -> None:
    assert {os for os, dialect in DIALECTS.items() if getattr(dialect, property_)} == where


def test_sites_need_an_nginx_that_refuses_handshakes() -> None:
    assert set(NO_SITES) == {"ubuntu-22.04"}
    assert "nginx 1.18.0 cannot refuse TLS" in NO_SITES["ubuntu-22.04"]


def test_refused_systems_are_not_in_the_table() -> None:
    (choice,) = Os.__metadata__
    assert choice.refused
    assert not set(choice.refused) & set(DIALECTS)
