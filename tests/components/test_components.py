"""Tests which resources the components declare."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from portcullis.components import (
    DockerEngine,
    DockerEngineArgs,
    ExistingDockerEngine,
    HardenedHost,
    JobsArgs,
    PoolArgs,
    PrivateContainer,
    PrivateContainerArgs,
    ProxiedApp,
    RegistryArgs,
    ReverseProxy,
    ReverseProxyArgs,
    SiteArgs,
    connections,
)
from portcullis.components.host.stack import load
from portcullis.host import Host
from tests.config.test_settings import IMAGE, KEY, smallest
from tests.previews import unknown_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.recording_engine import Deploy, Engine


WEB1 = Host("web1", os="debian-13")
_WIRING = ("engine", "login", "networks", "uses", "secret_env", "secrets", "refresh", "secret", "opts")


def docker_engine(*, reached: Sequence[str] = (), **args: Any) -> DockerEngine:
    return DockerEngine("web1-docker", DockerEngineArgs(**args), host=WEB1, reached=reached)


def container(name: str = "api", **args: Any) -> PrivateContainer:
    given = {"port": 8080, "host_port": 2019} | args
    wiring = {key: given.pop(key) for key in _WIRING if key in given}
    engine = wiring.pop("engine", None) or docker_engine()
    return PrivateContainer(name, container_args(**given), engine=engine, **wiring)


def proxy() -> ReverseProxy:
    sites = {f"{app}.example": SiteArgs(app=app, tls="none") for app in ("b", "a")}
    apps = {"a": ProxiedApp("172.17.0.1", 1), "b": ProxiedApp("172.17.0.1", 2)}
    return ReverseProxy("web1-nginx", ReverseProxyArgs(), host=Host("web1"), sites=sites, apps=apps)


def host(config: dict[str, Any], *, encrypted: Sequence[str] = (), **args: Any) -> HardenedHost:
    return HardenedHost("web1", load(config, secret=encrypted).host_args("web1"), **args)


def host_resources(engine: Engine) -> list[str]:
    return [r.name for r in engine.declared if r.is_on_host]


def test_docker_engine(deploy: Deploy) -> None:
    engine = deploy(docker_engine)
    assert engine.one(":Packages").inputs["packages"] == dict.fromkeys(
        ["apparmor", "ca-certificates", "docker-cli", "docker.io"], "installed"
    )
    assert engine.one(":Directory").inputs["path"] == "/etc/docker"
    daemon = engine.one(":File")
    assert daemon.inputs["path"] == "/etc/docker/daemon.json"
    assert daemon.inputs["validate"] == ["dockerd", "--validate", "--config-file", "{path}"]
    service = engine.one(":Service")
    assert service.inputs["unit"] == "docker.service"
    assert service.inputs["on_change"] == "restart"
    assert set(service.inputs["reads"]) == {"/etc/docker/daemon.json"}
    assert {r.inputs["host"] for r in engine.declared if r.is_on_host} == {"web1"}
    assert {r.parent for r in engine.declared} == {"portcullis-test", "web1-docker"}
    assert engine.outputs["web1-docker"]["bind_address"] == "172.17.0.1"


def test_docker_from_its_own_repository(deploy: Deploy) -> None:
    engine = deploy(lambda: docker_engine(source="docker"))
    packages = engine.one(":Packages").inputs
    assert set(packages["packages"]) == {
        "apparmor", "ca-certificates", "containerd.io", "docker-ce", "docker-ce-cli",
    }  # fmt: skip
    assert packages["never_purge"] == ["docker-ce"]
    # apt gets the preferences before the repository, so that they limit the repository from the start.
    assert engine.before("web1-docker-packages") == {"web1-docker-preferences", "web1-docker-sources"}
    assert engine.before("web1-docker-sources") == {"web1-docker-preferences"}


def test_docker_that_is_there_keeps_its_packages(deploy: Deploy) -> None:
    engine = deploy(lambda: docker_engine(source="present"))
    assert not [r for r in engine.declared if r.type.endswith(":Packages")]
    daemon = engine.one(":File").inputs
    assert json.loads(daemon["content"])["ip"] == "172.17.0.1"
    assert engine.one(":Service").inputs["unit"] == "docker.service"
    assert engine.one(":EngineVersion").inputs["engine"] == "24.0"
    # The host gets no file if its engine is too old.
    assert engine.before("web1-docker-etc") == {"web1-docker-version"}
    assert engine.before("web1-docker-daemon.json") == {"web1-docker-version", "web1-docker-etc"}


def test_docker_networks_come_from_beside_docker0_or_where_it_is_said(deploy: Deploy) -> None:
    def pools(**args: Any) -> list[dict[str, Any]]:
        content = deploy(lambda: docker_engine(**args)).one(":File").inputs["content"]
        found: list[dict[str, Any]] = json.loads(content)["default-address-pools"]
        return found

    assert pools() == [{"base": "172.18.0.0/16", "size": 24}]
    assert pools(address_pools=(PoolArgs(base="10.9.0.0/16", size=28),)) == [
        {"base": "10.9.0.0/16", "size": 28}
    ]


def test_an_engine_that_is_there_is_reached_and_nothing_else(deploy: Deploy) -> None:
    engine = deploy(lambda: existing_engine(bind_address="10.9.0.1"))
    assert [r.name for r in engine.declared if r.is_on_host] == ["their-docker-version"]
    assert engine.one(":EngineVersion").inputs["engine"] == "1.0"
    # Else the plugin ends in an error of its protocol where they cannot talk.
    assert engine.before("their-docker-provider") == {"their-docker-version"}
    provider = engine.one("pulumi:providers:docker").inputs
    assert (provider["host"], provider["sshOpts"]) == ("ssh://web1", '["-F", ".portcullis/test/ssh_config"]')
    assert engine.outputs["their-docker"] == {"bind_address": "10.9.0.1"}


def test_docker_engine_in_order(deploy: Deploy) -> None:
    engine = deploy(docker_engine)
    assert engine.before("web1-docker-etc") == {"web1-docker-packages"}
    assert engine.before("web1-docker-daemon.json") == {"web1-docker-packages", "web1-docker-etc"}
    assert engine.before("web1-docker-service") >= {"web1-docker-packages", "web1-docker-daemon.json"}
    # Our engine answers only when its service runs.
    assert "web1-docker-service" in engine.before("web1-docker-version")
    assert engine.one(":EngineVersion").inputs["engine"] == "1.0"


def test_purging_docker_would_delete_its_volumes(deploy: Deploy) -> None:
    packages = deploy(docker_engine).one(":Packages").inputs
    assert "docker.io" in packages["never_purge"] or packages["on_delete"] != "purge"


def test_the_docker_provider_is_the_same_on_every_machine(deploy: Deploy) -> None:
    provider = deploy(docker_engine).one("pulumi:providers:docker")
    assert provider.inputs["host"] == "ssh://web1"
    assert provider.inputs["sshOpts"] == '["-F", ".portcullis/test/ssh_config"]'


def test_docker0_has_one_address_everywhere(deploy: Deploy) -> None:
    def program() -> None:
        container(engine=docker_engine(bip="10.200.0.1/24"))

    engine = deploy(program)
    assert [port["ip"] for port in engine.one("container:Container").inputs["ports"]] == ["10.200.0.1"]
    assert "172.17" not in str([r.inputs for r in engine.declared])


def test_private_container_has_nothing_it_does_not_need(deploy: Deploy) -> None:
    inputs = deploy(container).one("container:Container").inputs
    assert inputs["readOnly"] is True
    assert inputs["capabilities"] == {"drops": ["ALL"]}
    assert inputs["securityOpts"] == ["no-new-privileges:true"]
    assert inputs["user"] == "65534:65534"
    assert inputs["memory"] == inputs["memorySwap"] == 256
    assert inputs["cpus"] == "1.0"
    assert inputs["init"] is True
    assert inputs["mounts"] == [{"type": "tmpfs", "target": "/tmp"}]  # noqa: S108 - inside a container
    assert inputs["logOpts"] == {"max-file": "3", "max-size": "10m"}
    assert inputs["restart"] == "unless-stopped"
    assert inputs["ulimits"] == [
        {"name": "core", "soft": 0, "hard": 0}, {"name": "nofile", "soft": 65536, "hard": 65536},
    ]  # fmt: skip
    assert not inputs.get("wait"), "what is waited for is ContainerState's, whose errors say why"
    assert inputs["destroyGraceSeconds"] == 10
    assert "privileged" not in inputs
    assert inputs["healthcheck"]["tests"] == ["CMD", "true"]


def test_ports_are_published_on_docker0_only(deploy: Deploy) -> None:
    inputs = deploy(container).one("container:Container").inputs
    assert inputs["ports"] == [{"ip": "172.17.0.1", "internal": 8080, "external": 2019, "protocol": "tcp"}]


def test_a_container_without_host_port_publishes_nothing(deploy: Deploy) -> None:
    engine = deploy(lambda: container(host_port=None))
    assert not engine.one("container:Container").inputs.get("ports")
    assert "address" not in engine.outputs["api"]


def test_the_image_is_pinned_and_named_by_id(deploy: Deploy) -> None:
    engine = deploy(container)
    image = engine.one("remoteImage:RemoteImage").inputs
    assert image == {"name": IMAGE, "keepLocally": True}
    assert engine.one("container:Container").inputs["image"] == "sha256:" + "1" * 64


def test_changes_that_docker_cannot_make_in_place_replace_the_container(deploy: Deploy) -> None:
    options = deploy(container).one("container:Container").options
    assert set(options.replaceOnChanges) == {"healthcheck", "init", "mounts"}
    assert list(options.ignoreChanges) == ["healthcheck.startInterval", "ulimits"]
    assert options.deleteBeforeReplace is True


def test_a_container_waits_for_docker_and_uses_its_provider(deploy: Deploy) -> None:
    engine = deploy(container)
    for part in ("api-image", "api-network", "api-container"):
        assert "web1-docker-service" in engine.before(part)
    assert {r.provider for r in engine.declared if r.type.startswith("docker:")} == {"web1-docker-provider"}
    assert {"api-image", "api-network"} <= engine.before("api-container")


def test_each_container_has_a_network_of_its_own(deploy: Deploy) -> None:
    engine = deploy(container)
    network = engine.one("network:Network").inputs
    assert network["name"] == "api"
    assert network["options"] == {"com.docker.network.bridge.host_binding_ipv4": "172.17.0.1"}
    assert engine.one("container:Container").inputs["networksAdvanced"] == [{"name": "api"}]


def test_a_bridge_of_a_name_of_its_own(deploy: Deploy) -> None:
    options = deploy(lambda: container(bridge="br-api")).one("network:Network").inputs["options"]
    assert options["com.docker.network.bridge.name"] == "br-api"


def test_secret_environment_is_marked(deploy: Deploy) -> None:
    engine = deploy(lambda: container(env={"A": "1", "B": pulumi.Output.secret("s3cr3t")}))
    found = engine.one("container:Container")
    assert found.secret == {"envs"}
    assert found.inputs["envs"] == ["A=1", "B=s3cr3t"]
    assert not [r.name for r in engine.declared if "s3cr3t" in str(r.inputs) and r != found]


def test_a_container_with_a_secret_among_its_variables_is_not_shown_to_the_preview_key(
    deploy: Deploy,
) -> None:
    jobs = JobsArgs(before=("migrate",))
    made, hidden = pulumi.Output.from_input, pulumi.Output.secret
    marked = deploy(lambda: container(env={"A": "1", "B": made("2"), "C": hidden("s3cr3t")}, jobs=jobs))
    assert [state.inputs.get("secret") for state in marked.of(":ContainerState")] == [True, True]
    plain = deploy(lambda: container(env={"A": "1", "B": made("2")}, jobs=jobs))
    assert [state.inputs.get("secret") for state in plain.of(":ContainerState")] == [None, None]
    whole = deploy(lambda: container(secret=True))
    assert whole.one(":ContainerState").inputs["secret"] is True


def test_reverse_proxy(deploy: Deploy) -> None:
    engine = deploy(proxy)
    assert engine.one(":Packages").inputs["packages"] == {"nginx": "installed"}
    assert engine.one(":Packages").inputs["on_delete"] == "purge"
    assert {r.inputs["path"] for r in engine.of(":File")} == {
        "/etc/nginx/sites-available/default",
        "/etc/nginx/conf.d/00-portcullis.conf",
        "/etc/nginx/conf.d/a.example.conf",
        "/etc/nginx/conf.d/b.example.conf",
        "/etc/nginx/modules-enabled/90-portcullis.conf",
        "/etc/nginx/snippets/portcullis-compression.conf",
        "/etc/nginx/snippets/portcullis-tls.conf",
    }
    assert all(r.inputs["test"] == ["nginx", "-t"] for r in engine.of(":File"))
    service = engine.one(":Service").inputs
    assert service["unit"] == "nginx.service"
    assert service["on_change"] == "reload"
    sites = {f"/etc/nginx/conf.d/{name}.example.conf" for name in "ab"}
    shared = {r.inputs["path"] for r in engine.of(":File")} - sites
    assert set(service["reads"]) == {"/etc/nginx", *shared}
    assert set(engine.one(":ServedSites").inputs["reads"]) == {"/etc/nginx", *sites}


def test_a_site_comes_after_the_default_server_and_that_after_the_packaged_one(deploy: Deploy) -> None:
    engine = deploy(proxy)
    assert engine.before("web1-nginx-packaged-site") == {"web1-nginx-packages"}
    assert engine.before("web1-nginx-default") == {
        *("web1-nginx-packages", "web1-nginx-packaged-site", "web1-nginx-tls")
    }
    assert "web1-nginx-default" in engine.before("web1-nginx-a.example")
    assert engine.before("web1-nginx-served") >= {"web1-nginx-a.example", "web1-nginx-b.example"}


def test_hardened_host(deploy: Deploy) -> None:
    engine = deploy(lambda: host(smallest()))
    assert engine.one(":HardenedHost").name == "web1"
    assert engine.before("web1-nginx-api.example.com") >= {"api-container", "web1-docker-service"}
    site = engine.one(":File", "web1-nginx-api.example.com").inputs["content"]
    assert "server 172.17.0.1:2019;" in site
    assert "http://127.0.0.1:8080/healthz" in str(engine.one("container:Container").inputs["healthcheck"])
    assert engine.outputs["web1"] == {
        "apps": {"api": "172.17.0.1:2019"},
        "sites": {"api.example.com": "https://api.example.com"},
        "host_key": "pinned",
    }


def test_a_host_without_sites_has_no_nginx(deploy: Deploy) -> None:
    engine = deploy(lambda: host(smallest() | {"sites": {}}))
    assert not [name for name in host_resources(engine) if "nginx" in name]


def test_adopt_reaches_every_resource_that_can_take_over(deploy: Deploy) -> None:
    config = smallest()
    config["hosts"]["web1"]["adopt"] = True
    engine = deploy(lambda: host(config))
    kinds = (":File", ":Directory", ":Service")
    assert all(r.inputs.get("adopt") is True for kind in kinds for r in engine.of(kind))
    plain = deploy(lambda: host(smallest()))
    assert not any("adopt" in r.inputs for r in plain.declared)


def test_what_may_hold_an_encrypted_value_is_secret(deploy: Deploy) -> None:
    config = smallest()
    config["apps"]["api"]["env"] = {"TOKEN": "s3cr3t"}
    config["apps"]["api"]["command"] = ["serve", "--token", "s3cr3t"]
    marked = deploy(lambda: host(config, secret_apps=True))
    assert marked.one("r:Container").secret == {"command", "envs", "healthcheck"}
    assert not [r.name for r in marked.declared if "s3cr3t" in str(r.inputs) and not r.secret]
    assert deploy(lambda: host(config)).one("r:Container").secret == frozenset()


def test_two_hosts_share_no_resource(deploy: Deploy) -> None:
    config = smallest()
    config["hosts"]["web2"] = config["hosts"]["web1"] | {"os": "debian-12"}
    config["apps"]["api"]["host"] = "web1"
    config["apps"]["app2"] = config["apps"]["api"] | {"host": "web2"}
    config["sites"]["app2.example"] = {"app": "app2"}
    settings = load(config)

    def program() -> None:
        for name in settings.hosts:
            HardenedHost(name, settings.host_args(name))

    engine = deploy(program)
    names = [(r.type, r.name) for r in engine.declared]
    assert len(set(names)) == len(names)
    assert engine.one(":Packages", "web2-docker-packages").inputs["packages"] == dict.fromkeys(
        ["apparmor", "ca-certificates", "docker.io"], "installed"
    )
    for resource in engine.declared:
        if resource.name.startswith("app2"):
            assert not [name for name in engine.before(resource.name) if name.startswith("web1")]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DockerEngineArgs(bip="1.2.3.4/24"), "DockerEngineArgs.bip: "),
        (
            lambda: DockerEngineArgs(address_pools=[PoolArgs(base="172.17.128.0/20")]),
            "DockerEngineArgs.address_pools: overlap: 172.17.0.0/16 and 172.17.128.0/20",
        ),
        (
            lambda: PoolArgs(base="8.8.0.0/16"),
            "PoolArgs.base: .* is not a private network",
        ),
        (
            lambda: DockerEngineArgs(bip="10.0.0.1/8"),
            "DockerEngineArgs.bip: .* 10.0.0.0/8 leaves no room",
        ),
        (
            lambda: docker_engine(reached=("198.51.100.7", "172.18.5.4")),
            "DockerEngineArgs.bip, address_pools: 172.18.0.0/16 includes 172.18.5.4",
        ),
        (lambda: container_args(image="redis"), "PrivateContainerArgs.image: .* names no tag"),
        (lambda: container_args(user="0"), "PrivateContainerArgs.user: .* is root"),
        (lambda: container_args(memory=1, cpus="x"), "memory: .*\nPrivateContainerArgs.cpus: "),
        (lambda: container_args(cpus="0.05"), "PrivateContainerArgs.cpus: .* is read back as 0.1 by "),
        (lambda: container_args(env={"A=B": "x"}), "PrivateContainerArgs.env"),
        (lambda: container_args(host_port=1), "PrivateContainerArgs.host_port: needs the port that the app"),
        (lambda: existing_engine(bind_address="0.0.0.0"), "bind_address: .* is not a private address"),  # noqa: S104
        (lambda: existing_engine(bind_address="::1"), "bind_address: .* is not an IPv4 address"),
    ],
)
def test_arguments_are_checked_where_they_are_made(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def container_args(**args: Any) -> PrivateContainerArgs:
    return PrivateContainerArgs(**{"image": IMAGE, "health_command": ("true",), **args})


def existing_engine(**args: Any) -> ExistingDockerEngine:
    return ExistingDockerEngine("their-docker", host=WEB1, **args)


def test_connections_of_a_stack() -> None:
    config = smallest()
    config["hosts"]["web1"] |= {
        "hostKey": KEY + " root@web1",
        "jump": {"address": "203.0.113.1", "user": "hop", "hostKey": KEY},
        "user": "deploy",
        "users": {"deploy": {"keys": {"laptop": KEY}, "sudo": True}},
        "bootstrap": {"user": "debian"},
        "identityFile": "~/.ssh/deploy",
    }
    found = connections(load(config).hosts)
    assert set(found) == {"web1", "web1-jump"}
    assert found["web1"].host_key == KEY
    assert found["web1"].jump == "web1-jump"
    assert (found["web1"].bootstrap_user, found["web1"].bootstrap_port) == ("debian", 22)
    assert found["web1-jump"].host_key == KEY
    assert found["web1-jump"].user == "hop"


def test_an_image_behind_a_login_is_pulled_before_docker_s_provider_looks(deploy: Deploy) -> None:
    def program() -> None:
        container(login=RegistryArgs(username="bot", password="registry-secret"))

    engine = deploy(program)
    pulled = engine.one(":PulledImage")
    assert {k: v for k, v in pulled.inputs.items() if k in ("image", "username", "password", "host")} == {
        "image": IMAGE, "username": "bot", "password": "registry-secret", "host": "web1",
    }  # fmt: skip
    assert pulled.secret == {"password"}
    assert "web1-docker-service" in engine.before(pulled.name)
    assert "api-pulled" in engine.one(":RemoteImage").after


def test_a_preview_knows_all_but_the_ids_of_images() -> None:
    assert unknown_in(lambda: host(smallest())) == {"api-container.image"}
