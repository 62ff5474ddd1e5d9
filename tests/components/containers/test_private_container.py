"""Each argument of a `PrivateContainer`, and the property of the Docker container that it sets."""

from __future__ import annotations

from hashlib import sha256
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_docker as docker
import pytest

from portcullis.components import JobsArgs, SecretFiles, StoreUse
from portcullis.components.containers import images
from portcullis.config.faults import Fault, SettingsError
from tests.components.test_components import (
    IMAGE,
    WEB1,
    container,
    container_args,
    docker_engine,
    existing_engine,
)
from tests.previews import unknown_in
from tests.recording_engine import _MADE_UP, HOST

if TYPE_CHECKING:
    from pathlib import Path

    from tests.recording_engine import Deploy, Engine

OWNER = {"label": "portcullis.stack", "value": "portcullis/test"}
TMP = "/tmp"  # noqa: S108 - inside a container


def made(name: str) -> pulumi.Resource:
    """Make any resource that others can depend on."""
    return docker.Network(name)


def test_it_joins_the_networks_of_others_beside_its_own(deploy: Deploy) -> None:
    def program() -> None:
        store = docker.Network("store", name="redis")
        container(networks=(store,))

    engine = deploy(program)
    networks = engine.one("container:Container").inputs["networksAdvanced"]
    assert networks == [{"name": "api"}, {"name": "redis"}]
    joined = engine.one(":ContainerState").inputs["networks"]
    assert joined == {"api": "joined", "redis": "joined"}
    assert "store" in engine.before("api-container")


def test_containers_that_use_it_join_an_internal_network(deploy: Deploy) -> None:
    """Through a network that leads outside, an app could bypass the rules for its own interface."""

    def program() -> None:
        store = container("redis", shared=True)
        assert store.networks == (store.network, store.shared)
        app = container("web", engine=store._engine, networks=(store.shared,))
        with pytest.raises(ValueError, match="web has no shared network"):
            _ = app.shared

    engine = deploy(program)
    shared = engine.one("network:Network", "redis-shared").inputs
    assert shared == {"name": "redis-shared", "internal": True, "labels": [OWNER]}
    assert engine.one("network:Network", "redis-network").inputs["labels"] == [OWNER]
    assert OWNER in engine.one("container:Container", "redis-container").inputs["labels"]
    names = {
        one: [network["name"] for network in engine.one("r:Container", one).inputs["networksAdvanced"]]
        for one in ("redis-container", "web-container")
    }
    assert names == {"redis-container": ["redis", "redis-shared"], "web-container": ["web", "redis-shared"]}


def test_secrets_are_a_folder_that_the_container_cannot_write_to(deploy: Deploy) -> None:
    def program() -> None:
        container(secrets=SecretFiles("api", {"token": "t"}, owner="999:999", host=WEB1))

    engine = deploy(program)
    assert engine.one("container:Container").inputs["mounts"] == [
        {"type": "tmpfs", "target": TMP},
        {
            "type": "bind",
            "source": "/etc/portcullis/secrets/api",
            "target": "/run/secrets",
            "readOnly": True,
        },
    ]
    assert "api-token" in engine.before("api-container")
    found = {"portcullis.command": "image", OWNER["label"]: OWNER["value"]}
    assert labels(engine) == found, "the creator of the folder decides what replaces the container"


def test_secrets_become_files_and_changed_content_replaces_the_container(deploy: Deploy) -> None:
    def program() -> None:
        store = container("store")
        use = StoreUse(store, {"redis_url": pulumi.Output.secret("planted-url")}, (made("user"),))
        secrets = {"token": pulumi.Output.secret("planted-token")}
        app = container(engine=store._engine, user="999", uses=[use, use], secrets=secrets)
        assert list(app.links) == ["store"], "each once"

    engine = deploy(program)
    files = {file.name: file for file in engine.of(":File") if file.name.startswith("api-secrets-")}
    assert set(files) == {"api-secrets-redis_url", "api-secrets-token"}
    assert all("content" in file.secret and file.inputs["owner"] == "999" for file in files.values())
    found = engine.one("container:Container", "api-container").inputs
    assert labels(engine, "api-container")["portcullis.refresh.secrets"] == "r1-r1"
    assert [network["name"] for network in found["networksAdvanced"]] == ["api", "api.store"]
    assert "planted" not in str(found)
    assert {"user", *files} <= engine.before("api-container")
    assert "user" not in engine.before("api-image"), "an image is pulled while a store starts"


NO_SERVER: Any = SimpleNamespace(alias="redis", host="web1")
"""For arguments that are refused before the server matters."""


def labels(engine: Engine, name: str = "") -> dict[str, str]:
    found = engine.one("container:Container", name).inputs["labels"]
    return {label["label"]: label["value"] for label in found}


