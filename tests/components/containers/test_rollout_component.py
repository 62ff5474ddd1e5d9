"""Tests the resources of releases and jobs: their order, their names, and what nginx waits for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from portcullis.components import (
    JobsArgs,
    PrivateContainer,
    ProxiedApp,
    ReverseProxy,
    ReverseProxyArgs,
    SiteArgs,
    StoreUse,
)
from portcullis.host import Host
from tests import recording_engine as made_up
from tests.components.test_components import IMAGE, container, container_args, docker_engine
from tests.previews import unknown_in

if TYPE_CHECKING:
    from tests.recording_engine import Deploy

NUMBER, PORT = 3, 28005
HERE = ProxiedApp("172.17.0.1", 2019)


@pytest.fixture(autouse=True)
def host_that_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the recording engine pick number and port, as a host would."""
    release = f"{made_up.HOST}:Release"
    monkeypatch.setitem(made_up._MADE_UP, release, {"number": float(NUMBER), "port": float(PORT)})


def rollout(**args: Any) -> PrivateContainer:
    return container(host_port=None, rollout=True, **args)


def test_a_release_gives_the_container_its_name_and_port(deploy: Deploy) -> None:
    engine = deploy(rollout)
    found = engine.one("r:Container")
    assert found.inputs["name"] == f"api-{NUMBER}"
    assert found.inputs["ports"][0]["external"] == PORT
    assert found.inputs["networksAdvanced"] == [{"name": "api", "aliases": ["api"]}]
    assert engine.before("api-container") >= {"api-release", "api-image"}


def test_the_next_container_starts_before_the_old_one_stops(deploy: Deploy) -> None:
    options = deploy(rollout).one("r:Container").options
    assert options.deleteBeforeReplace is False
    assert options.deleteBeforeReplaceDefined, "the provider's own default is true"


def test_with_a_fixed_port_the_old_container_stops_first(deploy: Deploy) -> None:
    engine = deploy(container)
    assert engine.one("r:Container").options.deleteBeforeReplace is True
    assert not engine.of(":Release")


def defined_by(deploy: Deploy, **args: Any) -> dict[str, Any]:
    inputs: dict[str, Any] = deploy(lambda: rollout(**args)).one(":Release").inputs["defined_by"]
    return inputs


@pytest.mark.parametrize(
    ("args", "part"),
    [
        ({"image": "other" + IMAGE}, "image"),
        ({"env": {"A": "1"}}, "envs"),
        ({"command": ("serve",)}, "command and labels"),
        ({"user": "1:1"}, "user"),
        ({"port": 9}, "port"),
        ({"cpus": "2"}, "cpus"),
        ({"volumes": {"data": "/data"}}, "mounts"),
        ({"tmpfs": {"/run/x": 1}}, "mounts"),
        ({"refresh": {"secrets": "2"}}, "labels"),
        ({"health_command": ("x",)}, "healthcheck"),
        ({"stop_grace": 20}, "stop_timeout"),
        ({"jobs": JobsArgs(before=("x",))}, "jobs"),
    ],
)
def test_each_argument_that_needs_a_new_container_is_part_of_the_release(
    deploy: Deploy, args: dict[str, Any], part: str
) -> None:
    before, after = defined_by(deploy), defined_by(deploy, **args)
    assert {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)} == set(
        part.split(" and ")
    )


def test_arguments_that_docker_changes_in_place_make_no_new_release(deploy: Deploy) -> None:
    before = defined_by(deploy)
    assert defined_by(deploy, memory=512) == before
    assert defined_by(deploy, pids=99, healthy_within=5) == before


def test_every_property_of_the_container_is_in_its_release_or_changes_in_place(deploy: Deploy) -> None:
    """A change of any other property would replace the container under its present name, which is taken."""
    engine = deploy(lambda: rollout(command=("x",), refresh={"a": "b"}))
    snake = {"".join(part.capitalize() if n else part for n, part in enumerate(key.split("_"))): key
             for key in engine.one(":Release").inputs["defined_by"]}  # fmt: skip
    elsewhere = {"name", "memory", "memorySwap", "restart", "destroyGraceSeconds", "ports"}
    assert set(engine.one("r:Container").inputs) - elsewhere <= set(snake)


def test_a_secret_variable_stays_secret_in_its_release(deploy: Deploy) -> None:
    engine = deploy(lambda: rollout(env={"TOKEN": pulumi.Output.secret("s3cr3t")}))
    assert engine.one(":Release").secret == {"defined_by"}
    assert {r.name for r in engine.declared if "s3cr3t" in str(r.inputs)} == {"api-release", "api-container"}
    assert all(r.secret for r in engine.declared if "s3cr3t" in str(r.inputs))


