"""The resources that `Redis` declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pulumi
import pytest

from portcullis.components import Redis, RedisArgs, StoreUse
from portcullis.components.containers import images
from portcullis.config.faults import Fault, SettingsError
from tests.components.test_components import docker_engine, existing_engine
from tests.previews import unknown_in

if TYPE_CHECKING:
    from tests.recording_engine import Deploy, Engine

IMAGE = "redis:8@sha256:" + "2" * 64
ACL = "/etc/portcullis/redis/redis/users.acl"


class Ca:
    """An authority that signs every requested certificate."""

    def __init__(self, asked: list[tuple[Any, ...]]) -> None:
        self.asked = asked
        self.ca_pem = pulumi.Output.from_input("CA")

    def server(self, *asked: Any) -> tuple[pulumi.Output[str], pulumi.Output[str]]:
        self.asked.append(asked)
        return pulumi.Output.from_input("CERTIFICATE"), pulumi.Output.secret("KEY")


def redis(**args: Any) -> Redis:
    wiring = {key: args.pop(key) for key in ("engine", "ca", "bridge", "overcommit") if key in args}
    engine = wiring.pop("engine", None) or docker_engine()
    return Redis("redis", RedisArgs(**{"image": IMAGE, **args}), engine=engine, **wiring)


def container(engine: Engine) -> dict[str, Any]:
    inputs: dict[str, Any] = engine.one("container:Container").inputs
    return inputs


def mounts(engine: Engine) -> dict[str, str]:
    return {mount["target"]: mount.get("source", mount["type"]) for mount in container(engine)["mounts"]}


def test_its_ops_user_comes_before_its_credential_and_before_the_server(deploy: Deploy) -> None:
    engine = deploy(redis)
    ops = engine.one(":RedisUser")
    assert (ops.inputs["acl"], ops.inputs["address"], ops.inputs["gid"]) == (ACL, "172.17.0.1:6379", "999")
    assert ops.inputs["keeper"] is True
    assert ops.inputs["ops"] == "/etc/portcullis/secrets/redis-secrets/ops"
    assert "password" in ops.secret
    assert "redis-folder" in ops.after
    assert "redis-user-ops" in engine.before("redis-secrets-ops")
    assert engine.before("redis-container") >= {
        "redis-secrets-ops", "redis-config", "redis-user-ops", "redis-overcommit", "redis-volume-redis-data",
    }  # fmt: skip


def test_a_destroy_removes_its_users_before_docker(deploy: Deploy) -> None:
    engine = deploy(lambda: redis().uses("api"))
    for user in ("redis-user-ops", "redis-user-api"):
        assert engine.before(user) >= {"web1-docker-packages", "web1-docker-service"}


def test_its_container(deploy: Deploy) -> None:
    engine = deploy(lambda: redis(memory=512))
    inputs = container(engine)
    assert (inputs["command"], inputs["user"]) == (["redis-server", "/etc/redis/redis.conf"], "999:999")
    assert inputs["ports"] == [{"ip": "172.17.0.1", "internal": 6379, "external": 6379, "protocol": "tcp"}]
    assert (inputs["memory"], inputs["readOnly"]) == (512, True)
    assert mounts(engine) == {
        "/tmp": "tmpfs",  # noqa: S108 - inside a container
        "/data": "redis-data",
        "/etc/redis": "/etc/portcullis/redis/redis",
        "/run/secrets": "/etc/portcullis/secrets/redis-secrets",
    }
    assert "maxmemory 384mb" in engine.one(":File", "redis-config").inputs["content"]
    assert "envs" not in inputs or not inputs["envs"]
    volume = engine.one(":Volume")
    assert volume.options.retainOnDelete
    assert not volume.options.protect


def test_a_cache_keeps_nothing_and_makes_no_volume(deploy: Deploy) -> None:
    engine = deploy(lambda: redis(persistence="none", host_port=6400, user="999:1000"))
    assert not engine.of(":Volume")
    assert mounts(engine)["/data"] == "tmpfs"
    content = engine.one(":File", "redis-config").inputs["content"]
    assert "maxmemory-policy allkeys-lru" in content
    assert "appendonly no" in content
    ops = engine.one(":RedisUser").inputs
    assert (ops["address"], ops["gid"]) == ("172.17.0.1:6400", "1000")


def test_optional_arguments_reach_the_resources(deploy: Deploy) -> None:
    engine = deploy(lambda: redis(eviction="volatile-ttl", protect=True, overcommit=False, rotate="2026-12"))
    assert "maxmemory-policy volatile-ttl" in engine.one(":File", "redis-config").inputs["content"]
    assert engine.one(":Volume").options.protect
    assert not engine.of(":Sysctl")
    assert engine.one(":GeneratedSecret").inputs["rotate"] == "2026-12"


def test_an_app_gets_its_own_user_and_files_with_its_login(deploy: Deploy) -> None:
    uses: list[StoreUse] = []
    found: dict[str, object] = {}

    def program() -> None:
        made = redis(rotate="2026-12")
        uses.extend([made.uses("api"), made.uses("worker")])

        async def look() -> None:
            for name, content in uses[0].files.items():
                found[name] = (await content.future(), await content.is_secret())

        pulumi.Output.from_input(look())

    engine = deploy(program)
    api, _, worker = sorted(engine.of(":RedisUser"), key=lambda user: user.name)
    assert (api.name, worker.name) == ("redis-user-api", "redis-user-worker")
    assert api.inputs["rules"] == "~* &* +@all -@admin -@dangerous +info"
    assert "keeper" not in api.inputs
    assert "redis-user-ops" in api.after
    assert {name for name, (_, secret) in found.items() if secret} == {"redis_url", "redis_password"}
    assert api.inputs["user"] == "api-1"
    assert found["redis_user"] == ("api-1", False)
    assert found["redis_url"] == (f"redis://api-1:{api.inputs['password']}@redis:6379/0", True)


def test_with_tls_it_speaks_tls_only(deploy: Deploy) -> None:
    asked: list[tuple[Any, ...]] = []
    names: list[str] = []

    def program() -> None:
        names.extend(redis(tls=True, ca=Ca(asked)).uses("api").files)

    engine = deploy(program)
    assert asked == [("redis", ["redis", "localhost"], ["172.17.0.1", "127.0.0.1"])]
    assert "tls-port 6379" in engine.one(":File", "redis-config").inputs["content"]
    assert {"redis-secrets-ca.crt", "redis-secrets-server.crt", "redis-secrets-server.key"} <= {
        file.name for file in engine.of(":File")
    }
    assert "content" in engine.one(":File", "redis-secrets-server.key").secret
    assert "--tls --cacert /run/secrets/ca.crt" in container(engine)["healthcheck"]["tests"][-1]
    for user in engine.of(":RedisUser"):
        assert user.inputs["ca"] == "/etc/portcullis/secrets/redis-secrets/ca.crt"
    assert sorted(names) == ["redis_ca.crt", "redis_password", "redis_url", "redis_user"]


def test_with_tls_and_no_authority_it_makes_its_own(deploy: Deploy) -> None:
    engine = deploy(lambda: redis(tls=True))
    assert engine.one(":InternalCa").name == "redis-ca"
    assert engine.one(":InternalCa").parent == "redis"
    assert "redis-secrets-server.crt" in {file.name for file in engine.of(":File")}
    assert not deploy(lambda: redis(ca=Ca([]))).of(":InternalCa"), "an authority alone changes nothing"


def test_it_runs_on_an_engine_that_the_host_already_has(deploy: Deploy) -> None:
    engine = deploy(lambda: redis(engine=existing_engine(bind_address="10.9.0.1")))
    assert engine.one(":RedisUser").inputs["address"] == "10.9.0.1:6379"
    assert container(engine)["ports"][0]["ip"] == "10.9.0.1"
    assert not {"Packages", "Service"} & {r.type.rpartition(":")[2] for r in engine.declared}
    assert not [r.name for r in engine.declared if str(r.inputs.get("path", "")).startswith("/etc/docker")]


def test_the_registry_is_asked_for_the_digest_of_its_tag(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "resolve", lambda asked, *_, **__: dict.fromkeys(asked, IMAGE))
    assert deploy(lambda: redis(image="redis:8")).one(":RemoteImage").inputs["name"] == IMAGE

    def refuse(asked: dict[str, str], *_: object, **__: object) -> dict[str, str]:
        raise SettingsError(Fault(at, "there is no such image") for at in asked)

    monkeypatch.setattr(images, "resolve", refuse)
    with pytest.raises(ValueError, match=r"^RedisArgs\.image: there is no such image$"):
        Redis("redis", RedisArgs(), engine=cast("Any", None))


def test_every_fault_is_reported_at_once() -> None:
    with pytest.raises(ValueError, match="memory") as caught:
        RedisArgs(image="redis", memory=8, persistence="rdb", eviction="lru", host_port=0, user="redis")
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        f"RedisArgs.{name}" for name in ("image", "memory", "persistence", "eviction", "host_port", "user")
    ]


def test_a_preview_does_not_know_secrets_and_user_names_and_knows_all_else() -> None:
    assert unknown_in(lambda: redis(tls=True, ca=Ca([])).uses("api")) == {
        "redis-container.image",
        "redis-container.labels[0].value",
        "redis-container.labels[1].value",
        "redis-secrets-ops.content",
        "redis-user-api.password",
        "redis-user-api.user",
        "redis-user-ops.password",
        "redis-user-ops.user",
    }
