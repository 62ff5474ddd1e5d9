"""A container that only its host can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_docker as docker
from pulumi import ResourceOptions

from portcullis.components.containers.args import NAMED_USER, SECRETS, Refresh, is_number
from portcullis.components.containers.facts import OWNER_LABEL
from portcullis.components.containers.images import pinned
from portcullis.components.containers.render import health_check, spell_cpus
from portcullis.components.containers.resource.container_state import ContainerState
from portcullis.components.containers.resource.pulled_image import PulledImage
from portcullis.components.containers.resource.release import Release
from portcullis.components.secrets.component import SecretFiles
from portcullis.config.arguments import faults_in
from portcullis.config.faults import ArgumentsError, Fault, shown
from portcullis.config.value_types import ListOf
from portcullis.host.resource import is_any_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from portcullis.components.containers.args import PrivateContainerArgs, RegistryArgs
    from portcullis.components.docker.component import AnyDockerEngine
    from portcullis.components.stores.store_use import StoreUse


_TMP = "/tmp"  # noqa: S108 - inside a container


# Update in place reports success for these and changes nothing: kreuzwerker/terraform-provider-docker#988.
_REPLACE_ON_CHANGES = ["healthcheck", "init", "mounts"]
# Docker fills in the image's own where a check leaves one of its times out, and the provider reads that back
# as a difference. Here is no value that every engine reads back: Docker before 25 does not know it.
_IGNORE_CHANGES = ["healthcheck.startInterval"]
_CHECK_TIMES: dict[str, Any] = {"interval": "5s", "timeout": "4s", "start_period": "10s", "retries": 3}
# What Docker does change in place, or what is not the container's own. All else needs another container.
_IN_PLACE = ("memory", "memory_swap", "restart", "destroy_grace_seconds")

# A property of Docker's provider, by its name in Python.
_Properties = dict[str, Any]


class PrivateContainer(pulumi.ComponentResource):
    """A container with nothing it does not need, published on the engine's bind address or not at all.

    The limit of its processes is set right after its start, see `ContainerState`: Docker's provider has no
    attribute for it. An image that is named by tag is asked for at its registry while the program runs.

    Attributes:
        container: the container. Its name on the host is the component's, with the number of the release
            behind it in a rollout; other containers on its networks find it by the component's name.
        network: its own network, which leads out and has nobody else in it.
        networks: those that it is in: its own, the one for its users, those of others.
        address: `address:port` to reach it at on this host, or None where it publishes nothing. An output in
            a rollout.
        port: the port alone.
        state: that it got well, and which image did so before.

    Example:
        ```python
        from portcullis.components import (
            ExistingDockerEngine,
            PrivateContainer,
            PrivateContainerArgs,
            Redis,
            RedisArgs,
        )
        from portcullis.host import Connection, Host, write_ssh_config

        HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIByMDexDe9Qf5f9m2y4TBX+9DwanM9+VXcWFa8RL9CWq"
        API = "ghcr.io/acme/api:1.4@sha256:4bf3f8b5c1e3b1a5c9d8e7f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a"
        REDIS = "redis:8@sha256:5c0f4a1e8d7b6c5a493827161504f3e2d1c0bfaebdac9b8a7968574635241302"

        write_ssh_config({"web1": Connection("203.0.113.10", host_key=HOST_KEY)})
        # A Docker engine that is there already; a DockerEngine of ours does as well.
        engine = ExistingDockerEngine("web1-docker", host=Host("web1"))
        redis = Redis("redis", RedisArgs(image=REDIS), engine=engine)
        app = PrivateContainerArgs(image=API, port=8080, host_port=8080, health="/healthz")
        PrivateContainer("api", app, engine=engine, uses=[redis.uses("api")])
        ```
    """

    container: docker.Container
    network: docker.Network
    networks: tuple[docker.Network, ...]
    address: pulumi.Input[str] | None
    port: pulumi.Input[int] | None
    state: ContainerState

    def __init__(
        self,
        name: str,
        args: PrivateContainerArgs,
        *,
        engine: AnyDockerEngine,
        login: RegistryArgs | None = None,
        networks: Sequence[docker.Network] = (),
        uses: Sequence[StoreUse] = (),
        secrets: Mapping[str, pulumi.Input[str]] | SecretFiles | None = None,
        refresh: Mapping[str, pulumi.Input[str]] | None = None,
        secret: bool = False,
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare the container.

        Args:
            name: its name on the host and the component's.
            args: what it is.
            engine: what runs it: a `DockerEngine`, or an `ExistingDockerEngine`.
            login: the login at the image's registry, where it wants one.
            networks: networks of others that it joins beside its own.
            uses: the stores that it uses: it joins their networks, finds how to log in under /run/secrets,
                and starts when they are ready.
            secrets: what each file under /run/secrets holds, by its name; another content replaces the
                container. Or a folder of such files, and then `refresh` says what replaces it.
            refresh: texts that replace the container when they change, such as the revision of a file that it
                reads only at its start. They show in `docker inspect`: never a secret, nor anything made of
                one.
            secret: env, command and health hold a secret somewhere: all of them are marked as one in state
                and previews. On the host, `docker inspect` shows them, and `ps` a command, to whoever is
                root.
            opts: options of the component, which depends on the engine anyway.

        Raises:
            ArgumentsError: something that it is given does not fit, or a registry does not give the image's
                digest.
        """
        _check(args, uses, secrets, refresh or {})
        image = pinned(args.image, "PrivateContainerArgs.image", login)
        after_engine = ResourceOptions(depends_on=[engine])
        super().__init__(
            "portcullis:index:PrivateContainer", name, None, ResourceOptions.merge(opts, after_engine)
        )
        self._name, self._args, self._engine = name, args, engine
        self._image_name, self._secret = image, secret
        self._on_host = ResourceOptions(parent=self)
        self._own = ResourceOptions(parent=self, provider=engine.provider)
        self._refresh = dict(refresh or {})
        self._secrets = self._secret_files(uses, secrets)
        self._retained: list[str] = []
        self._image = docker.RemoteImage(
            f"{name}-image",
            name=image,
            # An image that something else still uses cannot be removed, and would fail the update.
            keep_locally=True,
            # Docker's provider looks on the host before it pulls: findImage in kreuzwerker's 4.5.0.
            opts=ResourceOptions.merge(self._own, ResourceOptions(depends_on=self._pulled(login))),
        )
        self.network = docker.Network(
            f"{name}-network",
            name=name,
            # For a port that somebody adds by hand without an address.
            options={
                **engine.network_options,
                "com.docker.network.bridge.host_binding_ipv4": engine.bind_address,
                **({"com.docker.network.bridge.name": args.bridge} if args.bridge else {}),
            },
            labels=[docker.NetworkLabelArgs(**_owner())],
            opts=self._own,
        )
        self._shared = (
            docker.Network(
                f"{name}-shared",
                name=f"{name}-shared",
                internal=True,
                labels=[docker.NetworkLabelArgs(**_owner())],
                opts=self._own,
            )
            if args.shared
            else None
        )
        # Once each: two databases of one store are on one network.
        self._joined = tuple(dict.fromkeys([*networks, *(each for use in uses for each in use.networks)]))
        self.networks = (self.network, *([self._shared] if self._shared else []), *self._joined)
        volumes = {volume: self._volume(volume) for volume in sorted(args.volumes)}

        common = self._common(self._mounts(volumes))
        definition = {**common, **self._serving()}
        release = self._release(definition)
        # Not the component: an image is pulled while a store starts.
        first: list[pulumi.Resource] = [ready for use in uses for ready in use.depends_on]
        first += [part for part in (self._secrets, release) if part]
        before = self._jobs("before", common, release, first)
        self.container = self._container(definition, release, [*first, *before])
        self.state = ContainerState(
            f"{name}-state",
            host=engine.host,
            item=name,
            container=self.container.name,
            container_id=self.container.id,
            image=image,
            pids=args.pids,
            within=args.healthy_within,
            secret=secret or is_any_secret(args.env.values()),
            networks=[network.name for network in self.networks],
            opts=ResourceOptions(parent=self, depends_on=[self.container]),
        )
        self._jobs("after", common, release, [self.state])
        self.register_outputs(
            {
                "container_id": self.container.id,
                "address": self.address,
                # A policy pack is not shown the option.
                "retained_volumes": self._retained,
            }
        )

    def _secret_files(
        self, uses: Sequence[StoreUse], secrets: Mapping[str, pulumi.Input[str]] | SecretFiles | None
    ) -> SecretFiles | None:
        """Declare the files under /run/secrets, where somebody else has not."""
        if isinstance(secrets, SecretFiles):
            return secrets
        files = {file: content for use in uses for file, content in use.files.items()} | dict(secrets or {})
        if not files:
            return None
        user = self._args.user
        made = SecretFiles(
            f"{self._name}-secrets",
            files,
            # Only the user may read, so any group will do.
            owner=user if ":" in user else f"{user}:{user}",
            host=self._engine.host,
            opts=self._on_host,
        )
        # An app reads its secrets when it starts: a new one takes a new container.
        self._refresh["secrets"] = pulumi.Output.all(**made.revisions).apply(
            lambda found: "-".join(str(found[name]) for name in sorted(found))
        )
        return made

    def _pulled(self, login: RegistryArgs | None) -> list[pulumi.Resource]:
        """The image, pulled beforehand where its registry wants a login."""
        if login is None:
            return []
        pulled = PulledImage(
            f"{self._name}-pulled",
            host=self._engine.host,
            image=self._image_name,
            username=login.username,
            password=login.secret.output,
            opts=self._on_host,
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

    def _mounts(self, volumes: dict[str, docker.Volume]) -> list[_Properties]:
        """List what is mounted. As mounts and not `volumes`: those are not read back, so no drift shows."""
        args = self._args
        given = {target for targets in (args.volumes, args.binds) for target in targets.values()}
        # 0 where no size is set.
        in_memory = {**({} if _TMP in given else {_TMP: 0}), **args.tmpfs}
        secrets = {self._secrets.path: SECRETS} if self._secrets else {}
        return [
            # Mounted noexec, nosuid and nodev by default, with the mode of /tmp.
            *(
                {
                    "type": "tmpfs",
                    "target": target,
                    **({"tmpfs_options": {"size_bytes": size << 20}} if size else {}),
                }
                for target, size in sorted(in_memory.items())
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
            "labels": [_owner()],
        }

    def _serving(self) -> _Properties:
        """What only the container itself has."""
        args = self._args
        labels = {f"portcullis.refresh.{key}": value for key, value in sorted(self._refresh.items())}
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
            "healthcheck": {"tests": self._marked(health_check(args)), **_CHECK_TIMES},
        }
        # The provider sees no difference where the settings had a command and have none.
        labels["portcullis.command"] = "settings" if args.command else "image"
        if args.command:
            given["command"] = self._marked(list(args.command))
        given["labels"] = [*({"label": key, "value": value} for key, value in labels.items()), _owner()]
        return given

    def _marked(self, values: list[Any]) -> pulumi.Input[list[Any]]:
        marked: Callable[[list[Any]], pulumi.Input[list[Any]]] = (
            pulumi.Output.secret if self._secret else list
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
            "image": self._image_name,
            "port": args.port,
            "jobs": [*args.jobs.before, "-", *args.jobs.after],
        }
        return Release(
            f"{self._name}-release",
            host=self._engine.host,
            app=self._name,
            defined_by={key: pulumi.Output.json_dumps(value) for key, value in sorted(defined.items())},
            published=args.rollout,
            # As its container has it, so that 1 and 1.0 are one limit here too.
            cpus=definition["cpus"],
            opts=self._on_host,
        )

    def _container(
        self, definition: _Properties, release: Release | None, first: list[pulumi.Resource]
    ) -> docker.Container:
        args, bind = self._args, self._engine.bind_address
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
        """Declare the jobs of a time, one after the other; return what has to be waited for."""
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
                networks_advanced=[{"name": network.name} for network in (self.network, *self._joined)],
                must_run=False,
                restart="no",
                # The image may have a check for what it serves, which a job does not.
                healthcheck=docker.ContainerHealthcheckArgs(tests=["NONE"], **_CHECK_TIMES),
                # Its name is its release's own, and one that ended serves nobody.
                opts=self._replaced([*first, *done], first_gone=True),
                **common,
            )
            state = ContainerState(
                f"{part}-state",
                host=self._engine.host,
                item=part,
                container=container.name,
                container_id=container.id,
                image=self._image_name,
                pids=self._args.pids,
                expects="exited",
                within=jobs.within,
                secret=self._secret or is_any_secret(self._args.env.values()),
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
                ignore_changes=[*_IGNORE_CHANGES, *self._engine.filled_in],
            ),
        )


