"""Five hundred hostile stack files that the engine accepts.

Portcullis refuses each file with path and reason, or deploys it.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portcullis.components.host import images
from portcullis.components.host.stack import StackArgs
from portcullis.config import sources
from portcullis.config.faults import SettingsError
from tests.fuzz import hostile_settings
from tests.fuzz.texts import is_utf8, printable
from tests.recording_engine import declare

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).parents[2] / "__main__.py"
MANY = "FUZZ" in os.environ
FILES = range(810 if MANY else 44)
SECONDS, BYTES = 10.0, 200 << 20
ENGINES = "refused by the reader of the engine"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test a folder and no access to a registry, and restore the handler of Ctrl-C afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(
        images, "resolve", lambda named, *_, **__: {place: _pinned(name) for place, name in named.items()}
    )
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


def _pinned(name: str) -> str:
    return name if "@" in name else f"{name}@sha256:{'a' * 64}"


def read(handed: dict[str, str]) -> None:
    """Read the settings of a stack file, in the form in which Pulumi passes them to a program."""
    sources.of_json(StackArgs, {key: {"value": text} for key, text in handed.items()})


@pytest.mark.usefixtures("project")
def test_each_file_is_refused_with_path_and_reason_or_can_be_deployed() -> None:
    found: Counter[str] = Counter()
    for number in FILES:
        found[_outcome(number)] += 1
    # One file in sixteen can be deployed, and each new setting changes which ones.
    for number in range(FILES.stop, 400):
        if found["deployed"]:
            break
        found[_outcome(number)] += 1
    print(f"{sum(found.values())} hostile files: {dict(found)}")  # noqa: T201 - `make fuzz` shows it
    assert sum(found.values()) - found[ENGINES] >= (500 if MANY else 20)
    assert found["deployed"]


def _outcome(number: int) -> str:
    try:
        handed = hostile_settings.handed_on(hostile_settings.file(number))
    except hostile_settings.NotTaken:
        return ENGINES
    if MANY:
        begun = time.process_time()
        tracemalloc.start()
    try:
        read(handed)
    except SettingsError as error:
        for fault in error.faults:
            text = str(fault)
            assert fault.path, number
            assert fault.reason, number
            assert printable(text), number
            assert is_utf8(text), number
            assert "\n" not in text, number
        return "refused"
    finally:
        if MANY:
            assert tracemalloc.get_traced_memory()[1] < BYTES, number
            tracemalloc.stop()
            assert time.process_time() - begun < SECONDS, number
    try:
        declare(lambda: runpy.run_path(str(PROGRAM), run_name="__main__"), preview=False, config=handed)
    except SystemExit:
        pytest.fail(f"file {number} is valid and cannot be deployed: {json.dumps(handed)[:2000]}")
    return "deployed"
