"""Tests the life of a stack: the first `up` on a bare host, a second one, a reboot, and a destroy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from lab import machine, scan
from portcullis.components.firewall.facts import UNIT
from tests.e2e.stack import snapshot
from tests.e2e.stack.program import RESOURCES

if TYPE_CHECKING:
    from lab.pytest_lab import Host
    from tests.e2e.stack.program import Program


@pytest.fixture(scope="module")
def bare(module_host: Host) -> dict[str, str]:
    """The snapshot of the bare host, after one more boot."""
    module_host.reboot()
    return snapshot.take(module_host)


@pytest.fixture(scope="module")
def up(bare: dict[str, str], program: Program) -> Program:
    """Deploy the program. The snapshot of the bare host was taken before."""
    assert bare
    program.up().has(f"+ {RESOURCES} created")
    return program


def test_the_page_is_served_to_the_internet_over_both_families(up: Program) -> None:
    for address in (up.host.address, up.host.address6):
        assert "Hello from a container" in up.page(address=address)
        assert up.page("/healthz", address=address) == "ok\n"


def test_root_has_no_key_once_the_deploy_user_has_logged_in(up: Program) -> None:
    assert not up.host.run("grep -v '^#' /root/.ssh/authorized_keys; true").stdout.strip()


def test_an_unknown_host_name_gets_no_answer(up: Program) -> None:
    for address in (up.host.address, f"[{up.host.address6}]"):
        for name in ("unknown.example.com", "www.hello.example.com", up.host.address):
            code, said = machine.fetch("internet", ["--header", f"Host: {name}", f"http://{address}/"])
            assert code == 52, f"{name} at {address}: {said}"  # curl: empty reply from server


def test_the_container_is_private(up: Program) -> None:
    facts = up.inspect()
    host, config = facts["HostConfig"], facts["Config"]
    assert host["PortBindings"] == {"8080/tcp": [{"HostIp": "172.17.0.1", "HostPort": "8080"}]}
    assert facts["NetworkSettings"]["Ports"] == {"8080/tcp": [{"HostIp": "172.17.0.1", "HostPort": "8080"}]}
    assert list(facts["NetworkSettings"]["Networks"]) == ["hello"]
    assert host["ReadonlyRootfs"] is True
    assert host["Privileged"] is False
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["Memory"] == host["MemorySwap"] == 256 * 1024 * 1024
    assert host["NanoCpus"] == 1_000_000_000
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}
    assert not host["Binds"]
    assert config["User"] == "65534:65534"
    assert facts["State"]["Health"]["Status"] == "healthy"

    # The container's process as the kernel shows it inside the container.
    # A host of the lab is a container, and may allow less than the default.
    first = up.host.run("grep '^Max open files' /proc/1/limits").stdout
    allowed = int(first.split()[4])
    limits = up.docker("exec", "hello", "/bin/busybox", "sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -Hc")
    assert limits.split() == [str(min(65536, allowed))] * 2 + ["0"]
    status = up.docker("exec", "hello", "/bin/busybox", "cat", "/proc/1/status")
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status
    assert "Uid:\t65534\t65534\t65534\t65534" in status
    (in_memory,) = [
        line.split()
        for line in up.docker("exec", "hello", "/bin/busybox", "cat", "/proc/mounts").splitlines()
        if line.split()[1] == "/tmp"  # noqa: S108 - in the container
    ]
    assert in_memory[2] == "tmpfs"
    assert {"rw", "noexec", "nosuid", "nodev"} <= set(in_memory[3].split(","))
    write = up.host.run(["docker", "exec", "hello", "/bin/busybox", "sh", "-c", "echo > /www/x"], check=False)
    assert "Read-only file system" in write.stderr


def test_nobody_but_nginx_reaches_the_container_itself(up: Program) -> None:
    address = next(iter(up.inspect()["NetworkSettings"]["Networks"].values()))["IPAddress"]
    behind = {"172.17.0.1", address}
    targets = dict.fromkeys([*behind, up.host.address, up.host.address6], (8080,))

    def reached(place: scan.Origin) -> set[str]:
        return {target for target, found in scan.tcp(place, targets).items() if found.open}

    # A neighbour can send packets for the containers to the host. On the internet routers drop such packets.
    internet, neighbour = scan.internet(), scan.neighbour(up.host.record)
    try:
        assert reached(internet) == reached(neighbour) == set()
        up.host.run("nft delete table inet portcullis")
        assert reached(neighbour) == behind, "without the filter the neighbour reaches the container"
        up.host.run(f"systemctl reload {UNIT}")
        assert reached(neighbour) == set()
    finally:
        up.host.run(f"systemctl reload {UNIT}")
    listeners = up.host.run("ss -Htlnp '( sport = 8080 )'").stdout.split()
    assert "172.17.0.1:8080" in listeners
    assert not {"0.0.0.0:8080", "[::]:8080", "*:8080"} & set(listeners)


def test_root_in_the_container_is_nobody_to_the_host(up: Program) -> None:
    """An app that starts as root, or a way to become it: what docs/threat-model.md says of that."""

    def as_root(*argv: str) -> tuple[int, str]:
        done = up.host.run(["docker", "exec", "--user", "0:0", "hello", "/bin/busybox", *argv], check=False)
        return done.returncode, done.stdout + done.stderr

    assert as_root("id", "-u") == (0, "0\n")
    code, status = as_root("cat", "/proc/self/status")
    assert code == 0
    for line in ("CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"):
        assert line in status
    # The host's files: neither its disk nor the root of any process of its.
    assert as_root("ls", "/etc/shadow", "/var/lib/portcullis", "/etc/portcullis")[0] != 0
    assert as_root("ls", "/proc/1/root/etc/portcullis")[0] != 0
    # The firewall: a socket of netfilter's, its settings, and the modules that it is made of.
    for refused in (
        ("ip", "link", "set", "eth0", "down"),
        ("ip", "route", "add", "192.0.2.0/24", "dev", "eth0"),
        ("sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward"),
        ("sh", "-c", "echo 1 > /proc/sys/kernel/core_pattern"),
        ("mknod", "/www/disk", "b", "8", "0"),
        ("mount", "-t", "tmpfs", "tmpfs", "/www"),
        ("chroot", "/", "/bin/busybox", "true"),
        ("insmod", "/bin/busybox"),
    ):
        code, said = as_root(*refused)
        assert code != 0, (refused, said)
        assert re.search("not permitted|[Dd]enied|Read-only", said), (refused, said)


def test_dockers_settings_are_tested_by_docker_itself(up: Program) -> None:
    """What `DockerEngine` has them validated with: it takes them, and no option that it does not know."""
    validate = "dockerd --validate --config-file"
    assert "configuration OK" in up.host.run(f"{validate} /etc/docker/daemon.json 2>&1").stdout
    up.host.run(r"""sed '0,/{/s//{"no-such-option": true,/' /etc/docker/daemon.json >/run/unknown.json""")
    refused = up.host.run(f"{validate} /run/unknown.json; rm /run/unknown.json", check=False)
    assert "no-such-option" in refused.stderr


def test_a_second_up_changes_nothing(up: Program) -> None:
    up.preview("--expect-no-changes")
    container = up.inspect()["Id"]
    started = up.host.run("systemctl show -P ActiveEnterTimestamp docker nginx").stdout
    up.up().has(f"{RESOURCES} unchanged").lacks("updated", "created", "replaced")
    up.unchanged()
    up.refresh().has(f"{RESOURCES} unchanged")
    assert up.inspect()["Id"] == container
    assert up.host.run("systemctl show -P ActiveEnterTimestamp docker nginx").stdout == started


def limit_of_processes(up: Program) -> str:
    """Return the kernel's limit for the number of the container's processes."""
    found = f"find /sys/fs/cgroup -path '*{up.inspect()['Id']}*/pids.max' | head -n 1"
    return up.host.run(f'cat "$({found})"').stdout.strip()


def test_all_of_it_holds_after_a_reboot(up: Program) -> None:
    container = up.inspect()["Id"]
    up.host.reboot()
    up.wait_for_page("Hello from a container")
    assert up.inspect()["Id"] == container
    assert limit_of_processes(up) == "256"
    up.unchanged()
    up.docker("restart", "hello")
    assert limit_of_processes(up) == "256"
    up.wait_for_page("Hello from a container")
    assert up.host.run("systemctl is-system-running", check=False).stdout == "running\n"


def test_destroy_gives_the_bare_host_back_but_for_what_the_docs_list_and_it_can_be_deployed_to_again(
    up: Program, bare: dict[str, str]
) -> None:
    up.docker("volume", "create", "peoples-data")
    up.destroy().has(f"- {RESOURCES} deleted")
    left = snapshot.differences(bare, snapshot.take(up.host))
    assert not (unlisted := snapshot.unlisted(left)), unlisted
    rows = snapshot.allowed()
    idle = [row for row in rows if not any(row.covers(fact) for fact in left)]
    assert not idle, f"docs/destroy.md lists what is given back after all: {idle}"
    assert up.host.run("ls /var/lib/docker/volumes").stdout.split()[-1] == "peoples-data", "data was deleted"

    # The page says which of it a reboot takes away.
    up.host.reboot()
    left = snapshot.differences(bare, snapshot.take(up.host))
    gone = [row for row in rows if row.until == "next boot"]
    assert not [fact for fact in left if any(row.covers(fact) for row in gone)]
    assert not (unlisted := snapshot.unlisted(left)), unlisted

    up.up().has(f"+ {RESOURCES} created")
    assert "Hello from a container" in up.page()
    assert "peoples-data" in up.docker("volume", "ls", "-q").split()
    up.docker("volume", "rm", "peoples-data")
    # Debian's notes of the first installation had docker.socket reported as disabled by hand.
    up.preview("--expect-no-changes")
