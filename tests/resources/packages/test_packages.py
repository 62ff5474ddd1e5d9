from __future__ import annotations

import dataclasses
import json
import threading
from typing import TYPE_CHECKING, Any, Self

import pytest

from portcullis.agent.errors import AgentError
from portcullis.agent.store import Store
from portcullis.resources.packages.on_host import apt
from tests.agent.test_crash import rounds
from tests.canned import until
from tests.on_host import URN, Client
from tests.resources.packages.fake_apt import LOCKED, FakeApt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from portcullis.agent.machine import Machine
    from portcullis.agent.run import Done

    Make = Callable[..., "Packages"]

ARCHIVE: dict[str, list[str]] = {
    "nginx": ["nginx-common", "libssl3"],
    "nginx-common": [],
    "libssl3": [],
    "redis": ["libssl3", "liblua"],
    "liblua": [],
    "chrony": [],
    "timesyncd": [],
    "theirs": ["nginx"],
}


class Packages:
    """A test client for one set of packages."""

    def __init__(self, client: Client, apt: FakeApt, name: str = "web") -> None:
        self.client, self.apt, self.urn = client, apt, URN.replace("motd", name)

    def _desired(self, names: str, on_delete: str) -> dict[str, Any]:
        packages = dict.fromkeys(names.split(), "installed")
        return {"managed_by": self.urn, "packages": packages, "on_delete": on_delete}

    def put(self, names: str, on_delete: str = "remove", **more: Any) -> dict[str, Any]:
        return self.client.on(
            "put", "packages", self.urn, self._desired(names, on_delete), owner=self.urn, **more
        )

    def refused(self, names: str, **more: Any) -> AgentError:
        return self.client.refused(
            "put", "packages", self.urn, self._desired(names, "remove"), owner=self.urn, **more
        )

    def remove(self, on_delete: str = "remove") -> str:
        done: str = self.client.on(
            "remove", "packages", self.urn, self._desired("x", on_delete), owner=self.urn
        )["done"]
        return done

    def named(self, name: str) -> Packages:
        return Packages(self.client, self.apt, name)


@pytest.fixture
def make(machine: Machine) -> Iterator[Make]:
    machine.lists.mkdir()
    (machine.lists / "mirror_dists_trixie_main_binary-amd64_Packages").touch()
    clients: list[Client] = []

    def packages(*installed: str, **more: Any) -> Packages:
        apt = FakeApt(ARCHIVE, dict.fromkeys(installed, False), **more)
        clients.append(Client(dataclasses.replace(machine, run=apt)))
        return Packages(clients[-1], apt)

    yield packages
    for client in clients:
        client.close()


@pytest.fixture
def web(make: Make) -> Packages:
    return make()


def test_missing_packages_are_installed_in_one_run_and_the_second_put_only_reads(web: Packages) -> None:
    web.apt.installed["redis"] = False
    done = web.put("nginx redis")
    assert done["facts"]["packages"] == {"nginx": "installed", "redis": "installed"}
    assert [step["property"] for step in done["steps"]] == ["packages.nginx"]
    assert web.apt.calls.count("apt-get install nginx") == 1
    web.apt.calls.clear()
    assert web.put("nginx redis")["steps"] == []
    assert {call.split()[0] for call in web.apt.calls} == {"dpkg-query"}


def test_delete_removes_only_our_packages_and_their_dependencies(web: Packages, tmp_path: Path) -> None:
    web.apt.installed["libssl3"] = True
    web.apt.installed["redis"] = False
    web.put("nginx redis")
    assert web.remove() == "removed"
    assert set(web.apt.installed) == {"libssl3", "redis"}
    assert not (tmp_path / "state").exists()


def test_a_package_that_was_there_before_us_stays(make: Make) -> None:
    web = make("nginx")
    web.put("nginx")
    assert web.remove("purge") == "kept"
    assert "nginx" in web.apt.installed


