from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.components.containers.on_host import links
from tests.components.containers.fake_docker import FakeDocker
from tests.on_host import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portcullis.agent.machine import Machine

LINK, STATE = "containers.links", "containers.container_states"
OWN = {"networks": {"web": "joined", "web.api": "joined"}}


@dataclass
class Pair:
    """A client for the link of the containers `web` and `api`, whose states are recorded."""

    client: Client
    docker: FakeDocker

    def state(self, item: str, name: str, **more: Any) -> dict[str, Any]:
        desired = {
            "item": item, "container": name, "container_id": f"id-{name}", "pids": "256",
            "expects": "healthy", "within": "0.2", **more,
        }  # fmt: skip
        return self.client.on("put", STATE, item, desired)

    def desired(self, container: str = "api-1") -> dict[str, Any]:
        return {"user": "web", "server": "api", "container": container, "container_id": f"id-{container}"}

    def put(self, container: str = "api-1") -> dict[str, Any]:
        return self.client.on("put", LINK, "web.api", self.desired(container))

    def remove(self, container: str = "api-1") -> dict[str, Any]:
        return self.client.on("remove", LINK, "web.api", self.desired(container))

    def facts(self, container: str = "api-1") -> dict[str, Any]:
        spec = {"user": "web", "server": "api", "container": container}
        return self.client.look(LINK, "web.api", spec)

    def networks_of(self, item: str, container: str) -> Any:
        spec = {"container": container, "expects": "healthy", "networks": True}
        return self.client.look(STATE, item, spec)["networks"]


@pytest.fixture
def pair(machine: Machine) -> Iterator[Pair]:
    docker = FakeDocker()
    client = Client(dataclasses.replace(machine, run=docker))
    made = Pair(client, docker)
    docker.add("api-1", networks=["api"])
    made.state("api", "api-1", networks={"api": "joined"})
    yield made
    client.close()


def with_user(pair: Pair) -> Pair:
    """Make the link, and then the container `web` in it."""
    pair.put()
    pair.docker.add("web", networks=["web", "web.api"], aliases={"web.api": "web"})
    pair.state("web", "web", **OWN)
    return pair


def test_a_link_makes_an_internal_network_that_the_server_joins_by_its_name(pair: Pair) -> None:
    assert not pair.facts()["exists"]
    done = pair.put()
    assert pair.docker.did("create") == [["network", "create", "--internal", "web.api"]]
    assert pair.docker.did("connect") == [["network", "connect", "--alias", "api", "web.api", "api-1"]]
    facts = {key: value for key, value in done["facts"].items() if key != "revision"}
    assert facts == {"exists": True, "network_type": "internal bridge", "member": "joined", "others": {}}
    assert pair.put()["steps"] == []


def test_a_new_release_joins_and_the_old_one_stays_until_its_end(pair: Pair) -> None:
    with_user(pair)
    pair.docker.add("api-2", networks=["api"])
    pair.state("api", "api-2", networks={"api": "joined"})
    assert pair.facts("api-2")["member"] == "absent"
    pair.put("api-2")
    assert set(pair.docker.members("web.api")) == {"id-api-1", "id-api-2", "id-web"}
    assert pair.facts("api-2")["others"] == {}
    assert pair.networks_of("api", "api-2") == {"api": "joined"}


def test_the_state_of_the_server_leaves_out_the_link_and_that_of_the_user_has_it(pair: Pair) -> None:
    with_user(pair)
    assert pair.networks_of("api", "api-1") == {"api": "joined"}
    assert pair.networks_of("web", "web") == {"web": "joined", "web.api": "joined"}
    assert pair.state("api", "api-1", networks={"api": "joined"})["steps"] == []


def test_an_undeclared_container_is_told_and_disconnected(pair: Pair) -> None:
    with_user(pair)
    pair.docker.add("toolbox", networks=["bridge", "web.api"])
    assert pair.facts()["others"] == {"toolbox": "joined"}
    assert [step["property"] for step in pair.put()["steps"]] == ["others.toolbox"]
    assert pair.docker.containers["toolbox"].networks == ["bridge"]
    assert set(pair.docker.members("web.api")) == {"id-api-1", "id-web"}


def test_a_server_that_left_joins_again(pair: Pair) -> None:
    with_user(pair)
    pair.docker.containers["api-1"].networks.remove("web.api")
    assert pair.facts()["member"] == "absent"
    pair.put()
    assert "web.api" in pair.docker.containers["api-1"].networks


