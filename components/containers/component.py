"""A container that only its host can reach."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pulumi
import pulumi_docker as docker
from pulumi import ResourceOptions

from portcullis.components.containers.args import NAMED_USER, SECRETS, Refresh, is_number, project_file
from portcullis.components.containers.facts import OWNER_LABEL, SECRET_ENV_LABEL, link_name
from portcullis.components.containers.images import pinned
from portcullis.components.containers.render import health_check, spell_cpus
from portcullis.components.containers.resource.container_state import ContainerState
from portcullis.components.containers.resource.link import Link
from portcullis.components.containers.resource.pulled_image import PulledImage
from portcullis.components.containers.resource.release import Release
from portcullis.components.secrets.component import SecretFiles
from portcullis.config.arguments import faults_in
from portcullis.config.faults import ArgumentsError, Fault, shown
from portcullis.config.forms import EnvName
from portcullis.config.value_types import ListOf
from portcullis.host.resource import is_any_secret
from portcullis.resources import Directory, File

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from portcullis.components.containers.args import PrivateContainerArgs, RegistryArgs
    from portcullis.components.docker.component import AnyDockerEngine
    from portcullis.components.stores.store_use import StoreUse


_FILES = "/etc/portcullis/files"
_TMP = "/tmp"  # noqa: S108 - inside a container


# An update in place of these reports success and changes nothing: kreuzwerker/terraform-provider-docker#988.
_REPLACE_ON_CHANGES = ["healthcheck", "init", "mounts"]
# If a check leaves out one of its times, Docker takes the image's, and the provider shows a difference. No
# value for this time reads back on every engine: Docker before 25 does not know it.
# A container keeps its limits of open files: only a new one gets others. So neither a new default of ours nor
# what the host allows ever replaces a container. A changed setting does, by a label: see `_serving`.
_IGNORE_CHANGES = ["healthcheck.startInterval", "ulimits"]
_CHECK_TIMES: dict[str, Any] = {"interval": "5s", "timeout": "4s", "start_period": "10s", "retries": 3}
# The default limit of open files. Docker 29's own default is 1,024. MongoDB needs 64,000:
# https://www.mongodb.com/docs/manual/reference/ulimit/
_OPEN_FILES = 65536
# No core dumps: a crash must not write the app's memory to a disk.
_NO_CORE: dict[str, Any] = {"name": "core", "soft": 0, "hard": 0}
# Docker changes these in place, or they do not belong to the container. Others need a new container.
_IN_PLACE = ("memory", "memory_swap", "restart", "destroy_grace_seconds")

# Properties for Docker's provider, by their names in Python.
_Properties = dict[str, Any]


class PrivateContainer(pulumi.ComponentResource):
    """A container with only the rights that it needs. It publishes its port on the bind address, or none.

    `ContainerState` sets the limit of processes right after the start, because Docker's provider has no
    attribute for it. If the image is named by tag, the program asks the registry for its digest.

    Attributes:
        container: the container. Its name on the host is the component's name. In a rollout, the number of
            the release follows. Other containers on its networks find it by the component's name.
        network: its own network. The network leads outside and has no other container.
        networks: all its networks but those of `links`: its own, and those that it joins.
        links: the internal network with each server that it uses, by the server's name.
        alias: the name by which containers that use it find it: the component's name.
        host: the alias of its host.
        address: `address:port` where this host reaches it, or None if it publishes no port. An output in a
            rollout.
        port: the published port, or None.
        state: its process limit and health, and the image that was healthy before.

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
        # An engine that the host already has. A DockerEngine works as well.
        engine = ExistingDockerEngine("web1-docker", host=Host("web1"))
        redis = Redis("redis", RedisArgs(image=REDIS), engine=engine)
        app = PrivateContainerArgs(image=API, port=8080, host_port=8080, health="/healthz")
        PrivateContainer("api", app, engine=engine, uses=[redis.uses("api")])
        ```
    """

    container: docker.Container
    network: docker.Network
    networks: tuple[docker.Network, ...]
    links: dict[str, Link]
    alias: str
    host: str
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
        uses: Sequence[StoreUse | PrivateContainer] = (),
        secrets: Mapping[str, pulumi.Input[str]] | SecretFiles | None = None,
        secret_env: Mapping[str, pulumi.Input[str]] | None = None,
        refresh: Mapping[str, pulumi.Input[str]] | None = None,
        secret: bool = False,
        keeps: Sequence[str] = (),
        opts: ResourceOptions | None = None,
    ) -> None:
        """Declare the container.

        Args:
            name: the component's name, and the container's name on the host.
            args: settings of the container.
            engine: the engine that runs it: a `DockerEngine`, or an `ExistingDockerEngine`.
            login: the login at the image's registry, if it needs one.
            networks: networks that it joins beside its own.
            uses: the stores and other containers that it uses. It shares an internal network with each, and
                starts when they are healthy. It finds its logins of stores under /run/secrets.
            secrets: the content of each file under /run/secrets, by its name. Changed content replaces the
                container. Or a `SecretFiles` folder, and then `refresh` must replace it.
            secret_env: environment variables with secrets, for an image that reads no files. They are secret
                in state and previews. Child processes, crash reports and `docker inspect` show them.
            refresh: texts that replace the container when they change, such as the revision of a file that it
                reads only at its start. `docker inspect` shows them: never pass a secret or a text derived
                from one.
            secret: whether env, command or health contains a secret. All of them are then secret in state and
                previews. On the host, root still sees them in `docker inspect`, and the command in `ps`.
            keeps: properties of Docker's container, such as `command[4]`, that never replace a container. It
                keeps its own until something else replaces it. So a new default reaches new containers only.
            opts: options of the component. It depends on the engine in any case.

        Raises:
            ArgumentsError: the arguments do not fit together, or the registry does not give the image's
                digest.
        """
        stores = [use for use in uses if not isinstance(use, PrivateContainer)]
        servers = [use if isinstance(use, PrivateContainer) else use.server for use in uses]
        there = {server.alias: server.host for server in servers}
        _check(args, stores, secrets, secret_env or {}, refresh or {}, here=engine.host.alias, there=there)
        image = pinned(args.image, "PrivateContainerArgs.image", login)
        after_engine = ResourceOptions(depends_on=[engine])
        super().__init__(
            "portcullis:index:PrivateContainer", name, None, ResourceOptions.merge(opts, after_engine)
        )
        self._name, self._args, self._engine = name, args, engine
        self.alias, self.host = name, engine.host.alias
        self._image_name, self._secret = image, secret
        self._on_host = ResourceOptions(parent=self)
        self._own = ResourceOptions(parent=self, provider=engine.provider)
        self._keeps = keeps
        self._secret_env = {key: pulumi.Output.secret(value) for key, value in (secret_env or {}).items()}
        self._refresh = dict(refresh or {})
        self._secrets = self._secret_files(stores, secrets)
        self._retained: list[str] = []
        self._image = docker.RemoteImage(
            f"{name}-image",
            name=image,
            # Docker cannot remove an image that something else still uses, and the update would fail.
            keep_locally=True,
            # Docker's provider looks on the host before it pulls: findImage in kreuzwerker's 4.5.0.
            opts=ResourceOptions.merge(self._own, ResourceOptions(depends_on=self._pulled(login))),
        )
        self.network = docker.Network(
            f"{name}-network",
            name=name,
            # For a port that somebody publishes by hand without an address.
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
        self._joined = tuple(dict.fromkeys(networks))
        self.networks = (self.network, *([self._shared] if self._shared else []), *self._joined)
        # Each server once: two databases of one store are on the same server.
        self.links = {server.alias: self._link(server) for server in dict.fromkeys(servers)}
        volumes = {volume: self._volume(volume) for volume in sorted(args.volumes)}
        files = self._project_files()

        common = self._common(self._mounts(volumes, files))
        definition = {**common, **self._serving()}
        release = self._release(definition)
        # Only the container waits for these, so that its image is pulled while a store starts.
        first: list[pulumi.Resource] = [ready for use in stores for ready in use.depends_on]
        first += [*self.links.values(), *(part for part in (self._secrets, release) if part)]
        first += files.values()
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
            secret=self._has_secrets,
            networks=self._network_names(self.networks),
            environment=self._shown(),
            opts=ResourceOptions(parent=self, depends_on=[self.container]),
        )
        self._jobs("after", common, release, [self.state])
        self.register_outputs(
            {
                "container_id": self.container.id,
                "address": self.address,
                # A policy pack cannot see `retain_on_delete`.
                "retained_volumes": self._retained,
            }
        )

    def _link(self, server: PrivateContainer) -> Link:
        """Declare the network that this container shares with a server."""
        return Link(
            link_name(self._name, server.alias),
            host=self._engine.host,
            user=self._name,
            server=server.alias,
            container=server.container.name,
            container_id=server.container.id,
            # A new release of the server joins when it is healthy and its jobs are done.
            opts=ResourceOptions(parent=self, depends_on=[server]),
        )

    def _network_names(self, networks: Sequence[docker.Network]) -> list[pulumi.Input[str]]:
        """Return the names of these networks, and of the networks with servers."""
        return [*(each.name for each in networks), *(link_name(self._name, server) for server in self.links)]

    def _secret_files(
        self, uses: Sequence[StoreUse], secrets: Mapping[str, pulumi.Input[str]] | SecretFiles | None
    ) -> SecretFiles | None:
        """Declare the files under /run/secrets, unless the caller has declared them."""
        if isinstance(secrets, SecretFiles):
            return secrets
        files = {file: content for use in uses for file, content in use.files.items()} | dict(secrets or {})
        if not files:
            return None
        user = self._args.user
        made = SecretFiles(
            f"{self._name}-secrets",
            files,
            # Only the user may read the files, so the group does not matter.
            owner=user if ":" in user else f"{user}:{user}",
            host=self._engine.host,
            opts=self._on_host,
        )
        # An app reads its secrets only at its start, so changed secrets need a new container.
        self._refresh["secrets"] = pulumi.Output.all(**made.revisions).apply(
            lambda found: "-".join(str(found[name]) for name in sorted(found))
        )
        return made

    def _project_files(self) -> dict[str, File]:
        """Declare the files of the project on the host, by their paths in the container."""
        if not self._args.project_files:
            return {}
        path = f"{_FILES}/{self._name}"
        folder = Directory(
            f"{self._name}-files", host=self._engine.host, path=path, make_parents=True, opts=self._on_host
        )
        files = {}
        for source, target in sorted(self._args.project_files.items()):
            name, content = source.replace("/", "+"), project_file(source)
            # Another text gets another path: an old release that restarts still finds its own.
            version = sha256(content.encode()).hexdigest()[:12]
            files[target] = File(
                f"{self._name}-file-{name}",
                host=self._engine.host,
                path=f"{path}/{version}-{name}",
                content=content,
                opts=ResourceOptions(parent=self, depends_on=[folder]),
            )
        # If `up` writes a file anew that somebody changed by hand, the container still has the other one.
        revisions = pulumi.Output.all(*(each.revision for each in files.values()))
        self._refresh["project-files"] = revisions.apply("-".join)
        return files

    def _pulled(self, login: RegistryArgs | None) -> list[pulumi.Resource]:
        """Declare that the image is pulled beforehand, if its registry needs a login."""
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
        """The shared network for the containers that use this container.

        Raises:
            ValueError: `PrivateContainerArgs.shared` is not set.
        """
        if self._shared is None:
            raise ValueError(
                f"the container {self._name} has no shared network, because PrivateContainerArgs.shared is "
                "not set"
            )
        return self._shared

    def _volume(self, volume: str) -> docker.Volume:
        # Data must survive the end of the container, the end of the stack, and mistakes.
        kept = ResourceOptions(retain_on_delete=True, protect=self._args.protect_volumes)
        if kept.retain_on_delete:
            self._retained.append(volume)
        return docker.Volume(
            f"{self._name}-volume-{volume}", name=volume, opts=ResourceOptions.merge(self._own, kept)
        )

    def _mounts(self, volumes: dict[str, docker.Volume], files: dict[str, File]) -> list[_Properties]:
        """List the mounts. We do not use `volumes`: they are not read back, so drift would not show."""
        args = self._args
        given = {
            target
            for targets in (args.volumes, args.binds, args.project_files)
            for target in targets.values()
        }
        # 0 means no size limit.
        in_memory = {**({} if _TMP in given else {_TMP: 0}), **args.tmpfs}
        secrets = {self._secrets.path: SECRETS} if self._secrets else {}
        project = {each.path_text: target for target, each in files.items()}
        return [
            # Docker mounts a tmpfs noexec, nosuid and nodev, with the mode of /tmp.
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
                for source, target in sorted({**args.binds, **secrets, **project}.items())
            ),
        ]

    def _common(self, mounts: list[_Properties]) -> _Properties:
        """Return the properties that the container and its jobs have in common."""
        args = self._args
        return {
            "envs": self._marked(
                [
                    pulumi.Output.concat(key, "=", value)
                    for key, value in sorted({**args.env, **self._secret_env}.items())
                ]
            ),
            "user": args.user,
            "read_only": args.read_only,
            "mounts": mounts,
            "capabilities": {"drops": ["ALL"]},
            "security_opts": ["no-new-privileges:true"],
            "memory": args.memory,
            # The same number, so no swap. Without it every refresh shows a difference.
            "memory_swap": args.memory,
            "cpus": spell_cpus(args.cpus),
            "ulimits": [_NO_CORE, self._open_files()],
            # Docker's init reaps the children that an app leaves, and passes signals on.
            "init": True,
            # The container gets time to end. Without this the provider kills it at once.
            "destroy_grace_seconds": args.stop_grace,
            # The same time for `docker stop`, and when the host shuts down.
            "stop_timeout": args.stop_grace,
            "log_driver": "json-file",
            "log_opts": {"max-file": "3", "max-size": "10m"},
            "labels": self._labels,
        }

    @property
    def _labels(self) -> list[dict[str, str]]:
        """The labels of the container and its jobs. One tells policies which variables hold secrets."""
        names = " ".join(sorted(self._secret_env))
        return [*([{"label": SECRET_ENV_LABEL, "value": names}] if names else []), _owner()]

    @property
    def _has_secrets(self) -> bool | Awaitable[bool | None] | None:
        """Whether what Docker shows of the container contains a secret."""
        return self._secret or bool(self._secret_env) or is_any_secret(self._args.env.values())

    def _shown(self) -> dict[str, str]:
        """Return the variables that the engine hides and previews may show. An output may be secret."""
        if self._secret or not self._secret_env:
            return {}
        return {key: value for key, value in self._args.env.items() if isinstance(value, str)}

    def _open_files(self) -> _Properties:
        """Return the limit of open files of a new container: no more than a process of the host may have."""
        wanted = self._args.nofile or _OPEN_FILES

        def within(limit: float | None) -> int:
            allowed = int(limit or wanted)  # the engine has floating-point numbers only
            if self._args.nofile is not None and allowed < wanted:
                pulumi.log.warn(
                    f"{self._engine.host.alias}: nofile of {self._name} is {wanted}, but a process on this "
                    f"host may open {allowed} files at most, so a new container gets {allowed}. Set nofile "
                    f"to {allowed} or less",
                    self,
                )
            return min(wanted, allowed)

        limit = self._engine.open_files.apply(within)
        return {"name": "nofile", "soft": limit, "hard": limit}

    def _serving(self) -> _Properties:
        """Return the properties that only the container has, and not its jobs."""
        args = self._args
        labels = {f"portcullis.refresh.{key}": value for key, value in sorted(self._refresh.items())}
        given: _Properties = {
            "networks_advanced": [
                {
                    "name": network,
                    # Two containers have this alias for a while. A lookup finds either of them.
                    **({"aliases": [self._name]} if args.rollout else {}),
                }
                for network in self._network_names(self.networks)
            ],
            "restart": "unless-stopped",
            **({"hostname": args.hostname} if args.hostname else {}),
            "healthcheck": {"tests": self._marked(health_check(args)), **_CHECK_TIMES},
        }
        # The provider shows no difference when a command is removed from the settings. This label shows it.
        labels["portcullis.command"] = "settings" if args.command else "image"
        if args.nofile is not None:
            labels["portcullis.nofile"] = str(args.nofile)
        if args.command:
            given["command"] = self._marked(list(args.command))
        given["labels"] = [*({"label": key, "value": value} for key, value in labels.items()), *self._labels]
        return given

    def _marked(self, values: list[Any]) -> pulumi.Input[list[Any]]:
        marked: Callable[[list[Any]], pulumi.Input[list[Any]]] = (
            pulumi.Output.secret if self._secret else list
        )
        return marked(values)

    def _release(self, definition: _Properties) -> Release | None:
        """Declare the release, if the app has a rollout or jobs."""
        args = self._args
        if not args.rollout and not args.jobs.before and not args.jobs.after:
            return None
        defined = {key: value for key, value in definition.items() if key not in _IN_PLACE}
        # A preview knows the image's name, but not its id.
        defined |= {
            "image": self._image_name,
            "port": args.port,
            "jobs": [*args.jobs.before, "-", *args.jobs.after],
            # The default and the host's limit make no release. A number in the settings does, by its label.
            "ulimits": [_NO_CORE],
        }
        return Release(
            f"{self._name}-release",
            host=self._engine.host,
            app=self._name,
            defined_by={key: pulumi.Output.json_dumps(value) for key, value in sorted(defined.items())},
            published=args.rollout and args.published,
            numbered=args.rollout,
            # In the container's spelling, so that 1 and 1.0 are the same limit here too.
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
            name = _numbered(self._name, release)
            if args.published:
                self.port = release.port.apply(int)
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
            # The id and not the name: the provider compares names as text, and refreshes would show changes.
            image=self._image.image_id,
            ports=ports,
            opts=self._replaced(first, first_gone=not args.rollout),
            **definition,
        )

    def _jobs(
        self, when: str, common: _Properties, release: Release | None, first: list[pulumi.Resource]
    ) -> list[pulumi.Resource]:
        """Declare the jobs before or after the container in a row, and return the resource to wait for."""
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
                    {"name": network} for network in self._network_names((self.network, *self._joined))
                ],
                must_run=False,
                restart="no",
                # The image may have a health check for its service. A job has no service.
                healthcheck=docker.ContainerHealthcheckArgs(tests=["NONE"], **_CHECK_TIMES),
                # The old job may go first: it has another name, and it has ended.
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
                secret=self._has_secrets,
                opts=ResourceOptions(parent=self, depends_on=[container]),
            )
            done = [state]
        return done

    def _replaced(self, first: list[pulumi.Resource], *, first_gone: bool) -> ResourceOptions:
        return ResourceOptions.merge(
            self._own,
            ResourceOptions(
                depends_on=first,
                # A fixed name and port are free only when the old container is gone. The provider's own
                # default is true, so we must set false.
                delete_before_replace=first_gone,
                replace_on_changes=_REPLACE_ON_CHANGES,
                # A container that is replaced for another reason gets the declared values of these, too.
                ignore_changes=[*_IGNORE_CHANGES, *self._engine.filled_in, *self._keeps],
            ),
        )


def _owner() -> dict[str, str]:
    """Return the label by which `portcullis up` finds what an interrupted deployment of this stack left."""
    return {"label": OWNER_LABEL, "value": f"{pulumi.get_project()}/{pulumi.get_stack()}"}


def _numbered(name: str, release: Release) -> pulumi.Output[str]:
    return release.number.apply(lambda number: f"{name}-{int(number)}")


def _check(
    args: PrivateContainerArgs,
    uses: Sequence[StoreUse],
    secrets: Mapping[str, pulumi.Input[str]] | SecretFiles | None,
    secret_env: Mapping[str, pulumi.Input[str]],
    refresh: Mapping[str, pulumi.Input[str]],
    *,
    here: str,
    there: Mapping[str, str],
) -> None:
    """Refuse arguments that do not fit together. `there` has the host of each server, and `here` is ours."""
    faults = faults_in(ListOf[Refresh], refresh, "PrivateContainer.refresh")
    faults += faults_in(ListOf[EnvName], secret_env, "PrivateContainer.secret_env")
    faults += [
        Fault(
            "PrivateContainer.secret_env", f"{name} is in PrivateContainerArgs.env too", "keep one of the two"
        )
        for name in secret_env
        if name in args.env
    ]
    faults += [
        Fault("PrivateContainer.uses", f"{server} runs on {host}", f"pass a server that runs on {here}")
        for server, host in there.items()
        if host != here
    ]
    if isinstance(secrets, SecretFiles) and any(use.files for use in uses):
        why = "is a folder that this component does not write to, but `uses` brings files"
        faults.append(
            Fault("PrivateContainer.secrets", why, "pass a map, or put the files of `uses` into the folder")
        )
    elif (secrets or any(use.files for use in uses)) and not is_number(args.user):
        reason, hint = NAMED_USER
        faults.append(Fault("PrivateContainerArgs.user", f"{shown(args.user)} {reason}", hint))
    if faults:
        raise ArgumentsError(faults)
