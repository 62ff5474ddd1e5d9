"""Tests what the inventory reports about files, and which files of no package it can explain."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from portcullis.agent.claims import Claims, content_of
from portcullis.components.inventory.on_host import alternatives, dpkg, files, tree_walk
from portcullis.components.inventory.on_host.explained import CHANGING, COPIES, LINKS, MAKERS, MODES

if TYPE_CHECKING:
    from portcullis.components.inventory.on_host.look import Entry, Fixes, Look
    from tests.components.inventory.debian import Debian

UNITS = "/usr/lib/systemd/system"
BASHRC_12 = r"""# ~/.bashrc: executed by bash(1) for non-login shells.

# Note: PS1 and umask are already set in /etc/profile. You should not
# need this unless you want different defaults for root.
# PS1='${debian_chroot:+($debian_chroot)}\h:\w\$ '
# umask 022

# You may uncomment the following lines if you want `ls' to be colorized:
# export LS_OPTIONS='--color=auto'
# eval "$(dircolors)"
# alias ls='ls $LS_OPTIONS'
# alias ll='ls $LS_OPTIONS -l'
# alias l='ls $LS_OPTIONS -lA'
#
# Some more alias to avoid making mistakes:
# alias rm='rm -i'
# alias cp='cp -i'
# alias mv='mv -i'
"""
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def entries(look: Look) -> dict[str, Entry]:
    return {**files.read(look)["files"], **files.read_homes(look)["files"]}


def told(debian: Debian, *claims: Claims) -> dict[str, str]:
    return {path: entry.text for path, entry in entries(debian.look(*claims)).items()}


def fixes(debian: Debian, path: str, *claims: Claims) -> Fixes:
    return entries(debian.look(*claims))[path].fixes


def test_an_undeclared_file_shows_with_mode_and_owner_but_without_content(debian: Debian) -> None:
    debian.file("/etc/cron.d/evil", "* * * * * root /srv/secret-word\n", 0o600)
    entry = entries(debian.look())["/etc/cron.d/evil"]
    assert entry.text == "file 0600 root:root"
    assert entry.changed == pytest.approx(debian.at("/etc/cron.d/evil").stat().st_ctime, rel=0, abs=1e-5)
    before = entry.mark
    debian.file("/etc/cron.d/evil", "* * * * * root /srv/other\n", 0o600)
    entry = entries(debian.look())["/etc/cron.d/evil"]
    assert "secret-word" not in repr(entry)
    assert entry.mark != before, "the mark covers the content, the text does not show it"


@pytest.mark.parametrize(
    "path",
    [
        "/root/.ssh/rc", "/root/.bashrc", "/opt/x/run", "/usr/local/bin/ls",
        "/var/spool/cron/crontabs/deploy",
        "/usr/lib/systemd/system-generators/evil", "/etc/ld.so.preload",
        "/usr/bin/wrapper", "/etc/pam.d/evil",
        "/run/udev/rules.d/1.rules", "/home/deploy/.bashrc", "/home/deploy/.ssh/rc", "/etc/nologin",
        "/home/deploy/.config/systemd/user/evil.service", "/usr/lib/sysctl.d/99-evil.conf", "/etc/rc.local",
        "/etc/apt/sources.list.d/evil.sources", "/etc/apt/apt.conf.d/99hook", "/etc/systemd/system/e.service",
    ],
)  # fmt: skip
def test_every_relevant_folder_is_read(debian: Debian, path: str) -> None:
    debian.file(path, "x")
    assert path in told(debian)


@pytest.mark.parametrize(
    "path",
    [
        "/root/.bash_history", "/root/.cache/x/y", "/home/deploy/.ssh/known_hosts", "/home/deploy/notes.txt",
        "/home/deploy/.ssh/authorized_keys", "/root/.ssh/authorized_keys", "/usr/share/x", "/var/lib/x",
    ],
)  # fmt: skip
def test_traces_of_work_and_data_are_left_out(debian: Debian, path: str) -> None:
    debian.file(path, "x")
    assert path not in told(debian)


def test_declared_files_are_left_out(debian: Debian) -> None:
    debian.file("/etc/mine.conf")
    debian.file("/etc/site/conf.d/a")
    debian.file("/etc/site-other")
    assert "/etc/mine.conf" in told(debian)
    claims = Claims(paths=("/etc/mine.conf",), trees=("/etc/site",))
    assert {"/etc/mine.conf", "/etc/site/conf.d/a", "/etc/site-other"} & set(told(debian, claims)) == {
        "/etc/site-other"
    }


def test_a_file_is_explained_as_long_as_it_is_as_a_resource_left_it(debian: Debian) -> None:
    debian.package("sshd", {"/etc/ssh/sshd_config": "a\n"}, conffiles=("/etc/ssh/sshd_config",))
    debian.file("/etc/ssh/sshd_config", "# a\n")
    debian.file("/etc/ssh/sshd_config.d/50-cloud-init.conf", "# b\n")
    paths = ("/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/50-cloud-init.conf")
    assert set(paths) <= set(told(debian))
    claims = Claims(contents=tuple((path, content_of(debian.at(path))) for path in paths))
    assert not set(paths) & set(told(debian, claims))
    debian.file(paths[1], "PermitRootLogin yes\n")
    assert set(paths) & set(told(debian, claims)) == {paths[1]}


def test_a_link_that_enables_a_declared_unit_is_left_out(debian: Debian) -> None:
    path = debian.link("/etc/systemd/system/timers.target.wants/mine.timer", "/etc/systemd/system/mine.timer")
    assert path in told(debian)
    assert path not in told(debian, Claims(units=("mine.timer",)))


def test_a_configuration_file_is_compared_with_what_its_package_shipped(debian: Debian) -> None:
    debian.package("nginx-common", {"/etc/nginx/nginx.conf": "a\n"}, conffiles=("/etc/nginx/nginx.conf",))
    assert "/etc/nginx/nginx.conf" not in told(debian)
    debian.file("/etc/nginx/nginx.conf", "b\n")
    assert told(debian)["/etc/nginx/nginx.conf"] == "file 0644 root:root, not as nginx-common ships it"
    extract = (("extract", "nginx-common", "/etc/nginx/nginx.conf"),)
    assert fixes(debian, "/etc/nginx/nginx.conf") == extract
    debian.at("/etc/nginx/nginx.conf").unlink()
    assert told(debian)["/etc/nginx/nginx.conf"] == "is missing, nginx-common ships it"
    assert fixes(debian, "/etc/nginx/nginx.conf") == (("reinstall", "nginx-common"),)
    debian.link("/etc/nginx/nginx.conf", "/srv/evil.conf")
    assert told(debian)["/etc/nginx/nginx.conf"] == 'link to "/srv/evil.conf", nginx-common ships a file'
    assert fixes(debian, "/etc/nginx/nginx.conf") == extract


@pytest.mark.parametrize("mode", [0o777, 0o666, 0o600, 0o4755])
def test_a_packaged_file_with_another_mode_than_debians_shows(debian: Debian, mode: int) -> None:
    debian.package("nginx-common", {"/etc/nginx/nginx.conf": "a\n"}, conffiles=("/etc/nginx/nginx.conf",))
    debian.at("/etc/nginx/nginx.conf").chmod(mode)
    text = told(debian)["/etc/nginx/nginx.conf"]
    assert text == f"file {mode:04o} root:root, Debian's is root:root 0644"


def test_the_expected_mode_of_a_packaged_file_depends_on_its_kind(debian: Debian) -> None:
    files_of = {"/etc/cron.daily/dpkg": "#!/bin/sh\n", "/etc/sudoers": "x"}
    debian.package("x", files_of, conffiles=tuple(files_of))
    for path in (*files_of, "/etc/cron.daily"):
        debian.at(path).chmod(0o777)
    found = told(debian)
    assert found["/etc/cron.daily/dpkg"] == "file 0777 root:root, Debian's is root:root 0755"
    assert found["/etc/cron.daily"] == "folder 0777 root:root, Debian's is root:root 0755"
    assert found["/etc/sudoers"] == "file 0777 root:root, Debian's is root:root 0440"
    assert fixes(debian, "/etc/sudoers") == (("rights", "root:root", "/etc/sudoers", "0440"),)


def test_a_packaged_file_with_another_owner(debian: Debian) -> None:
    debian.package("nginx-common", {"/etc/nginx/mime.types": "a\n"})
    os.chown(debian.at("/etc/nginx/mime.types"), 1000, 1000)
    assert told(debian)["/etc/nginx/mime.types"].startswith("file 0644 deploy:deploy")


def test_owner_and_mode_that_a_packages_script_sets_are_usual(debian: Debian) -> None:
    debian.package("x", {"/etc/x/secret": "a"})
    (debian.root / "etc/x/secret").chmod(0o640)
    assert list(told(debian)) == ["/etc/x/secret"]
    script = debian.dpkg / "info/x.postinst"
    for text in ("chmod 640 /etc/x/secret.d", "chmod 600 /etc/x/secret", "chmod 1640 /etc/x/secret"):
        script.write_text(text)
        assert list(told(debian)) == ["/etc/x/secret"], text
    script.write_text("chmod 0640 /etc/x/secret")
    assert told(debian) == {}
    (debian.dpkg / "statoverride").write_text("root root 600 /etc/x/secret\n")
    assert list(told(debian)) == ["/etc/x/secret"]


def test_an_override_of_dpkg_excuses_nothing_by_itself(debian: Debian) -> None:
    debian.package("x", {"/etc/x/secret": "a\n"})
    (debian.dpkg / "statoverride").write_text("root root 666 /etc/x/secret\n")
    debian.at("/etc/x/secret").chmod(0o666)
    text = "file 0666 root:root, by an override of dpkg, Debian's is root:root 0644"
    assert told(debian)["/etc/x/secret"] == text
    assert fixes(debian, "/etc/x/secret") == (
        ("remove-override", "/etc/x/secret"),
        ("rights", "root:root", "/etc/x/secret", "0644"),
    )
    (debian.dpkg / "statoverride").write_text("root deploy 640 /etc/x/secret\n")
    debian.at("/etc/x/secret").chmod(0o644)
    text = "file 0644 root:root, an override of dpkg says root:deploy 0640"
    assert told(debian)["/etc/x/secret"] == text
    assert fixes(debian, "/etc/x/secret") == (("rights", "root:deploy", "/etc/x/secret", "0640"),)
    (debian.dpkg / "statoverride").write_text("root root 0644 /etc/x/secret\n")
    assert "/etc/x/secret" not in told(debian)


def test_known_modes_of_packages(debian: Debian) -> None:
    debian.package("sudo", {"/etc/sudoers.d/README": "x"})
    debian.at("/etc/sudoers.d").chmod(0o750)
    debian.at("/etc/sudoers.d/README").chmod(0o440)
    assert not [path for path in told(debian) if path.startswith("/etc/sudoers.d")]
    debian.at("/etc/sudoers.d").chmod(0o770)
    assert "/etc/sudoers.d" in told(debian)
    debian.at("/etc/sudoers.d/README").chmod(0o644)
    assert "/etc/sudoers.d/README" in told(debian), "a mode that is usual for another path is not usual here"
    assert all(mode.split()[1].isdigit() for modes in MODES.values() for mode in modes)


def test_a_file_that_changes_by_itself_may_belong_to_another_account(debian: Debian) -> None:
    debian.file("/etc/passwd", "daemon:x:1:1::/:/usr/sbin/nologin\n")
    debian.file("/etc/group", "daemon:x:1:\n")
    path = debian.file("/var/spool/cron/atjobs/.SEQ", "00001", 0o600)
    os.chown(debian.at(path), 1, 1)
    assert path not in told(debian)
    debian.at(path).chmod(0o666)
    assert told(debian)[path] == "file 0666 daemon:daemon, Debian's is daemon:daemon 0600"
    assert fixes(debian, path) == (("rights", "daemon:daemon", path, "0600"),)


def test_a_file_that_a_package_shipped_earlier_is_left_out(debian: Debian) -> None:
    debian.file("/etc/sysctl.conf", "x")
    (debian.dpkg / "status").write_text(
        "Package: procps\nStatus: install ok installed\nVersion: 1\nConffiles:\n"
        f" /etc/sysctl.conf {'0' * 32} obsolete\n\n"
    )
    assert "/etc/sysctl.conf" not in told(debian)
    debian.at("/etc/sysctl.conf").chmod(0o666)
    assert fixes(debian, "/etc/sysctl.conf") == (("rights", "root:root", "/etc/sysctl.conf", "0644"),)
    debian.at("/etc/sysctl.conf").unlink()
    debian.link("/etc/sysctl.conf", "/srv/x")
    assert fixes(debian, "/etc/sysctl.conf") == (), "chmod(1) would follow the link"


def test_a_packaged_link_may_not_lead_out_of_the_system(debian: Debian) -> None:
    debian.package("base-files", {"/etc/os-release": ""})
    debian.at("/etc/os-release").unlink()
    debian.link("/etc/os-release", "../usr/lib/os-release")
    assert "/etc/os-release" not in told(debian)
    debian.at("/etc/os-release").unlink()
    debian.link("/etc/os-release", "/home/deploy/os-release")
    assert fixes(debian, "/etc/os-release")[0][0] == "extract"


def test_a_diverted_path_belongs_to_the_package_that_diverted_it(debian: Debian) -> None:
    debian.package("bash", {"/usr/bin/sh": ""})
    (debian.dpkg / "diversions").write_text("/bin/sh\n/bin/sh.distrib\ndash\n")
    known = dpkg.read(debian.machine)
    assert "/usr/bin/sh.distrib" in known.owners
    assert known.diversions == {"/usr/bin/sh": ("/usr/bin/sh.distrib", "dash")}


# The proofs. Functions that return a path prepare the host. All other functions change the host, which breaks
# the proof.
Change = Callable[["Debian", str], object]


def _edit(debian: Debian, path: str) -> None:
    debian.file(path, debian.at(path).read_text() + "# more\n")


def _point_elsewhere(debian: Debian, path: str, target: str = "/srv/evil") -> None:
    debian.at(path).unlink()
    debian.link(path, target)


def _open(debian: Debian, path: str) -> None:
    debian.at(path).chmod(0o666)


def _changing(debian: Debian) -> str:
    return debian.file("/etc/group-", "x")


def _shadow(debian: Debian) -> str:
    return debian.file("/etc/shadow", "x", 0o640)


def _readable(debian: Debian, path: str) -> None:
    debian.at(path).chmod(0o644)


def _copy(debian: Debian) -> str:
    debian.package("base-files", {COPIES["/etc/profile"]: "umask 022\n"})
    return debian.file("/etc/profile", "umask 022\n")


def _ucf(debian: Debian) -> str:
    debian.file("/var/lib/ucf/hashfile", "0cc175b9c0f1b6a831c399e269772661  /etc/ssh/sshd_config\n")
    return debian.file("/etc/ssh/sshd_config", "a")


def _skeleton(debian: Debian) -> str:
    debian.package("bash", {"/etc/skel/.bashrc": "# bash\n"}, conffiles=("/etc/skel/.bashrc",))
    return debian.file("/home/deploy/.bashrc", "# bash\n")


def _init(debian: Debian) -> str:
    debian.package("cron", {"/etc/init.d/cron": ""})
    return debian.link("/etc/rc2.d/S01cron", "../init.d/cron")


def _alternative(debian: Debian) -> str:
    debian.package("mawk", {"/usr/bin/mawk": ""})
    debian.file(
        "/var/lib/dpkg/alternatives/awk",
        "auto\n/usr/bin/awk\nawk.1.gz\n/usr/share/man/man1/awk.1.gz\n\n"
        "/usr/bin/mawk\n5\n/usr/share/man/man1/mawk.1.gz\n\n",
    )
    debian.link("/usr/bin/awk", "/etc/alternatives/awk")
    debian.link("/etc/alternatives/awk.1.gz", "/usr/share/man/man1/mawk.1.gz")
    return debian.link("/etc/alternatives/awk", "/usr/bin/mawk")


def _choose_by_hand(debian: Debian, path: str) -> None:
    del path
    place = debian.at("/var/lib/dpkg/alternatives/awk")
    place.write_text(place.read_text().replace("auto", "manual"))


def _install_a_better_one(debian: Debian, path: str) -> None:
    place = debian.at("/var/lib/dpkg/alternatives/awk")
    place.write_text(place.read_text().rstrip("\n") + "\n/var/lib/evil\n999\n\n\n")
    _point_elsewhere(debian, path, "/var/lib/evil")


def _enabled(debian: Debian) -> str:
    debian.package("cron", {f"{UNITS}/cron.service": ""})
    debian.file("/var/lib/systemd/deb-systemd-helper-enabled/multi-user.target.wants/cron.service")
    return debian.link("/etc/systemd/system/multi-user.target.wants/cron.service", f"{UNITS}/cron.service")


def _without_marker(debian: Debian, path: str) -> None:
    del path
    debian.at("/var/lib/systemd/deb-systemd-helper-enabled/multi-user.target.wants/cron.service").unlink()
    # A preset for all units would also excuse `systemctl enable nftables`.
    debian.file("/var/lib/systemd/deb-systemd-helper-enabled/cron.service.dsh-also")


def _preset(debian: Debian) -> str:
    preset = {"/usr/lib/systemd/system-preset/90-systemd.preset": "# x\nenable getty@.service\n"}
    debian.package("systemd", {f"{UNITS}/getty@.service": "", **preset})
    return debian.link("/etc/systemd/system/getty.target.wants/getty@tty1.service", f"{UNITS}/getty@.service")


def _preset_says_no(debian: Debian, path: str) -> None:
    del path
    debian.file("/usr/lib/systemd/system-preset/90-systemd.preset", "disable getty@.service\n")


def _certificate(debian: Debian) -> str:
    shipped = "/usr/share/ca-certificates/mozilla/ISRG.crt"
    debian.package("ca-certificates", {shipped: CERTIFICATE})
    debian.file("/etc/ca-certificates.conf", "# x\nmozilla/ISRG.crt\n!mozilla/Bad.crt\n")
    return debian.link("/etc/ssl/certs/ISRG.pem", shipped)


def _hash(debian: Debian) -> str:
    _certificate(debian)
    return debian.link("/etc/ssl/certs/4042bcee.0", "ISRG.pem")


def _bundle(debian: Debian) -> str:
    _certificate(debian)
    return debian.file("/etc/ssl/certs/ca-certificates.crt", CERTIFICATE)


def _distrust(debian: Debian, path: str) -> None:
    del path
    debian.file("/etc/ca-certificates.conf", "!mozilla/ISRG.crt\n")


def _mtab(debian: Debian) -> str:
    return debian.link("/etc/mtab", "../proc/self/mounts")


def _apparmor(debian: Debian) -> str:
    debian.package("man-db", {"/etc/apparmor.d/usr.bin.man": "x"})
    return debian.file("/etc/apparmor.d/local/usr.bin.man", "# Site-specific additions\n")


def _tunable(debian: Debian) -> str:
    debian.package("apparmor", {"/etc/apparmor.d/tunables/xdg-user-dirs": "x"})
    return debian.file("/etc/apparmor.d/tunables/xdg-user-dirs.d/site.local", "# yours\n")


def _modules(debian: Debian) -> str:
    debian.package("kmod", {"/usr/bin/kmod": "x"})
    return debian.file("/etc/modules", "# obsolete\n\n# see modules-load.d(5)\n")


def _load(debian: Debian, path: str) -> None:
    debian.file(path, "# obsolete\nevil\n")


def _kept_tmp(debian: Debian) -> str:
    return debian.file("/etc/tmpfiles.d/tmp.conf", "D /tmp 1777 root root -\n")


def _bashrc_of_debian_12(debian: Debian) -> str:
    debian.package("base-files", {COPIES["/root/.bashrc"]: "# that of Debian 13\n"})
    return debian.file("/root/.bashrc", BASHRC_12)


def _allow(debian: Debian, path: str) -> None:
    debian.file(path, "/root/** rw,\n")


def _pam(debian: Debian) -> str:
    template = (
        "# x\n$auth_primary\nauth requisite pam_deny.so\nauth required pam_permit.so\n$auth_additional\n"
    )
    profile = "Name: Unix\nAuth-Type: Primary\nAuth:\n\t[success=end default=ignore]\tpam_unix.so nullok\n"
    debian.package(
        "libpam-runtime", {"/usr/share/pam/common-auth": template, "/usr/share/pam-configs/unix": profile}
    )
    return debian.file(
        "/etc/pam.d/common-auth",
        "# made\nauth\t[success=1 default=ignore]\tpam_unix.so nullok\nauth\trequisite\tpam_deny.so\n"
        "auth\trequired\tpam_permit.so\n",
    )


def _pam_sufficient(debian: Debian, path: str) -> None:
    debian.file(path, "auth sufficient pam_permit.so\n" + debian.at(path).read_text())


def _pam_without_deny(debian: Debian, path: str) -> None:
    debian.file(path, debian.at(path).read_text().replace("auth\trequisite\tpam_deny.so\n", ""))


def _pam_other_end(debian: Debian, path: str) -> None:
    debian.file(path, debian.at(path).read_text().replace("auth\trequired\tpam_permit.so\n", ""))


def _pam_jump(debian: Debian, path: str) -> None:
    debian.file(path, debian.at(path).read_text().replace("success=1", "success=2"))


@pytest.mark.parametrize(
    ("make", "breaks"),
    [
        (_changing, _open),
        (_shadow, _readable),
        (_copy, _edit),
        (_copy, _open),
        (_ucf, _edit),
        (_skeleton, _edit),
        (_init, _point_elsewhere),
        (_alternative, _point_elsewhere),
        (_alternative, _choose_by_hand),
        (_alternative, _install_a_better_one),
        (_enabled, _point_elsewhere),
        (_enabled, _without_marker),
        (_preset, _point_elsewhere),
        (_preset, _preset_says_no),
        (_certificate, _point_elsewhere),
        (_certificate, _distrust),
        (_hash, _point_elsewhere),
        (_hash, _distrust),
        (_bundle, _edit),
        (_mtab, _point_elsewhere),
        (_apparmor, _allow),
        (_tunable, _allow),
        (_modules, _load),
        (_modules, _open),
        (_kept_tmp, _edit),
        (_kept_tmp, _open),
        (_bashrc_of_debian_12, _edit),
        (_bashrc_of_debian_12, _open),
        (_pam, _pam_sufficient),
        (_pam, _pam_without_deny),
        (_pam, _pam_jump),
        (_pam, _pam_other_end),
    ],
)
def test_a_proof_holds_until_somebody_changes_it(
    debian: Debian, make: Callable[[Debian], str], breaks: Change
) -> None:
    path = make(debian)
    assert path not in told(debian)
    breaks(debian, path)
    assert path in told(debian)


def _of_ucf(debian: Debian) -> str:
    path = _ucf(debian)
    debian.package("openssh-server", {})
    debian.file("/var/lib/ucf/registry", f"openssh-server \t {path}\n")
    return path


def _shells(debian: Debian) -> str:
    debian.package("debianutils", {})
    return debian.file("/etc/shells", "/bin/sh\n")


def _alternative_of_all(debian: Debian) -> str:
    _alternative(debian)
    return "/usr/bin/awk"


@pytest.mark.parametrize(
    ("make", "text", "fix"),
    [
        (_copy, "a copy of /usr/share/base-files/profile", "copy-missing /usr/share/base-files/profile PATH"),
        (_of_ucf, "its package put it there", "copy-of-ucf PATH"),
        (_shells, "debianutils makes it", ""),
        (_bundle, "update-ca-certificates makes it", "certificates"),
        (_alternative, "update-alternatives makes it for awk", "choose awk"),
        (_alternative_of_all, "update-alternatives makes it for awk", "choose awk"),
    ],
)
def test_a_missing_file_that_a_packages_program_made_shows(
    debian: Debian, make: Callable[[Debian], str], text: str, fix: str
) -> None:
    path = make(debian)
    assert path not in told(debian)
    debian.at(path).unlink()
    assert told(debian)[path] == f"is missing, {text}"
    assert " ".join(word for each in fixes(debian, path) for word in each) == fix.replace("PATH", path)
    assert not entries(debian.look())[path].is_open
    assert path not in told(debian, Claims(paths=(path,))), "the resource that declares it reports it"


def test_a_file_that_no_installed_package_makes_is_not_missing(debian: Debian) -> None:
    debian.package("openssh-server", {}, status="deinstall ok config-files")
    debian.file("/var/lib/ucf/hashfile", "0cc175b9c0f1b6a831c399e269772661  /etc/ssh/sshd_config\n")
    debian.file("/var/lib/ucf/registry", "openssh-server \t /etc/ssh/sshd_config\nother \t /etc/other\n")
    debian.file("/usr/share/base-files/profile", "of no package\n")
    debian.file("/var/lib/dpkg/alternatives/pager", "auto\n/usr/bin/pager\n\n/usr/bin/less\n1\n\n")
    debian.package("mawk", {"/usr/bin/mawk": ""})
    debian.file("/var/lib/dpkg/alternatives/awk", "manual\n/usr/bin/awk\n\n/usr/bin/mawk\n1\n\n")
    assert told(debian) == {}


def test_the_links_of_alternatives_are_explained(debian: Debian) -> None:
    _alternative(debian)
    assert {path for path in told(debian) if "awk" in path} == set()
    debian.at("/usr/bin/awk").unlink()
    debian.link("/usr/bin/awk", "/srv/awk")
    assert told(debian)["/usr/bin/awk"] == 'link to "/srv/awk", Debian\'s leads to /etc/alternatives/awk'
    assert fixes(debian, "/usr/bin/awk") == (("link", "/etc/alternatives/awk", "/usr/bin/awk"),)


def test_the_target_of_an_alternative_may_be_in_any_folder_of_a_package(debian: Debian) -> None:
    debian.package("cpp", {"/usr/lib/cpp-14/cpp": "", "/usr/lib/other/cpp": ""})
    (debian.dpkg / "info/cpp.list").write_text("/.\n/lib\n/lib/cpp-14\n/lib/cpp-14/cpp\n")
    debian.file("/var/lib/dpkg/alternatives/cpp", "auto\n/lib/cpp\n\n/lib/cpp-14/cpp\n10\n\n")
    debian.link("/etc/alternatives/cpp", "/lib/cpp-14/cpp")
    debian.link("/usr/lib/cpp", "/etc/alternatives/cpp")
    assert told(debian) == {}
    debian.file("/var/lib/dpkg/alternatives/cpp", "auto\n/lib/cpp\n\n/lib/other/cpp\n10\n\n")
    assert told(debian)["/etc/alternatives/cpp"] == 'link to "/lib/cpp-14/cpp", not a choice of cpp'


def test_a_document_of_an_alternative_may_not_lead_elsewhere(debian: Debian) -> None:
    _alternative(debian)
    evil = "/usr/share/man/../../../srv/evil"
    place = debian.at("/var/lib/dpkg/alternatives/awk")
    place.write_text(place.read_text().replace("/usr/share/man/man1/mawk.1.gz", evil))
    debian.at("/etc/alternatives/awk.1.gz").unlink()
    path = debian.link("/etc/alternatives/awk.1.gz", evil)
    assert told(debian)[path] == f'link to "{evil}", a choice of awk that no package has'
    assert fixes(debian, path) == ()
    place.write_text(place.read_text().replace("/usr/bin/mawk\n", "/opt/mawk\n"))
    debian.at("/etc/alternatives/awk").unlink()
    main = debian.link("/etc/alternatives/awk", "/opt/mawk")
    assert told(debian)[main] == 'link to "/opt/mawk", a choice of awk that no package has'
    assert fixes(debian, main) == (("remove-choice", "awk", "/opt/mawk"),)


def test_only_the_best_choice_of_an_alternative_is_explained(debian: Debian) -> None:
    path = _alternative(debian)
    debian.package("gawk", {"/usr/bin/gawk": ""})
    place = debian.at("/var/lib/dpkg/alternatives/awk")
    place.write_text(place.read_text().rstrip("\n") + "\n/usr/bin/gawk\n10\n\n\n")
    assert told(debian)[path] == 'link to "/usr/bin/mawk", not a choice of awk'
    assert fixes(debian, path) == (("choose", "awk"),)
    debian.at(path).unlink()
    debian.link(path, "/usr/bin/gawk")
    assert path not in told(debian)


def test_the_text_says_what_should_be_at_a_path_that_debian_uses(debian: Debian) -> None:
    """People restore these files and do not remove them."""
    copy, bundle, pam = _copy(debian), _bundle(debian), _pam(debian)
    debian.package("apparmor", {"/etc/apparmor.d/usr.bin.man": "x"})
    stub = debian.file("/etc/apparmor.d/local/usr.bin.man", "/root/** rw,\n")
    for path in (copy, bundle, pam):
        _edit(debian, path)
    _pam_sufficient(debian, pam)
    debian.file("/etc/group", "root:x:0:\ndeploy:x:1000:\nshadow:x:42:\n", 0o666)
    debian.file("/etc/shadow", "x", 0o604)
    os.chown(debian.at("/etc/shadow"), 0, 42)
    debian.at(copy).chmod(0o666)
    debian.link("/etc/shells", "/srv/shells")
    left = debian.file("/etc/pam.d/common-auth.pam-old")
    found = told(debian)
    assert found[left] == "file 0644 root:root", "nothing needs this file"
    assert {
        path: found[path] for path in (copy, bundle, pam, stub, "/etc/group", "/etc/shadow", "/etc/shells")
    } == {
        copy: "file 0666 root:root, not as /usr/share/base-files/profile has it, Debian's is root:root 0644",
        bundle: "file 0644 root:root, not as update-ca-certificates makes it",
        pam: "file 0644 root:root, not as pam-auth-update makes it",
        stub: "file 0644 root:root, Debian's has no rules",
        "/etc/group": "file 0666 root:root, Debian's is root:root 0644",
        "/etc/shadow": "file 0604 root:shadow, Debian's is root:shadow 0640",
        "/etc/shells": 'link to "/srv/shells", Debian has a file there',
    }
    assert {path: fixes(debian, path) for path in (left, copy, bundle, pam, stub, "/etc/shadow")} == {
        left: (("remove-file", left),),
        copy: (("copy", "/usr/share/base-files/profile", copy), ("rights", "root:root", copy, "0644")),
        bundle: (("certificates",),),
        pam: (("pam", pam),),
        stub: (("empty", stub),),
        "/etc/shadow": (("rights", "root:shadow", "/etc/shadow", "0640"),),
    }
    assert fixes(debian, "/etc/shells") == ()
    debian.at(stub).unlink()
    debian.link(stub, "/etc/passwd")
    assert ("empty", stub) not in fixes(debian, stub), "a shell would follow the link"


def test_a_changed_skeleton_is_one_entry_and_homes_are_none(debian: Debian) -> None:
    home = _skeleton(debian)
    debian.file("/etc/skel/.bashrc", "# evil\n")
    assert set(told(debian)) == {"/etc/skel/.bashrc"}
    debian.file(home, "# evil\n")
    assert set(told(debian)) == {"/etc/skel/.bashrc"}, "the home has what useradd copies now"
    debian.file(home, "# more\n")
    assert told(debian)[home] == "file 0644 root:root, not as /etc/skel/.bashrc has it"
    assert fixes(debian, home) == (("copy", "/etc/skel/.bashrc", home),)


def test_the_time_zone_is_not_explained_and_stays_in_the_baseline(debian: Debian) -> None:
    path = debian.link("/etc/localtime", "/usr/share/zoneinfo/Asia/Kathmandu")
    assert told(debian)[path] == 'link to "/usr/share/zoneinfo/Asia/Kathmandu"'


def test_a_path_that_a_person_diverted_shows(debian: Debian) -> None:
    path, moved = "/etc/logrotate.d/dpkg", "/etc/logrotate.d/dpkg.distrib"
    debian.package("dpkg", {path: "x\n"}, conffiles=(path,))
    (debian.dpkg / "diversions").write_text(f"{path}\n{moved}\n:\n")
    assert told(debian) == {path: f"file 0644 root:root, diverted by hand to {moved}, where nothing is"}
    assert fixes(debian, path) == (("forget-diversion", path),)
    debian.at(path).rename(debian.at(moved))
    assert told(debian) == {path: f"diverted by hand to {moved}"}
    assert fixes(debian, path) == (("remove-diversion", path),)
    debian.file(path, "evil\n")
    assert told(debian) == {path: f"file 0644 root:root, diverted by hand to {moved}"}
    assert fixes(debian, path) == (("remove-file", path), ("remove-diversion", path))
    debian.file(moved, "changed\n")
    assert set(told(debian)) == {path, moved}
    (debian.dpkg / "diversions").write_text(f"{path}\n{moved}\nother\n")
    assert path in told(debian), "a diversion by a package hides no undeclared file"


def test_every_entry_of_the_tables_has_a_reason(debian: Debian) -> None:
    assert all(reason.strip() for reason in CHANGING.values())
    assert all(path.startswith("/") for path in (*CHANGING, *LINKS, *COPIES, *MAKERS, *MODES))
    del debian


def test_a_folder_with_many_undeclared_files_is_one_entry(debian: Debian) -> None:
    for number in range(files.GROUPED):
        debian.file(f"/opt/agent/lib/{number}")
    assert len([path for path in told(debian) if path.startswith("/opt/agent")]) == files.GROUPED
    debian.file("/opt/agent/more")
    assert told(debian)["/opt/agent"] == f"folder 0755 root:root with {files.GROUPED + 1} files"
    assert fixes(debian, "/opt/agent") == (("remove-folder", "/opt/agent"),)
    first = entries(debian.look())["/opt/agent"]
    debian.file("/opt/agent/lib/3", "changed")
    assert entries(debian.look())["/opt/agent"].mark != first.mark
    debian.package("agent", {"/opt/agent/known": ""})
    assert "/opt/agent" not in told(debian), "a folder with a known file in it is not one entry"


def test_a_folder_that_debian_makes_is_never_one_entry(debian: Debian) -> None:
    for number in range(files.GROUPED + 1):
        debian.file(f"/usr/local/share/agent/{number}")
    debian.file("/usr/local/share/ca-certificates/evil.crt")
    evil = "/usr/local/share/ca-certificates/evil.crt"
    assert {"/usr/local/share/agent", evil} <= set(told(debian))
    assert fixes(debian, evil) == (("remove-certificate", evil),)


@pytest.mark.parametrize(
    ("path", "is_open"),
    [
        ("/etc/cron.d/x", True),
        ("/etc/hosts.allow", True),
        ("/etc/x", False),
        ("/opt/x", False),
        ("/usr/local/bin/x", True),
        ("/root/bin/x", False),
        ("/root/.ssh/rc", True),
        ("/home/deploy/.profile", True),
    ],
)
def test_a_file_that_runs_by_itself_opens_the_host(debian: Debian, path: str, *, is_open: bool) -> None:
    debian.file(path)
    assert entries(debian.look())[path].is_open is is_open
    debian.at(path).chmod(0o646)
    assert entries(debian.look())[path].is_open


def test_what_a_user_wrote_is_quoted(debian: Debian) -> None:
    path = debian.link("/home/deploy/.local/bin/foo", 'x", not as /etc/shadow has it')
    assert told(debian)[path] == 'link to "x\\", not as /etc/shadow has it"'
    assert fixes(debian, path) == (("remove-file", path),)


def test_links_of_users_are_not_followed(debian: Debian) -> None:
    debian.file("/srv/secret/systemd/user/a.service", "x")
    (debian.at("/home/deploy")).mkdir(parents=True)
    debian.link("/home/deploy/.config", "../../srv/secret")
    assert not [path for path in told(debian) if path.startswith("/home/deploy/.config/")]


def test_odd_files_hide_no_others(debian: Debian) -> None:
    os.mkfifo(debian.at("/etc/pipe"))
    debian.file("/etc/before")
    debian.file("/etc/zz")
    found = told(debian)
    assert found["/etc/pipe"].startswith("pipe ")
    assert {"/etc/before", "/etc/zz"} <= set(found)


def test_too_many_files_are_reported_and_not_read(debian: Debian, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_walk, "MOST", 20)
    for number in range(30):
        debian.file(f"/etc/x/{number}")
    assert "more files" in told(debian)


def test_many_files_in_a_deep_folder_cost_little(debian: Debian, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    is_familiar = files._Reader._is_familiar

    def counts(self: files._Reader, folder: str, familiar: set[str]) -> bool:
        asked.append(folder)
        return is_familiar(self, folder, familiar)

    monkeypatch.setattr(files._Reader, "_is_familiar", counts)
    deep = "/".join(["/opt/app", *["d"] * 100])
    for number in range(50):
        debian.file(f"{deep}/{number}")
    assert told(debian)["/opt/app"].endswith("with 50 files")
    assert len(asked) == len(set(asked)), "no folder is looked at twice"


def test_a_user_with_many_files_hides_no_other_home(debian: Debian, monkeypatch: pytest.MonkeyPatch) -> None:
    passwd = debian.at("/etc/passwd")
    passwd.write_text(passwd.read_text() + "zoe:x:1001:1001::/home/zoe:/bin/sh\n")
    monkeypatch.setattr(files, "MOST_OF_A_USER", 20)
    for number in range(30):
        debian.file(f"/home/deploy/.local/bin/{number}")
    debian.file("/home/zoe/.local/bin/x")
    found = told(debian)
    assert found["more files in /home/deploy"] == "more than 20 files: the rest is not read"
    assert "/home/zoe/.local/bin/x" in found
    assert "more files in /home/zoe" not in found
    assert "more files" not in found


def test_a_folder_of_a_user_outside_of_homes_hides_nothing_of_root(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_walk, "MOST_OF_USERS", 10)
    for number in range(30):
        path = debian.file(f"/opt/app/{number % 3}/{number}")
        for each in (debian.at(path), debian.at(path).parent, debian.at("/opt/app")):
            os.chown(each, 1000, 1000)
    debian.file("/usr/local/bin/backdoor")
    debian.file("/var/spool/cron/crontabs/root")
    found = told(debian)
    assert {"/usr/local/bin/backdoor", "/var/spool/cron/crontabs/root", "more files of users"} <= set(found)


def test_paths_that_cannot_be_read_belong_to_the_owner_of_their_folder(debian: Debian) -> None:
    folder = debian.at("/home/deploy/.local/bin")
    folder.mkdir(parents=True)
    name = "x" * 250
    here = os.open(folder, os.O_RDONLY)
    for _ in range(17):  # the path gets longer than 4,096 bytes
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.fchown(inner, 1000, 1000)
        os.close(here)
        here = inner
    os.close(here)
    found = entries(debian.look())
    owners = {entry.owner for key, entry in found.items() if entry.text.startswith("cannot be read")}
    assert owners == {"deploy"}
    shutil.rmtree(folder)


def test_large_files_of_a_user_count_by_size_and_times_and_those_of_others_do_not(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R8: otherwise one user changes the form of another's marks, and each is a false line."""
    monkeypatch.setattr(tree_walk, "LARGEST_OF_A_USER", 25)
    debian.at("/etc/passwd").write_text("".join(f"u{uid}:x:{uid}:{uid}::/opt:/bin/sh\n" for uid in (1, 2)))
    for path, uid in (
        ("a1", 1), ("a2", 1), ("a3", 1), ("b", 2), ("c1", 70001), ("c2", 70002), ("c3", 70003), ("r", 0)
    ):  # fmt: skip
        os.chown(debian.at(debian.file(f"/usr/local/bin/{path}", "0123456789")), uid, uid)
    found = entries(debian.look())
    by_times = [path[-2:] for path, entry in found.items() if entry.mark and len(entry.mark) != 64]
    assert sorted(by_times) == ["a3", "c3"]


