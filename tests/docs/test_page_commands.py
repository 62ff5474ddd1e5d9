"""Runs the commands of the other pages in a fresh clone of the repository, on a lab host of the clone."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
import yaml

from lab import keys, machine, network
from tests.docs.clone import SITE_FILE, Clone
from tests.docs.pages import GUIDE, PAGES, ROOT, RUNBOOKS, blocks
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.pytest_lab import Lab


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, lab: Lab) -> Iterator[Clone]:  # noqa: ARG001
    made = Clone(tmp_path_factory.mktemp("pages") / "portcullis", "pages")
    made.run("make demo")
    yield made
    made.run("make down")


def test_the_lines_of_make_tunnels_lead_to_a_store(clone: Clone, tmp_path: Path) -> None:
    said = clone.run("make tunnels")
    printed = dict(re.findall(r"^  (\S[^:]*): +(.*)$", said, re.MULTILINE))
    (tmp_path / ".ssh").mkdir(mode=0o700)
    for line in ("once, the host's key", "once, the key"):
        clone.run(f"export HOME={tmp_path}; {printed[line]}")
    assert (tmp_path / ".ssh/tunnel-alice-web1").stat().st_mode & 0o077 == 0
    assert re.fullmatch(r"redis://api-\d+@localhost:6379", printed["redis-api"])
    user = printed["redis-api"].partition("://")[2].partition("@")[0]
    # Its own ports may be taken on this machine, and ssh asks the password file where home is.
    port = free_port()
    command = (
        printed["the tunnel"].replace("-L 27017:172.17.0.1:27017 ", "").replace("-L 6379:", f"-L {port}:")
    )
    known = f"-F /dev/null -o BatchMode=yes -o UserKnownHostsFile={tmp_path}/.ssh/known_hosts"
    command = command.replace("ssh -N", f"exec ssh -N {known}")
    with subprocess.Popen(["bash", "-c", f"export HOME={tmp_path}; {command}"]) as tunnel:
        try:
            password = clone.run(printed["its password"].replace("mongo-shop", "redis-api")).strip()
            deadline = time.monotonic() + 120
            while (answer := asked(port, "PING")) == "" and time.monotonic() < deadline:
                time.sleep(0.1)
            assert answer.startswith("-NOAUTH")
            assert asked(port, f"AUTH {user} {password}") == "+OK"
        finally:
            tunnel.terminate()


def asked(port: int, line: str) -> str:
    """Return the answer of Redis at a local port, or an empty text if nothing listens yet."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
            connection.sendall(f"{line}\r\n".encode())
            return connection.makefile().readline().strip()
    except ConnectionRefusedError:
        return ""


def test_the_guide(clone: Clone) -> None:
    """Run the code blocks of the demo tutorial, without the first and the last block."""
    demo, by_hand, look, mend, change, who, told, down = blocks(GUIDE)
    assert (demo, down) == (["make demo"], ["make down"])

    def run(line: str) -> str:
        return clone.run(line)

    for line in by_hand:
        # The tutorial quotes $(…), so that the shell on the host runs the command in it.
        run(line)
    said = run(look[0])
    assert f"   ! {SITE_FILE}: text differs — up fixes it" in said
    assert "docker rm -f leak" in said
    scanned(clone, look[1])
    for line in mend:
        run(line)
    assert "no differences in" in run("make preview")
    run(change[0])
    said = run(change[1])
    assert "certificate old.example.com: new — up creates it" in said
    assert "shop.example.com.conf" not in said, "the existing site must not change"
    run(change[2])
    assert "flowchart LR" in run(who[0])
    said = run(told[0])
    assert "0 stop the stack" in said
    assert "no differences in" in (clone.folder / ".portcullis/pipeline/comment.md").read_text()
    assert "0 stop the stack" in run(told[1])


def scanned(clone: Clone, line: str) -> str:
    """Run a scan, which has to find the host as declared. Return the output of the scan."""
    said = clone.run(line)
    assert "open ports and certificates are as declared" in said
    return said


