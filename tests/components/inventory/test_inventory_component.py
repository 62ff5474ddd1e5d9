"""The inventory of a whole host, the checks of the provider, and the warnings of an `up`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pulumi.output import Unknown

from portcullis.components import HostInventory, InventoryArgs
from portcullis.components.host.stack import load
from portcullis.components.inventory import render
from portcullis.components.inventory.facts import FORMER, MAPS
from portcullis.components.inventory.resource import InventoryProvider, line
from portcullis.config.faults import SettingsError
from portcullis.host import Host
from tests.components.exposure.test_exposure_component import full, up
from tests.host.test_provider import URN
from tests.recording_engine import Engine, declare

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.canned import CannedChannel

PROPS = {
    "host": "web1", "managed_by": URN, "containers": ["redis"], "networks": {"redis": "redis"},
    "volumes": ["redis-data"], "sources": [], "accepted": {"file /etc/foo": "the provider's agent"},
    **{name: {} for name in MAPS},
}  # fmt: skip


@pytest.fixture(scope="module")
def engine() -> Engine:
    return up(full(inventory={"accept": {"file /etc/foo": "the provider's agent"}}))


def test_a_whole_host(engine: Engine) -> None:
    found = engine.one(":Inventory").inputs
    assert found["containers"] == [], "the host's records have the ids of its containers"
    assert found["networks"] == {
        "api": "api", "shop": "shop", "worker": "worker", "redis": "redis", "mongo": "mongo",
        "redis-shared": "redis", "mongo-shared": "mongo",
    }  # fmt: skip
    assert found["volumes"] == ["mongo-data", "redis-data"]
    assert found["accepted"] == {"file /etc/foo": "the provider's agent"}
    assert all(found[name] == {} for name in MAPS)
    declared = {one.inputs["name"] for one in engine.declared if "docker:index/network" in one.type}
    assert set(found["networks"]) == declared, "the stack makes exactly these networks"
    declared = {one.inputs["name"] for one in engine.declared if "docker:index/volume" in one.type}
    assert set(found["volumes"]) == declared


def test_a_cache_has_no_volume() -> None:
    config = full()
    config["stores"]["redis"]["persistence"] = "none"
    config["apps"]["worker"]["volumes"] = {"files": "/data"}
    assert up(config).one(":Inventory").inputs["volumes"] == ["mongo-data", "worker-files"]


def test_the_walk_and_its_timer() -> None:
    engine = declare(
        lambda: HostInventory("web1-inventory", InventoryArgs(), host=Host("web1")), preview=False
    )
    files = {one.inputs["path"]: one.inputs for one in engine.of(":File")}
    assert set(files) == {
        render.PROGRAM,
        "/etc/systemd/system/portcullis-inventory.service",
        "/etc/systemd/system/portcullis-inventory.timer",
    }
    assert files[render.PROGRAM]["mode"] == "0755"
    assert engine.one(":Service").inputs["unit"] == "portcullis-inventory.timer"
    assert "web1-inventory-portcullis-inventory.timer" in engine.before("web1-inventory-found")


@pytest.mark.parametrize(
    ("accept", "fault"),
    [
        ({"/etc/foo": "x"}, "copy the key from the preview's line"),
        ({"file /etc/foo": ""}, "reason"),
        ({"file /etc/foo": 3}, "accept"),
    ],
)
def test_refused_settings(accept: Mapping[str, Any], fault: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(full(inventory={"accept": accept}))
    assert fault in str(caught.value)
    assert "inventory.accept" in str(caught.value)


def test_check() -> None:
    provider = InventoryProvider()
    assert provider.check({}, dict(PROPS)).failures == []
    assert provider.check({}, dict(PROPS)).inputs == PROPS
    assert provider.check({}, {**PROPS, "accepted": Unknown()}).failures == []
    for accepted in ({"/etc/foo": "x"}, {"file /etc/foo": " "}):
        (failure,) = provider.check({}, {**PROPS, "accepted": accepted}).failures
        assert failure.property == "accepted"


def test_a_state_does_not_ask_for_what_was_found() -> None:
    found = {**PROPS, "files": {"/etc/evil": "file 0644 root:root"}, "baseline": {"entries": "3"}}
    assert InventoryProvider().desired(found).files == {}
    assert InventoryProvider().item(found).spec["accepted"] == PROPS["accepted"]


def test_the_state_keeps_nothing_of_a_container_that_up_is_about_to_remove(
    canned: Callable[..., CannedChannel], capsys: pytest.CaptureFixture[str]
) -> None:
    found = {"container api-1": next(iter(FORMER)), "container leak": "mysql:8"}
    step = {"property": 'docker["container leak"]', "have": "mysql:8", "want": "absent", "action": "warn"}
    empty: dict[str, Any] = {name: {} for name in (*MAPS, "baseline")}
    facts = {"exists": True, "revision": "1", **empty, "docker": found, "advice": {name: {} for name in MAPS}}
    canned(lambda _op, _arguments: {"facts": facts, "steps": [step]})
    done = InventoryProvider().update("web1:host", PROPS, PROPS)
    assert capsys.readouterr().err == "warning: undeclared: container leak: mysql:8\n"
    assert done.outs["docker"] == {"container leak": "mysql:8"}


def test_the_line_of_a_warning() -> None:
    step = {"property": 'files["/etc/evil"]', "have": "file 0644 root:root", "want": "absent"}
    assert line(step) == "undeclared: file /etc/evil: file 0644 root:root"
    step["property"] = 'docker["container leak"]'
    assert line(step).startswith("undeclared: container leak: ")
