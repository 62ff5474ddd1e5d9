"""Tests the walk that searches the host's files each night.

It finds special rights, programs of no package, changed files and undeclared package sources.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from portcullis.components.inventory import render
from portcullis.components.inventory.on_host import dpkg, walk

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.components.inventory.debian import Debian


def undeclared(debian: Debian) -> dict[str, str]:
    return walk.undeclared(str(debian.root), walk.shipped(str(debian.dpkg))).texts


def test_rights_that_no_package_gives(debian: Debian) -> None:
    debian.package("sudo", {"/usr/bin/sudo": "", "/usr/bin/cp": ""})
    debian.at("/usr/bin/sudo").chmod(0o4755)
    assert undeclared(debian) == {}
    debian.at("/usr/bin/cp").chmod(0o4755)
    debian.file("/home/deploy/.x/bash", "", 0o4755)
    debian.file("/srv/group", "", 0o2755)
    debian.file("/usr/bin/su", "", 0o4755)
    debian.file("/srv/no-program", "", 0o4644)
    assert undeclared(debian) == {
        "/usr/bin/cp": "file 4755 root:root, runs as uid 0",
        "/home/deploy/.x/bash": "file 4755 root:root, runs as uid 0, in no package",
        "/srv/group": "file 2755 root:root, runs as gid 0, in no package",
        "/usr/bin/su": "file 4755 root:root, runs as uid 0, in no package",
    }


def test_a_flood_of_one_user_hides_no_program_of_root(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "MOST_OF_A_USER", 3)
    monkeypatch.setattr(walk, "MOST", 4)
    for path in (*(f"/home/deploy/{number}" for number in range(9)), "/srv/x", "/srv/y"):
        debian.file(path, "", 0o4755)
        if path.startswith("/home"):
            os.chown(debian.at(path), 1000, 1000)
            debian.at(path).chmod(0o4755)
    found = walk.walk(str(debian.root), str(debian.dpkg))
    assert list(found["programs"])[:2] == ["/srv/x", "/srv/y"]
    assert len(found["programs"]) == 4
    assert found["left"] == {"deploy": 7}


def test_many_folders_of_a_user_are_left_out(debian: Debian, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MOST_FOLDERS", 3)
    for number in range(9):
        path = debian.file(f"/home/deploy/{number}/x", "", 0o4755)
        os.chown(debian.at(path).parent, 1000, 1000)
    debian.file("/srv/a/x", "", 0o4755)
    found = walk.undeclared(str(debian.root), {})
    assert len([path for path in found.texts if path.startswith("/home")]) == 3
    assert "/srv/a/x" in found.texts
    assert found.left == {"deploy": 6}


def test_a_packaged_program_that_others_can_write(debian: Debian) -> None:
    debian.package("less", dict.fromkeys(("/usr/bin/less", "/usr/bin/lesskey", "/usr/bin/at", "/var/x"), ""))
    for path, mode, uid in (
        ("/usr/bin/less", 0o755, 1000),
        ("/usr/bin/lesskey", 0o777, 0),
        ("/usr/bin/at", 0o6755, 1000),
        ("/var/x", 0o666, 1000),
    ):
        os.chown(debian.at(path), uid, 0)
        debian.at(path).chmod(mode)
    assert undeclared(debian) == {
        "/usr/bin/less": "file 0755 deploy:root, others than root can change it",
        "/usr/bin/lesskey": "file 0777 root:root, others than root can change it",
    }
    debian.at("/usr/bin/at").chmod(0o6775)
    assert "/usr/bin/at" in undeclared(debian)


def test_capabilities(debian: Debian, monkeypatch: pytest.MonkeyPatch) -> None:
    # Real capabilities need a file system that stores capabilities.
    def getxattr(path: str, name: str, *, follow_symlinks: bool) -> bytes:
        assert (name, follow_symlinks) == ("security.capability", False)
        if path.endswith(("/python3", "/ping")):
            return b"\x01"
        raise OSError

    monkeypatch.setattr(os, "getxattr", getxattr)
    debian.package("iputils-ping", {"/usr/bin/ping": "", "/usr/bin/python3": ""})
    for path in ("/usr/bin/ping", "/usr/bin/python3"):
        debian.at(path).chmod(0o755)
    assert undeclared(debian) == {"/usr/bin/python3": "file 0755 root:root, has capabilities of root's"}


def test_code_that_no_package_ships(debian: Debian) -> None:
    debian.package("python3", {"/usr/lib/python3/dist-packages/known.py": ""})
    debian.file("/usr/lib/python3/dist-packages/evil.pth")
    debian.file("/usr/lib/x86_64-linux-gnu/security/pam_evil.so")
    debian.file("/usr/libexec/evil", "", 0o755)
    debian.file("/usr/lib/python3/dist-packages/__pycache__/known.cpython-313.pyc")
    debian.file("/usr/lib/locale/locale-archive")
    debian.file("/opt/evil.py")
    debian.file("/var/lib/docker/overlay2/x/usr/bin/su", "", 0o4755)
    assert undeclared(debian) == {
        "/usr/lib/python3/dist-packages/evil.pth": "file 0644 root:root, in no package",
        "/usr/lib/x86_64-linux-gnu/security/pam_evil.so": "file 0644 root:root, in no package",
        "/usr/libexec/evil": "file 0755 root:root, in no package",
    }


def test_modules_of_a_packaged_kernel_that_no_package_ships(debian: Debian) -> None:
    mine, other = "/usr/lib/modules/6.12-amd64", "/usr/lib/modules/6.12-cloud"
    debian.package("linux-image", {f"{mine}/kernel/known.ko.xz": ""})
    (debian.dpkg / "info/linux-image.list").write_text(f"{mine}\n{mine}/kernel\n{mine}/kernel/known.ko.xz\n")
    for name in ("evil.ko", "evil.ko.xz", "evil.ko.zst", "evil.ko.gz"):
        debian.file(f"{mine}/extra/{name}")
    debian.file(f"{mine}/modules.dep.bin")
    debian.file(f"{mine}/updates/dkms/zfs.ko")
    debian.file(f"{other}/kernel/own.ko")
    debian.file(f"{other}/su", "", 0o4755)
    assert set(undeclared(debian)) == {
        f"{other}/su",
        *(f"{mine}/extra/evil.ko{end}" for end in ("", ".xz", ".zst", ".gz")),
    }


def test_rules_of_polkit_and_services_of_d_bus_that_no_package_ships(debian: Debian) -> None:
    paths = {
        "/usr/share/polkit-1/rules.d/49-evil.rules",
        "/usr/share/polkit-1/actions/evil.policy",
        "/usr/share/dbus-1/system-services/evil.service",
        "/usr/share/dbus-1/system.d/evil.conf",
    }
    for path in paths:
        debian.file(path)
    debian.package("polkitd", {"/usr/share/polkit-1/rules.d/50-default.rules": ""})
    assert set(undeclared(debian)) == paths


def test_compiled_code_in_place_of_a_source_or_of_others(debian: Debian) -> None:
    folder = "/usr/lib/python3/dist-packages"
    debian.file(f"{folder}/evil.pyc")
    debian.file(f"{folder}/__pycache__/open.cpython-313.pyc", "", 0o666)
    os.chown(debian.at(debian.file(f"{folder}/__pycache__/theirs.cpython-313.pyc")), 1000, 0)
    debian.file(f"{folder}/__pycache__/made.cpython-313.pyc")
    assert {path.rpartition("/")[2] for path in undeclared(debian)} == {
        "evil.pyc", "open.cpython-313.pyc", "theirs.cpython-313.pyc",
    }  # fmt: skip


def test_lists_of_packages_may_still_name_bin_and_lib(debian: Debian) -> None:
    debian.package("login", {"/usr/bin/su": ""})
    (debian.dpkg / "info/login.list").write_text("/.\n/bin\n/bin/su\n")
    debian.at("/usr/bin/su").chmod(0o4755)
    assert undeclared(debian) == {}
    (debian.dpkg / "info/login.list").unlink()
    (debian.dpkg / "diversions").write_text("/bin/su\n/bin/su.real\nlogin\n")
    debian.at("/usr/bin/su").rename(debian.at("/usr/bin/su.real"))
    debian.file("/usr/bin/su.real", "", 0o755)
    assert "/usr/bin/su.real" in walk.shipped(str(debian.dpkg))


def test_findings_of_dpkg_verify() -> None:
    said = """\
