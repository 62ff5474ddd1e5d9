"""Tests kernel settings, security upgrades and upkeep on a real host.

A preview shows drift of them, and `up` repairs it.

The tests cover only kernel settings of the network, because a lab host shares its kernel and clock with the
machine.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import tarfile
from typing import TYPE_CHECKING

import pytest

from portcullis.components.upkeep import render as units
from tests.e2e.host.watch import wait_for
from tests.e2e.inventory.changes.kernel import ADVERTISES
from tests.e2e.project import Project
from tests.e2e.stack import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lab.pytest_lab import Host, Lab

PROGRAM = """
from portcullis.components import (
    DockerEngine,
    DockerEngineArgs,
    KernelArgs,
    KernelSettings,
    SystemUpdates,
    UpdatesArgs,
    Upkeep,
    UpkeepArgs,
)
from portcullis.host import Host

OS = "{os}"
tell = File("tell", host="web1", path="/usr/local/bin/tell", mode="0755",
            content='#!/bin/sh\\necho "$@" >> /var/log/told; [ ! -e /var/log/mute ]\\n')
web1 = Host("web1", OS)
KernelSettings("kernel", KernelArgs(only=("net.ipv4.", "net.ipv6.")), host=web1)
updates = SystemUpdates("updates", UpdatesArgs(), host=web1)
Upkeep("upkeep", UpkeepArgs(journal="64M", image_prune="daily", time_sync=False,
                            notify=("/usr/local/bin/tell", "failed: 100%")),
       host=web1, opts=pulumi.ResourceOptions(depends_on=[updates]))
"""
DOCKER = """
DockerEngine("docker", DockerEngineArgs(), host=Host("web1", os=OS))
"""
LAST = "/etc/sysctl.d/99-zzz-mine.conf"
MARTIANS = "net.ipv4.conf.all.log_martians"


@pytest.fixture(scope="module")
def bare(module_host: Host) -> dict[str, str]:
    """The facts of the host before the deployment, after one more boot."""
    module_host.reboot()
    return snapshot.take(module_host)


@pytest.fixture(scope="module")
def standing(
    bare: dict[str, str], module_host: Host, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    assert bare
    project = Project(tmp_path_factory.mktemp("upkeep") / "upkeep", module_host, name="upkeep")
    project.program(PROGRAM.format(os="debian-13") + DOCKER).up()
    yield project
    project.close()


def live(host: Host, *keys: str) -> list[str]:
    return host.run(["sysctl", "-n", *keys]).stdout.split()


def test_what_is_set_by_hand_is_shown_by_its_key_and_what_would_win_at_the_next_boot_is_named(
    standing: Project,
) -> None:
    host = standing.host
    standing.unchanged()
    host.run(["sysctl", "-qw", f"{MARTIANS}=0", "net.ipv6.conf.eth0.accept_redirects=1"])
    host.write(LAST, f"{MARTIANS} = 0\n")
    standing.preview().has(
        f'{MARTIANS} : "0" => "1"',
        'net.ipv6.conf.*.accept_redirects: "0, but eth0: 1" => "0"',
        "overridden",
        f"0 in {LAST}",
        "~ 1 to update",
    )
    standing.up(fails=True).has(f"{MARTIANS} is set to 0 in {LAST}", "remove that line")
    host.run(["rm", LAST])
    standing.up()
    assert live(host, MARTIANS, "net.ipv6.conf.eth0.accept_redirects") == ["1", "0"]


def test_settings_hold_over_a_reboot(standing: Project) -> None:
    host = standing.host
    host.reboot()
    assert live(host, MARTIANS, "net.ipv4.conf.eth0.rp_filter", "net.ipv4.tcp_rfc1337") == ["1", "1", "1"]
    assert "max 64M" in journal_limit(host)
    standing.unchanged()


def test_a_neighbour_that_claims_to_be_a_router_is_not_heard(standing: Project, lab: Lab) -> None:
    host = standing.host
    frame = ADVERTISES.replace("HOST", host.read("/sys/class/net/eth0/address").strip().replace(":", ""))
    says = f"import time\nfor _ in range(8):\n    exec({frame!r})\n    time.sleep(0.25)"

    def heard() -> bool:
        assert lab.at("neighbour", "python3", "-c", says).returncode == 0
        return "fe80::d711" in host.run("ip -6 route show default proto ra").stdout

    hears = "net.ipv6.conf.eth0.accept_ra"
    assert live(host, hears, "net.ipv6.conf.eth0.accept_ra_rtr_pref") == ["0", "0"]
    assert not heard()
    host.run(["sysctl", "-qw", f"{hears}=2"])  # 2: accept advertisements, even if the host forwards packets
    assert heard(), "without the setting the host accepts the same frame"
    standing.preview().has('net.ipv6.conf.<static>.accept_ra: "2" => "0"', "~ 1 to update")
    standing.up()
    host.run("ip -6 route flush proto ra")
    assert live(host, hears) == ["0"]
    standing.unchanged()


def journal_limit(host: Host) -> str:
    """Return journald's message about its size limit, from its last start."""
    said = host.run("journalctl -q --no-pager -o cat -u systemd-journald | grep 'System Journal' | tail -1")
    return re.sub(r"\.0M", "M", said.stdout)


