"""The present code replaces and deletes no resource in the recorded states of releases. No host is needed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from portcullis import __version__
from tests.e2e.stack import record_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.stack.program import Program

RELEASES = sorted(folder.name for folder in record_state.STATES.iterdir())
# The harmless operations on a resource of a release. A deleted or replaced key would lose data or access.
HARMLESS = {"same", "update"}


@pytest.fixture(params=RELEASES)
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Program]:
    made = record_state.recorded(tmp_path / "program", request.param)
    yield made
    made.close()


def harm(stack: Program) -> dict[str, str]:
    """Return what an `up` of today would make anew or take away, by the name of the resource."""
    said = stack.run("preview", "--refresh=false", "--json").output
    told = json.loads(said[said.index("{\n") : said.rindex("}") + 1])
    assert sum(told["changeSummary"].values()) >= 200
    return {
        step["urn"].rpartition("::")[2]: step["op"]
        for step in told["steps"]
        if step["op"] not in HARMLESS and "oldState" in step
    }


def test_todays_code_replaces_and_deletes_nothing(stack: Program) -> None:
    assert harm(stack) == {}


def test_the_present_version_has_its_state_recorded() -> None:
    assert __version__ in RELEASES, "run `make record-state`, and commit it with the release"


@pytest.mark.once
def test_a_state_has_no_code_no_address_and_no_secret_in_clear() -> None:
    for release in RELEASES:
        text = (record_state.STATES / release / record_state.STATE_FILE).read_text()
        assert "pulumi-python" not in text, "the state has a pickled dynamic provider"
        assert "BEGIN PRIVATE KEY" not in text
        assert "recorded-and-nobodys" not in text
