"""Asks Docker about the container of a store."""

from __future__ import annotations

import json
import time
from typing import Any

from .programs import Failed, run

# A program in a store's container shares the memory limit with the server. If both exceed the limit, the
# kernel kills the largest process, which is the server. With this score, the kernel kills the backup instead
# (proc(5)).
_EXPENDABLE = "{ echo 1000 >/proc/self/oom_score_adj; } 2>/dev/null; "


def shell(container: str, script: str) -> list[str]:
    """Return the command that runs a shell script in a container, as the container's user."""
    return ["docker", "exec", "--interactive", container, "sh", "-c", _EXPENDABLE + script]


def image(container: str) -> str:
    """Return the id of the image that a container runs.

    The image's name is not enough, because the name may point to another image by now.
    """
    return str(_inspect(container)["Image"])


def command(container: str) -> list[str]:
    """Return the command of a container."""
    return [str(word) for word in _inspect(container)["Config"].get("Cmd") or []]


def user(container: str) -> str:
    """Return the user that a container runs as."""
    return str(_inspect(container)["Config"].get("User") or "0")


def is_running(container: str) -> bool:
    """Return whether a container runs."""
    return bool(_inspect(container)["State"]["Running"])


def mounts(container: str) -> list[str]:
    """Return the options that mount a container's volumes and folders in another container.

    We do not use --volumes-from: it fails for a container with a tmpfs (seen with Docker 26.1).
    """
    return [
        f"--mount=type={kind},source={mount['Name' if kind == 'volume' else 'Source']}"
        f",target={mount['Destination']}" + ("" if mount["RW"] else ",readonly")
        for mount in _inspect(container)["Mounts"]
        if (kind := mount["Type"]) in ("volume", "bind")
    ]


def wait_until_well(container: str, seconds: float) -> None:
    """Wait until a container is healthy. Raises `Failed` if that takes too long or the container stops."""
    deadline = time.monotonic() + seconds
    while True:
        state = _inspect(container)["State"]
        health = (state.get("Health") or {}).get("Status", "none")
        if state["Running"] and health in ("healthy", "none"):
            return
        if not state["Running"] or time.monotonic() > deadline:
            raise Failed(
                f"the container {container} does not become healthy ({state['Status']}, {health}); "
                f"`docker logs {container}` shows its messages"
            )
        time.sleep(0.5)


def wait_while_starting(container: str, seconds: float) -> None:
    """Wait while a container starts.

    This function raises nothing: the next step reports a container that does not work. A server that reads
    much data at its start counts as unhealthy for a while.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = _inspect(container)["State"]
        except Failed:
            return
        if not state["Running"] or (state.get("Health") or {}).get("Status", "healthy") in (
            "healthy",
            "none",
        ):
            return
        time.sleep(0.5)


def _inspect(container: str) -> dict[str, Any]:
    done = run(["docker", "container", "inspect", container], timeout=60)
    if done.code != 0:
        raise Failed(f"there is no container {container} on this host:\n{done.tail}")
    found: dict[str, Any] = json.loads(done.out)[0]
    return found
