"""Derive the container of each app from the app's settings."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from portcullis.components.containers.args import ContainerArgs, PrivateContainerArgs

if TYPE_CHECKING:
    from portcullis.components.containers.args import AppArgs


def container_of(name: str, app: AppArgs, *, serves: bool, is_used: bool = False) -> PrivateContainerArgs:
    """Return the settings of an app's container.

    Args:
        name: the app's name.
        app: the app's settings.
        serves: whether a site sends requests to the app.
        is_used: whether another app uses it.
    """
    shared = {field: getattr(app, field) for field in app.model_fields_set & set(ContainerArgs.model_fields)}
    # The app's name comes first, because two apps may both have a volume "data".
    shared["volumes"] = {f"{name}-{volume}": path for volume, path in app.volumes.items()}
    return PrivateContainerArgs(
        **shared,
        # Two containers cannot run side by side on a fixed port.
        rollout=(serves or is_used) and app.host_port is None,
        published=serves,
        bridge=None if app.egress is None else bridge(name),
    )


def bridge(name: str) -> str:
    """Return the name of the interface of an app's network: at most 15 characters, unique for each app."""
    if len(name) <= 12:  # noqa: PLR2004 - IFNAMSIZ in linux/if.h is 16, with a zero byte at the end
        return f"br-{name}"
    return f"br-{name[:5]}-{sha256(name.encode()).hexdigest()[:6]}"
