"""Turns the inputs of a container into the form of Docker's API."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lab.plugins.docker_plugin.durations import nanoseconds

if TYPE_CHECKING:
    from lab.plugins.values import Properties

_MEBIBYTE = 1024 * 1024
_NANO = 10**9


def create_body(inputs: Properties) -> dict[str, Any]:
    """Return the body of POST /containers/create."""
    get = inputs.get
    body: dict[str, Any] = {
        "Image": inputs["image"],
        "Hostname": get("hostname", ""),
        "Domainname": get("domainname", ""),
        "Tty": get("tty", False),
        "OpenStdin": get("stdinOpen", False),
        "StopSignal": get("stopSignal", ""),
        "Env": get("envs"),
        "Cmd": get("command"),
        "Entrypoint": get("entrypoints"),
        "User": get("user", ""),
        "WorkingDir": get("workingDir", ""),
        "Labels": {entry["label"]: entry["value"] for entry in get("labels", [])},
        "HostConfig": _host_config(inputs),
        "NetworkingConfig": {},
    }
    if get("stopTimeout"):
        body["StopTimeout"] = inputs["stopTimeout"]
    if ports := get("ports"):
        body["ExposedPorts"] = {_port_key(port): {} for port in ports}
    paths = [volume["containerPath"] for volume in get("volumes", [])]
    if paths:
        body["Volumes"] = {path: {} for path in paths}
    if check := get("healthcheck"):
        body["Healthcheck"] = {
            "Test": check.get("tests", []),
            "Interval": nanoseconds(check["interval"]),
            "Timeout": nanoseconds(check["timeout"]),
            "StartPeriod": nanoseconds(check["startPeriod"]),
            "StartInterval": nanoseconds(check["startInterval"]),
            "Retries": check.get("retries", 0),
        }
    return body


def _host_config(inputs: Properties) -> dict[str, Any]:
    get = inputs.get
    config: dict[str, Any] = {
        "Privileged": get("privileged", False),
        "PublishAllPorts": get("publishAllPorts", False),
        "RestartPolicy": {"Name": get("restart", ""), "MaximumRetryCount": get("maxRetryCount", 0)},
        "Runtime": get("runtime", ""),
        "Mounts": [_mount(entry) for entry in get("mounts", [])],
        "ReadonlyRootfs": get("readOnly", False),
        "LogConfig": {"Type": get("logDriver", ""), "Config": get("logOpts") or {}},
        "NetworkMode": get("networkMode", ""),
        "Init": get("init", False),
        "Memory": get("memory", 0) * _MEBIBYTE,
        "MemoryReservation": get("memoryReservation", 0) * _MEBIBYTE,
        "MemorySwap": swap_bytes(get("memorySwap", 0)),
        "ShmSize": get("shmSize", 0) * _MEBIBYTE,
        "CpuShares": get("cpuShares", 0),
        "CpusetCpus": get("cpuSet", ""),
        "NanoCpus": int(Decimal(get("cpus") or "0") * _NANO),
        "Tmpfs": get("tmpfs") or None,
        "Sysctls": get("sysctls") or None,
        "Dns": get("dns") or None,
        "DnsOptions": get("dnsOpts") or None,
        "DnsSearch": get("dnsSearches") or None,
        "GroupAdd": get("groupAdds") or None,
        "IpcMode": get("ipcMode", ""),
        "PidMode": get("pidMode", ""),
        "UsernsMode": get("usernsMode", ""),
        "CgroupnsMode": get("cgroupnsMode", ""),
        "ExtraHosts": [f"{entry['host']}:{entry['ip']}" for entry in get("hosts", [])] or None,
        "Ulimits": [{"Name": u["name"], "Soft": u["soft"], "Hard": u["hard"]} for u in get("ulimits", [])]
        or None,
        "Binds": [_bind(volume) for volume in get("volumes", []) if _source(volume)] or None,
    }
    options = get("securityOpts") or []
    config["SecurityOpt"] = [option for option in options if option != "systempaths=unconfined"]
    if "systempaths=unconfined" in options:  # the client handles this option, not the engine
        config["MaskedPaths"] = config["ReadonlyPaths"] = []
    if capabilities := get("capabilities"):
        config["CapAdd"] = capabilities.get("adds", [])
        config["CapDrop"] = capabilities.get("drops", [])
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in get("ports", []):
        binding = {"HostIp": port.get("ip", ""), "HostPort": str(port.get("external", 0))}
        bindings.setdefault(_port_key(port), []).append(binding)
    if bindings:
        config["PortBindings"] = bindings
    return config


def swap_bytes(mebibytes: int) -> int:
    """Return the limit of memory and swap. The value -1 means no limit."""
    return mebibytes * _MEBIBYTE if mebibytes > 0 else mebibytes


def endpoint(network: Properties) -> dict[str, Any]:
    """Return the settings of a container in a network."""
    return {
        "aliases": network.get("aliases") or None,
        "ipv4_address": network.get("ipv4Address"),
        "ipv6_address": network.get("ipv6Address"),
    }


def _port_key(port: Properties) -> str:
    return f"{port['internal']}/{port.get('protocol', 'tcp')}"


def _mount(entry: Properties) -> dict[str, Any]:
    mount: dict[str, Any] = {
        "Type": entry["type"],
        "Target": entry["target"],
        "Source": entry.get("source", ""),
        "ReadOnly": entry.get("readOnly", False),
    }
    if bind := entry.get("bindOptions"):
        mount["BindOptions"] = {"Propagation": bind.get("propagation", "")}
    if volume := entry.get("volumeOptions"):
        mount["VolumeOptions"] = {"NoCopy": volume.get("noCopy", False)}
    if tmpfs := entry.get("tmpfsOptions"):
        mount["TmpfsOptions"] = {"SizeBytes": tmpfs.get("sizeBytes", 0), "Mode": tmpfs.get("mode", 0)}
    return mount


def _source(volume: Properties) -> str:
    return str(volume.get("hostPath") or volume.get("volumeName") or "")


def _bind(volume: Properties) -> str:
    return f"{_source(volume)}:{volume['containerPath']}:{'ro' if volume.get('readOnly') else 'rw'}"
