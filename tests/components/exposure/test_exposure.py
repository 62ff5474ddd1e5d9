"""Tests how the agent finds the open ports of a host. /proc, Docker and the firewalls' output are fakes."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.errors import AgentError
from portcullis.agent.run import Done
from portcullis.agent.store import Record, Store
from portcullis.agent.wire import encode
from portcullis.components.exposure import exposure_keys, on_host
from portcullis.components.exposure import render as exposure
from portcullis.components.exposure.facts import ExposureFacts, ExposureSpec
from portcullis.components.exposure.on_host import Exposures, docker_ports, socket_owners
from tests.components.containers import docker_engine
from tests.components.firewall.fake_ufw import FakeUfw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from portcullis.agent.machine import Machine
    from tests.components.containers.docker_engine import Engine
    from tests.on_host import Client

Json = dict[str, Any]

BIND = "172.17.0.1"
_HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
FILTER = """\
table inet portcullis {
	chain forward {
		type filter hook forward priority filter - 10; policy accept;
		ct state established,related accept
		ct original ip daddr 172.17.0.1 ct status dnat counter drop comment "published for this host alone"
		ct status dnat meta l4proto tcp ct original proto-dst 8443 ip saddr 203.0.113.0/24 accept
		meta iifkind "bridge" goto containers
	}

	chain containers {
		iifname "br-shop" ip daddr 203.0.113.9 tcp dport 443 accept
	}
}
"""


# The only commands that may run. nft lists no elements and no counters, and no command waits for a pager.
COMMANDS = (
    ["nft", "-t", "-s", "list", "ruleset"],
    ["iptables-save"],
    ["ip6tables-save"],
    ["systemctl", "list-sockets", "--all", "--no-legend", "--no-pager", "--plain"],
)


class World:
    """A fake host. A test can change everything that the host answers."""

    def __init__(self, machine: Machine, root: Path, docker: Engine) -> None:
        self.docker, self.root = docker, root
        self.proc = root / "proc"
        self.inode = 1000
        self.ruleset = FILTER
        self.saved = {"iptables-save": "", "ip6tables-save": ""}
        self.next: list[Callable[[], None]] = []
        self.lines: dict[str, list[str]] = {name: [] for name in ("tcp", "tcp6", "udp", "udp6")}
        (self.proc / "net").mkdir(parents=True)
        (root / "proc-sys/net/ipv6").mkdir(parents=True)
        self.machine = dataclasses.replace(
            machine,
            proc=self.proc,
            proc_sys=root / "proc-sys",
            net=root / "net",
            etc=root / "etc",
            ufw=root / "etc/ufw",
            ufw_shipped=root / "share",
            docker=root / "docker.sock",
            run=self.run,
        )
        self._write()

    def run(self, argv: Sequence[str], *, timeout: float, env: Any = None) -> Done:
        del timeout, env
        assert list(argv) in COMMANDS, argv
        if argv[0] == "nft":
            # Each reading runs nft once. Then comes the change that the test planned for the next reading.
            said = self.ruleset
            if self.next:
                self.next.pop(0)()
            return Done(0, said, "")
        if argv[0] == "systemctl":
            return Done(0, "[::]:22 ssh.socket ssh.service\n", "")
        return Done(0, self.saved[argv[0]], "")

    def listen(
        self,
        table: str,
        address: str,
        port: int,
        pid: int = 0,
        *,
        state: str = "",
        unit: str = "",
        name: str = "",
        uid: int = 0,
    ) -> None:
        """Add a listening socket. Without `pid`, the socket belongs to the kernel itself."""
        self.inode += 1
        inode = self.inode
        state = state or ("0A" if table.startswith("tcp") else "07")
        self.lines[table].append(f"   0: {address}:{port:04X} 0:0 {state} 0:0 0:0 0 0 0 {inode} 1 0 10")
        self._write()
        if pid:
            folder = self.proc / str(pid)
            (folder / "fd").mkdir(parents=True, exist_ok=True)
            (folder / "fd" / str(inode)).symlink_to(f"socket:[{inode}]")
            (folder / "comm").write_text(f"{name or 'nc'}\n")
            (folder / "status").write_text(f"Name:\t{name or 'nc'}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")
            (folder / "stat").write_text(f"{pid} ({name}) x) S 1 0 0\n")
            (folder / "cgroup").write_text(unit and f"0::/system.slice/{unit}\n")
            os.chown(folder, uid, -1)

    def group(self, pid: int, text: str) -> None:
        (self.proc / str(pid) / "cgroup").write_text(text)

    def silence(self) -> None:
        for lines in self.lines.values():
            lines.clear()
        self._write()

    def _write(self) -> None:
        for name, lines in self.lines.items():
            (self.proc / "net" / name).write_text(_HEAD + "".join(f"{line}\n" for line in lines))

    def facts(self, **spec: Json) -> Json:
        whole: Json = {
            name: {} for name in ("listeners", "published", "passes", "networks", "accepted", "usual")
        } | spec
        (found,) = Exposures(self.machine, Store(self.machine.state)).facts([(ExposureSpec(**whole), None)])
        assert isinstance(found, ExposureFacts), found
        told: Json = encode(found)
        return told


@pytest.fixture
def world(machine: Machine, tmp_path: Path) -> Iterator[World]:
    with docker_engine.listening(tmp_path / "docker.sock") as docker:
        yield World(machine, tmp_path, docker)


ANY, ANY6, LOCAL = "00000000", "0" * 32, "0100007F"


def test_a_listener_is_named_by_its_unit_or_its_process(world: World) -> None:
    world.listen("tcp", ANY, 443, 10, unit="nginx.service", name="nginx")
    world.listen("tcp6", ANY6, 8080, 11, name="nc")
    world.listen("tcp", ANY, 4444, 12, unit="ssh.service", name="nc")
    world.listen("udp", ANY, 5353, 13, unit="avahi-daemon.service", name="avahi-daemon")
    world.listen("udp", ANY, 123)
    assert world.facts()["listeners"] == {
        "tcp4 0.0.0.0:443": "nginx.service",
        "tcp6 [::]:8080": 'process "nc" (root)',
        "tcp4 0.0.0.0:4444": 'process "nc" (root) in ssh.service',
        "udp4 0.0.0.0:5353": "avahi-daemon.service",
        "udp4 0.0.0.0:123": "no process (the kernel's own, as WireGuard)",
    }


def test_loopback_and_connections_are_left_out(world: World) -> None:
    world.listen("tcp", LOCAL, 6379, 10)
    world.listen("tcp6", "0000000000000000FFFF00000100007F", 6380, 10)
    world.listen("tcp6", "00000000000000000000000001000000", 6381, 10)
    world.listen("tcp", ANY, 443, 10, state="01")
    world.listen("udp", ANY, 40000, 10, state="01")
    assert world.facts()["listeners"] == {}


def test_a_udp_port_that_the_kernel_chose_goes_by_its_owner(world: World) -> None:
    world.listen("udp", ANY, 40001, 10, unit="ntpd.service", name="ntpd")
    assert world.facts()["listeners"] == {"udp4 ephemeral by ntpd.service": "ntpd.service"}
    usual = {"udp ephemeral by ntpd.service": "asks for the time"}
    assert world.facts(usual=usual)["listeners"] == {}


def test_a_udp_port_among_those_that_the_kernel_chooses_can_be_declared_or_accepted(world: World) -> None:
    key = "udp4 0.0.0.0:40001"
    world.listen("udp", ANY, 40001, 10, unit="wg-quick.service")
    assert world.facts(listeners={key: "wg-quick.service"})["listeners"] == {key: "wg-quick.service"}
    assert world.facts(accepted={key: "x"})["listeners"] == {}
    world.listen("tcp", ANY, 40002, 11)
    assert world.facts(accepted={key: "x"})["listeners"] == {"tcp4 0.0.0.0:40002": 'process "nc" (root)'}


def test_whoever_has_many_open_files_hides_no_owner_of_another_account(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R1: only the account's own listeners have an unknown owner then, and all are shown."""
    monkeypatch.setattr(socket_owners, "MOST_OF_AN_ACCOUNT", 30)
    monkeypatch.setattr(socket_owners, "MOST_OF_ACCOUNTS", 70)
    asked: list[str] = []
    real = os.readlink
    monkeypatch.setattr(os, "readlink", lambda path: asked.append(str(path)) or real(path))
    for pid, uid in ((5, 2000), (6, 2000), (7, 2001), (8, 0)):
        world.listen("tcp", ANY, 4000 + pid, pid, name="flood", uid=uid)
        for number in range(50):
            (world.proc / str(pid) / "fd" / str(number)).symlink_to("/dev/null")
    # This program has the setuid bit: the user of the first flood started it.
    (world.proc / "8/status").write_text("Name:\tsu\nUid:\t2000\t0\t0\t0\n")
    # Root of a container, which may take any uid.
    for pid, uid in ((50, 0), (51, 33), (52, 34), (53, 35)):
        world.listen("tcp", ANY, 4000 + pid, pid, name="flood", uid=uid)
        world.group(pid, f"0::/system.slice/docker-{'c' * 64}.scope\n")
        for number in range(50):
            (world.proc / str(pid) / "fd" / str(number)).symlink_to("/dev/null")
    world.listen("tcp", ANY, 443, 90, unit="nginx.service", name="nginx")
    world.listen("tcp", ANY, 5432, 91, unit="postgresql.service", name="postgres", uid=1)
    found = world.facts(listeners={"tcp4 0.0.0.0:443": "nginx.service"})["listeners"]
    floods = {f"tcp4 0.0.0.0:{4000 + pid}" for pid in (5, 6, 7, 8, 50, 51, 52, 53)}
    assert found.keys() == {"tcp4 0.0.0.0:443", "tcp4 0.0.0.0:5432", *floods}
    assert found["tcp4 0.0.0.0:443"] == "nginx.service"
    assert found["tcp4 0.0.0.0:5432"] == "postgresql.service"
    assert socket_owners.UNKNOWN in {found[key] for key in floods}
    # The host is read twice, because it differs from the declaration.
    assert len(asked) <= 2 * (70 + 1)


