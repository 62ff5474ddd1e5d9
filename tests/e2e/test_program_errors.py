"""The errors of the program in the output of the real engine. No host is needed."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).parents[2]
TIMEOUT = 120.0
PARTS = ("Pulumi.yaml", "__main__.py", "components", "portcullis", "plugin", ".venv")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
STACK = f"""\
config:
  portcullis:hosts:
    web1:
      address: 127.0.0.1
      port: 22
      os: debian-13
      hostKey: {KEY}
  portcullis:apps:
    api:
      image: registry.example/api@sha256:{"a" * 64}
      port: 8080
      hostPort: 2019
      health: /healthz
"""


class Stack:
    """The repository's program, linked into a folder with its own stack and state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "Pulumi.faulty.yaml"
        for part in PARTS:
            (folder / part).symlink_to(CHECKOUT / part)
        (folder / "state").mkdir()
        asked = [sys.executable, str(CHECKOUT / "tools/engine.py"), "env", "--json"]
        done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=600)
        self.env = {
            **os.environ,
            **json.loads(done.stdout),
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "XDG_RUNTIME_DIR": str(folder),
        }
        self.env.pop("PYTHONPATH", None)
        self.pulumi("stack", "init", "faulty")
        self.text = STACK + "".join(self.file.read_text().partition("encryptionsalt")[1:])
        self.file.write_text(self.text)

    def pulumi(self, *arguments: str, said: str | None = None) -> subprocess.CompletedProcess[str]:
        return self.run("pulumi", *arguments, "--non-interactive", "--color", "never", said=said)

    def run(self, *argv: str, said: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            cwd=self.folder,
            env=self.env,
            input=said,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=self.folder,
            env=self.env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path)


@pytest.fixture
def silent_server() -> Iterator[int]:
    """Return a port that accepts connections and never answers, as on a host that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def told(output: str) -> list[str]:
    """Return the lines of the program's own error from the engine's output."""
    diagnostics = output.partition("Diagnostics:")[2]
    return [
        line.strip() for line in re.findall(r"portcullis:\S+: .*|.*settings of this stack.*", diagnostics)
    ]


@pytest.mark.parametrize("verb", ["preview", "up", "destroy", "refresh"])
def test_every_verb_tells_all_faults_and_nothing_else(verb: str, stack: Stack) -> None:
    faulty = stack.text.replace("debian-13", "debian13").replace("2019", "22").replace("health:", "helth:")
    stack.file.write_text(faulty)
    done = stack.pulumi(verb, *(["--yes"] if verb != "preview" else []))
    assert done.returncode != 0
    assert told(done.stdout) == [
        "error: The settings of this stack have 3 faults:",
        ('portcullis:hosts.web1.os: "debian13" is not a supported operating system; did you mean debian-13?'),
        "portcullis:apps.api.helth: is not a known key; did you mean health?",
        "portcullis:apps.api.hostPort: 22 is already used on web1 by the SSH server; choose another",
    ]
    assert "Traceback" not in done.stdout
    assert "unhandled" not in done.stdout


def test_the_report_has_faults_of_the_settings_alone(stack: Stack) -> None:
    def report() -> list[str]:
        done = stack.run(sys.executable, "-m", "portcullis", "preview", "--stack", "faulty")
        assert done.returncode == 1, done.stdout
        return done.stdout.splitlines()

    stack.file.write_text(stack.text.replace("health:", "helth:"))
    first, *lines = report()
    assert first.startswith("error: The settings of this stack have a fault")
    assert [line.startswith("  ") for line in lines] == [True]
    stack.file.write_text(f"{stack.text}\n  broken: [\n")
    said = "\n".join(report())
    assert stack.file.name in said
    assert "is not YAML" in said


@pytest.mark.once
def test_an_encrypted_value_is_shown_nowhere(stack: Stack) -> None:
    secret = "pl4nted-s3cret"
    set_ = stack.pulumi("config", "set", "--secret", "--path", "portcullis:apps.api.env.TOKEN", said=secret)
    assert set_.returncode == 0, set_.stdout
    right = stack.pulumi("preview", "--refresh=false", "--diff")
    stack.pulumi("config", "set", "--secret", "--path", "portcullis:apps.api.user", said=secret + " x")
    wrong = stack.pulumi("preview", "--refresh=false", "--diff")
    assert "envs" in right.stdout
    assert "[secret]" in right.stdout
    assert "portcullis:apps.api.user: this value (a secret) is not a user" in wrong.stdout
    for shown in (right.stdout, wrong.stdout, stack.file.read_text()):
        assert secret not in shown


def test_an_interrupt_while_a_host_hangs_leaves_no_traceback(stack: Stack, silent_server: int) -> None:
    stack.file.write_text(stack.text.replace("port: 22\n", f"port: {silent_server}\n"))
    running = stack.start("up", "--yes", "--skip-preview")
    assert running.stdout is not None
    lines = []
    try:
        for line in running.stdout:
            lines.append(line)
            # The program has declared everything that does not wait for the host, and waits for the rest.
            if "web1-docker-packages creating" in line:
                break
        time.sleep(1)
        os.killpg(running.pid, signal.SIGINT)
        rest, _ = running.communicate(timeout=600)
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate()
    output = "".join(lines) + rest
    assert running.returncode != 0
    assert "Traceback" not in output, output
    assert "KeyboardInterrupt" not in output, output
