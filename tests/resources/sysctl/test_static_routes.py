"""A host with static IPv6 ignores router advertisements. A host that learns its IPv6 still accepts them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from portcullis.resources.sysctl.facts import STATIC
from portcullis.resources.sysctl.on_host import static_routes
from tests.resources.sysctl.test_sysctls import Kernel, kernel

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["kernel"]

HEARS = f"net.ipv6.conf.{STATIC}.accept_ra"
OURS = {HEARS: "0"}
ZERO = "0" * 32
CONFIGURED, LEARNED, REJECTED = "00000003", "00450003", "00200200"
ADDRESS = "20010db8000000000000000000000001 02 40 {scope} {flags} {name}\n"


def default(name: str, flags: str, gateway: str = "fe800000000000000000000000000001") -> str:
    return f"{ZERO} 00 {ZERO} 00 {gateway} 00000400 00000001 00000000 {flags} {name:>8}\n"


def network(root: Path, *routes: str, address: str = "80", scope: str = "00", name: str = "eth0") -> Path:
    net = root / "net"
    net.mkdir(exist_ok=True)
    others = f"20010db8{ZERO[8:]} 40 {ZERO} 00 {ZERO} 00000100 00000001 00000000 00000001 {name:>8}\n"
    (net / "ipv6_route").write_text(others + "".join(routes) + default("lo", REJECTED, ZERO))
    (net / "if_inet6").write_text(
        ADDRESS.format(scope="10", flags="80", name="lo").replace("2001", "0000")
        + ADDRESS.format(scope=scope, flags=address, name=name)
    )
    return net


@pytest.mark.parametrize(
    ("routes", "more", "found"),
    [
        ([default("eth0", CONFIGURED)], {}, ["eth0"]),
        ([default("eth0", CONFIGURED), default("eth0", LEARNED)], {}, ["eth0"]),
        ([default("eth0", LEARNED)], {}, []),
        ([default("tun0", "00000001", ZERO)], {}, ["tun0"]),
        # The interface's address expires unless the router announces it again.
        ([default("eth0", CONFIGURED)], {"address": "00"}, []),
        ([default("eth0", CONFIGURED)], {"address": "00", "scope": "20"}, ["eth0"]),
        ([], {}, []),
    ],
)
def test_interfaces_with_static_ipv6_are_found(
    tmp_path: Path, routes: list[str], more: dict[str, Any], found: list[str]
) -> None:
    assert static_routes.interfaces(network(tmp_path, *routes, **more)) == found
    assert static_routes.interfaces(tmp_path / "nothing") == []


def heard(kernel: Kernel, name: str) -> str:
    return kernel.live(f"net.ipv6.conf.{name}.accept_ra")


@pytest.fixture
def hearing(kernel: Kernel) -> Kernel:
    for name in ("eth0", "eth1"):
        kernel.set(f"net.ipv6.conf.{name}.accept_ra", "1")
    return kernel


def test_router_advertisements_are_ignored_where_the_route_is_static(hearing: Kernel) -> None:
    network(hearing.root, default("eth0", CONFIGURED), default("eth1", LEARNED))
    assert hearing.facts(OURS)["values"] == {HEARS: "1"}
    done = hearing.put(OURS)
    assert [step["property"] for step in done["steps"]] == [f"values.{HEARS}", "content"]
    assert (heard(hearing, "eth0"), heard(hearing, "eth1")) == ("0", "1")
    assert "\nnet.ipv6.conf.eth0.accept_ra = 0\n" in hearing.path.read_text(), "for the next boot"
    assert STATIC not in "".join(x for x in hearing.path.read_text().splitlines() if not x.startswith("#"))
    assert hearing.put(OURS)["steps"] == []
    assert hearing.facts(OURS)["content"] == hearing.desired(OURS)["content"]
    hearing.set("net.ipv6.conf.eth0.accept_ra", "1")
    assert hearing.facts(OURS)["values"] == {HEARS: "1"}
    hearing.remove()
    assert heard(hearing, "eth0") == "1"


def test_nothing_changes_where_the_route_is_learned(hearing: Kernel) -> None:
    network(hearing.root, default("eth0", LEARNED))
    assert hearing.facts(OURS)["values"] == OURS
    hearing.put(OURS)
    assert heard(hearing, "eth0") == "1"
    assert "\nnet.ipv6" not in hearing.path.read_text()


def test_a_host_that_learns_its_route_later_accepts_advertisements_again(hearing: Kernel) -> None:
    network(hearing.root, default("eth0", CONFIGURED))
    hearing.put(OURS)
    network(hearing.root, default("eth0", LEARNED))
    assert hearing.facts(OURS)["content"] != hearing.desired(OURS)["content"]
    hearing.put(OURS)
    assert heard(hearing, "eth0") == "1"
    assert hearing.put(OURS)["steps"] == []


@pytest.mark.parametrize("old", ["net.ipv6.conf.eth0.accept_ra = 0\n", "accept_ra = 0\n"])
def test_an_edited_line_shows_as_drift(hearing: Kernel, old: str) -> None:
    network(hearing.root, default("eth0", CONFIGURED), default("eth1", CONFIGURED))
    hearing.put(OURS)
    text = hearing.path.read_text()
    hearing.path.write_text(text.replace(old, ""))
    assert hearing.facts(OURS)["content"] != hearing.desired(OURS)["content"]
    hearing.path.write_text(f"{text}net.ipv6.conf.eth2.accept_ra = 0\n")
    assert hearing.facts(OURS)["content"] != hearing.desired(OURS)["content"]
    assert hearing.put(OURS)["steps"] != []
    assert hearing.path.read_text() == text


def test_a_file_with_another_value_is_named(hearing: Kernel) -> None:
    network(hearing.root, default("eth0", CONFIGURED))
    theirs = hearing.write("etc/sysctl.d/50-mine.conf", "net.ipv6.conf.eth0.accept_ra = 2\n")
    assert f"{theirs} sets it to 2" in hearing.refused(OURS).detail
    theirs.rename(theirs.with_name("99-mine.conf"))
    assert "wins at the next boot" in hearing.refused(OURS).message


def test_a_dot_in_the_name_of_an_interface_is_written_as_systemd_expects(hearing: Kernel) -> None:
    network(hearing.root, default("eth0.7", CONFIGURED), name="eth0.7")
    path = hearing.root / "proc/net/ipv6/conf/eth0.7/accept_ra"
    path.parent.mkdir(parents=True)
    path.write_text("1\n")
    hearing.put(OURS)
    assert path.read_text() == "0\n"
    assert "\nnet.ipv6.conf.eth0/7.accept_ra = 0\n" in hearing.path.read_text()
