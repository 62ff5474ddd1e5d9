"""The properties of pulumi-docker 5.2.0's resources, also those that the project does not use.

The properties come from the schemas of kreuzwerker/terraform-provider-docker. A property in `official_only`
is refused if a program sets it. The stand-in needs the names of such properties for its answers to Diff, and
for complete states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.plugins.fields import flag, mapping, number, official_only, record, records, text, texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.plugins.fields import Field

_LABEL = {"label": text(required=True, replaces=True), "value": text(required=True, replaces=True)}

_BIND = {"propagation": text()}
_VOLUME_OPTIONS = {
    "noCopy": flag(),
    "labels": official_only(records(_LABEL)),
    "driverName": official_only(text()),
    "driverOptions": official_only(mapping()),
    "subpath": official_only(text()),
}
_TMPFS = {"sizeBytes": number(), "mode": number()}
_MOUNT = {
    "target": text(required=True),
    "source": text(),
    "type": text(required=True),
    "readOnly": flag(),
    "bindOptions": record(_BIND),
    "volumeOptions": record(_VOLUME_OPTIONS),
    "tmpfsOptions": record(_TMPFS, replaces=True),
}
_PORT = {
    "internal": number(required=True),
    "external": number(computed=True),
    "ip": text(default="0.0.0.0"),  # noqa: S104 - the official default, which Portcullis always replaces
    "protocol": text(default="tcp"),
}
_NETWORK_ADVANCED = {
    "name": text(required=True),
    "aliases": texts(),
    "ipv4Address": text(),
    "ipv6Address": text(),
    "linkLocalIps": official_only(texts()),
    "macAddress": official_only(text()),
    "driverOpts": official_only(texts()),
    "gwPriority": official_only(number()),
}
_VOLUME = {
    "fromContainer": official_only(text()),
    "containerPath": text(),
    "hostPath": text(),
    "volumeName": text(),
    "readOnly": flag(),
    "selinuxRelabel": official_only(text()),
}
_HEALTHCHECK = {
    "tests": texts("list"),
    "interval": text(default="0s"),
    "timeout": text(default="0s"),
    "startPeriod": text(default="0s"),
    "startInterval": text(default="0s"),
    "retries": number(default=0),
}
_NETWORK_DATA = {
    "networkName": text(),
    "ipAddress": text(),
    "ipPrefixLength": number(),
    "gateway": text(),
    "globalIpv6Address": text(),
    "globalIpv6PrefixLength": number(),
    "ipv6Gateway": text(),
    "macAddress": text(),
}
_RATE = {"path": text(required=True), "rate": number(required=True)}
_UPLOAD = {
    "file": text(required=True),
    **{
        name: text()
        for name in ("content", "contentBase64", "group", "owner", "permissions", "source", "sourceHash")
    },
    "executable": flag(default=False),
}
_DEVICE = {"hostPath": text(required=True)}

CONTAINER: Mapping[str, Field] = {
    "attach": official_only(flag(default=False)),
    "bridge": text(output=True),
    "capabilities": record({"adds": texts(), "drops": texts()}, replaces=True),
    "cgroupParent": official_only(text(replaces=True)),
    "cgroupnsMode": text(replaces=True),
    "command": texts("list", replaces=True, computed=True),
    "containerLogs": text(output=True),
    "containerReadRefreshTimeoutMilliseconds": number(default=15000),
    "cpuPeriod": official_only(number()),
    "cpuQuota": official_only(number()),
    "cpuSet": text(),
    "cpuShares": number(),
    "cpus": text(replaces=True),
    "destroyGraceSeconds": number(),
    "deviceCgroupRules": official_only(texts(replaces=True)),
    "deviceReadBps": official_only(records(_RATE)),
    "deviceReadIops": official_only(records(_RATE)),
    "deviceRequests": official_only(records({}, replaces=True)),
    "deviceWriteBps": official_only(records(_RATE)),
    "deviceWriteIops": official_only(records(_RATE)),
    "devices": official_only(records(_DEVICE, replaces=True)),
    "dns": texts(replaces=True),
    "dnsOpts": texts(replaces=True),
    "dnsSearches": texts(replaces=True),
    "domainname": text(replaces=True),
    "entrypoints": texts("list", replaces=True, computed=True),
    "envs": texts(replaces=True, computed=True),
    "exitCode": number(output=True),
    "gpus": official_only(text(replaces=True)),
    "groupAdds": texts(replaces=True),
    # A new entry replaces the container. An edited entry is reported as a change in place, but Docker changes
    # nothing.
    "healthcheck": record(_HEALTHCHECK, computed=True, replaces=True, in_place=True),
    "hostname": text(replaces=True, computed=True),
    "hosts": records({"host": text(required=True), "ip": text(required=True)}, replaces=True),
    "image": text(required=True, replaces=True),
    "init": flag(computed=True),
    "ipcMode": text(replaces=True, computed=True),
    "labels": records(_LABEL, replaces=True, computed=True),
    "logDriver": text(replaces=True, computed=True),
    "logOpts": mapping(replaces=True),
    "logs": official_only(flag(default=False)),
    "maxRetryCount": number(),
    "memory": number(),
    "memoryReservation": number(default=0),
    "memorySwap": number(),
    "mounts": records(_MOUNT, replaces=True, in_place=True),
    "mustRun": flag(default=True),
    "name": text(required=True, replaces=True),
    "networkDatas": records(_NETWORK_DATA, "list", output=True),
    "networkMode": text(default="bridge", replaces=True),
    "networksAdvanced": records(_NETWORK_ADVANCED, replaces=True),
    "pidMode": text(replaces=True),
    "platform": text(replaces=True, computed=True),
    "ports": records(_PORT, "list", replaces=True),
    "privileged": flag(replaces=True),
    "publishAllPorts": flag(replaces=True),
    "readOnly": flag(default=False, replaces=True),
    "removeVolumes": flag(default=True),
    "restart": text(default="no"),
    "rm": official_only(flag(default=False)),
    "runtime": text(replaces=True, computed=True),
    "securityOpts": texts(replaces=True, computed=True),
    "shmSize": number(replaces=True, computed=True),
    "start": flag(default=True),
    "stdinOpen": flag(default=False, replaces=True),
    "stopSignal": text(replaces=True, computed=True),
    "stopTimeout": number(replaces=True, computed=True),
    "storageOpts": official_only(mapping(replaces=True)),
    "sysctls": mapping(replaces=True),
    "tmpfs": mapping(),
    "tty": flag(default=False, replaces=True),
    "ulimits": records(
        {"name": text(required=True), "soft": number(required=True), "hard": number(required=True)},
        replaces=True,
    ),
    "uploads": official_only(records(_UPLOAD, replaces=True)),
    "user": text(replaces=True, kept=True),  # if it is not set, the image's user is no difference
    "usernsMode": text(replaces=True),
    "volumes": records(_VOLUME, replaces=True),
    "wait": flag(default=False),
    "waitTimeout": number(default=60),
    "workingDir": text(replaces=True, kept=True),  # if it is not set, the image's folder is no difference
}

NETWORK: Mapping[str, Field] = {
    "attachable": flag(replaces=True),
    "driver": text(replaces=True, computed=True),
    "ingress": official_only(flag(replaces=True)),
    "internal": flag(replaces=True, computed=True),
    "ipamConfigs": records(
        {"auxAddress": official_only(mapping()), "gateway": text(), "ipRange": text(), "subnet": text()},
        replaces=True,
        computed=True,
    ),
    "ipamDriver": text(default="default", replaces=True),
    "ipamOptions": official_only(mapping(replaces=True)),
    "ipv6": flag(replaces=True),
    "labels": records(_LABEL, replaces=True),
    "name": text(required=True, replaces=True),
    "options": mapping(replaces=True, computed=True),
    "scope": text(output=True),
}

VOLUME: Mapping[str, Field] = {
    "cluster": official_only(record({})),
    "driver": text(replaces=True, computed=True),
    "driverOpts": mapping(replaces=True),
    "labels": records(_LABEL, replaces=True),
    "mountpoint": text(output=True),
    "name": text(replaces=True, computed=True),
}

REMOTE_IMAGE: Mapping[str, Field] = {
    "build": official_only(record({})),
    "forceRemove": flag(),
    "imageId": text(output=True),
    "keepLocally": flag(),
    "name": text(required=True, replaces=True),
    "platform": text(replaces=True),
    "pullTriggers": texts(replaces=True),
    "repoDigest": text(output=True),
    "triggers": mapping(replaces=True),
}

PROVIDER: Mapping[str, Field] = {
    "host": text(),
    "sshOpts": texts("list"),
    "version": text(),
    "pluginDownloadURL": text(),
    **{
        name: official_only(text())
        for name in (
            "caMaterial",
            "certMaterial",
            "certPath",
            "context",
            "disableDockerDaemonCheck",
            "keyMaterial",
            "registryAuth",
        )
    },
}