def test_a_process_with_many_open_files_is_read_in_part(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R1. Root's own processes have no limit."""
    monkeypatch.setattr(socket_owners, "MOST_OF_A_PROCESS", 0)
    world.listen("tcp", ANY, 443, 10, unit="nginx.service", name="nginx")
    world.listen("tcp", ANY, 5432, 91, unit="postgresql.service", name="postgres", uid=35)
    assert world.facts()["listeners"] == {
        "tcp4 0.0.0.0:443": "nginx.service",
        "tcp4 0.0.0.0:5432": socket_owners.UNKNOWN,
    }


def test_once_each_socket_has_its_owner_no_more_processes_are_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.listen("tcp", ANY, 443, 90, unit="nginx.service", name="nginx")
    (world.proc / "5/fd").mkdir(parents=True)
    os.chown(world.proc / "5", 2000, -1)
    (world.proc / "5/fd/0").symlink_to("/dev/null")
    asked: list[str] = []
    real = os.readlink
    monkeypatch.setattr(os, "readlink", lambda path: asked.append(str(path)) or real(path))
    world.facts()
    assert asked
    assert not [path for path in asked if "/5/fd/" in path]


def test_a_usual_listener_is_quiet_on_any_address_but_not_with_another_owner(world: World) -> None:
    world.listen("udp", "0A00A8C0", 68, 10, unit="ifup@eth0.service", name="dhclient")
    usual = {"udp 68 by dhclient": "the host's address"}
    assert world.facts(usual=usual)["listeners"] == {}
    world.listen("udp", ANY, 68, 11, name="nc")
    assert world.facts(usual=usual)["listeners"] == {"udp4 0.0.0.0:68": 'process "nc" (root)'}


def test_a_port_that_the_settings_open_may_have_any_owner(world: World) -> None:
    world.listen("udp", ANY, 51820)
    world.listen("tcp", ANY, 8443, 10)
    assert world.facts(usual={"udp 51820 by *": "x", "tcp 8000-9000 by *": "x"})["listeners"] == {}


def test_a_container_on_the_hosts_network_is_named(world: World) -> None:
    id_ = "ab" * 32
    world.docker.run("leak", image=f"mysql@sha256:{'12' * 32}", networks=("host",), id_=id_)
    world.listen("tcp", ANY, 3306, 10, name="mysqld")
    outer = "cd" * 32  # on a host that is itself a container, paths begin with its own group
    world.listen("tcp", ANY, 22, 1, name="systemd")
    world.group(1, f"1:name=systemd:/docker/{outer}/init.scope\n")
    usual = {"tcp 22 by *": "sshd"}
    for group in (f"0::/system.slice/docker-{id_}.scope\n", f"1:name=systemd:/docker/{outer}/docker/{id_}\n"):
        world.group(10, group)
        assert world.facts(usual=usual)["listeners"] == {
            "tcp4 0.0.0.0:3306": f'container "leak" (mysql@sha256:{"12" * 6})'
        }
        assert world.facts(usual=usual, listeners={"tcp4 0.0.0.0:3306": 'container "leak"'})["listeners"] == {
            "tcp4 0.0.0.0:3306": 'container "leak"'
        }
    world.group(10, f"1:name=systemd:/docker/{outer}\n")
    assert world.facts(usual=usual)["listeners"] == {"tcp4 0.0.0.0:3306": 'process "mysqld" (root)'}
    controllers = f"7:blkio:/docker/{outer}\n3:cpuset:/docker/{outer}\n"
    world.group(10, f"{controllers}1:name=systemd:/docker/{outer}/system.slice/mysql.service\n")
    assert world.facts(usual=usual)["listeners"] == {"tcp4 0.0.0.0:3306": "mysql.service"}


def test_systemd_stands_for_the_service_that_it_listens_for(world: World) -> None:
    world.listen("tcp6", ANY6, 22, 1, name="systemd")
    assert world.facts()["listeners"] == {"tcp6 [::]:22": "ssh.service"}


def test_a_control_group_cannot_pose_as_a_container(world: World) -> None:
    world.listen("tcp", ANY, 3306, 10, name='container "db"')
    world.group(10, '0::/system.slice/mine.service/container "db".service\n')
    assert world.facts()["listeners"] == {
        "tcp4 0.0.0.0:3306": 'process "container \\"db\\"" (root) in mine.service'
    }
    world.group(10, '0::/container "db".service\n')
    assert world.facts()["listeners"] == {"tcp4 0.0.0.0:3306": 'process "container \\"db\\"" (root)'}


def test_a_docker_proxy_counts_as_its_container(world: World) -> None:
    world.docker.run("leak", "0.0.0.0:3306/tcp", "[::]:3306/tcp", "127.0.0.1:9999/tcp")
    world.listen("tcp", ANY, 3306, 10, unit="docker.service", name="docker-proxy")
    world.listen("tcp6", ANY6, 3306, 11, unit="docker.service", name="docker-proxy")
    found = world.facts()
    assert found["listeners"] == {}
    text = 'container "leak" (mysql:8)'
    assert found["published"] == {"tcp4 0.0.0.0:3306": text, "tcp6 [::]:3306": text}


def test_a_program_on_the_port_of_a_stopped_container_is_shown_as_itself(world: World) -> None:
    world.docker.run("leak", "0.0.0.0:3306/tcp", state="exited")
    world.listen("tcp", ANY, 3306, 10, name="nc")
    assert world.facts()["listeners"] == {"tcp4 0.0.0.0:3306": 'process "nc" (root)'}


@pytest.mark.parametrize(
    ("uid", "group", "owner"),
    [
        (40000, "/user.slice/user-40000.slice/session-3.scope", 'process "docker-proxy" (40000)'),
        # A user's own systemd can start services under any name below its own group.
        (
            40000,
            "/user.slice/user-40000.slice/user@40000.service/app.slice/docker.service",
            'process "docker-proxy" (40000) in user@40000.service',
        ),
        (40000, "/system.slice/docker.service", "docker.service"),
        (0, "/system.slice/backdoor.service", 'process "docker-proxy" (root) in backdoor.service'),
    ],
)
def test_a_listener_that_calls_itself_docker_proxy_is_shown(
    world: World, uid: int, group: str, owner: str
) -> None:
    world.docker.run("leak", "0.0.0.0:3306/tcp", state="exited")
    world.listen("tcp", ANY, 3306, 10, name="docker-proxy", uid=uid)
    world.group(10, f"0::{group}\n")
    assert world.facts()["listeners"] == {"tcp4 0.0.0.0:3306": owner}


def test_a_declared_container_goes_by_its_name_whatever_its_image_is(world: World) -> None:
    declared = {f"tcp4 {BIND}:2019": 'container "api"'}
    world.docker.run("api", f"{BIND}:2019/tcp", image="acme/api:2")
    assert world.facts(published=declared)["published"] == declared
    world.docker.containers[0]["Names"] = ["/other"]
    assert world.facts(published=declared)["published"] == {
        f"tcp4 {BIND}:2019": 'container "other" (acme/api:2)'
    }


@pytest.mark.parametrize("state", ["created", "restarting", "exited"])
def test_a_declared_container_that_restarts_is_quiet(world: World, state: str) -> None:
    declared = {f"tcp4 {BIND}:2019": 'container "api"'}
    world.docker.run("api", f"{BIND}:2019/tcp", state=state)
    assert world.facts(published=declared)["published"] == declared


def test_an_undeclared_container_shows_while_it_restarts_and_not_when_stopped(world: World) -> None:
    world.docker.run("leak", "0.0.0.0:3306/tcp", state="restarting")
    assert world.facts()["published"] == {"tcp4 0.0.0.0:3306": 'container "leak" (mysql:8)'}
    world.docker.containers[0]["State"] = "exited"
    assert world.facts()["published"] == {}


def test_a_port_without_an_address_is_published_on_dockers_default(world: World) -> None:
    (world.root / "etc/docker").mkdir(parents=True)
    (world.root / "etc/docker/daemon.json").write_text(f'{{"ip": "{BIND}"}}')
    world.docker.run("leak", ":3306/tcp", state="restarting")
    assert list(world.facts()["published"]) == [f"tcp4 {BIND}:3306"]


def test_the_releases_of_an_app_share_one_key(world: World) -> None:
    place = f"tcp4 {BIND}:28000-28999 for api"
    world.docker.run("api-7", f"{BIND}:28003/tcp")
    world.docker.run("api-8", f"{BIND}:28004/tcp")
    declared = {place: 'container "api"'}
    assert world.facts(published=declared)["published"] == declared
    world.docker.run("apix-1", f"{BIND}:28005/tcp")
    world.docker.run("api-9", "0.0.0.0:28006/tcp")
    world.docker.run("api-10", f"{BIND}:8080/tcp")
    others = {"tcp4 0.0.0.0:28006", f"tcp4 {BIND}:28005", f"tcp4 {BIND}:8080"}
    assert set(world.facts(published=declared)["published"]) == {place, *others}


def test_the_releases_of_an_app_share_one_accepted_key(world: World) -> None:
    world.docker.run("api-7", f"{BIND}:28003/tcp")
    assert world.facts(accepted={f"tcp4 {BIND}:28000-28999 for api": "x"})["published"] == {}


def test_a_process_does_not_pass_for_another_by_its_name(world: World) -> None:
    world.listen("udp", ANY, 40001, 10, name="chronyd")
    world.listen("tcp", ANY, 8443, 11, name="nginx.service")
    found = world.facts(listeners={"tcp4 0.0.0.0:8443": "nginx.service"}, usual=exposure.USUAL)
    assert found["listeners"] == {
        'udp4 ephemeral by process "chronyd" (root)': 'process "chronyd" (root)',
        "tcp4 0.0.0.0:8443": 'process "nginx.service" (root)',
    }
    world.group(10, "0::/system.slice/chrony.service\n")
    assert list(world.facts(usual=exposure.USUAL)["listeners"]) == ["tcp4 0.0.0.0:8443"]


@pytest.mark.parametrize("group", ["app.slice/nginx.service", "app.slice/x.service/y.service", "x.scope"])
def test_a_service_of_a_users_own_systemd_is_no_service_of_the_system(world: World, group: str) -> None:
    world.listen("tcp", ANY, 8443, 10, name="nginx")
    world.group(10, f"0::/user.slice/user-1000.slice/user@1000.service/{group}\n")
    assert world.facts(listeners={"tcp4 0.0.0.0:8443": "nginx.service"})["listeners"] == {
        "tcp4 0.0.0.0:8443": 'process "nginx" (root) in user@1000.service'
    }


@pytest.mark.parametrize(
    ("group", "owner"),
    [
        # Whoever owns a group chooses the names below it: a service that may make groups of its own …
        ("system.slice/mine.service/nginx.service", 'process "nginx" (root) in mine.service'),
        ("system.slice/mine.service/user@0.service/nginx.service", 'process "nginx" (root) in mine.service'),
        (f"system.slice/mine.service/docker-{'ab' * 32}.scope", 'process "nginx" (root) in mine.service'),
        (f"system.slice/mine.service/libpod-{'cd' * 32}.scope", 'process "nginx" (root) in mine.service'),
        # … and the systemd of a container.
        (f"system.slice/docker-{'ab' * 32}.scope/system.slice/nginx.service", 'container "api" (mysql:8)'),
        (
            f"machine.slice/libpod-{'cd' * 32}.scope/container/nginx.service",
            f"container {'cd' * 6}",
        ),
        # A user may be able to make groups in the scope of a session, and a container of LXC has its own.
        ("user.slice/user-1000.slice/session-1.scope/nginx.service", 'process "nginx" (root)'),
        (f"user.slice/user-1000.slice/session-1.scope/{'ab' * 32}", 'process "nginx" (root)'),
        ("lxc.payload.c1/system.slice/nginx.service", 'process "nginx" (root)'),
        ("system.slice/nginx.service", "nginx.service"),
    ],
)
@pytest.mark.parametrize("outer", ["", f"/docker/{'ef' * 32}", "/system.slice/lab.service"])
def test_only_the_first_service_or_container_of_a_control_group_counts(
    world: World, outer: str, group: str, owner: str
) -> None:
    world.docker.run("api", id_="ab" * 32)
    world.listen("tcp", ANY, 22, 1, name="systemd")
    world.group(1, f"1:name=systemd:{outer}/init.scope\n0::{outer}/init.scope\n")
    world.listen("tcp", ANY, 8443, 10, name="nginx")
    for controllers in ("0:", "1:name=systemd"):
        world.group(10, f"7:blkio:/other.service\n{controllers}:{outer}/{group}\n")
        assert world.facts()["listeners"]["tcp4 0.0.0.0:8443"] == owner


def test_a_listener_that_was_declared_without_quotes_is_no_difference(world: World) -> None:
    world.listen("udp", ANY, 40001, 10, name="ntpd")
    world.listen("tcp", ANY, 3000, 11, name="node")
    world.group(11, "0::/system.slice/app.service\n")
    declared = {
        "udp4 ephemeral by process ntpd (root)": "process ntpd (root)",
        "tcp4 0.0.0.0:3000": "process node (root) in app.service",
    }
    assert world.facts(listeners=declared)["listeners"] == declared


def test_an_accepted_key_of_an_earlier_version_has_no_quotes(world: World) -> None:
    world.listen("udp", ANY, 40001, 10, name="ntpd")
    assert list(world.facts()["listeners"]) == ['udp4 ephemeral by process "ntpd" (root)']
    for key in ("udp4 ephemeral by process ntpd (root)", 'udp4 ephemeral by process "ntpd" (root)'):
        assert re.fullmatch(exposure_keys.ACCEPTED, key)
        assert world.facts(accepted={key: "x"})["listeners"] == {}
    declared = {"tcp4 0.0.0.0:8443": "process nc (root)"}
    world.listen("tcp", ANY, 8443, 11)
    assert world.facts(listeners=declared)["listeners"]["tcp4 0.0.0.0:8443"] == "process nc (root)"


@pytest.mark.parametrize(
    "target", ["server 0.0.0.0:3306", "proxy_pass http://127.0.0.1:3306/x", "server 172.18.0.9:80"]
)
def test_a_container_that_nginx_sends_requests_to_is_told_as_that(world: World, target: str) -> None:
    world.docker.run("shop", "0.0.0.0:3306/tcp", "0.0.0.0:3307/tcp", addresses=("172.18.0.9", "172.18.0.1"))
    world.docker.run("leak", "0.0.0.0:3308/tcp", networks=("loose",))
    shop, leak = 'container "shop" (mysql:8)', 'container "leak" (mysql:8)'
    ports = ("tcp4 0.0.0.0:3306", "tcp4 0.0.0.0:3307")
    assert world.facts()["published"] == {**dict.fromkeys(ports, shop), "tcp4 0.0.0.0:3308": leak}
    (world.root / "etc/nginx").mkdir(parents=True)
    (world.root / "etc/nginx/nginx.conf").write_text(f"http {{ {target}; }}")
    told = dict.fromkeys(ports, f"{shop}, nginx sends requests to it")
    assert world.facts()["published"] == {**told, "tcp4 0.0.0.0:3308": leak}


def test_a_target_that_is_a_variable_is_told_for_each_container(world: World) -> None:
    world.docker.run("leak", "0.0.0.0:3308/tcp", networks=("loose",))
    (world.root / "etc/nginx").mkdir(parents=True)
    (world.root / "etc/nginx/nginx.conf").write_text("http { proxy_pass http://$app; }")
    text = 'container "leak" (mysql:8), nginx may send requests to it'
    assert world.facts()["published"] == {"tcp4 0.0.0.0:3308": text}


def test_a_service_of_a_swarm_that_nginx_sends_requests_to_is_told_as_that(world: World) -> None:
    port = {"Protocol": "tcp", "PublishedPort": 8080, "PublishMode": "ingress"}
    world.docker.services = [{"ID": "x", "Spec": {"Name": "web"}, "Endpoint": {"Ports": [port]}}]
    (world.root / "etc/nginx").mkdir(parents=True)
    (world.root / "etc/nginx/nginx.conf").write_text("upstream web { server 127.0.0.1:8080; }")
    assert world.facts()["published"]["tcp4 0.0.0.0:8080"] == 'service "web" (?), nginx sends requests to it'


def test_a_users_control_group_named_like_a_container_is_no_container(world: World) -> None:
    id_ = "ab" * 32
    world.docker.run("api", id_=id_)
    world.listen("tcp", ANY, 8443, 10, name="nc")
    world.group(10, f"0::/user.slice/user-1000.slice/user@1000.service/docker-{id_}.scope\n")
    assert world.facts(listeners={"tcp4 0.0.0.0:8443": 'container "api"'})["listeners"] == {
        "tcp4 0.0.0.0:8443": 'process "nc" (root) in user@1000.service'
    }


def test_a_rule_that_iptables_save_leaves_out_shows_by_nft(world: World) -> None:
    (world.root / "etc/ufw").mkdir(parents=True)
    world.ruleset = (
        FILTER + "table ip nat {\n\tchain PREROUTING {\n\t\ttcp dport 81 redirect to :22\n\t}\n}\n"
    )
    key = "nft ip nat PREROUTING: tcp dport 81 redirect to :22"
    world.saved["iptables-save"] = "*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n"
    assert key not in world.facts()["passes"]
    world.saved["iptables-save"] = "# Table `nat' is incompatible, use 'nft' tool.\n"
    assert world.facts()["passes"][key] == "redirects, and iptables-save does not show it"


def test_a_port_of_sctp_can_be_accepted_as_it_is_shown(world: World) -> None:
    world.docker.run("signal", "0.0.0.0:2905/sctp")
    (key,) = world.facts()["published"]
    assert re.fullmatch(exposure_keys.ACCEPTED, key)
    assert world.facts(accepted={key: "x"})["published"] == {}


def test_the_ingress_ports_of_a_swarm_are_published(world: World) -> None:
    spec = {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "nginx:1"}}}
    ports = [
        {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8088, "PublishMode": "ingress"},
        {"Protocol": "udp", "TargetPort": 53, "PublishedPort": 8053, "PublishMode": "host"},
        {"Protocol": "tcp", "TargetPort": 9},
    ]
    world.docker.services = [
        {"ID": "s1", "Spec": spec, "Endpoint": {"Ports": ports}},
        {"ID": "s2", "Spec": {}},
    ]
    world.listen("tcp6", ANY6, 8088, 10, unit="docker.service", name="dockerd")
    text = 'service "web" (nginx:1)'
    found = world.facts()
    assert found["published"] == {"tcp4 0.0.0.0:8088": text, "tcp6 [::]:8088": text}
    assert found["listeners"] == {}
    world.docker.services = []
    assert world.facts()["published"] == {}


