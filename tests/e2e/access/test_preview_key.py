"""Tests the preview key on a deployed shop. The host allows a full preview, and refuses everything else."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import threading
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

import pytest

from portcullis.agent.redaction import PROTOCOL
from portcullis.components.previews import render as preview
from tests.e2e.access.preview_key import DOCKER, STACK_ID, Holder
from tests.e2e.host.test_host_secrets import spellings
from tests.e2e.host.watch import cursor, journal, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab.pytest_lab import Host
    from tests.e2e.stack.program import Program

STRIPE = "sk_live_planted-0123456789"
BY_HAND = "pw-by-hand-4711-0815"
SECRET = "/etc/portcullis/secrets/api-secrets/stripeKey"
SITE_FILE = "/etc/nginx/conf.d/shop.example.com.conf"
MARK = "/root/marker"
KEPT = "/etc /usr/local /usr/bin /root /home /var/lib/portcullis /var/spool/cron"


def mark(host: Host) -> None:
    """Touch a marker file on the host. Every file that is written later is newer than the marker."""
    host.run(f"sleep 1; touch {MARK}; sleep 1")


@pytest.fixture(scope="module")
def holder(make_deployed: Callable[[str], Program], tmp_path_factory: pytest.TempPathFactory) -> Holder:
    """The shop with both stores and a secret, and beside it somebody else's container."""
    shop = make_deployed("shop")
    shop.encrypt("secrets.stripeKey", STRIPE)
    shop.set("apps.api", secrets=["stripeKey"])
    # Some attempts are failed logins: neither sshd nor fail2ban is to make this machine wait.
    own = ["198.18.0.0/15", "198.51.100.0/24"]
    shop.set("hosts.web1", preview={}, fail2ban={"ignore": own})
    shop.up(timeout=600)
    # With a secret in each place where Docker shows one.
    run = ["run", "-d", "--name", "foreign", "-e", f"TOKEN={BY_HAND}", "--label", f"token={BY_HAND}"]
    (image, *_) = shop.docker("ps", "--filter", "name=api", "--format", "{{.Image}}").split()
    shop.docker(*run, "--entrypoint", "node", image, "-e", "setInterval(() => {}, 1e6)")
    labelled = ["--label", f"token={BY_HAND}"]
    shop.docker("network", "create", *labelled, "--opt", f"secret={BY_HAND}", "foreign")
    share = ["--opt", "type=cifs", "--opt", "device=//192.0.2.1/x", "--opt", f"o=password={BY_HAND}"]
    shop.docker("volume", "create", *labelled, *share, "foreign")
    mark(shop.host)
    accepted = {
        **dict.fromkeys(("container foreign", "network foreign", "volume foreign"), "somebody else's"),
        f"file {MARK}": "an attempt would leave another",
    }
    shop.set("hosts.web1", inventory={"accept": accepted})
    shop.up()
    return Holder(shop, tmp_path_factory.mktemp("preview") / "holder")


@pytest.fixture(scope="module")
def secrets(holder: Holder) -> list[str]:
    """All secrets of the host: the contents of its secret files, and secrets that the test set."""
    host = holder.shop.host
    names = host.run("find /etc/portcullis/secrets -type f").stdout.split()
    found = [host.read(name).strip() for name in names]
    found += [line for text in found for line in text.splitlines() if len(line) > 15]
    found += [STRIPE, BY_HAND, host.run("sed -n 's/^root:\\([^:]*\\):.*/\\1/p' /etc/shadow").stdout.strip()]
    return sorted({text for text in found if len(text) > 8})


def assert_no_secret(text: str, secrets: list[str]) -> None:
    assert secrets
    for secret in secrets:
        for spelling in [*spellings(secret), hashlib.sha256(secret.encode()).hexdigest()]:
            assert spelling not in text, f"{secret[:4]}… is shown"


# These lines say nothing about the host. At its end the engine has 5 s for all its plugins, one by one. On a
# busy machine that may be too little, and it says of the last ones that they exited prematurely.
BESIDE = (
    "@", "Duration", "Diagnostics:", "pulumi:pulumi:Stack (", "error: Detected that ",
    "This is *always* a bug in the provider", "To assist with debugging we have dumped",
)  # fmt: skip