def test_an_automatic_package_that_we_declare_becomes_manual_and_automatic_again(make: Make) -> None:
    web = make("theirs")
    web.apt.installed["nginx"] = True
    web.put("nginx")
    assert web.apt.installed["nginx"] is False
    web.remove()
    assert web.apt.installed["nginx"] is True


def test_a_package_that_another_one_needs_is_kept_and_marked_automatic(web: Packages) -> None:
    web.put("nginx")
    web.apt.installed["theirs"] = False
    assert web.remove() == "kept"
    assert web.apt.installed["nginx"] is True
    assert "theirs" in web.apt.installed


def test_one_package_that_others_need_does_not_keep_the_rest_installed(web: Packages) -> None:
    web.put("nginx redis")
    web.apt.installed["theirs"] = False
    assert web.remove() == "removed"
    assert "redis" not in web.apt.installed
    assert "nginx" in web.apt.installed


def test_a_package_in_two_sets_is_removed_with_the_last_set(web: Packages) -> None:
    other = web.named("other")
    web.put("nginx redis")
    other.put("nginx")
    assert web.remove() == "removed"
    assert {"nginx", "nginx-common", "libssl3"} <= set(web.apt.installed)
    assert "redis" not in web.apt.installed
    assert other.remove() == "removed"
    assert web.apt.installed == {}


def test_an_autoremovable_package_of_somebody_else_stays(web: Packages) -> None:
    web.apt.installed["chrony"] = True
    web.put("nginx")
    web.remove()
    assert web.apt.installed == {"chrony": True}


def test_a_package_that_is_no_longer_declared_is_removed(web: Packages) -> None:
    web.put("nginx redis")
    web.put("nginx")
    assert "redis" not in web.apt.installed
    assert "libssl3" in web.apt.installed


def test_a_set_that_is_renamed_keeps_its_packages(web: Packages) -> None:
    web.put("nginx")
    renamed = web.named("renamed")
    renamed.put("nginx")
    assert web.remove() == "kept"
    assert renamed.remove() == "removed"


def test_a_set_whose_owner_moves_with_an_alias_can_be_deleted(web: Packages) -> None:
    web.put("nginx")
    web.client = web.client.again()
    moved = URN.replace("motd", "moved")
    desired = {"managed_by": moved, "packages": {"nginx": "installed"}, "on_delete": "remove"}
    web.client.on("put", "packages", web.urn, desired, owner=moved)
    assert web.client.on("remove", "packages", web.urn, desired, owner=moved)["done"] == "removed"
    assert web.apt.installed == {}


def test_purge_and_keep(web: Packages) -> None:
    web.put("nginx")
    assert web.remove("keep") == "kept"
    assert "nginx" in web.apt.installed
    web.put("redis")
    assert web.remove("purge") == "removed"
    assert web.apt.configured_only == set()
    web.put("redis")
    web.remove("remove")
    assert "redis" in web.apt.configured_only


def test_a_package_that_is_never_purged_keeps_its_data_when_the_rest_is_purged(web: Packages) -> None:
    web.put("nginx", "purge")
    desired = {**web._desired("nginx", "purge"), "never_purge": ["nginx"]}
    web.client.on("remove", "packages", web.urn, desired, owner=web.urn)
    assert web.apt.installed == {}
    assert web.apt.configured_only == {"nginx"}
    writes = [call for call in web.apt.calls if call.startswith(("apt-get remove", "apt-get purge"))]
    assert writes == ["apt-get remove nginx", "apt-get purge libssl3 nginx-common"]


@pytest.mark.parametrize("on_delete", ["purge", "remove"])
def test_debian_forgets_the_enabled_units_of_a_package_that_is_not_purged(
    web: Packages, on_delete: str
) -> None:
    # With Debian's notes, the next installation left the units disabled, as if a person had disabled them.
    web.apt.units = {"nginx": ["/usr/lib/systemd/system/nginx.service"]}
    web.put("nginx", on_delete)
    desired = {**web._desired("nginx", on_delete), "never_purge": ["nginx"]}
    web.client.on("remove", "packages", web.urn, desired, owner=web.urn)
    calls = web.apt.calls
    forgotten = calls.index("deb-systemd-helper purge nginx.service")
    removed = next(at for at, call in enumerate(calls) if call.startswith("apt-get remove"))
    assert forgotten < removed


