"""The forward filter in the agent, with a kernel and a systemd that exist in memory only."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.errors import AgentError
from portcullis.agent.run import Done
from portcullis.components.firewall.facts import UNIT
from tests.on_host import Client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from portcullis.agent.machine import Machine

TABLE = "table inet portcullis {\n\tchain forward {\n\t\toifkind bridge drop\n\t}\n}\n"
ITEM = "inet portcullis"


@dataclass
class FakeHost:
    """A fake kernel with one table, and a fake systemd with two units.

    The fake nft lists the table that was loaded last.
    """

    file: Path
    units: Path
    live: str = ""
    rival: str = "disabled"
    refuses: str = ""
    calls: list[str] = field(default_factory=list)

    def __call__(self, argv: Sequence[str], *, timeout: float, env: Mapping[str, str] | None = None) -> Done:
        del timeout, env
        words = [word for word in argv if word != "--no-pager"]
        if words[0] == "nft":
            return self.nft(words[1:])
        if words[0] == "journalctl":
            return Done(0, "nft: it is broken\n", "")
        verb = words[1]
        if verb != "is-enabled":
            self.calls.append(" ".join(words[1:]))
        return getattr(self, verb.replace("-", "_"), lambda *_: Done(0, "", ""))(*words[2:])

    def nft(self, words: list[str]) -> Done:
        if words[:2] == ["-s", "list"]:
            missing = Done(1, "", "Error: No such file or directory\nlist table inet portcullis\n")
            return Done(0, self.live, "") if self.live else missing
        if words[0] == "-c":
            return (
                Done(1, "", f"{words[2]}:3:1-5: Error: {self.refuses}") if self.refuses else Done(0, "", "")
            )
        self.calls.append(words[0].splitlines()[0])
        self.live = "" if words[0].startswith("delete") else self.loaded(words[0])
        return Done(0, "", "")

    @staticmethod
    def loaded(text: str) -> str:
        return text[text.index("table inet portcullis {") :]

    def is_enabled(self, unit: str) -> Done:
        if unit == UNIT:
            if (self.units / "sysinit.target.wants" / UNIT).is_symlink():
                return Done(0, "enabled\n", "")
            return Done(1, "disabled\n", "") if (self.units / UNIT).exists() else Done(4, "not-found\n", "")
        return Done(0, f"{self.rival}\n", "") if self.rival else Done(1, "", "no such unit")

    def enable(self, unit: str) -> Done:
        link = self.units / "sysinit.target.wants" / unit
        link.parent.mkdir(exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(self.units / unit)
        return Done(0, "", "")

    def disable(self, unit: str) -> Done:
        (self.units / "sysinit.target.wants" / unit).unlink(missing_ok=True)
        return Done(0, "", "")

    def reload_or_restart(self, _unit: str) -> Done:
        self.live = self.loaded(self.file.read_text())
        return Done(0, "", "")


@dataclass
class Filter:
    """A client for the forward filter of a host."""

    client: Client
    host: FakeHost

    def desired(self, table: str = TABLE) -> dict[str, Any]:
        return {
            "table": table, "file": f"# ours\ntable inet portcullis\ndelete table inet portcullis\n{table}",
            "unit": "[Unit]\n", "boot": "enabled", "permissions": "root root 0644",
        }  # fmt: skip

    def put(self, table: str = TABLE, *, adopt: bool = False) -> dict[str, Any]:
        self.host.calls.clear()
        return self.client.on("put", "firewall.forward_filters", ITEM, self.desired(table), adopt=adopt)

    def refused(self, table: str = TABLE, *, adopt: bool = False) -> AgentError:
        return self.client.refused("put", "firewall.forward_filters", ITEM, self.desired(table), adopt=adopt)

    def facts(self) -> dict[str, Any]:
        return self.client.look("firewall.forward_filters", ITEM, {})

    def remove(self) -> str:
        done: str = self.client.on("remove", "firewall.forward_filters", ITEM, self.desired())["done"]
        return done


@pytest.fixture
def made(machine: Machine, tmp_path: Path) -> Iterator[Filter]:
    (tmp_path / "etc").mkdir()
    units = tmp_path / "units"
    units.mkdir()
    host = FakeHost(tmp_path / "etc" / "portcullis" / "filter.nft", units)
    client = Client(dataclasses.replace(machine, run=host, units=units, filter_file=host.file))
    yield Filter(client, host)
    client.close()


def properties(done: dict[str, Any]) -> list[str]:
    return [step["property"] for step in done["steps"]]


def test_the_unit_loads_the_table_once_and_is_enabled(made: Filter) -> None:
    done = made.put()
    assert made.host.live == TABLE
    assert made.host.calls == ["daemon-reload", f"enable {UNIT}", f"reload-or-restart {UNIT}"]
    assert done["facts"]["boot"] == "enabled"
    assert "conflict" not in str(done["steps"])
    assert made.put()["steps"] == []
    assert made.host.calls == []


def test_facts_come_from_the_kernel_and_not_from_the_file(made: Filter) -> None:
    made.put()
    made.host.live = TABLE.replace("drop", "accept")
    assert made.facts()["table"] == made.host.live
    step = made.put()["steps"][0]
    assert step["property"] == "table"
    assert "-\t\toifkind bridge accept\n+\t\toifkind bridge drop" in step["detail"]
    assert made.host.live == TABLE


def test_a_deleted_table_is_drift(made: Filter) -> None:
    made.put()
    made.host.live = ""
    assert made.facts()["table"] == "<absent>"
    assert properties(made.put()) == ["table"]
    assert made.host.live == TABLE


@pytest.mark.parametrize("what", ["file", "unit"])
def test_an_edited_or_deleted_file_is_drift(made: Filter, what: str) -> None:
    made.put()
    path = made.host.file if what == "file" else made.host.units / UNIT
    path.write_text("flush ruleset\n")
    assert made.facts()[what] == "flush ruleset\n"
    assert properties(made.put()) == [what]
    path.unlink()
    assert made.facts()[what] == "<absent>"
    assert properties(made.put()) == [what]


def test_a_unit_that_does_not_start_at_boot_is_drift(made: Filter) -> None:
    made.put()
    made.host.disable(UNIT)
    assert properties(made.put()) == ["boot"]


def test_a_file_that_others_may_write_is_drift(made: Filter) -> None:
    made.put()
    made.host.file.chmod(0o666)
    assert made.facts()["permissions"] == "root root 0666"
    assert properties(made.put()) == ["permissions"]


def test_a_table_that_nft_refuses_changes_nothing(made: Filter) -> None:
    made.put()
    made.host.refuses = "syntax error"
    error = made.refused(TABLE.replace("drop", "dorp"))
    assert error.code == "test-failed"
    assert str(made.host.file) in error.detail
    assert made.host.live == TABLE
    assert TABLE in made.host.file.read_text()


def test_an_enabled_nftables_service_is_refused_because_it_flushes_everything(made: Filter) -> None:
    made.host.rival = "enabled"
    error = made.refused()
    assert "flushes the whole ruleset" in error.message
    assert "without --now" in error.hint
    assert made.host.live == ""
    made.host.rival = "disabled"
    made.put()
    made.host.rival = "enabled"
    assert made.facts()["conflict"] == "nftables.service is enabled"


def test_a_host_without_nftables_service_is_accepted(made: Filter) -> None:
    made.host.rival = ""
    made.put()


def test_an_earlier_table_needs_adopt_and_comes_back(made: Filter) -> None:
    before = TABLE.replace("bridge", "veth")
    made.host.live = before
    assert made.refused().code == "differs"
    assert made.host.live == before
    made.put(adopt=True)
    assert made.host.live == TABLE
    assert made.remove() == "restored"
    assert made.host.live == before


def test_removal_deletes_only_our_table_and_files(made: Filter) -> None:
    made.put()
    neighbour = made.host.file.parent / "other.conf"
    neighbour.write_text("")
    made.host.calls.clear()
    assert made.remove() == "removed"
    assert made.host.live == ""
    assert list(made.host.file.parent.iterdir()) == [neighbour]
    assert not (made.host.units / UNIT).exists()
    assert not (made.host.units / "sysinit.target.wants" / UNIT).is_symlink()
    assert [call for call in made.host.calls if "flush" in call or "reload-or" in call] == []
    assert made.remove() == "absent"


def test_removal_deletes_an_empty_folder(made: Filter) -> None:
    made.put()
    made.remove()
    assert not made.host.file.parent.exists()


def test_a_missing_nft_does_not_read_as_an_absent_filter(made: Filter) -> None:
    made.put()
    made.host.nft = lambda _words: missing()  # type: ignore[method-assign]
    assert made.facts()["table"] == "<there is no nft on the host>"


def missing() -> Done:
    raise AgentError("invalid", "there is no program nft on the host")


def test_an_unknown_answer_of_nft_is_unreadable_and_not_absent(made: Filter) -> None:
    made.put()
    made.host.nft = lambda _words: Done(1, "", "Operation not permitted")  # type: ignore[method-assign]
    (found,) = made.client.ask(
        "survey", items=[{"kind": "firewall.forward_filters", "id": ITEM, "spec": {}}], index=False
    )["items"]
    assert found["error"]["code"] == "unreadable"


def guarded(made: Filter, table: str) -> str:
    desired = made.desired(table)
    made.host.calls.clear()
    result = made.client.on("put", "firewall.forward_filters", ITEM, desired, guard=60)
    return str(result.get("guard", ""))


def test_the_undo_of_an_unconfirmed_change_restores_the_live_table(made: Filter) -> None:
    made.put()
    drifted = TABLE.replace("drop", "counter")
    made.host.live = drifted  # the undo restores the live table, whatever the file says
    guard = guarded(made, TABLE.replace("bridge", "veth"))
    assert made.host.live != drifted
    made.client.ask("rollback", guard=guard)
    assert made.host.live == drifted
    assert TABLE in made.host.file.read_text()


def test_the_undo_of_an_unconfirmed_first_filter_leaves_nothing(made: Filter) -> None:
    guard = guarded(made, TABLE)
    made.client.ask("rollback", guard=guard)
    assert made.host.live == ""
    assert not made.host.file.exists()
    assert not (made.host.units / UNIT).exists()
    assert not (made.host.units / "sysinit.target.wants" / UNIT).is_symlink()


def test_a_change_that_cannot_lock_anybody_out_needs_no_confirmation(made: Filter) -> None:
    made.put()
    made.host.disable(UNIT)
    assert guarded(made, TABLE) == ""
    assert made.facts()["boot"] == "enabled"