def test_a_journal_without_limit_is_shown_and_the_limit_is_in_force_again(standing: Project) -> None:
    host = standing.host
    host.run("rm /etc/systemd/journald.conf.d/50-portcullis.conf; systemctl restart systemd-journald")
    assert "max 64M" not in journal_limit(host)
    standing.preview().has("+ SystemMaxUse=64M", "~ 2 to update")
    standing.up()
    assert "max 64M" in journal_limit(host)


def test_security_updates_and_nothing_else_install_themselves_over_edited_files_too(
    standing: Project,
) -> None:
    upgrades_of_security_only(standing.host, "trixie")


def upgrades_of_security_only(host: Host, codename: str) -> None:
    """Offer newer packages from both origins that Debian has, and ask what would be installed."""
    try:
        for name, suite, label in (
            ("tell-security", f"{codename}-security", "Debian-Security"),
            ("tell-stable", codename, "Debian"),
        ):
            host.run(["sh", "-c", _REPOSITORY, "sh", name, suite, label])
        host.run("apt-get update -q -o Dir::Etc::sourcelist=/dev/null")
        said = host.run(["unattended-upgrade", "--dry-run", "--verbose"]).stdout
        (line,) = (line for line in said.splitlines() if "will be upgraded:" in line)
        assert line.rpartition(":")[2].split() == ["tell-security"], said
    finally:
        host.run(
            "apt-get purge -qy tell-security tell-stable; rm -rf /srv/repo /etc/apt/sources.list.d/tell-*"
        )
    said = host.run(["apt-config", "dump"]).stdout
    assert 'Unattended-Upgrade::Automatic-Reboot-Time "04:00";' in said
    timer = host.run("systemctl show -P TimersCalendar apt-daily-upgrade.timer").stdout
    assert "OnCalendar=*-*-* 03:00:00" in timer
    assert timer.count("OnCalendar") == 1, timer


# Makes two versions of a package with a configuration file. The older version is installed, and its file
# edited by hand. The newer version, with a changed file, is in a repository of the given origin.
_REPOSITORY = r"""
set -e
repo=/srv/repo/$1; mkdir -p $repo/build/DEBIAN $repo/build/etc; cd $repo
echo /etc/$1.conf > build/DEBIAN/conffiles
for version in 1 2; do
    echo $version > build/etc/$1.conf
    printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: t <t@example.com>\nDescription: t\n' \
        $1 $version > build/DEBIAN/control
    dpkg-deb -b build $1_${version}_all.deb >/dev/null
done
dpkg -i $1_1_all.deb >/dev/null; rm $1_1_all.deb
echo mine > /etc/$1.conf
{ dpkg-deb -f $1_2_all.deb
  printf 'Filename: ./%s_2_all.deb\nSize: %s\nSHA256: %s\n\n' $1 $(stat -c %s $1_2_all.deb) \
      $(sha256sum $1_2_all.deb | cut -d' ' -f1); } > Packages
printf 'Origin: Debian\nLabel: %s\nSuite: stable\nCodename: %s\nSHA256:\n %s %s Packages\n' "$3" "$2" \
    $(sha256sum Packages | cut -d' ' -f1) $(stat -c %s Packages) > Release
echo "deb [trusted=yes] file:$repo ./" > /etc/apt/sources.list.d/$1.list
"""


def test_a_service_that_fails_is_told_of_once_and_a_teller_that_fails_is_not(standing: Project) -> None:
    failures_are_told_of(standing.host)


def test_the_unit_of_a_swap_file_is_one_that_systemd_understands(standing: Project) -> None:
    # systemd only reads the unit. A start would change the swap of the machine.
    host = standing.host
    host.write("/run/portcullis-swap.service", units.swap_service("upkeep-swap", "1G"))
    assert host.run(["systemd-analyze", "verify", "/run/portcullis-swap.service"]).stderr == ""


