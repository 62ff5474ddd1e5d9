"""Policies for containers: no open port, no powers of the host, no more rights than needed."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

from portcullis.policy.addresses import private
from portcullis.policy.model import UNKNOWN, Policy, Resource

if TYPE_CHECKING:
    from collections.abc import Iterator

_SERVICE = "docker:index/service:Service"
_VOLUME = "docker:index/volume:Volume"
_IMAGE = "docker:index/remoteImage:RemoteImage"
_DIGEST = re.compile(r"(?:.*@)?sha256:[0-9a-f]{64}")
_SOCKETS = ("docker.sock", "containerd.sock", "podman.sock", "crio.sock")
_ABOVE_SOCKETS = ("/", "/run", "/var", "/var/run", "/run/docker", "/run/containerd")
# A container that mounts one of these folders, or a folder above or below, controls the host or its secrets.
_OF_THE_HOST = (
    "/boot", "/dev", "/etc/cron.d", "/etc/docker", "/etc/pam.d", "/etc/passwd", "/etc/shadow", "/etc/ssh",
    "/etc/sudoers.d", "/etc/systemd", "/proc", "/root", "/sys", "/usr/bin", "/usr/sbin",
    "/var/lib/containerd", "/var/lib/docker",
)  # fmt: skip
_NAMESPACES = {
    "pidMode": "the host's processes",
    "ipcMode": "the host's shared memory",
    "usernsMode": "the host's user ids",
    "cgroupnsMode": "the host's cgroups",
}


def _public_bind(resource: Resource) -> Iterator[str]:
    if resource.type == _SERVICE:
        endpoint = resource.props.get("endpointSpec")
        ports = endpoint.get("ports") if isinstance(endpoint, dict) else None
        for port in ports if isinstance(ports, list) else ():
            yield f"publishes port {_port(port, 'publishedPort')} of a Swarm service on every address"
    if not resource.is_container():
        return
    if resource.props.get("publishAllPorts") is True:
        yield "publishes every port of its image on every address of the host"
    for port in resource.items("ports"):
        address = port.get("ip")
        if address is UNKNOWN or (isinstance(address, str) and private(address)):
            continue
        where = f"on {address}" if address else "on every address of the host, because it names no address"
        yield f"publishes port {_port(port, 'external')} {where}"


def _swarm(resource: Resource) -> Iterator[str]:
    if resource.type == _SERVICE:
        yield "is a Swarm service, and no other policy can check its containers"


def _port(port: Any, key: str) -> str:
    number = port.get(key) if isinstance(port, dict) else None
    return str(int(number)) if isinstance(number, int | float) else "?"


def _privileged(resource: Resource) -> Iterator[str]:
    if not resource.is_container():
        return
    if resource.props.get("privileged") is True:
        yield "runs privileged"
    for option in resource.texts("securityOpts"):
        if re.fullmatch(r"(?:seccomp|apparmor|systempaths)[=:]unconfined|label[=:]disable", option):
            yield f"switches off a protection: {option}"
    for device in resource.items("devices"):
        yield f"gets the device {device.get('hostPath', '?')}"


def _docker_socket(resource: Resource) -> Iterator[str]:
    if resource.type == _VOLUME:
        yield from _of_the_host(_device(resource.props.get("driverOpts")), "in every container that uses it")
    if not resource.is_container():
        return
    for mount in resource.items("mounts"):
        if mount.get("type") == "bind":
            yield from _of_the_host(mount.get("source"), mount.get("target"))
        options = mount.get("volumeOptions")
        device = _device(options.get("driverOptions")) if isinstance(options, dict) else None
        yield from _of_the_host(device, mount.get("target"))
    for volume in resource.items("volumes"):
        yield from _of_the_host(volume.get("hostPath"), volume.get("containerPath"))


def _device(options: Any) -> Any:
    """Return the path or device that a volume of Docker's own driver mounts."""
    return options.get("device") if isinstance(options, dict) else None


def _of_the_host(source: Any, target: Any) -> Iterator[str]:
    if not isinstance(source, str) or not source.startswith("/"):
        return
    # normpath keeps two slashes at the beginning, but Linux treats them as one.
    folder = posixpath.normpath("/" + source.lstrip("/"))
    where = f"at {target}" if str(target).startswith("/") else target
    if folder.endswith(_SOCKETS):
        yield f"mounts {source} {where}"
    elif folder in _ABOVE_SOCKETS:
        yield f"mounts {source} {where}, which contains Docker's socket"
    elif any(_within(folder, own) or _within(own, folder) for own in _OF_THE_HOST):
        yield f"mounts {source} {where}, which belongs to the host itself"


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _host_network(resource: Resource) -> Iterator[str]:
    if not resource.is_container():
        return
    if resource.props.get("networkMode") == "host":
        yield "uses the host's network (networkMode: host)"
    if any(network.get("name") == "host" for network in resource.items("networksAdvanced")):
        yield "joins the network host"


def _host_namespaces(resource: Resource) -> Iterator[str]:
    if not resource.is_container():
        return
    for key, meaning in _NAMESPACES.items():
        if resource.props.get(key) == "host":
            yield f"shares {meaning} ({key}: host)"


def _capabilities(resource: Resource) -> Iterator[str]:
    if not resource.is_container() or resource.props.get("capabilities") is UNKNOWN:
        return
    capabilities = resource.props.get("capabilities") or {}
    drops, adds = (_known(capabilities.get(key)) for key in ("drops", "adds"))
    if not {"ALL", "CAP_ALL"} & {name.upper() for name in drops}:
        yield "does not drop all capabilities"
    if adds:
        yield f"gets the capabilities {', '.join(sorted(adds))}"