def test_the_notes_of_a_package_that_somebody_removed_before_us_stay(web: Packages) -> None:
    web.apt.units = {"redis": ["/usr/lib/systemd/system/redis.service"]}
    web.apt.configured_only.add("redis")
    web.put("redis")
    web.remove("purge")
    assert not [call for call in web.apt.calls if call.startswith("deb-systemd-helper")]


def test_purge_spares_the_files_of_a_package_that_somebody_removed_before_us(web: Packages) -> None:
    web.apt.configured_only.add("redis")
    web.put("nginx redis")
    assert web.remove("purge") == "removed"
    assert web.apt.configured_only == {"redis"}
    assert web.apt.installed == {}


def test_a_package_removed_by_hand_comes_back_and_still_counts_as_ours(web: Packages) -> None:
    web.put("nginx")
    del web.apt.installed["nginx"]
    assert [s["property"] for s in web.put("nginx")["steps"]] == ["packages.nginx"]
    assert web.remove() == "removed"


def test_an_installation_that_removes_other_packages_needs_adopt(make: Make) -> None:
    web = make("timesyncd", conflicts={"chrony": "timesyncd"})
    error = web.refused("chrony")
    assert error.code == "differs"
    assert "would remove timesyncd" in error.message
    assert "timesyncd" in web.apt.installed
    web.put("chrony", adopt=True)


def test_lists_are_fetched_when_a_name_is_unknown(make: Make) -> None:
    web = make(known=False)
    web.put("nginx")
    assert "apt-get update" in web.apt.calls


def test_a_name_that_no_source_has_is_an_error_for_people(web: Packages) -> None:
    error = web.refused("ngnix")
    assert error.code == "apt"
    assert "no ngnix" in error.message
    assert "the name of the package" in error.hint


def test_lists_that_name_a_replaced_version_are_fetched_again(web: Packages) -> None:
    web.apt.trouble = ["E: Failed to fetch http://mirror/nginx_1.deb  404  Not Found [IP: 1.2.3.4 80]\n"]
    web.put("nginx")
    assert [call for call in web.apt.calls if call.startswith("apt-get") and "-s" not in call] == [
        "apt-get install nginx", "apt-get update", "apt-get install nginx",
    ]  # fmt: skip


def test_an_interrupted_dpkg_is_repaired_first(web: Packages) -> None:
    web.apt.trouble = [
        "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem. \n"
    ]
    web.put("nginx")
    assert any(call.startswith("dpkg ") and call.endswith("--configure -a") for call in web.apt.calls)


def test_a_package_whose_unpacking_was_interrupted_is_reinstalled_first(web: Packages) -> None:
    web.apt.interrupted = {"nginx-common"}
    web.put("nginx")
    calls = [call for call in web.apt.calls if call.startswith(("reinstall", "apt-get install"))]
    assert calls == ["reinstall nginx-common", "apt-get install nginx"]


def test_apt_waits_for_a_lock(web: Packages, monkeypatch: pytest.MonkeyPatch) -> None:
    web.client = web.client.again(machine=dataclasses.replace(web.client.machine, apt_lock_wait=60))
    monkeypatch.setattr(apt.time, "sleep", lambda _: None)
    web.apt.trouble = [LOCKED, LOCKED]
    web.put("nginx")


def test_the_error_names_who_holds_a_lock(web: Packages) -> None:
    web.apt.trouble = [LOCKED] * 100
    error = web.refused("nginx")
    assert error.code == "apt-lock"
    assert "unattended-upgr (process 4711)" in error.message


def test_apts_own_words_are_in_the_error(web: Packages) -> None:
    web.apt.trouble = ["E: Unable to correct problems, you have held broken packages.\n"]
    error = web.refused("nginx")
    assert error.code == "apt"
    assert "you have held broken packages" in error.message


