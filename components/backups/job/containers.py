"""What is asked of Docker about the container of a store."""

from __future__ import annotations

import json
import time
from typing import Any

from .programs import Failed, run

# What runs in a store's container shares its limit of memory with the server, and where that is exceeded the
# kernel takes the largest process there, which is the server: it takes the backup instead (proc(5)).
_EXPENDABLE = "{ echo 1000 >/proc/self/oom_score_adj; } 2>/dev/null; "


def shell(container: str, script: str) -> list[str]:
    """Return the command line that runs a line of sh in a container, as its own user."""
    return ["docker", "exec", "--interactive", container, "sh", "-c", _EXPENDABLE + script]


def image(container: str) -> str:
    """Return the image that it runs, by its id: names may be moved."""
    return str(_inspect(container)["Image"])


def command(container: str) -> list[str]:
    """Return its command."""
    return [str(word) for word in _inspect(container)["Config"].get("Cmd") or []]


def user(container: str) -> str:
    """Return whom it runs as."""
    return str(_inspect(container)["Config"].get("User") or "0")


def is_running(container: str) -> bool:
    """Return whether its program runs."""
    return bool(_inspect(container)["State"]["Running"])


def mounts(container: str) -> list[str]:
    """Return the options that mount its volumes and folders in another container, as it has them.

    Not --volumes-from, which fails for a container with a tmpfs among its mounts (seen with Docker 26.1).
    """
    return [
        f"--mount=type={kind},source={mount['Name' if kind == 'volume' else 'Source']}"
        f",target={mount['Destination']}" + ("" if mount["RW"] else ",readonly")
        for mount in _inspect(container)["Mounts"]
        if (kind := mount["Type"]) in ("volume", "bind")
    ]


def wait_until_well(container: str, seconds: float) -> None:
    """Wait for its health check to say so. Raises `Failed`."""
    deadline = time.monotonic() + seconds
    while True:
        state = _inspect(container)["State"]
        health = (state.get("Health") or {}).get("Status", "none")
        if state["Running"] and health in ("healthy", "none"):
            return
        if not state["Running"] or time.monotonic() > deadline:
            raise Failed(
                f"{container} does not get well ({state['Status']}, {health}); see docker logs {container}"
            )
        time.sleep(0.5)


def wait_while_starting(container: str, seconds: float) -> None:
    """Give a container that was just started its time; what is wrong with it shows in what comes next.

    One that reads much at its start counts as unhealthy for a while.
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
