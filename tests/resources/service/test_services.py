from __future__ import annotations

import dataclasses
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.store import Store
from portcullis.resources.service.on_host import clocks, is_stale, last_load, parse_show
from tests.agent.removal import Removal
from tests.on_host import Client
from tests.resources.service.fake_systemd import FakeSystemd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portcullis.agent.errors import AgentError
    from portcullis.agent.machine import Machine


@dataclass
class App:
    """A test client for one service that reads one folder."""

    client: Client
    systemd: FakeSystemd
    reads: Path

    def desired(self, **more: Any) -> dict[str, Any]:
        return {
            "unit": "app.service", "active": "active", "enabled": "enabled", "on_change": "reload",
            "reads": {str(self.reads): "1", "packages app": "2"}, **more,
        }  # fmt: skip

    def put(self, *, adopt: bool = False, **more: Any) -> dict[str, Any]:
        self.systemd.calls.clear()
        return self.client.on("put", "service", "app.service", self.desired(**more), adopt=adopt)

    def refused(self, *, adopt: bool = False, **more: Any) -> AgentError:
        return self.client.refused("put", "service", "app.service", self.desired(**more), adopt=adopt)

    def remove(self) -> str:
        self.systemd.calls.clear()
        done: str = self.client.on("remove", "service", "app.service", self.desired())["done"]
        return done

    def facts(self) -> dict[str, Any]:
        return self.client.look("service", "app.service", {"unit": "app.service", "reads": [str(self.reads)]})

    def write(self, name: str = "app.conf", text: str = "x") -> None:
        """Write a file as an editor on the host does.

        Then wait until the kernel's coarse clock for files has advanced.
        """
        (self.reads / name).write_text(text)
        time.sleep(0.02)


@pytest.fixture
def app(machine: Machine, tmp_path: Path) -> Iterator[App]:
    (tmp_path / "app").mkdir()
    systemd = FakeSystemd()
    client = Client(dataclasses.replace(machine, run=systemd))
    made = App(client, systemd, tmp_path / "app")
    made.write()
    yield made
    client.close()


def test_a_service_is_enabled_started_and_left_alone(app: App) -> None:
    done = app.put()
    found = {"exists": True, "active": "active", "enabled": "enabled", "stale": False}
    assert done["facts"] == {**found, "revision": done["facts"]["revision"]}
    assert app.systemd.calls == ["enable", "start"]
    assert app.put()["steps"] == []
    assert app.systemd.calls == []


def test_a_file_edited_by_hand_makes_it_stale_and_the_put_reloads_once(app: App) -> None:
    app.put()
    app.write(text="edited")
    assert app.facts()["stale"] is True
    assert [step["property"] for step in app.put()["steps"]] == ["stale"]
    assert app.systemd.calls == ["reload"]
    assert app.facts()["stale"] is False


def test_no_file_is_removed_until_a_reloaded_service_has_settled(app: App) -> None:
    app.put()
    app.write(text="edited")
    order = Removal(app.client.machine).during(
        app.client, lambda client: client.on("put", "service", "app.service", app.desired())
    )
    assert order[0] == "reload"
    assert order.index("removed") > 1, "the file was removed before the result of the reload was checked"


@pytest.mark.parametrize("what", ["copied with old dates", "chmod", "removed", "new file", "through a link"])
def test_every_kind_of_change_to_a_file_makes_a_service_stale(app: App, what: str, tmp_path: Path) -> None:
    conf = app.reads / "app.conf"
    elsewhere = tmp_path / "elsewhere.conf"
    elsewhere.write_text("x")
    (app.reads / "link.conf").symlink_to(elsewhere)
    time.sleep(0.02)
    app.put()
    {
        "copied with old dates": lambda: (conf.write_text("y"), os.utime(conf, (1, 1))),
        "chmod": lambda: conf.chmod(0o600),
        "removed": conf.unlink,
        "new file": (app.reads / "deep.conf").touch,
        "through a link": lambda: elsewhere.write_text("y"),
    }[what]()
    assert app.facts()["stale"] is True


def test_a_removed_path_makes_a_service_stale(app: App) -> None:
    app.put()
    (app.reads / "app.conf").unlink()
    app.reads.rmdir()
    assert app.facts()["stale"] is True
    app.put()
    assert app.facts()["stale"] is False


def test_a_reload_by_somebody_else_counts(app: App) -> None:
    app.put()
    app.write(text="edited")
    app.systemd.reload()
    assert app.facts()["stale"] is False


def test_a_failed_reload_does_not_count(app: App) -> None:
    app.put()
    app.write(text="bad")
    app.systemd.reload()
    app.systemd.reload_result = "exit-code"
    assert app.facts()["stale"] is True


def test_a_failed_reload_does_not_cancel_an_earlier_good_one(app: App) -> None:
    app.put()
    app.write(text="edited")
    app.put()
    app.systemd.reload()
    app.systemd.reload_result = "exit-code"
    assert app.facts()["stale"] is False


