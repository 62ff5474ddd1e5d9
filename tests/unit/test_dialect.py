"""The table of versions, and what follows from it."""

from __future__ import annotations

import pytest

from portcullis.render.dialect import DIALECTS
from portcullis.settings import forms


@pytest.mark.parametrize(
    ("property_", "where"),
    [
        ("dockerd_validates", {"debian-13", "ubuntu-22.04", "ubuntu-24.04"}),
        ("network_defaults", {"debian-13", "ubuntu-22.04", "ubuntu-24.04"}),
        ("docker_drops_direct_access", {"ubuntu-22.04", "ubuntu-24.04"}),
        ("docker_firewall_backend", {"ubuntu-22.04", "ubuntu-24.04"}),
        ("required_rsa_size", {"debian-12", "debian-13", "ubuntu-24.04"}),
        ("sshd_session", {"debian-13"}),
        ("source_penalties", {"debian-13"}),
        ("rejects_handshakes", {"debian-12", "debian-13", "ubuntu-24.04"}),
        ("http2_directive", {"debian-13"}),
    ],
)
def test_what_a_version_brings(property_: str, where: set[str]) -> None:
    assert {os for os, dialect in DIALECTS.items() if getattr(dialect, property_)} == where


def test_docker_filters_ipv6_by_itself_only_since_27() -> None:
    assert {os: dialect.ip6tables for os, dialect in DIALECTS.items()} == {
        "debian-12": "experimental",
        "debian-13": "experimental",
        "ubuntu-22.04": "default",
        "ubuntu-24.04": "default",
    }


def test_only_noble_starts_sshd_from_a_socket() -> None:
    assert {os: dialect.ssh_socket for os, dialect in DIALECTS.items() if dialect.ssh_socket != "none"} == {
        "ubuntu-24.04": "generator"
    }


def test_sites_need_an_nginx_that_refuses_handshakes() -> None:
    assert set(forms.NO_SITES) == {os for os, dialect in DIALECTS.items() if not dialect.rejects_handshakes}


def test_what_is_refused_is_not_in_the_table() -> None:
    assert isinstance(forms.OS.refused, dict)
    assert not set(forms.OS.refused) & set(DIALECTS)
