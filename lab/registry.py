"""The registry that serves images to the hosts: Debian's docker-registry, with TLS, on the segment."""

from __future__ import annotations

import json
import ssl
from contextlib import suppress
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from lab import debian, keys
from lab.errors import LabError
from lab.network import REGISTRY_ADDRESS, ROUTER
from lab.places import LIVE, cache, made
from lab.processes import start, wait_for

if TYPE_CHECKING:
    from lab.shell import Progress
    from lab.state import State

PORT = 5000
NAME = f"{REGISTRY_ADDRESS.v4}:{PORT}"


def trust() -> ssl.SSLContext:
    """Return a TLS context that trusts the lab's CA and nothing else."""
    return ssl.create_default_context(cafile=str(keys.authority().certificate))


def ensure(state: State, progress: Progress) -> None:
    """Start the registry unless it runs."""
    if state.registry and state.registry.alive():
        return
    progress.say("starting the registry")
    program = debian.program("docker-registry", "/usr/bin/docker-registry")
    certificate, key = keys.registry_certificate()
    settings = LIVE / "registry.json"  # JSON is YAML
    settings.write_text(
        json.dumps(
            {
                "version": "0.1",
                "log": {"level": "warn"},
                "storage": {"filesystem": {"rootdirectory": str(made(cache() / "registry"))}},
                "http": {
                    "addr": f"{REGISTRY_ADDRESS.v4}:{PORT}",
                    "tls": {"certificate": str(certificate), "key": str(key)},
                },
            }
        )
    )
    state.registry = start("registry", ["ip", "netns", "exec", ROUTER, str(program), "serve", str(settings)])
    wait_for("registry", state.registry, _answers, 20)


def _answers() -> bool:
    with (
        suppress(OSError, HTTPException),
        urlopen(f"https://{NAME}/v2/", timeout=2, context=trust()) as answer,
    ):
        return bool(answer.status == 200)  # noqa: PLR2004
    return False


def stop(state: State) -> None:
    """Stop it."""
    if state.registry:
        state.registry.stop()
        state.registry = None


def digest(image: str, tag: str) -> str:
    """Return the digest that a tag stands for now.

    Raises:
        LabError: no such image, or the registry is not up.
    """
    url = f"https://{NAME}/v2/{image}/manifests/{tag}"
    headers = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    try:
        with urlopen(Request(url, headers=headers, method="HEAD"), timeout=10, context=trust()) as answer:
            return str(answer.headers["Docker-Content-Digest"])
    except HTTPError as error:
        raise LabError(f"the lab's registry has no image {image}:{tag}") from error
    except OSError as error:
        raise LabError("the lab's registry does not answer", "run `lab.py up`") from error
