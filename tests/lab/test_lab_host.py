"""Tests a disposable host of the lab: what a stack finds on it, its network, and its reboot."""

from __future__ import annotations

import socket
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from lab import hosts, images, keys, machine, network, scan
from lab.errors import LabError
from lab.shell import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.pytest_lab import Host, Lab


@pytest.mark.parametrize("hour", range(24))
def test_a_host_begins_in_the_afternoon(hour: int) -> None:
    zone = ZoneInfo(f"Etc/{hosts.zone(hour)}")
    assert datetime(2026, 12, 1, hour, tzinfo=UTC).astimezone(zone).hour == 13


@pytest.fixture(scope="module")
def web(module_host: Host) -> Host:
    """Return a host with Docker and nginx. The packages come through the lab's cache."""
    module_host.run("apt-get update -q")
    module_host.run(
        "DEBIAN_FRONTEND=noninteractive apt-get install -qy docker.io nginx",
    )
    return module_host


def test_root_logs_in_with_the_pinned_key(module_host: Host) -> None:
    answer = module_host.ssh("hostname; id -u")
    assert (answer.returncode, answer.stdout.split()) == (0, [module_host.name, "0"]), answer.stderr


def test_another_host_key_is_refused(module_host: Host) -> None:
    stranger = keys.public_host_key("a-stranger")
    known = keys.known_hosts("a-stranger", module_host.address)
    assert stranger in known.read_text()
    login = machine.ssh_argv(module_host.record, known, module_host.identity_file)
    answer = subprocess.run([*login, "true"], capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 255
    assert "Host key verification failed" in answer.stderr


def test_it_is_bare_and_has_booted_whole(module_host: Host) -> None:
    assert module_host.run("systemctl is-system-running").stdout.strip() == "running"
    assert module_host.run("systemctl list-units --failed --plain --no-legend").stdout == ""


def test_the_machine_underneath_cannot_be_changed(module_host: Host) -> None:
    for setting in ("kernel/domainname", "vm/swappiness", "fs/file-max"):
        tried = module_host.run(f"cat /proc/sys/{setting} > /proc/sys/{setting}", check=False)
        assert "Read-only file system" in tried.stderr
    # A stack may set the kernel settings of the host's own network.
    module_host.run("sysctl -w net.ipv4.conf.all.rp_filter=1")
    # Read the capabilities only: an attempt to set the clock could change the clock of the machine.
    cap_sys_module, cap_sys_time = 16, 25
    read = "grep CapBnd /proc/self/status"
    for way in (module_host.run(read), module_host.ssh(read)):
        assert not int(way.stdout.split()[1], 16) & (1 << cap_sys_module | 1 << cap_sys_time)


def test_docker_runs_inside_and_pulls_by_digest(web: Host, lab: Lab) -> None:
    assert "172.17.0.1/16" in web.run("ip -4 address show docker0").stdout
    hello = lab.push(images.hello())
    web.run(["docker", "pull", "-q", hello.reference])
    web.run(
        "docker run -d --name hello --read-only --cap-drop ALL --security-opt no-new-privileges "
        f"-p 172.17.0.1:8080:8080 {hello.reference}"
    )
    status = "docker inspect -f {{.State.Health.Status}} hello"
    web.run(f"until {status} | grep -qx healthy; do sleep 0.2; done")
    assert "Hello from a container" in web.run("curl -sS http://172.17.0.1:8080/").stdout
    assert web.run(["docker", "exec", "hello", "id", "-u"]).stdout.strip() == "65534"
    web.run(["docker", "rm", "-f", "hello"])


def test_an_image_of_the_same_content_has_the_same_digest(lab: Lab) -> None:
    assert images.build(images.hello()).digest == images.build(images.hello()).digest
    assert lab.push(images.hello("2")).digest != images.build(images.hello()).digest


def test_an_image_that_is_there_is_not_written_anew(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.push(images.hello())
    asked, ask = [], images._request

    def note(method: str, *more: Any, **named: Any) -> Any:
        asked.append(method)
        return ask(method, *more, **named)

    monkeypatch.setattr(images, "_request", note)
    lab.push(images.hello())
    assert set(asked) == {"HEAD"}, "who reads a tag while it is written is answered with an error"


def test_nginx_is_reached_from_everywhere(web: Host, lab: Lab) -> None:
    for place in ("neighbour", "internet"):
        for url in (f"http://{web.address}/", f"http://[{web.address6}]/"):
            status, page = lab.fetch(place, url)
            assert status == 0, (place, url, page)
            assert "Welcome to nginx" in page


def test_a_neighbour_can_route_a_bridge_address_at_the_host(web: Host) -> None:
    # Without a firewall this attack has to be possible, or tests of the firewall would prove nothing.
    assert scan.tcp(scan.neighbour(web.record), {"172.17.0.1": [80]})["172.17.0.1"].open == {80}


def test_a_second_host_stands_beside_it(module_host: Host, make_host: Callable[[], Host]) -> None:
    second = make_host()
    assert second.address != module_host.address
    assert second.host_key != module_host.host_key
    second.run(["ping", "-c1", "-W2", module_host.address])
    assert second.ssh("hostname").stdout.strip() == second.name


def test_a_host_that_goes_leaves_the_others_their_gateway(
    module_host: Host, make_host: Callable[[], Host]
) -> None:
    second = make_host()
    # The lowest of all: a bridge without a hardware address of its own takes it, and loses it with its port.
    port = f"host{second.record.number}"
    run(["ip", "-n", network.ROUTER, "link", "set", port, "address", "02:00:00:00:00:01"])
    asked = ["ping", "-c1", "-W2", network.REGISTRY_ADDRESS.v4]
    module_host.run(asked)
    network.detach(second.record.number)
    module_host.run(asked)


def test_a_reboot_keeps_the_disk_and_starts_what_is_enabled(web: Host) -> None:
    web.write("/root/kept", "kept\n")
    web.run("nft add table inet gone; systemctl disable --now nginx")
    boot = web.run("cat /proc/1/stat | cut -d' ' -f22").stdout
    web.reboot()
    assert web.run("cat /proc/1/stat | cut -d' ' -f22").stdout != boot
    assert web.read("/root/kept") == "kept\n"
    assert web.run("systemctl is-active docker nginx", check=False).stdout.split() == ["active", "inactive"]
    assert "gone" not in web.run("nft list tables").stdout
    assert web.ssh("true").returncode == 0


def test_a_moved_ssh_port_does_not_hinder_a_reboot(host: Host) -> None:
    host.write("/etc/ssh/sshd_config.d/port.conf", "Port 2222\n")
    host.reboot()
    with socket.create_connection((host.address, 2222), timeout=60) as connection:
        assert connection.recv(4) == b"SSH-"


def test_a_name_that_is_not_up_is_told_plainly(lab: Lab) -> None:  # noqa: ARG001
    with pytest.raises(LabError, match=r"no host nowhere is up.*run `lab.py up nowhere`"):
        machine.find("nowhere")
