"""Tests tunnels on a real sshd.

A person tries every way that ssh offers, and reaches only declared stores.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import socket
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from portcullis.cli.tunnels import lines
from portcullis.components import HostArgs
from tests.e2e.host.watch import cursor, journal
from tests.e2e.project import STACK, Project
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.pytest_lab import Host

PROGRAM = """
from portcullis.components import *
from portcullis.host import Host

app = StoreLogin("app-1", pulumi.Output.secret("s3cret"))
redis = TunnelTarget(6379, scheme="redis", logins={{"app": app}})
mongo = TunnelTarget(27017, scheme="mongodb", logins={{"shop": StoreLogin("shop-1")}})
stores = {{"redis": redis, "mongo": mongo}}
people = {{person: TunnelArgs(to=to, keys=keys) for person, (to, keys) in {people!r}.items()}}
host = Host("web1", os="debian-13")
access = SshAccess(
    "ssh",
    SshArgs(),
    host=host,
    exempt=("198.18.0.0/15", "2001:db8:100::/64"),
    tunnels=tunnel_accounts(people, stores),
)
after = pulumi.ResourceOptions(depends_on=[access])
firewall = Firewall("firewall", FirewallArgs(), host=host, web=True, opts=after)
export_tunnels([
    SshTunnel(f"web1-tunnel-{{person}}", args, host=host, person=person, targets=stores, opts=after)
    for person, args in people.items()
])
"""
STORES = {"redis": 6379, "mongo": 27017}
ECHO = """\
import socketserver, sys

class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(sys.argv[2].encode() + b":" + self.rfile.readline())
        self.rfile.readline()

