"""Tests the start of the agent: which version runs, and which files the host keeps."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from portcullis.host import bootstrap, ssh_errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_FOLDERS = ('"/var/lib/portcullis/agent"', '"/run/portcullis/agent"')
_MAIN = "def main(pending):\n    print('v1', pending, __file__)\n"


def agent(main: str = _MAIN) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        for name, text in {"__init__": "", "agent/__init__": "", "agent/main": main}.items():
            # Without a ZipInfo, the file would hold the time of day, and two agents would differ.
            made.writestr(zipfile.ZipInfo(f"portcullis/{name}.py"), text)
    return data.getvalue()


@pytest.fixture
def start(tmp_path: Path) -> Callable[[bytes], list[str]]:
    """Start an agent like a client that sends its request at once, and return the host's answer."""
    loader = bootstrap._LOADER
    for folder, name in zip(_FOLDERS, ("lib/agent", "run/agent"), strict=True):
        assert folder in loader
        loader = loader.replace(folder, repr(str(tmp_path / name)))

    def started(data: bytes) -> list[str]:
        want = hashlib.sha256(data).hexdigest()
        said = subprocess.run(
            [sys.executable, "-I", "-c", loader, want],
            input=b"asked\nagent %d\n" % len(data) + data, capture_output=True, check=True, timeout=60,
        )  # fmt: skip
        return said.stdout.decode().splitlines()

    return started


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_agent_is_sent_once_and_compiled_once(start: Callable[[bytes], list[str]], tmp_path: Path) -> None:
    data, folder = agent(), tmp_path / "lib/agent"
    digest = hashlib.sha256(data).hexdigest()
    compiled = folder / f"{digest}.{sys.implementation.cache_tag}"
    first, second = start(data), start(data)
    assert first == ["need", f"v1 ['asked\\n'] {compiled}/portcullis/agent/main.pyc"]
    assert second == ["have", f"v1 [] {compiled}/portcullis/agent/main.pyc"]
    assert names(folder) == [compiled.name, f"{digest}.pyz"]
    assert not list(compiled.rglob("*.py"))
    assert folder.stat().st_mode & 0o777 == 0o700


def test_an_agent_that_cannot_be_compiled_runs_from_the_zip(
    start: Callable[[bytes], list[str]], tmp_path: Path
) -> None:
    data, folder = agent(), tmp_path / "lib/agent"
    digest = hashlib.sha256(data).hexdigest()
    start(data)
    compiled = folder / f"{digest}.{sys.implementation.cache_tag}"
    for path in (*compiled.rglob("*.pyc"),):
        path.unlink()
    assert start(data) == ["have", f"v1 [] {folder}/{digest}.pyz/portcullis/agent/main.py"]


def test_a_new_agent_replaces_the_old_one(start: Callable[[bytes], list[str]], tmp_path: Path) -> None:
    start(agent())
    folder, newer = tmp_path / "lib/agent", agent(_MAIN.replace("v1", "v2"))
    assert start(newer)[1].startswith("v2 ")
    assert {name.partition(".")[0] for name in names(folder)} == {hashlib.sha256(newer).hexdigest()}


def test_a_damaged_agent_is_sent_again(start: Callable[[bytes], list[str]], tmp_path: Path) -> None:
    data = agent()
    start(data)
    (zipped,) = (tmp_path / "lib/agent").glob("*.pyz")
    zipped.write_bytes(data[:-1])
    assert start(data)[0] == "need"
    assert zipped.read_bytes() == data


def test_leftovers_of_a_killed_start_are_removed_and_running_starts_are_not_disturbed(
    start: Callable[[bytes], list[str]], tmp_path: Path
) -> None:
    start(agent())
    folder = tmp_path / "lib/agent"
    usual = names(folder)
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    for left in (f"a.pyz.{ended.pid}", f"a.cpython-313.{ended.pid}"):
        (folder / left).mkdir()
        (folder / left / "part").touch()
    (folder / "a.pyz.1").touch()
    start(agent())
    assert names(folder) == sorted([*usual, "a.pyz.1"])


def test_a_host_with_an_older_python_is_told_which_one_is_needed() -> None:
    program = f"import sys; sys.version_info = (3, 9, 2)\n{bootstrap._LOADER}"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, "x"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.returncode) == ("", 1)
    error = ssh_errors.explain(f"Welcome\n{done.stderr}sh: more\n", exit_code=None)
    assert error.cause == "the host has Python 3.9, and Portcullis needs 3.10 or newer"
    assert "Debian 12, Ubuntu 22.04" in error.hint
