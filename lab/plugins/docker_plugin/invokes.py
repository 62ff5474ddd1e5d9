"""The docker functions: getRegistryImage, getNetwork, getRemoteImage."""

from __future__ import annotations

import http.client
import ssl
from typing import TYPE_CHECKING, Any

from lab.plugins.docker_plugin.engine import daemon_errors
from lab.plugins.docker_plugin.image import inspect_image, repo_digest
from lab.plugins.docker_plugin.network import ipam_configs
from lab.plugins.errors import PluginError, one_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.plugins.docker_plugin.engine import Engine
    from lab.plugins.values import Properties

_TIMEOUT_SECONDS = 30
_MANIFESTS = ", ".join(
    (
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
    )
)


def get_registry_image(engine: Engine, args: Properties) -> Properties:
    """The digest of a tag, asked of the registry over HTTPS; only registries that need no login."""
    del engine
    name = args["name"]
    insecure = args.get("insecureSkipVerify", False)
    registry, slash, rest = name.partition("/")
    if not slash or not (set(registry) & set(".:") or registry == "localhost"):
        registry, rest = "registry-1.docker.io", name if slash else f"library/{name}"
    repository, _, tag = rest.partition(":")
    # Not verifying is asked for by the program, as officially.
    context = ssl._create_unverified_context() if insecure else ssl.create_default_context()  # noqa: S323, SLF001
    connection = http.client.HTTPSConnection(registry, timeout=_TIMEOUT_SECONDS, context=context)
    what = f"Got error when attempting to fetch image version {repository}:{tag or 'latest'} from registry"
    try:
        connection.request(
            "HEAD", f"/v2/{repository}/manifests/{tag or 'latest'}", headers={"Accept": _MANIFESTS}
        )
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        raise PluginError(one_error(f"{what}: {registry}: {error}")) from None
    finally:
        connection.close()
    digest = response.headers.get("Docker-Content-Digest")
    if response.status != http.HTTPStatus.OK or not digest:
        hint = ""
        if response.status == http.HTTPStatus.UNAUTHORIZED:
            hint = (
                ". The docker plugin's stand-in does not log in: install the official one, or name the digest"
            )
        raise PluginError(one_error(f"{what}: {registry} answered {response.status} {response.reason}{hint}"))
    return {"id": digest, "insecureSkipVerify": insecure, "name": name, "sha256Digest": digest}


def get_network(engine: Engine, args: Properties) -> Properties:
    """A network by its name, with the containers on it."""
    with daemon_errors("Could not find docker network"):
        found: dict[str, Any] = engine.client.inspect_network(args["name"])
    return {
        "containers": [
            {
                "containerId": id_,
                "endpointId": endpoint["EndpointID"],
                "ipv4Address": endpoint["IPv4Address"],
                "ipv6Address": endpoint["IPv6Address"],
                "macAddress": endpoint["MacAddress"],
                "name": endpoint["Name"],
            }
            for id_, endpoint in sorted((found["Containers"] or {}).items())
        ],
        "driver": found["Driver"],
        "id": found["Id"],
        "internal": found["Internal"],
        "ipamConfigs": ipam_configs(found),
        "name": found["Name"],
        "options": found["Options"] or {},
        "scope": found["Scope"],
    }


def get_remote_image(engine: Engine, args: Properties) -> Properties:
    """An image that the engine has."""
    name = args["name"]
    found = inspect_image(engine, name)
    if found is None:
        raise PluginError(one_error(f"did not find docker image '{name}'"))
    return {"id": found["Id"], "name": name, "repoDigest": repo_digest(name, found.get("RepoDigests") or [])}


INVOKES: dict[str, tuple[frozenset[str], Callable[[Engine, Properties], Properties]]] = {
    "docker:index/getRegistryImage:getRegistryImage": (
        frozenset(("name", "insecureSkipVerify")),
        get_registry_image,
    ),
    "docker:index/getNetwork:getNetwork": (frozenset(("name",)), get_network),
    "docker:index/getRemoteImage:getRemoteImage": (frozenset(("name",)), get_remote_image),
}
