"""`make policy`: who judges."""

from __future__ import annotations

from pathlib import Path

from tools import policy
from tools.engine import Engine

FOLDER = Path("/somewhere/bin")


def test_an_official_pulumi_judges_in_a_preview() -> None:
    ready = Engine("3.272.0", FOLDER, official=True)
    assert policy.command("prod", ready) == [
        "pulumi",
        "preview",
        "--stack",
        "prod",
        "--policy-pack",
        "policy",
    ]


def test_beside_an_engine_that_was_built_the_pack_judges_by_itself() -> None:
    for ready in (Engine("3.259.0", FOLDER, official=False), None):
        assert policy.command("lab", ready)[1:] == ["-m", "policy.judge", "--stack", "lab"]
