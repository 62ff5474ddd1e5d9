"""The Docker engine of a host, ours or one that is there already, and the provider that reaches it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

import pulumi
import pulumi_docker as docker
from pulumi import ResourceOptions

from portcullis.components.docker import networks, repository, versions
from portcullis.components.docker import render as daemon_json
from portcullis.components.docker.args import BindAddress
from portcullis.components.docker.resource import EngineVersion
from portcullis.config.arguments import faults_in
from portcullis.config.faults import ArgumentsError, Fault
from portcullis.host import Host, ssh_config_path
from portcullis.resources import Directory, File, Packages, Service

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portcullis.components.docker.args import DockerEngineArgs
    from portcullis.dialect import Dialect


class DockerEngine(pulumi.ComponentResource):
    """Docker from the system's packages or its own, or one that is there, running on our daemon.json.

    Attributes:
        host: its host.
        bind_address: the one address that containers are published on, docker0's. Not reachable from the
            routed internet; a neighbour on the same segment is kept out by the forward filter.
        provider: the docker provider of this host, over the same ssh_config as everything else.
        filled_in: properties of a container that the engine adds to, so that they read back as more than was
            said.
        network_options: options that the engine adds to each network and that we do not set.

    Example:
        ```python
        from portcullis.components import (
            DockerEngine,
            DockerEngineArgs,
            PrivateContainer,
            PrivateContainerArgs,
        )
        from portcullis.host import Connection, Host, write_ssh_config

        HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        DIGEST = "sha256:4bf3f8b5c1e3b1a5c9d8e7f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a"

        write_ssh_config({"web1": Connection("203.0.113.10", host_key=HOST_KEY)})
        engine = DockerEngine("web1-docker", DockerEngineArgs(), host=Host("web1", os="debian-13"))
        app = PrivateContainerArgs(image=f"ghcr.io/acme/api:1.4@{DIGEST}", port=8080, host_port=8080)
        PrivateContainer("api", app, engine=engine)
        ```
    """

    host: Host
    bind_address: str
    provider: docker.Provider
    filled_in: ClassVar[Sequence[str]] = ()
    network_options: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self,
        name: str,
        args: DockerEngineArgs,
        *,
        host: Host,
        reached: Sequence[str] = (),
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare the engine.

        Args:
            name: the component's name, such as "web1-docker".
            args: what is particular about it.
            host: the host. Its operating system and `source` decide the version of Docker and so what it can
                be told.
                With `adopt`, a daemon.json that is there and differs is replaced.
            reached: addresses and networks that no network of containers may hold, such as the host's own:
                the host would look for them among its containers.
            opts: options of the component. Let it depend on the firewall, so that no container starts before
                the forward filter.

        Raises:
            ArgumentsError: a network of containers holds an address of `reached`.
        """
        pools = [pool.base for pool in args.address_pools]
        if found := list(networks.swallowed(args.bip, pools, reached)):
            raise ArgumentsError(
                Fault("DockerEngineArgs.bip, address_pools", f"{taken} holds {text}", "take other networks")
                for taken, text in found
            )
        super().__init__("portcullis:index:DockerEngine", name, None, opts)
        dialect = versions.dialect(host.os, args.source)
        self.host, self.bind_address = host, args.bind_address

        packages = self._packages(name, args.source, dialect)
        folder = Directory(
            f"{name}-etc",
            host=host,
            path="/etc/docker",
            # The package brings the folder: made before it, it would count as ours and go with us.
            opts=ResourceOptions(parent=self, depends_on=packages),
        )
        config = File(
            f"{name}-daemon.json",
            host=host,
            path=daemon_json.PATH,
            content=daemon_json.daemon_json(dialect, args.bip, args.address_pools),
            validate=daemon_json.validation(dialect),
            opts=ResourceOptions(parent=self, depends_on=[*packages, folder]),
        )
        service = Service(
            f"{name}-service",
            host=host,
            unit="docker.service",
            reads=[config],
            # A reload takes up only a few of the keys; live-restore keeps containers over a restart.
            on_change="restart",
            opts=ResourceOptions(parent=self, depends_on=[*packages, config]),
        )
        self.provider = _provider(self, name, host)
        self.register_outputs({"bind_address": self.bind_address, "service": service.active})

    def _packages(self, name: str, source: versions.Source, dialect: Dialect) -> list[pulumi.Resource]:
        """Declare what brings the engine, or that the one that is there will do."""
        if source == "present":
            opts = ResourceOptions(parent=self)
            return [EngineVersion(f"{name}-version", host=self.host, opts=opts)]
        repository_files = self._repository(name) if source == "docker" else []
        packages = Packages(
            f"{name}-packages",
            host=self.host,
            names=dialect.docker_packages,
            on_delete="purge",
            # Its postrm deletes /var/lib/docker, volumes included.
            never_purge=["docker.io" if source == "debian" else "docker-ce"],
            # Never in the place of another Docker, whose containers somebody needs.
            adopt=False,
            opts=ResourceOptions(parent=self, depends_on=repository_files),
        )
        return [packages]

    def _repository(self, name: str) -> list[pulumi.Resource]:
        """Declare Docker's apt repository."""
        preferences = File(
            f"{name}-preferences",
            host=self.host,
            path=repository.PREFERENCES_PATH,
            content=repository.preferences(
                f"{name}-preferences", versions.DOCKERS, versions.DOCKERS_PACKAGES
            ),
            opts=ResourceOptions(parent=self),
        )
        sources = File(
            f"{name}-sources",
            host=self.host,
            path=repository.SOURCES_PATH,
            content=repository.sources(f"{name}-sources", self.host.os),
            # Before the repository counts, it is known what may be taken from it.
            opts=ResourceOptions(parent=self, depends_on=[preferences]),
        )
        return [preferences, sources]


