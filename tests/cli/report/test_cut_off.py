"""An interrupted deploy leaves containers and networks that Pulumi's state does not have.

The next `up` removes them and continues.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.cli import command
from portcullis.cli.report import cut_off, engine, up
from portcullis.cli.report.differences import Collector, Report

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KNOWN, LEFT, NETWORK = "a" * 64, "b" * 64, "c" * 64
TAKEN = (
    'Unable to create container: Conflict. The container name "/shop-3" is already in use by container '
    f'"{LEFT}". You have to remove (or rename) that container to be able to reuse that name.'
)
NETWORK_TAKEN = "Unable to create network: network with name shop already exists"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The scripts that each host ran."""
    given: list[tuple[str, str]] = []
    urn = "urn:pulumi:prod::web::docker:index/container:Container::shop-container"
    state = {"deployment": {"resources": [
        {"urn": "urn:pulumi:prod::web::pulumi:pulumi:Stack::web-prod", "type": "pulumi:pulumi:Stack"},
        {"urn": urn, "type": "docker:index/container:Container", "id": KNOWN},
    ]}}  # fmt: skip

    def run(argv: Sequence[str], text: str = "", timeout: float = 0) -> subprocess.CompletedProcess[str]:
        del timeout
        given.append((argv[-4], text))
        listed = f"container {KNOWN} /shop-2\ncontainer {LEFT} /shop-3\nnetwork {NETWORK} shop\n"
        hostile = "container $(reboot) /x\nnetwork\n"
        return subprocess.CompletedProcess(list(argv), 0, listed + hostile if "ls " in text else "", "")

    monkeypatch.setattr(cut_off, "run_bounded", run)
    monkeypatch.setattr(command, "answer", lambda *_: json.dumps(state))
    return given


@pytest.mark.parametrize("error", [TAKEN, NETWORK_TAKEN])
def test_containers_and_networks_with_the_label_but_not_in_the_state_are_removed(
    scripts: list[tuple[str, str]], error: str
) -> None:
    removed = cut_off.clear("prod", ["web1"], [error])
    assert removed == [
        "web1: removed the container shop-3, which an interrupted deploy left behind",
        "web1: removed the network shop, which an interrupted deploy left behind",
    ]
    (_, asked), *did = scripts
    assert "label=portcullis.stack=web/prod" in asked
    assert did == [("web1", f"docker container rm --force {LEFT}"), ("web1", f"docker network rm {NETWORK}")]


def test_after_another_error_no_host_is_asked(scripts: list[tuple[str, str]]) -> None:
    assert cut_off.clear("prod", ["web1"], ["port is already allocated"]) == []
    assert scripts == []


@pytest.mark.usefixtures("scripts")
@pytest.mark.parametrize(("error", "code", "times"), [(TAKEN, 0, 2), ("other", 1, 1)])
def test_up_runs_again_after_it_has_removed_them(
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


@pytest.mark.parametrize(("verb", "errors"), [("preview", ()), ("up", (TAKEN,))])
def test_after_an_interrupt_the_engine_does_not_start_again(
    monkeypatch: pytest.MonkeyPatch, scripts: list[tuple[str, str]], verb: str, errors: tuple[str, ...]
) -> None:
    ran: list[str] = []

    def run(words: Sequence[str], **_: Any) -> tuple[Report, Collector]:
        ran.append(words[0])
        return Report("prod", ("web1",), errors=errors, interrupted=True), Collector()

    monkeypatch.setattr(engine, "run", run)
    options = argparse.Namespace(
        stack="prod", yes=True, skip_preview=verb == "up", json=False, details=False, rest=[]
    )
    with pytest.raises(KeyboardInterrupt) if verb == "preview" else contextlib.nullcontext():
        assert up.run(options) == up.FAILED
    assert ran == [verb]
    assert scripts == []


def test_the_engine_reports_an_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "pulumi"
    program.write_text("#!/bin/sh\n[ $1 = up ] && kill -INT $PPID\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert engine.run(["up"], folder=tmp_path)[0].interrupted
    assert not engine.run(["preview"], folder=tmp_path)[0].interrupted
