"""The registry that serves images to the hosts: Debian's docker-registry, with TLS, on the segment."""

from __future__ import annotations

import json
import ssl
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from lab import debian, keys
from lab.errors import LabError
from lab.network import REGISTRY_ADDRESS, ROUTER
from lab.places import LIVE, cache, made
from lab.processes import Process, start, wait_for
from lab.state import save

if TYPE_CHECKING:
    from lab.shell import Progress
    from lab.state import State

PORT = 5000
NAME = f"{REGISTRY_ADDRESS.v4}:{PORT}"
PRIVATE = f"{REGISTRY_ADDRESS.v4}:5001"
"""The same images to read, behind a login; started when a test asks for it."""
USERNAME, PASSWORD = "lab", "lab-registry-password-6Jt3"
_HTPASSWD = f"{USERNAME}:$2b$04$.PoUPCc.O1bj9FBf.N1mCOgUWFvOka8.vhIKCcgK6tLyYf5mxz0ja\n"  # bcrypt of PASSWORD


def trust() -> ssl.SSLContext:
    """Return a TLS context that trusts the lab's CA and nothing else."""
    return ssl.create_default_context(cafile=str(keys.authority().certificate))


def ensure(state: State, progress: Progress) -> None:
    """Start the registry unless it runs."""
    if state.registry and state.registry.alive():
        return
    progress.say("starting the registry")
    state.registry = _serve("registry", NAME)
    save(state)
    wait_for("registry", state.registry, lambda: _answers(NAME) == HTTPStatus.OK, 60)


def ensure_private(state: State) -> None:
    """Start the one behind a login unless it runs."""
    if state.private_registry and state.private_registry.alive():
        return
    logins = LIVE / "htpasswd"
    logins.write_text(_HTPASSWD)
    login = {"auth": {"htpasswd": {"realm": "lab", "path": str(logins)}}}
    state.private_registry = _serve("private-registry", PRIVATE, **login)
    save(state)
    wait_for(
        "private-registry", state.private_registry, lambda: _answers(PRIVATE) == HTTPStatus.UNAUTHORIZED, 60
    )


def _serve(name: str, address: str, **more: Any) -> Process:
    program = debian.program("docker-registry", "/usr/bin/docker-registry")
    certificate, key = keys.registry_certificate()
    settings = LIVE / f"{name}.json"  # JSON is YAML
    settings.write_text(
        json.dumps(
            {
                "version": "0.1",
                "log": {"level": "warn"},
                "storage": {"filesystem": {"rootdirectory": str(made(cache() / "registry"))}},
                "http": {"addr": address, "tls": {"certificate": str(certificate), "key": str(key)}},
                **more,
            }
        )
    )
    return start(name, ["ip", "netns", "exec", ROUTER, str(program), "serve", str(settings)])


def _answers(address: str) -> int:
    try:
        with urlopen(f"https://{address}/v2/", timeout=2, context=trust()) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code
    except (OSError, HTTPException):
        return 0


def stop(state: State) -> None:
    """Stop both registries."""
    for process in (state.registry, state.private_registry):
        if process:
            process.stop()
    state.registry = state.private_registry = None


def digest(image: str, tag: str) -> str:
    """Return the present digest of a tag.

    Raises:
        LabError: there is no such image, or the registry is not up.
    """
    url = f"https://{NAME}/v2/{image}/manifests/{tag}"
    headers = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    try:
        with urlopen(Request(url, headers=headers, method="HEAD"), timeout=10, context=trust()) as answer:
            return str(answer.headers["Docker-Content-Digest"])
    except HTTPError as error:
        raise LabError(f"the lab's registry has no image {image}:{tag}") from error
    except OSError as error:
        raise LabError("the lab's registry does not answer", "start it with `lab.py up`") from error
