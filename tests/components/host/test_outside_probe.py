"""Tests the scan at the end of `up`: when it runs, what it waits for, and its values in the state."""

from __future__ import annotations

import json
import runpy
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.config.test_settings import smallest
from tests.recording_engine import declare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.recording_engine import Engine, Registered

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True, scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Use a temporary folder for .portcullis, and restore the handler of Ctrl-C that the program replaces."""
    folder = tmp_path_factory.mktemp("project")
    handler = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        yield folder
    signal.signal(signal.SIGINT, handler)


def up(**host: Any) -> Engine:
    config = smallest()
    config["hosts"]["web1"] |= host
    texts = {f"portcullis:{key}": json.dumps(value) for key, value in config.items()}
    program = lambda: runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")  # noqa: E731
    return declare(program, config=texts, preview=False)


def probe(**host: Any) -> Registered:
    return up(probe=True, **host).one(":Command")


@pytest.fixture(scope="module")
def plain(project: Path) -> Registered:  # noqa: ARG001
    """Return the scan of the smallest stack, with which tests compare another scan."""
    return probe()


def test_by_default_there_is_no_scan() -> None:
    assert not up().of(":Command")


def test_the_scan_comes_after_all_parts_of_the_host() -> None:
    engine = up(probe=True)
    others = {each.name for each in engine.declared if each.is_on_host or "docker:" in each.type}
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
def test_the_scan_runs_again_after_a_change_of_declared_ports(
    plain: Registered, change: dict[str, Any]
) -> None:
    assert plain.inputs["triggers"][0] != probe(**change).inputs["triggers"][0]


def test_the_scan_does_not_run_again_without_a_change(plain: Registered) -> None:
    assert plain.inputs["triggers"] == probe().inputs["triggers"]


def test_the_scan_runs_again_after_a_change_of_a_part_that_affects_ports(plain: Registered) -> None:
    triggers = plain.inputs["triggers"]
    # SSH, firewall, filter, the container's id, the files that nginx reads.
    assert len(triggers) >= 5, triggers