def test_jobs_run_one_after_the_other_before_and_after_the_container(deploy: Deploy) -> None:
    engine = deploy(
        lambda: container(
            env={"A": "1"},
            volumes={"data": "/d"},
            jobs=JobsArgs(before=("node migrate.js", ("x", "y")), after=("z",)),
        )
    )
    first = engine.one("r:Container", "api-before-1").inputs
    assert first["name"] == f"api-before-1-{NUMBER}"
    assert first["command"] == ["/bin/sh", "-c", "node migrate.js"]
    assert engine.one("r:Container", "api-before-2").inputs["command"] == ["x", "y"]
    assert "api-before-1-state" in engine.before("api-before-2")
    assert "api-before-2-state" in engine.before("api-container")
    assert "api-state" in engine.before("api-after-1")
    assert "api-state" not in engine.before("api-before-1")
    release = engine.one(":Release").inputs
    assert release["published"] is False, "the port is fixed, only the number is needed"
    assert "jobs" in release["defined_by"]


def test_a_job_has_the_properties_of_the_container_and_no_port(deploy: Deploy) -> None:
    engine = deploy(lambda: container(env={"A": "1"}, volumes={"data": "/d"}, jobs=JobsArgs(before=("x",))))
    job, app = (engine.one("r:Container", name).inputs for name in ("api-before-1", "api-container"))
    same = {
        "image", "envs", "user", "readOnly", "mounts", "capabilities", "securityOpts", "memory", "memorySwap",
        "cpus", "init", "ulimits", "networksAdvanced", "logOpts",
    }  # fmt: skip
    for key in same:
        assert job[key] == app[key], key
    assert job["restart"] == "no"
    assert job["mustRun"] is False
    assert "ports" not in job
    times = {key: value for key, value in app["healthcheck"].items() if key != "tests"}
    assert job["healthcheck"] == {"tests": ["NONE"], **times}, "Docker fills in the image's own times"
    state = engine.one(":ContainerState", "api-before-1-state").inputs
    assert (state["expects"], state["status"]) == ("exited", "exited 0")


def test_a_job_waits_for_stores_and_secrets(deploy: Deploy) -> None:
    def program() -> None:
        store = container("redis")
        use = StoreUse(store, {"redis_url": pulumi.Output.secret("x")}, (store,))
        container(engine=store._engine, jobs=JobsArgs(before=("x",)), user="1", uses=[use])

    engine = deploy(program)
    assert {"redis-state", "api.redis", "api-secrets-redis_url"} <= engine.before("api-before-1")
    networks = engine.one("r:Container", "api-before-1").inputs["networksAdvanced"]
    assert [network["name"] for network in networks] == ["api", "api.redis"]


def test_an_app_uses_another_one_whose_next_release_joins_when_it_is_ready(deploy: Deploy) -> None:
    def program() -> None:
        given = {"host_port": None, "rollout": True, "published": False, "jobs": JobsArgs(after=("x",))}
        api = container("api", **given)
        container("web", engine=api._engine, uses=[api])
        assert (api.port, api.address, api.alias) == (None, None, "api")

    engine = deploy(program)
    link = engine.one(":Link", "web.api")
    assert link.inputs == {
        "host": "web1", "user": "web", "server": "api", "container": "api-3",
        "container_id": "api-container-id",
        "network_type": "internal bridge", "member": "joined", "others": {},
    }  # fmt: skip
    assert {"api-state", "api-after-1-state"} <= engine.before("web.api")
    assert "web.api" in engine.before("web-container")
    server, user = (engine.one("r:Container", f"{name}-container").inputs for name in ("api", "web"))
    assert server["ports"] == []
    assert [network["name"] for network in server["networksAdvanced"]] == ["api"]
    assert [network["name"] for network in user["networksAdvanced"]] == ["web", "web.api"]
    states = {
        name: engine.one(":ContainerState", f"{name}-state").inputs["networks"] for name in ("api", "web")
    }
    assert states == {"api": {"api": "joined"}, "web": {"web": "joined", "web.api": "joined"}}
    release = engine.one(":Release", "api-release").inputs
    assert (release["published"], release["numbered"]) == (False, True)


def test_the_command_of_a_secret_job_is_marked_secret(deploy: Deploy) -> None:
    engine = deploy(lambda: container(secret=True, jobs=JobsArgs(before=("mine",))))
    assert "command" in engine.one("r:Container", "api-before-1").secret
    assert "defined_by" in engine.one(":Release").secret