def test_a_container_in_the_records_of_the_host_is_declared(world: World) -> None:
    made = world.docker.run("extra", f"{BIND}:9099/tcp", networks=("extra",))
    key, text = f"tcp4 {BIND}:9099", 'container "extra" (mysql:8)'
    found = world.facts()
    assert (found["published"], found["networks"]) == ({key: text}, {"extra": text})
    store = Store(world.machine.state)
    record = Record("containers.container_states", "extra", "web/prod", "urn", {}, "1", {})
    record.extra["container"] = made["Id"]
    store.save(record)
    assert world.facts()["published"] == {key: text}, "Docker would publish on every address"
    (world.machine.etc / "docker").mkdir(parents=True, exist_ok=True)
    (world.machine.etc / "docker/daemon.json").write_text(json.dumps({"ip": BIND}))
    found = world.facts()
    assert (found["published"], found["networks"]) == ({}, {})
    for address in ("0.0.0.0", "203.0.113.10"):  # noqa: S104 - the address of everybody
        made["Ports"][0]["IP"] = address
        assert world.facts()["published"] == {f"tcp4 {address}:9099": text}
    world.docker.drivers["extra"] = "macvlan"
    assert world.facts()["networks"] == {"extra": f"{text}, past every filter of the host (macvlan)"}
    del made["Ports"]
    record.extra = {"container": "f" * 64, "former containers": [made["Id"]]}
    store.save(record)
    world.docker.drivers.clear()
    assert world.facts()["networks"] == {}


