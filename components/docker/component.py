"""The Docker engine of a host, and the pulumi-docker provider that reaches it.

`DockerEngine` manages the engine of a host. `ExistingDockerEngine` only uses an engine that the host already
has.
"""

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
    """A Docker engine with our daemon.json.

    The engine comes from the system's packages, from Docker's packages, or is one that the host already has.

    Attributes:
        host: the host of the engine.
        bind_address: the one address that containers publish their ports on: docker0's. The routed internet
            does not reach it. The forward filter keeps out neighbours on the same network segment.
        open_files: how many files a process of the host may open at most, or 0 if the host does not tell it.
        provider: the docker provider of this host. It connects with the same ssh_config as everything else.
        filled_in: properties of a container that the engine adds entries to. They read back with more entries
            than we declared.
        network_options: options that the engine adds to each network and that we do not declare.

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
    open_files: pulumi.Output[int]
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
            args: settings of the engine.
            host: the host. Its operating system and `source` decide the version of Docker, and with it the
                keys that daemon.json may have. With `adopt`, a daemon.json with other content is replaced.
            reached: addresses and networks that the host must reach outside its containers, such as its own
                address. No network of containers may include one of them, or the host would look for it
                among its containers.
            opts: options of the component. Let it depend on the firewall, so that the forward filter is
                active before the first container starts.

        Raises:
            ArgumentsError: a network of containers holds an address of `reached`.
        """
        pools = [pool.base for pool in args.address_pools]
        if found := list(networks.swallowed(args.bip, pools, reached)):
            raise ArgumentsError(
                Fault(
                    "DockerEngineArgs.bip, address_pools",
                    f"{taken} includes {text}, which the host must reach outside its containers",
                    "take other networks",
                )
                for taken, text in found
            )
        super().__init__("portcullis:index:DockerEngine", name, None, opts)
        dialect = versions.dialect(host.os, args.source)
        self.host, self.bind_address = host, args.bind_address

        # The host gets no file if the engine that it has is too old.
        present = self._read(name, versions.OLDEST) if args.source == "present" else None
        packages = [present] if present else self._packages(name, args.source, dialect)
        folder = Directory(
            f"{name}-etc",
            host=host,
            path="/etc/docker",
            # The package creates this folder. If we created it first, it would be ours and a destroy would
            # remove it.
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
            # A reload applies only a few of the keys. With live-restore, containers survive a restart.
            on_change="restart",
            opts=ResourceOptions(parent=self, depends_on=[*packages, config]),
        )
        # An engine that we install answers only when its service runs.
        self.open_files = (present or self._read(name, versions.ANY, after=[service])).open_files
        self.provider = _provider(self, name, host)
        self.register_outputs({"bind_address": self.bind_address, "service": service.active})

    def _read(self, name: str, oldest: str, after: Sequence[pulumi.Resource] = ()) -> EngineVersion:
        opts = ResourceOptions(parent=self, depends_on=after)
        return EngineVersion(f"{name}-version", host=self.host, engine=oldest, opts=opts)

    def _packages(self, name: str, source: versions.Source, dialect: Dialect) -> list[pulumi.Resource]:
        """Declare the engine's packages."""
        repository_files = self._repository(name) if source == "docker" else []
        packages = Packages(
            f"{name}-packages",
            host=self.host,
            names=dialect.docker_packages,
            on_delete="purge",
            # The package's postrm script deletes /var/lib/docker, volumes included.
            never_purge=["docker.io" if source == "debian" else "docker-ce"],
            # Never replace another Docker, because somebody may need its containers.
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
            # The preferences come first, so that apt never takes another package from the repository.
            opts=ResourceOptions(parent=self, depends_on=[preferences]),
        )
        return [preferences, sources]


class ExistingDockerEngine(pulumi.ComponentResource):
    """A Docker engine that the host already has and that somebody else manages.

    The component declares no file, package or service. The engine and its /etc/docker stay unchanged. If our
    client and the engine share no version of Docker's API, `up` stops with an error. Declare containers on
    this engine with `PrivateContainer`, `Redis` and `MongoDB`. The login must be root, or a user in the group
    docker who may use `sudo -n`.

    Attributes:
        host: the host of the engine.
        bind_address: the one address that containers publish their ports on.
        open_files: how many files a process of the host may open at most, or 0 if the host does not tell it.
        provider: the docker provider of this host. It connects with the same ssh_config as everything else.
        filled_in: properties of a container that the engine adds entries to: here the log-opts of its
            daemon.json.
        network_options: options that the engine's daemon.json adds to each network.

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
    open_files: pulumi.Output[int]
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
        """Declare the engine that the host already has.

        Args:
            name: the component's name, such as "web1-docker".
            host: the host that the engine runs on.
            bind_address: the address of the host that containers publish their ports on. Take docker0's,
                which `ip address show docker0` prints on the host, or a loopback address. Never take an
                address that the internet reaches.
            network_options: the options for bridge networks in the `default-network-opts` of the engine's
                daemon.json, such as `{"com.docker.network.driver.mtu": "1450"}`. Docker's provider counts an
                undeclared option as a difference, and would replace each network at every `up`.
            opts: options of the component.

        Raises:
            ArgumentsError: the address is not a private or loopback IPv4 address.
        """
        if faults := faults_in(BindAddress, bind_address, "ExistingDockerEngine.bind_address"):
            raise ArgumentsError(faults)
        super().__init__("portcullis:index:ExistingDockerEngine", name, None, opts)
        self.host, self.bind_address = host, bind_address
        self.network_options = dict(network_options or {})
        version = EngineVersion(
            f"{name}-version", host=host, engine=versions.ANY, opts=ResourceOptions(parent=self)
        )
        self.open_files = version.open_files
        self.provider = _provider(self, name, host, after=[version])
        self.register_outputs({"bind_address": bind_address})


AnyDockerEngine = DockerEngine | ExistingDockerEngine
"""An engine that can run containers, whether we manage it or not."""


def _provider(
    engine: AnyDockerEngine, name: str, host: Host, after: Sequence[pulumi.Resource] = ()
) -> docker.Provider:
    return docker.Provider(
        f"{name}-provider",
        host=f"ssh://{host.alias}",
        # A relative path keeps the state equal on every machine. The plugin runs in the project's folder.
        ssh_opts=["-F", str(ssh_config_path(pulumi.get_stack()))],
        opts=ResourceOptions(parent=engine, depends_on=after),
    )
