"""Tests which resources the program registers, and its error messages."""

from __future__ import annotations

import json
import runpy
import signal
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.config.test_settings import smallest
from tests.previews import unknown_in
from tests.recording_engine import declare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.recording_engine import Deploy, Engine

ROOT = Path(__file__).parents[3]
TOLD = 32
"""The exit code after which Pulumi's language host prints no error of its own."""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Use a temporary folder for .portcullis, and restore the handler of Ctrl-C that the program replaces."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    handler = signal.getsignal(signal.SIGINT)
    yield tmp_path
    signal.signal(signal.SIGINT, handler)


def main() -> None:
    runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")


def program(deploy: Deploy, config: dict[str, Any], secret: list[str] | None = None) -> Engine:
    texts = {f"portcullis:{key}": json.dumps(value) for key, value in config.items()}
    return deploy(
        main,
        config={"other:key": "x", **texts},
        secret=secret,
    )


def test_the_resources_of_the_whole_program(deploy: Deploy, project: Path) -> None:
    engine = program(deploy, smallest())
    components = sorted(r.name for r in engine.declared if not r.options.custom)
    assert components == [
        "api",
        "web1",
        "web1-docker",
        "web1-exposure",
        "web1-fail2ban",
        "web1-firewall",
        "web1-inventory",
        "web1-kernel",
        "web1-login",
        "web1-nginx",
        "web1-nginx-certbot",
        "web1-nginx-jails",
        "web1-ssh",
        "web1-updates",
        "web1-upkeep",
        "web1-users",
    ]
    assert "Host web1\n" in (project / ".portcullis/test/ssh_config").read_text()


def test_only_image_ids_and_revisions_are_unknown_in_a_preview() -> None:
    config = smallest()
    config["hosts"]["web1"]["probe"] = True
    texts = {f"portcullis:{key}": json.dumps(value) for key, value in config.items()}
    assert unknown_in(main, config=texts) == {
        "api-container.image",
        *(f"web1-outside-scan.triggers[{n}]" for n in range(1, 5)),
    }


def test_no_address_or_key_reaches_the_engine(deploy: Deploy) -> None:
    everything = str([r.inputs for r in program(deploy, smallest()).declared])
    assert "203.0.113.10" not in everything
    assert "AAAAC3Nza" not in everything


def test_an_encrypted_apps_section_makes_environments_secret(deploy: Deploy) -> None:
    config = smallest()
    config["apps"]["api"]["env"] = {"TOKEN": "s3cr3t"}
    engine = program(deploy, config, secret=["portcullis:apps"])
    assert engine.one("container:Container").secret == {"envs", "healthcheck"}


def test_faults_are_reported_once_and_without_a_traceback(
    deploy: Deploy, caplog: pytest.LogCaptureFixture
) -> None:
    config = smallest() | {"site": {}}
    config["hosts"]["web1"]["os"] = "debian13"
    with pytest.raises(SystemExit) as ended:
        program(deploy, config)
    assert ended.value.code == TOLD
    assert caplog.messages == [
        (
            "The settings of this stack have 2 faults:\n"
            "  portcullis:site: is not a known key; did you mean sites?\n"
            '  portcullis:hosts.web1.os: "debian13" is not a supported operating system; '
            "did you mean debian-13?"
        ),
    ]


def test_a_secret_value_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    config = smallest()
    config["apps"]["api"]["env"] = {"TOKEN": 4711471147114711}
    with pytest.raises(SystemExit):
        program(partial(declare, preview=True), config, secret=["portcullis:apps"])
    assert "portcullis:apps.api.env.TOKEN" in caplog.text
    assert "4711" not in caplog.text


def test_a_plain_value_instead_of_a_map(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SystemExit):
        declare(main, preview=True, config={"portcullis:hosts": "web1"})
    assert 'portcullis:hosts: "web1" is not a map' in caplog.text


def test_a_folder_that_cannot_be_written_is_an_error(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    (project / ".portcullis").write_text("in the way")
    with pytest.raises(SystemExit) as ended:
        program(partial(declare, preview=True), smallest())
    assert ended.value.code == TOLD
    assert ".portcullis" in caplog.text


def test_an_interrupt_leaves_no_traceback(project: Path) -> None:
    script = textwrap.dedent(
        """
        import os, runpy, signal, sys, time
        from portcullis.components.host import stack
        from portcullis.recorder import Recorder, record

        def interrupted():
            print("running", flush=True)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(20)

        stack.stack_settings = interrupted
        program = lambda: runpy.run_path(sys.argv[1], run_name="__main__")
        nothing = Recorder(lambda *_: {})
        record(nothing, program, project="portcullis", stack="dev", preview=True, config={})
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(ROOT / "__main__.py")],
        cwd=project,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (TOLD, "running\n", "")
