"""The policy pack on the real engine finds the same as `portcullis policy`. No host is needed."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.policy.policy_stack import ROOT, Checkout, lab
from tools import engine

if TYPE_CHECKING:
    from pathlib import Path

STACK = "checked"
SOON = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=30)).isoformat()
TIMEOUT = 180.0


class Stack:
    """A checkout with its own stack and state. The stack is never deployed."""

    def __init__(self, folder: Path) -> None:
        self.checkout = Checkout(folder)
        self.folder = self.checkout.folder
        for part in (".venv", "plugin"):
            (self.folder / part).symlink_to(ROOT / part)
        (self.folder / "state").mkdir()
        asked = [sys.executable, str(ROOT / "tools/engine.py"), "env", "--json"]
        told = json.loads(subprocess.run(asked, capture_output=True, check=True, timeout=600).stdout)
        self.env = {**os.environ, **told}
        self.env |= {"PULUMI_BACKEND_URL": (self.folder / "state").as_uri(), "XDG_RUNTIME_DIR": str(folder)}
        self.env.pop("PYTHONPATH", None)
        ready = engine.find()
        # What an official language host runs, the one beside an engine that was built cannot.
        self.pack = "policy" if ready and ready.official else "policy/portcullis-policy"
        self.run("pulumi", "stack", "init", STACK)

    def declare(self, config: dict[str, Any]) -> None:
        # JSON is valid YAML. `stack init` wrote the salt of the state into the head of the file.
        file = self.folder / f"Pulumi.{STACK}.yaml"
        head = file.read_text().partition("config:")[0] if file.exists() else ""
        file.write_text(f"{head}config: {json.dumps(config)}\n")

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False, timeout=TIMEOUT
        )

    def preview(self, *more: str) -> subprocess.CompletedProcess[str]:
        return self.run("pulumi", "preview", "--stack", STACK, "--non-interactive", "--color=never", *more)

    def check(self, *more: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-W", "ignore", "-m", "portcullis", "policy", "--stack", STACK, *more)


def of_engine(output: str) -> Counter[tuple[str, str]]:
    """Return the policy and the resource of each finding in the engine's output."""
    found = re.findall(r"- \[mandatory\]  (\S+)  \(\S+: ([^)]+)\)", output)
    return Counter((policy, resource) for policy, resource in found)


def of_verb(output: str) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for policy, findings in re.findall(r"^stop +(\S+)\n((?: .*\n)+?) +Why: ", output, re.MULTILINE):
        for resource in re.findall(r"^ {7}(?!The exemption )(?:([\w.-]+): )?\S", findings, re.MULTILINE):
            # A finding about the whole stack has no resource here. The engine names the stack as its
            # resource.
            found[policy, resource or f"portcullis-{STACK}"] += 1
    return found


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path)


@pytest.mark.e2e
def test_the_engine_and_the_verb_policy_find_the_same(stack: Stack, tmp_path: Path) -> None:
    config = lab(tmp_path)
    stack.declare(config)
    passed = stack.preview("--policy-pack", stack.pack)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert re.search(r"portcullis@v0\.1\.0", passed.stdout)
    assert not of_engine(passed.stdout)
    assert stack.check().returncode == 0

    # Four pull requests in one.
    stack.checkout.edit("components/containers/component.py", "ip=bind, internal", 'ip="0.0.0.0", internal')
    stack.checkout.edit("components/mongodb/component.py", '                    "--auth",\n', "")
    stack.checkout.edit(
        "components/ssh/render/sshd.py",
        '_Option("PasswordAuthentication", "no", ',
        '_Option("PasswordAuthentication", "yes", ',
    )
    firewall = stack.folder / "components/firewall/component.py"
    declared = re.search(
        r"        self\.forward = ForwardFilter\(.*?\n        \)\n", firewall.read_text(), re.DOTALL
    )
    assert declared
    firewall.write_text(firewall.read_text().replace(declared[0], "        self.forward = packages\n"))

    stopped = stack.preview("--policy-pack", stack.pack)
    assert stopped.returncode != 0
    checked = stack.check()
    assert checked.returncode == 1
    expected = of_verb(checked.stdout)
    assert {policy for policy, _ in expected} == {
        "no-public-bind",
        "store-must-authenticate",
        "ssh-without-passwords",
        "host-has-filter",
    }
    # The engine asks about the stack as a whole only where no resource was stopped.
    told = of_engine(stopped.stdout)
    assert told == Counter({key: count for key, count in expected.items() if key in told})
    assert {policy for policy, _ in told} >= {"no-public-bind", "store-must-authenticate"}
    said = " ".join(stopped.stdout.split())
    assert (
        "mongo-container: publishes port 27017 on 0.0.0.0. Why: ufw does not stop ports that Docker" in said
    )


@pytest.mark.e2e
def test_an_exemption_holds_for_both(stack: Stack, tmp_path: Path) -> None:
    config = lab(tmp_path)
    config["portcullis:hosts"]["web1"]["firewall"] = {"public": {"27017/tcp": {}}}
    config["portcullis:policy"] = {
        "exempt": {
            "no-open-database-port": {
                "web1-firewall-forward": {"reason": "Auditors read the replica.", "until": SOON}
            }
        }
    }
    stack.declare(config)
    checked = stack.check()
    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert of_verb(checked.stdout) == {("no-open-database-port", "web1-firewall-policy"): 1}
    assert "exempt no-open-database-port: web1-firewall-forward" in checked.stdout
    stopped = stack.preview("--policy-pack", stack.pack)
    assert stopped.returncode != 0
    assert of_engine(stopped.stdout) == {("no-open-database-port", "web1-firewall-policy"): 1}
