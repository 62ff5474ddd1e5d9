"""Without differences, the report about a real host is one line.

Otherwise it has one line for each change by hand.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e.project import STACK
from tests.e2e.stack.program import SITE, SITE_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.stack.program import Program

pytestmark = pytest.mark.e2e
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBFoqvPPJ1wBwTgpQ0RyF2uXJgL0pTfPGOxnUTZ0Hq4y evil"
# Commands that change the host by hand, and the line about each change, with its remedy.
BY_HAND = [
    (
        "echo 'mallory ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/mallory",
        r"  !! /etc/sudoers\.d/mallory: gives root rights: .* — up removes it",
    ),
    ("ufw allow 9200/tcp", r"  !! ufw: 9200/tcp allowed — up removes it"),
    (f"echo '# by hand' >>{SITE_FILE}", rf"   ! {re.escape(SITE_FILE)}: text differs — up fixes it"),
    ("nft delete table inet portcullis", r"  !! forward filter: .* — up loads it"),
    ("docker rm -f $(docker ps -q)", r"   ! hello\S*: container is gone — up starts it"),
    (
        "docker run -d --name leak -p 3306:3306 --entrypoint sleep $(docker image ls -q | head -1) 9999",
        r"  !! container leak: publishes \S+:3306, .* — stays; remove it yourself: docker rm -f leak",
    ),
]


def portcullis(program: Program, *words: str, code: int = 0) -> str:
    """Run the command as people do; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "portcullis", *words, "--stack", STACK], cwd=program.folder, env=program.env,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    for noise in (
        "Traceback",
        "KeyboardInterrupt",
        "from $PATH",
        *(["urn:pulumi"] * ("--json" not in words)),
    ):
        assert noise not in done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def told(program: Program) -> Program:
    """Deploy a host with `portcullis up` only."""
    program._ensure_stack()
    said = portcullis(program, "up", "--yes")
    assert f"  http://{SITE}" in said or f"  https://{SITE}" in said
    return program


def test_after_an_up_a_preview_is_one_line_without_a_refresh_between(told: Program) -> None:
    said = portcullis(told, "preview")
    assert re.fullmatch(r"web1: no differences in \d+ resources \(\d+ s\)\n", said), said
    assert portcullis(told, "up", "--yes").startswith("web1: no differences in")


def test_each_thing_that_somebody_did_is_one_line_with_its_remedy(told: Program) -> None:
    for command, _ in BY_HAND:
        told.host.run(command)
    said = portcullis(told, "preview", code=2)
    lines = said.splitlines()
    for command, line in BY_HAND:
        assert [one for one in lines if re.fullmatch(line, one)], f"{command}: {line}\n{said}"
    assert len([line for line in lines if line.startswith("  ")]) <= len(BY_HAND) + 1, said
    assert len(lines) <= len(BY_HAND) + 10
    assert ", 0 changes in your code" in lines[0]
    assert json.loads(portcullis(told, "preview", "--json", code=2))["result"] == "differences"


def test_up_mends_it_and_names_what_it_left(told: Program) -> None:
    said = portcullis(told, "up", "--yes")
    assert f"✓ {SITE_FILE}: text differs" in said
    assert "left as it is, for you to decide:" in said
    assert said.rstrip().endswith("remove it yourself: docker rm -f leak")
    told.host.run("docker rm -f leak")
    assert portcullis(told, "preview").startswith("web1: no differences in")


def test_a_change_of_the_settings_is_one_in_your_code(told: Program) -> None:
    told.set("apps.hello", memory=300)
    said = portcullis(told, "preview", code=2)
    told.set("apps.hello", memory=None)
    assert said.startswith("web1: 0 changes made by hand, ")
    assert re.search(r"^     hello\S*: .*memory \d+, declared 300", said, re.MULTILINE), said


def test_an_acceptance_takes_effect_by_itself_and_so_does_its_end(told: Program) -> None:
    told.host.run("touch /etc/cron.d/provider")
    found = r"  !! /etc/cron\.d/provider: .* — stays; remove it yourself: rm /etc/cron\.d/provider"
    said = portcullis(told, "drift", code=2).splitlines()
    assert [line for line in said if re.fullmatch(found, line)], said
    told.set("hosts.web1", inventory={"accept": {"file /etc/cron.d/provider": "tried for a day"}})
    title, line, *_ = portcullis(told, "preview", code=2).splitlines()
    assert "0 changes made by hand, 1 change in your code" in title
    subject, reason = "file /etc/cron.d/provider", "tried for a day"
    assert line.strip() == f"{subject}: accepted: {reason} — up no longer reports it"
    assert "web1: 1 done in" in portcullis(told, "up", "--yes")
    assert portcullis(told, "drift").startswith("web1: no differences in")
    told.set("hosts.web1", inventory=None)
    assert "file /etc/cron.d/provider: no longer accepted" in portcullis(told, "up", "--yes")
    said = portcullis(told, "preview", code=2).splitlines()
    assert [line for line in said if re.fullmatch(found, line)], said
    told.host.run("rm /etc/cron.d/provider")
    assert portcullis(told, "preview").startswith("web1: no differences in")


def test_faults_of_the_settings_stand_alone(told: Program) -> None:
    told.set("apps.hello", prot=8080)
    said = portcullis(told, "preview", code=1)
    told.set("apps.hello", prot=None)
    assert said.startswith("error: The settings of this stack have ")
    assert all(line.startswith("  ") for line in said.splitlines()[1:]), said
    settings = told.settings.read_text()
    told.settings.write_text(settings + "\n  broken: [\n")
    said = portcullis(told, "preview", code=1)
    told.settings.write_text(settings)
    assert f"Pulumi.{STACK}.yaml" in said
    assert "is not YAML" in said


def test_a_host_that_does_not_answer_says_so_once(told: Program, tmp_path: Path) -> None:
    (tmp_path / "ssh").write_text(
        "#!/bin/sh\necho 'ssh: connect to host x port 22: Connection refused' >&2\nexit 255\n"
    )
    (tmp_path / "ssh").chmod(0o755)
    before = told.env
    told.env = {**before, "PATH": f"{tmp_path}:{before['PATH']}"}
    said = portcullis(told, "preview", code=1)
    told.env = before
    assert said.count("error:") == 1, said
    assert len(said.splitlines()) < 10, said