def test_the_state_resource_has_the_process_limit_and_the_health(deploy: Deploy) -> None:
    engine = deploy(lambda: container(pids=99, healthy_within=30))
    state = engine.one(":ContainerState").inputs
    assert (state["pids"], state["within"], state["expects"]) == ("99", "30", "healthy")
    assert state["image"] == IMAGE
    assert state["item"] == "api"
    assert state["container_id"] == "api-container-id"


def moving_and_fixed(**moving_has: Any) -> None:
    """Declare nginx before two apps: one whose port changes, and one with a fixed port."""
    engine = docker_engine()
    moving = container("api", engine=engine, host_port=None, rollout=True, **moving_has)
    fixed = container("old", engine=engine, host_port=2019)
    apps = {
        name: ProxiedApp(engine.bind_address, app.port or 0, depends_on=[app])
        for name, app in (("api", moving), ("old", fixed))
    }
    sites = {
        "a.example": SiteArgs(app="api", tls="none"),
        "b.example": SiteArgs(app="old", tls="none"),
    }
    ReverseProxy("nginx", ReverseProxyArgs(drain=7), host=Host("web1"), sites=sites, apps=apps)


def test_nginx_switches_when_the_next_container_is_healthy_and_then_drains(deploy: Deploy) -> None:
    engine = deploy(moving_and_fixed)
    site = engine.one(":File", "nginx-a.example")
    assert f"server 172.17.0.1:{PORT};" in site.inputs["content"]
    assert "api-state" in engine.before("nginx-a.example")
    drain = engine.one(":Drain")
    assert drain.inputs["seconds"] == "7"
    assert drain.inputs["upstreams"]["a.example/"] == str(PORT)
    assert set(drain.inputs["upstreams"]) == {"a.example/"}
    assert "nginx-served" in engine.before("nginx-drain")


def test_without_an_app_whose_port_changes_there_is_no_drain(deploy: Deploy) -> None:
    given = {"sites": {"a.example": SiteArgs(app="api", tls="none")}, "apps": {"api": HERE}}
    engine = deploy(lambda: ReverseProxy("nginx", ReverseProxyArgs(), host=Host("web1"), **given))
    assert not engine.of(":Drain")


def test_an_image_may_come_from_another_resource(deploy: Deploy) -> None:
    engine = deploy(lambda: rollout(image=pulumi.Output.from_input(IMAGE)))
    assert engine.one(":RemoteImage").inputs["name"] == IMAGE


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: container_args(rollout=True, port=1, host_port=2), "rollout: does not work with a fixed"),
        (lambda: container_args(port=1, host_port=28500), "host_port: 28500 may be given to another app's"),
        (lambda: container_args(rollout=True), "rollout: needs the port that the app listens on"),
        (lambda: container_args(healthy_within=0), "healthy_within: 0 is not a number of seconds"),
        (
            lambda: JobsArgs(before=("", ())),
            r"(?s)\[0\]: \S+ is not a command.*\[1\]: .. is not a command",
        ),
        (lambda: JobsArgs(after=(("x", ""),)), "holds an empty word, which Docker's provider refuses"),
        (lambda: container_args(command=("x", "")), "command: holds an empty word"),
        (lambda: JobsArgs(within=0), "JobsArgs.within: 0 is not a number of seconds"),
        (lambda: ReverseProxyArgs(drain=-1), "drain: -1 is not a number of seconds"),
    ],
)
def test_impossible_arguments_are_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_a_preview_does_not_know_number_and_port_and_knows_all_else() -> None:
    assert unknown_in(lambda: moving_and_fixed(jobs=JobsArgs(before=("x",), after=("y",)))) == {
        "api-after-1-state.container",
        "api-after-1.image",
        "api-after-1.name",
        "api-before-1-state.container",
        "api-before-1.image",
        "api-before-1.name",
        "api-container.image",
        "api-container.name",
        "api-container.ports[0].external",
        "api-state.container",
        "nginx-a.example.content",
        "nginx-drain.upstreams.a.example/",
        "old-container.image",
    }


def test_only_a_limit_of_open_files_of_ones_own_makes_a_release(deploy: Deploy) -> None:
    """States of older versions have these limits, and an upgrade makes no release."""
    old = '[{"name": "core", "soft": 0, "hard": 0}]'
    owns: list[dict[str, Any]] = [{}, {"nofile": 4096}]
    defined = [
        deploy(lambda own=own: container(rollout=True, host_port=None, **own))
        .one(":Release")
        .inputs["defined_by"]
        for own in owns
    ]
    assert [one["ulimits"] for one in defined] == [old, old]
    named = {"label": "portcullis.nofile", "value": "4096"}
    assert [named in json.loads(one["labels"]) for one in defined] == [False, True]