def test_the_gate_and_the_map_of_the_demo(clone: Clone) -> None:
    clone.run("make demo")
    said = scanned(clone, "make scan")
    for port in ("22/tcp", "80/tcp", "443/tcp"):
        assert len(re.findall(rf"^ +ok +{port} +open", said, re.MULTILINE)) == 2, "by IPv4 and IPv6"
    assert "flowchart LR" in clone.run("make map")
    assert "shop.example.com" in (clone.folder / ".portcullis" / "map.html").read_text()
    file = clone.folder / "preview.json"

    def previewed() -> str:
        clone.run(f". tools/env.sh; pulumi preview --stack lab --json >{file}")
        return clone.run(f"make map MAP='--preview {file}'")

    said = previewed()
    assert re.search(r"site\d --> container1", said), said
    assert not re.search(r"^[+-] ", said, re.MULTILINE), said

    settings = clone.folder / "Pulumi.lab.yaml"
    before = settings.read_text()
    written = yaml.safe_load(before)
    written["config"]["portcullis:hosts"]["web1"]["firewall"] = {"allow": {"8443/tcp": {}}}
    settings.write_text(yaml.safe_dump(written))
    said = previewed()
    settings.write_text(before)
    assert sorted(re.findall(r"^[+-] .*", said, re.MULTILINE)) == [
        "+ internet reaches 8443/tcp", "+ neighbour reaches 8443/tcp", "+ port 8443/tcp on web1",
    ]  # fmt: skip


def test_the_commands_of_the_other_pages(clone: Clone) -> None:
    """Run the commands of the other how-to and explanation pages, on the stack of the lab host."""

    def lines(page: str) -> list[str]:
        return [line.removeprefix("$ ") for block in blocks(ROOT / "docs" / page) for line in block]

    def run(line: str, text: str = "") -> str:
        line = line.replace("prod", "lab").replace("NAME", "api-secrets").partition("  #")[0]
        return clone.run(f". tools/env.sh; pulumi stack select lab; {line}", text=text)

    settings = clone.folder / "Pulumi.lab.yaml"
    before = settings.read_text()
    of_own, user, password, listed, printed = lines("secrets.md")
    run(of_own, "sk_planted")
    run(user)
    run(password, "hunter2")
    written = settings.read_text()
    assert written.count("secure:") == before.count("secure:") + 2
    assert "sk_planted" not in written
    assert "hunter2" not in written
    settings.write_text(before)
    assert "redis_url" in run(listed)
    assert run(printed).strip().splitlines()[-1].startswith("redis://")

    (told,) = lines("tunnels.md")
    assert "the tunnel:" in run(told)
    for line in lines("scan-and-map.md"):
        if "scan" in line:
            scanned(clone, f". tools/env.sh; {line.replace('prod', 'lab')}")
        else:
            assert "flowchart LR" in run(line)

    against, alone, page = lines("pull-requests.md")
    # The settings file `Pulumi.prod.yaml` of the repository is compared with itself.
    clone.run("git worktree add -q ../base HEAD")
    said = clone.run(f". tools/env.sh; {against}")
    assert "no differences" in said
    run(alone)
    assert "### Preview of `lab`" in run(page)


