"""Checks of containers by chapters 4 and 5 of the CIS Docker Benchmark.

Item 4.6 wants a health check in the image. Item 5.27 checks the container instead, because the health check
can also come from the program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.e2e.access.cis import every, item

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.e2e.access.cis import Facts


@every("4.1", "a container has a user of its own")
def _user(container: Mapping[str, Any]) -> str | None:
    user = container["Config"]["User"].partition(":")[0]
    return "it runs as root" if user in ("", "0", "root") else None


@item("5.1", "Swarm mode is off")
def _swarm(facts: Facts) -> Iterator[str]:
    if facts.info["Swarm"]["LocalNodeState"] != "inactive":
        yield "Swarm mode is on"


@item("5.2", "AppArmor confines containers where the kernel has it")
def _apparmor(facts: Facts) -> Iterator[str]:
    if not any("name=apparmor" in option for option in facts.info["SecurityOptions"]):
        return
    for container in facts.containers:
        if container["AppArmorProfile"] in ("", "unconfined"):
            yield f"{container['Name'].lstrip('/')}: it has no AppArmor profile"


@every("5.4", "capabilities are restricted")
def _capabilities(container: Mapping[str, Any]) -> str | None:
    host = container["HostConfig"]
    if host["CapAdd"]:
        return f"it has the added capabilities {', '.join(host['CapAdd'])}"
    return None if host["CapDrop"] == ["ALL"] else "it keeps Docker's default capabilities"


@every("5.5", "no privileged containers")
def _privileged(container: Mapping[str, Any]) -> str | None:
    return "it is privileged" if container["HostConfig"]["Privileged"] else None


_SENSITIVE = ("/boot", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr", "/run", "/var/run", "/var/lib/docker")


@every("5.6", "no sensitive folders of the host are mounted")
def _mounts(container: Mapping[str, Any]) -> str | None:
    for source in _sources(container):
        if source == "/" or any(source == path or source.startswith(f"{path}/") for path in _SENSITIVE):
            return f"{source} is mounted"
    return None


@every("5.8", "no privileged ports of the host are mapped")
def _privileged_ports(container: Mapping[str, Any]) -> str | None:
    low = [port for _, port in _published(container) if 0 < int(port or 0) < 1024]
    return f"port {low[0]} is mapped" if low else None


@every("5.10", "the host's network is not shared")
def _network(container: Mapping[str, Any]) -> str | None:
    return "it shares the host's network" if container["HostConfig"]["NetworkMode"] == "host" else None


@every("5.11", "memory is limited")
def _memory(container: Mapping[str, Any]) -> str | None:
    return None if container["HostConfig"]["Memory"] else "its memory is not limited"


@every("5.12", "CPU is limited")
def _cpu(container: Mapping[str, Any]) -> str | None:
    host = container["HostConfig"]
    return None if host["NanoCpus"] or host["CpuShares"] or host["CpuQuota"] else "its CPU is not limited"


@every("5.13", "the root file system is read-only")
def _read_only(container: Mapping[str, Any]) -> str | None:
    return None if container["HostConfig"]["ReadonlyRootfs"] else "it is writable"


@every("5.14", "ports are bound to one address of the host")
def _bound(container: Mapping[str, Any]) -> str | None:
    wide = [port for address, port in _published(container) if address in ("", "0.0.0.0", "::")]  # noqa: S104
    return f"port {wide[0]} is bound to every address" if wide else None


@every("5.15", "a crashed container is restarted five times at most")
def _restart(container: Mapping[str, Any]) -> str | None:
    policy = container["HostConfig"]["RestartPolicy"]
    limited = policy["Name"] in ("", "no") or (
        policy["Name"] == "on-failure" and 0 < policy["MaximumRetryCount"] <= 5
    )
    return None if limited else f"its restart policy is {policy['Name']}"


def _shares(number: str, key: str, what: str) -> None:
    every(number, f"the host's {what} is not shared")(
        lambda container: "it is" if container["HostConfig"][key] == "host" else None
    )


_shares("5.16", "PidMode", "process namespace")
_shares("5.17", "IpcMode", "IPC namespace")
_shares("5.21", "UTSMode", "UTS namespace")
_shares("5.31", "UsernsMode", "user namespace")


@every("5.18", "no devices of the host")
def _devices(container: Mapping[str, Any]) -> str | None:
    devices = container["HostConfig"]["Devices"]
    return f"it has the device {devices[0]['PathOnHost']}" if devices else None


@every("5.20", "mounts do not propagate back")
def _propagation(container: Mapping[str, Any]) -> str | None:
    shared = [
        mount["Destination"] for mount in container["Mounts"] if "shared" in mount.get("Propagation", "")
    ]
    return f"{shared[0]} propagates" if shared else None


@every("5.22", "seccomp is on")
def _seccomp(container: Mapping[str, Any]) -> str | None:
    return "seccomp is off" if "seccomp=unconfined" in _options(container) else None


@every("5.25", "the cgroup is Docker's own")
def _cgroup(container: Mapping[str, Any]) -> str | None:
    parent = container["HostConfig"]["CgroupParent"]
    return f"its cgroup is {parent}" if parent else None


@every("5.26", "a container cannot gain privileges")
def _container_new_privileges(container: Mapping[str, Any]) -> str | None:
    said = {option.replace("=", ":") for option in _options(container)}
    return None if said & {"no-new-privileges", "no-new-privileges:true"} else "it can gain privileges"


@every("5.27", "a container has a health check")
def _health(container: Mapping[str, Any]) -> str | None:
    return None if (container["State"].get("Health") or {}).get("Status") else "it has no health check"


@every("5.29", "the number of processes is limited")
def _pids(container: Mapping[str, Any]) -> str | None:
    return None if (container["HostConfig"]["PidsLimit"] or 0) > 0 else "its processes are not limited"


@every("5.30", "docker0 is not used")
def _default_bridge(container: Mapping[str, Any]) -> str | None:
    return "it is on docker0" if "bridge" in container["NetworkSettings"]["Networks"] else None


@every("5.32", "the Docker socket is not mounted")
def _socket(container: Mapping[str, Any]) -> str | None:
    return "it is mounted" if any(source.endswith("docker.sock") for source in _sources(container)) else None


def _sources(container: Mapping[str, Any]) -> list[str]:
    return [mount["Source"] for mount in container["Mounts"] if mount["Type"] == "bind"]


def _options(container: Mapping[str, Any]) -> list[str]:
    return container["HostConfig"]["SecurityOpt"] or []


def _published(container: Mapping[str, Any]) -> list[tuple[str, str]]:
    bindings = container["HostConfig"]["PortBindings"] or {}
    return [(one["HostIp"], one["HostPort"]) for several in bindings.values() for one in several or []]
