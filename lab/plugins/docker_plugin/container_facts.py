"""Turns the facts of Docker about a container into the properties of the official plugin.

The official Read keeps the stored env, labels, volumes and uploads, because Docker mixes them with those of
the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.plugins.docker_plugin.durations import go_text

if TYPE_CHECKING:
    from lab.plugins.values import Properties

_MEBIBYTE = 1024 * 1024
_NANO = 10**9


def facts(found: dict[str, Any], stored: Properties) -> Properties:
    """Return the properties that Read takes from the output of `docker inspect`.

    A few of these properties depend on `stored`.
    """
    config, host, state = found["Config"], found["HostConfig"], found["State"]
    result: Properties = {
        "name": found["Name"].lstrip("/"),
        "rm": host["AutoRemove"],
        "readOnly": host["ReadonlyRootfs"],
        "image": found["Image"] if str(stored.get("image", "")).startswith("sha256:") else config["Image"],
        "hostname": config.get("Hostname", ""),
        "domainname": config.get("Domainname", ""),
        "command": config.get("Cmd") or [],
        "entrypoints": _words(config.get("Entrypoint")),
        "user": config.get("User", ""),
        "deviceCgroupRules": host.get("DeviceCgroupRules") or [],
        "dns": host.get("Dns") or [],
        "dnsOpts": host.get("DnsOptions") or [],
        "dnsSearches": host.get("DnsSearch") or [],
        "securityOpts": host.get("SecurityOpt") or [],
        "publishAllPorts": host["PublishAllPorts"],
        "restart": host["RestartPolicy"]["Name"],
        "maxRetryCount": host["RestartPolicy"]["MaximumRetryCount"],
        "init": bool(host.get("Init")),
        "workingDir": config.get("WorkingDir", ""),
        "runtime": host.get("Runtime", ""),
        "platform": found["Platform"],
        "mounts": [_mount(entry) for entry in host.get("Mounts") or []],
        "tmpfs": host.get("Tmpfs") or {},
        "hosts": [_extra_host(entry) for entry in host.get("ExtraHosts") or []],
        "privileged": host["Privileged"],
        "memory": host["Memory"] // _MEBIBYTE,
        "memoryReservation": _mebibytes(host.get("MemoryReservation", 0)),
        "memorySwap": _mebibytes(host.get("MemorySwap", 0)),
        "shmSize": host["ShmSize"] // _MEBIBYTE,
        "cpuShares": host.get("CpuShares", 0),
        "cpuSet": host.get("CpusetCpus", ""),
        "logDriver": host["LogConfig"]["Type"],
        "logOpts": host["LogConfig"]["Config"] if stored.get("logOpts") else {},
        "storageOpts": host.get("StorageOpt") or {},
        "networkMode": host["NetworkMode"],
        "usernsMode": host.get("UsernsMode", ""),
        "sysctls": host.get("Sysctls") or {},
        "ipcMode": host["IpcMode"],
        "groupAdds": host.get("GroupAdd") or [],
        "tty": config.get("Tty", False),
        "stdinOpen": config.get("OpenStdin", False),
        "stopSignal": config.get("StopSignal", ""),
        "stopTimeout": config.get("StopTimeout") or 0,
    }
    result |= _network_facts(found, stored)
    if host.get("CapAdd") or host.get("CapDrop"):
        result["capabilities"] = {"adds": host.get("CapAdd") or [], "drops": host.get("CapDrop") or []}
    if host.get("NanoCpus", 0):
        result["cpus"] = cpus(host["NanoCpus"])
    if stored.get("ulimits"):
        result["ulimits"] = [
            {"name": u["Name"], "soft": u["Soft"], "hard": u["Hard"]} for u in host.get("Ulimits") or []
        ]
    if stored.get("pidMode"):
        result["pidMode"] = host["PidMode"]
    if check := config.get("Healthcheck"):
        result["healthcheck"] = {
            "tests": check.get("Test", []),
            **{
                key: go_text(check.get(name, 0))
                for key, name in (
                    ("interval", "Interval"),
                    ("timeout", "Timeout"),
                    ("startPeriod", "StartPeriod"),
                    ("startInterval", "StartInterval"),
                )
            },
            "retries": check.get("Retries", 0),
        }
    if not state["Running"]:
        result["exitCode"] = state["ExitCode"]
        if stored.get("mustRun"):
            result["mustRun"] = False  # this shows as drift, and an update starts the container
    return result


def cpus(nano: int) -> str:
    """Write a CPU limit, given in billionths, as the official provider does: `1.0`, `10.`, and 0.05 as `0.1`.

    `nanoInt64ToDecimalString` in kreuzwerker/terraform-provider-docker 4.5.0 counts the zeros of the whole
    text, but should count those after the point.
    """
    text = f"{nano // _NANO}.{nano % _NANO:09d}"
    if text.count("0") != 9:  # noqa: PLR2004 - the number of decimals
        return text.rstrip("0")
    tenths = (nano + _NANO // 20) // (_NANO // 10)  # half a tenth is rounded up
    return f"{tenths // 10}.{tenths % 10}"


def _network_facts(found: dict[str, Any], stored: Properties) -> Properties:
    settings = found["NetworkSettings"]
    result: Properties = {
        "bridge": settings.get("Bridge", ""),
        "networkDatas": [
            {
                "networkName": name,
                "ipAddress": network.get("IPAddress", ""),
                "ipPrefixLength": network.get("IPPrefixLen", 0),
                "gateway": network.get("Gateway", ""),
                "globalIpv6Address": network.get("GlobalIPv6Address", ""),
                "globalIpv6PrefixLength": network.get("GlobalIPv6PrefixLen", 0),
                "ipv6Gateway": network.get("IPv6Gateway", ""),
                "macAddress": network.get("MacAddress", ""),
            }
            for name, network in sorted(settings["Networks"].items())
        ],
    }
    if stored.get("ports") and (found["State"]["Running"] or stored.get("mustRun")):
        result["ports"] = _ports(settings.get("Ports") or {})
    return result


def _ports(published: dict[str, list[dict[str, str]] | None]) -> list[Properties]:
    ports = []
    for key in sorted(published, key=lambda key: int(key.split("/")[0])):
        internal, protocol = key.split("/")
        ports += [
            {
                "internal": int(internal),
                "external": int(binding["HostPort"]),
                "ip": binding["HostIp"],
                "protocol": protocol,
            }
            for binding in published[key] or []
        ]
    return ports


def _mount(entry: dict[str, Any]) -> Properties:
    bind, volume, tmpfs = entry.get("BindOptions"), entry.get("VolumeOptions"), entry.get("TmpfsOptions")
    return {
        "bindOptions": {"propagation": bind.get("Propagation", "")} if bind else None,
        "readOnly": entry.get("ReadOnly", False),
        "source": entry.get("Source", ""),
        "target": entry["Target"],
        "tmpfsOptions": {"mode": tmpfs.get("Mode", 0), "sizeBytes": tmpfs.get("SizeBytes", 0)}
        if tmpfs
        else None,
        "type": entry["Type"],
        "volumeOptions": {"noCopy": volume.get("NoCopy", False)} if volume else None,
    }


def _extra_host(entry: str) -> Properties:
    host, address = entry.split(":", 1)
    return {"host": host, "ip": address}


def _words(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _mebibytes(size: int) -> int:
    return size // _MEBIBYTE if size > 0 else size