def test_the_runbooks_commands(clone: Clone) -> None:
    """Each block as it stands there, on the disposable host's stack; the last one destroys it."""

    def run(block: list[str]) -> str:
        # What a person's shell has from `pulumi login` is that stack's own environment here.
        lines = [line.replace("prod", "lab") for line in [*blocks(RUNBOOKS)[0], *block]]
        return clone.run("\n".join(["set -e; . tools/env.sh", *lines]), timeout=600)

    # Those of an upgrade are run by tests/e2e/upgrades.
    prepared, locked_out, look, unlock, rotate, restore, *_upgrade, last_backup, destroy = blocks(RUNBOOKS)
    assert prepared == ['export PATH="$PWD/bin:$PATH"']
    assert "Status for the jail: sshd" in run(locked_out)
    assert "no differences" in run(look)

    killed_in_the_middle(clone)
    assert "currently locked" in clone.run("set -e; . tools/env.sh; pulumi up --yes --stack lab", fails=True)
    assert re.search(r"no differences| done in ", run(unlock))

    before = clone.run(". tools/env.sh; pulumi stack output --stack lab --json tunnels")
    run(rotate)
    assert clone.run(". tools/env.sh; pulumi stack output --stack lab --json tunnels") != before

    # Something to bring back: an item of the shop is in both stores.
    item = """https://shop.example.com/api/items --json '{"name": "kept"}'"""
    assert "kept" in clone.run(f". tools/env.sh; python lab/lab.py fetch --host {clone.host} {item}")
    run(last_backup)
    said = run(restore)
    assert "documents restored" in said
    assert "- " in run(destroy)


def killed_in_the_middle(clone: Clone) -> None:
    """Kill an `up` as soon as it has the stack's lock."""
    locks = clone.folder / ".pulumi-state/.pulumi/locks"
    line = ". tools/env.sh; exec pulumi up --stack lab --yes --skip-preview"
    with subprocess.Popen(
        ["bash", "-c", line], cwd=clone.folder, env=clone.env, process_group=0,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as up:  # fmt: skip
        deadline = time.monotonic() + 60
        while not list(locks.rglob("*.json")) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(up.pid, signal.SIGKILL)
    assert list(locks.rglob("*.json")), "it was killed before it began"


def test_the_smallest_example(clone: Clone, tmp_path: Path) -> None:
    """Run the one-file example, after the runbooks have destroyed the stack. Root can log in by key again."""
    _, record = machine.find(clone.host)
    (block,) = blocks(ROOT / "examples/one-file/README.md")
    instead = {
        "203.0.113.10": network.on_segment(record.number).v4,
        '"ssh-ed25519 AAAA…"': f'"{keys.public_host_key(clone.host)}"',
        # ssh does not find the lab's key by itself, and nobody can answer a question in a test.
        "portcullis up": f"pulumi config set identityFile {keys.client_key()}; portcullis up --yes",
    }
    script = "\n".join(block)
    for theirs, ours in instead.items():
        script = script.replace(theirs, ours)
    state = f"export PULUMI_BACKEND_URL={tmp_path.as_uri()} PULUMI_CONFIG_PASSPHRASE=one"
    done = clone.run("\n".join(["set -e; . tools/env.sh; cd examples/one-file", state, script]))
    assert "✓ /etc/motd: new" in done
    read = clone.run(f". tools/env.sh; python lab/lab.py exec {clone.host} cat /etc/motd")
    assert read.strip().splitlines()[-1] == "This host is managed in code."
    again = f"{block[0]}; portcullis destroy --yes --stack dev"
    clone.run("\n".join(["set -e; . tools/env.sh; cd examples/one-file", state, again]))


def test_every_command_of_every_page_is_run_by_a_test() -> None:
    """Each page with commands is named with the test that runs them; a new one has to be added there."""
    run = {
        "README.md": "tests/docs/test_readme_commands.py",
        "CONTRIBUTING.md": "tests/docs/test_contributing.py",
        "docs/guide.md": "here",
        "docs/runbooks.md": "here",
        "docs/secrets.md": "here",
        "docs/tunnels.md": "here",
        "docs/scan-and-map.md": "here",
        "docs/pull-requests.md": "here",
        # Of these the tests run the same commands with names of their own.
        "docs/backups.md": "tests/e2e/data/test_backup.py",
        "docs/host-resources.md": "tests/e2e/host/test_host_import.py",
        "docs/previews.md": "tests/e2e/access/test_preview_key.py",
        "examples/app/README.md": "tests/app",
        "examples/one-file/README.md": "here",
    }
    assert {str(page.relative_to(ROOT)) for page in PAGES if blocks(page)} == set(run)
    assert all(place == "here" or (ROOT / place).exists() for place in run.values())