@pytest.mark.parametrize(
    ("usual", "left"),
    [
        ("published tcp 8443 by *", ["tcp4 0.0.0.0:8442", "tcp4 0.0.0.0:8444", "udp4 0.0.0.0:8443"]),
        ("published udp 8443 by *", ["tcp4 0.0.0.0:8442", "tcp4 0.0.0.0:8443", "tcp4 0.0.0.0:8444"]),
        ("published tcp 8442-8443 by *", ["tcp4 0.0.0.0:8444", "udp4 0.0.0.0:8443"]),
        ("published tcp 8443-8444 by *", ["tcp4 0.0.0.0:8442", "udp4 0.0.0.0:8443"]),
        (
            "tcp 8443 by *",
            ["tcp4 0.0.0.0:8442", "tcp4 0.0.0.0:8443", "tcp4 0.0.0.0:8444", "udp4 0.0.0.0:8443"],
        ),
    ],
)
def test_a_port_that_the_filter_lets_the_world_use_may_be_published(
    world: World, usual: str, left: list[str]
) -> None:
    world.docker.run("game", "0.0.0.0:8442/tcp", "0.0.0.0:8443/tcp", "0.0.0.0:8443/udp", "0.0.0.0:8444/tcp")
    assert sorted(world.facts(usual={usual: "x"})["published"]) == left