??5??????   /usr/bin/curl
??5?????? c /etc/ssh/sshd_config
missing     /usr/share/doc/curl/copyright
missing     /lib/systemd/system/cron.service
missing   c /etc/cron.d/e2scrub_all
??5??????   /usr/share/a b/c
"""
    owned = {"/usr/bin/curl": "curl", "/usr/lib/systemd/system/cron.service": "cron"}
    assert walk.verified(said, owned) == {
        "/usr/bin/curl": "not as curl ships it",
        "/usr/lib/systemd/system/cron.service": "is missing, cron ships it",
        "/usr/share/a b/c": "not as its package ships it",
    }


POLICY = """\
Package files:
 100 /var/lib/dpkg/status
     release a=now
 500 http://evil.example/apt ./ Packages
     release c=
     origin evil.example
 500 http://deb.debian.org/debian trixie/main amd64 Packages
     release v=13.1,o=Debian,a=stable,n=trixie,l=Debian,c=main,b=amd64
     origin deb.debian.org
Pinned packages:
"""
PACKAGES = """\
bash:
  Installed: 5.2.37-2
  Candidate: 5.2.37-2
  Version table:
 *** 5.2.37-2 500
        500 http://deb.debian.org/debian trixie/main amd64 Packages
        100 /var/lib/dpkg/status
