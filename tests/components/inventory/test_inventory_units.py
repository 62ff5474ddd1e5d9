"""Units that somebody enabled, masked, changed or made by hand. Units of packages show no difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.agent.claims import Claims
from portcullis.agent.errors import AgentError
from portcullis.components.inventory.on_host import baseline, units
from portcullis.components.inventory.on_host.unit_files import covers, is_preset
from portcullis.components.inventory.remedies import command
from tests.components.inventory.looking import record

if TYPE_CHECKING:
    from portcullis.agent.run import Done
    from tests.components.inventory.looking import Host

_SYSTEM = "usr/lib/systemd/system"
_ETC = "etc/systemd/system"
_MARKED = "var/lib/systemd/deb-systemd-helper-enabled"
_WANTED = "[Unit]\nDescription=x\n[Install]\nWantedBy=multi-user.target\n"

# Unit files as packages ship them on Debian 13.
_SHIPPED = {
    f"{_SYSTEM}/cron.service": _WANTED,
    f"{_SYSTEM}/ssh.service": _WANTED + "Alias=sshd.service\n",
    f"{_SYSTEM}/fstrim.timer": "[Timer]\nOnCalendar=weekly\n[Install]\nWantedBy=timers.target\n",
    f"{_SYSTEM}/fstrim.service": "[Service]\nExecStart=/sbin/fstrim\n",
    f"{_SYSTEM}/nftables.service": "[Install]\nWantedBy=sysinit.target\n",
    f"{_SYSTEM}/getty@.service": "[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n",
    f"{_SYSTEM}/systemd-pstore.service": "[Install]\nWantedBy=sysinit.target\n",
    f"{_SYSTEM}/systemd-networkd.service": _WANTED + "Also=systemd-networkd.socket\n",
    f"{_SYSTEM}/systemd-networkd.socket": "[Install]\nWantedBy=sockets.target\n",
    f"{_SYSTEM}/uuidd.socket": "[Socket]\nListenStream=/run/uuidd\n[Install]\nWantedBy=sockets.target\n",
    f"{_SYSTEM}/uuidd.service": _WANTED,
    f"{_SYSTEM}/rescue.target": "",
    f"{_SYSTEM}/timers.target.wants/systemd-tmpfiles-clean.timer": "[Timer]\nOnBootSec=15min\n",
    "usr/lib/systemd/system-preset/90-systemd.preset": (
        "enable getty@.service\nenable systemd-*.service\ndisable rescue.target\n"
    ),
    "usr/lib/systemd/system-generators/systemd-fstab-generator": "ELF",
    "usr/lib/systemd/user/ssh-agent.socket": "[Install]\nWantedBy=sockets.target\n",
}
_LINKS = {
    "multi-user.target.wants/cron.service": f"/{_SYSTEM}/cron.service",
    "multi-user.target.wants/ssh.service": "/lib/systemd/system/ssh.service",
    "sshd.service": "/lib/systemd/system/ssh.service",
    "timers.target.wants/fstrim.timer": f"/{_SYSTEM}/fstrim.timer",
}


@pytest.fixture
def debian(host: Host) -> Host:
    for path, text in _SHIPPED.items():
        host.write(path, text)
    # Debian 12 lists unit files in /lib, which is a link to /usr/lib.
    host.write("var/lib/dpkg/info/x.list", "".join(f"/{path.removeprefix('usr/')}\n" for path in _SHIPPED))
    host.write("var/lib/dpkg/status", "Package: x\nStatus: install ok installed\nVersion: 1\n")
    for link, target in _LINKS.items():
        host.link(f"{_ETC}/{link}", target)
        host.write(f"{_MARKED}/{link}")
    host.write(f"{_MARKED}/nftables.service.dsh-also", f"/{_ETC}/sysinit.target.wants/nftables.service\n")
    host.link(f"{_ETC}/getty.target.wants/getty@tty1.service", f"/{_SYSTEM}/getty@.service")
    host.link(f"{_ETC}/sysinit.target.wants/systemd-pstore.service", f"/{_SYSTEM}/systemd-pstore.service")
    host.link(
        "etc/systemd/user/sockets.target.wants/ssh-agent.socket", "/usr/lib/systemd/user/ssh-agent.socket"
    )
    host.write("var/lib/systemd/deb-systemd-user-helper-enabled/sockets.target.wants/ssh-agent.socket")
    host.says["systemctl list-units"] = (
        "cron.service loaded active running x\nssh.service loaded active running y\n"
    )
    return host


def told(host: Host) -> dict[str, str]:
    return {unit: entry.text for unit, entry in units.read(host.look())["units"].items()}


def test_a_fresh_debian_is_quiet_and_systemctl_runs_once(debian: Host) -> None:
    assert told(debian) == {}
    assert len(debian.calls) == 1


def test_an_undeclared_timer_is_one_entry_with_all_differences(debian: Host) -> None:
    debian.write(f"{_ETC}/evil.timer", "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n")
    debian.link(f"{_ETC}/timers.target.wants/evil.timer", f"/{_ETC}/evil.timer")
    found = units.read(debian.look())["units"]
    assert {unit: entry.text for unit, entry in found.items()} == {
        "evil.timer": f"unit file /{_ETC}/evil.timer; enabled for timers.target"
    }
    before = found["evil.timer"]
    assert before.changed
    debian.write(f"{_ETC}/evil.timer", "[Timer]\nOnCalendar=hourly\n")
    after = units.read(debian.look())["units"]["evil.timer"]
    assert after.text == before.text
    assert after.mark != before.mark


@pytest.mark.parametrize("folder", ["run/systemd/system", "usr/local/lib/systemd/system", "etc/systemd/user"])
def test_a_unit_file_in_another_folder(debian: Host, folder: str) -> None:
    debian.write(f"{folder}/evil.service", "[Service]\nExecStart=/x\n")
    user = "user " if "user" in folder else ""
    assert told(debian) == {f"{user}evil.service": f"unit file /{folder}/evil.service"}


def test_a_unit_file_that_others_can_write(debian: Host) -> None:
    debian.write(f"{_ETC}/open.service", "x", mode=0o666)
    assert told(debian) == {"open.service": f"unit file /{_ETC}/open.service (mode 0666, uid 0)"}


def test_a_unit_file_in_place_of_the_packages(debian: Host) -> None:
    debian.write(f"{_ETC}/cron.service", _WANTED)
    assert told(debian) == {"cron.service": f"unit file /{_ETC}/cron.service, in place of its package's"}


def test_a_unit_file_in_the_packages_folder_without_a_package(debian: Host) -> None:
    debian.write(f"{_SYSTEM}/evil.service", "[Service]\n")
    debian.write(f"{_SYSTEM}/ssh.service.d/evil.conf", "[Service]\n")
    assert told(debian) == {
        "evil.service": f"no package has its /{_SYSTEM}/evil.service",
        "ssh.service": f"no package has its /{_SYSTEM}/ssh.service.d/evil.conf",
    }


def test_enabling_a_packaged_unit_by_hand(debian: Host) -> None:
    # `.dsh-also` lists the link, whether or not the package enabled the unit.
    debian.link(f"{_ETC}/sysinit.target.wants/nftables.service", f"/{_SYSTEM}/nftables.service")
    assert told(debian) == {"nftables.service": "enabled for sysinit.target"}


def test_a_preset_excuses_only_the_links_of_its_unit(debian: Host) -> None:
    debian.link(f"{_ETC}/getty.target.wants/getty@tty7.service", f"/{_SYSTEM}/getty@.service")
    debian.link(f"{_ETC}/reboot.target.wants/systemd-pstore.service", f"/{_SYSTEM}/systemd-pstore.service")
    assert told(debian) == {
        "getty@tty7.service": "enabled for getty.target",
        "systemd-pstore.service": "enabled for reboot.target",
    }


def test_disabling_a_unit_that_a_package_enabled(debian: Host) -> None:
    (debian.root / _ETC / "timers.target.wants/fstrim.timer").unlink()
    text = "disabled by hand: its package enabled it for timers.target"
    assert told(debian) == {"fstrim.timer": text}
    (debian.root / _SYSTEM / "fstrim.timer").unlink()
    assert told(debian) == {}  # the package is removed but not purged


def test_a_unit_that_our_installation_disabled_is_quiet(debian: Host) -> None:
    (debian.root / _ETC / "timers.target.wants/fstrim.timer").unlink()
    (debian.root / _ETC / "multi-user.target.wants/cron.service").unlink()
    made = record("packages", "urn", names=["docker.io"])
    made.extra["disabled"] = ["cron.service"]
    debian.records.append(made)
    debian.says["systemctl list-units"] = ""
    assert set(told(debian)) == {"fstrim.timer"}


@pytest.mark.parametrize(
    ("folder", "text"),
    [
        (_ETC, "masked: it cannot start"),
        ("run/systemd/system", "masked until the next boot: it cannot start"),
    ],
)
def test_masking(debian: Host, folder: str, text: str) -> None:
    debian.link(f"{folder}/fstrim.timer", "/dev/null")
    debian.write(f"{folder}/fstrim.service")  # an empty file masks a unit too
    assert told(debian) == {"fstrim.timer": text, "fstrim.service": text}
    debian.write("var/lib/systemd/deb-systemd-helper-masked/fstrim.timer")
    assert told(debian) == {"fstrim.service": text}  # a removed package leaves the mask behind


def test_a_drop_in(debian: Host) -> None:
    debian.write(f"{_ETC}/ssh.service.d/evil.conf", "[Service]\nExecStartPre=/evil\n")
    debian.write(f"{_ETC}/service.d/all.conf", "[Service]\n")
    debian.write(f"{_ETC}/ssh.service.d/notes.txt", "no drop-in")
    debian.write("run/systemd/system.control/docker-12.scope.d/50-CPU.conf", "[Scope]\n")
    debian.write("etc/systemd/system.control/cron.service.d/50-CPU.conf", "[Service]\n")
    assert told(debian) == {
        "ssh.service": f"drop-in /{_ETC}/ssh.service.d/evil.conf",
        "service.d": f"drop-in /{_ETC}/service.d/all.conf",
        "cron.service": "drop-in /etc/systemd/system.control/cron.service.d/50-CPU.conf",
    }


def test_aliases_and_links_to_files_elsewhere(debian: Host) -> None:
    debian.link(f"{_ETC}/mine.service", "/opt/mine.service")
    debian.link(f"{_ETC}/harmless.service", f"/{_SYSTEM}/cron.service")
    (debian.root / _ETC / "sshd.service").unlink()
    debian.link(f"{_ETC}/sshd.service", "/opt/evil.service")
    assert told(debian) == {
        "mine.service": 'unit file "/opt/mine.service", by a link',
        "harmless.service": f'another name of "/{_SYSTEM}/cron.service"',
        "sshd.service": 'another name of "/opt/evil.service"',
    }


def test_transient_timers_and_services_show_and_scopes_do_not(debian: Host) -> None:
    for name in (
        "run-u5.timer",
        "run-u5.service",
        "run-u6.service",
        "session-3.scope",
        "docker-ab.scope",
        "user-0.slice",
    ):
        debian.write(f"run/systemd/transient/{name}", "[Unit]\n")
    found = units.read(debian.look())["units"]
    assert set(found) == {"run-u5.timer", "run-u6.service"}
    assert found["run-u5.timer"].text == "made by a command, such as systemd-run; gone after a boot"
    assert found["run-u5.timer"].passing


def test_a_timer_of_guard_is_quiet_while_its_change_is_unconfirmed(debian: Host) -> None:
    (debian.root / "var/lib/portcullis/guards/0a1b").mkdir(parents=True)
    debian.write("run/systemd/transient/portcullis-guard-0a1b.timer", "[Timer]\n")
    debian.write("run/systemd/transient/portcullis-guard-evil.timer", "[Timer]\n")
    assert set(told(debian)) == {"portcullis-guard-evil.timer"}


def test_generators_presets_and_programs_for_shutdown(debian: Host) -> None:
    debian.write("etc/systemd/system-generators/evil", "#!/bin/sh", mode=0o755)
    debian.link("usr/local/lib/systemd/system-generators/other", "/opt/gen")
    debian.write("usr/lib/systemd/system-shutdown/bye", "#!/bin/sh", mode=0o755)
    debian.write("etc/systemd/system-preset/00-mine.preset", "enable evil.service\n")
    assert told(debian) == {
        "generator /etc/systemd/system-generators/evil": "root runs it",
        "generator /usr/local/lib/systemd/system-generators/other": 'root runs it → "/opt/gen"',
        "runs at shutdown /usr/lib/systemd/system-shutdown/bye": "root runs it",
        "preset /etc/systemd/system-preset/00-mine.preset": "says what is enabled",
    }


# Declared ---------------------------------------------------------------------------------------------------


def test_declared_units_are_quiet_except_for_undeclared_files_beside_them(debian: Host) -> None:
    debian.write(f"{_ETC}/portcullis-backup.timer", _WANTED)
    debian.link(f"{_ETC}/multi-user.target.wants/portcullis-backup.timer", f"/{_ETC}/portcullis-backup.timer")
    debian.write(f"{_ETC}/portcullis-backup.timer.d/evil.conf", "[Timer]\n")
    debian.write(f"{_ETC}/cron.service.d/portcullis.conf", "[Service]\n")
    debian.claims.append(
        Claims(
            paths=(f"/{_ETC}/portcullis-backup.timer", f"/{_ETC}/cron.service.d/portcullis.conf"),
            units=("portcullis-backup.timer",),
        )
    )
    text = f"drop-in /{_ETC}/portcullis-backup.timer.d/evil.conf"
    assert told(debian) == {"portcullis-backup.timer": text}


def test_units_that_a_declared_unit_enables_are_quiet(debian: Host) -> None:
    debian.link(f"{_ETC}/sockets.target.wants/systemd-networkd.socket", f"/{_SYSTEM}/systemd-networkd.socket")
    assert told(debian) == {"systemd-networkd.socket": "enabled for sockets.target"}
    debian.claims.append(Claims(units=("systemd-networkd.service",)))
    assert told(debian) == {}


def test_a_declared_unit_may_be_masked_and_disabled(debian: Host) -> None:
    (debian.root / _ETC / "timers.target.wants/fstrim.timer").unlink()
    debian.link(f"{_ETC}/fstrim.timer", "/dev/null")
    debian.claims.append(Claims(units=("fstrim.timer",)))
    assert told(debian) == {}


# Running ----------------------------------------------------------------------------------------------------


def test_a_disabled_unit_that_runs(debian: Host) -> None:
    debian.says["systemctl list-units"] = "nftables.service loaded active exited x\n"
    found = units.read(debian.look())["units"]
    assert found["nftables.service"].text == "runs, and nothing enables it"
    assert found["nftables.service"].passing
    assert found["nftables.service"].fixes == (), "a stop of this unit flushes every rule of the kernel"


@pytest.mark.parametrize(
    "running",
    [
        "uuidd.service loaded active running x\nuuidd.socket loaded active listening x\n",  # its socket runs
        "fstrim.service loaded activating start x\n",  # without [Install], started by its timer
        "getty@tty3.service loaded active running x\n",
        "systemd-tmpfiles-clean.timer loaded active waiting x\n",
        "session.service not-found active running x\n",
    ],
)
def test_a_unit_that_another_unit_starts_is_quiet(debian: Host, running: str) -> None:
    debian.link(f"{_ETC}/sockets.target.wants/uuidd.socket", f"/{_SYSTEM}/uuidd.socket")
    debian.write(f"{_MARKED}/sockets.target.wants/uuidd.socket")
    debian.says["systemctl list-units"] = running
    assert told(debian) == {}


def test_a_unit_that_a_unit_file_names_is_quiet(debian: Host) -> None:
    debian.says["systemctl list-units"] = "nftables.service loaded active exited x\n"
    debian.write(f"{_SYSTEM}/cron.service", _WANTED + "[Unit]\nAfter=nftables.service\n")
    assert set(told(debian)) == {"nftables.service"}
    debian.write(f"{_SYSTEM}/cron.service", _WANTED + "[Unit]\nWants=a.service nftables.service\n")
    assert told(debian) == {}


def test_a_target_that_is_down_explains_nothing(debian: Host) -> None:
    debian.says["systemctl list-units"] = "nftables.service loaded active exited x\n"
    debian.write(f"{_SYSTEM}/rescue.target", "[Unit]\nWants=nftables.service\n")
    assert set(told(debian)) == {"nftables.service"}
    debian.says["systemctl list-units"] += "rescue.target loaded active active x\n"
    assert told(debian) == {}


def test_a_unit_that_the_bus_starts_is_quiet(debian: Host) -> None:
    debian.says["systemctl list-units"] = "ssh.service loaded active exited x\n"
    for link in ("multi-user.target.wants/ssh.service", "sshd.service"):
        (debian.root / _ETC / link).unlink()
        (debian.root / _MARKED / link).unlink()
    assert set(told(debian)) == {"ssh.service"}
    debian.write(
        "usr/share/dbus-1/system-services/x.service", "[D-BUS Service]\nSystemdService=sshd.service\n"
    )
    assert told(debian) == {}


def test_a_systemd_that_does_not_answer_is_an_error(debian: Host) -> None:
    debian.says.clear()
    with pytest.raises(AgentError, match="systemctl cannot list"):
        units.read(debian.look())


def test_a_host_without_systemd_runs_no_units(debian: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> Done:
        raise AgentError("invalid", "there is no program systemctl on the host")

    monkeypatch.setattr(type(debian), "run", missing)
    assert told(debian) == {}


# Parts ------------------------------------------------------------------------------------------------------


def test_the_first_matching_preset_counts() -> None:
    rules = [(False, "systemd-journal-remote.*"), (True, "systemd-*")]
    assert is_preset(rules, "systemd-pstore.service")
    assert not is_preset(rules, "systemd-journal-remote.socket")
    assert not is_preset(rules, "cron.service")


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("/etc/systemd/system/x.service", True),
        ("/lib/systemd/system/x.service", True),
        ("/usr/local/lib/systemd/user/a.wants/x", True),
        ("/run/systemd/generator.late/x.service", True),
        ("/etc/systemd/system-generators/x", True),
        ("/etc/systemd/system.control/x.d/y.conf", True),
        ("/etc/systemd/system/x.service.d", True),
        ("/etc/systemd/system/notes.txt", False),
        ("/etc/systemd/system/x.service.d/notes.txt", False),
        ("/etc/systemd/systemx/x.service", False),
        ("/etc/systemd/journald.conf", False),
        ("/etc/systemd/journald.conf.d/x.conf", False),
        ("/etc/cron.d/x", False),
    ],
)
def test_which_paths_the_entry_of_a_unit_covers(path: str, *, ours: bool) -> None:
    assert covers(path) is ours


def test_a_passing_unit_of_the_baseline_may_be_gone(debian: Host) -> None:
    debian.write("run/systemd/transient/run-u5.timer", "[Unit]\n")
    there = {"units": dict(units.read(debian.look())["units"])}
    known = baseline.record(debian.machine, there)
    assert baseline.read(debian.machine) is not None
    known = baseline.read(debian.machine) or known
    for found in (there, {"units": {}}):
        told = baseline.differences(found, known, lambda _name, _key: False)
        assert told["units"] == {}


# How root undoes a difference -------------------------------------------------------------------------------

_RELOAD = "systemctl daemon-reload"


def _commands(host: Host) -> dict[str, str]:
    return {key: command("units", entry.fixes) for key, entry in units.read(host.look())["units"].items()}


def _open(host: Host) -> set[str]:
    return {key for key, entry in units.read(host.look())["units"].items() if entry.is_open}


def test_the_command_stops_a_unit_before_it_removes_all_files_of_the_unit(debian: Host) -> None:
    debian.write(f"{_ETC}/evil.service", _WANTED)
    debian.link(f"{_ETC}/multi-user.target.wants/evil.service", f"/{_ETC}/evil.service")
    debian.write(f"{_ETC}/evil.service.d/a b.conf", "[Service]\n")
    assert _commands(debian) == {
        "evil.service": (
            f"systemctl disable --now evil.service; rm /{_ETC}/evil.service;"
            f" rm '/{_ETC}/evil.service.d/a b.conf'; {_RELOAD}"
        )
    }
    assert _open(debian) == {"evil.service"}


def test_the_command_of_each_kind_of_difference(debian: Host) -> None:
    debian.write(f"{_ETC}/fstrim.service", "[Service]\n")
    debian.link(f"{_ETC}/mine.service", "/opt/mine.service")
    debian.link(f"{_ETC}/harmless.service", f"/{_SYSTEM}/cron.service")
    debian.link("run/systemd/system/fstrim.timer", "/dev/null")
    debian.write(f"{_SYSTEM}/evil.service", "[Service]\n")
    debian.link(f"{_SYSTEM}/timers.target.wants/ssh.service", "../ssh.service")
    debian.link(f"{_ETC}/basic.target.wants/ssh.socket", "/dev/null")
    debian.write("etc/systemd/user/mine.timer", _WANTED)
    debian.link("etc/systemd/user/dbus.socket", "/dev/null")
    debian.write("run/systemd/transient/run-u5.timer", "[Unit]\n")
    (debian.root / _ETC / "multi-user.target.wants/cron.service").unlink()
    debian.link(f"{_ETC}/sysinit.target.wants/nftables.service", f"/{_SYSTEM}/nftables.service")
    debian.link("usr/local/lib/systemd/system-generators/other", "/opt/gen")
    debian.write("etc/systemd/system-preset/00-mine.preset", "enable evil.service\n")
    found = _commands(debian)
    wanted = {
        # The unit of the package stays enabled.
        "fstrim.service": f"rm /{_ETC}/fstrim.service; {_RELOAD}",
        "mine.service": "systemctl disable --now mine.service",
        "harmless.service": f"rm /{_ETC}/harmless.service; {_RELOAD}",
        "fstrim.timer": "systemctl unmask --runtime fstrim.timer",
        "evil.service": f"systemctl disable --now evil.service; rm /{_SYSTEM}/evil.service; {_RELOAD}",
        "ssh.service": f"rm /{_SYSTEM}/timers.target.wants/ssh.service; {_RELOAD}",
        "ssh.socket": f"rm /{_ETC}/basic.target.wants/ssh.socket; {_RELOAD}",
        "user mine.timer": (
            f"systemctl --global disable mine.timer; rm /etc/systemd/user/mine.timer; {_RELOAD}"
        ),
        "user dbus.socket": "systemctl --global unmask dbus.socket",
        "run-u5.timer": "systemctl reset-failed run-u5.timer; systemctl stop run-u5.timer",
        "cron.service": "systemctl enable cron.service",
        # A stop of this unit flushes every rule of the kernel.
        "nftables.service": "systemctl disable nftables.service",
        "generator /usr/local/lib/systemd/system-generators/other": (
            f"rm /usr/local/lib/systemd/system-generators/other; {_RELOAD}"
        ),
        "preset /etc/systemd/system-preset/00-mine.preset": (
            f"rm /etc/systemd/system-preset/00-mine.preset; {_RELOAD}"
        ),
    }
    assert found == wanted
    closed = {"fstrim.timer", "harmless.service", "ssh.socket", "cron.service", "user dbus.socket"}
    assert _open(debian) == wanted.keys() - closed - {"preset /etc/systemd/system-preset/00-mine.preset"}