def test_a_server_without_its_name_in_the_network_gets_it(pair: Pair) -> None:
    with_user(pair)
    pair.docker.containers["api-1"].aliases.clear()
    assert pair.facts()["member"] == "joined without its name"
    pair.put()
    assert pair.docker.containers["api-1"].aliases == {"web.api": "api"}


def test_a_server_that_stands_still_is_still_in_the_network(pair: Pair) -> None:
    with_user(pair)
    pair.docker.containers["api-1"].status = "exited"
    assert pair.facts()["member"] == "joined"


def test_a_network_that_leads_elsewhere_is_made_anew_with_its_declared_containers(pair: Pair) -> None:
    with_user(pair)
    pair.docker.networks["web.api"]["internal"] = False
    pair.docker.add("toolbox", networks=["bridge", "web.api"])
    assert pair.facts()["network_type"] == "bridge"
    pair.put()
    assert pair.docker.networks["web.api"]["internal"] is True
    assert set(pair.docker.members("web.api")) == {"id-api-1", "id-web"}
    assert pair.docker.containers["web"].aliases["web.api"] == "web"


def test_a_network_of_somebody_else_is_refused(pair: Pair) -> None:
    pair.docker.networks["web.api"] = {"driver": "bridge", "internal": False}
    error = pair.client.refused("put", LINK, "web.api", pair.desired())
    assert error.code == "differs"
    assert pair.docker.networks["web.api"]["internal"] is False


def test_the_end_of_a_link_takes_out_each_release_of_the_server_and_the_network(pair: Pair) -> None:
    with_user(pair)
    pair.docker.add("api-2", networks=["api"])
    pair.state("api", "api-2", networks={"api": "joined"})
    pair.put("api-2")
    pair.docker.containers.pop("web")
    assert pair.remove("api-2")["done"] == "removed"
    assert pair.docker.networks == {}
    assert [one.networks for one in pair.docker.containers.values()] == [["api"], ["api"]]
    assert pair.remove("api-2")["done"] == "absent"


def test_a_server_that_stands_still_leaves_too_or_it_could_not_start_again(pair: Pair) -> None:
    pair.put()
    pair.docker.containers["api-1"].status = "exited"
    pair.remove()
    assert pair.docker.containers["api-1"].networks == ["api"]


def test_the_end_of_a_link_waits_for_the_former_container_of_its_user(pair: Pair) -> None:
    with_user(pair)
    looks = 0

    def count(words: list[str]) -> None:
        nonlocal looks
        looks += words[:2] == ["network", "inspect"]
        if looks == 3:
            pair.docker.containers.pop("web", None)

    pair.docker.on_call = count
    assert pair.remove()["done"] == "removed"
    assert looks == 3
    assert pair.docker.containers["api-1"].networks == ["api"]


def test_a_container_that_up_has_not_recorded_yet_is_not_undeclared(pair: Pair) -> None:
    with_user(pair)
    for name in ("web-2", "api-2", "web-before-1", "web-after-2-3", "other-2", "web-x"):
        pair.docker.add(name, networks=["web.api"])
    assert pair.facts()["others"] == {"other-2": "joined", "web-x": "joined"}
    pair.put()
    assert "web.api" in pair.docker.containers["web-2"].networks


def test_a_server_without_a_record_is_not_disconnected(pair: Pair) -> None:
    pair.docker.add("api-9", networks=["api"])
    pair.put("api-9")
    assert pair.put("api-9")["steps"] == []
    assert set(pair.docker.members("web.api")) == {"id-api-9"}


def test_a_release_of_the_server_that_ends_with_the_link_is_no_fault(pair: Pair) -> None:
    with_user(pair)
    pair.docker.containers.pop("web")

    def end(words: list[str]) -> None:
        if words[:2] == ["network", "disconnect"]:
            pair.docker.containers.pop("api-1", None)

    pair.docker.on_call = end
    assert pair.remove()["done"] == "removed"


def test_a_container_of_the_user_that_does_not_end_is_named(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_user(pair)
    monkeypatch.setattr(links, "_TIMEOUT", -9.9)
    error = pair.client.refused("remove", LINK, "web.api", pair.desired())
    assert "the network web.api still has containers: web" in error.message
    assert set(pair.docker.members("web.api")) == {"id-api-1", "id-web"}


def test_a_link_with_another_container_in_it_stays_and_the_error_names_it(pair: Pair) -> None:
    pair.put()
    pair.docker.add("toolbox", networks=["web.api"])
    error = pair.client.refused("remove", LINK, "web.api", pair.desired())
    assert "the network web.api still has containers: toolbox" in error.message
    assert "web.api" in pair.docker.networks
