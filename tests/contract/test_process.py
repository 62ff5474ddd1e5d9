"""Tests how the process of a stand-in starts, prints its notice, refuses calls, and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from lab.plugins import notice
from tests.canned import until
from tests.contract.plugin_process import LAUNCHERS, PluginProcess, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[[str], PluginProcess]

_PREFIX = "urn:pulumi:dev::web::"
CONTAINER = "docker:index/container:Container"
LOCAL = "command:local:Command"
CURE = "Install the official plugin"
CANCELLED = Refusal("CANCELLED", "cancelled")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a stand-in. All stand-ins end with the test."""
    started: list[PluginProcess] = []

    def one(package: str) -> PluginProcess:
        started.append(PluginProcess(package, tmp_path))
        return started[-1]

    yield one
    for plugin in started:
        plugin.close()


def about(type_: str, name: str = "x", **more: Any) -> dict[str, Any]:
    """Return a request about a resource."""
    return {"urn": f"{_PREFIX}{type_}::{name}", "type": type_, "name": name, **more}


def failures(answer: dict[str, Any] | Refusal) -> dict[str, str]:
    """Return the problems that a Check found, by property."""
    assert isinstance(answer, dict)
    return {failure["property"]: failure["reason"] for failure in answer.get("failures", [])}


def refusal(answer: dict[str, Any] | Refusal) -> str:
    """Return the text of a refusal."""
    assert isinstance(answer, Refusal), answer
    return answer.message