def lines(output: str) -> list[str]:
    """Return the lines of a preview about the host, sorted, because their order varies."""
    found = map(str.strip, output.splitlines())
    return sorted(line for line in found if line and not line.startswith(BESIDE))


# A full preview.


def test_nothing_to_change_is_found_to_be_nothing(holder: Holder) -> None:
    deploying = holder.shop.preview("--expect-no-changes")
    looking = holder.preview("--expect-no-changes")
    assert lines(looking.output) == lines(deploying.output)


def test_a_change_in_the_code_is_shown(holder: Holder) -> None:
    holder.shop.set("apps.api", memory=300)
    try:
        holder.preview().has("memory", "300")
    finally:
        holder.shop.set("apps.api", memory=None)


def test_an_edit_by_hand_is_shown_with_its_line(holder: Holder) -> None:
    host = holder.shop.host
    before = host.read(SITE_FILE)
    host.run(f"sed -i '$a # edited by hand' {SITE_FILE}")
    try:
        holder.preview("--expect-no-changes", fails=True).has("- # edited by hand")
    finally:
        host.write(SITE_FILE, before)
        host.run("nginx -s reload")
    holder.shop.up()


@pytest.mark.once
def test_a_secret_that_was_changed_is_shown_as_changed_and_not_as_it_is(holder: Holder) -> None:
    host = holder.shop.host
    host.write(SECRET, BY_HAND)
    try:
        shown = holder.preview("--expect-no-changes", "--show-secrets", fails=True)
        shown.has("not shown to the preview key").lacks(BY_HAND)
    finally:
        host.write(SECRET, STRIPE)
    holder.preview("--expect-no-changes")


def test_an_up_is_refused_and_says_what_to_do(holder: Holder) -> None:
    holder.shop.set("hosts.web1", firewall={"allow": {"8443/tcp": {}}})
    try:
        said = holder.verb("up", "--yes", "--skip-preview", fails=True)
    finally:
        holder.shop.set("hosts.web1", firewall=None)
    said.has("the preview key may only read", "deploy key")
    assert "8443" not in holder.shop.host.run("ufw status").stdout


def test_the_pull_requests_own_agent_does_not_run_on_the_host(holder: Holder) -> None:
    agent = holder.shop.folder / "portcullis/agent/main.py"
    before = agent.read_text()
    agent.write_text(before + "\nopen('/root/evil', 'w').close()\n")
    try:
        holder.preview("--expect-no-changes")
    finally:
        agent.write_text(before)
    assert holder.shop.host.run("test -e /root/evil", check=False).returncode == 1


def test_the_deploy_key_goes_on_as_ever(holder: Holder) -> None:
    """The deploy key works in the same folder, directly after a preview with the preview key."""
    holder.preview("--expect-no-changes")
    holder.shop.up()
    holder.shop.preview("--expect-no-changes")
    mark(holder.shop.host)


# Attempts. Each is refused; at the end nothing on the host is newer than before them.

