"""What Docker tells about a container, as the properties that the official plugin keeps.

Its Read leaves env, labels, volumes and uploads as they were stored: they cannot be told from the image's.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lab.plugins.docker_plugin.durations import go_text

if TYPE_CHECKING:
    from lab.plugins.values import Properties

_MEBIBYTE = 1024 * 1024
_NANO = 10**9


def facts(found: dict[str, Any], stored: Properties) -> Properties:
    """The properties that Read sets from an inspect answer; `stored` decides a few of them."""
    config, host, state = found["Config"], found["HostConfig"], found["State"]
    result: Properties = {
        "name": found["Name"].lstrip("/"),
        "rm": host["AutoRemove"],
        "readOnly": host["ReadonlyRootfs"],
        "image": found["Image"] if str(stored.get("image", "")).startswith("sha256:") else config["Image"],
        "hostname": config["Hostname"],
        "domainname": config["Domainname"],
        "command": config["Cmd"] or [],
        "entrypoints": _words(config["Entrypoint"]),
        "user": config["User"],
        "dns": host["Dns"] or [],
        "dnsOpts": host["DnsOptions"] or [],
        "dnsSearches": host["DnsSearch"] or [],
        "securityOpts": host["SecurityOpt"] or [],
        "publishAllPorts": host["PublishAllPorts"],
        "restart": host["RestartPolicy"]["Name"],
        "maxRetryCount": host["RestartPolicy"]["MaximumRetryCount"],
        "init": bool(host.get("Init")),
        "workingDir": config["WorkingDir"],
        "runtime": host["Runtime"],
        "platform": found["Platform"],
        "mounts": [_mount(entry) for entry in host.get("Mounts") or []],
        "tmpfs": host.get("Tmpfs") or {},
        "hosts": [_extra_host(entry) for entry in host["ExtraHosts"] or []],
        "privileged": host["Privileged"],
        "memory": host["Memory"] // _MEBIBYTE,
        "memoryReservation": _mebibytes(host["MemoryReservation"]),
        "memorySwap": _mebibytes(host["MemorySwap"]),
        "shmSize": host["ShmSize"] // _MEBIBYTE,
        "cpuShares": host["CpuShares"],
        "cpuSet": host["CpusetCpus"],
        "logDriver": host["LogConfig"]["Type"],
        "logOpts": host["LogConfig"]["Config"] if stored.get("logOpts") else {},
        "storageOpts": host.get("StorageOpt") or {},
        "networkMode": host["NetworkMode"],
        "usernsMode": host["UsernsMode"],
        "sysctls": host.get("Sysctls") or {},
        "ipcMode": host["IpcMode"],
        "groupAdds": host["GroupAdd"] or [],
        "tty": config["Tty"],
        "stdinOpen": config["OpenStdin"],
        "stopSignal": config.get("StopSignal", ""),
        "stopTimeout": config.get("StopTimeout") or 0,
    }
    result |= _network_facts(found, stored)
    if host["CapAdd"] or host["CapDrop"]:
        result["capabilities"] = {"adds": host["CapAdd"] or [], "drops": host["CapDrop"] or []}
    if host["NanoCpus"]:
        result["cpus"] = f"{(Decimal(host['NanoCpus']) / _NANO).normalize():f}"
    if stored.get("ulimits"):
        result["ulimits"] = [
            {"name": u["Name"], "soft": u["Soft"], "hard": u["Hard"]} for u in host["Ulimits"] or []
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
            result["mustRun"] = False  # so that it shows, and an update starts it
    return result


def _network_facts(found: dict[str, Any], stored: Properties) -> Properties:
    settings = found["NetworkSettings"]
    result: Properties = {
        "bridge": settings.get("Bridge", ""),
        "networkDatas": [
            {
                "networkName": name,
                "ipAddress": network["IPAddress"],
                "ipPrefixLength": network["IPPrefixLen"],
                "gateway": network["Gateway"],
                "globalIpv6Address": network["GlobalIPv6Address"],
                "globalIpv6PrefixLength": network["GlobalIPv6PrefixLen"],
                "ipv6Gateway": network["IPv6Gateway"],
                "macAddress": network["MacAddress"],
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
