"""The kind `inventory` reports undeclared items that came later and are not accepted."""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from portcullis.agent.claims import Claimed, Claims
from portcullis.agent.errors import AgentError
from portcullis.agent.operations import Operations
from portcullis.agent.read_only import ReadOnly
from portcullis.agent.root_folders import RootFolders
from portcullis.agent.store import Store
from portcullis.components.inventory import on_host
from portcullis.components.inventory.facts import FORMER, MAPS, NO_BASELINE, NOT_KEPT, acceptance
from portcullis.components.inventory.on_host import (
    Inventories,
    baseline,
    files,
    packages,
    programs,
    units,
    walk,
    who,
)
from portcullis.components.inventory.on_host.dpkg import Package
from portcullis.components.inventory.on_host.explained import COPIES
from portcullis.components.inventory.on_host.look import LONGEST, Entry, Look, printable
from portcullis.components.inventory.on_host.who import Login
from tests.on_host import STACK, Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portcullis.agent.machine import Machine
    from tests.components.inventory.debian import Debian

NOTHING: dict[str, Any] = {"containers": [], "networks": {}, "volumes": [], "sources": [], "accepted": {}}
DAY = 86400


@pytest.fixture(autouse=True)
def only_the_files_of_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use only the readers of files, programs and packages. The other readers have tests of their own."""
    monkeypatch.setattr(on_host, "READERS", {"packages": packages.read})
    of_users = {"files": files.read, "homes": files.read_homes, "programs": programs.read}
    monkeypatch.setattr(on_host, "READERS_OF_USERS", of_users)
    monkeypatch.setattr(who, "logins", lambda _look, _since: [])


def record_here(machine: Machine) -> None:
    """Record the baseline in this process, because only this process has the patched readers."""
    Inventories(machine, Store(machine.state)).before_first_change()


class Host(Client):
    """A client whose deploys record a baseline, like deploys of the real agent."""

    def __post_init__(self) -> None:
        self.close()
        self.operations = Operations(self.machine, record_here)
        self.opened.append(self.operations)

    def up(self, **changes: Any) -> dict[str, Any]:
        return self.on("put", "inventory", "host", {**NOTHING, **changes})

    def told(self, **changes: Any) -> dict[str, str]:
        """Return every reported entry, by the key that accepts it."""
        facts = self.look("inventory", "host", {**NOTHING, **changes})
        return {acceptance(name, key): text for name in MAPS for key, text in facts[name].items()}

    def motd(self, debian: Debian, text: str = "x\n") -> None:
        desired = {"path": str(debian.at("/etc/motd")), "content": text}
        self.on("put", "file", desired["path"], desired)


@pytest.fixture
def host(debian: Debian, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    # Records contain real paths. The paths of the fake host are below a folder.
    root = str(debian.root)

    def claims(self: Any, record: Any) -> Claims:
        del self
        return Claims(paths=(record.id.removeprefix(root),))

    monkeypatch.setattr("portcullis.resources.file.on_host.Files.claims", claims)
    made = Host(debian.machine)
    yield made
    made.close()


def test_what_came_with_the_machine_is_recorded_before_the_first_change(host: Host, debian: Debian) -> None:
    debian.file("/etc/cron.d/provider", "x")
    host.motd(debian)
    kept = json.loads(baseline.path(debian.machine).read_bytes())
    assert "/etc/cron.d/provider" in kept["found"]["files"]
    assert "/etc/motd" not in kept["found"]["files"], "our own file came after the baseline"
    assert baseline.path(debian.machine).stat().st_mode & 0o777 == 0o600
    assert baseline.path(debian.machine).parent.stat().st_mode & 0o777 == 0o700
    assert host.told() == {}


def test_a_file_that_the_image_lacks_is_not_missing(host: Host, debian: Debian) -> None:
    debian.package("base-files", {COPIES[path]: "x\n" for path in ("/etc/profile", "/etc/motd")})
    debian.file("/etc/profile", "x\n")
    host.up()
    assert host.told() == {}
    debian.file("/etc/motd", "x\n")
    assert host.told() == {}, "nor does it show when it comes"
    debian.at("/etc/profile").unlink()
    assert host.told() == {"file /etc/profile": f"is missing, a copy of {COPIES['/etc/profile']}"}


def test_a_failed_up_leaves_the_baseline(host: Host, debian: Debian) -> None:
    debian.file("/etc/motd", "before")
    debian.file("/etc/other")
    desired = {"path": str(debian.at("/etc/motd")), "content": "x"}
    host.refused("put", "file", desired["path"], desired)
    first = baseline.read(debian.machine)
    assert first is not None
    assert first.entries == 2
    debian.file("/etc/cron.d/evil")
    again = host.again()
    with pytest.raises(AgentError):
        again.motd(debian)
    assert baseline.read(debian.machine) == first, "the second up records nothing"
    assert set(again.told()) == {"file /etc/cron.d/evil"}


def test_an_unchanged_host_reports_nothing_and_each_change_shows_by_name(host: Host, debian: Debian) -> None:
    debian.file("/etc/hosts", "127.0.0.1 localhost\n")
    debian.file("/etc/provider", "x", 0o600)
    debian.file("/etc/gone", "x")
    host.up()
    assert host.told() == {}
    debian.file("/etc/hosts", "203.0.113.9 deb.debian.org\n")
    debian.at("/etc/provider").chmod(0o644)
    debian.at("/etc/gone").unlink()
    debian.file("/etc/cron.d/evil")
    found = {key: text.partition(" (changed ")[0] for key, text in host.told().items()}
    assert found == {
        "file /etc/hosts": "file 0644 root:root, its content changed",
        "file /etc/provider": "file 0644 root:root, was: file 0600 root:root",
        "file /etc/gone": "gone; was: file 0644 root:root",
        "file /etc/cron.d/evil": "file 0644 root:root",
    }
    steps = host.on("plan", "inventory", "host", NOTHING)["steps"]
    assert [step["property"] for step in steps] == sorted(
        f'files["{key.removeprefix("file ")}"]' for key in found
    )
    assert {step["action"] for step in steps} == {"warn"}
    assert host.up()["facts"]["files"].keys() == {key.removeprefix("file ") for key in found}, (
        "no difference is mended"
    )


def test_a_file_that_is_declared_later_is_neither_reported_nor_gone(host: Host, debian: Debian) -> None:
    debian.file("/etc/motd", "x\n")
    host.up()
    host.motd(debian)
    assert host.told() == {}


def test_a_file_that_equals_its_package_again_is_not_gone(host: Host, debian: Debian) -> None:
    debian.package("x", {"/etc/x.conf": "shipped\n"}, conffiles=("/etc/x.conf",))
    debian.file("/etc/x.conf", "provider's\n")
    host.up()
    assert host.told() == {}
    debian.file("/etc/x.conf", "shipped\n")
    assert host.told() == {}


def test_before_the_first_up_a_plan_says_how_much_it_will_record(host: Host, debian: Debian) -> None:
    debian.file("/etc/provider")
    debian.file("/var/lib/portcullis/inventory/walk.json", json.dumps({"programs": {"/opt/su": "file 4755"}}))
    debian.file("/opt/su", "", 0o4755)
    steps = host.on("plan", "inventory", "host", NOTHING)["steps"]
    assert [(step["property"], step["want"]) for step in steps] == [
        ("baseline", "2 things that came with the machine")
    ]
    assert not baseline.path(debian.machine).exists(), "a plan changes nothing"


def test_before_the_first_up_a_plan_names_dangerous_entries(debian: Debian) -> None:
    kind = Inventories(debian.machine, Store(debian.machine.state))
    facts = kind.facts_type.of(
        {**{name: {} for name in MAPS}, "keys": {"root SHA256:x": "laptop"}, "files": {"/etc/x": "file"}},
        {},
        {},
    )
    desired = kind.as_desired(NOTHING)
    assert [step.prop for step in kind.plan(desired, facts)] == ["baseline", 'keys["root SHA256:x"]']


def test_up_warns_of_no_container_that_it_is_about_to_remove(debian: Debian) -> None:
    kind = Inventories(debian.machine, Store(debian.machine.state))
    found = {f"container {number}": text for number, text in enumerate(FORMER)}
    maps = {**{name: {} for name in MAPS}, "docker": {**found, "container leak": "mysql:8"}}
    for about in ({}, {"recorded": "x", "entries": "1"}):
        steps = kind.plan(kind.as_desired(NOTHING), kind.facts_type.of(maps, about, {}))
        assert [step.prop for step in steps if step.prop != "baseline"] == ['docker["container leak"]']


def test_a_cloned_disk_is_another_machine(host: Host, debian: Debian) -> None:
    debian.file("/etc/provider")
    host.up()
    assert host.told() == {}
    debian.file("/etc/machine-id", "f" * 32 + "\n")
    found = host.told()
    assert found["file baseline"] == NO_BASELINE
    assert "file /etc/provider" in found
    host.again().up()
    assert host.told() == {}, "a new machine has a new baseline"


def test_a_removed_baseline_is_recorded_again_without_declared_things(
    host: Host, debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    def containers(look: Look) -> dict[str, dict[str, Entry]]:
        strange = [name for name in ("api", "b") if name not in look.spec.containers]
        return {"docker": {f"container {name}": Entry("runs") for name in strange}}

    host.up(containers=["api"])
    monkeypatch.setattr(on_host, "READERS", {**on_host.READERS, "docker": containers})
    debian.file("/etc/apt/sources.list", "deb http://deb.debian.org/debian trixie main")
    assert set(host.told(containers=["api"])) == {"container b", "file /etc/apt/sources.list"}
    baseline.path(debian.machine).unlink()
    again = host.again()
    again.up(containers=["api"])
    assert again.told(containers=["api"]) == {}
    assert set(again.told()) == {"container api"}, "it did not come with the machine"


def test_an_invalid_baseline_counts_as_none(host: Host, debian: Debian) -> None:
    host.up()
    for text in ("", "[]", "{}", '{"recorded": 1, "machine": "", "found": []}', '{"found": {"files": 3}}'):
        baseline.path(debian.machine).write_text(text)
        assert baseline.read(debian.machine) is None
        assert "file baseline" in host.told()


def test_the_last_removal_removes_the_baseline_too(host: Host, debian: Debian) -> None:
    host.up()
    host.on("remove", "inventory", "host", NOTHING)
    assert not debian.machine.state.exists()
    host.again().on("remove", "inventory", "host", NOTHING)
    assert not debian.machine.state.exists(), "a removal of nothing records nothing"


def test_accepted_entries_and_acceptances_without_effect(host: Host, debian: Debian) -> None:
    host.up()
    debian.file("/etc/provider")
    accepted = {"file /etc/provider": "the provider's agent", "unit old.timer": "it was there once"}
    assert host.told(accepted=accepted) == {
        "unit accept unit old.timer": "has no effect: remove it from inventory.accept"
    }


def test_an_acceptance_is_for_the_item_as_it_was(host: Host, debian: Debian) -> None:
    host.up()
    debian.file("/etc/provider")
    for number in range(21):
        debian.file(f"/opt/agent/{number}")
    key, folder = "file /etc/provider", "file /opt/agent"
    accepted = {key: "the provider's agent", folder: "its data"}
    host.up(accepted=accepted)
    assert host.told(accepted=accepted) == {}
    debian.at("/etc/provider").chmod(0o666)
    debian.file("/opt/agent/new")
    (told,) = host.told(accepted=accepted).items()
    assert told[0] == key
    assert told[1].startswith("file 0666 root:root, changed since it was accepted (file 0644 root:root) (")
    host.up(accepted=accepted)
    assert set(host.told(accepted=accepted)) == {key}, "another up does not accept it"
    accepted[key] = "everybody writes there"
    assert host.told(accepted=accepted) == {}
    host.up(accepted=accepted)
    debian.file("/etc/provider", "other\n", 0o666)
    assert set(host.told(accepted=accepted)) == {key}


def test_an_accepted_item_that_was_away_during_an_up_is_not_accepted_anew(host: Host, debian: Debian) -> None:
    host.up()
    debian.file("/etc/provider")
    accepted = {"file /etc/provider": "the provider's agent", "file /etc/later": "comes later"}
    host.up(accepted=accepted)
    debian.at("/etc/provider").unlink()
    host.up(accepted=accepted)
    debian.file("/etc/provider", "", 0o666)
    debian.file("/etc/later", "", 0o666)
    found = host.told(accepted=accepted)
    assert set(found) == set(accepted)
    assert "changed since it was accepted (absent)" in found["file /etc/later"]


def test_what_an_older_version_accepted_is_recorded_by_the_next_up(host: Host, debian: Debian) -> None:
    debian.file("/etc/x")
    accepted = {"file /etc/provider": "the provider's agent"}
    host.up(accepted=accepted)
    debian.file("/etc/provider")
    store = Store(debian.machine.state)
    record = store.load("inventory", "host")
    assert record is not None
    del record.extra["accepted"]
    store.save(record)
    assert host.told(accepted=accepted) == {"file inventory.accept": NOT_KEPT}
    host.up(accepted=accepted)
    assert host.told(accepted=accepted) == {}


def walked(debian: Debian, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the nightly walk find the programs without a package, but ask no dpkg."""
    monkeypatch.setattr(walk, "_output", lambda _argv: "")
    programs.walk_now(debian.machine)