def test_a_missing_program_lists_nothing_and_a_failing_one_is_an_error(world: World) -> None:
    class Told:
        def __init__(self, answer: Any) -> None:
            self.answer = answer

        def __call__(self, argv: Sequence[str], *, timeout: float, env: Any = None) -> Done:
            if argv[0] != "nft":
                return world.run(argv, timeout=timeout, env=env)
            if isinstance(self.answer, Done):
                return self.answer
            raise self.answer

    def asked(answer: Any) -> Any:
        machine = dataclasses.replace(world.machine, run=Told(answer))
        (found,) = Exposures(machine, Store(machine.state)).facts(
            [(ExposureSpec({}, {}, {}, {}, {}, {}), None)]
        )
        return found

    passes = asked(AgentError("invalid", "there is no program nft on the host")).passes
    assert not any("8443" in key for key in passes)
    late = AgentError("timeout", "nft did not end within 30 s")
    assert asked(late) is late
    failed = asked(Done(1, "", "Operation not permitted"))
    assert (failed.code, failed.prop, failed.detail) == ("unreadable", "passes", "Operation not permitted")
    assert failed.message == "nft cannot list the firewall rules of the host"


def test_undeclared_networks_show_with_their_containers(world: World) -> None:
    declared = {"api": "declared", "redis-shared": "declared"}
    world.docker.run("api", networks=("api", "redis-shared"))
    for network in ("bridge", "host", "none"):
        world.docker.run(f"plain-{network}", networks=(network,))
    assert world.facts(networks=declared)["networks"] == declared
    world.docker.run("shop", networks=("byhand",))
    world.docker.run("idle", networks=("empty",), state="exited")
    found = world.facts(networks=declared)
    assert found["networks"] == {**declared, "byhand": 'container "shop" (mysql:8)'}
    assert world.facts(networks=declared, accepted={"network byhand": "x"})["networks"] == declared


def test_the_network_of_a_link_is_declared_whoever_is_in_it(world: World) -> None:
    world.docker.run("toolbox", networks=("web.api",))
    assert set(world.facts()["networks"]) == {"web.api"}
    Store(world.machine.state).save(Record("containers.links", "web.api", "web/prod", "urn", {}, "1", {}))
    assert world.facts()["networks"] == {}


def test_networks_on_the_hosts_own_wire_show_as_past_every_filter(world: World) -> None:
    world.docker.drivers = {
        "bridge": "bridge",
        "byhand": "bridge",
        "lan": "macvlan",
        "wan": "ipvlan",
        "x": "ipvlan",
    }
    world.docker.run("shop", networks=("byhand", "lan"))
    world.docker.run("db", networks=("wan",))
    assert world.facts()["networks"] == {
        "byhand": 'container "shop" (mysql:8)',
        "lan": 'container "shop" (mysql:8), past every filter of the host (macvlan)',
        "wan": 'container "db" (mysql:8), past every filter of the host (ipvlan)',
    }