def test_a_failing_reload_raises_with_the_journal_and_it_stays_stale(app: App) -> None:
    app.put()
    app.write(text="bad")

    def fail() -> None:
        app.systemd.reload()
        app.systemd.reload_result = "exit-code"
        raise RuntimeError("bad config")

    app.systemd.on["reload"] = fail
    error = app.refused()
    assert error.code == "systemd"
    assert "bad config" in error.detail
    assert "cannot bind" in error.detail
    assert app.facts()["stale"] is True


@pytest.mark.parametrize("why", ["on_change", "cannot reload", "unit file changed"])
def test_a_service_is_restarted_where_a_reload_is_not_enough(app: App, why: str) -> None:
    app.put()
    app.write(text="edited")
    app.systemd.can_reload = why != "cannot reload"
    app.systemd.need_reload = why == "unit file changed"
    app.put(on_change="restart" if why == "on_change" else "reload")
    assert app.systemd.calls[-1] == "restart"


def test_after_a_reboot_nothing_looks_stale(app: App) -> None:
    app.put()
    app.systemd.stop()
    app.systemd.start()  # the unit has a new InvocationID, as after a boot
    assert app.facts()["stale"] is False
    assert app.put()["steps"] == []


def test_a_clock_that_was_set_back_does_not_make_a_service_stale_for_ever(app: App) -> None:
    app.put()
    app.write(text="edited")
    future = time.time_ns() + 3600 * 10**9
    unit = parse_show(app.systemd.show("app.service"))[0]
    loaded = {"invocation": unit["InvocationID"], "newest": future}
    at = (time.time_ns(), time.clock_gettime_ns(time.CLOCK_MONOTONIC))
    assert is_stale(unit, future, None, *at)
    assert not is_stale(unit, future, loaded, *at)
    assert is_stale({**unit, "InvocationID": "another run"}, future, loaded, *at)
    assert is_stale(unit, future + 1, loaded, *at)


@pytest.mark.parametrize("reading", range(3))
def test_a_pause_between_two_clocks_makes_nothing_stale(
    monkeypatch: pytest.MonkeyPatch, reading: int
) -> None:
    """A process on a busy host may pause at any reading of a clock."""
    now, readings = 0, 0

    def read(*_: object) -> int:
        nonlocal now, readings
        readings += 1
        now += 5 * 10**9 if readings == reading + 1 else 1000
        return now

    monkeypatch.setattr(time, "time_ns", read)
    monkeypatch.setattr(time, "clock_gettime_ns", read)
    wall, monotonic = clocks()
    assert abs(wall - monotonic) == 1000


def test_the_state_of_a_timer_or_socket_changes_when_it_fires() -> None:
    unit = {"Id": "certbot.timer", "ReloadResult": "", "ActiveEnterTimestampMonotonic": "5"}
    assert last_load({**unit, "StateChangeTimestampMonotonic": "9"}) == 5


def test_a_stopped_unit_is_not_stale(app: App) -> None:
    app.put()
    app.systemd.stop()
    app.write(text="edited")
    assert app.facts()["stale"] is False


def test_a_service_is_stopped_and_disabled_as_declared(app: App) -> None:
    app.put()
    app.put(active="inactive", enabled="disabled")
    assert (app.systemd.active, app.systemd.enabled) == ("inactive", "disabled")


def test_a_failed_unit_that_is_declared_inactive_is_reset(app: App) -> None:
    app.systemd.active = "failed"
    assert app.put(active="inactive", enabled="disabled")["facts"]["active"] == "inactive"


def test_a_masked_unit_found_on_first_touch_needs_adopt_and_is_masked_again(app: App) -> None:
    app.systemd.mask()
    error = app.refused()
    assert (error.code, error.prop) == ("differs", "enabled")
    app.put(adopt=True)
    assert app.systemd.active == "active"
    assert app.remove() == "restored"
    assert (app.systemd.enabled, app.systemd.active) == ("masked", "inactive")


def test_a_unit_is_stopped_before_it_is_masked(app: App) -> None:
    app.put()
    app.put(active="inactive", enabled="masked")
    assert app.systemd.calls == ["stop", "mask"]
    assert app.refused(active="active", enabled="masked").code == "invalid"


def test_delete_restores_the_original_state_of_a_unit(app: App) -> None:
    app.systemd.start()
    app.systemd.enabled = "enabled"
    app.put(active="inactive", enabled="disabled")
    assert app.remove() == "restored"
    assert (app.systemd.active, app.systemd.enabled) == ("active", "enabled")


def test_delete_stops_and_disables_a_unit_that_did_not_exist_before_us(app: App) -> None:
    app.systemd.unit = "other.service"

    def appear() -> None:
        app.systemd.unit = "app.service"

    app.systemd.on["daemon-reload"] = appear
    app.put()
    assert app.systemd.active == "active"
    assert app.remove() == "restored"
    assert (app.systemd.active, app.systemd.enabled) == ("inactive", "disabled")


