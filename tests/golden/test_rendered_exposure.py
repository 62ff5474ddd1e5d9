"""The expected listeners, published ports and open ports of a full stack, compared with a golden file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from portcullis.components.exposure import render as exposure

if TYPE_CHECKING:
    from tests.golden.conftest import Golden

ALLOWED = (
    "80/tcp",
    "443/tcp",
    "60000:61000/udp",
    "5432/tcp from 203.0.113.0/24",
    "5432/tcp from 2001:db8::/32",
)
PUBLIC = {"8443/tcp": (), "8000-8010/udp": ("203.0.113.7", "2001:db8::7")}


def test_a_full_stack(golden: Golden) -> None:
    declared = {
        "listeners": exposure.listeners(2222, web=True),
        "published": exposure.published("172.17.0.1", {"redis": 6379, "mongo": 27017, "blog": 8081}, ["api"]),
        "passes": exposure.passes(2222, ALLOWED, PUBLIC),
        "usual": exposure.usual(ALLOWED[2:], tuple(PUBLIC)),
    }
    golden("exposure.json", json.dumps(declared, indent=2) + "\n")


def test_a_bare_host() -> None:
    assert exposure.listeners(22, web=False) == dict.fromkeys(
        ("tcp4 0.0.0.0:22", "tcp6 [::]:22"), "ssh.service"
    )
    assert exposure.published("172.17.0.1", {}) == {}
    assert exposure.passes(22, (), {}) == {"tcp4 22": "anywhere", "tcp6 22": "anywhere"}
    assert exposure.usual(()) == dict(sorted(exposure.USUAL.items()))


def test_a_program_is_usual_by_its_unit_or_where_root_alone_gets_the_port() -> None:
    for key in exposure.USUAL:
        _, port, _, owner = key.split()
        assert owner.endswith(".service") or int(port) < 1024, key  # see ip(7)