def test_an_accepted_key_is_no_difference_whether_present_or_absent(world: World) -> None:
    accepted = {"tcp4 0.0.0.0:3306": "x", "tcp4 0.0.0.0:3307": "x", "any4 any": "x", "any6 any": "x"}
    assert world.facts(accepted=accepted)["passes"] == {"tcp4 8443 to containers": "203.0.113.0/24"}
    world.listen("tcp", ANY, 3306, 10)
    world.docker.run("leak", "0.0.0.0:3307/tcp")
    found = world.facts(accepted=accepted)
    assert (found["listeners"], found["published"]) == ({}, {})


def test_neither_a_short_lived_socket_nor_a_restart_is_an_alarm(world: World) -> None:
    world.listen("udp", ANY, 45000, 10, name="dig")
    world.next.append(world.silence)
    declared = {"tcp4 0.0.0.0:80": "nginx.service"}
    world.next.append(lambda: None)
    assert world.facts(listeners=declared)["listeners"] == {}

    world.silence()
    world.next[:] = [lambda: world.listen("tcp", ANY, 80, 11, unit="nginx.service", name="nginx")]
    assert world.facts(listeners=declared)["listeners"] == declared


def test_a_difference_is_read_again_after_half_the_settling_time(world: World) -> None:
    waited: list[float] = []

    class Alone:
        def wait(self, seconds: float) -> None:
            waited.append(seconds)
            world.silence()

    world.machine = dataclasses.replace(world.machine, alone=Alone(), settle=3.0)
    world.listen("tcp", ANY, 3306, 10)
    assert world.facts()["listeners"] == {}
    assert waited == [1.5]


def test_without_a_difference_the_host_is_read_once(world: World) -> None:
    declared = {name: world.facts()[name] for name in ("listeners", "published", "passes", "networks")}
    world.next.append(lambda: None)
    world.next.append(lambda: None)
    world.facts(**declared)
    assert len(world.next) == 1


def test_on_a_kernel_without_ipv6_nothing_of_ipv6_is_missing(world: World) -> None:
    for name in ("tcp6", "udp6"):
        (world.proc / "net" / name).unlink()
        del world.lines[name]
    declared = {"tcp6 [::]:22": "ssh.service"}
    assert world.facts(listeners=declared)["listeners"] == declared
    passes = {"tcp6 22": "anywhere", "tcp6 8443 to containers": "2001:db8::/32"}
    found = world.facts(passes={"tcp4 22": "anywhere", **passes})["passes"]
    assert {key: text for key, text in found.items() if key.startswith("tcp6")} == passes
    assert "tcp4 22" not in found


def test_a_host_without_docker_publishes_nothing_and_a_broken_docker_is_an_error(world: World) -> None:
    world.docker.run("leak", "0.0.0.0:3306/tcp")
    world.docker.broken = True
    (found,) = Exposures(world.machine, Store(world.machine.state)).facts(
        [(ExposureSpec({}, {}, {}, {}, {}, {}), None)]
    )
    assert "it is on fire" in str(found)
    world.machine = dataclasses.replace(world.machine, docker=world.root / "nothing")
    assert world.facts()["published"] == {}


@pytest.mark.parametrize("state", ["running", "restarting"])
def test_a_container_may_disappear_between_the_list_and_its_details(world: World, state: str) -> None:
    """Docker lists the container, but has removed it when the agent asks for details."""
    made = world.docker.run("gone", "0.0.0.0:3306/tcp", state=state)
    answer = world.docker.answer
    world.docker.answer = lambda target: (  # type: ignore[method-assign]
        (404, {"message": "no such container"}) if made["Id"] in target else answer(target)
    )
    expected = {"tcp4 0.0.0.0:3306": 'container "gone" (mysql:8)'} if state == "running" else {}
    assert world.facts()["published"] == expected


@pytest.mark.parametrize("document", [{}, {"HostConfig": None}, {"HostConfig": {"PortBindings": None}}])
def test_a_container_that_publishes_nothing(world: World, document: Json) -> None:
    world.docker.run("quiet", state="restarting")
    answer = world.docker.answer
    world.docker.answer = lambda target: (  # type: ignore[method-assign]
        (200, document) if target.endswith("/json") else answer(target)
    )
    assert world.facts()["published"] == {}


def test_dockers_answer_about_a_service_may_lack_any_field(world: World) -> None:
    ports = [{"PublishedPort": 8088}, {"Protocol": "sctp", "PublishedPort": 8089}]
    world.docker.services = [
        {"ID": "s1", "Spec": {"Name": "web"}, "Endpoint": {"Ports": ports}},
        {"ID": "s2", "Spec": {"Name": "x", "TaskTemplate": {"ContainerSpec": {}}}, "Endpoint": None},
        {"ID": "s3", "Endpoint": {"Ports": None}},
    ]
    text = 'service "web" (?)'
    keys = ("tcp4 0.0.0.0:8088", "tcp6 [::]:8088", "sctp4 0.0.0.0:8089", "sctp6 [::]:8089")
    assert world.facts()["published"] == dict.fromkeys(keys, text)


def test_a_release_of_an_app_beside_a_port_that_the_filter_opens(world: World) -> None:
    """The releases of an app share a key that names a range of ports and no single port."""
    world.docker.run("api-7", f"{BIND}:28003/tcp")
    accepted = {f"tcp4 {BIND}:1-28000 for api": "x"}
    usual = {"published tcp 28003 by *": "x"}
    assert world.facts(published={PLACE: 'container "api"'}, usual=usual)["published"] == {
        PLACE: 'container "api"'
    }
    assert world.facts(accepted=accepted, usual=usual)["published"] == {}


def test_a_declared_port_shows_whether_or_not_the_filter_opens_it(world: World) -> None:
    world.docker.run("game", "0.0.0.0:8443/tcp", "0.0.0.0:8444/tcp")
    declared = {"tcp4 0.0.0.0:8443": 'container "game"'}
    found = world.facts(published=declared, usual={"published tcp 8443-8444 by *": "x"})
    assert found["published"] == declared


OFF, NONE = "everything: ufw is off", "everything: ufw is not installed"
LOOSE = "everything: ufw lets in packets that no rule refuses"


@pytest.mark.parametrize(
    ("command", "default", "found"),
    [
        ("", "", {"any4 any": OFF, "any6 any": OFF}),
        ("ufw enable", "", {"tcp4 443": "anywhere", "tcp6 443": "anywhere"}),
        ("ufw default allow incoming; ufw enable", "",
         {"tcp4 443": "anywhere", "tcp6 443": "anywhere", "any4 any": LOOSE, "any6 any": LOOSE}),
        ("ufw enable", "IPV6=no", {"tcp4 443": "anywhere"}),
        ("ufw enable", "IPV6=Yes", {"tcp4 443": "anywhere", "tcp6 443": "anywhere"}),
    ],
)  # fmt: skip
def test_what_ufw_lets_in(
    world: World, tmp_path: Path, command: str, default: str, found: dict[str, str]
) -> None:
    world.ruleset = "table inet portcullis {\n}\n"
    assert world.facts()["passes"] == {"any4 any": NONE, "any6 any": NONE}
    ufw = FakeUfw(tmp_path / "fake").install()
    ufw.run("ufw allow in proto tcp from any to any port 443")
    if command:
        ufw.run(command)
    if default:
        ufw.default.write_text(ufw.default.read_text().replace("IPV6=yes", default))
    world.machine = dataclasses.replace(world.machine, ufw=ufw.etc, ufw_shipped=ufw.shipped)
    assert world.facts()["passes"] == found
    (world.root / "proc-sys/net/ipv6").rmdir()
    assert world.facts()["passes"] == {k: v for k, v in found.items() if k.partition(" ")[0][-1] == "4"}


