"""The engine passes all settings to a plugin unencrypted.

Our processes drop these settings and write no core dump.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GIVEN = ("PULUMI_CONFIG", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_ACCESS_TOKEN")
CANARY = "planted-Vw7kQ2nX9tR4"
CHILD = """
import os, resource
from portcullis.provider.__main__ import keep_secrets
keep_secrets()
os.execvp("sh", ["sh", "-c", "env; ulimit -c"])
"""


@pytest.fixture
def environment() -> dict[str, str]:
    # A checkout without a .venv uses the first Python in PATH.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {
        **os.environ, **dict.fromkeys(GIVEN, CANARY), "PATH": path, "PYTHONPATH": str(ROOT), "KEPT": "kept",
    }  # fmt: skip


def test_the_plugin_keeps_no_setting_in_its_environment_and_dumps_no_core(
    environment: dict[str, str],
) -> None:
    argv = [
        "sh",
        "-c",
        f"ulimit -S -c $(ulimit -H -c); exec {ROOT}/plugin/pulumi-resource-portcullis 127.0.0.1:1",
    ]
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE) as plugin:
        assert plugin.stdout is not None
        assert int(plugin.stdout.readline()) > 0
        has = Path(f"/proc/{plugin.pid}/environ").read_text()
        limits = Path(f"/proc/{plugin.pid}/limits").read_text()
        plugin.kill()
    assert "KEPT=kept" in has
    assert CANARY not in has
    (core,) = [line.split() for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core[4:6] == ["0", "0"]


def test_child_processes_of_a_plugin_get_no_settings(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD], env=environment, capture_output=True, text=True, check=True
    )
    assert "KEPT=kept" in done.stdout
    assert CANARY not in done.stdout
    assert done.stdout.splitlines()[-1] == "0"
