"""Tests the lab's certificate authorities.

A host can have several, they can restart, and they end with the host.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from lab import machine, registry, stack
from lab.acme import AcmeServer, stop
from lab.state import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.pytest_lab import Host


def directory(acme: AcmeServer, trust: ssl.SSLContext) -> str:
    with urlopen(acme.directory, timeout=5, context=trust) as answer:  # noqa: S310 - an address of the lab
        text: str = answer.read().decode()
    return text


def test_an_authority_speaks_acme_and_is_trusted_by_the_labs_root(acme: AcmeServer) -> None:
    assert "newOrder" in directory(acme, ssl.create_default_context(cafile=str(acme.bundle)))
    assert acme.roots().startswith("-----BEGIN CERTIFICATE-----")


def test_two_of_one_host_run_side_by_side_with_roots_of_their_own(acme: AcmeServer) -> None:
    second = AcmeServer(acme.record, 1)
    second.start()
    assert second.directory != acme.directory
    assert second.roots() != acme.roots()
    second.stop()
    with pytest.raises(URLError):
        directory(second, registry.trust())
    assert directory(acme, registry.trust())


def test_one_that_was_stopped_is_the_same_address_and_a_new_root(acme: AcmeServer) -> None:
    address, roots = acme.directory, acme.roots()
    acme.stop()
    acme.start()
    assert acme.directory == address
    assert acme.roots() != roots


def test_a_host_that_goes_leaves_those_of_one_that_is_called_like_it() -> None:
    state = State(acme={"acme-nobody-0": [], "acme-nobody-1": [], "acme-nobody-1-0": []})
    stop(state, "nobody")
    assert list(state.acme) == ["acme-nobody-1-0"]


def test_a_name_can_be_pointed_elsewhere_and_back(acme: AcmeServer) -> None:
    acme.point("www.example.com", v4=("198.51.100.66",), v6=("2001:db8:100::66",))
    acme.point_back("www.example.com")


def test_the_stack_file_learns_its_directory_and_root(acme: AcmeServer) -> None:
    assert stack.fact(f"acme directory of {acme.record.name}") == acme.directory
    assert stack.fact("authority") == str(acme.bundle)


def test_it_goes_with_its_host_and_leaves_no_log(make_host: Callable[[], Host]) -> None:
    host = make_host()
    acme = AcmeServer(host.record)
    acme.start()
    assert any(acme.name in found for found in machine.leftovers())
    machine.down([host.name])
    assert not any(acme.name in found for found in machine.leftovers())
    assert acme.log == ""