SU = "program /srv/su"


def test_an_accepted_program_with_other_content_shows(
    host: Host, debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = {SU: "the vendor's"}
    host.up()
    debian.file("/srv/su", "harmless", 0o4755)
    walked(debian, monkeypatch)
    assert set(host.told()) == {SU}
    host.up(accepted=accepted)
    os.utime(debian.at("/srv/su"), (1, 1))
    assert host.told(accepted=accepted) == {}
    debian.file("/srv/su", "#!/bin/sh evil", 0o4755)
    (told,) = host.told(accepted=accepted).values()
    assert "changed since it was accepted" in told


def test_a_program_that_came_with_the_machine_and_has_other_content_shows(
    host: Host, debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = ("/srv/su", "/opt/su")
    monkeypatch.setattr(walk, "_output", lambda _argv: "")
    for path in paths:
        debian.file(path, "harmless", 0o4755)
    host.up()
    assert host.told() == {}
    for path in paths:
        debian.file(path, "evil", 0o4755)
    told = host.told()
    assert set(told) == {SU, "file /opt/su"}
    assert {text.count("its content changed") for text in told.values()} == {1}


def test_programs_that_an_older_version_recorded_without_marks_are_no_difference(
    host: Host, debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = {SU: "the vendor's"}
    monkeypatch.setattr(walk, "_output", lambda _argv: "")
    debian.file("/srv/old", "harmless", 0o4755)
    with monkeypatch.context() as older:
        older.setattr(programs, "_mark", lambda _real, _status: "")
        host.up()
        debian.file("/srv/su", "harmless", 0o4755)
        programs.walk_now(debian.machine)
        host.up(accepted=accepted)
    assert host.told(accepted=accepted) == {}
    host.up(accepted=accepted)
    debian.file("/srv/su", "evil", 0o4755)
    assert set(host.told(accepted=accepted)) == {SU}, "the next up recorded the mark"


def test_of_a_large_program_and_of_a_users_program_the_size_and_the_times_count(
    debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = debian.at(debian.file("/srv/su", "content", 0o4755))

    def mark() -> str:
        return programs._mark(str(real), real.lstat())

    assert mark() == hashlib.sha256(b"content").hexdigest()
    status = real.lstat()
    real.rename(real.with_name("old"))
    real.write_text("another file of the same name")
    assert programs._mark(str(real), status).startswith("7 "), "it was replaced while it was read"
    monkeypatch.setattr(programs, "LARGEST", 3)
    assert mark().startswith("29 ")
    monkeypatch.undo()
    os.chown(real, 1000, 1000)
    before = mark()
    assert before.startswith("29 ")
    time.sleep(0.01)
    real.write_text("one more file of the samename")
    os.utime(real, ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert mark() != before


def test_a_pipe_in_the_place_of_a_program_is_not_opened(debian: Debian) -> None:
    real = debian.at(debian.file("/srv/su", "content", 0o4755))
    status = real.lstat()
    real.unlink()
    os.mkfifo(real)
    assert programs._mark(str(real), status).startswith("7 ")


def test_accepting_a_unit_accepts_its_files(
    host: Host, debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_host, "READERS", {"units": units.read})
    monkeypatch.setattr(units._Manager, "_list", lambda _: set())
    host.up()
    debian.file("/etc/systemd/system/mine.service", "[Service]\n")
    (told,) = host.told()
    assert told == "unit mine.service"
    assert host.told(accepted={told: "ours"}) == {}


def test_the_key_for_accepting_an_entry_of_each_map() -> None:
    shown = {name: acceptance(name, "container leak" if name == "docker" else "x") for name in MAPS}
    assert shown == {
        "accounts": "account x", "keys": "key x", "files": "file x", "units": "unit x",
        "programs": "program x", "packages": "package x", "kernel": "kernel x", "docker": "container leak",
    }  # fmt: skip


def test_a_failing_reader_is_an_entry_and_hides_no_other_reader(
    host: Host, debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.up()
    debian.file("/etc/evil")

    def broken(_look: Look) -> dict[str, dict[str, Entry]]:
        raise AgentError("unreadable", "apt's notes make no sense")

    monkeypatch.setattr(on_host, "READERS", {"packages": broken})
    found = host.told()
    assert found["package reading packages"] == "cannot be read: apt's notes make no sense"
    assert "file /etc/evil" in found


def test_control_characters_and_long_names_are_removed(host: Host, debian: Debian) -> None:
    host.up()
    debian.file("/etc/a\x1b[2Jb")
    (name,) = host.told()
    assert name == "file /etc/a?[2Jb"
    assert printable("x" * 1000).endswith("…")
    assert len(printable("x" * 1000)) == 400


def test_many_differences_are_counted(host: Host, debian: Debian, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_host, "MOST", 3)
    host.up()
    for number in range(5):
        debian.file(f"/etc/{number}")
    found = host.told()
    assert len(found) == 4
    assert found["file more"] == "2 more are not shown"


def advice(host: Host, name: str = "files") -> dict[str, Any]:
    facts = host.look("inventory", "host", NOTHING)
    assert facts["advice"].keys() == set(MAPS)
    found: dict[str, Any] = facts["advice"][name]
    return found


def test_a_flood_of_one_user_hides_nothing_of_root(
    host: Host, debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_host, "MOST", 25)
    host.motd(debian)
    for number in range(45):
        folder = (".local/bin", ".config/systemd", ".ssh")[number % 3]
        path = debian.file(f"/home/deploy/{folder}/{number}")
        os.chown(debian.at(path), 1000, 1000)
    for number in range(6):
        debian.file(f"/root/z{number}")
    found = host.told()
    assert {f"file /root/z{number}" for number in range(6)} <= set(found)
    assert len([key for key in found if "/home/deploy/" in key]) == 19
    assert found["file more of deploy"] == "26 more are not shown"
    monkeypatch.setattr(on_host, "MOST", 300)
    assert host.told()["file more of deploy"] == "25 more are not shown"


def test_the_severity_and_the_fixes_of_an_entry_travel_beside_its_text(host: Host, debian: Debian) -> None:
    host.up()
    for path in ("/etc/cron.d/evil", "/opt/mine", "/etc/a\x1b[2Jb"):
        debian.file(path)
    debian.file("/home/deploy/.profile")
    os.chown(debian.at("/home/deploy"), 1000, 1000)
    debian.file("/opt/open", mode=0o666)
    assert advice(host) == {
        "/etc/cron.d/evil": {"is_open": True, "fixes": [["remove-file", "/etc/cron.d/evil"]]},
        "/opt/mine": {"is_open": False, "fixes": [["remove-file", "/opt/mine"]]},
        "/opt/open": {"is_open": True, "fixes": [["remove-file", "/opt/open"]]},
        # Its user can redirect a path in a home.
        "/home/deploy/.profile": {"is_open": True, "fixes": []},
    }
    assert set(host.told()) > {"file /etc/a?[2Jb"}


def test_a_change_of_the_baseline_is_restored_from_its_values(host: Host, debian: Debian) -> None:
    debian.file("/etc/provider", "x", 0o600)
    debian.link("/etc/localtime", "/usr/share/zoneinfo/Etc/UTC")
    host.up()
    debian.at("/etc/provider").chmod(0o644)
    debian.at("/etc/localtime").unlink()
    debian.link("/etc/localtime", "/srv/x")
    assert [text.partition(" (changed ")[0] for text in host.told().values()] == [
        'link to "/srv/x", was: link to "/usr/share/zoneinfo/Etc/UTC"',
        "file 0644 root:root, was: file 0600 root:root",
    ]
    assert {path: each["fixes"] for path, each in advice(host).items()} == {
        "/etc/localtime": [["link", "/usr/share/zoneinfo/Etc/UTC", "/etc/localtime"]],
        "/etc/provider": [["rights", "root:root", "/etc/provider", "0600"]],
    }


def test_a_baseline_of_an_older_version_has_no_values_and_no_quotes(host: Host, debian: Debian) -> None:
    debian.file("/etc/provider", "x", 0o600)
    debian.link("/etc/localtime", '/usr/a"b\\c')
    for number in range(25):
        debian.link(f"/opt/many/{number}", "/srv/x")
    host.up()
    assert host.told() == {}
    place = baseline.path(debian.machine)
    kept = json.loads(place.read_text())
    found = kept["found"]["files"]
    assert found["/etc/localtime"][0] == 'link to "/usr/a\\"b\\\\c"'
    del kept["states"]
    found["/etc/localtime"][0] = 'link to /usr/a"b\\c'
    place.write_text(json.dumps(kept))
    assert host.told() == {}, "another spelling is no change"
    debian.at("/etc/provider").chmod(0o644)
    debian.at("/etc/localtime").unlink()
    debian.link("/etc/localtime", "/srv/x")
    assert [text.partition(" (changed ")[0] for text in host.told().values()] == [
        'link to "/srv/x", was: "link to /usr/a\\"b\\\\c"',
        "file 0644 root:root, was: file 0600 root:root",
    ]
    assert not any(each["fixes"] for each in advice(host).values()), "nothing tells how it was"


def test_a_text_that_is_cut_off_ends_its_quotes(host: Host, debian: Debian) -> None:
    host.up()
    debian.link("/etc/long", "/x, — stays; run " * 40)
    (text,) = host.told().values()
    assert text.endswith('…"')
    assert len(text) == 401


def test_who_was_logged_in(host: Host, debian: Debian, monkeypatch: pytest.MonkeyPatch) -> None:
    host.up()
    debian.file("/etc/evil")
    changed = debian.at("/etc/evil").stat().st_ctime
    asked = []

    def logins(_look: Look, since: float) -> list[Login]:
        asked.append(since)
        return [
            Login("laptop", "deploy", "203.0.113.77", changed - 5, None),
            Login("old", "deploy", "203.0.113.1", changed - 9, changed - 7),
            Login("later", "deploy", "203.0.113.2", changed + 1, None),
        ]

    assert host.told()["file /etc/evil"].endswith("Z, who: unknown)")
    monkeypatch.setattr(who, "logins", logins)
    text = host.told()["file /etc/evil"]
    assert text.endswith("Z while deploy, key laptop, 203.0.113.77, was logged in)"), text
    assert asked == [pytest.approx(changed, rel=0, abs=1e-5)], "the journal is read once, for the time needed"
    host.told(accepted={"file /etc/evil": "x"})
    assert asked == [pytest.approx(changed, rel=0, abs=1e-5)], "and not at all without a difference"


def test_several_people_were_logged_in() -> None:
    logins = [Login(f"k{n}", "deploy", f"203.0.113.{n}", 1, None) for n in range(5)]
    text = on_host._when(2, logins)
    assert text.endswith("203.0.113.2, and 2 more were logged in"), text


def test_two_entries_about_one_thing_become_one() -> None:
    told = {name: {} for name in MAPS} | {
        "files": {
            "/usr/local/bin/su": Entry("file 4755 root:root", fixes=(("remove-file", "/usr/local/bin/su"),)),
            "/etc/systemd/system/evil.service": Entry("file"),
            "/etc/systemd/system/nginx.service.d/evil.conf": Entry("file"),
            "/etc/systemd/system/known.service": Entry("file"),
            "/etc/systemd/system/notes.txt": Entry("file"),
        },
        "programs": {
            "/usr/local/bin/su": Entry(
                "file 4755 root:root, runs as uid 0", is_open=True, fixes=(("no-setuid", "x"),)
            ),
            "/usr/bin/x": Entry("file 4755 root:root, runs as uid 0"),
        },
        "units": {"evil.service": Entry("enabled"), "nginx.service": Entry("drop-in evil.conf")},
    }
    unread = {**told, "files": dict(told["files"]), "units": {"reading units": Entry("cannot be read")}}
    on_host._join(told)
    assert told["files"]["/usr/local/bin/su"].is_open
    assert told["files"]["/usr/local/bin/su"].fixes == (("remove-file", "/usr/local/bin/su"),)
    assert {key: entry.text for key, entry in told["files"].items()} == {
        "/usr/local/bin/su": "file 4755 root:root, runs as uid 0",
        "/etc/systemd/system/notes.txt": "file",
    }
    on_host._join(unread)
    assert "/etc/systemd/system/evil.service" in unread["files"]
    assert set(told["programs"]) == {"/usr/bin/x"}


def test_a_reader_whose_process_ends_early_is_one_entry(
    host: Host, debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(_look: Look) -> NoReturn:
        os._exit(3)

    host.up()
    debian.file("/etc/evil")
    monkeypatch.setattr(on_host, "READERS_OF_USERS", {"homes": ends, "files": files.read})
    told = host.told()
    assert set(told) == {"file /etc/evil", "file reading homes"}
    assert told["file reading homes"] == "cannot be read: the process for it ended with code 3"


def test_a_reader_that_fails_at_the_first_up_is_told_later_too(
    host: Host, debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(_look: Look) -> NoReturn:
        os._exit(3)

    monkeypatch.setattr(on_host, "READERS_OF_USERS", {"homes": ends, "files": files.read})
    record_here(debian.machine)
    host.up()
    assert set(host.told()) == {"file reading homes"}


def test_a_home_that_cannot_be_read_hides_no_file_that_is_gone(
    host: Host, debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(_look: Look) -> NoReturn:
        os._exit(3)

    for path in ("/etc/backup", "/home/deploy/.profile"):
        debian.file(path)
    host.up()
    debian.at("/etc/backup").unlink()
    monkeypatch.setattr(on_host, "READERS_OF_USERS", {"homes": ends, "files": files.read})
    assert set(host.told()) == {"file /etc/backup", "file reading homes"}


def test_the_preview_key_reads_the_inventory_and_writes_nothing(
    host: Host, debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.up()
    looks: list[Look] = []

    def reads_nothing(look: Look) -> dict[str, dict[str, Entry]]:
        looks.append(look)
        return {}

    monkeypatch.setattr(on_host, "READERS", {"units": reads_nothing})
    debian.file("/etc/evil", "secret-word", 0o600)
    before = sorted(str(path) for path in debian.machine.state.rglob("*"))
    shown = ReadOnly(debian.machine, STACK, "x").survey({"stack": STACK})
    assert [look.machine.read_only for look in looks] == [True], "readers know that they may not write"
    (item,) = shown["items"]
    assert set(item["facts"]["files"]) == {"/etc/evil"}
    assert "secret-word" not in json.dumps(shown)
    marks = {
        entry.mark
        for entry in files.read(Look(debian.machine, Claimed(), debian.look().spec))["files"].values()
    }
    assert not [mark for mark in marks if mark and mark in json.dumps(shown)], "no digest leaves the host"
    assert sorted(str(path) for path in debian.machine.state.rglob("*")) == before


def test_packages_installed_by_hand_and_held_packages(host: Host, debian: Debian) -> None:
    debian.package("base-files", {})
    debian.file("/var/lib/apt/extended_states", "Package: libx\nArchitecture: amd64\nAuto-Installed: 1\n\n")
    host.up()
    for name in ("nmap", "libx"):
        debian.package(name, {})
    debian.package("nginx", {}, status="hold ok")
    assert host.told() == {
        "package nmap": "installed by hand",
        "package nginx": "installed by hand, held at its version: it gets no security updates",
    }


def test_declared_packages_are_not_installed_by_hand() -> None:
    known = {"nginx": packages_of("nginx"), "nmap": packages_of("nmap")}
    assert set(packages.by_hand(known, (), ["nginx"])) == {"nmap"}


def packages_of(name: str) -> Package:
    return Package(name, "amd64", "1", installed=True, held=False)


def test_an_undeclared_source() -> None:
    sources = {"docker-ce": ["https://download.docker.com/linux/debian"], "evil": ["http://evil.example/x/"]}
    declared = ["https://download.docker.com/linux/debian/"]
    assert packages.from_elsewhere(sources, declared) == {"evil": "from http://evil.example/x/"}


def test_the_age_of_the_nightly_walk() -> None:
    now = 100 * DAY
    assert programs.how_old(now - DAY, now) == ""
    assert programs.how_old(now - 3 * DAY, now).startswith("last ran 3 days ago")
    assert programs.how_old(None, now).startswith("never ran")


def test_an_old_walk_is_a_difference(host: Host, debian: Debian) -> None:
    host.up()
    programs.path(debian.machine).write_text(json.dumps({"time": 1, "programs": {}}))
    assert set(host.told()) == {"program nightly walk"}
    programs.path(debian.machine).write_text("{")
    assert host.told()["program nightly walk"].startswith("never ran")


def test_findings_of_the_walk_that_were_mended_are_left_out(
    host: Host, debian: Debian, monkeypatch: pytest.MonkeyPatch
) -> None:
    capable = {str(debian.at("/srv/capable"))}

    def getxattr(path: str, name: str, *, follow_symlinks: bool) -> bytes:
        del name, follow_symlinks
        if path not in capable:
            raise OSError
        return b"x"

    monkeypatch.setattr(os, "getxattr", getxattr)
    host.up()
    findings = {
        debian.file("/srv/su", "", 0o4755): "runs as uid 0, in no package",
        debian.file("/srv/capable", "", 0o755): "has capabilities of root's, in no package",
        debian.file("/usr/libexec/find", "", 0o4777): "runs as uid 0, others than root can change it",
        debian.file("/usr/lib/evil.so"): "in no package",
        debian.file("/usr/libexec/less"): "not as less ships it",
        "/usr/libexec/gone": "is missing, x ships it",
    }
    told = {
        "time": time.time(),
        "programs": {path: f"file 0000 x, {text}" for path, text in findings.items()},
    }
    told["programs"] |= {path: findings[path] for path in ("/usr/libexec/less", "/usr/libexec/gone")}
    told["packages"] = {"/usr/libexec/less": "less", "/usr/libexec/gone": "xz"}
    programs.path(debian.machine).write_text(json.dumps(told))
    found = {key: text.partition(" (changed")[0] for key, text in host.told().items()}
    assert found == {
        "program /srv/su": "file 4755 root:root, runs as uid 0, in no package",
        "program /srv/capable": "file 0755 root:root, has capabilities of root's, in no package",
        "program /usr/libexec/find": "file 4777 root:root, runs as uid 0, others than root can change it",
        "program /usr/lib/evil.so": "file 0644 root:root, in no package",
        "program /usr/libexec/less": "not as less ships it",
        "program /usr/libexec/gone": "is missing, x ships it",
    }
    assert {path: [fix[0] for fix in each["fixes"]] for path, each in advice(host, "programs").items()} == {
        "/srv/su": ["remove-file"],
        "/srv/capable": ["remove-file"],
        "/usr/libexec/find": ["close", "no-setuid"],
        "/usr/lib/evil.so": ["remove-file"],
        "/usr/libexec/less": ["reinstall", "walk"],
        "/usr/libexec/gone": ["reinstall"],
    }
    opened = {path for path, each in advice(host, "programs").items() if not each["is_open"]}
    assert opened == {"/usr/libexec/gone"}
    capable.clear()
    for path in ("/srv/su", "/usr/libexec/find"):
        debian.at(path).chmod(0o755)
    debian.at("/usr/lib/evil.so").unlink()
    debian.file("/usr/libexec/gone")
    assert set(host.told()) == {"program /usr/libexec/less"}, "only the next walk compares the content again"
    del told["packages"]
    programs.path(debian.machine).write_text(json.dumps(told))
    found = advice(host, "programs")
    assert found == {"/usr/libexec/less": {"is_open": True, "fixes": []}}, "the walk of an older version"


def test_all_operands_and_the_key_count(debian: Debian) -> None:
    folders = RootFolders(debian.root)
    debian.at("/opt/theirs").mkdir(parents=True)
    os.chown(debian.at("/opt/theirs"), 1000, 0)
    fix = ("copy", "/etc/passwd", "/etc/x")
    assert on_host._offered(folders, "/etc/x", (fix,)) == (fix,)
    assert on_host._offered(folders, "/opt/theirs/x", (("choose", "x"),)) == ()
    for other in (
        ("copy", "/opt/theirs/x", "/etc/x"),
        ("copy", "/etc/passwd", "/opt/theirs/x"),
        ("remove-file", "/etc/a\nb"),
        ("remove-file", "/etc/a\udc80b"),
        ("remove-file", "/etc/a\u202eb"),
        ("remove-file", "/etc/" + "x" * LONGEST),
    ):
        assert on_host._offered(folders, "/etc/x", (fix, other)) == ()
    assert on_host._offered(folders, "/etc/a\nb", (("ldconfig",),)) == ()
    assert on_host._offered(folders, "/etc/x", (fix,) * 20)
    assert not on_host._offered(folders, "/etc/x", (fix,) * 21)
