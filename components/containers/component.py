"""A container that only this host can reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import pulumi
import pulumi_docker as docker
from pulumi import ResourceOptions

from portcullis.components.containers.args import (
    Bind,
    Cpus,
    Inside,
    JobsArgs,
    JobSeconds,
    Memory,
    Pids,
    Refresh,
    StopSeconds,
    Tmpfs,
    VolumeName,
)
from portcullis.components.containers.facts import PORTS
from portcullis.components.containers.render import spell_cpus
from portcullis.components.containers.resource.container_state import ContainerState
from portcullis.components.containers.resource.pulled_image import PulledImage
from portcullis.components.containers.resource.release import Release
from portcullis.components.firewall.args import Interface
from portcullis.config.arguments import validate
from portcullis.config.faults import Fault, shown
from portcullis.config.forms import Argument, ContainerUser, EnvName, PinnedImage, Port
from portcullis.config.kinds import ListOf
from portcullis.host.resource import is_any_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from portcullis.components.containers.args import RegistryArgs
    from portcullis.components.docker.component import DockerEngine


SECRETS = "/run/secrets"
"""Where a container finds its secrets, one file each."""
_TMP = "/tmp"  # noqa: S108 - inside a container


# Update in place reports success for these and changes nothing: kreuzwerker/terraform-provider-docker#988.
_REPLACE_ON_CHANGES = ["healthcheck", "tmpfs", "init"]
# What Docker does change in place, or what is not the container's own. All else needs another container.
_IN_PLACE = ("memory", "memory_swap", "restart", "destroy_grace_seconds")

# A property of Docker's provider, by its name in Python.
_Properties = dict[str, Any]


class SecretFolder(Protocol):
    """A folder on the host that holds secrets as files: SecretFiles, or anything like it."""

    @property
    def path(self) -> str:
        """The folder, on the host."""

    @property
    def ready(self) -> Sequence[pulumi.Resource]:
        """What puts the files there."""


@dataclass(frozen=True, slots=True)
class PrivateContainerArgs:
    """What a container needs to know.

    Attributes:
        engine: the Docker engine that runs it.
        image: name and digest. An output is passed on as it is.
        login: the login at the image's registry, where it wants one.
        health: the health check as Docker takes it: `["CMD", program, …]` or `["CMD-SHELL", line]`.
        port: the port that it listens on, inside.
        host_port: the port on docker0's address that leads there; None publishes nothing, but for a rollout.
            A container with a fixed port is taken away before the next one comes.
        rollout: replace the container without an interruption: the next one comes up beside it, on a port of
            docker0's address that the host picks, and this one goes when nobody is sent to it any more.
        env: environment variables. A value may be a secret output; `docker inspect` shows it all the same,
            and the preview key is then shown none of them.
        command: what to run instead of the image's command.
        user: name or number, never root.
        memory: limit in MB. Swap is not added to it.
        cpus: limit as a decimal number.
        pids: how many processes and threads it may have.
        healthy_within: how many seconds it may take until it is healthy.
        jobs: commands that run once for each release.
        bridge: name of its network's interface, for rules of the forward filter that speak of it; Docker
            makes one up otherwise.
        networks: networks of others that it joins beside its own.
        shared: it has an internal network besides, which those join who use it. Internal, because a container
            in several networks goes out by the first of them in the alphabet that leads out: by its own then,
            whose interface rules of the forward filter speak of, and whose port is published.
        secrets: a folder of secrets, mounted read-only at /run/secrets. The folder and not its files: a file
            that is replaced by another of its name would stay the old one inside.
        volumes: Docker volumes by name, and where each is mounted. They stay when the container goes, and
            when the stack does; one that is there already is used as it is.
        protect_volumes: refuse to let go of the volumes at all, until this is taken back.
        binds: files and folders of the host, and where each is mounted, read-only.
        tmpfs: folders in memory, and their sizes in MB; they count against the limit. /tmp is always one,
            and half the host's memory where no size is given here.
        stop_grace: how many seconds it has to end, from SIGTERM to SIGKILL.
        after: what has to be there first.
        refresh: texts that replace the container when they change, such as the generation of a secret that it
            reads only at its start. They show in `docker inspect`: never a secret, nor anything made of one.
        secret: env, command and health hold a secret somewhere: all of them are marked as one in state and
            previews. On the host, `docker inspect` shows them, and `ps` a command, to whoever is root.

    Raises:
        ValueError: naming every attribute that cannot be used.
    """

    engine: DockerEngine
    image: pulumi.Input[str]
    health: tuple[str, ...]
    port: int | None = None
    host_port: int | None = None
    rollout: bool = False
    env: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    command: tuple[str, ...] | None = None
    user: str = "65534:65534"
    memory: int = 256
    cpus: str = "1"
    pids: int = 256
    healthy_within: int = 90
    jobs: JobsArgs = field(default_factory=JobsArgs)
    bridge: str | None = None
    networks: tuple[docker.Network, ...] = ()
    shared: bool = False
    secrets: SecretFolder | None = None
    volumes: Mapping[str, str] = field(default_factory=dict)
    protect_volumes: bool = False
    binds: Mapping[str, str] = field(default_factory=dict)
    tmpfs: Mapping[str, int] = field(default_factory=dict)
    stop_grace: int = 10
    after: tuple[pulumi.Resource, ...] = ()
    refresh: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    secret: bool = False
    login: RegistryArgs | None = None

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host, or run less private than it should."""
        known_image = {"image": PinnedImage} if isinstance(self.image, str) else {}
        validate(
            self,
            {
                **known_image,
                "health": ListOf[Argument],
                "env": ListOf[EnvName],
                "port": Port,
                "host_port": Port,
                "command": ListOf[Argument],
                "user": ContainerUser,
                "memory": Memory,
                "cpus": Cpus,
                "pids": Pids,
                "healthy_within": JobSeconds,
                "bridge": Interface,
                "volumes": ListOf[VolumeName],
                "binds": ListOf[Bind],
                "tmpfs": ListOf[Inside],
                "stop_grace": StopSeconds,
                "refresh": ListOf[Refresh],
            },
            {"volumes": Inside, "binds": Inside, "tmpfs": Tmpfs},
        )
        faults: list[Fault] = []

        def report(attribute: str, reason: str, hint: str) -> None:
            faults.append(Fault(f"PrivateContainerArgs.{attribute}", reason, hint))

        if self.host_port is not None and self.port is None:
            report("host_port", "needs the port inside", "add port")
        if self.host_port in PORTS:
            why = f"{self.host_port} may be given to another app's release"
            report("host_port", why, f"take one that is not in {PORTS[0]} to {PORTS[-1]}")
        if self.rollout and self.host_port is not None:
            how = "leave out host_port: two containers run side by side for a while"
            report("rollout", "has no fixed port", how)
        if self.rollout and self.port is None:
            report("rollout", "needs the port inside", "add port")
        taken = {SECRETS: "secrets"} if self.secrets else {}
        for attribute in ("volumes", "binds", "tmpfs"):
            entries = getattr(self, attribute)
            for target in entries if attribute == "tmpfs" else entries.values():
                if target in taken:
                    why = f"{shown(target)} is mounted twice, by {taken[target]} too"
                    report(attribute, why, "keep one of them")
                taken[target] = attribute
        if faults:
            raise ValueError("\n".join(map(str, faults)))

    @property
    def folders(self) -> dict[str, int]:
        """All folders in memory, with sizes in MB; 0 where none is set."""
        given = {target for targets in (self.volumes, self.binds) for target in targets.values()}
        return {**({} if _TMP in given else {_TMP: 0}), **self.tmpfs}


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
            password=login.secret.output,
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
