from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from portcullis.agent.store import Store
from portcullis.components.containers.on_host.container_states import ContainerStates
from portcullis.components.previews.on_host.preview import declared
from tests.components.containers.fake_docker import FakeDocker
from tests.on_host import STACK, Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portcullis.agent.errors import AgentError
    from portcullis.agent.machine import Machine


@dataclass
class State:
    """A client for the state of one container."""

    client: Client
    docker: FakeDocker

    def desired(self, name: str = "api-1", **more: Any) -> dict[str, Any]:
        return {
            "item": "api", "container": name, "container_id": f"id-{name}", "pids": "256",
            "expects": "healthy", "within": "0.2", **more,
        }  # fmt: skip

    def put(self, name: str = "api-1", **more: Any) -> dict[str, Any]:
        return self.client.on("put", "containers.container_states", "api", self.desired(name, **more))

    def refused(self, name: str = "api-1", **more: Any) -> AgentError:
        return self.client.refused("put", "containers.container_states", "api", self.desired(name, **more))

    def job(self, **more: Any) -> dict[str, Any]:
        return {"expects": "exited", **more}

    def facts(self, name: str = "api-1", expects: str = "healthy") -> dict[str, Any]:
        return self.client.look("containers.container_states", "api", {"container": name, "expects": expects})


@pytest.fixture
def state(machine: Machine) -> Iterator[State]:
    docker = FakeDocker()
    client = Client(dataclasses.replace(machine, run=docker))
    yield State(client, docker)
    client.close()


def test_the_preview_key_sees_only_declared_containers_without_a_secret(
    state: State, machine: Machine
) -> None:
    state.docker.add("api-1")
    state.put()
    assert declared(machine, STACK) == {"id-api-1"}
    assert declared(machine, "web/dev") == set()
    state.put(secret=True)
    assert declared(machine, STACK) == set()
    state.put()
    store = Store(machine.state)
    (record,) = store.all()
    record.extra.clear()  # a record of an earlier version has no such notes
    store.save(record)
    assert declared(machine, STACK) == set()


def test_a_secret_is_noted_before_the_wait_for_a_container(state: State, machine: Machine) -> None:
    state.docker.add("api-1")
    state.put()
    state.docker.add("api-1", health="starting")
    seen: list[set[str]] = []
    look = ContainerStates._look

    def watched(self: ContainerStates, name: str) -> Any:
        seen.append(declared(machine, STACK))
        return look(self, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ContainerStates, "_look", watched)
        state.refused(secret=True)
    assert seen
    assert set().union(*seen) == set()
    assert declared(machine, STACK) == set()


def test_the_record_keeps_the_ids_of_former_containers(state: State, machine: Machine) -> None:
    def noted() -> tuple[str, list[str]]:
        (record,) = Store(machine.state).all()
        return record.extra["container"], record.extra.get("former containers", [])

    for name in ("api-1", "api-2"):
        state.docker.add(name)
        state.put(name)
        state.put(name)
    assert noted() == ("id-api-2", ["id-api-1"])
    state.docker.add("api-3", health="unhealthy")
    state.refused("api-3")
    assert noted() == ("id-api-3", ["id-api-2", "id-api-1"])
    for number in range(4, 40):
        state.docker.add(f"api-{number}")
        state.put(f"api-{number}")
    assert noted() == ("id-api-39", [f"id-api-{number}" for number in range(38, 18, -1)])


def test_the_limit_is_set_and_a_healthy_container_needs_no_wait(state: State) -> None:
    state.docker.add("api-1")
    done = state.put()
    assert [step["property"] for step in done["steps"]] == ["pids"]
    assert state.docker.did("update") == [["update", "--pids-limit", "256", "api-1"]]
    assert done["facts"].pop("revision")
    assert done["facts"] == {
        "exists": True,
        "container_id": "id-api-1",
        "pids": "256",
        "status": "healthy",
    }
    assert state.put()["steps"] == []


OWN = {"networks": {"api": "joined", "redis-shared": "joined"}}


