"""What a container may not be given: an open port, the host's own powers, more than it needs."""

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
# Whoever has one of these, what is below or what is above it, has the host or its secrets.
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
        where = f"on {address}" if address else "on every address of the host (it names none)"
        yield f"publishes port {_port(port, 'external')} {where}"


def _swarm(resource: Resource) -> Iterator[str]:
    if resource.type == _SERVICE:
        yield "is a Swarm service, whose containers no other policy sees"


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
            yield f"switches a protection off: {option}"
    for device in resource.items("devices"):
        yield f"is given the device {device.get('hostPath', '?')}"


def _docker_socket(resource: Resource) -> Iterator[str]:
    if resource.type == _VOLUME:
        yield from _of_the_host(_device(resource.props.get("driverOpts")), "in every container that has it")
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
    """Give what a volume of Docker's own driver is mounted from."""
    return options.get("device") if isinstance(options, dict) else None


def _of_the_host(source: Any, target: Any) -> Iterator[str]:
    if not isinstance(source, str) or not source.startswith("/"):
        return
    # Two slashes at the beginning are kept by normpath, and are one to Linux.
    folder = posixpath.normpath("/" + source.lstrip("/"))
    where = f"at {target}" if str(target).startswith("/") else target
    if folder.endswith(_SOCKETS):
        yield f"mounts {source} {where}"
    elif folder in _ABOVE_SOCKETS:
        yield f"mounts {source} {where}, and Docker's socket with it"
    elif any(_within(folder, own) or _within(own, folder) for own in _OF_THE_HOST):
        yield f"mounts {source} {where}, which is the host itself"


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
        yield f"is given the capabilities {', '.join(sorted(adds))}"


def _known(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _new_privileges(resource: Resource) -> Iterator[str]:
    # Said twice, Docker takes one of the two.
    said = [option for option in resource.texts("securityOpts") if option.startswith("no-new-privileges")]
    if (
        resource.is_container()
        and not resource.unknown("securityOpts")
        and not (said and all(re.fullmatch(r"no-new-privileges(?:[=:]true)?", option) for option in said))
    ):
        yield "lets its programs gain privileges"


def _read_only(resource: Resource) -> Iterator[str]:
    if resource.is_container() and resource.props.get("readOnly") not in (True, UNKNOWN):
        yield "may write to its own programs: its root is not read-only"


_ROOT = r"root|[+-]?0+"


def _root_user(resource: Resource) -> Iterator[str]:
    if not resource.is_container() or resource.props.get("user") is UNKNOWN:
        return
    user = resource.text("user")
    if not user:
        yield "runs as whatever user its image names, which is root in most"
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
        yield f"names the image {image} by a tag, which its registry may change"


def _memory(resource: Resource) -> Iterator[str]:
    memory = resource.props.get("memory")
    if resource.is_container() and memory is not UNKNOWN and not memory:
        yield "may take all the memory of the host"


POLICIES = (
    Policy(
        "no-public-bind",
        "A container publishes its ports on docker0's address or on none.",
        "Docker opens published ports past ufw: on 0.0.0.0 it is open to the Internet, whatever ufw says.",
        "Take hostPort of portcullis:apps, or PrivateContainer, which bind to docker0's address; let people "
        "in by a site or a tunnel.",
        _public_bind,
    ),
    Policy(
        "no-swarm-service",
        "No service of Docker's Swarm mode is declared.",
        "What it mounts, runs as and publishes is not judged, and Swarm opens ports past the firewall.",
        "Declare it under portcullis:apps, or by PrivateContainer.",
        _swarm,
    ),
    Policy(
        "no-privileged-container",
        "No container is privileged, unconfined, or given devices.",
        "Whoever breaks into such a container is root on the host.",
        "Take `privileged`, `devices` and options such as seccomp=unconfined out.",
        _privileged,
    ),
    Policy(
        "no-docker-socket",
        "No container or volume mounts Docker's socket, a folder that holds it, or the host's own folders.",
        "Who speaks to that socket can start a privileged container: it is root, as /etc and /proc are.",
        "Do without it, or run that tool on the host as a service; data belongs in a volume.",
        _docker_socket,
    ),
    Policy(
        "no-host-network",
        "No container uses the host's network.",
        "It would listen on the host's own addresses, and reach what is bound to localhost.",
        "Give it a network of its own and publish a port on docker0's address.",
        _host_network,
    ),
    Policy(
        "no-host-namespaces",
        "No container shares the host's processes, shared memory or user ids.",
        "It could see and signal the host's processes, and read their memory.",
        "Take pidMode, ipcMode, usernsMode and cgroupnsMode out.",
        _host_namespaces,
    ),
    Policy(
        "drop-all-capabilities",
        "A container drops all capabilities and is given none.",
        "Each one is a piece of root's power, and few programs need any.",
        'Write capabilities: {drops: ["ALL"]}, as PrivateContainer does, and listen on a port above 1023.',
        _capabilities,
    ),
    Policy(
        "no-new-privileges",
        "A container's programs cannot gain privileges.",
        "A setuid program in the image would make any user root in it.",
        'Write securityOpts: ["no-new-privileges:true"].',
        _new_privileges,
    ),
    Policy(
        "read-only-root",
        "A container's root is read-only.",
        "An intruder can then leave nothing behind, and change no program.",
        "Write readOnly: true, with a volume or tmpfs where it writes; an exemption states why it cannot be.",
        _read_only,
    ),
    Policy(
        "no-root-user",
        "A container does not run as root.",
        "A hole in the kernel or in a mount is worse when root finds it.",
        "Set `user`, by number: portcullis:apps takes nobody (65534:65534) without it.",
        _root_user,
    ),
    Policy(
        "digest-pinned-image",
        "An image is named by digest.",
        "A tag is what its registry says today: the next pull may bring another program.",
        "Write name@sha256:…; `docker buildx imagetools inspect NAME:TAG` prints it.",
        _digest,
    ),
    Policy(
        "memory-limit",
        "A container has a limit of memory.",
        "One that leaks takes the host with it, and everything on it.",
        "Set `memory`, in MB.",
        _memory,
    ),
)
