"""The apps of a host: containers with the stores, secrets and volumes that they name."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

import pulumi

from portcullis.components.containers.component import PrivateContainer, PrivateContainerArgs
from portcullis.components.containers.render import http_check, listens_check
from portcullis.components.secrets.component import SecretFiles, SecretFilesArgs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pulumi import ResourceOptions

    from portcullis.components.containers.args import AppArgs, RegistryArgs
    from portcullis.components.docker.component import DockerEngine
    from portcullis.components.stores.store_use import StoreUse


@dataclass(frozen=True, slots=True)
class AppParts:
    """What an app is made of beside its arguments.

    Attributes:
        host: alias of its host.
        engine: the Docker engine of that host.
        uses: the stores it uses.
        secrets: what its own secrets hold, by name.
        login: the login at its image's registry, or None.
        serves: a site sends requests to it.
        secret: the arguments hold a secret somewhere; what a container is given of them is marked.
        adopt: take over secret files that are there and differ.
    """

    host: str
    engine: DockerEngine
    uses: Sequence[StoreUse] = ()
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    login: RegistryArgs | None = None
    serves: bool = False
    secret: bool = False
    adopt: bool = False


def app(name: str, args: AppArgs, parts: AppParts, opts: ResourceOptions) -> PrivateContainer:
    """Declare an app's container, and the files that hold its secrets.

    Raises:
        ValueError: it has no health check.
    """
    files = {file: content for use in parts.uses for file, content in use.files.items()} | dict(parts.secrets)
    secrets = None
    if files:
        secrets = SecretFiles(
            f"{name}-secrets",
            SecretFilesArgs(host=parts.host, owner=_owner(args.user), files=files, adopt=parts.adopt),
            opts=opts,
        )
    return PrivateContainer(
        name,
        PrivateContainerArgs(
            engine=parts.engine,
            image=args.image,
            login=parts.login,
            health=_health(args),
            port=args.port,
            host_port=args.host_port,
            # With a fixed port there is no place for two at a time.
            rollout=parts.serves and args.host_port is None,
            jobs=args.jobs,
            env=args.env,
            command=None if args.command is None else tuple(args.command),
            user=args.user,
            memory=args.memory,
            cpus=args.cpus,
            pids=args.pids,
            stop_grace=args.stop_grace,
            bridge=None if args.egress is None else bridge(name),
            # Once each: two databases of one store are on one network.
            networks=tuple(dict.fromkeys(network for use in parts.uses for network in use.networks)),
            secrets=secrets,
            # An app reads its secrets when it starts: a new one takes a new container.
            refresh={"secrets": _revision(secrets)} if secrets else {},
            # Named after the app: two apps may both have a volume "data".
            volumes={f"{name}-{volume}": path for volume, path in args.volumes.items()},
            after=tuple(ready for use in parts.uses for ready in use.ready),
            secret=parts.secret,
        ),
        opts=opts,
    )


def _revision(secrets: SecretFiles) -> pulumi.Output[str]:
    """Return one text that changes with each write of any of the files."""
    return pulumi.Output.all(**secrets.revisions).apply(
        lambda found: "-".join(str(found[name]) for name in sorted(found))
    )


def _owner(user: str) -> str:
    """Return user and group by number; only the user may read, so any group will do."""
    return user if ":" in user else f"{user}:{user}"


def _health(args: AppArgs) -> tuple[str, ...]:
    if args.health_command is not None:
        return ("CMD", *args.health_command)
    if args.health is not None and args.port is not None:
        return tuple(http_check(args.port, args.health))
    if args.port is not None:
        return tuple(listens_check(args.port))
    raise ValueError("AppArgs: health with port, or health_command, is missing")


def bridge(name: str) -> str:
    """Return the name of an app's network interface: 15 characters at most, and another for each app."""
    if len(name) <= 12:  # noqa: PLR2004 - linux/if.h: IFNAMSIZ is 16, the last byte a zero
        return f"br-{name}"
    return f"br-{name[:5]}-{sha256(name.encode()).hexdigest()[:6]}"