def test_a_rule_of_iptables_past_the_filter_shows_for_its_family(world: World) -> None:
    """A folder in /sys marks an interface as a bridge of containers. Any other interface leads outside."""
    rule = "*filter\n-A FORWARD -i {0} -o {0} -j ACCEPT\nCOMMIT\n"
    (world.root / "net/shop0/bridge").mkdir(parents=True)
    (world.root / "net/eth0").mkdir()
    before = world.facts()["passes"]
    world.saved = {"iptables-save": rule.format("shop0"), "ip6tables-save": rule.format("shop0")}
    assert world.facts()["passes"] == before
    world.saved["ip6tables-save"] = rule.format("eth0")
    (added,) = set(world.facts()["passes"]) - set(before)
    assert added.startswith("ip6tables")
    (world.root / "proc-sys/net/ipv6").rmdir()
    assert not any(key.startswith("ip6tables") for key in world.facts()["passes"])


def test_a_redirect_that_docker_wrote_for_a_container_is_quiet(world: World) -> None:
    rule = (
        "*nat\n-A DOCKER ! -i docker0 -p tcp -m tcp --dport 3306 -j DNAT --to-destination 172.17.0.2:3306\n"
    )
    world.saved["iptables-save"] = rule
    assert any(key.startswith("iptables nat DOCKER") for key in world.facts()["passes"])
    world.docker.run("leak", "0.0.0.0:3306/tcp")
    assert not any(key.startswith("iptables") for key in world.facts()["passes"])


def test_a_docker_proxy_hides_no_other_listener(world: World) -> None:
    world.docker.run("leak", "0.0.0.0:3306/tcp")
    world.listen("tcp", ANY, 3306, 10, unit="docker.service", name="docker-proxy")
    world.listen("tcp", ANY, 3307, 11, name="nc")
    assert world.facts()["listeners"] == {"tcp4 0.0.0.0:3307": 'process "nc" (root)'}


def test_a_usual_entry_that_cannot_be_parsed_covers_nothing(world: World) -> None:
    world.listen("tcp", ANY, 3306, 10)
    world.docker.run("leak", "0.0.0.0:3307/tcp")
    found = world.facts(usual={"whatever": "x", "published whatever": "x"})
    assert (list(found["listeners"]), list(found["published"])) == (
        ["tcp4 0.0.0.0:3306"], ["tcp4 0.0.0.0:3307"],
    )  # fmt: skip


def test_the_edges_of_a_usual_range(world: World) -> None:
    for port in (7999, 8000, 9000, 9001):
        world.listen("tcp", ANY, port, 10)
        world.listen("udp", ANY, port, 11)
    found = world.facts(usual={"tcp 8000-9000 by nc": "x"})["listeners"]
    tcp = [key for key in found if key.startswith("tcp")]
    assert sorted(tcp) == ["tcp4 0.0.0.0:7999", "tcp4 0.0.0.0:9001"]
    assert len(found) - len(tcp) == 4


def test_an_accepted_network_without_ipv6_stays_accepted(world: World) -> None:
    (world.proc / "net/tcp6").unlink()
    del world.lines["tcp6"]
    accepted = {"network v6": "x", "tcp6 [::]:22": "x"}
    found = world.facts(networks={"v6": "declared"}, accepted=accepted)
    assert found["networks"] == {}


NEW, OLD, DECLARED = 'process "nc" (root)', "sshd.service", "nginx.service"


@pytest.mark.parametrize(
    ("first", "second", "declared", "told"),
    [
        (None, NEW, None, None),
        (NEW, None, None, None),
        (OLD, NEW, None, NEW),
        (DECLARED, None, DECLARED, DECLARED),
        (None, DECLARED, DECLARED, DECLARED),
        (NEW, None, DECLARED, NEW),
        (None, NEW, DECLARED, NEW),
        (DECLARED, NEW, DECLARED, DECLARED),
        (NEW, DECLARED, DECLARED, DECLARED),
        (OLD, NEW, DECLARED, NEW),
        (None, None, DECLARED, None),
    ],
)
def test_two_readings_become_one_answer(
    first: str | None, second: str | None, declared: str | None, told: str | None
) -> None:
    maps = [{} if text is None else {"tcp4 0.0.0.0:80": text} for text in (first, second, declared, told)]
    assert on_host._confirmed(maps[0], maps[1], maps[2]) == maps[3]


def test_two_owners_of_one_port_are_both_named(world: World) -> None:
    world.listen("tcp", ANY, 80, 10, name="a")
    world.listen("tcp", ANY, 80, 11, name="b")
    world.docker.run("one", "0.0.0.0:81/tcp")
    world.docker.run("two", "0.0.0.0:81/tcp", image="")
    found = world.facts()
    assert found["listeners"] == {"tcp4 0.0.0.0:80": 'process "a" (root) and process "b" (root)'}
    assert found["published"] == {"tcp4 0.0.0.0:81": 'container "one" (mysql:8) and container "two" (?)'}


def test_a_live_port_without_an_address_is_published_everywhere(world: World) -> None:
    world.docker.run("leak", ":3306/tcp")
    world.docker.containers[0]["Ports"][0].pop("Type")
    world.docker.containers[0]["Ports"].append({"PrivatePort": 9, "Type": "tcp"})
    assert list(world.facts()["published"]) == ["tcp4 0.0.0.0:3306"]


@pytest.mark.parametrize(
    ("bindings", "found"),
    [
        ({"80": [{"HostIp": "192.0.2.1", "HostPort": "81"}]}, ["tcp4 192.0.2.1:81"]),
        ({"80/udp": [{"HostIp": "", "HostPort": "81"}]}, ["udp4 0.0.0.0:81"]),
        ({"80/tcp": [{"HostPort": "8000-8001"}, {"HostPort": "0"}, {"HostPort": ""}, {}]}, []),
        ({"80/tcp": None}, []),
        (None, []),
    ],
)
def test_the_ports_of_a_container_that_does_not_run_come_from_its_settings(
    world: World, bindings: Any, found: list[str]
) -> None:
    made = world.docker.run("leak", state="restarting")
    made["bindings"] = bindings
    assert list(world.facts()["published"]) == found
    made["State"] = "paused"
    assert list(world.facts()["published"]) == found
    made["State"] = "dead"
    assert world.facts()["published"] == {}


