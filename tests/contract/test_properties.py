"""The stand-ins list every property of the pinned SDKs, so that they refuse unsupported properties by name.

The tests read the SDKs' source, so a new SDK with a new property fails here first.
"""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.plugins.command_plugin import schema as command
from lab.plugins.docker_plugin import schema as docker
from lab.plugins.tls_plugin import schema as tls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.plugins.fields import Field

_OF_THE_ENGINE = {"version", "pluginDownloadURL"}
_CONTAINER = docker.CONTAINER
RESOURCES: dict[tuple[str, str], Mapping[str, Field]] = {
    ("pulumi_docker/container.py", "ContainerArgs"): _CONTAINER,
    ("pulumi_docker/network.py", "NetworkArgs"): docker.NETWORK,
    ("pulumi_docker/volume.py", "VolumeArgs"): docker.VOLUME,
    ("pulumi_docker/remote_image.py", "RemoteImageArgs"): docker.REMOTE_IMAGE,
    ("pulumi_docker/provider.py", "ProviderArgs"): docker.PROVIDER,
    ("pulumi_tls/private_key.py", "PrivateKeyArgs"): tls.PRIVATE_KEY,
    ("pulumi_tls/cert_request.py", "CertRequestArgs"): tls.CERT_REQUEST,
    ("pulumi_tls/self_signed_cert.py", "SelfSignedCertArgs"): tls.SELF_SIGNED_CERT,
    ("pulumi_tls/locally_signed_cert.py", "LocallySignedCertArgs"): tls.LOCALLY_SIGNED_CERT,
    ("pulumi_command/local/command.py", "CommandArgs"): command.LOCAL,
}


def parts(known: Field) -> Mapping[str, Field]:
    """Return the parts of an object, or of the objects in a list."""
    return known.item.fields if known.item is not None else known.fields


PARTS = {
    "ContainerCapabilitiesArgs": parts(_CONTAINER["capabilities"]),
    "ContainerHealthcheckArgs": parts(_CONTAINER["healthcheck"]),
    "ContainerHostArgs": parts(_CONTAINER["hosts"]),
    "ContainerLabelArgs": parts(_CONTAINER["labels"]),
    "ContainerMountArgs": parts(_CONTAINER["mounts"]),
    "ContainerMountBindOptionsArgs": parts(parts(_CONTAINER["mounts"])["bindOptions"]),
    "ContainerMountTmpfsOptionsArgs": parts(parts(_CONTAINER["mounts"])["tmpfsOptions"]),
    "ContainerMountVolumeOptionsArgs": parts(parts(_CONTAINER["mounts"])["volumeOptions"]),
    "ContainerNetworksAdvancedArgs": parts(_CONTAINER["networksAdvanced"]),
    "ContainerPortArgs": parts(_CONTAINER["ports"]),
    "ContainerUlimitArgs": parts(_CONTAINER["ulimits"]),
    "ContainerUploadArgs": parts(_CONTAINER["uploads"]),
    "ContainerVolumeArgs": parts(_CONTAINER["volumes"]),
    "NetworkIpamConfigArgs": parts(docker.NETWORK["ipamConfigs"]),
}


def properties(file: str, class_: str) -> set[str]:
    """Return the properties of an SDK's class, by their names in the engine."""
    package, _, rest = file.partition("/")
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    text = (Path(spec.origin).parent / rest).read_text(encoding="utf-8")
    found = next(
        node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == class_
    )
    names = set()
    for function in (node for node in found.body if isinstance(node, ast.FunctionDef)):
        decorators = [ast.unparse(each) for each in function.decorator_list]
        if "_builtins.property" in decorators:
            renamed = [each.partition("'")[2][:-2] for each in decorators if "getter(name=" in each]
            names.add(renamed[0] if renamed else function.name)
    assert names
    return names


@pytest.mark.parametrize(("file", "class_"), RESOURCES)
def test_every_input_of_a_resource_is_known(file: str, class_: str) -> None:
    known = {name for name, field in RESOURCES[file, class_].items() if not field.output}
    assert known - _OF_THE_ENGINE == properties(file, class_)


@pytest.mark.parametrize("class_", PARTS)
def test_every_part_of_one_is_known(class_: str) -> None:
    assert set(PARTS[class_]) == properties("pulumi_docker/_inputs.py", class_)