def failures_are_told_of(host: Host) -> None:
    host.run("rm -f /var/log/told; systemd-run -q --unit=breaks false")
    wait_for("the failure to be told of", lambda: told(host) != "")
    assert told(host) == "failed: 100% breaks.service\n"
    host.run("touch /var/log/mute; systemctl reset-failed; systemd-run -q --unit=breaks-again false")
    wait_for("the second failure to be told of", lambda: "breaks-again" in told(host))
    teller = "systemctl show -P ActiveState portcullis-notify@breaks-again.service.service"
    wait_for("the teller to fail", lambda: host.run(teller).stdout == "failed\n")
    assert told(host).count("\n") == 2
    host.run("rm /var/log/mute; systemctl reset-failed")


def told(host: Host) -> str:
    return host.run("cat /var/log/told", check=False).stdout


def test_the_timer_removes_old_images_that_nothing_uses_and_no_volume(standing: Project) -> None:
    host = standing.host
    for name, created in (("old", "2020"), ("used", "2021"), ("young", "2090")):
        host.run("base64 -d | docker load -q", text=_image(name, f"{created}-01-01T00:00:00Z"))
    # With the host's own programs: the image is empty.
    mounts = [f"--volume={path}:{path}:ro" for path in ("/usr", "/lib", "/lib64")]
    host.run(["docker", "run", "-d", "--name=on", *mounts, "used:1", "/usr/bin/sleep", "900"])
    host.run(["docker", "volume", "create", "data"])
    assert host.run("systemctl show -P NextElapseUSecRealtime portcullis-image-prune.timer").stdout.strip()
    host.run(["systemctl", "start", "portcullis-image-prune.service"])
    assert images(host) == {"used:1", "young:1"}
    assert host.run("docker volume ls -q").stdout == "data\n"

    # Docker is upgraded with the rest: its restart, and containerd's, end no container.
    pid = host.run("docker inspect -f '{{.State.Pid}}' on").stdout
    host.run("systemctl restart containerd docker")
    assert host.run("docker inspect -f '{{.State.Pid}}' on").stdout == pid != "0\n"

    # Without the engine there is nothing to do, and nothing to tell of.
    host.run("systemctl stop docker.service docker.socket; rm -f /var/log/told")
    host.run(["systemctl", "start", "portcullis-image-prune.service"])
    assert told(host) == ""
    host.run("systemctl start docker; docker rm -f on")


def images(host: Host) -> set[str]:
    return set(host.run(["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]).stdout.split())


def _image(name: str, created: str) -> str:
    """Return an image with one small file, in the format of `docker save`, as base64."""
    layer = _tar({"nothing": name.encode()})
    digest = hashlib.sha256(layer).hexdigest()
    config = {
        "architecture": "amd64", "os": "linux", "created": created, "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]}, "history": [{"created": created}],
    }  # fmt: skip
    manifest = [{"Config": "config.json", "RepoTags": [f"{name}:1"], "Layers": ["layer.tar"]}]
    files = {"config.json": config, "manifest.json": manifest}
    archive = _tar({"layer.tar": layer, **{path: json.dumps(data).encode() for path, data in files.items()}})
    return base64.b64encode(archive).decode()


def _tar(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def test_destroy_gives_the_host_and_the_values_of_before_back(
    standing: Project, bare: dict[str, str]
) -> None:
    host = standing.host
    standing.destroy()
    assert live(host, MARTIANS, "net.ipv4.conf.eth0.rp_filter", "net.ipv4.tcp_rfc1337") == ["0", "0", "0"]
    assert not snapshot.unlisted(snapshot.differences(bare, snapshot.take(host)))
    assert host.run("systemctl is-system-running", check=False).stdout == "running\n"


def test_the_core_of_it_on_debian_12(make_host: Callable[[str], Host], tmp_path: Path) -> None:
    host = make_host("bookworm")
    project = Project(tmp_path / "upkeep12", host, name="upkeep12")
    try:
        project.program(PROGRAM.format(os="debian-12")).up()
        project.unchanged()
        assert live(host, MARTIANS, "net.ipv6.conf.eth0.accept_redirects") == ["1", "0"]
        assert "max 64M" in journal_limit(host)
        upgrades_of_security_only(host, "bookworm")
        failures_are_told_of(host)
        project.destroy()
        assert live(host, MARTIANS) == ["0"]
    finally:
        project.close()