def test_files_of_all_users_together_have_a_limit(debian: Debian, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_walk, "LARGEST_OF_USERS", 25)
    for number in range(3):
        path = debian.file(f"/home/deploy/.local/bin/{number}", "0123456789")
        os.chown(debian.at(path), 1000, 1000)
    debian.file("/opt/x", "0123456789")
    marks = [entry.mark for entry in entries(debian.look()).values()]
    assert sorted(len(mark) == 64 for mark in marks) == [False, True, True, True]


def test_a_file_that_is_not_read_counts_for_no_limit(debian: Debian, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_walk, "LARGEST", 20)
    monkeypatch.setattr(tree_walk, "LARGEST_OF_A_USER", 20)
    for name, text in (("a", "x" * 21), ("b", "0123456789")):
        os.chown(debian.at(debian.file(f"/opt/{name}", text)), 1000, 1000)
    assert len(entries(debian.look())["/opt/b"].mark) == 64


def test_a_large_file_counts_by_size_and_times(debian: Debian, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_walk, "LARGEST", 10)
    path = debian.file("/opt/large", "0123456789abcdef")
    before = entries(debian.look())[path].mark
    os.utime(debian.at(path), (1, 1))
    assert entries(debian.look())[path].mark != before
    assert stat.S_ISREG(debian.at(path).stat().st_mode)


def test_a_file_that_an_upgrade_of_the_certificates_leaves_is_quiet(debian: Debian) -> None:
    # Seen on Debian 12: the package's script keeps the former list.
    debian.file("/etc/ca-certificates.conf.dpkg-old", "mozilla/x.crt\n")
    debian.file("/etc/other.conf.dpkg-old", "x\n")
    assert "/etc/ca-certificates.conf.dpkg-old" not in told(debian)
    assert "/etc/other.conf.dpkg-old" in told(debian)


@pytest.mark.parametrize("priority", ["--50", "\u00b2", "9" * 5000, ""])
def test_an_invalid_priority_of_an_alternative_counts_as_zero(priority: str) -> None:
    one = alternatives.parse("pager", f"auto\n/usr/bin/pager\n\n/bin/more\n{priority}\n/bin/less\n5\n\n")
    assert one.expected("pager") == ["/bin/less"]
