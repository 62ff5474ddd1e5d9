"""Tests which resources the components SystemUpdates and Upkeep declare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components import SystemUpdates, UpdatesArgs, Upkeep, UpkeepArgs
from portcullis.host import Host
from tests.previews import unknown_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.recording_engine import Deploy, Engine


def updates(*, adopt: bool = False, **args: Any) -> SystemUpdates:
    return SystemUpdates("web1-updates", UpdatesArgs(**args), host=Host("web1", adopt=adopt))


def upkeep(*, adopt: bool = False, **args: Any) -> Upkeep:
    return Upkeep("web1-upkeep", UpkeepArgs(**args), host=Host("web1", adopt=adopt))


def paths(engine: Engine) -> set[str]:
    return {r.inputs["path"] for r in engine.of(":File")}


def units(engine: Engine) -> dict[str, str]:
    return {r.inputs["unit"]: r.inputs["enabled"] for r in engine.of(":Service")}


def test_updates(deploy: Deploy) -> None:
    engine = deploy(updates)
    assert set(engine.one(":Packages").inputs["packages"]) == {"needrestart", "unattended-upgrades"}
    assert units(engine) == dict.fromkeys(
        ["apt-daily.timer", "apt-daily-upgrade.timer", "unattended-upgrades.service"], "enabled"
    )
    apt = engine.one(":File", "web1-updates-apt").inputs
    assert 'Automatic-Reboot-Time "04:00"' in apt["content"]
    assert "Blacklist" not in apt["content"]
    assert apt["test"] == ["apt-config", "dump"]
    timer = engine.one(":Service", "web1-updates-apt-daily-upgrade.timer").inputs
    assert set(timer["reads"]) == {"/etc/systemd/system/apt-daily-upgrade.timer.d/50-portcullis.conf"}


def test_update_services_wait_for_their_configuration(deploy: Deploy) -> None:
    engine = deploy(updates)
    for unit in units(engine):
        assert engine.before(f"web1-updates-{unit}") >= {
            "web1-updates-packages", "web1-updates-apt", "web1-updates-needrestart",
            "web1-updates-timer-time",
        }  # fmt: skip


def test_a_host_that_never_reboots_keeps_the_systems_own_upgrade_time(deploy: Deploy) -> None:
    engine = deploy(lambda: updates(reboot="never", docker="hold"))
    assert not engine.of(":Directory")
    content = engine.one(":File", "web1-updates-apt").inputs["content"]
    assert 'Automatic-Reboot "false"' in content
    assert '"^docker\\.io$";' in content


def test_upkeep(deploy: Deploy) -> None:
    engine = deploy(upkeep)
    assert units(engine) == {
        "systemd-journald.service": "static",
        "portcullis-image-prune.timer": "enabled",
        "systemd-timesyncd.service": "enabled",
    }
    assert paths(engine) == {
        "/etc/systemd/journald.conf.d/50-portcullis.conf",
        "/etc/systemd/system/portcullis-image-prune.service",
        "/etc/systemd/system/portcullis-image-prune.timer",
    }
    assert {r.inputs["on_change"] for r in engine.of(":Service")} == {"restart"}


def test_upkeep_of_a_host_in_a_container_does_not_manage_the_clock(deploy: Deploy) -> None:
    engine = deploy(lambda: upkeep(time_sync=False, image_prune="never"))
    assert list(units(engine)) == ["systemd-journald.service"]
    assert not engine.of(":Packages")


def test_swap_has_its_own_unit(deploy: Deploy) -> None:
    engine = deploy(lambda: upkeep(swap="2G"))
    assert units(engine)["portcullis-swap.service"] == "enabled"
    unit = engine.one(":File", "web1-upkeep-swap").inputs["content"]
    assert f"fallocate --length {2 * 1024**3} /var/swap.portcullis" in unit


def test_the_rule_for_all_services_comes_after_the_exception_for_the_notifier(deploy: Deploy) -> None:
    engine = deploy(lambda: upkeep(notify=("/usr/local/bin/tell", "-v")))
    assert engine.before("web1-upkeep-notify-rule") >= {
        "web1-upkeep-notify",
        "web1-upkeep-notify-not-itself",
    }
    assert (
        'ExecStart="/usr/local/bin/tell" "-v" %i\n'
        in engine.one(":File", "web1-upkeep-notify").inputs["content"]
    )
    assert engine.one(":File", "web1-upkeep-notify-rule").inputs["test"] == ["systemctl", "daemon-reload"]


def test_adopt_reaches_every_resource_that_accepts_it(deploy: Deploy) -> None:
    def program() -> None:
        updates(adopt=True)
        upkeep(adopt=True, swap="1G", notify=("/bin/true",))

    kinds = (":File", ":Directory", ":Service")
    engine = deploy(program)
    assert all(r.inputs.get("adopt") is True for kind in kinds for r in engine.of(kind))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: UpdatesArgs(reboot="4:00"), "is not a time of day"),
        (lambda: UpdatesArgs(docker="x"), "is not a rule for Docker"),
        (lambda: UpkeepArgs(journal="1", swap="lots"), "journal: .*\n.*swap: "),
        (lambda: UpkeepArgs(notify=("tell",)), "the whole path of a program"),
        (lambda: UpkeepArgs(notify=()), "the whole path of a program"),
    ],
)
def test_arguments_are_checked_where_they_are_made(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_a_preview_has_no_unknown_inputs() -> None:
    def program() -> None:
        updates()
        upkeep(swap="1G", notify=("/bin/true",))

    assert unknown_in(program) == set()