def test_changed_networks_are_restored_while_the_container_runs(state: State) -> None:
    fake = state.docker.add("api-1", networks=["api", "redis-shared"])
    state.put(**OWN)
    assert state.docker.did("connect") == state.docker.did("disconnect") == []
    fake.networks = ["api", "bridge"]
    spec = {"container": "api-1", "expects": "healthy", "networks": True}
    found = state.client.look("containers.container_states", "api", spec)["networks"]
    assert found == {"api": "joined", "bridge": "joined"}
    done = state.put(**OWN)
    assert [(step["property"], step["have"], step["want"]) for step in done["steps"]] == [
        ("networks.bridge", "joined", "absent"),
        ("networks.redis-shared", "absent", "joined"),
    ]
    assert ["network", "disconnect", "bridge", "api-1"] in state.docker.ran
    assert ["network", "connect", "--alias", "api", "redis-shared", "api-1"] in state.docker.ran
    assert sorted(fake.networks) == ["api", "redis-shared"]
    assert [words for words in state.docker.ran if words[0] in ("stop", "restart", "rm")] == []


def test_undeclared_networks_are_left_alone(state: State) -> None:
    state.docker.add("api-1", networks=["bridge"])
    assert state.put()["facts"].get("networks") is None
    assert "networks" not in [step["property"].partition(".")[0] for step in state.put()["steps"]]


def test_a_changed_limit_is_drift(state: State) -> None:
    fake = state.docker.add("api-1")
    state.put()
    fake.pids = -1
    assert state.facts()["pids"] == "0"
    assert [step["property"] for step in state.put()["steps"]] == ["pids"]
    assert fake.pids == 256


@pytest.mark.parametrize(
    ("refusals", "restarts", "code"),
    [(2, 0, "unhealthy"), (3, 0, "docker"), (4, 2, "unhealthy"), (99, 8, "unhealthy"), (99, 2, "unhealthy")],
)
def test_a_container_that_ends_as_it_gets_its_limit_is_told_by_its_log(
    state: State, refusals: int, restarts: int, code: str
) -> None:
    """Docker refuses a limit until it notices that the program has ended."""
    log = "/run/a: Read-only file system"
    state.docker.add("api-1", health="unhealthy", refusals=refusals, restarts=restarts, log=log)
    error = state.refused()
    assert error.code == code
    assert ("it writes to /run/a" in error.message) == (code == "unhealthy")


def test_it_waits_until_the_container_is_healthy(state: State) -> None:
    state.docker.add("api-1", health="starting", after=[{}, {}, {}, {"health": "healthy"}])
    assert [step["property"] for step in state.put(within="60")["steps"]] == ["pids", "status"]


def test_the_error_says_why_a_container_does_not_become_healthy(state: State) -> None:
    state.docker.add("api-1", health="unhealthy", said="refused\n", log="no database\nbye\n")
    error = state.refused()
    assert error.message == "the container api-1 is not healthy after 0 s: unhealthy"
    assert error.detail == "its last health check printed:\nrefused\nits log ends with:\nno database\nbye"
    assert (error.code, error.prop) == ("unhealthy", "status")


def test_the_error_names_the_setting_that_the_container_lacks(state: State) -> None:
    log = "(30)Read-only file system: AH00099: could not create /run/apache2/apache2.pid.a8B3d1\n"
    want = (
        "; it writes to /run/apache2/apache2.pid.a8B3d1, but its root file system is read-only: "
        "add `tmpfs: {/run/apache2: 16}`"
    )
    state.docker.add("api-1", health="unhealthy", log=log)
    error = state.refused()
    assert error.message == f"the container api-1 is not healthy after 0 s: unhealthy{want}"
    assert error.detail == f"its log ends with:\n{log.strip()}"
    assert len(state.docker.did("logs")) == 1
    state.docker.add("job-1", health="", status="exited", code=1, log=log)
    assert state.refused("job-1", **state.job()).message == f"the job job-1 failed: exited 1{want}"


def test_the_output_in_the_error_is_bounded(state: State) -> None:
    log = "".join(f"{number} {'x' * 400}\n" for number in range(100))
    state.docker.add("api-1", health="unhealthy", log=log)
    lines = state.refused().detail.splitlines()
    assert len(lines) == 41
    assert max(map(len, lines)) == 300
    assert lines[-1].startswith("99 ")


