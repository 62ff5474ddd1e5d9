"""Runs the agent as a host does: from its zip, under python3 -I, in a process of its own."""

from __future__ import annotations

import ast
import base64
import contextlib
import fcntl
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent import main
from portcullis.host import agent_process
from portcullis.host.bundle import agent_bundle
from portcullis.host.provider import HostProvider
from portcullis.provider.base import import_kinds, kinds
from tests.on_host import OTHER_URN, STACK, URN, WHO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CODE = zipfile.ZipFile(io.BytesIO(agent_bundle().data))
import_kinds()
KINDS = [kind.kind for kind in kinds().values() if issubclass(kind, HostProvider)]
MODULES = sorted(name for name in CODE.namelist() if CODE.read(name))

HANG = 60  # seconds

# This program starts the agent like the client's bootstrap, but with the host's folders in a test's folder.
BOOT = """
import sys
sys.path.insert(0, {zip!r})
from pathlib import Path
from portcullis.agent import main
from portcullis.agent.machine import Machine
root = Path({root!r})
main.Machine = lambda peer: Machine(root=root, dpkg=root / "dpkg", state=root / "state", lock=root / "lock")
main.main({pending!r})
"""


class Agent:
    """A running agent in a process of its own."""

    def __init__(self, root: Path, pending: tuple[str, ...] = ()) -> None:
        zipped = root / "agent.pyz"
        if not zipped.exists():
            zipped.write_bytes(agent_bundle().data)
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", BOOT.format(zip=str(zipped), root=str(root), pending=list(pending))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.number = 0

    def send(self, op: str, **arguments: Any) -> int:
        self.number += 1
        self.write(json.dumps({"id": self.number, "op": op, "stack": STACK, "who": WHO, **arguments}))
        return self.number

    def write(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        number = self.send(op, **arguments)
        answer = self.read()
        assert answer["id"] == number
        return answer

    def put(self, path: Path, content: str, owner: str = URN, **more: Any) -> int:
        desired = {"path": str(path), "content": content, **more}
        return self.send("put", kind="file", item=str(path), desired=desired, owner=owner, adopt=False)

    def end(self) -> None:
        """Close its input, and wait for its end."""
        assert self.process.communicate(timeout=HANG)[1] == ""
        assert self.process.returncode == 0


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    agents: list[Agent] = []

    def make(*pending: str) -> Agent:
        agents.append(Agent(tmp_path, pending))
        return agents[-1]

    yield make
    for agent in agents:
        agent.process.kill()
        agent.process.wait()
        for stream in (agent.process.stdin, agent.process.stdout, agent.process.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.close()  # type: ignore[union-attr]


def test_it_answers_and_ends_with_its_input(start: Callable[..., Agent], etc: Path) -> None:
    agent = start(json.dumps({"id": 90, "op": "hello"}))
    hello = agent.read()
    assert (hello["id"], hello["ok"], set(hello["result"])) == (
        90, True, {"agent", "os", "kernel", "python", "hostname"},
    )  # fmt: skip
    agent.put(etc / "a", "é\n")
    assert agent.read()["result"]["facts"]["content"] == "é\n"
    sent = base64.b64encode(os.urandom(1 << 18)).decode()
    digest = hashlib.sha256(base64.b64decode(sent)).hexdigest()
    assert agent.ask("blob", path=str(etc / "site"), sha=digest, data=sent, last=True)["ok"]
    agent.end()


def test_it_leaves_no_core_dump_which_could_hold_secrets(start: Callable[..., Agent]) -> None:
    agent = start(json.dumps({"id": 90, "op": "hello"}))
    agent.read()
    limits = Path(f"/proc/{agent.process.pid}/limits").read_text()
    (core,) = [line.split() for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core[4:6] == ["0", "0"]


def test_what_came_with_the_machine_is_recorded_before_the_first_change(
    start: Callable[..., Agent], tmp_path: Path, etc: Path
) -> None:
    (etc / "before").touch()
    (tmp_path / "dpkg").mkdir()
    (tmp_path / "dpkg/status").touch()
    agent = start()
    agent.ask("survey", items=[])
    assert not (tmp_path / "state").exists()
    numbers = {agent.put(etc / name, "x") for name in ("a", "b", "c")}
    assert {agent.read()["id"] for _ in numbers} == numbers
    agent.end()
    kept = json.loads((tmp_path / "state/inventory/baseline.json").read_bytes())
    assert set(kept["found"]["files"]) == {"/etc/before"}
    assert json.loads((tmp_path / "state/inventory/walk.json").read_bytes())["time"] > 0


def test_a_baseline_that_cannot_be_recorded_is_an_error_with_its_cause(
    start: Callable[..., Agent], tmp_path: Path, etc: Path
) -> None:
    (tmp_path / "state").write_text("no folder")
    agent = start()
    agent.put(etc / "a", "x")
    error = agent.read()["error"]
    assert error["message"].startswith(f"{tmp_path}/state/inventory/baseline.json cannot be written"), error
    assert not (etc / "a").exists()


def test_requests_from_before_the_end_of_input_are_finished(start: Callable[..., Agent], etc: Path) -> None:
    agent = start()
    for number in range(12):
        agent.put(etc / f"f{number}", "x", test=["sleep", "0.1"])
    agent.end()
    assert len(list(etc.iterdir())) == 12


def test_after_a_client_has_gone_its_last_request_is_finished_and_the_agent_ends(
    start: Callable[..., Agent], etc: Path
) -> None:
    agent = start()
    agent.put(etc / "a", "x", test=["sleep", "0.3"])
    assert agent.process.stdin is not None
    assert agent.process.stdout is not None
    agent.process.stdout.close()  # answers go nowhere
    agent.process.stdin.close()
    assert agent.process.wait(HANG) == 0
    assert (etc / "a").read_text() == "x"


def test_an_idle_session_ends_and_releases_the_lock(
    start: Callable[..., Agent], etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys.modules[__name__], "BOOT", BOOT.replace("main.main(", "main.IDLE_LIMIT = 2; main.main(")
    )
    agent = start()
    agent.put(etc / "a", "x", test=["sleep", "3"])
    assert agent.read()["ok"]  # work is not idleness
    assert agent.process.wait(HANG) == 0


def test_a_client_that_only_sends_signs_of_life_keeps_its_session(
    start: Callable[..., Agent], etc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys.modules[__name__], "BOOT", BOOT.replace("main.main(", "main.IDLE_LIMIT = 8; main.main(")
    )
    agent = start()
    agent.put(etc / "a", "x")
    assert agent.read()["ok"]
    for _ in range(20):
        time.sleep(0.5)
        agent.write("")
    agent.put(etc / "b", "x")
    assert agent.read()["ok"]


def test_the_lock_of_a_dead_client_is_free_within_half_a_minute() -> None:
    """The network may not report that a client died.

    A living client sends an empty line every few seconds.
    """
    assert main.IDLE_LIMIT + main.IDLE_LIMIT / 30 < 30
    assert main.IDLE_LIMIT >= 5 * agent_process.LIVES, "one late sign of life would end a session"


def test_four_puts_run_in_parallel_and_all_succeed(
    start: Callable[..., Agent], etc: Path, tmp_path: Path
) -> None:
    agent = start()
    begun = tmp_path / "begun"
    begun.mkdir()
    # Each waits for the three others. One after the other, the first would wait until its time limit.
    all_four = f"until [ $(ls {begun} | wc -l) = 4 ]; do sleep 0.05; done"
    for name in "abcd":
        agent.put(etc / name, name, validate=["sh", "-c", f"touch {begun}/{name}; {all_four}"])
    answers = [agent.read() for _ in range(4)]
    assert all(answer["ok"] for answer in answers), answers
    assert sorted(answer["id"] for answer in answers) == [1, 2, 3, 4]
    assert {p.name: p.read_text() for p in etc.iterdir()} == {n: n for n in "abcd"}


def test_of_two_resources_that_put_one_file_one_wins_and_the_other_is_a_conflict(
    start: Callable[..., Agent], etc: Path
) -> None:
    agent = start()
    for number in range(10):
        agent.put(etc / "a", "x", owner=(URN, OTHER_URN)[number % 2])
    answers = [agent.read() for _ in range(10)]
    codes = sorted("ok" if answer["ok"] else answer["error"]["code"] for answer in answers)
    assert codes == ["conflict"] * 5 + ["ok"] * 5


def test_a_second_deployment_learns_who_holds_the_lock_and_may_read(
    start: Callable[..., Agent], etc: Path
) -> None:
    first, second = start(), start()
    first.put(etc / "a", "x")
    assert first.read()["ok"]
    second.put(etc / "b", "x")
    error = second.read()["error"]
    assert error["code"] == "locked"
    assert WHO in error["message"]
    assert STACK in error["message"]
    assert [item["id"] for item in second.ask("survey", items=[])["result"]["items"]] == [str(etc / "a")]
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    second.put(etc / "b", "x")
    assert second.read()["ok"]


def test_a_program_that_we_start_does_not_inherit_the_lock(
    start: Callable[..., Agent], etc: Path, tmp_path: Path
) -> None:
    agent = start()
    pid_file = tmp_path / "pid"
    agent.put(etc / "a", "x", test=["sh", "-c", f"sleep 60 >/dev/null & echo $! > {pid_file}"])
    assert agent.read()["ok"]
    try:
        with (tmp_path / "lock").open() as lock:
            agent.end()
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert not (tmp_path / "lock").exists()
    finally:
        os.kill(int(pid_file.read_text()), signal.SIGKILL)


def test_a_daemon_that_a_test_leaves_behind_does_not_block_the_agent(
    start: Callable[..., Agent], etc: Path, tmp_path: Path
) -> None:
    agent = start()
    pid_file = tmp_path / "pid"
    # The daemon outlives the time limit of the test: an agent that waits for it answers with an error.
    agent.put(etc / "a", "x", test=["sh", "-c", f"sleep 120 & echo $! > {pid_file}"])
    assert agent.read()["ok"]
    os.kill(int(pid_file.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("line", ["not json", "[]", '"x"', "{}", '{"id": 5, "op": "put", "kind": "file"}'])
def test_a_malformed_request_gets_an_error_that_does_not_quote_it(
    start: Callable[..., Agent], line: str
) -> None:
    agent = start()
    agent.write(line)
    error = agent.read()["error"]
    known = ("internal", True) if "id" in line else ("invalid", False)
    assert (error["code"], ".py:" in error["message"]) == known
    assert agent.ask("hello")["ok"]


def test_an_internal_error_never_carries_content(start: Callable[..., Agent], etc: Path) -> None:
    agent = start()
    agent.put(
        etc / "a", "x", owner=URN, group="hunter2\ud800"
    )  # the exception quotes the text that it cannot encode
    error = agent.read()["error"]
    assert error["code"] == "internal"
    assert "UnicodeEncodeError at " in error["message"]
    assert "hunter2" not in json.dumps(error)


@pytest.mark.parametrize(
    "request_", [{"op": "nothing"}, {"op": "put", "kind": "moon", "item": "x", "desired": {}}]
)
def test_an_unknown_operation_or_kind_is_an_error(
    start: Callable[..., Agent], request_: dict[str, Any]
) -> None:
    assert start().ask(**request_)["error"]["code"] == "invalid"


def test_the_bundle_holds_the_agent_and_every_part_that_runs_on_a_host() -> None:
    parts = {name.split("/")[2] for name in MODULES if "/on_host" in name}
    assert {"file", "service", "fail2ban", "firewall", "nginx", "ssh"} <= parts
    assert "portcullis/agent/main.py" in MODULES
    assert all("/on_host" in name or name.endswith("/facts.py") for name in MODULES if "/agent/" not in name)


def python_310() -> str | None:
    """Return a Python 3.10 of this machine, from PATH or from pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for found in [shutil.which("python3.10"), *map(str, pyenv.glob("versions/3.10*/bin/python3.10"))]:
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    return None


def imported_by(python: str, tmp_path: Path) -> None:
    """Import every module of the bundle from its zip, and resolve the data classes of each kind."""
    bundle = tmp_path / "agent.zip"
    bundle.write_bytes(agent_bundle().data)
    names = [name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in MODULES]
    program = f"""\
import importlib, sys, typing
sys.path.insert(0, {str(bundle)!r})
from portcullis.agent import kinds
for name in {names!r}:
    importlib.import_module(name)
for kind in {sorted(KINDS)!r}:
    made = kinds.class_in(importlib.import_module(kinds.module_of(kind)))
    for one in (made.spec_type, made.desired_type, made.facts_type):
        typing.get_type_hints(one)
"""
    done = subprocess.run(
        [python, "-I", "-S", "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_every_module_of_the_bundle_is_imported_without_site_packages(tmp_path: Path) -> None:
    imported_by(sys.executable, tmp_path)


def test_every_module_of_the_bundle_is_imported_by_python_310(tmp_path: Path) -> None:
    python = python_310()
    if python is None:
        pytest.skip("there is no Python 3.10 on this machine; the syntax and the imports are checked below")
    imported_by(python, tmp_path)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_is_python_3_10_and_standard_library_only(module: str) -> None:
    source = CODE.read(module).decode()
    tree = ast.parse(source, feature_version=(3, 10))
    for_checkers = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for inner in branch.body
        for node in ast.walk(inner)
    }
    for node in {*ast.walk(tree)} - for_checkers:
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            ours = f"{name.replace('.', '/')}.py" in CODE.namelist()
            ours |= f"{name.replace('.', '/')}/__init__.py" in CODE.namelist()
            assert ours or name.split(".")[0] in sys.stdlib_module_names, name
    assert "import pulumi" not in source
