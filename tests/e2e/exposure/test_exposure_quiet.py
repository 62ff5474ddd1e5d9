"""A host restarts programs and reboots, and twenty previews report nothing that nobody declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.data.test_shop import SITE, wait_until_well

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.stack.program import Program


@pytest.fixture(scope="module")
def whole(make_deployed: Callable[[str], Program]) -> Program:
    """Return the deployed demo: both stores, an API and a site with TLS."""
    made = make_deployed("shop")
    made.site(SITE, tls=None)
    made.up()
    return made


def test_twenty_previews_through_restarts_and_a_reboot_find_nothing(whole: Program) -> None:
    wait_until_well(whole)
    names = sorted(whole.docker("ps", "--format", "{{.Names}}").split())
    assert len(names) == 3
    done = 0

    def quiet(times: int) -> None:
        nonlocal done
        for _ in range(times):
            # The first refresh adds values that Docker sets by itself, which are no differences.
            whole.preview("--expect-no-changes").lacks("Exposure: (refresh)", "Inventory: (refresh)")
            done += 1

    quiet(3)
    for name in names:
        whole.docker("restart", "-t", "5", name)
        wait_until_well(whole)
        quiet(2)
    whole.host.run("systemctl restart nginx")
    quiet(2)
    whole.host.run("systemctl restart docker; systemctl daemon-reexec")
    wait_until_well(whole)
    quiet(3)
    whole.host.reboot()
    wait_until_well(whole)
    quiet(6)
    assert done == 20
