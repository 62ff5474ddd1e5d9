"""A container that only this host can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_docker as docker
from pulumi import ResourceOptions

from portcullis.components.containers.args import SECRETS, Jobs, PrivateContainerArgs
from portcullis.components.containers.render import spell_cpus
from portcullis.components.containers.resource.container_state import ContainerState
from portcullis.components.containers.resource.pulled_image import PulledImage
from portcullis.components.containers.resource.release import Release
from portcullis.host.resource import is_any_secret

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Jobs", "PrivateContainer", "PrivateContainerArgs"]

# Update in place reports success for these and changes nothing: kreuzwerker/terraform-provider-docker#988.
_REPLACE_ON_CHANGES = ["healthcheck", "tmpfs", "init"]
# What Docker does change in place, or what is not the container's own. All else needs another container.
_IN_PLACE = ("memory", "memory_swap", "restart", "destroy_grace_seconds")

# A property of Docker's provider, by its name in Python.
_Properties = dict[str, Any]


class PrivateContainer(pulumi.ComponentResource):
    """A container with nothing it does not need, published on docker0's address or not at all.

    The limit of its processes is set right after its start, see `ContainerState`: Docker's provider has no
    attribute for it.

    Attributes:
        container: the container. Its name on the host is the component's, with the number of the release
            behind it in a rollout; other containers on its networks find it by the component's name.
        network: its own network, which leads out and has nobody else in it.
        networks: those that it is in: its own, the one for its users, those of others.
        address: `address:port` to reach it at on this host, or None where it publishes nothing. An output in
            a rollout.
        port: the port alone.
        state: that it got well, and which image did so before.
        ready: what has to be waited for by whoever needs it.
    """

    container: docker.Container
    network: docker.Network
    networks: tuple[docker.Network, ...]
    address: pulumi.Input[str] | None
    port: pulumi.Input[int] | None
    state: ContainerState
    ready: list[pulumi.Resource]

    def __init__(self, name: str, args: PrivateContainerArgs, opts: ResourceOptions | None = None) -> None:
        """Declare the container; its name on the host is `name`."""
        super().__init__("portcullis:index:PrivateContainer", name, None, opts)
        self._name, self._args, engine = name, args, args.engine
        self._own = ResourceOptions(parent=self, provider=engine.provider, depends_on=engine.ready)
        self._retained: list[str] = []
        self._image = docker.RemoteImage(
            f"{name}-image",
            name=args.image,
            # An image that something else still uses cannot be removed, and would fail the update.
            keep_locally=True,
            # Docker's provider looks on the host before it pulls: findImage in kreuzwerker's 4.5.0.
            opts=ResourceOptions.merge(self._own, ResourceOptions(depends_on=self._pulled())),
        )
        self.network = docker.Network(
            f"{name}-network",
            name=name,
            # For a port that somebody adds by hand without an address.
            options={
                "com.docker.network.bridge.host_binding_ipv4": engine.bind_address,
                **({"com.docker.network.bridge.name": args.bridge} if args.bridge else {}),
            },
            opts=self._own,
        )
        self._shared = (
            docker.Network(f"{name}-shared", name=f"{name}-shared", internal=True, opts=self._own)
            if args.shared
            else None
        )
        self.networks = (self.network, *([self._shared] if self._shared else []), *args.networks)
        volumes = {volume: self._volume(volume) for volume in sorted(args.volumes)}

        common = self._common(_mounts(args, volumes))
        definition = {**common, **self._serving()}
        release = self._release(definition)
        first = [*args.after, *(args.secrets.ready if args.secrets else ()), *([release] if release else ())]
        before = self._jobs("before", common, release, first)
        self.container = self._container(definition, release, [*first, *before])
        self.state = ContainerState(
            f"{name}-state",
            host=engine.host,
            item=name,
            container=self.container.name,
            container_id=self.container.id,
            image=args.image,
            pids=args.pids,
            within=args.healthy_within,
            secret=args.secret or is_any_secret(args.env.values()),
            opts=ResourceOptions(parent=self, depends_on=[self.container]),
        )
        after = self._jobs("after", common, release, [self.state])
        self.ready = [self.state, *after]
        self.register_outputs(
            {
                "container_id": self.container.id,
                "address": self.address,
                # A policy pack is not shown the option.
                "retained_volumes": self._retained,
            }
        )

    def _pulled(self) -> list[pulumi.Resource]:
        """The image, pulled beforehand where its registry wants a login."""
        login, engine = self._args.login, self._args.engine
        if login is None:
            return []
        pulled = PulledImage(
            f"{self._name}-pulled",
            host=engine.host,
            image=self._args.image,
            username=login.username,
            password=login.password,
            opts=ResourceOptions(parent=self, depends_on=engine.ready),
        )
        return [pulled]

    @property
    def shared(self) -> docker.Network:
        """The network that those join who use it.

        Raises:
            ValueError: it has none; `shared` was not asked for.
        """
        if self._shared is None:
            raise ValueError(
                f"{self._name} has no network for others: PrivateContainerArgs.shared is not set"
            )
        return self._shared

    def _volume(self, volume: str) -> docker.Volume:
        # Data outlives the container, the stack and a mistake.
        kept = ResourceOptions(retain_on_delete=True, protect=self._args.protect_volumes)
        if kept.retain_on_delete:
            self._retained.append(volume)
        return docker.Volume(
            f"{self._name}-volume-{volume}", name=volume, opts=ResourceOptions.merge(self._own, kept)
        )

    def _common(self, mounts: list[_Properties]) -> _Properties:
        """What the container and its jobs have in common."""
        args = self._args
        return {
            "envs": self._marked(
                [pulumi.Output.concat(key, "=", value) for key, value in sorted(args.env.items())]
            ),
            "user": args.user,
            "read_only": True,
            "mounts": mounts,
            "capabilities": {"drops": ["ALL"]},
            "security_opts": ["no-new-privileges:true"],
            "memory": args.memory,
            # Equal, so no swap; without it every refresh shows a difference.
            "memory_swap": args.memory,
            "cpus": spell_cpus(args.cpus),
            # What an app has in memory is not written to a disk when it dies.
            "ulimits": [{"name": "core", "soft": 0, "hard": 0}],
            # Reaps the children of an app that does not, and passes signals on.
            "init": True,
            # Asked to end before it is killed; without it the provider kills at once.
            "destroy_grace_seconds": args.stop_grace,
            # The same for `docker stop` and for a host that goes down.
            "stop_timeout": args.stop_grace,
            "log_driver": "json-file",
            "log_opts": {"max-file": "3", "max-size": "10m"},
        }

    def _serving(self) -> _Properties:
        """What only the container itself has."""
        args = self._args
        labels = {f"portcullis.refresh.{key}": value for key, value in sorted(args.refresh.items())}
        given: _Properties = {
            "networks_advanced": [
                {
                    "name": network.name,
                    # Two containers have the name for a while; who looks it up finds either.
                    **({"aliases": [self._name]} if args.rollout else {}),
                }
                for network in self.networks
            ],
            "restart": "unless-stopped",
            "healthcheck": {
                "tests": self._marked(list(args.health)),
                "interval": "5s",
                "timeout": "4s",
                "start_period": "10s",
                "retries": 3,
            },
        }
        if args.command:
            given["command"] = self._marked(list(args.command))
        if labels:
            given["labels"] = [{"label": key, "value": value} for key, value in labels.items()]
        return given

    def _marked(self, values: list[Any]) -> pulumi.Input[list[Any]]:
        marked: Callable[[list[Any]], pulumi.Input[list[Any]]] = (
            pulumi.Output.secret if self._args.secret else list
        )
        return marked(values)

    def _release(self, definition: _Properties) -> Release | None:
        """Declare the number of what is deployed, where something on the host is named after it."""
        args = self._args
        if not args.rollout and not args.jobs.before and not args.jobs.after:
            return None
        defined = {key: value for key, value in definition.items() if key not in _IN_PLACE}
        # By its name, which is known in a preview.
        defined |= {
            "image": args.image,
            "port": args.port,
            "jobs": [*args.jobs.before, "-", *args.jobs.after],
        }
        return Release(
            f"{self._name}-release",
            host=args.engine.host,
            app=self._name,
            defined_by={key: pulumi.Output.json_dumps(value) for key, value in sorted(defined.items())},
            published=args.rollout,
            # As its container has it, so that 1 and 1.0 are one limit here too.
            cpus=definition["cpus"],
            opts=ResourceOptions(parent=self, depends_on=args.engine.ready),
        )

    def _container(
        self, definition: _Properties, release: Release | None, first: list[pulumi.Resource]
    ) -> docker.Container:
        args, bind = self._args, self._args.engine.bind_address
        name: pulumi.Input[str] = self._name
        self.port, self.address = args.host_port, None
        if args.rollout and release is not None:
            name, self.port = _numbered(self._name, release), release.port.apply(int)
            self.address = pulumi.Output.concat(bind, ":", self.port.apply(str))
        elif args.host_port is not None:
            self.address = f"{bind}:{args.host_port}"
        ports = []
        if self.port is not None and args.port is not None:
            # The provider's default for the address is 0.0.0.0.
            ports = [
                docker.ContainerPortArgs(ip=bind, internal=args.port, external=self.port, protocol="tcp")
            ]
        return docker.Container(
            f"{self._name}-container",
            name=name,
            # The id and not the name: a name is compared as text, and looks changed on every refresh.
            image=self._image.image_id,
            ports=ports,
            opts=self._replaced(first, first_gone=not args.rollout),
            **definition,
        )

    def _jobs(
        self, when: str, common: _Properties, release: Release | None, first: list[pulumi.Resource]
    ) -> list[pulumi.Resource]:
        """Declare the jobs of a time, one after the other; return what waits for the last one."""
        jobs = self._args.jobs
        done: list[pulumi.Resource] = []
        for index, command in enumerate(jobs.before if when == "before" else jobs.after, start=1):
            if release is None:
                break
            part = f"{self._name}-{when}-{index}"
            words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
            container = docker.Container(
                part,
                name=_numbered(part, release),
                image=self._image.image_id,
                command=self._marked(words),
                networks_advanced=[
                    {"name": network.name} for network in (self.network, *self._args.networks)
                ],
                must_run=False,
                restart="no",
                # The image may have a check for what it serves, which a job does not.
                healthcheck={"tests": ["NONE"]},
                # Its name is its release's own, and one that ended serves nobody.
                opts=self._replaced([*first, *done], first_gone=True),
                **common,
            )
            state = ContainerState(
                f"{part}-state",
                host=self._args.engine.host,
                item=part,
                container=container.name,
                container_id=container.id,
                image=self._args.image,
                pids=self._args.pids,
                expects="exited",
                within=jobs.within,
                secret=self._args.secret or is_any_secret(self._args.env.values()),
                opts=ResourceOptions(parent=self, depends_on=[container]),
            )
            done = [state]
        return done

    def _replaced(self, first: list[pulumi.Resource], *, first_gone: bool) -> ResourceOptions:
        return ResourceOptions.merge(
            self._own,
            ResourceOptions(
                depends_on=first,
                # A fixed name and port are taken until it is gone. The provider says true by itself, so
                # false has to be said.
                delete_before_replace=first_gone,
                replace_on_changes=_REPLACE_ON_CHANGES,
            ),
        )


def _numbered(name: str, release: Release) -> pulumi.Output[str]:
    return release.number.apply(lambda number: f"{name}-{int(number)}")


def _mounts(args: PrivateContainerArgs, volumes: dict[str, docker.Volume]) -> list[_Properties]:
    """List what is mounted. As mounts and not `volumes`: those are not read back, so drift would not show."""
    secrets = {args.secrets.path: SECRETS} if args.secrets else {}
    return [
        # Mounted noexec, nosuid and nodev by default, with the mode of /tmp.
        *(
            {
                "type": "tmpfs",
                "target": target,
                **({"tmpfs_options": {"size_bytes": size << 20}} if size else {}),
            }
            for target, size in sorted(args.folders.items())
        ),
        *(
            {"type": "volume", "source": volumes[volume].name, "target": target}
            for volume, target in sorted(args.volumes.items())
        ),
        *(
            {"type": "bind", "source": source, "target": target, "read_only": True}
            for source, target in sorted({**args.binds, **secrets}.items())
        ),
    ]
