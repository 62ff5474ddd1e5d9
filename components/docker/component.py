"""The Docker engine of a host, hardened, and the provider that reaches it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
import pulumi_docker as docker
from pulumi import ResourceOptions

from portcullis.components.docker import networks
from portcullis.components.docker import render as daemon_json
from portcullis.components.docker.args import Bridge
from portcullis.config.arguments import validate
from portcullis.config.faults import Fault
from portcullis.config.forms import Alias, Os
from portcullis.dialect import DIALECTS
from portcullis.host import ssh_config_path
from portcullis.resources import Directory, File, Packages, Service

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portcullis.components.docker.args import PoolArgs


@dataclass(frozen=True, slots=True)
class DockerEngineArgs:
    """What a Docker engine needs to know.

    Attributes:
        host: alias of the host.
        os: its operating system, which decides the version of Docker and so what it can be told.
        bip: address and prefix of docker0.
        address_pools: where the networks of containers come from; none takes the network beside docker0's.
        reached: addresses and networks that none of these may hold, such as the host's own: it would look for
            them among its containers.
        after: what has to be there before the engine starts: the forward filter, before any container.
        adopt: replace a daemon.json that is there and differs.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    host: str
    os: str
    bip: str = "172.17.0.1/16"
    address_pools: Sequence[PoolArgs] = ()
    reached: Sequence[str] = ()
    after: Sequence[pulumi.Resource] = ()
    adopt: bool = False

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host."""
        validate(self, {"host": Alias, "os": Os, "bip": Bridge})
        pools = [pool.base for pool in self.address_pools]
        faults = [
            Fault("DockerEngineArgs.address_pools", f"{one} and {other} overlap", "keep them apart")
            for one, other in networks.collisions(self.bip, pools)
        ]
        if not faults and not self.address_pools:
            try:
                networks.beside(self.bip)
            except ValueError as error:
                faults.append(
                    Fault("DockerEngineArgs.bip", str(error), "take a smaller network, such as /16")
                )
        if not faults:
            found = networks.swallowed(self.bip, pools, self.reached)
            faults = [
                Fault("DockerEngineArgs.bip, address_pools", f"{taken} holds {text}", "take other networks")
                for taken, text in found
            ]
        if faults:
            raise ValueError("\n".join(map(str, faults)))


class DockerEngine(pulumi.ComponentResource):
    """Docker from the system's own packages, running on our daemon.json.

    Attributes:
        host: alias of its host.
        bind_address: the one address that containers are published on, docker0's. Not reachable from the
            routed internet; a neighbour on the same segment is kept out by the forward filter.
        provider: the docker provider of this host, over the same ssh_config as everything else.
        ready: what a container has to wait for.
    """

    host: str
    bind_address: str
    provider: docker.Provider
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: DockerEngineArgs, opts: ResourceOptions | None = None) -> None:
        """Declare the engine under `name`, such as "web1-docker"."""
        super().__init__("portcullis:index:DockerEngine", name, None, opts)
        dialect = DIALECTS[args.os]
        self.host = args.host
        self.bind_address = str(ipaddress.IPv4Interface(args.bip).ip)

        packages = Packages(
            f"{name}-packages",
            host=args.host,
            names=dialect.docker_packages,
            on_delete="purge",
            # Its postrm deletes /var/lib/docker, volumes included.
            never_purge=["docker.io"],
            opts=ResourceOptions(parent=self),
        )
        folder = Directory(
            f"{name}-etc",
            host=args.host,
            path="/etc/docker",
            adopt=args.adopt,
            # The package brings the folder: made before it, it would count as ours and go with us.
            opts=ResourceOptions(parent=self, depends_on=[packages]),
        )
        config = File(
            f"{name}-daemon.json",
            host=args.host,
            path=daemon_json.PATH,
            content=daemon_json.daemon_json(dialect, args.bip, args.address_pools),
            validate=daemon_json.validation(dialect),
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[packages, folder]),
        )
        service = Service(
            f"{name}-service",
            host=args.host,
            unit="docker.service",
            reads=[config],
            # A reload takes up only a few of the keys; live-restore keeps containers over a restart.
            on_change="restart",
            adopt=args.adopt,
            opts=ResourceOptions(parent=self, depends_on=[packages, config, *args.after]),
        )
        self.provider = docker.Provider(
            f"{name}-provider",
            host=f"ssh://{args.host}",
            # Relative, so that state is the same on every machine; the plugin runs in the project's folder.
            ssh_opts=["-F", str(ssh_config_path(pulumi.get_stack()))],
            opts=ResourceOptions(parent=self),
        )
        self.ready = [service]
        self.register_outputs({"bind_address": self.bind_address, "service": service.active})