class ExistingDockerEngine(pulumi.ComponentResource):
    """A Docker engine that is there already, and that somebody else looks after.

    It declares no file, no package and no service: the engine and its /etc/docker stay as they are. An engine
    that our client cannot talk to is refused. What runs on it is declared by `PrivateContainer`, `Redis` and
    `MongoDB`. The login has to be root, or a user with `sudo -n` who is in the group docker.

    Attributes:
        host: its host.
        bind_address: the one address that containers are published on.
        provider: the docker provider of this host, over the same ssh_config as everything else.
        filled_in: as of `DockerEngine`. Each container gets the log-opts of their daemon.json beside its own.
        network_options: what each network gets of their daemon.json beside its own.

    Example:
        ```python
        from portcullis.components import ExistingDockerEngine, PrivateContainer, PrivateContainerArgs
        from portcullis.host import Connection, Host, write_ssh_config

        HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        DIGEST = "sha256:4bf3f8b5c1e3b1a5c9d8e7f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a"

        write_ssh_config({"web1": Connection("203.0.113.10", host_key=HOST_KEY)})
        engine = ExistingDockerEngine("web1-docker", host=Host("web1"), bind_address="172.17.0.1")
        app = PrivateContainerArgs(image=f"ghcr.io/acme/api:1.4@{DIGEST}", port=8080, host_port=8080)
        PrivateContainer("api", app, engine=engine)
        ```
    """

    host: Host
    bind_address: str
    provider: docker.Provider
    filled_in: ClassVar[Sequence[str]] = ("logOpts",)
    network_options: Mapping[str, str]

    def __init__(
        self,
        name: str,
        *,
        host: Host,
        bind_address: str = "172.17.0.1",
        network_options: Mapping[str, str] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare that it is there.

        Args:
            name: the component's name, such as "web1-docker".
            host: the host that it runs on.
            bind_address: the host's own address that containers are published on: docker0's, as `ip address
                show docker0` prints it there, or one of loopback. Never one that the internet reaches.
            network_options: what its daemon.json gives to bridge networks by `default-network-opts`, such as
                `{"com.docker.network.driver.mtu": "1450"}`. Docker's provider takes an option that is not
                said for a difference, and would replace each network at every `up`.
            opts: options of the component.

        Raises:
            ArgumentsError: the address cannot be used.
        """
        if faults := faults_in(BindAddress, bind_address, "ExistingDockerEngine.bind_address"):
            raise ArgumentsError(faults)
        super().__init__("portcullis:index:ExistingDockerEngine", name, None, opts)
        self.host, self.bind_address = host, bind_address
        self.network_options = dict(network_options or {})
        version = EngineVersion(
            f"{name}-version", host=host, engine=versions.ANY, opts=ResourceOptions(parent=self)
        )
        self.provider = _provider(self, name, host, after=[version])
        self.register_outputs({"bind_address": bind_address})


AnyDockerEngine = DockerEngine | ExistingDockerEngine
"""What runs containers."""


def _provider(
    engine: AnyDockerEngine, name: str, host: Host, after: Sequence[pulumi.Resource] = ()
) -> docker.Provider:
    return docker.Provider(
        f"{name}-provider",
        host=f"ssh://{host.alias}",
        # Relative, so that state is the same on every machine; the plugin runs in the project's folder.
        ssh_opts=["-F", str(ssh_config_path(pulumi.get_stack()))],
        opts=ResourceOptions(parent=engine, depends_on=after),
    )
