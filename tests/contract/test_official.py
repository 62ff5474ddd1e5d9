"""If the official docker plugin is installed, it must answer as in the recordings.

The message of the skipped test lists the properties that were not compared. The stand-ins are compared only
with the recordings, so the tests of the stand-ins run on every machine.
"""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from portcullis.components.docker import versions
from tests import official
from tests.contract.compare import exact, mismatches
from tests.contract.plugin_process import PluginProcess, Refusal
from tests.contract.recorded import LAB_FILES, calls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Properties that are new in docker 5.2.0, and that a build with the same number may lack.
_NEWER = {"deviceCgroupRules", "healthcheck"}


_VOLUME = "docker:index/volume:Volume"


class _NewEngine(socketserver.StreamRequestHandler):
    """A Docker engine that speaks an API newer than any client, and has nothing."""

    asked: ClassVar[list[str]] = []

    def handle(self) -> None:
        method, target, _ = self.rfile.readline().decode().split()
        for _ in iter(self.rfile.readline, b"\r\n"):
            pass
        self.asked.append(target)
        status, body = ("200 OK", "OK") if target.endswith("/_ping") else ("404 Not Found", '{"message": ""}')
        head = f"HTTP/1.1 {status}\r\nApi-Version: 1.999\r\nContent-Length: {len(body)}\r\n"
        self.wfile.write(f"{head}Connection: close\r\n\r\n{'' if method == 'HEAD' else body}".encode())


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PluginProcess]:
    program: Path | None = official.program("docker")
    if program is None:
        pytest.skip("the official docker plugin is not installed: nothing to compare with its recordings")
    started = PluginProcess("docker", tmp_path_factory.mktemp("official"), program=program)
    yield started
    started.kill()


@pytest.mark.parametrize("file", LAB_FILES)
def test_docker_answers_as_it_was_recorded(plugin: PluginProcess, file: str) -> None:
    older: set[str] = set()
    for call in calls(file):
        if call.package != "docker" or call.on_host or call.method == "Cancel":
            continue
        answer = plugin.call(call.method, call.request)
        if isinstance(answer, Refusal):
            assert (answer.recorded_form,) == call.errors, str(call)
            continue
        theirs, ours = json.loads(json.dumps((exact(call.response), exact(answer))))
        older |= _take_newer(theirs, ours)
        assert mismatches(theirs, ours) == [], str(call)
    if older:
        pytest.skip(
            f"this docker plugin is older than 5.2.0, and was not compared in: {', '.join(sorted(older))}"
        )


def test_the_newest_api_that_the_plugin_speaks_is_the_one_that_we_count_on(
    plugin: PluginProcess, tmp_path: Path
) -> None:
    with _new_engine(tmp_path / "docker.sock") as socket:
        host = f"unix://{socket}"
        # A part of the plugin still reads the older form of its settings.
        plugin.call("Configure", {"args": {"host": host}, "variables": {"docker:config:host": host}})
        gone = {"id": "gone", "urn": f"urn:pulumi:dev::web::{_VOLUME}::gone", "properties": {"name": "gone"}}
        answer = plugin.call("Read", gone)
    assert answer == {}
    assert _NewEngine.asked[-1] == f"/v{versions.CLIENT.api_to}/volumes/gone"


@contextlib.contextmanager
def _new_engine(socket: Path) -> Iterator[Path]:
    with socketserver.ThreadingUnixStreamServer(str(socket), _NewEngine) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield socket
        finally:
            server.shutdown()
            thread.join()


def _take_newer(recorded: dict[str, Any], answer: dict[str, Any]) -> set[str]:
    """Remove the newer properties that an answer lacks from a recorded answer, and return their names."""
    stables = set(recorded.get("stables", ())) & _NEWER - set(answer.get("stables", ()))
    state = set(recorded.get("properties", ())) & _NEWER - set(answer.get("properties", ()))
    if stables:
        recorded["stables"] = [name for name in recorded["stables"] if name not in stables]
    for name in state:
        del recorded["properties"][name]
    return stables | state
