"""The look from outside at the end of `up`: when it runs, after what, and what of it is in the state."""

from __future__ import annotations

import json
import runpy
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from recording_engine import declare
from test_settings import smallest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recording_engine import Engine, Registered

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    handler = signal.getsignal(signal.SIGINT)
    yield tmp_path
    signal.signal(signal.SIGINT, handler)


def up(**host: Any) -> Engine:
    config = smallest()
    config["hosts"]["web1"] |= host
    texts = {f"portcullis:{key}": json.dumps(value) for key, value in config.items()}
    program = lambda: runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")  # noqa: E731
    return declare(program, config=texts, preview=False)


def probe(**host: Any) -> Registered:
    return up(probe=True, **host).one(":Command")


def test_nobody_looks_unasked() -> None:
    assert not up().of(":Command")


def test_it_comes_after_everything_of_the_host() -> None:
    engine = up(probe=True)
    others = {each.name for each in engine.declared if each.provider or "docker:" in each.type}
    assert engine.before("web1-outside-scan") >= others


def test_no_address_of_the_host_reaches_the_state(project: Path) -> None:
    found = probe(addressV6="2001:db8::10")
    text = json.dumps(found.inputs)
    assert "203.0.113.10" not in text
    assert "2001:db8::10" not in text
    assert found.inputs["logging"] == "none"
    assert "--declared .portcullis/" in found.inputs["create"]
    assert found.inputs["create"].endswith("--host web1 --quiet")
    (file,) = project.glob(".portcullis/*/declared.json")
    (told,) = json.loads(file.read_text())
    assert told["addresses"] == ["203.0.113.10", "2001:db8::10"]


@pytest.mark.parametrize(
    "change",
    [{"port": 2222}, {"firewall": {"allow": {"8443/tcp": {}}}}, {"firewall": {"public": {"25/tcp": {}}}}],
)
def test_it_runs_again_when_something_else_is_declared(change: dict[str, Any]) -> None:
    assert probe().inputs["triggers"][0] != probe(**change).inputs["triggers"][0]
    assert probe().inputs["triggers"] == probe().inputs["triggers"]


def test_it_runs_again_when_a_part_that_lets_in_was_written() -> None:
    triggers = probe().inputs["triggers"]
    # SSH, firewall, filter, a container's id, what nginx reads.
    assert len(triggers) >= 5, triggers