def _known(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _new_privileges(resource: Resource) -> Iterator[str]:
    # If the option is given twice, Docker uses only one of the two values.
    said = [option for option in resource.texts("securityOpts") if option.startswith("no-new-privileges")]
    if (
        resource.is_container()
        and not resource.unknown("securityOpts")
        and not (said and all(re.fullmatch(r"no-new-privileges(?:[=:]true)?", option) for option in said))
    ):
        yield "lets its programs gain privileges"


def _read_only(resource: Resource) -> Iterator[str]:
    if resource.is_container() and resource.props.get("readOnly") not in (True, UNKNOWN):
        yield "can change its own programs, because its root file system is not read-only"


_ROOT = r"root|[+-]?0+"


def _root_user(resource: Resource) -> Iterator[str]:
    if not resource.is_container() or resource.props.get("user") is UNKNOWN:
        return
    user = resource.text("user")
    if not user:
        yield "runs as the user of its image, which is root in most images"
    elif re.fullmatch(_ROOT, user.partition(":")[0]):
        yield f"runs as root (user {user})"
    elif re.fullmatch(_ROOT, user.partition(":")[2]):
        yield f"runs in root's group (user {user})"


def _digest(resource: Resource) -> Iterator[str]:
    key = "name" if resource.type == _IMAGE else "image"
    if resource.type != _IMAGE and not resource.is_container():
        return
    image = resource.props.get(key)
    if image is not UNKNOWN and not (isinstance(image, str) and _DIGEST.fullmatch(image)):
        yield f"names the image {image} by a tag, which the registry may change"


def _memory(resource: Resource) -> Iterator[str]:
    memory = resource.props.get("memory")
    if resource.is_container() and memory is not UNKNOWN and not memory:
        yield "may use all the memory of the host"


POLICIES = (
    Policy(
        "no-public-bind",
        "Containers publish ports only on docker0's address, or on another private address.",
        "ufw does not stop ports that Docker publishes: a port on 0.0.0.0 is open to the Internet.",
        "Use hostPort in portcullis:apps, or PrivateContainer. Both bind ports to docker0's address. Let "
        "people in through a site or a tunnel.",
        _public_bind,
    ),
    Policy(
        "no-swarm-service",
        "No resource is a service of Docker's Swarm mode.",
        "The policies cannot check its mounts, user and ports, and Swarm publishes ports past the firewall.",
        "Declare it under portcullis:apps, or use PrivateContainer.",
        _swarm,
    ),
    Policy(
        "no-privileged-container",
        "No container is privileged, is unconfined, or gets devices.",
        "An attacker who breaks into such a container becomes root on the host.",
        "Remove `privileged`, `devices`, and options such as seccomp=unconfined.",
        _privileged,
    ),
    Policy(
        "no-docker-socket",
        "No container or volume mounts Docker's socket, its folder, or the host's own folders.",
        "A program with access to that socket can start a privileged container and become root. Access to "
        "folders such as /etc or /proc is as dangerous.",
        "Do not mount such a path. Run a tool that needs it as a service of the host. Keep data in a volume.",
        _docker_socket,
    ),
    Policy(
        "no-host-network",
        "No container uses the host's network.",
        "A container in the host's network listens on the host's own addresses. It can reach services on "
        "localhost.",
        "Give the container its own network, and publish a port on docker0's address.",
        _host_network,
    ),
    Policy(
        "no-host-namespaces",
        "No container shares the host's processes, shared memory or user ids.",
        "Such a container could see and signal the host's processes, and read their memory.",
        "Remove pidMode, ipcMode, usernsMode and cgroupnsMode.",
        _host_namespaces,
    ),
    Policy(
        "drop-all-capabilities",
        "A container drops all capabilities and adds none.",
        "Each capability is a part of root's power, and few programs need any.",
        'Write capabilities: {drops: ["ALL"]}, as PrivateContainer does, and listen on a port above 1023.',
        _capabilities,
    ),
    Policy(
        "no-new-privileges",
        "A container's programs cannot gain privileges.",
        "A setuid program in the image would make any user root in the container.",
        'Write securityOpts: ["no-new-privileges:true"].',
        _new_privileges,
    ),
    Policy(
        "read-only-root",
        "A container's root file system is read-only.",
        "An intruder cannot change programs or leave files behind in a read-only file system.",
        "Write readOnly: true, with a volume or tmpfs for each folder that the container writes to. If that "
        "is impossible, write an exemption with the reason.",
        _read_only,
    ),
    Policy(
        "no-root-user",
        "A container does not run as root.",
        "A security hole in the kernel or in a mount does more damage if the process is root.",
        "Set `user` to a number. In portcullis:apps the default is nobody (65534:65534).",
        _root_user,
    ),
    Policy(
        "digest-pinned-image",
        "An image has a digest in its name.",
        "A registry can move a tag: the next pull may bring another program.",
        "Write name@sha256:…; `docker buildx imagetools inspect NAME:TAG` prints the digest.",
        _digest,
    ),
    Policy(
        "memory-limit",
        "A container has a memory limit.",
        "A container with a memory leak can bring down the host and everything on it.",
        "Set `memory`, in MB.",
        _memory,
    ),
)
