"""The apps of a host: containers with the stores, secrets and volumes that the settings name."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

import pulumi

from portcullis.components.containers.args import Jobs, PrivateContainerArgs
from portcullis.components.containers.component import PrivateContainer
from portcullis.components.containers.render import http_check
from portcullis.components.secrets.component import SecretFiles, SecretFilesArgs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pulumi import ResourceOptions

    from portcullis.components.docker.component import DockerEngine
    from portcullis.components.stores.store_use import StoreUse
    from portcullis.settings import AppSettings
    from portcullis.settings.model import Credentials


@dataclass(frozen=True, slots=True)
class AppParts:
    """What an app is made of beside its settings.

    Attributes:
        host: alias of its host.
        engine: the Docker engine of that host.
        uses: the stores it uses.
        secrets: what its own secrets hold, by name.
        login: the login at its image's registry, or None.
        serves: a site sends requests to it.
        secret: the settings of apps hold an encrypted value; what a container is given of them is marked.
        adopt: take over secret files that are there and differ.
    """

    host: str
    engine: DockerEngine
    uses: Sequence[StoreUse] = ()
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    login: Credentials | None = None
    serves: bool = False
    secret: bool = False
    adopt: bool = False


def app(name: str, settings: AppSettings, parts: AppParts, opts: ResourceOptions) -> PrivateContainer:
    """Declare an app's container, and the files that hold its secrets.

    Raises:
        ValueError: it has no health check.
    """
    files = {file: content for use in parts.uses for file, content in use.files.items()} | dict(parts.secrets)
    secrets = None
    if files:
        secrets = SecretFiles(
            f"{name}-secrets",
            SecretFilesArgs(host=parts.host, owner=_owner(settings.user), files=files, adopt=parts.adopt),
            opts=opts,
        )
    return PrivateContainer(
        name,
        PrivateContainerArgs(
            engine=parts.engine,
            image=settings.image,
            login=parts.login,
            health=_health(settings),
            port=settings.port,
            host_port=settings.host_port,
            # With a fixed port there is no place for two at a time.
            rollout=parts.serves and settings.host_port is None,
            jobs=Jobs(settings.jobs.before, settings.jobs.after),
            env=settings.env,
            command=settings.command,
            user=settings.user,
            memory=settings.memory,
            cpus=settings.cpus,
            pids=settings.pids,
            stop_grace=settings.stop_grace,
            bridge=None if settings.egress is None else bridge(name),
            # Once each: two databases of one store are on one network.
            networks=tuple(dict.fromkeys(network for use in parts.uses for network in use.networks)),
            secrets=secrets,
            # An app reads its secrets when it starts: a new one takes a new container.
            refresh={"secrets": _revision(secrets)} if secrets else {},
            # Named after the app: two apps may both have a volume "data".
            volumes={f"{name}-{volume}": path for volume, path in settings.volumes.items()},
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


def _health(settings: AppSettings) -> tuple[str, ...]:
    if settings.health_command is not None:
        return ("CMD", *settings.health_command)
    if settings.health is not None and settings.port is not None:
        return tuple(http_check(settings.port, settings.health))
    raise ValueError("AppSettings: health with port, or health_command, is missing")


def bridge(name: str) -> str:
    """Return the name of an app's network interface: 15 characters at most, and another for each app."""
    if len(name) <= 12:  # noqa: PLR2004 - linux/if.h: IFNAMSIZ is 16, the last byte a zero
        return f"br-{name}"
    return f"br-{name[:5]}-{sha256(name.encode()).hexdigest()[:6]}"
