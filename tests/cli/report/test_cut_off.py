"""What a deployment left that was cut off while Docker made something: `up` removes it and goes on."""

from __future__ import annotations

import argparse
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.cli import command
from portcullis.cli.report import cut_off, engine, up
from portcullis.cli.report.differences import Collector, Report

if TYPE_CHECKING:
    from collections.abc import Sequence

KNOWN, LEFT, NETWORK = "a" * 64, "b" * 64, "c" * 64
TAKEN = (
    'Unable to create container: Conflict. The container name "/shop-3" is already in use by container '
    f'"{LEFT}". You have to remove (or rename) that container to be able to reuse that name.'
)
NETWORK_TAKEN = "Unable to create network: network with name shop already exists"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Each script that a host was given, and what it would print."""
    given: list[tuple[str, str]] = []
    urn = "urn:pulumi:prod::web::docker:index/container:Container::shop-container"
    state = {"deployment": {"resources": [
        {"urn": "urn:pulumi:prod::web::pulumi:pulumi:Stack::web-prod", "type": "pulumi:pulumi:Stack"},
        {"urn": urn, "type": "docker:index/container:Container", "id": KNOWN},
    ]}}  # fmt: skip

    def heard(argv: Sequence[str], said: str = "", timeout: float = 0) -> subprocess.CompletedProcess[str]:
        del timeout
        given.append((argv[-4], said))
        listed = f"container {KNOWN} /shop-2\ncontainer {LEFT} /shop-3\nnetwork {NETWORK} shop\n"
        hostile = "container $(reboot) /x\nnetwork\n"
        return subprocess.CompletedProcess(list(argv), 0, listed + hostile if "ls " in said else "", "")

    monkeypatch.setattr(cut_off, "heard", heard)
    monkeypatch.setattr(command, "answer", lambda *_: json.dumps(state))
    return given


@pytest.mark.parametrize("error", [TAKEN, NETWORK_TAKEN])
def test_what_the_state_does_not_know_and_has_its_label_goes(
    scripts: list[tuple[str, str]], error: str
) -> None:
    removed = cut_off.clear("prod", ["web1"], [error])
    assert removed == [
        "web1: removed the container shop-3, which a deployment left that was cut off",
        "web1: removed the network shop, which a deployment left that was cut off",
    ]
    (_, asked), *did = scripts
    assert "label=portcullis.stack=web/prod" in asked
    assert did == [("web1", f"docker container rm --force {LEFT}"), ("web1", f"docker network rm {NETWORK}")]


def test_another_error_asks_nobody(scripts: list[tuple[str, str]]) -> None:
    assert cut_off.clear("prod", ["web1"], ["port is already allocated"]) == []
    assert scripts == []


@pytest.mark.usefixtures("scripts")
@pytest.mark.parametrize(("error", "code", "times"), [(TAKEN, 0, 2), ("other", 1, 1)])
def test_up_goes_on_once_it_has_made_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: str, code: int, times: int
) -> None:
    ran: list[Any] = []

    def run(words: Sequence[str], **_: Any) -> tuple[Report, Collector]:
        ran.append(words)
        return Report("prod", ("web1",), errors=(error,) if len(ran) == 1 else ()), Collector()

    monkeypatch.setattr(engine, "run", run)
    options = argparse.Namespace(
        stack="prod", yes=True, skip_preview=True, json=False, details=False, rest=[]
    )
    assert up.run(options) == code
    assert len(ran) == times
    assert ("removed the container shop-3" in capsys.readouterr().out) == (code == 0)
