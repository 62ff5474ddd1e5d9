"""A container that only this host can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_docker as docker
from pulumi import ResourceOptions

from components.container_args import SECRETS, PrivateContainerArgs

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PrivateContainer", "PrivateContainerArgs"]

# Update in place reports success for these and changes nothing: kreuzwerker/terraform-provider-docker#988.
_REPLACE_ON_CHANGES = ["healthcheck", "tmpfs", "init"]


class PrivateContainer(pulumi.ComponentResource):
    """A container with nothing it does not need, published on docker0's address or not at all.

    The number of its processes is not limited: the docker provider has no attribute for that.

    Attributes:
        container: the container.
        network: its own network, which others may join.
        address: `address:port` to reach it at on this host, or None where it publishes nothing.
        ready: what has to be waited for by whoever needs it.
    """

    container: docker.Container
    network: docker.Network
    address: str | None
    ready: list[pulumi.Resource]

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
        self.network = docker.Network(
            f"{name}-network",
            name=name,
            # For a port that somebody adds by hand without an address.
            options={
                "com.docker.network.bridge.host_binding_ipv4": engine.bind_address,
                **({"com.docker.network.bridge.name": args.bridge} if args.bridge else {}),
            },
            opts=own,
        )
        volumes = {
            volume: docker.Volume(
                f"{name}-volume-{volume}",
                name=volume,
                # Data outlives the container, the stack and a mistake.
                opts=ResourceOptions.merge(
                    own, ResourceOptions(retain_on_delete=True, protect=args.protect_volumes)
                ),
            )
            for volume in sorted(args.volumes)
        }
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
            networks_advanced=[
                docker.ContainerNetworksAdvancedArgs(name=network.name)
                for network in (self.network, *args.networks)
            ],
            read_only=True,
            mounts=_mounts(args, volumes),
            labels=[
                docker.ContainerLabelArgs(label=f"portcullis.refresh.{key}", value=value)
                for key, value in sorted(args.refresh.items())
            ]
            or None,
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
            destroy_grace_seconds=args.stop_grace,
            # The same for `docker stop` and for a host that goes down.
            stop_timeout=args.stop_grace,
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
                    depends_on=[*args.after, *(args.secrets.ready if args.secrets else ())],
                    # Its name and port are taken until it is gone.
                    delete_before_replace=True,
                    replace_on_changes=_REPLACE_ON_CHANGES,
                ),
            ),
        )
        self.ready = [self.container]
        self.register_outputs({"container_id": self.container.id, "address": self.address})


def _mounts(args: PrivateContainerArgs, volumes: dict[str, docker.Volume]) -> list[docker.ContainerMountArgs]:
    """List what is mounted. As mounts and not `volumes`: those are not read back, so drift would not show."""
    secrets = {args.secrets.path: SECRETS} if args.secrets else {}
    return [
        # Mounted noexec, nosuid and nodev by default, with the mode of /tmp.
        *(
            docker.ContainerMountArgs(
                type="tmpfs",
                target=target,
                tmpfs_options=docker.ContainerMountTmpfsOptionsArgs(size_bytes=size << 20) if size else None,
            )
            for target, size in sorted(args.folders.items())
        ),
        *(
            docker.ContainerMountArgs(type="volume", source=volumes[volume].name, target=target)
            for volume, target in sorted(args.volumes.items())
        ),
        *(
            docker.ContainerMountArgs(type="bind", source=source, target=target, read_only=True)
            for source, target in sorted({**args.binds, **secrets}.items())
        ),
    ]