def test_delete_of_a_unit_that_is_gone_is_no_error(app: App) -> None:
    app.put()
    app.systemd.unit = "other.service"
    assert app.facts() == {"exists": False}
    assert app.remove() == "absent"


def test_a_unit_that_does_not_exist_is_named(app: App) -> None:
    app.systemd.unit = "other.service"
    error = app.refused()
    assert error.code == "invalid"
    assert "no unit app.service" in error.message


def test_a_static_unit_cannot_be_enabled_and_the_error_says_why(app: App) -> None:
    app.systemd.enabled = "static"
    assert "[Install]" in app.refused().message


def test_only_a_unit_without_install_section_can_be_static(app: App) -> None:
    assert "[Install]" in app.refused(enabled="static").message
    app.systemd.enabled = "static"
    assert app.put(enabled="static")["facts"]["active"] == "active"
    assert app.put(enabled="static")["steps"] == []
    assert app.remove() == "restored"


@pytest.mark.parametrize("end", ["failed", "inactive", "auto-restart", "restarted"])
def test_a_unit_that_fails_after_a_good_start_is_an_error_with_its_journal(app: App, end: str) -> None:
    asked = 0

    def fall() -> None:
        nonlocal asked
        if app.systemd.active == "active":
            asked += 1
            if asked == 4 and end == "restarted":
                app.systemd.start()
            elif asked == 4:
                app.systemd.active = "activating" if end == "auto-restart" else end
                app.systemd.sub = end

    app.systemd.on["show"] = fall
    # The time is long enough for the fourth look even on a busy machine. The failure ends the wait.
    app.client = app.client.again(machine=dataclasses.replace(app.client.machine, settle=4.0))
    error = app.refused()
    assert error.code == "systemd"
    assert "does not keep running" in error.message
    assert "cannot bind" in error.detail


def test_a_failing_start_raises_with_the_journal(app: App) -> None:
    app.systemd.on["start"] = lambda: (_ for _ in ()).throw(RuntimeError("no"))
    error = app.refused()
    assert "the command `systemctl start app.service` failed" in error.message
    assert "cannot bind" in error.detail


def test_a_file_that_changes_during_a_reload_does_not_count_as_loaded(app: App) -> None:
    app.put()
    app.write(text="edited")
    app.systemd.on["reload"] = lambda: app.write(text="later")
    app.systemd.reload = lambda: None  # type: ignore[method-assign] # it read its files before the change
    error = app.refused()
    assert (error.code, error.prop) == ("not-converged", "stale")
    assert "list that resource in reads" in error.hint


def test_too_many_files_to_watch_are_an_error(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portcullis.agent.watch.LIMIT", 1)
    assert app.refused().prop == "reads"


def test_a_loop_of_links_ends(app: App) -> None:
    (app.reads / "loop").symlink_to(app.reads)
    (app.reads / "dead").symlink_to("nowhere")
    app.put()


def test_a_survey_asks_systemd_once_for_all(app: App) -> None:
    asked = []
    app.systemd.on["show"] = lambda: asked.append(1)
    items = [
        {"kind": "service", "id": name, "spec": {"unit": name, "reads": []}}
        for name in ("app.service", "no.service")
    ]
    found = app.client.ask("survey", items=items)["items"]
    assert [item["facts"]["exists"] for item in found] == [True, False]
    assert len(asked) == 1


def test_the_removal_of_a_file_reloads_its_service(app: App) -> None:
    site = str(app.reads / "site.conf")
    desired = {"path": site, "content": "server", "mode": "0644"}
    app.client.on("put", "file", site, desired)
    app.put()
    app.systemd.calls.clear()
    time.sleep(0.02)
    assert app.client.on("remove", "file", site, desired)["done"] == "removed"
    assert [call for call in app.systemd.calls if "reload" in call] != []
    assert app.facts()["stale"] is False


def test_the_removal_of_a_file_after_its_service_reloads_nothing(app: App) -> None:
    site = str(app.reads / "site.conf")
    desired = {"path": site, "content": "server", "mode": "0644"}
    app.client.on("put", "file", site, desired)
    app.put()
    app.remove()
    app.systemd.calls.clear()
    app.client.on("remove", "file", site, desired)
    assert app.systemd.calls == []


@pytest.mark.parametrize("why", ["another stack's service", "elsewhere"])
def test_the_removal_of_a_file_reloads_no_other_service(app: App, tmp_path: Path, why: str) -> None:
    site = str((tmp_path if why == "elsewhere" else app.reads) / "site.conf")
    desired = {"path": site, "content": "server", "mode": "0644"}
    app.client.on("put", "file", site, desired)
    app.put()
    time.sleep(0.02)
    if why == "another stack's service":
        store = Store(app.client.machine.state)
        record = store.load("service", "app.service")
        assert record is not None
        record.stack = "web/dev"
        store.save(record)
    app.systemd.calls.clear()
    if why == "elsewhere":
        app.write(text="edited")  # the service is stale, but not because of the removed file
    assert app.client.on("remove", "file", site, desired)["done"] == "removed"
    assert app.systemd.calls == []
