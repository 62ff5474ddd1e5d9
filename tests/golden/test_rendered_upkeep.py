"""The rendered files of security upgrades and upkeep, compared with golden files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portcullis.components.updates import render as updates
from portcullis.components.upkeep import render as units
from portcullis.dialect import DIALECTS

if TYPE_CHECKING:
    from tests.golden.conftest import Golden


@pytest.mark.parametrize("os", DIALECTS)
def test_updates(os: str, golden: Golden) -> None:
    golden(f"apt.{os}.conf", updates.apt_conf("web1-updates-apt", os, "04:00", "upgrade"))


def test_updates_without_docker_and_reboot(golden: Golden) -> None:
    golden("apt.hold.conf", updates.apt_conf("web1-updates-apt", "debian-13", "never", "hold"))


def test_updates_of_dockers_own_packages(golden: Golden) -> None:
    text = updates.apt_conf("web1-updates-apt", "debian-13", "04:00", "upgrade", docker_source="docker")
    golden("apt.docker.conf", text)
    held = updates.apt_conf("web1-updates-apt", "debian-13", "never", "hold", docker_source="docker")
    assert held == updates.apt_conf("web1-updates-apt", "debian-13", "never", "hold")


def test_updates_restart_services(golden: Golden) -> None:
    golden("needrestart.conf", updates.needrestart_conf("web1-updates-needrestart"))


def test_updates_come_in_the_hour_before_the_reboot(golden: Golden) -> None:
    golden("apt-daily-upgrade.timer.conf", updates.timer_dropin("web1-updates-timer-time", "00:30"))


def test_units_of_upkeep(golden: Golden) -> None:
    golden("journald.conf", units.journald_conf("web1-upkeep-journald", "500M"))
    golden("portcullis-image-prune.service", units.prune_service("web1-upkeep-image-prune-service"))
    golden("portcullis-image-prune.timer", units.prune_timer("web1-upkeep-image-prune-timer", "weekly"))
    golden("portcullis-swap.service", units.swap_service("web1-upkeep-swap", "2G"))
    command = ["/usr/local/bin/tell", "--from", 'a "b" 100% $HOME \\ é\n']
    golden("portcullis-notify@.service", units.notify_service("web1-upkeep-notify", command))
    golden("service.d.conf", units.failure_dropin("web1-upkeep-notify-rule"))
    golden("portcullis-notify@.service.d.conf", units.no_failure_dropin("web1-upkeep-notify-not-itself"))