def test_a_failed_first_install_is_forgotten(make: Make, tmp_path: Path) -> None:
    web = make("redis", "libssl3", "liblua")
    web.apt.trouble = ["E: no\n"]
    web.refused("nginx redis")
    assert not (tmp_path / "state").exists()


def test_a_package_that_is_missing_after_the_installation_is_an_error(web: Packages) -> None:
    web.apt.closure = lambda _names: []  # type: ignore[method-assign,assignment]
    error = web.refused("nginx")
    assert (error.code, error.prop) == ("not-converged", "packages.nginx")


@pytest.mark.parametrize("name", ["-o", "nginx:i386", "NGINX", "a", "nginx=1", "../x"])
def test_a_malformed_package_name_never_reaches_apt(web: Packages, name: str) -> None:
    assert web.refused(name).code == "invalid"
    assert not any(name in call.split() for call in web.apt.calls)


def test_nothing_starts_while_packages_are_installed(make: Make, machine: Machine) -> None:
    seen: list[str] = []
    web = make(on_install=lambda: seen.append(machine.policy.read_text()))
    web.put("nginx")
    assert "exit 101" in seen[0]
    assert not machine.policy.exists()


def test_a_failed_removal_is_finished_by_the_next_one(web: Packages, tmp_path: Path) -> None:
    web.put("nginx")
    web.apt.trouble = ["E: Sub-process /usr/bin/dpkg returned an error code (1)\n"]
    with pytest.raises(Exception, match="returned an error code"):
        web.remove()
    assert "nginx" in web.apt.installed
    assert web.remove() == "removed"
    assert web.apt.installed == {}
    assert not (tmp_path / "state").exists()


