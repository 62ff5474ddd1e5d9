"""The tls stand-in renews a certificate at the same time as hashicorp/terraform-provider-tls.

The rules are `modifyPlanIfCertificateReadyForRenewal` and `modifyStateIfCertificateReadyForRenewal` in
common_cert.go. A plan replaces a certificate that is due, and its `ready_for_renewal` is unknown. A read
returns true for `ready_for_renewal`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.plugin_process import PluginProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TYPE = "tls:index/selfSignedCert:SelfSignedCert"
ABOUT = {"urn": f"urn:pulumi:dev::web::{TYPE}::ca", "type": TYPE, "name": "ca", "id": "1"}
INPUTS = {"allowedUses": ["cert_signing"], "validityPeriodHours": 100}


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PluginProcess]:
    folder: Path = tmp_path_factory.mktemp("tls")
    plugin = PluginProcess("tls", folder)
    yield plugin
    plugin.close()


def state(hours_left: float, early: int, **more: Any) -> dict[str, Any]:
    ends = (datetime.now(UTC) + timedelta(hours=hours_left)).isoformat().replace("+00:00", "Z")
    inputs = {**INPUTS, "earlyRenewalHours": early}
    return {**inputs, "validityEndTime": ends, "readyForRenewal": False, "certPem": "x", **more}


def diff(tls: PluginProcess, olds: dict[str, Any], early: int) -> tuple[str, list[str]]:
    answer = tls.call("Diff", {**ABOUT, "olds": olds, "news": {**INPUTS, "earlyRenewalHours": early}})
    assert isinstance(answer, dict)
    return answer["changes"], answer.get("replaces", [])


@pytest.mark.parametrize(
    ("hours_left", "early", "replaces"),
    [(50, 0, []), (50, 49, []), (50, 51, ["readyForRenewal"]), (-1, 0, ["readyForRenewal"])],
)
def test_a_due_certificate_is_planned_as_a_replacement(
    tls: PluginProcess, hours_left: float, early: int, replaces: list[str]
) -> None:
    said, found = diff(tls, state(hours_left, early), early)
    assert found == replaces
    assert said == ("DIFF_SOME" if replaces else "DIFF_NONE")


def test_the_hours_that_count_are_the_new_ones(tls: PluginProcess) -> None:
    assert diff(tls, state(50, 0), 51) == ("DIFF_SOME", ["readyForRenewal"])
    assert diff(tls, state(50, 51, readyForRenewal=True), 10) == ("DIFF_SOME", [])


@pytest.mark.parametrize(("hours_left", "ready"), [(50, False), (40, True), (-1, True)])
def test_a_refresh_tells_that_it_is_due(tls: PluginProcess, hours_left: float, ready: bool) -> None:  # noqa: FBT001
    answer = tls.call("Read", {**ABOUT, "properties": state(hours_left, 45), "inputs": INPUTS})
    assert isinstance(answer, dict)
    assert answer["properties"]["readyForRenewal"] is ready
