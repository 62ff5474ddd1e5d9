"""The files of the forward filter.

tests/e2e/access/test_reach.py loads these files with two versions of nft.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.components.firewall.render import forward_filter
from portcullis.components.firewall.render.forward_filter import ForwardPolicy

if TYPE_CHECKING:
    from tests.golden.conftest import Golden

# One example of everything that a table can have.
FULL = ForwardPolicy(
    bind_address="10.200.0.1",
    public={"9000-9010/udp": ["2001:db8::/32", "203.0.113.0/24"], "8443/tcp": []},
    egress={
        "shop0": ["203.0.113.7:443/tcp", "*:53/udp", "[2001:db8::1]:443/tcp", "2001:db8:5::/48"],
        "172.30.0.0/24": [],
        "172.30.0.9": ["198.51.100.0/24", "198.51.100.0/24:8000-8010/tcp"],
        "fd00:30::/64": ["::/0"],
    },
    outside=["vmbr0", "br-ext"],
    host={"60000-61000/udp": ["2001:db8::/32", "203.0.113.0/24"], "443/tcp": [], "22/tcp": []},
)


def test_forward_filter(golden: Golden) -> None:
    golden("filter.plain.nft", forward_filter.file("web1-filter", forward_filter.table(ForwardPolicy())))


def test_forward_filter_with_everything(golden: Golden) -> None:
    golden("filter.full.nft", forward_filter.file("web1-filter", forward_filter.table(FULL)))


def test_forward_filter_unit(golden: Golden) -> None:
    golden("portcullis-filter.service", forward_filter.unit("web1-filter"))


def test_the_order_of_settings_is_no_difference() -> None:
    other = ForwardPolicy(
        bind_address=FULL.bind_address,
        public=dict(reversed(FULL.public.items())),
        egress={source: list(reversed(to)) for source, to in reversed(FULL.egress.items())},
        outside=list(reversed(FULL.outside)),
        host=dict(reversed((FULL.host or {}).items())),
    )
    assert forward_filter.table(other) == forward_filter.table(FULL)


def test_one_more_destination_is_one_more_line() -> None:
    more = ForwardPolicy(egress={"shop0": ["203.0.113.7", "203.0.113.8"]})
    less = ForwardPolicy(egress={"shop0": ["203.0.113.7"]})
    extra = set(forward_filter.table(more).splitlines()) - set(forward_filter.table(less).splitlines())
    assert extra == {'\t\tiifname "shop0" ip daddr 203.0.113.8 accept'}


def test_a_comment_fits_into_a_rule() -> None:
    for line in forward_filter.table(FULL).splitlines():
        # NFTNL_UDATA_COMMENT_MAXLEN: nft refuses longer ones.
        assert len(line.partition('comment "')[2]) < 128


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bind_address": "docker0"}, "bind_address: 'docker0' is not an IPv4 address"),
        ({"outside": ["br 0"]}, "outside: 'br 0' is neither"),
        ({"outside": ['br0"']}, "outside: "),
        ({"outside": ["docker0"]}, "outside: 'docker0' is a bridge that Docker made"),
        ({"outside": ["br-0123456789ab"]}, "outside: 'br-0123456789ab' is a bridge that Docker made"),
        ({"outside": ["a-name-too-long-"]}, "outside: "),
        ({"public": {"8443": []}}, "public: '8443' is not of the form PORT/tcp"),
        ({"public": {"0/tcp": []}}, "public: "),
        ({"public": {"9-8/tcp": []}}, "public: "),
        ({"public": {"65536/udp": []}}, "public: "),
        ({"public": {"80/tcp": ["203.0.113.1/24"]}}, "is an address inside a network: write 10.1.0.0/16"),
        ({"public": {"80/tcp": "203.0.113.1"}}, "is a text; write a list"),
        ({"host": {"22": []}}, "host: '22' is not of the form PORT/tcp"),
        ({"host": {"22/tcp": ["203.0.113.1/24"]}}, "host.22/tcp: '203.0.113.1/24' is not an address"),
        ({"egress": {"shop 0": []}}, "egress: 'shop 0' is neither"),
        ({"egress": {"shop0": ["example.com"]}}, "egress.shop0: 'example.com' is not an address"),
        ({"egress": {"shop0": ["203.0.113.1:443"]}}, "to restrict ports, write"),
        ({"egress": {"shop0": ["*"]}}, "add ports"),
        ({"egress": {"shop0": ["::ffff:203.0.113.1"]}}, "IPv4 address written as IPv6"),
        ({"egress": {"shop0": [443]}}, "is not text"),
    ],
)
def test_what_no_table_can_say_is_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("*", r"\*")):
        ForwardPolicy(**settings)  # type: ignore[arg-type]


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(ValueError, match="bind_address: ") as caught:
        ForwardPolicy(bind_address="x", outside=["y z"], public={"z": ["w"]}, egress={"v w": ["u"]})
    assert str(caught.value).count("\n") == 5