class AptOnDisk(FakeApt):
    """A package manager that keeps its packages in a file, so that they survive the killed process."""

    disk: Path

    def __call__(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> Done:
        with self.disk.open() as file:
            self.installed, configured = json.load(file)
        self.configured_only = set(configured)
        done = super().__call__(argv, timeout=timeout, env=env)
        self.keep()
        return done

    def keep(self) -> None:
        new = self.disk.with_suffix(".new")
        new.write_text(json.dumps([self.installed, sorted(self.configured_only)]))
        new.replace(self.disk)


@pytest.mark.parametrize("how", ["remove", "purge"])
def test_kill_9_at_any_point_of_a_removal_loses_no_package(
    machine: Machine, tmp_path: Path, how: str
) -> None:
    apt = AptOnDisk(ARCHIVE)
    apt.disk = tmp_path / "apt.json"
    machine.lists.mkdir()
    (machine.lists / "mirror_Packages").touch()
    client = Client(dataclasses.replace(machine, run=apt))

    def web() -> Packages:
        client.close()
        return Packages(client.again(), apt)

    def prepare() -> None:
        apt.installed, apt.configured_only = {"libssl3": True}, set()
        apt.keep()
        web().put("nginx redis")

    def check() -> None:
        web().remove(how)
        apt(["dpkg-query", "--"], timeout=1)
        assert apt.installed == {"libssl3": True}
        assert apt.configured_only == (
            set() if how == "purge" else {"nginx", "nginx-common", "redis", "liblua"}
        )
        assert not (tmp_path / "state").exists()

    assert rounds(prepare, lambda: web().remove(how), check) > 20
    client.close()


def test_a_set_under_another_urn_takes_its_record_and_packages_along(web: Packages, tmp_path: Path) -> None:
    web.put("nginx redis")
    web.client = web.client.again()
    moved = web.named("moved")
    moved.put("nginx redis", former=web.urn)
    assert moved.put("nginx", former="")["steps"] == []
    assert "redis" not in web.apt.installed
    assert moved.remove() == "removed"
    assert web.apt.installed == {}
    assert not (tmp_path / "state").exists()


def test_a_set_that_took_the_former_name_keeps_its_packages(web: Packages) -> None:
    web.put("nginx")
    web.client = web.client.again()
    web.put("redis")
    web.named("moved").put("nginx", former=web.urn)
    assert {"nginx", "redis"} <= set(web.apt.installed)
    assert web.remove() == "removed"
    assert "nginx" in web.apt.installed


UNITS = {
    "nginx": ["/lib/systemd/system/nginx.service", "/usr/lib/systemd/system/nginx@.service"],
    "redis": ["/usr/lib/systemd/system/redis.socket", "/usr/lib/systemd/system/rotate.timer"],
    "libssl3": ["/lib/systemd/system/profiles.service"],
}


def test_services_of_new_packages_start_at_no_boot(make: Make) -> None:
    web = make(units=UNITS, early={"profiles.service"})
    web.put("nginx redis")
    assert web.apt.enabled == {"nginx@.service", "rotate.timer", "profiles.service"}


def test_an_enabled_unit_of_an_older_package_stays_enabled(make: Make) -> None:
    web = make("nginx", units=UNITS, enabled={"nginx.service"})
    web.put("nginx redis")
    assert "nginx.service" in web.apt.enabled


def test_a_unit_that_somebody_enables_afterwards_stays_enabled(make: Make) -> None:
    web = make(units=UNITS)
    web.put("nginx")
    web.apt.enabled.add("nginx.service")
    web.put("nginx redis")
    assert "nginx.service" in web.apt.enabled


def noted_as_disabled(machine: Machine) -> list[str]:
    """Return the units that an installation left disabled, as the agent's records list them."""
    return [unit for record in Store(machine.state).all() for unit in record.extra.get("disabled", ())]


def test_the_note_about_disabled_units_outlives_the_set_that_brought_them(
    make: Make, machine: Machine
) -> None:
    """A run of apt may bring the packages of several sets, and only one of the sets has the note."""
    web = make(units=UNITS)
    web.put("nginx redis")
    other = web.named("other")
    other.put("redis")
    assert web.remove() == "removed"
    assert "redis" in web.apt.installed
    assert "redis.socket" in noted_as_disabled(machine)
    assert other.remove() == "removed"
    assert noted_as_disabled(machine) == []


def cut_off(web: Packages, systemctl: Callable[[list[str]], Done]) -> None:
    """Deploy a set of packages with nginx, while a fake systemctl kills the agent. Then start a new agent."""
    usual, web.apt.systemctl = web.apt.systemctl, systemctl  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        web.put("nginx")
    web.apt.systemctl = usual  # type: ignore[method-assign]
    web.client = web.client.again()


def test_the_next_put_disables_the_services_of_a_killed_installation(make: Make) -> None:
    web = make(units=UNITS)

    def killed(_words: list[str]) -> Done:
        raise KeyboardInterrupt

    cut_off(web, killed)
    assert web.put("nginx")["steps"] == []
    assert "nginx.service" not in web.apt.enabled


def test_an_agent_that_is_killed_while_it_disables_units_has_noted_them(make: Make, machine: Machine) -> None:
    # Otherwise the inventory reports forever that somebody disabled the units by hand (found by make
    # torture).
    web = make(units=UNITS)
    systemctl = web.apt.systemctl

    def killed(words: list[str]) -> Done:
        done = systemctl(words)
        if words[0] == "disable":
            raise KeyboardInterrupt
        return done

    cut_off(web, killed)
    web.put("nginx")
    assert "nginx.service" in noted_as_disabled(machine)


def test_units_that_debians_notes_left_disabled_are_noted(make: Make, machine: Machine) -> None:
    # A package that was removed without a purge is installed again (found by make torture).
    class Remembered(set[str]):
        def __ior__(self, _enabled: object) -> Self:
            return self

    web = make(units=UNITS)
    web.apt.enabled = Remembered()
    web.put("nginx")
    assert "nginx.service" in noted_as_disabled(machine)


def test_recommended_packages_are_installed_only_when_declared(make: Make) -> None:
    web = make(recommends={"nginx": ["chrony"]})
    web.put("nginx")
    assert "chrony" not in web.apt.installed
    web.remove()
    desired = {**web._desired("nginx", "remove"), "recommends": True}
    web.client.on("put", "packages", web.urn, desired, owner=web.urn)
    assert "chrony" in web.apt.installed
    assert web.remove() == "removed"
    assert web.apt.installed == {}


def side_by_side(web: Packages, *others: tuple[str, str]) -> dict[str, Any]:
    """Put nginx, and the sets of `others` while apt-get works on it. Return the result of each set."""
    ended: dict[str, Any] = {}
    threads = [
        threading.Thread(target=lambda n=name, w=wanted: ended.update({n: outcome(web.named(n), w)}))
        for name, wanted in others
    ]
    kind = web.client.operations._kind("packages")
    run = web.apt.apt_get

    def apt_get(verb: str, names: list[str], also: Sequence[str] = (), *, simulate: bool) -> Done:
        for thread in threads if simulate else ():
            if thread.ident is None:
                thread.start()
        until(lambda: len(kind._waiting) + len(ended) >= len(threads))  # type: ignore[attr-defined]
        return run(verb, names, also, simulate=simulate)

    web.apt.apt_get = apt_get  # type: ignore[method-assign]
    ended["web"] = outcome(web, "nginx")
    for thread in threads:
        thread.join(60)
    web.apt.apt_get = run  # type: ignore[method-assign]
    return ended


def outcome(packages: Packages, names: str) -> Any:
    try:
        return packages.put(names)["facts"]["packages"]
    except AgentError as error:
        return error


def installs(web: Packages) -> list[str]:
    return [call for call in web.apt.calls if call.startswith("apt-get install")]


def test_waiting_sets_share_one_run_of_apt_and_are_removed_one_by_one(web: Packages) -> None:
    ended = side_by_side(web, ("cache", "redis"), ("clock", "chrony"))
    assert installs(web) == ["apt-get install chrony nginx redis"]
    assert ended == {
        "web": {"nginx": "installed"},
        "cache": {"redis": "installed"},
        "clock": {"chrony": "installed"},
    }
    assert web.named("cache").remove() == "removed"
    assert set(web.apt.installed) == {"nginx", "nginx-common", "libssl3", "chrony"}
    assert web.remove() == "removed"
    assert web.named("clock").remove() == "removed"
    assert web.apt.installed == {}


def test_services_of_a_shared_run_start_at_no_boot(web: Packages, machine: Machine) -> None:
    web.apt.units["redis"] = ["/usr/lib/systemd/system/redis.service"]
    side_by_side(web, ("cache", "redis"))
    assert web.apt.enabled == set()
    assert "redis.service" in noted_as_disabled(machine)


def test_a_set_with_a_fault_does_not_harm_the_set_before_it(web: Packages) -> None:
    ended = side_by_side(web, ("cache", "ngnix"))
    assert ended["web"] == {"nginx": "installed"}
    assert "no ngnix" in ended["cache"].message


def test_a_set_that_would_remove_other_packages_shares_no_run(make: Make) -> None:
    web = make("timesyncd", conflicts={"chrony": "timesyncd"})
    ended = side_by_side(web, ("clock", "chrony"))
    assert ended["web"] == {"nginx": "installed"}
    assert "would remove timesyncd" in ended["clock"].message
    assert "timesyncd" in web.apt.installed


def test_a_shared_run_that_fails_is_tried_again_alone(web: Packages) -> None:
    web.apt.trouble.append("E: Sub-process /usr/bin/dpkg returned an error code (1)\n")
    ended = side_by_side(web, ("cache", "redis"))
    assert ended == {"web": {"nginx": "installed"}, "cache": {"redis": "installed"}}
    assert installs(web) == ["apt-get install nginx redis", "apt-get install nginx", "apt-get install redis"]
    assert web.named("cache").remove() == "removed"
    assert web.remove() == "removed"
    assert web.apt.installed == {}
