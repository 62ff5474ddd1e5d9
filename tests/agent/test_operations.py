"""Tests the agent's operations `put`, `remove` and `survey`, which are the same for every kind of resource.

These tests use a kind of resource that exists only in memory: lamps.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent import operations
from portcullis.agent.errors import AgentError
from portcullis.agent.kind import Kind, each
from portcullis.agent.operations import Operations, resource
from portcullis.agent.step import WARN, Step
from portcullis.agent.store import Record, Store
from portcullis.agent.wire import Desired, Facts, Spec
from tests.on_host import OTHER_URN, STACK, URN, Client

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from portcullis.agent.kind import Answers, Question, Work
    from portcullis.agent.machine import Machine

Json = dict[str, Any]


@dataclass(frozen=True)
class LampSpec(Spec):
    name: str
    reads: list[str] | None = None


@dataclass(frozen=True)
class LampDesired(Desired):
    name: str
    light: str

    @property
    def id(self) -> str:
        return self.name

    def spec(self) -> LampSpec:
        return LampSpec(self.name)


@dataclass(frozen=True)
class LampFacts(Facts):
    light: str = ""


@dataclass
class Room:
    """The lamps by name, and a log of changes. While `stuck` is set, no lamp can be switched."""

    lights: dict[str, str] = field(default_factory=dict)
    done: list[tuple[str, list[str]]] = field(default_factory=list)
    stuck: str = ""
    fails: str = ""
    adopted: bool = False
    dark: bool = False  # the lamps' facts are unreadable


class Lamps(Kind[LampSpec, LampDesired, LampFacts]):
    spec_type = LampSpec
    desired_type = LampDesired
    facts_type = LampFacts
    room: Room
    prop = "light"

    def facts(self, questions: Sequence[Question[LampSpec]]) -> Answers[LampFacts]:
        return each(lambda spec, _: self._look(spec.name), questions)

    def _look(self, name: str) -> LampFacts:
        if self.room.dark:
            raise AgentError("unreadable", "it is too dark")
        return LampFacts(exists=name in self.room.lights, light=self.room.lights.get(name, ""))

    def plan(self, desired: LampDesired, facts: LampFacts) -> list[Step]:
        warnings = [Step("dust", "much", "none", WARN)]
        if facts.light == desired.light:
            return warnings
        return [*warnings, Step(self.prop, facts.light, desired.light, "switch", "a detail")]

    def obstacle(self, desired: LampDesired, facts: LampFacts) -> AgentError | None:
        del facts
        return AgentError("invalid", "no lamp is black") if desired.light == "black" else None

    def keep_instead(self, item: str) -> str:
        return f"leave {item} out, or "

    def original(self, item: str, facts: LampFacts, folder: Path) -> Json:
        return {"light": facts.light}

    def apply(self, desired: LampDesired, steps: list[Step], work: Work) -> None:
        self.room.done.append((desired.name, [step.prop for step in steps]))
        self.room.adopted |= work.adopt
        if self.room.fails == "before":
            raise AgentError("failed", "the fuse blew")
        if steps and not self.room.stuck:
            self.room.lights[desired.name] = desired.light
        if self.room.fails == "after":
            raise AgentError("failed", "the bulb broke")

    def remove(self, desired: LampDesired, record: Record, folder: Path) -> str:
        self.room.lights[record.id] = record.original["light"]
        return "restored"


@dataclass
class Deployment:
    client: Client
    room: Room

    def on(self, op: str, light: str = "on", item: str = "desk", **more: Any) -> Json:
        return self.client.on(op, "lamp", item, {"name": item, "light": light}, **more)

    def refused(self, op: str, light: str = "on", item: str = "desk", **more: Any) -> AgentError:
        return self.client.refused(op, "lamp", item, {"name": item, "light": light}, **more)

    def again(self, **changes: Any) -> Deployment:
        return deployment(self.client.again(**changes), self.room)

    def record(self, item: str = "desk") -> Record | None:
        return Store(self.client.machine.state).load("lamp", item)


def deployment(client: Client, room: Room) -> Deployment:
    for name, prop in (("lamp", "light"), ("service", "stale")):
        kind = type("Made", (Lamps,), {"room": room, "prop": prop})
        client.operations._kinds[name] = kind(client.machine, client.operations._store)
    return Deployment(client, room)


@pytest.fixture
def lamps(client: Client) -> Deployment:
    return deployment(client, Room())


def test_a_step_that_only_reports_changes_nothing(lamps: Deployment) -> None:
    first = lamps.on("put")
    assert [step["property"] for step in first["steps"]] == ["dust", "light"]
    assert first["facts"] == {"exists": True, "light": "on", "revision": first["facts"]["revision"]}
    assert "guard" not in first
    again = lamps.on("put", guard=120)
    assert [step["property"] for step in again["steps"]] == ["dust"]
    assert "guard" not in again
    assert again["facts"]["revision"] == first["facts"]["revision"]
    assert lamps.room.done == [("desk", ["light"]), ("desk", [])]
    changed = lamps.on("put", "off")
    assert changed["facts"]["revision"] != first["facts"]["revision"]


def test_a_lamp_that_differs_is_not_switched_without_adopt(lamps: Deployment) -> None:
    lamps.room.lights["desk"] = "red"
    plan = lamps.on("plan")
    assert [step["property"] for step in plan["steps"]] == ["dust", "light"]
    assert plan["facts"] == {"exists": True, "light": "red", "revision": ""}
    error = lamps.refused("put")
    assert plan["refusal"] == error.as_json()
    assert (error.code, error.prop, error.detail) == ("differs", "light", "a detail")
    assert error.message == "light differs from what is on the host (red; declared: on)"
    assert error.hint.startswith("leave desk out, or set adopt=True")
    assert (lamps.room.done, lamps.record()) == ([], None)
    assert lamps.on("plan", adopt=True)["refusal"] is None
    assert lamps.on("plan", "red")["refusal"] is None
    lamps.on("put", adopt=True)
    assert lamps.on("plan", "green")["refusal"] is None, "it is ours now"
    assert lamps.refused("put", "black", adopt=True).message == "no lamp is black"
    assert lamps.on("remove")["done"] == "restored"
    assert lamps.room.lights == {"desk": "red"}


def test_only_the_owner_of_a_lamp_can_remove_it(lamps: Deployment) -> None:
    lamps.on("put")
    assert lamps.on("remove", owner=OTHER_URN)["done"] == "not-owner"
    assert lamps.again(stack="web/staging").on("remove")["done"] == "not-owner"
    assert lamps.again().on("remove", item="other")["done"] == "absent"
    assert lamps.record() is not None


def test_records_of_former_kinds_are_dropped_by_the_next_deployment_and_not_by_a_preview(
    lamps: Deployment,
) -> None:
    (kind,) = operations.FORMER_KINDS
    lamps.on("put")
    record = lamps.record()
    assert record is not None
    store = Store(lamps.client.machine.state)
    store.save(dataclasses.replace(record, kind=kind, id="mongo"))
    again = lamps.again()
    again.client.look("lamp", "desk", {"name": "desk"})
    assert {one.kind for one in store.all()} == {"lamp", kind}
    again.on("remove")
    assert not list(store.all())


def test_a_lamp_of_another_stack_is_taken_over_only_with_adopt(lamps: Deployment) -> None:
    lamps.on("put")
    other = lamps.again(stack="web/staging")
    error = other.refused("put")
    assert error.code == "owned"
    assert error.message == f'desk belongs to the stack {STACK} (File "motd")'
    other.on("put", adopt=True)
    record = other.record()
    assert record is not None
    assert (record.stack, record.original) == ("web/staging", {"light": ""})


def test_a_record_moves_to_the_new_owner_and_notes_the_former_one_until_success(lamps: Deployment) -> None:
    first = lamps.on("put")
    later = lamps.again(owner=OTHER_URN)
    later.room.fails = "before"
    assert later.refused("put", "off").message == "the fuse blew"
    record = later.record()
    assert record is not None
    assert (record.owner, record.extra, record.pending) == (OTHER_URN, {"former": URN}, False)
    later.room.fails = ""
    same = later.on("put")
    record = later.record()
    assert record is not None
    assert (record.owner, record.extra) == (OTHER_URN, {})
    assert same["facts"]["revision"] != first["facts"]["revision"], "the try may have changed something"


def test_an_interrupted_change_gets_a_new_revision_even_without_steps(lamps: Deployment) -> None:
    revision = lamps.on("put")["facts"]["revision"]
    record = lamps.record()
    assert record is not None
    Store(lamps.client.machine.state).save(dataclasses.replace(record, pending=True))
    assert lamps.on("put")["facts"]["revision"] != revision
    record = lamps.record()
    assert record is not None
    assert not record.pending


@pytest.mark.parametrize(("fails", "kept"), [("before", False), ("after", True)])
def test_a_failed_first_change_leaves_a_record_only_if_something_changed(
    lamps: Deployment,
    fails: str,
    kept: bool,  # noqa: FBT001
) -> None:
    lamps.room.fails = fails
    lamps.refused("put")
    record = lamps.record()
    assert (record is not None) is kept
    if record is not None:
        assert (record.pending, record.original) == (False, {"light": ""})


def test_a_failed_first_change_leaves_a_record_if_facts_are_unreadable(lamps: Deployment) -> None:
    def blow(*_: object) -> None:
        lamps.room.dark = True
        raise AgentError("failed", "the fuse blew")

    lamps.client.operations._kinds["lamp"].apply = blow
    lamps.refused("put")
    assert lamps.record() is not None


@pytest.mark.parametrize(
    ("kind", "hint"),
    [("lamp", "another program on the host may be changing it"), ("service", "another program on the host")],
)
def test_a_change_that_has_no_effect_is_an_error(lamps: Deployment, kind: str, hint: str) -> None:
    lamps.room.stuck = "yes"
    error = lamps.client.refused("put", kind, "desk", {"name": "desk", "light": "on"})
    prop = "light" if kind == "lamp" else "stale"
    assert (error.code, error.prop, error.detail) == ("not-converged", prop, "a detail")
    assert error.message == f"the property {prop} is still  after the change, not on"
    assert error.hint.startswith(hint)


def test_the_hint_names_a_file_that_changed_while_the_service_read_it(lamps: Deployment) -> None:
    @dataclass(frozen=True)
    class Reader(LampDesired):
        reads: tuple[str, ...] = ()

    lamps.room.stuck = "yes"
    lamps.client.operations._kinds["service"].desired_type = Reader
    desired = {"name": "desk", "light": "on"}
    hint = lamps.client.refused("put", "service", "desk", desired).hint
    assert hint.startswith("a file that the service reads changed meanwhile")


def test_two_resources_for_one_lamp_are_a_conflict(lamps: Deployment) -> None:
    lamps.on("put")
    lamps.on("put", "off")
    error = lamps.refused("put", owner=OTHER_URN)
    assert error.code == "conflict"
    assert error.message == (
        f"desk is declared twice in this deployment: by {resource(URN)} and by {resource(OTHER_URN)}"
    )


def test_a_renamed_lamp_keeps_its_original(lamps: Deployment) -> None:
    lamps.room.lights["desk"] = "red"
    lamps.on("put", adopt=True)
    later = lamps.again()
    later.on("put", item="table", former="desk")
    record = later.record("table")
    assert record is not None
    assert record.original == {"light": "red"}
    assert later.record("desk") is None


def test_a_record_that_another_resource_or_stack_uses_does_not_move(lamps: Deployment) -> None:
    lamps.on("put")
    lamps.on("put", item="table", former="desk")  # this deployment has declared the desk as well
    assert lamps.record("desk") is not None
    other = lamps.again(stack="web/staging")
    other.on("put", item="shelf", former="desk")
    assert other.record("desk") is not None
    shelf = other.record("shelf")
    assert shelf is not None
    assert shelf.original == {"light": ""}
    other.on("put", item="shelf", former="shelf")
    assert other.record("shelf") is not None


def test_a_survey_has_the_stacks_resources_and_requested_items(lamps: Deployment) -> None:
    lamps.on("put")
    lamps.client.on("put", "service", "a", {"name": "a", "light": "on"})
    store = Store(lamps.client.machine.state)
    store.save(Record("of-another-version", "x", STACK, URN, {}, "1", {}))

    def found(**more: Any) -> list[tuple[str, str]]:
        items = lamps.client.ask("survey", **more)["items"]
        assert all(("facts" in item) != ("error" in item) for item in items)
        return [(item["kind"], item["id"]) for item in items]

    asked = {"kind": "lamp", "id": "shelf", "spec": {"name": "shelf"}}
    assert found() == [("lamp", "desk"), ("service", "a")]
    assert found(items=[asked]) == [("lamp", "desk"), ("lamp", "shelf"), ("service", "a")]
    assert found(items=[asked], index=False) == [("lamp", "shelf")]
    assert lamps.again(stack="web/staging").client.ask("survey")["items"] == []
    lamps.room.dark = True
    (item,) = lamps.client.ask("survey", items=[asked], index=False)["items"]
    assert item["error"]["message"] == "it is too dark"


def test_a_record_of_another_version_is_removed_by_the_spec_of_the_request(lamps: Deployment) -> None:
    lamps.on("put")
    record = lamps.record()
    assert record is not None
    Store(lamps.client.machine.state).save(dataclasses.replace(record, spec={"of": "another"}))
    assert lamps.on("remove")["done"] == "restored"
    assert lamps.record() is None


def test_services_that_read_a_removed_file_are_reloaded(lamps: Deployment, etc: Path) -> None:
    """Every stale service is reloaded, and not only the first in the list."""
    path = etc / "sites" / "a.conf"
    path.parent.mkdir()
    file = {"path": str(path), "content": "a\n", "owner": "root", "group": "root", "mode": "0644",
            "on_delete": "restore"}  # fmt: skip
    lamps.client.on("put", "file", str(path), file)
    store = Store(lamps.client.machine.state)
    stale, fresh = {"light": "on"}, {"light": ""}
    readers = {
        "a-other-stack": ("web/staging", [str(etc)], stale),
        "b-never-done": (STACK, [str(etc)], None),
        "c-elsewhere": (STACK, ["/opt"], stale),
        "d-reads-nothing": (STACK, None, stale),
        "e-up-to-date": (STACK, [str(etc)], fresh),
        "f-stale": (STACK, ["/opt", str(etc / "sites")], stale),
        "g-stale": (STACK, [str(path)], stale),
    }
    for name, (stack, reads, desired) in readers.items():
        extra = {"desired": {"name": name, **desired}} if desired else {}
        store.save(Record("service", name, stack, URN, {"name": name, "reads": reads}, "1", {}, extra=extra))
    lamps.client.on("remove", "file", str(path), file)
    assert not lamps.room.adopted
    assert sorted(lamps.room.done) == [
        ("f-stale", ["dust", "stale"]), ("g-stale", ["dust", "stale"]),
    ]  # fmt: skip


def test_a_piece_of_a_file_gets_an_empty_answer(lamps: Deployment, etc: Path) -> None:
    piece = {"path": str(etc / "tree"), "sha": "a" * 64, "data": "aGk=", "last": False}
    assert lamps.client.ask("blob", **piece) == {}


def test_the_preparation_runs_once_before_the_first_change(machine: Machine) -> None:
    prepared: list[Machine] = []
    client = Client(machine)
    client.operations = Operations(machine, prepared.append)
    lamps = deployment(client, Room())
    lamps.on("plan")
    client.ask("survey", items=[])
    assert prepared == []
    lamps.on("put")
    lamps.on("put", "off")
    assert prepared == [machine]
    client.operations.close()
    client.close()


def test_hello_describes_the_host(lamps: Deployment) -> None:
    said = lamps.client.ask("hello")
    assert said["agent"] == "1"
    assert {key: said[key] for key in ("kernel", "python", "hostname")} == {
        "kernel": os.uname().release, "python": sys.version.split()[0], "hostname": os.uname().nodename,
    }  # fmt: skip
    assert lamps.client.ask("survey", items=[])["host"] == {k: v for k, v in said.items() if k != "agent"}
    with pytest.raises(AgentError, match="the request has the operation 'dance'"):
        lamps.client.ask("dance")


@pytest.mark.parametrize(
    ("owner", "name"),
    [(URN, 'File "motd"'), ("a::b", 'a "b"'), ("by hand", "by hand"), ("x:y:Zed::n", 'Zed "n"')],
)
def test_the_name_of_an_owner_for_people(owner: str, name: str) -> None:
    assert resource(owner) == name
