"""The resource docker:index/remoteImage:RemoteImage, and how containers find their images."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lab.plugins.docker_plugin.engine import EngineError, daemon_errors
from lab.plugins.errors import PluginError, ResourceError, one_error

if TYPE_CHECKING:
    from lab.plugins.docker_plugin.engine import Engine
    from lab.plugins.values import Properties


def inspect_image(engine: Engine, name: str) -> dict[str, Any] | None:
    """Return the engine's image of that name, tag, digest or id, or None if the engine lacks it.

    Raises:
        PluginError: the engine gave another error.
    """
    try:
        with daemon_errors():
            found: dict[str, Any] = engine.client.inspect_image(name)
    except EngineError as error:
        if error.not_found:
            return None
        raise
    return found


def find_image(engine: Engine, name: str, platform: str | None = None) -> dict[str, Any]:
    """Return the image that a container needs.

    Pull the image if the engine does not have it.

    Raises:
        PluginError: the image cannot be pulled.
    """
    found = inspect_image(engine, name)
    if found is not None:
        return found
    with daemon_errors(f"unable to pull image {name}: error pulling image {name}"):
        _pull(engine, name, platform)
    found = inspect_image(engine, name)
    if found is None:
        message = f"unable to find or pull image {name}"
        raise PluginError(message)
    return found


def _pull(engine: Engine, name: str, platform: str | None) -> None:
    """Pull an image from its registry.

    Docker may report an error in the answer's body after the status 200, so read the whole answer.
    """
    repository, tag = _split(name)
    # Without this empty auth_config, docker-py would read this machine's ~/.docker/config.json.
    said = engine.client.pull(repository, tag=tag, auth_config={}, platform=platform)
    for line in said.splitlines():
        problem = json.loads(line).get("error") if line.startswith("{") else None
        if problem:
            raise EngineError(problem, not_found=False)


def _split(name: str) -> tuple[str, str]:
    """Split `host:5000/app:1` or `app@sha256:…` into repository and tag or digest.

    If the name has both, the digest is returned.
    """
    before, at, digest = name.partition("@")
    slash = before.rfind("/")
    colon = before.find(":", slash + 1)
    repository = before if colon < 0 else before[:colon]
    if at:
        return repository, digest
    return repository, "latest" if colon < 0 else before[colon + 1 :]


def repo_digest(name: str, digests: list[str]) -> str:
    """Return the digest to store.

    If an image has several digests, take that of the repository in `name`, or else the first.
    """
    if len(digests) <= 1:
        return next(iter(digests), "")
    prefix = name.partition(":")[0]
    return next((digest for digest in digests if digest.startswith(prefix)), digests[0])


class ImageActions:
    """Pulls and removes images."""

    def create(self, engine: Engine, inputs: Properties) -> tuple[str, Properties]:
        """Pull the image unless the engine has it."""
        try:
            found = find_image(engine, inputs["name"], inputs.get("platform"))
        except PluginError as error:
            raise PluginError(one_error(f"Unable to read Docker image into resource: {error}")) from None
        return _facts(found, inputs["name"])

    def read(self, engine: Engine, id_: str, stored: Properties) -> tuple[str, Properties] | None:
        """Read the image by its name.

        If the tag now belongs to another image, the facts describe that image.
        """
        del id_
        found = inspect_image(engine, stored["name"])
        return None if found is None else _facts(found, stored["name"])

    def update(self, engine: Engine, id_: str, stored: Properties, inputs: Properties) -> None:
        """Do nothing: only keepLocally and forceRemove change in place, and only a delete uses them."""

    def delete(self, engine: Engine, id_: str, stored: Properties) -> None:
        """Remove the image from the host, unless keepLocally is set."""
        del id_
        if stored.get("keepLocally") or inspect_image(engine, stored["name"]) is None:
            return
        try:
            with daemon_errors("Unable to remove Docker image"):
                engine.client.remove_image(stored["name"], force=bool(stored.get("forceRemove")))
        except PluginError as error:
            raise ResourceError(one_error(str(error))) from None


def _facts(found: dict[str, Any], name: str) -> tuple[str, Properties]:
    digest = repo_digest(name, found.get("RepoDigests") or [])
    return found["Id"] + name, {"imageId": found["Id"], "repoDigest": digest}