@pytest.mark.parametrize(
    ("limit", "nofile", "given"),
    [(0, None, 65536), (524288, None, 65536), (20000, None, 20000), (524288, 100000, 100000), (0, 99, 99)],
)
def test_open_files_are_within_the_limit_of_the_host(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch, limit: int, nofile: int | None, given: int
) -> None:
    monkeypatch.setitem(_MADE_UP, f"{HOST}:EngineVersion", {"open_files": float(limit)})
    engine = deploy(lambda: container(nofile=nofile))
    found = engine.one("container:Container")
    assert found.inputs["ulimits"] == [
        {"name": "core", "soft": 0, "hard": 0}, {"name": "nofile", "soft": given, "hard": given},
    ]  # fmt: skip
    # An upgrade of ours replaces no container, and neither does another limit of the host.
    assert "ulimits" in found.options.ignoreChanges
    # What replaces a container is the number in the settings, whatever the host allows.
    assert labels(engine).get("portcullis.nofile") == (str(nofile) if nofile else None)


def test_a_number_above_the_limit_of_the_host_is_told(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setitem(_MADE_UP, f"{HOST}:EngineVersion", {"open_files": 20000})
    monkeypatch.setattr(pulumi.log, "warn", lambda text, *_: told.append(text))
    found = deploy(lambda: container(nofile=65536)).one("container:Container")
    assert found.inputs["ulimits"][1]["hard"] == 20000
    (line,) = told
    assert line == (
        "web1: nofile of api is 65536, but a process on this host may open 20000 files at most, so a new "
        "container gets 20000. Set nofile to 20000 or less"
    )


def test_it_runs_on_an_engine_that_the_host_already_has(deploy: Deploy) -> None:
    engine = deploy(lambda: container(engine=existing_engine(bind_address="10.9.0.1")))
    found = engine.one("container:Container")
    assert found.inputs["ports"][0]["ip"] == "10.9.0.1"
    # The daemon.json of such a host may add more options. The provider would count each as a difference.
    assert "logOpts" in found.options.ignoreChanges
    assert "logOpts" not in deploy(container).one("container:Container").options.ignoreChanges
    assert {r.provider for r in engine.declared if r.type.startswith("docker:")} == {"their-docker-provider"}
    # We declare no resource that somebody else manages. The first resource only reads.
    found_on_host = [r.type.rpartition(":")[2] for r in engine.declared if r.is_on_host]
    assert found_on_host == ["EngineVersion", "ContainerState"]


def test_networks_declare_the_options_that_an_existing_engine_adds(deploy: Deploy) -> None:
    """Docker's provider replaces a network if Docker reports more options than the program declares."""
    theirs = {"com.docker.network.driver.mtu": "1450"}
    engine = deploy(lambda: container(engine=existing_engine(network_options=theirs), bridge="br-api"))
    assert engine.one("network:Network").inputs["options"] == {
        **theirs,
        "com.docker.network.bridge.host_binding_ipv4": "172.17.0.1",
        "com.docker.network.bridge.name": "br-api",
    }
    ours = deploy(container).one("network:Network").inputs["options"]
    assert set(ours) == {"com.docker.network.bridge.host_binding_ipv4"}


def test_the_registry_is_asked_for_the_digest_of_a_tag(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"acme/api:1.4": IMAGE}
    monkeypatch.setattr(
        images, "resolve", lambda asked, *_, **__: {at: answers[of] for at, of in asked.items()}
    )
    engine = deploy(lambda: container(image="acme/api:1.4"))
    assert engine.one(":RemoteImage").inputs["name"] == IMAGE
    assert engine.one(":ContainerState").inputs["image"] == IMAGE

    def refuse(asked: dict[str, str], *_: object, **__: object) -> dict[str, str]:
        raise SettingsError(Fault(at, "there is no such image") for at in asked)

    monkeypatch.setattr(images, "resolve", refuse)
    with pytest.raises(ValueError, match=r"^PrivateContainerArgs\.image: there is no such image$"):
        container_on_nothing(image="acme/api:1.5")


def test_volumes_survive_the_container_and_the_stack(deploy: Deploy) -> None:
    engine = deploy(lambda: container(volumes={"api-data": "/data"}))
    volume = engine.one("volume:Volume", "api-volume-api-data")
    assert volume.inputs == {"name": "api-data"}
    assert volume.options.retainOnDelete is True
    assert volume.options.protect is False
    assert {"type": "volume", "source": "api-data", "target": "/data"} in engine.one(
        "container:Container"
    ).inputs["mounts"]
    assert "web1-docker-service" in engine.before(volume.name)
    assert "api-volume-api-data" in engine.before("api-container")


def test_volumes_can_be_protected(deploy: Deploy) -> None:
    engine = deploy(lambda: container(volumes={"api-data": "/data"}, protect_volumes=True))
    assert engine.one("volume:Volume").options.protect is True
    assert engine.one("container:Container").options.protect is False


def test_mounts_of_the_host_are_read_only_and_folders_in_memory_have_a_size(deploy: Deploy) -> None:
    engine = deploy(lambda: container(binds={"/srv/ca.pem": "/ca.pem"}, tmpfs={TMP: 8, "/run/app": 1}))
    inputs = engine.one("container:Container").inputs
    assert inputs["mounts"] == [
        {"type": "tmpfs", "target": "/run/app", "tmpfsOptions": {"sizeBytes": 1 << 20}},
        {"type": "tmpfs", "target": TMP, "tmpfsOptions": {"sizeBytes": 8 << 20}},
        {"type": "bind", "source": "/srv/ca.pem", "target": "/ca.pem", "readOnly": True},
    ]
    assert not inputs.get("volumes"), "drift in `volumes` would not show"


def test_files_of_the_project_are_mounted_and_a_change_replaces_the_container(
    deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()
    content = "größe = 1\r\n"
    (tmp_path / "conf/app.ini").write_bytes(content.encode())
    engine = deploy(lambda: container(project_files={"conf/app.ini": "/etc/app.ini"}))
    path = f"/etc/portcullis/files/api/{sha256(content.encode()).hexdigest()[:12]}-conf+app.ini"
    assert engine.one("container:Container").inputs["mounts"][-1] == {
        "type": "bind",
        "source": path,
        "target": "/etc/app.ini",
        "readOnly": True,
    }
    file = engine.one(":File", "api-file-conf+app.ini")
    assert file.inputs["content"] == content
    assert (file.inputs["path"], file.inputs["mode"]) == (path, "0644")
    assert labels(engine)["portcullis.refresh.project-files"] == "r1"
    assert file.name in engine.before("api-container")


def test_the_root_file_system_can_be_writable(deploy: Deploy) -> None:
    assert deploy(container).one("container:Container").inputs["readOnly"] is True
    assert deploy(lambda: container(read_only=False)).one("container:Container").inputs["readOnly"] is False


def test_a_volume_can_replace_the_folder_tmp(deploy: Deploy) -> None:
    engine = deploy(lambda: container(volumes={"scratch": TMP}))
    mounts = engine.one("container:Container").inputs["mounts"]
    assert mounts == [{"type": "volume", "source": "scratch", "target": TMP}]


def test_the_provider_and_docker_stop_give_it_time_to_end(deploy: Deploy) -> None:
    inputs = deploy(lambda: container(stop_grace=45)).one("container:Container").inputs
    assert inputs["destroyGraceSeconds"] == inputs["stopTimeout"] == 45


@pytest.mark.parametrize(("cpus", "read"), [("1", "1.0"), ("0.50", "0.5"), ("10", "10.")])
def test_its_cpus_are_spelled_as_the_provider_reads_them_back(deploy: Deploy, cpus: str, read: str) -> None:
    args = {"cpus": cpus, "jobs": JobsArgs(before=("migrate",))}
    engine = deploy(lambda: container(**args))
    assert [one.inputs["cpus"] for one in engine.of("r:Container")] == [read, read]
    release = engine.one(":Release").inputs
    assert release["cpus"] == read
    assert release["defined_by"]["cpus"] == f'"{read}"', "1 and 1.0 are one release"


def test_it_waits_for_its_dependencies_and_the_engine(deploy: Deploy) -> None:
    engine = deploy(lambda: container(opts=pulumi.ResourceOptions(depends_on=[made("store")])))
    assert {"store", "web1-docker-service"} <= engine.before("api-container")


def test_texts_that_replace_the_container_are_labels(deploy: Deploy) -> None:
    engine = deploy(lambda: container(refresh={"secrets": "2", "config": "r1"}))
    assert (
        labels(engine).items()
        >= {"portcullis.refresh.config": "r1", "portcullis.refresh.secrets": "2"}.items()
    )
    assert set(labels(deploy(container))) == {"portcullis.command", OWNER["label"]}


def test_removing_the_command_replaces_the_container(deploy: Deploy) -> None:
    """Docker's provider sees no difference between the image's command and a command that was never set."""
    with_one, without = deploy(lambda: container(command=("x",))), deploy(container)
    assert "command" not in without.one("container:Container").inputs, "we do not know the image's command"
    assert labels(with_one) != labels(without)


def test_two_containers_of_one_host_have_different_names(deploy: Deploy) -> None:
    def program() -> None:
        engine = docker_engine()
        for name in ("a", "b"):
            container(name, engine=engine, host_port=None, volumes={f"{name}-d": "/d"})

    names = [(r.type, r.name) for r in deploy(program).declared]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"volumes": {"a b": "/data"}}, "volumes.a b: .* is not a name for a volume"),
        ({"volumes": {"data": "data"}}, r"volumes.data: .* is not a path inside a container"),
        ({"volumes": {"data": "/data/../x"}}, r"volumes.data: .* is not a path inside a container"),
        ({"volumes": {"data": "/usr/bin"}}, r"volumes.data: .* belongs to the system"),
        ({"volumes": {"aa": "/d", "bb": "/d"}}, "is mounted twice"),
        ({"volumes": {"aa": "/d"}, "tmpfs": {"/d": 1}}, "tmpfs./d: .* is mounted twice, by volumes too"),
        ({"tmpfs": {"/run/secrets": 1}}, "tmpfs./run/secrets: .* is reserved for the container's secrets"),
        ({"binds": {"/run/docker.sock": "/s"}}, "binds.* is a socket that gives root"),
        ({"binds": {"/etc": "/s"}}, "binds.* belongs to the system"),
        ({"binds": {"/": "/s"}}, "binds.* is not a path on the host"),
        ({"binds": {"/proc/sys": "/s"}}, "binds.* belongs to the system"),
        ({"project_files": {"no.ini": "/x"}}, "project_files.no.ini: .* is not a file of the project"),
        ({"project_files": {"tests": "/x"}}, "project_files.tests: .* is not a file of the project"),
        ({"project_files": {".venv/bin/python": "/x"}}, "is not a file of the project"),
        ({"project_files": {"lab/../README.md": "/x"}}, "is not a path in the project"),
        ({"project_files": {"./README.md": "/x"}}, "is not a path in the project"),
        ({"project_files": {"/etc/hosts": "/x"}}, "is not a path in the project"),
        ({"project_files": {"README.md": "/x"}, "tmpfs": {"/x": 1}}, "is mounted twice, by tmpfs too"),
        ({"tmpfs": {"/var/run": 1}}, "may hide the container's secrets; write it below /run"),
        ({"volumes": {"aa": "/var/run/secrets/x"}}, "may hide the container's secrets; write it below /run"),
        ({"tmpfs": {"/x": 0}}, "tmpfs./x: 0 is not a size in MB"),
        ({"pids": 1}, "pids: 1 is not a number of processes"),
        ({"stop_grace": 0}, "stop_grace: 0 is not a number of seconds"),
        ({"volumes": {"a b": "data"}, "pids": 1}, "(?s)volumes.*volumes.*pids"),
    ],
)
def test_arguments_that_would_fail_on_the_host_are_refused(args: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        container_args(**args)


def container_on_nothing(**args: Any) -> None:
    """Make a container whose arguments are refused before the engine is needed."""
    container(engine=SimpleNamespace(host=WEB1), **args)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"secret_env": {"A B": "x"}}, r"secret_env\[0\]: .* is not a name for an environment variable"),
        (
            {"env": {"A": "1"}, "secret_env": {"A": "x"}},
            "secret_env: A is in PrivateContainerArgs.env too; keep one",
        ),
        ({"refresh": {"A B": "x"}}, r"PrivateContainer\.refresh\[0\]: .* is not a name for a label"),
        (
            {"user": "node", "secrets": {"a": "b"}},
            r"PrivateContainerArgs\.user: .* is a name, but the files",
        ),
        (
            {"user": "node", "uses": [StoreUse(NO_SERVER, {"a": pulumi.Output.secret("b")}, ())]},
            "user: .* is a name",
        ),
        (
            {"uses": [StoreUse(SimpleNamespace(alias="redis", host="web2"), {}, ())]},
            r"PrivateContainer\.uses: redis runs on web2; pass a server that runs on web1",
        ),
    ],
)
def test_what_the_container_gets_must_fit_its_arguments(args: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        container_on_nothing(**args)


def test_a_store_cannot_add_files_to_a_given_folder_of_secrets(deploy: Deploy) -> None:
    def program() -> None:
        folder = SecretFiles("api", {"token": "t"}, owner="999:999", host=WEB1)
        with pytest.raises(ValueError, match=r"PrivateContainer\.secrets: is a folder that this component"):
            container(secrets=folder, uses=[StoreUse(NO_SERVER, {"a": pulumi.Output.secret("b")}, ())])

    deploy(program)


def test_a_preview_does_not_know_the_id_of_the_image_and_knows_all_else() -> None:
    def program() -> None:
        container(
            secrets=SecretFiles("api", {"token": "t"}, owner="999:999", host=WEB1),
            volumes={"api-data": "/data"},
            binds={"/srv/a": "/a"},
            tmpfs={TMP: 8},
            networks=(docker.Network("store", name="store"),),
            refresh={"a": "b"},
            shared=True,
        )

    assert unknown_in(program) == {"api-container.image"}