def test_a_container_without_a_name_goes_by_its_id(world: World) -> None:
    made = world.docker.run("x", "0.0.0.0:3306/tcp", id_="ab" * 32)
    made["Names"] = []
    made["NetworkSettings"] = None
    assert world.facts()["published"] == {"tcp4 0.0.0.0:3306": 'container "abababababab" (mysql:8)'}


@pytest.mark.parametrize("text", ["{", "[]", '{"ip": ""}', None])
def test_without_dockers_settings_a_port_is_published_everywhere(world: World, text: str | None) -> None:
    (world.root / "etc/docker").mkdir(parents=True)
    if text is not None:
        (world.root / "etc/docker/daemon.json").write_text(text)
    world.docker.run("leak", ":3306/tcp", state="restarting")
    assert list(world.facts()["published"]) == ["tcp4 0.0.0.0:3306"]


PLACE = f"tcp4 {BIND}:28000-28999 for api"


@pytest.mark.parametrize(
    ("key", "owner", "was"),
    [
        (f"tcp4 {BIND}:2019", 'container "web" (acme/web:1)', True),
        (f"tcp4 {BIND}:2019", 'container "other" (acme/web:1)', False),
        (f"tcp4 {BIND}:2020", 'container "web" (acme/web:1)', False),
        *[
            (f"tcp4 {BIND}:{port}", 'container "api-7" (acme/api:1)', fits)
            for port, fits in ((27999, False), (28000, True), (28999, True), (29000, False))
        ],
        (f"tcp4 {BIND}:28000", 'container "api-x" (acme/api:1)', False),
        (f"tcp4 {BIND}:28000", 'container "apis-7" (acme/api:1)', False),
        ("tcp4 0.0.0.0:28000", 'container "api-7" (acme/api:1)', False),
    ],
)
def test_a_declared_port_is_recognised_although_its_text_differs(key: str, owner: str, was: bool) -> None:  # noqa: FBT001
    declared = {f"tcp4 {BIND}:2019": 'container "web"', PLACE: 'container "api"'}
    assert docker_ports.was_declared(key, owner, declared) is was


def test_a_deploy_only_reports(world: World, client: Client) -> None:
    world.listen("tcp", ANY, 3306, 10)
    deployment = client.again(machine=world.machine)
    desired = {
        "listeners": {"tcp4 0.0.0.0:443": "nginx.service"}, "published": {}, "networks": {}, "accepted": {},
        "usual": {}, "passes": world.facts()["passes"],
    }  # fmt: skip
    for op in ("plan", "put"):
        answer = deployment.on(op, "exposure", "host", desired)
        assert [(s["property"], s["have"], s["want"], s["action"]) for s in answer["steps"]] == [
            ('listeners["tcp4 0.0.0.0:3306"]', 'process "nc" (root)', "absent", "warn"),
            ('listeners["tcp4 0.0.0.0:443"]', "absent", "nginx.service", "warn"),
        ]
        assert answer["facts"]["listeners"] == {"tcp4 0.0.0.0:3306": 'process "nc" (root)'}
    assert not deployment.on("plan", "exposure", "host", desired)["refusal"]
    assert deployment.on("remove", "exposure", "host", desired)["done"] == "kept"
    deployment.close()


NOTHING: Json = {
    name: {} for name in ("listeners", "published", "passes", "networks", "accepted", "usual")
}  # fmt: skip
PORT = "tcp4 0.0.0.0:50000"


@pytest.fixture
def deployed(world: World, client: Client) -> Iterator[Callable[..., Json]]:
    """Deploy what the settings accept, and return the differences of the ports."""
    deployment = client.again(machine=world.machine)

    def told(op: str = "plan", **accepted: str) -> Json:
        names = {"port": PORT, "other": "tcp4 0.0.0.0:50001", "owned": "udp4 ephemeral by ntpd.service"}
        desired = NOTHING | {"accepted": {names[name]: reason for name, reason in accepted.items()}}
        facts = deployment.on(op, "exposure", "host", desired)["facts"]
        return {**facts["listeners"], **facts["published"]}

    yield told
    deployment.close()


def test_an_accepted_port_is_for_the_owner_that_it_had(world: World, deployed: Callable[..., Json]) -> None:
    world.listen("tcp", ANY, 50000, 10, name="agent", unit="agent.service")
    world.listen("udp", ANY, 40001, 11, name="ntpd", unit="ntpd.service")
    assert deployed(port="agent", owned="ntp") == {}, "it is accepted before it is deployed"
    assert deployed("put", port="agent", owned="ntp", other="comes later") == {}
    world.listen("tcp", ANY, 50001, 13)
    assert deployed(port="agent", owned="ntp", other="comes later") == {}
    world.silence()
    assert deployed("put", port="agent", other="comes later") == {}
    world.listen("tcp", ANY, 50000, 12, name="agent", uid=40000)
    taken = {PORT: 'process "agent" (40000) (when accepted: agent.service)'}
    assert deployed("put", port="agent") == taken, "another up does not accept it"
    world.silence()
    world.listen("tcp", ANY, 50000, 20, name="agent", unit="agent.service")
    assert deployed(port="agent") == {}, "a new process of the same owner"
    world.silence()
    world.listen("tcp", ANY, 50000, 12, name="agent", uid=40000)
    assert deployed("put", port="it is joe's") == {}
    assert deployed(port="it is joe's") == {}


def test_a_program_that_takes_the_accepted_port_of_a_container_shows(
    world: World, deployed: Callable[..., Json]
) -> None:
    world.docker.run("metrics", "0.0.0.0:50000/tcp", image="exporter:1")
    assert deployed("put", port="metrics") == {}
    world.docker.containers[0]["Image"] = "exporter:2"
    assert deployed(port="metrics") == {}
    world.docker.containers[0]["Names"] = ["/other"]
    text = 'container "other" (exporter:2) (when accepted: container "metrics")'
    assert deployed(port="metrics") == {PORT: text}
    world.docker.containers[0]["State"] = "exited"
    world.listen("tcp", ANY, 50000, 10, name="nc", uid=40000)
    assert deployed(port="metrics") == {PORT: 'process "nc" (40000) (when accepted: container "metrics")'}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('container "a" (x:1)', 'container "a" (x:2), nginx sends requests to it'),
        (f'container "web.1.{"a" * 25}" (x:1)', f'container "web.1.{"b" * 25}" (x:1)'),
        ("container 0123456789ab", "container ba9876543210"),
        ('process "nc" (joe) in run-u12.service', 'process "nc" (joe) in run-u13.service'),
    ],
)
def test_what_changes_with_each_start_belongs_to_no_owner(before: str, after: str) -> None:
    assert on_host._owner(before) == on_host._owner(after)


def test_a_process_that_is_named_like_a_container_keeps_its_user() -> None:
    assert (
        on_host._owner('container "a" (x:1) and service "b" (y@sha256:1)') == 'container "a" and service "b"'
    )
    for text in ('process container "a" (joe)', 'process x (joe) in container "a" (b).service'):
        assert on_host._owner(text) == text
