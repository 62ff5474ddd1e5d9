"""A container that only this host can reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_docker as docker
from pulumi import ResourceOptions

from components.arguments import validate
from portcullis.settings import forms
from portcullis.settings.kinds import ListOf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from components.docker_engine import DockerEngine

# Update in place reports success for these and changes nothing: kreuzwerker/terraform-provider-docker#988.
_REPLACE_ON_CHANGES = ["healthcheck", "tmpfs", "init"]


@dataclass(frozen=True, slots=True)
class PrivateContainerArgs:
    """What a container needs to know.

    Attributes:
        engine: the Docker engine that runs it.
        image: name and digest.
        health: the health check as Docker takes it: `["CMD", program, …]` or `["CMD-SHELL", line]`.
        port: the port that it listens on, inside.
        host_port: the port on docker0's address that leads there; None publishes nothing.
        env: environment variables. A value may be a secret output; `docker inspect` shows it all the same.
        command: what to run instead of the image's command.
        user: name or number, never root.
        memory: limit in MB. Swap is not added to it.
        cpus: limit as a decimal number.
        bridge: name of its network's interface, for rules of the forward filter that speak of it; Docker
            makes one up otherwise.
        secret: env, command and health hold a secret somewhere: all of them are marked as one in state and
            previews. On the host, `docker inspect` shows them, and `ps` a command, to whoever is root.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    engine: DockerEngine
    image: str
    health: tuple[str, ...]
    port: int | None = None
    host_port: int | None = None
    env: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    command: tuple[str, ...] | None = None
    user: str = "65534:65534"
    memory: int = 256
    cpus: str = "1"
    bridge: str | None = None
    secret: bool = False

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host, or run less private than it should."""
        validate(
            self,
            {
                "image": forms.IMAGE,
                "health": ListOf(forms.ARGUMENT),
                "env": ListOf(forms.ENV_NAME),
                "port": forms.PORT,
                "host_port": forms.PORT,
                "command": ListOf(forms.ARGUMENT),
                "user": forms.CONTAINER_USER,
                "memory": forms.MEMORY,
                "cpus": forms.CPUS,
                "bridge": forms.INTERFACE,
            },
        )
        if self.host_port is not None and self.port is None:
            raise ValueError("PrivateContainerArgs.host_port: needs the port inside; add port")


class PrivateContainer(pulumi.ComponentResource):
    """A container with nothing it does not need, published on docker0's address or not at all.

    The number of its processes is not limited: the docker provider has no attribute for that.

    Attributes:
        container: the container.
        address: `address:port` to reach it at on this host, or None where it publishes nothing.
    """

    container: docker.Container
    address: str | None

    def __init__(self, name: str, args: PrivateContainerArgs, opts: ResourceOptions | None = None) -> None:
        """Declare the container; its name on the host is `name`."""
        super().__init__("portcullis:index:PrivateContainer", name, None, opts)
        engine = args.engine
        marked: Callable[[list[Any]], pulumi.Input[list[Any]]] = pulumi.Output.secret if args.secret else list
        own = ResourceOptions(parent=self, provider=engine.provider, depends_on=engine.ready)

        image = docker.RemoteImage(
            f"{name}-image",
            name=args.image,
            # An image that something else still uses cannot be removed, and would fail the update.
            keep_locally=True,
            opts=own,
        )
        network = docker.Network(
            f"{name}-network",
            name=name,
            # For a port that somebody adds by hand without an address.
            options={
                "com.docker.network.bridge.host_binding_ipv4": engine.bind_address,
                **({"com.docker.network.bridge.name": args.bridge} if args.bridge else {}),
            },
            opts=own,
        )
        ports = []
        self.address = None
        if args.host_port is not None and args.port is not None:
            self.address = f"{engine.bind_address}:{args.host_port}"
            ports = [
                docker.ContainerPortArgs(
                    # The provider's default is 0.0.0.0.
                    ip=engine.bind_address,
                    internal=args.port,
                    external=args.host_port,
                    protocol="tcp",
                )
            ]
        self.container = docker.Container(
            f"{name}-container",
            name=name,
            # The id and not the name: a name is compared as text, and looks changed on every refresh.
            image=image.image_id,
            command=marked(list(args.command)) if args.command else None,
            envs=marked([pulumi.Output.concat(key, "=", value) for key, value in sorted(args.env.items())]),
            user=args.user,
            ports=ports,
            networks_advanced=[docker.ContainerNetworksAdvancedArgs(name=network.name)],
            read_only=True,
            # Mounted noexec, nosuid and nodev by default; it counts against the memory limit.
            mounts=[docker.ContainerMountArgs(type="tmpfs", target="/tmp")],  # noqa: S108 - inside a container
            capabilities=docker.ContainerCapabilitiesArgs(drops=["ALL"]),
            security_opts=["no-new-privileges:true"],
            memory=args.memory,
            # Equal, so no swap; without it every refresh shows a difference.
            memory_swap=args.memory,
            cpus=args.cpus,
            # Reaps the children of an app that does not, and passes signals on.
            init=True,
            restart="unless-stopped",
            # Asked to end before it is killed; without it the provider kills at once.
            destroy_grace_seconds=10,
            log_driver="json-file",
            log_opts={"max-file": "3", "max-size": "10m"},
            healthcheck=docker.ContainerHealthcheckArgs(
                tests=marked(list(args.health)),
                interval="5s",
                timeout="4s",
                start_period="10s",
                retries=3,
            ),
            # A container that does not get well fails the update, and what comes after is not touched.
            wait=True,
            wait_timeout=90,
            opts=ResourceOptions.merge(
                own,
                ResourceOptions(
                    # Its name and port are taken until it is gone.
                    delete_before_replace=True,
                    replace_on_changes=_REPLACE_ON_CHANGES,
                ),
            ),
        )
        self.register_outputs({"container_id": self.container.id, "address": self.address})