@pytest.mark.parametrize(
    ("fake", "words"),
    [
        ({"status": "restarting", "code": 3, "restarts": 5}, "restarting 3; Docker restarted it 5 times"),
        (
            {"status": "restarting", "code": 132},
            "restarting 132; its program ended at an illegal instruction",
        ),
        ({"status": "running", "health": "unhealthy", "oom": True}, "than its limit: raise `memory`"),
        ({"status": "paused"}, "paused"),
    ],
)
def test_the_error_says_what_is_wrong(state: State, fake: dict[str, Any], words: str) -> None:
    state.docker.add("api-1", **fake)
    assert words in state.refused().message


def test_a_container_that_keeps_crashing_fails_before_the_time_is_over(state: State) -> None:
    state.docker.add("api-1", status="restarting", code=1, after=[{}, {}, {"restarts": 8}])
    assert "restarted it 8 times" in state.refused(within="100").message


def test_an_interrupted_deployment_stops_waiting(state: State) -> None:
    state.docker.add("api-1", health="starting")
    state.client.machine.alone.set()
    assert state.refused(within="100").code == "interrupted"


def test_a_stopped_container_is_started(state: State) -> None:
    state.docker.add("api-1", status="exited")
    state.put()
    assert state.docker.did("start") == [["start", "api-1"]]


def test_a_missing_container_or_another_one_of_its_name_is_refused(state: State) -> None:
    assert "there is no container api-1" in state.refused().message
    state.docker.add("api-1")
    assert "is not the declared one" in state.refused(container_id="other").message
    assert state.docker.did("update") == []


def test_a_missing_container_is_a_fact_and_a_silent_docker_is_an_error(state: State) -> None:
    assert state.facts() == {"exists": False}
    state.docker.down = True
    with pytest.raises(KeyError):
        state.facts()
    (found,) = state.client.ask(
        "survey",
        items=[
            {
                "kind": "containers.container_states",
                "id": "api",
                "spec": {"container": "api-1", "expects": "healthy"},
            }
        ],
        index=False,
    )["items"]
    assert found["error"]["code"] == "unreadable"
    assert "Cannot connect" in found["error"]["detail"]


def test_a_job_that_ended_well_needs_no_further_step(state: State) -> None:
    state.docker.add("job-1", health="", after=[{}, {}, {}, {"status": "exited"}])
    done = state.put("job-1", **state.job(within="60"))
    assert [step["property"] for step in done["steps"]] == ["pids", "status"]
    assert done["facts"]["status"] == "exited 0"
    assert done["facts"]["pids"] == ""
    assert state.put("job-1", **state.job())["steps"] == []


def test_a_job_that_ended_before_the_first_look_is_not_run_again(state: State) -> None:
    state.docker.add("job-1", health="", status="exited")
    assert state.put("job-1", **state.job())["steps"] == []
    assert state.docker.did("start") == []


def test_a_failed_job_says_why_and_is_removed_so_that_the_next_up_repeats_it(state: State) -> None:
    state.docker.add("job-1", health="", status="exited", code=4, log="table is locked\n")
    error = state.refused("job-1", **state.job())
    assert error.message == "the job job-1 failed: exited 4"
    assert error.detail == "its log ends with:\ntable is locked"
    assert state.docker.containers == {}
    assert state.docker.did("start") == []


def test_a_job_that_takes_too_long_is_not_removed(state: State) -> None:
    state.docker.add("job-1", health="")
    assert (
        "the container job-1 is not done after 0 s: running" in state.refused("job-1", **state.job()).message
    )
    assert "job-1" in state.docker.containers


def test_many_containers_need_one_call_to_docker(state: State) -> None:
    for name in ("a", "b"):
        state.docker.add(name)
    items = [
        {"kind": "containers.container_states", "id": name, "spec": {"container": name, "expects": "healthy"}}
        for name in ("a", "b", "c")
    ]
    found = state.client.ask("survey", items=items, index=False)["items"]
    assert [one["facts"]["exists"] for one in found] == [True, True, False]
    assert len(state.docker.did("inspect")) == 1


def test_a_delete_leaves_the_container_to_its_owner(state: State) -> None:
    fake = state.docker.add("api-1")
    state.put()
    assert state.client.on("remove", "containers.container_states", "api", state.desired())["done"] == "kept"
    assert fake.pids == 256
