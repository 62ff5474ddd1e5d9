"""What a container is declared with, and what of it cannot be used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from portcullis.components.containers.facts import PORTS
from portcullis.config.arguments import validate
from portcullis.settings import forms
from portcullis.settings.faults import Fault, Place
from portcullis.settings.kinds import ListOf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi
    import pulumi_docker as docker

    from portcullis.components.docker.component import DockerEngine
    from portcullis.registry import Credentials

SECRETS = "/run/secrets"
"""Where a container finds its secrets, one file each."""
_TMP = "/tmp"  # noqa: S108 - inside a container


@dataclass(frozen=True, slots=True)
class Jobs:
    """Commands that run once for each release, with the app's image, networks, secrets, variables and limits.

    A command is a list of words, or a line for the image's shell. They run one after the other; one that
    does not end with 0 stops the deployment.

    Attributes:
        before: before the new container is there, as a migration; the old one keeps serving.
        after: once the new container is healthy, before anybody is sent to it.
        within: how many seconds each of them may take.
    """

    before: tuple[str | tuple[str, ...], ...] = ()
    after: tuple[str | tuple[str, ...], ...] = ()
    within: int = 600

    def __post_init__(self) -> None:
        """Check that each is a command."""
        validate(self, {"within": forms.JOB_WITHIN})
        faults: list[Fault] = []
        for attribute in ("before", "after"):
            for index, command in enumerate(getattr(self, attribute)):
                place = Place(f"Jobs.{attribute}[{index}]", faults)
                words = [command] if isinstance(command, str) else list(command)
                ListOf(forms.ARGUMENT).read(words, place)
                if not any(words) or not words[0]:
                    place.report("is empty", "write the command, or leave it out")
        if faults:
            raise ValueError("\n".join(map(str, faults)))


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
    jobs: Jobs = Jobs()
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
    login: Credentials | None = None

    def __post_init__(self) -> None:
        """Check what would otherwise fail on the host, or run less private than it should."""
        known_image = {"image": forms.IMAGE} if isinstance(self.image, str) else {}
        validate(
            self,
            {
                **known_image,
                "health": ListOf(forms.ARGUMENT),
                "env": ListOf(forms.ENV_NAME),
                "port": forms.PORT,
                "host_port": forms.PORT,
                "command": ListOf(forms.ARGUMENT),
                "user": forms.CONTAINER_USER,
                "memory": forms.MEMORY,
                "cpus": forms.CPUS,
                "pids": forms.PIDS,
                "healthy_within": forms.HEALTHY_WITHIN,
                "bridge": forms.INTERFACE,
                "volumes": ListOf(forms.VOLUME),
                "binds": ListOf(forms.BIND),
                "tmpfs": ListOf(forms.INSIDE),
                "stop_grace": forms.STOP_GRACE,
                "refresh": ListOf(forms.REFRESH),
            },
            {"volumes": forms.INSIDE, "binds": forms.INSIDE, "tmpfs": forms.TMPFS},
        )
        faults: list[Fault] = []
        place = Place("PrivateContainerArgs", faults)
        if self.host_port is not None and self.port is None:
            place.key("host_port").report("needs the port inside", "add port")
        if self.host_port in PORTS:
            place.key("host_port").report(
                f"{self.host_port} may be given to another app's release",
                f"take one that is not in {PORTS[0]} to {PORTS[-1]}",
            )
        if self.rollout and self.host_port is not None:
            place.key("rollout").report(
                "has no fixed port", "leave out host_port: two containers run side by side for a while"
            )
        if self.rollout and self.port is None:
            place.key("rollout").report("needs the port inside", "add port")
        taken = {SECRETS: "secrets"} if self.secrets else {}
        for attribute in ("volumes", "binds", "tmpfs"):
            entries = getattr(self, attribute)
            for target in entries if attribute == "tmpfs" else entries.values():
                if target in taken:
                    place.key(attribute).refuse(target, f"is mounted twice, by {taken[target]} too")
                taken[target] = attribute
        if faults:
            raise ValueError("\n".join(map(str, faults)))

    @property
    def folders(self) -> dict[str, int]:
        """All folders in memory, with sizes in MB; 0 where none is set."""
        given = {target for targets in (self.volumes, self.binds) for target in targets.values()}
        return {**({} if _TMP in given else {_TMP: 0}), **self.tmpfs}