def _owner() -> dict[str, str]:
    """The label by which `portcullis up` knows what a deployment of this stack left that was cut off."""
    return {"label": OWNER_LABEL, "value": f"{pulumi.get_project()}/{pulumi.get_stack()}"}


def _numbered(name: str, release: Release) -> pulumi.Output[str]:
    return release.number.apply(lambda number: f"{name}-{int(number)}")


def _check(
    args: PrivateContainerArgs,
    uses: Sequence[StoreUse],
    secrets: Mapping[str, pulumi.Input[str]] | SecretFiles | None,
    refresh: Mapping[str, pulumi.Input[str]],
) -> None:
    """Refuse what the arguments cannot know of each other."""
    faults = faults_in(ListOf[Refresh], refresh, "PrivateContainer.refresh")
    if isinstance(secrets, SecretFiles) and any(use.files for use in uses):
        why = "is a folder of somebody else's files, and the files of uses have no place in it"
        faults.append(
            Fault("PrivateContainer.secrets", why, "give a map, or put those files into the folder")
        )
    elif (secrets or any(use.files for use in uses)) and not is_number(args.user):
        reason, hint = NAMED_USER
        faults.append(Fault("PrivateContainerArgs.user", f"{shown(args.user)} {reason}", hint))
    if faults:
        raise ArgumentsError(faults)