def runs(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_is_said_once_per_engine_that_stand_ins_are_at_work(start: Start) -> None:
    plugins = [start(package) for package in ("docker", "tls", "command")]
    for plugin in plugins:
        plugin.call("GetPluginInfo", {})
    until(lambda: any("stand-ins" in plugin.stderr for plugin in plugins))
    time.sleep(0.3)
    said = "".join(plugin.stderr for plugin in plugins)
    assert said.count("docs/plugin-stand-ins.md") == 1


def test_the_next_stand_in_says_it_if_the_engine_did_not_hear_the_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PORTCULLIS_CACHE", str(tmp_path))
    heard, left = [], [False, True, True]

    def log(message: str, urn: str = "", *, warning: bool = False) -> bool:
        del urn, warning
        heard.append(message)
        return left.pop(0)

    for _ in range(3):
        notice.announce(log, os.getpid())
    assert heard == [notice.TEXT] * 2


@pytest.mark.parametrize(
    ("package", "version"), [("docker", "5.2.0"), ("command", "1.2.1"), ("tls", "5.6.2")]
)
def test_it_has_the_version_that_it_stands_in_for(start: Start, package: str, version: str) -> None:
    assert start(package).call("GetPluginInfo", {}) == {"version": version}


@pytest.mark.parametrize(
    ("package", "type_"),
    [
        ("docker", "docker:index/tag:Tag"),
        ("docker", "docker:index/image:Image"),
        ("command", "command:remote:Command"),
        ("command", "command:remote:CopyToRemote"),
        ("tls", "tls:index/unknown:Unknown"),
    ],
)
@pytest.mark.parametrize("method", ["Check", "Diff", "Create", "Read", "Update", "Delete"])
def test_unknown_types_are_refused_by_name(start: Start, package: str, type_: str, method: str) -> None:
    said = refusal(start(package).call(method, about(type_, "thing")))
    assert type_ in said
    assert "thing" in said
    assert CURE in said


@pytest.mark.parametrize(
    ("package", "token"),
    [
        ("docker", "docker:index/getRegistryImage:getRegistryImage"),
        ("tls", "tls:index/getPublicKey:getPublicKey"),
        ("command", "command:local:run"),
    ],
)
def test_unknown_functions_are_refused_by_name(start: Start, package: str, token: str) -> None:
    said = refusal(start(package).call("Invoke", {"tok": token}))
    assert token in said
    assert CURE in said


def test_all_uncovered_properties_are_named_at_once(start: Start) -> None:
    news = {
        "name": "x",
        "image": "app",
        "gpus": "all",
        "memroy": 12,
        "mounts": [{"type": "volume", "target": "/d", "volumeOptions": {"subpath": "s"}}],
        "healthcheck": {"tests": "CMD"},
        "deviceCgroupRules": ["c 1:3 mr"],
        "uploads": [{"file": "/a", "content": "x", "owner": "1", "group": "1"}],
    }
    said = failures(start("docker").call("Check", about(CONTAINER, news=news)))
    assert set(said) == {
        "gpus", "memroy", "mounts[0].volumeOptions.subpath", "healthcheck.tests", "deviceCgroupRules",
        "uploads",
    }  # fmt: skip
    assert "'memroy'" in said["memroy"]
    assert "expected list" in said["healthcheck.tests"]
    assert all(CURE in said[key] for key in said if key != "healthcheck.tests")


def test_missing_properties_are_named(start: Start) -> None:
    assert "image" in failures(start("docker").call("Check", about(CONTAINER, news={"ports": [{}]})))
    said = failures(start("tls").call("Check", about("tls:index/privateKey:PrivateKey", news={})))
    assert set(said) == {"algorithm"}


def test_a_write_only_key_is_refused_and_not_shown(start: Start) -> None:
    tls = start("tls")
    for type_, name in (("CertRequest", "privateKeyPem"), ("LocallySignedCert", "caPrivateKeyPem")):
        news = {f"{name}Wo": "s3cr3t", f"{name}WoVersion": 1, "certRequestPem": "x", "caCertPem": "x",
                "validityPeriodHours": 1, "allowedUses": []}  # fmt: skip
        token = f"tls:index/{type_[0].lower()}{type_[1:]}:{type_}"
        said = failures(tls.call("Check", about(token, news=news)))
        assert {f"{name}Wo", f"{name}WoVersion"} == {key for key in said if name in key}
        assert CURE in said[f"{name}Wo"]
        assert "s3cr3t" not in str(said)


@pytest.mark.parametrize("host", ["unix:///var/run/docker.sock", "tcp://10.0.0.1:2375", "ssh://"])
def test_docker_hosts_other_than_ssh_are_refused(start: Start, host: str) -> None:
    said = refusal(start("docker").call("Configure", {"args": {"host": host}}))
    assert host in said
    assert "ssh://" in said


def test_other_provider_settings_are_refused(start: Start) -> None:
    news = {"host": "ssh://web1", "registryAuth": "[]"}
    assert set(failures(start("docker").call("CheckConfig", {"urn": "u::v::w::x", "news": news}))) == {
        "registryAuth"
    }


def test_an_unreachable_host_is_named_with_what_ssh_said(start: Start) -> None:
    docker = start("docker")
    options = '["-F", "none", "-o", "BatchMode=yes"]'
    docker.call("Configure", {"args": {"host": "ssh://127.0.0.1:1", "sshOpts": options}})
    state = {"driver": "bridge", "name": "n"}
    said = refusal(docker.call("Read", about("docker:index/network:Network", id="0" * 64, properties=state)))
    # This is the message of docker 5.2.0.
    assert said.startswith(
        f"refreshing {_PREFIX}docker:index/network:Network::x: 1 error occurred:\n\t* failed to"
    )
    assert "Error pinging Docker server, please make sure that ssh://127.0.0.1:1 is reachable" in said
    assert "Connection refused" in said
    assert "Traceback" not in said + docker.stderr


def test_a_host_that_does_not_answer_is_dialled_once(start: Start, tmp_path: Path) -> None:
    docker = start("docker")
    (tmp_path / "dial").write_text(f"#!/bin/sh\necho dialled >> {tmp_path}/dials\nexit 1\n")
    options = f'["-F", "none", "-o", "ProxyCommand=sh {tmp_path}/dial"]'
    docker.call("Configure", {"args": {"host": "ssh://web1", "sshOpts": options}})
    for number in range(3):
        state = {"driver": "bridge", "name": "n"}
        request = about("docker:index/network:Network", id=str(number) * 64, properties=state)
        assert "web1" in refusal(docker.call("Read", request))
    assert (tmp_path / "dials").read_text() == "dialled\n"


def test_a_first_preview_needs_no_host(start: Start) -> None:
    docker = start("docker")
    docker.call("Configure", {"args": {"host": "ssh://nowhere.invalid"}})
    checked = docker.call("Check", about(CONTAINER, news={"image": "app"}))
    assert isinstance(checked, dict)
    made = docker.call("Create", about(CONTAINER, properties=checked["inputs"], preview=True))
    assert isinstance(made, dict)
    assert made["properties"]["networkDatas"] == "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    assert made["properties"]["memory"] is None


def test_a_name_that_is_not_given_is_made_once(start: Start) -> None:
    docker = start("docker")
    first = docker.call("Check", about(CONTAINER, "web", news={"image": "app"}))
    assert isinstance(first, dict)
    name = first["inputs"]["name"]
    assert name.startswith("web-")
    assert len(name) == len("web-") + 7
    assert "name" in first["inputs"]["__defaults"]
    again = docker.call("Check", about(CONTAINER, "web", news={"image": "app"}, olds=first["inputs"]))
    assert isinstance(again, dict)
    assert again["inputs"]["name"] == name


def test_a_failing_local_command_says_what_it_said(start: Start) -> None:
    said = refusal(
        start("command").call("Create", about(LOCAL, properties={"create": "echo a; echo b >&2; exit 7"}))
    )
    assert said == 'exit status 7: running "echo a; echo b >&2; exit 7":\na\nb\n'


def test_an_update_knows_what_the_command_said_before(start: Start) -> None:
    olds = {"create": "echo one", "stdout": "one", "stderr": ""}
    news = {"create": "echo one", "update": 'echo "$PULUMI_COMMAND_STDOUT, two"'}
    updated = start("command").call("Update", about(LOCAL, id="x1", olds=olds, news=news))
    assert isinstance(updated, dict)
    assert updated["properties"]["stdout"] == "one, two"


def test_large_outputs_and_inputs_do_not_block(start: Start) -> None:
    made = start("command").call(
        "Create", about(LOCAL, properties={"create": "cat", "stdin": "x" * 1_000_000, "logging": "none"})
    )
    assert isinstance(made, dict)
    assert len(made["properties"]["stdout"]) == 1_000_000


def test_its_commands_end_with_it(start: Start, tmp_path: Path) -> None:
    command = start("command")
    create = f"sleep 300 & echo $! > {tmp_path}/pid; wait"
    thread = threading.Thread(
        target=command.call, args=("Create", about(LOCAL, properties={"create": create}))
    )
    thread.start()
    until((tmp_path / "pid").exists)
    until(lambda: (tmp_path / "pid").read_text() != "")
    child = int((tmp_path / "pid").read_text())
    assert runs(child)
    command.call("Cancel", {})
    thread.join(60)
    until(lambda: not runs(child))
    # The engine may call a plugin that ends before its SIGINT one that "exited prematurely".
    assert command.process.poll() is None
    assert command.call("Create", about(LOCAL, properties={"create": "true"})) == CANCELLED


SLOW_DOCKER = """#!{python}
import http.server, json, pathlib, signal, sys, time

VOLUME = {{"Name": "x", "Driver": "local", "Options": None, "Labels": None, "Mountpoint": "/x"}}

class Docker(http.server.BaseHTTPRequestHandler):
    protocol_version, rfile, wfile = "HTTP/1.1", sys.stdin.buffer, sys.stdout.buffer
    close_connection = False

    def __init__(self):
        while not self.close_connection:
            self.handle_one_request()

    def do_GET(self):
        text = json.dumps({{"ApiVersion": "1.41"}} if self.path.endswith("/version") else VOLUME).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        pathlib.Path({folder!r}, "asked").touch()
        end = time.monotonic() + 60
        while not pathlib.Path({folder!r}, "go").exists() and time.monotonic() < end:
            time.sleep(0.05)
        self.do_GET()

    def log_message(self, *_):
        pass

def end(*_):
    pathlib.Path({folder!r}, "ended").touch()
    sys.exit()

signal.signal(signal.SIGTERM, end)
Docker()
for _ in range(600):  # the host is slow to hang up; one long sleep may begin just after the signal
    time.sleep(0.1)
"""


@pytest.mark.parametrize("number", [None, signal.SIGINT, signal.SIGTERM], ids=str)
def test_what_docker_does_when_the_engine_cancels_ends_in_the_state(
    tmp_path: Path, number: signal.Signals | None
) -> None:
    """A second Ctrl-C of the user brings the signal."""
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(SLOW_DOCKER.format(python=sys.executable, folder=str(tmp_path)))
    ssh.chmod(0o755)
    docker = PluginProcess("docker", tmp_path, {"PATH": f"{ssh.parent}:{os.environ['PATH']}"})
    docker.call("Configure", {"args": {"host": "ssh://web1"}})
    volume = about("docker:index/volume:Volume", properties={"name": "x", "driver": "local"})
    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(docker.call, "Create", volume)
        until((tmp_path / "asked").exists)
        docker.call("Cancel", {})
        assert docker.call("Create", volume) == CANCELLED
        if number:
            docker.process.send_signal(number)
        time.sleep(1.5)  # longer than calls may take that nobody waits for
        assert docker.process.poll() is None
        (tmp_path / "go").touch()
        made = making.result(60)
    assert isinstance(made, dict), made
    assert made["id"] == "x"
    docker.close()
    assert (tmp_path / "ended").exists(), "ssh was killed after a while"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_on_a_signal(start: Start, number: signal.Signals) -> None:
    plugin = start("tls")
    plugin.process.send_signal(number)
    assert plugin.process.wait(60) == 0


def test_it_ends_when_the_engine_is_killed(tmp_path: Path) -> None:
    """The engine's death closes nothing that we read: the parent is watched."""
    launcher = str(LAUNCHERS / "pulumi-resource-docker")
    code = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.argv[1]], stdout=subprocess.PIPE)\n"
        "p.stdout.readline(); print(p.pid, flush=True); time.sleep(60)\n"
    )
    environment = {**os.environ, "PORTCULLIS_CACHE": str(tmp_path)}
    engine = subprocess.Popen(
        [sys.executable, "-c", code, launcher],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert engine.stdout is not None
    plugin = int(engine.stdout.readline())
    assert runs(plugin)
    engine.kill()
    engine.wait()
    engine.stdout.close()
    until(lambda: not runs(plugin))