COMMANDS = [
    "id", "sh", "bash -i", "cat /etc/shadow", f"cat {SECRET}", "sudo -n id", "sudo -n -l",
    f"sudo -n {preview.AS_ROOT} agent", f"{preview.ASK_AGENT}; id", f"{preview.ASK_AGENT}\nid",
    f"{preview.ASK_AGENT} $(id)", "docker run -v /:/h alpine sh", "docker exec api sh",
    "docker cp api:/run/secrets .",
    "docker system dial-stdio; id", "docker -H unix:///run/docker.sock system dial-stdio", "docker save api",
    "scp -t /tmp", "rsync --server -logDtpre.iLsfxC . /tmp", "/usr/lib/openssh/sftp-server", "internal-sftp",
    "python3 -I -c 'import os; os.system(\"id\")'", "exec sh -c 'echo have; id'", "env", "*", "crontab -",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_refused(holder: Holder, command: str) -> None:
    done = holder.ssh(command=command)
    assert (done.returncode, done.stdout) == (77, b""), done
    assert preview.REFUSED.encode() in done.stderr


@pytest.mark.parametrize("options", [(), ("-t",), ("-tt",), ("-A",), ("-X",), ("-Y",)], ids=str)
def test_there_is_no_shell_with_whatever_switch(holder: Holder, options: tuple[str, ...]) -> None:
    done = holder.ssh(*options)
    assert done.stdout.strip() == b"", done
    assert done.returncode != 0
    assert b"$ " not in done.stderr


def test_there_is_no_sftp(holder: Holder) -> None:
    done = holder.ssh("-s", command="sftp")
    assert (done.returncode, done.stdout) == (77, b"")


@pytest.mark.parametrize("legacy", [[], ["-O"]], ids=str)
def test_nothing_is_copied_from_the_host_or_to_it(holder: Holder, tmp_path: Path, legacy: list[str]) -> None:
    argv = ["scp", *legacy, *holder.argv()[1:-1]]
    place = f"{preview.ACCOUNT}@{holder.shop.host.address}"
    (tmp_path / "evil").write_text("evil")
    for words in ([f"{place}:/etc/passwd", str(tmp_path)], [str(tmp_path / "evil"), f"{place}:/tmp/evil"]):
        done = subprocess.run([*argv, *words], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode != 0, done
    assert not (tmp_path / "passwd").exists()
    assert holder.shop.host.run("test -e /tmp/evil", check=False).returncode == 1


@pytest.mark.parametrize("target", ["172.17.0.1:6379", "127.0.0.1:22", "169.254.169.254:80"])
def test_no_forwarding_goes_through(holder: Holder, target: str) -> None:
    done = holder.ssh("-W", target, sent=b"PING\r\n")
    assert (done.stdout, done.returncode != 0) == (b"", True), done


def test_dockers_socket_is_not_forwarded(holder: Holder) -> None:
    near = holder.folder / "docker.sock"
    argv, since = holder.argv("-N", "-L", f"{near}:/run/docker.sock"), cursor(holder.shop.host)
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as process:
        try:
            wait_for("ssh to listen", near.exists)
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(60)
                line.connect(str(near))
                # ssh closes it as soon as the host refuses, before or after this was sent.
                with suppress(ConnectionResetError, BrokenPipeError):
                    line.sendall(b"GET /version HTTP/1.0\r\n\r\n")
                    assert line.recv(100) == b""
            assert process.poll() is None, "the connection lives: it is the socket that was refused"
        finally:
            process.kill()
    assert "refused streamlocal port forward" in journal(holder.shop.host, since)


@pytest.mark.parametrize(
    "listener", ["9999:127.0.0.1:22", "172.17.0.1:0:127.0.0.1:22", "/run/evil:127.0.0.1:22"]
)
def test_nothing_listens_on_the_host_for_it(holder: Holder, listener: str) -> None:
    done = holder.ssh("-N", "-R", listener)
    assert done.returncode != 0
    assert b"remote port forwarding failed" in done.stderr


@pytest.mark.parametrize("user", ["root", "deploy", "tunnel-alice"])
def test_it_is_nobody_elses_key(holder: Holder, user: str) -> None:
    argv = [*holder.argv(user=user), "id"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert "Permission denied (publickey)" in done.stderr


@pytest.mark.parametrize(
    "variable",
    [
        "PYTHONPATH=/tmp",
        "LD_PRELOAD=/tmp/evil.so",
        "BASH_ENV=/tmp/evil",
        "SSH_ORIGINAL_COMMAND=id",
        "PATH=/tmp",
    ],
)
def test_an_environment_of_its_own_changes_nothing(holder: Holder, variable: str) -> None:
    name = variable.partition("=")[0]
    done = holder.ssh(
        "-o", f"SetEnv={variable}", "-o", f"SendEnv={name}", "-o", "SendEnv=*",
        command=preview.ASK_AGENT, sent=b'{"id": 1, "op": "hello"}\n',
    )  # fmt: skip
    word, answer, ended = done.stdout.decode().splitlines()
    assert (word, ended) == ("have", "ended")
    assert json.loads(answer)["result"]["protocol"] == PROTOCOL
    assert holder.ssh("-o", f"SetEnv={variable}", command="id").returncode == 77


MOTD = {"path": "/etc/motd", "content": "evil\n", "owner": "root", "group": "root", "mode": "0644"}
AGENT: dict[str, dict[str, Any]] = {
    "put": {"op": "put", "kind": "file", "item": "/etc/motd", "desired": MOTD, "adopt": True},
    "put of a user": {
        "op": "put", "kind": "users.users", "item": "evil",
        "desired": {"user": "evil", "keys": {}, "sudo": True},
    },
    "remove": {"op": "remove", "kind": "file", "item": SITE_FILE, "desired": {**MOTD, "path": SITE_FILE}},
    "plan": {"op": "plan", "kind": "file", "item": SECRET, "desired": {**MOTD, "path": SECRET}},
    "tree-missing": {"op": "tree-missing", "path": "/root", "files": {"a": "0" * 64}},
    "blob": {"op": "blob", "path": "/srv/evil", "sha": "0" * 64, "data": "", "last": True},
    "confirm": {"op": "confirm", "guard": "1"},
    "rollback": {"op": "rollback", "guard": "1"},
    "armed": {"op": "armed", "guard": "1"},
    "another stack": {"op": "survey", "stack": "portcullis/prod"},
}  # fmt: skip
UNRECORDED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "the hashes of passwords": ("file", "/etc/shadow", {"path": "/etc/shadow"}),
    "a private key": ("file", "/etc/ssh/ssh_host_ed25519_key", {"path": "/etc/ssh/ssh_host_ed25519_key"}),
    "root's home": ("tree", "/root", {"path": "/root"}),
    "an original": ("file", "/var/lib/portcullis/items", {"path": "/var/lib/portcullis/items"}),
    "a file by a detour": ("file", "/etc/nginx/../shadow", {"path": "/etc/shadow"}),
    "a store by a socket of its own": (
        "redis.redis_users", "/etc/shadow:x",
        {"acl": "/etc/shadow", "user": "x", "address": "127.0.0.1:1", "ops": "/etc/shadow", "rules": "",
         "gid": "0"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("request_", AGENT.values(), ids=AGENT)
def test_the_agent_refuses(holder: Holder, request_: dict[str, Any]) -> None:
    answer = holder.ask(**{"owner": "urn:pulumi:evil", "who": "evil", **request_})
    assert answer["ok"] is False
    assert answer["error"]["code"] == "read-only", answer


@pytest.mark.once
@pytest.mark.parametrize("asked", UNRECORDED.values(), ids=UNRECORDED)
def test_the_agent_reads_nothing_that_was_not_declared(
    holder: Holder, secrets: list[str], asked: tuple[str, str, dict[str, Any]]
) -> None:
    kind, item, spec = asked
    answer = holder.ask(op="survey", items=[{"kind": kind, "id": item, "spec": spec}], index=False)
    (found,) = answer["result"]["items"]
    assert found["error"]["code"] == "read-only"
    assert_no_secret(json.dumps(answer), secrets)


@pytest.mark.once
def test_a_declared_name_leads_to_no_other_file(holder: Holder, secrets: list[str]) -> None:
    items = [{"kind": "file", "id": SITE_FILE, "spec": {"path": "/etc/shadow"}}]
    answer = holder.ask(op="survey", items=items, index=False)
    assert "server_name" in answer["result"]["items"][0]["facts"]["content"]
    assert_no_secret(json.dumps(answer), secrets)


@pytest.mark.once
def test_a_secret_file_is_not_told(holder: Holder) -> None:
    answer = holder.ask(
        op="survey", items=[{"kind": "file", "id": SECRET, "spec": {"path": SECRET}}], index=False
    )
    assert answer["result"]["items"][0]["facts"]["redacted"] == {"content": "unchanged"}
    assert answer["result"]["items"][0]["facts"]["content"] == ""


@pytest.mark.once
def test_all_that_it_is_told_holds_no_secret(holder: Holder, secrets: list[str]) -> None:
    answer = holder.ask(op="survey")
    assert len(answer["result"]["items"]) > 80
    errors = [item for item in answer["result"]["items"] if "error" in item]
    assert errors == []
    assert_no_secret(json.dumps(answer), secrets)


REQUESTS = {
    "create": b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
    b'Content-Length: 50\r\n\r\n{"Image":"hello","HostConfig":{"Binds":["/:/h"]}} ',
    "start": b"POST /containers/foreign/start HTTP/1.1\r\nHost: d\r\n\r\n",
    "stop": b"POST /containers/foreign/stop HTTP/1.1\r\nHost: d\r\n\r\n",
    "kill": b"POST /containers/foreign/kill HTTP/1.1\r\nHost: d\r\n\r\n",
    "remove": b"DELETE /containers/foreign?force=1 HTTP/1.1\r\nHost: d\r\n\r\n",
    "exec": b'POST /containers/foreign/exec HTTP/1.1\r\nHost: d\r\nContent-Length: 14\r\n\r\n{"Cmd":["id"]}',
    "archive": b"GET /containers/foreign/archive?path=/ HTTP/1.1\r\nHost: d\r\n\r\n",
    "write an archive": b"PUT /containers/foreign/archive?path=/ HTTP/1.1\r\nHost: d\r\n\r\n",
    "export": b"GET /containers/foreign/export HTTP/1.1\r\nHost: d\r\n\r\n",
    "logs": b"GET /containers/foreign/logs?stdout=1 HTTP/1.1\r\nHost: d\r\n\r\n",
    "top": b"GET /containers/foreign/top HTTP/1.1\r\nHost: d\r\n\r\n",
    "attach": b"POST /containers/foreign/attach?stream=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\n\r\n",
    "build": b"POST /build HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "pull": b"POST /images/create?fromImage=a HTTP/1.1\r\nHost: d\r\n\r\n",
    "an image's layers": b"GET /images/hello/get HTTP/1.1\r\nHost: d\r\n\r\n",
    "a network": b'POST /networks/create HTTP/1.1\r\nHost: d\r\nContent-Length: 12\r\n\r\n{"Name":"n"}',
    "a volume": b"DELETE /volumes/redis-data?force=1 HTTP/1.1\r\nHost: d\r\n\r\n",
    "prune": b"POST /volumes/prune HTTP/1.1\r\nHost: d\r\n\r\n",
    "events": b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n",
    "a session": b"POST /session HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "two lengths": b"GET /version HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n",
    "a body that is a request": b"GET /version HTTP/1.1\r\nHost: d\r\nContent-Length: 60\r\n\r\n"
    b"POST /containers/foreign/stop HTTP/1.1\r\nHost: docker\r\n\r\n",
    "a detour": b"GET /networks/%2e%2e/containers/foreign/export HTTP/1.1\r\nHost: d\r\n\r\n",
    "a line end": b"GET /networks?a=\r\nPOST /containers/foreign/stop HTTP/1.1\r\nHost: d\r\n\r\n",
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_docker_is_not_asked(holder: Holder, request_: bytes) -> None:
    said = holder.docker(request_)
    assert said.startswith(b"HTTP/1.1 403 Forbidden\r\n"), said
    assert said.count(b"HTTP/1.1 ") == 1


@pytest.mark.once
def test_what_docker_tells_holds_no_secret(holder: Holder, secrets: list[str]) -> None:
    """All that can be asked: every container, image, network and volume."""
    end = " HTTP/1.1\r\nHost: d\r\n\r\n"
    names = holder.shop.docker("ps", "-a", "--format", "{{.Names}}").split()
    assert "foreign" in names
    targets = ["/containers/json?all=1", "/images/json", "/networks", "/volumes", "/version"]
    targets += [f"/containers/{name}/json" for name in names]
    images = set(holder.shop.docker("image", "ls", "--no-trunc", "-q").split())
    targets += [f"/images/{image}/json" for image in images]
    for things in ("network", "volume"):
        names = holder.shop.docker(things, "ls", "--format", "{{.Name}}").split()
        assert "foreign" in names
        targets += [f"/{things}s/{name}" for name in names]
    said = holder.docker("".join(f"GET {target}{end}" for target in targets).encode()).decode()
    assert said.count("HTTP/1.1 200 OK") == len(targets)
    assert_no_secret(said, secrets)


def test_on_the_host_the_account_is_nobody(holder: Holder) -> None:
    """Were there a way to run something as it after all."""
    host = holder.shop.host

    def as_it(line: str) -> subprocess.CompletedProcess[str]:
        return host.run(
            [
                "setpriv",
                f"--reuid={preview.ACCOUNT}",
                f"--regid={preview.ACCOUNT}",
                "--init-groups",
                "sh",
                "-c",
                line,
            ],
            check=False,
        )

    assert as_it("id -nG").stdout == f"{preview.ACCOUNT}\n"
    for line in (
        "cat /etc/shadow", f"cat {SECRET}", "ls /var/lib/portcullis", "sudo -n id", "sudo -n -s",
        "sudo -n -i",
        f"sudo -n {preview.AS_ROOT}", f"sudo -n {preview.AS_ROOT} agent x",
        f"sudo -n {preview.AS_ROOT} shell",
        f"sudo -n -u nobody {preview.AS_ROOT} agent", f"sudo -n PYTHONPATH=/tmp {preview.AS_ROOT} agent",
        f"sudo -n -E {preview.AS_ROOT} agent", f"sudo -n python3 {preview.AS_ROOT} agent", "docker ps",
        f"echo x > {preview.COMMAND}", f"echo x > {preview.AS_ROOT}", "echo x > /etc/motd",
    ):  # fmt: skip
        done = as_it(line + " </dev/null")
        assert done.returncode != 0, (line, done)
        assert done.stdout == "", (line, done)
    shadow = host.run(f"getent shadow {preview.ACCOUNT} | cut -d: -f2").stdout
    assert shadow == "*\n"


@pytest.mark.once
def test_a_user_with_the_number_of_a_container_reads_no_secret_of_it(holder: Holder) -> None:
    """No claim of the key: the secret is here, and so is its container."""
    host = holder.shop.host
    number, mode = host.run(["stat", "-c", "%u %a", SECRET]).stdout.split()
    assert (number != "0", mode) == (True, "400")
    asked = host.run(["setpriv", f"--reuid={number}", "--clear-groups", "cat", SECRET], check=False)
    assert (asked.stdout, "Permission denied" in asked.stderr) == ("", True)
    read = "process.stdout.write(require('fs').readFileSync('/run/secrets/stripeKey'))"
    (name,) = holder.shop.docker("ps", "--filter", "name=^api", "--format", "{{.Names}}").split()
    assert holder.shop.docker("exec", "--user", number, name, "node", "-e", read) == STRIPE


SAID_BY_SSHD = {
    "forcecommand": "/usr/local/lib/portcullis/preview", "permittty": "no", "permituserrc": "no",
    "disableforwarding": "yes", "allowtcpforwarding": "no", "allowstreamlocalforwarding": "no",
    "allowagentforwarding": "no", "x11forwarding": "no", "permittunnel": "no", "permitlisten": "none",
    "permitopen": "none",
}  # fmt: skip


def test_sshd_says_so(holder: Holder) -> None:
    asked = f"user={preview.ACCOUNT},host=x,addr=203.0.113.9"
    found = holder.shop.host.run(["sshd", "-T", "-C", asked]).stdout.splitlines()
    said = {line.partition(" ")[0]: line.partition(" ")[2] for line in found}
    assert {name: said[name] for name in SAID_BY_SSHD} == SAID_BY_SSHD


def test_after_all_of_this_nothing_on_the_host_is_new(holder: Holder) -> None:
    host = holder.shop.host
    for command in COMMANDS:
        holder.ssh(command=command)
    for request in AGENT.values():
        holder.ask(**{"owner": "urn:pulumi:evil", "who": "evil", **request})
    for said in REQUESTS.values():
        holder.docker(said)
    host.run("test ! -e /tmp/evil && test ! -e /root/evil && test ! -e /srv/evil")
    newer = f"find {KEPT} -newer {MARK} -type f"
    assert host.run(newer).stdout.split() == []
    host.run("touch /etc/motd-of-mine")
    assert host.run(newer).stdout.split() == ["/etc/motd-of-mine"], "what is written is seen"
    host.run("rm /etc/motd-of-mine")
    assert holder.shop.docker("ps", "-a", "--format", "{{.Names}}").split().count("foreign") == 1
    assert holder.shop.docker("inspect", "foreign", "--format", "{{.State.Running}}") == "true\n"
    holder.shop.preview("--expect-no-changes")
    assert os.environ.get("PORTCULLIS_ACCESS") is None


def test_the_view_of_docker_runs_as_the_account(holder: Holder) -> None:
    with subprocess.Popen([*holder.argv(), DOCKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as view:
        assert view.stdin is not None
        assert view.stdout is not None
        view.stdin.write(b"GET /version HTTP/1.1\r\nHost: docker\r\n\r\n")
        view.stdin.flush()
        assert view.stdout.readline() == b"HTTP/1.1 200 OK\r\n"
        found = holder.shop.host.run(["pgrep", "--full", f"^/usr/bin/python3 -I {preview.AS_ROOT} docker$"])
        (process,) = found.stdout.split()
        who = holder.shop.host.run(["ps", "-o", "user:32=", "-p", process]).stdout.strip()
        view.stdin.close()
    assert who == preview.ACCOUNT


def opened(holder: Holder) -> subprocess.Popen[bytes]:
    """A connection to the agent that stays. The agent ends by itself after 20 s without a request."""
    process = subprocess.Popen(
        [*holder.argv(), preview.ASK_AGENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"have\n"
    threading.Thread(target=keep_asking, args=(process.stdin,), daemon=True).start()
    return process


def keep_asking(agent: IO[bytes]) -> None:
    # The test closes it, or ssh has ended.
    with suppress(ValueError, OSError):
        while True:
            agent.write(json.dumps({"id": 1, "op": "hello", "stack": STACK_ID}).encode() + b"\n")
            agent.flush()
            time.sleep(2)


def test_a_key_that_is_replaced_is_gone_with_its_connections(holder: Holder) -> None:
    process = opened(holder)
    resources = json.loads(holder.shop.run("stack", "export").output)["deployment"]["resources"]
    (urn,) = [r["urn"] for r in resources if r["urn"].endswith("::preview-key")]
    holder.shop.up("--replace", urn)
    assert process.wait(timeout=60) != 0
    process.communicate()
    assert b"Permission denied (publickey)" in holder.ssh(command=DOCKER).stderr
    holder.key.write_text(str(holder.outputs()["previewKey-web1"]))
    assert holder.ask(op="hello")["ok"] is True
    holder.shop.preview("--expect-no-changes")


def test_taken_out_it_is_gone_with_its_connections(holder: Holder) -> None:
    process = opened(holder)
    holder.shop.set("hosts.web1", preview=None)
    holder.shop.up()
    assert process.wait(timeout=60) != 0
    process.communicate()
    host = holder.shop.host
    assert host.run(f"getent passwd {preview.ACCOUNT}", check=False).stdout == ""
    for path in (preview.COMMAND, preview.AS_ROOT, preview.SUDOERS):
        assert host.run(f"test -e {path}", check=False).returncode == 1
    assert b"Permission denied (publickey)" in holder.ssh(command=DOCKER).stderr
    assert "previewKey-web1" not in holder.outputs()
    assert STACK_ID not in host.run("cat /etc/ssh/sshd_config.d/10-portcullis.conf").stdout
    holder.shop.preview("--expect-no-changes")
