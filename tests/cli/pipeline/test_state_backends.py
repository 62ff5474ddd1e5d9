"""Each state backend allows one deploy at a time, recovers after a crash, and encrypts all secrets."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.ports import free_port
from tools import programs
from tools.steps import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e
SECRET = "a-planted-secret"
PROGRAM = """\
import pathlib, time
import pulumi

pulumi.export("word", pulumi.Config().require_secret("word"))
if pathlib.Path("slow").exists():
    pathlib.Path("begun").touch()
    time.sleep(60)
"""


_SERVER = ROOT / "tools/requirements-s3.txt"
_READ = """\
import sys, boto3
bucket = boto3.resource("s3", endpoint_url=sys.argv[1], region_name="us-east-1").Bucket(sys.argv[2])
for one in bucket.objects.all():
    print(one.key, one.get()["Body"].read().decode())
"""


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty bucket on loopback."""
    program = programs.installed(_SERVER) / "moto_server"
    port = free_port()
    log = tmp_path_factory.mktemp("s3") / "log"
    with (
        log.open("w") as out,
        subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stdout=out, stderr=out) as server,
    ):
        try:
            url = f"http://127.0.0.1:{port}/state"
            deadline = time.monotonic() + 60
            while True:
                try:
                    urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=10).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.2)
            yield url
        finally:
            server.terminate()


@dataclass(frozen=True, slots=True)
class Stack:
    """A project with a stack in a backend, and a function that reads the backend's whole content."""

    folder: Path
    environment: dict[str, str]
    kept: Callable[[], str]

    def pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=self.folder, env=self.environment, text=True, timeout=600, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip


@pytest.fixture(params=["folder", "s3"])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Stack:
    asked = [sys.executable, str(ROOT / "tools/engine.py"), "env", "--json"]
    found = json.loads(subprocess.run(asked, capture_output=True, text=True, check=True, timeout=600).stdout)
    if request.param == "folder":
        state = tmp_path / "state"
        state.mkdir()
        backend = state.as_uri()

        def kept() -> str:
            return "".join(file.read_text() for file in state.rglob("*") if file.is_file())
    else:
        url: str = request.getfixturevalue("bucket")
        host, _, name = url.removeprefix("http://").partition("/")
        backend = f"s3://{name}?region=us-east-1&endpoint={host}&s3ForcePathStyle=true&disableSSL=true"

        def kept() -> str:
            python = programs.installed(_SERVER) / "python"
            argv = [str(python), "-c", _READ, f"http://{host}", name]
            done = subprocess.run(
                argv, env=environment, capture_output=True, text=True, timeout=600, check=True
            )
            return done.stdout

    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: kept\nruntime:\n  name: python\n")
    (folder / "__main__.py").write_text(PROGRAM)
    environment = {
        **os.environ,
        **found,
        "PULUMI_BACKEND_URL": backend,
        "PULUMI_CONFIG_PASSPHRASE": "a-passphrase",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
    }
    environment.pop("PYTHONPATH", None)
    made = Stack(folder, environment, kept)
    assert made.pulumi("stack", "init", "prod").returncode == 0
    assert made.pulumi("config", "set", "--secret", "word", SECRET).returncode == 0
    return made


def test_one_deploy_at_a_time_and_recovery_after_a_crash(stack: Stack) -> None:
    (stack.folder / "slow").touch()
    with subprocess.Popen(
        ["pulumi", "up", "--stack", "prod", "--yes", "--skip-preview", "--non-interactive"],
        cwd=stack.folder, env=stack.environment, process_group=0,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as first:  # fmt: skip
        try:
            deadline = time.monotonic() + 60
            while not (stack.folder / "begun").exists():
                assert time.monotonic() < deadline, "it never began"
                time.sleep(0.1)
            refused = stack.pulumi("up", "--stack", "prod", "--yes", "--skip-preview")
            assert refused.returncode
            assert "currently locked" in refused.stdout
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(first.pid, signal.SIGKILL)
    (stack.folder / "slow").unlink()
    assert "currently locked" in stack.pulumi("up", "--stack", "prod", "--yes", "--skip-preview").stdout
    assert stack.pulumi("cancel", "--yes", "prod").returncode == 0
    done = stack.pulumi("up", "--stack", "prod", "--yes", "--skip-preview")
    assert done.returncode == 0, done.stdout
    kept = stack.kept()
    assert "kept" in kept
    assert SECRET not in kept
    assert "a-passphrase" not in kept
