"""The main job: from a bare host to a page, unchanged after that, over a reboot, and back again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab import machine
from tests.e2e.stack import snapshot
from tests.e2e.stack.program import RESOURCES

if TYPE_CHECKING:
    from lab.pytest_lab import Host
    from tests.e2e.stack.program import Program


@pytest.fixture(scope="module")
def bare(module_host: Host) -> dict[str, str]:
    """What the host was before anything was deployed to it, some boots after it was installed."""
    module_host.reboot()
    return snapshot.take(module_host)


@pytest.fixture(scope="module")
def up(bare: dict[str, str], program: Program) -> Program:
    """The program, deployed; `bare` was taken before."""
    assert bare
    program.up(timeout=500).has(f"+ {RESOURCES} created")
    return program


def test_the_page_is_served_to_the_internet_over_both_families(up: Program) -> None:
    for address in (up.host.address, up.host.address6):
        assert "Hello from a container" in up.page(address=address)
        assert up.page("/healthz", address=address) == "ok\n"


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

    # What it says of itself, and what the kernel says of its process.
    status = up.docker("exec", "hello", "/bin/busybox", "cat", "/proc/1/status")
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status
    assert "Uid:\t65534\t65534\t65534\t65534" in status
    write = up.host.run(["docker", "exec", "hello", "/bin/busybox", "sh", "-c", "echo > /www/x"], check=False)
    assert "Read-only file system" in write.stderr


def test_nobody_on_the_internet_reaches_the_container_itself(up: Program) -> None:
    address = next(iter(up.inspect()["NetworkSettings"]["Networks"].values()))["IPAddress"]
    targets = ["172.17.0.1:8080", f"{address}:8080", f"{up.host.address}:8080", f"[{up.host.address6}]:8080"]
    for target in targets:
        code, said = machine.fetch("internet", ["--max-time", "2", f"http://{target}/"])
        assert code != 0, f"{target} answered: {said}"
    listeners = up.host.run("ss -Htlnp '( sport = 8080 )'").stdout.split()
    assert "172.17.0.1:8080" in listeners
    assert not {"0.0.0.0:8080", "[::]:8080", "*:8080"} & set(listeners)


def test_a_second_up_changes_nothing(up: Program) -> None:
    up.preview("--expect-no-changes")
    container = up.inspect()["Id"]
    started = up.host.run("systemctl show -P ActiveEnterTimestamp docker nginx").stdout
    up.up().has(f"{RESOURCES} unchanged").lacks("updated", "created", "replaced")
    up.unchanged()
    up.refresh().has(f"{RESOURCES} unchanged")
    assert up.inspect()["Id"] == container
    assert up.host.run("systemctl show -P ActiveEnterTimestamp docker nginx").stdout == started


def test_all_of_it_holds_after_a_reboot(up: Program) -> None:
    container = up.inspect()["Id"]
    up.host.reboot()
    up.wait_for_page("Hello from a container")
    assert up.inspect()["Id"] == container
    up.unchanged()
    assert up.host.run("systemctl is-system-running", check=False).stdout == "running\n"


def test_destroy_gives_the_bare_host_back_but_for_what_the_docs_list(
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


def test_the_destroyed_host_can_be_deployed_to_again(up: Program) -> None:
    up.up(timeout=500).has(f"+ {RESOURCES} created")
    assert "Hello from a container" in up.page()
    assert "peoples-data" in up.docker("volume", "ls", "-q").split()