socketserver.ThreadingTCPServer(("172.17.0.1", int(sys.argv[1])), Echo).serve_forever()
"""
EVIL = "/etc/ssh/sshd_config.d/00-evil.conf"


@dataclass
class Standing:
    """A deployed stack with tunnels, the keys of its people, and ssh without the checkout's configuration."""

    host: Host
    project: Project
    folder: Path
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "known_hosts").write_text(f"{self.host.address} {self.host.host_key}\n")
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / "alice")]
        subprocess.run(argv, check=True, timeout=30)

    def declare(self, people: dict[str, list[str]]) -> Project:
        """Declare the tunnels of these people. Alice has her own key, the others get a generated key."""
        own = {"alice": {"laptop": (self.folder / "alice.pub").read_text().strip()}}
        given = {person: (to, own.get(person, {})) for person, to in people.items()}
        return self.project.program(PROGRAM.format(people=given))

    def outputs(self) -> dict[str, object]:
        argv = ["pulumi", "stack", "output", "--json", "--show-secrets", "--stack", STACK]
        done = subprocess.run(
            argv, cwd=self.project.folder, env=self.project.env, capture_output=True, text=True, check=True,
            timeout=600,
        )  # fmt: skip
        found: dict[str, object] = json.loads(done.stdout)
        return found

    def argv(self, person: str, *options: str, key: str = "") -> list[str]:
        known = f"UserKnownHostsFile={self.folder / 'known_hosts'}"
        argv = ["ssh", "-F", "/dev/null", "-i", str(self.folder / (key or person)), "-o", known]
        for option in (
            "IdentitiesOnly=yes",
            "BatchMode=yes",
            "ExitOnForwardFailure=yes",
            "LogLevel=INFO",
            "ConnectionAttempts=5",
        ):
            argv += ["-o", option]
        return [*argv, *options, f"tunnel-{person}@{self.host.address}"]

    def refused(self, person: str, *options: str, command: tuple[str, ...] = ()) -> str:
        """Return what ssh said; nothing may have come out of it, and a connection must not stay."""
        done = subprocess.run(
            [*self.argv(person, *options), *command],
            input="", capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode != 0, done
        assert done.stdout == "", done
        return done.stderr

    def reaches(self, person: str, target: str) -> str:
        """Return what answers there, through a single forwarded connection."""
        done = subprocess.run(
            self.argv(person, "-W", target),
            input="hello\n\n", capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return done.stdout.strip() or done.stderr.strip()

    def opened(self, argv: list[str], *ports: int) -> subprocess.Popen[str]:
        """Start ssh, and wait until it listens on these local ports."""
        process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
        self.running.append(process)
        for port in ports:
            _until(lambda port=port: _listens(port), process)
        return process


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _until(done: object, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not done():  # type: ignore[operator]
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _ask(port: int, text: bytes = b"hello\n", *, through: tuple[str, int] | None = None) -> bytes:
    """Return the line that is answered on a local port, or behind the proxy there (RFC 1928)."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        if through:
            connection.sendall(b"\x05\x01\x00")  # version 5, one method: none needed
            assert connection.recv(2) == b"\x05\x00"
            name = through[0].encode()
            place = bytes([len(name)]) + name + through[1].to_bytes(2, "big")
            connection.sendall(b"\x05\x01\x00\x03" + place)
            if connection.recv(10)[1:2] != b"\x00":
                return b""
        with contextlib.suppress(ConnectionError), connection.makefile("rb") as answer:
            connection.sendall(text)
            return answer.readline()
        return b""


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, module_host: Host) -> Iterator[Standing]:
    """Two stores on docker0's address.

    Alice may reach both stores, bob only one store. Bob has a generated key.
    """
    module_host.run("ip link add docker0 type bridge && ip addr add 172.17.0.1/16 dev docker0")
    module_host.run("ip link set docker0 up")
    module_host.write("/srv/echo.py", ECHO)
    for name, port in STORES.items():
        module_host.run(f"systemd-run --quiet --unit={name} python3 /srv/echo.py {port} {name}")
    folder = tmp_path_factory.mktemp("tunnels")
    made = Standing(module_host, Project(folder / "tunnels", module_host, name="tunnels"), folder)
    made.declare({"alice": ["redis", "mongo"], "bob": ["redis"]}).up()
    made.project.unchanged()
    key = folder / "bob"
    key.write_text(str(made.outputs()["tunnelKey-bob-web1"]))
    key.chmod(0o600)
    yield made
    for process in made.running:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()
    made.project.close()


def test_what_the_stack_prints_opens_the_tunnel(standing: Standing) -> None:
    outputs = standing.outputs()
    address, key = standing.host.address, standing.host.host_key
    hosts = {"web1": HostArgs(address=address, os="debian-13", host_key=key)}
    said = list(lines(STACK, hosts, outputs["tunnels"]))
    text = "\n".join(said)
    assert "redis://app-1@localhost:6379" in text
    assert "mongodb://shop-1@localhost:27017/shop?authSource=shop&directConnection=true" in text
    assert "s3cret" not in text
    assert f"echo '{standing.host.address} ssh-ed25519 " in text
    assert f"tunnelKey-bob-web1 --stack {STACK} --show-secrets > ~/.ssh/tunnel-bob-web1)" in text
    (alices, _) = [line.partition("ssh -N ")[2] for line in said if "ssh -N " in line]
    # The same on this machine, where other things may have those ports.
    local = {port: free_port() for port in STORES.values()}
    words = shlex.split(alices)
    for port, other in local.items():
        words[words.index(f"{port}:172.17.0.1:{port}")] = f"{other}:172.17.0.1:{port}"
    assert words.pop() == f"tunnel-alice@{standing.host.address}"
    process = standing.opened(standing.argv("alice", "-N", *words), *local.values())
    assert _ask(local[6379]) == b"redis:hello\n"
    assert _ask(local[27017]) == b"mongo:hello\n"
    process.kill()


@pytest.mark.once
@pytest.mark.parametrize("person", ["alice", "bob"])
def test_only_what_is_named_is_reached_by_whatever_name(standing: Standing, person: str) -> None:
    """One connection with a proxy (ssh -D): the client asks for each place that it is told."""
    reached = {"alice": STORES, "bob": {"redis": 6379}}[person]
    refused = [("172.17.0.1", port) for name, port in STORES.items() if name not in reached]
    refused += [("127.0.0.1", 22), ("172.17.0.1", 22), (standing.host.address, 22), ("::1", 22)]
    refused += [("localhost", 6379), ("127.0.0.1", 6379), ("172.17.1", 6379), ("172.17.0.2", 6379)]
    refused += [("169.254.169.254", 80), ("169.254.169.254", 6379)]
    proxy, direct, since = free_port(), free_port(), cursor(standing.host)
    forwards = ["-D", f"127.0.0.1:{proxy}", "-L", f"{direct}:/run/dbus/system_bus_socket"]
    process = standing.opened(standing.argv(person, "-N", *forwards), proxy)
    for name, port in reached.items():
        assert _ask(proxy, through=("172.17.0.1", port)) == f"{name}:hello\n".encode()
    for place in refused:
        assert _ask(proxy, through=place) == b"", place
    # A socket is no address, and PermitOpen says nothing of it.
    assert _ask(direct, b"\0AUTH ANONYMOUS\r\n") == b""
    process.kill()
    said = process.communicate()[1]
    assert said.count("administratively prohibited") == len(refused), said
    assert "refused streamlocal port forward" in journal(standing.host, since)


def test_nothing_but_forwarding(standing: Standing) -> None:
    no_session = "channel 0: open failed"
    assert no_session in standing.refused("alice", "-tt")
    assert no_session in standing.refused("alice", "-A", command=("true",))
    assert no_session in standing.refused("alice", "-s", command=("sftp",))
    for listener in ("9999:127.0.0.1:22", "172.17.0.1:0:127.0.0.1:22", "/run/s:127.0.0.1:22"):
        assert "remote port forwarding failed" in standing.refused("alice", "-N", "-R", listener)
    scp = standing.argv("alice")[1:-1]
    for legacy in ([], ["-O"]):
        copied = subprocess.run(
            ["scp", *legacy, *scp, f"tunnel-alice@{standing.host.address}:/etc/passwd", standing.folder],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert copied.returncode != 0, copied
    assert not (standing.folder / "passwd").exists()


@pytest.mark.once
def test_no_password_and_no_key_of_somebody_else(standing: Standing) -> None:
    done = subprocess.run(
        standing.argv("alice", "-N", key="bob"), capture_output=True, text=True, timeout=60, check=False
    )
    assert "Permission denied (publickey)." in done.stderr
    shadow = standing.host.run("getent shadow tunnel-alice tunnel-bob | cut -d: -f1,2").stdout
    assert shadow == "tunnel-alice:*\ntunnel-bob:*\n"
    passwd = standing.host.run("getent passwd tunnel-alice tunnel-bob | cut -d: -f7").stdout
    assert passwd == "/usr/sbin/nologin\n" * 2
    assert standing.host.run("id -nG tunnel-alice").stdout == "tunnel-alice\n"


def test_sshd_says_so_for_each_of_them(standing: Standing) -> None:
    def said(user: str) -> dict[str, str]:
        asked = f"user={user},host=x,addr=203.0.113.9"
        found = standing.host.run(["sshd", "-T", "-C", asked]).stdout.splitlines()
        return {line.partition(" ")[0]: line.partition(" ")[2] for line in found}

    tunnel = {
        "permitlisten": "none", "allowtcpforwarding": "local", "allowstreamlocalforwarding": "no",
        "allowagentforwarding": "no", "x11forwarding": "no", "permittunnel": "no", "maxsessions": "0",
        "permittty": "no", "forcecommand": "/usr/sbin/nologin", "passwordauthentication": "no",
    }  # fmt: skip
    for user, opened in {
        "tunnel-alice": "172.17.0.1:27017 172.17.0.1:6379", "tunnel-bob": "172.17.0.1:6379",
        "tunnel-nobody": "none",
    }.items():  # fmt: skip
        found = said(user)
        assert {**tunnel, "permitopen": opened}.items() <= found.items()
    assert (said("root")["permitopen"], said("root")["maxsessions"]) == ("any", "64")
    keys = standing.host.read("/home/tunnel-bob/.ssh/authorized_keys").splitlines()[1]
    assert keys.startswith(
        'restrict,command="/usr/sbin/nologin",port-forwarding,permitopen="172.17.0.1:6379" ssh-ed25519 '
    )


def test_a_line_that_opens_more_for_one_of_them_is_a_difference(standing: Standing) -> None:
    lines = ("Match User tunnel-bob", "PermitOpen any", "MaxSessions 9", "ForceCommand none", "PermitTTY yes")
    standing.host.write(EVIL, "\n  ".join(lines) + "\n")
    standing.project.preview().has(
        f'PermitOpen: "any ({EVIL}:2)" => "172.17.0.1:6379"', f'MaxSessions: "9 ({EVIL}:3)" => "0"',
        f'ForceCommand: "none ({EVIL}:4)" => "/usr/sbin/nologin"', "~ 1 to update",
    )  # fmt: skip
    standing.host.run("systemctl reload ssh")
    # The options of the key itself hold all the while.
    assert "administratively prohibited" in standing.reaches("bob", "172.17.0.1:27017")
    for switches, command in ((["-s"], "sftp"), ([], "cat /etc/passwd")):
        done = subprocess.run(
            [*standing.argv("bob", *switches), command],
            input="", capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (1, "This account is currently not available.\n"), done
    standing.host.run(f"rm {EVIL}")


def test_who_may_reach_less_or_is_taken_out_loses_the_open_tunnel_too(standing: Standing) -> None:
    ports = [free_port() for _ in range(3)]
    alice = standing.opened(
        standing.argv(
            "alice", "-N", "-L", f"{ports[0]}:172.17.0.1:6379", "-L", f"{ports[1]}:172.17.0.1:27017"
        ),
        *ports[:2],
    )
    bob = standing.opened(standing.argv("bob", "-N", "-L", f"{ports[2]}:172.17.0.1:6379"), ports[2])
    assert (_ask(ports[1]), _ask(ports[2])) == (b"mongo:hello\n", b"redis:hello\n")
    standing.declare({"alice": ["redis"]}).up()
    for process in (alice, bob):
        assert process.wait(timeout=60) != 0
    assert standing.reaches("alice", "172.17.0.1:6379") == "redis:hello"
    assert "administratively prohibited" in standing.reaches("alice", "172.17.0.1:27017")
    assert "Permission denied" in standing.reaches("bob", "172.17.0.1:6379")
    assert standing.host.run("getent passwd tunnel-bob", check=False).stdout == ""
    assert standing.host.run("systemctl --failed --no-legend").stdout == ""
    assert standing.host.ssh("true").returncode == 0