curl:
  Installed: 8.0-1
  Candidate: 8.1-1
  Version table:
     8.1-1 500
        500 http://deb.debian.org/debian trixie/main amd64 Packages
 *** 8.0-1 100
        100 /var/lib/dpkg/status
evil:
  Installed: 1.0
  Candidate: 1.0
  Version table:
 *** 1.0 500
        500 http://evil.example/apt ./ Packages
        100 /var/lib/dpkg/status
gone:
  Installed: 1.0
  Candidate: 1.0
  Version table:
 *** 1.0 100
        100 /var/lib/dpkg/status
absent:
  Installed: (none)
  Candidate: 1.0
  Version table:
     1.0 500
        500 http://evil.example/apt ./ Packages
"""


def test_where_packages_come_from() -> None:
    assert walk.distribution(POLICY) == {"http://deb.debian.org/debian"}
    assert walk.sources(PACKAGES) == {
        "bash": ["http://deb.debian.org/debian"],
        # Before each upgrade, the lists have a newer version than the installed version.
        "curl": ["http://deb.debian.org/debian"],
        "evil": ["http://evil.example/apt"],
        "gone": [],
    }


def test_the_result_has_the_package_of_each_changed_file(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian.package("less", {"/usr/bin/less": ""})
    debian.file("/srv/su", "", 0o4755)
    said = "??5??????   /usr/bin/less\n??5??????   /usr/bin/of-nobody\n"
    monkeypatch.setattr(walk, "_output", lambda argv: said if "--verify" in argv else "")
    told = walk.walk(str(debian.root), str(debian.dpkg))
    assert told["packages"] == {"/usr/bin/less": "less"}
    assert set(told["programs"]) == {"/usr/bin/less", "/usr/bin/of-nobody", "/srv/su"}


def test_the_program_on_the_host_is_this_module_and_runs_alone(debian: Debian, tmp_path: Path) -> None:
    program = tmp_path / "portcullis-inventory"
    program.write_text(render.program("web1-inventory-program"))
    debian.file("/srv/su", "", 0o4755)
    target = tmp_path / "state/inventory/walk.json"
    done = subprocess.run(
        [sys.executable, "-IB", program, target, debian.dpkg, debian.root],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "walked in " in done.stdout
    told = json.loads(target.read_text())
    assert told["programs"] == {"/srv/su": "file 4755 root:root, runs as uid 0, in no package"}
    assert target.stat().st_mode & 0o777 == 0o600
    assert target.parent.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in target.parent.iterdir()) == ["walk.json"]


def test_the_service_has_the_lowest_priority() -> None:
    text = render.service("web1-inventory-service")
    for line in ("Nice=19", "IOSchedulingClass=idle", "CPUSchedulingPolicy=idle"):
        assert f"\n{line}\n" in text
    assert "NoNewPrivileges=" not in text, "with it, systemd mounts every file system nosuid"
    assert render.RESULT.endswith("/inventory/walk.json")


def test_a_held_lock_of_dpkg_is_seen(debian: Debian) -> None:
    lock = debian.dpkg / "lock"
    lock.touch()
    assert not dpkg._is_locked(lock)
    holds = "import fcntl,sys; f=open(sys.argv[1],'r+'); fcntl.lockf(f, 2); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", holds, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert dpkg._is_locked(lock)
        dpkg.wait_until_idle(debian.machine)  # the call returns although the lock is still taken
        other.communicate(b"\n")
    assert not dpkg._is_locked(lock)
    with lock.open("r+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the check did not take the lock
