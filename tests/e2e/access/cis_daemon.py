"""Checks of the Docker daemon and its files by chapters 2 and 3 of the CIS Docker Benchmark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.access.cis import item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.access.cis import Facts

# Chapter 2: the daemon.


@item("2.2", "traffic between containers on the default bridge is restricted")
def _icc(facts: Facts) -> Iterator[str]:
    if facts.bridge["Options"].get("com.docker.network.bridge.enable_icc") != "false":
        yield "containers on docker0 can talk to each other"


@item("2.3", "the logging level is info")
def _log_level(facts: Facts) -> Iterator[str]:
    if (level := facts.daemon.get("log-level", "info")) != "info":
        yield f"the logging level is {level}"


@item("2.4", "Docker may change the firewall")
def _iptables(facts: Facts) -> Iterator[str]:
    if facts.daemon.get("iptables") is False or "--iptables=false" in facts.argv:
        yield "Docker does not write its own firewall rules"


@item("2.5", "no insecure registries")
def _registries(facts: Facts) -> Iterator[str]:
    for name, registry in facts.info["RegistryConfig"]["IndexConfigs"].items():
        if not registry["Secure"]:
            yield f"{name} is reached without TLS"


@item("2.6", "aufs is not used")
def _aufs(facts: Facts) -> Iterator[str]:
    if facts.info["Driver"] == "aufs":
        yield "the storage driver is aufs"


@item("2.7", "no socket on the network without TLS")
def _tcp(facts: Facts) -> Iterator[str]:
    hosts = [*facts.daemon.get("hosts", []), *facts.argv]
    if any("tcp://" in host for host in hosts) and not facts.daemon.get("tlsverify"):
        yield "dockerd listens on TCP without checking who connects"


@item("2.8", "default ulimits are set")
def _ulimits(facts: Facts) -> Iterator[str]:
    if not facts.daemon.get("default-ulimits"):
        yield "daemon.json sets no default ulimits"


@item("2.9", "user namespaces are used")
def _userns(facts: Facts) -> Iterator[str]:
    if not any("name=userns" in option for option in facts.info["SecurityOptions"]):
        yield "root in a container is root on the host"


@item("2.10", "the default cgroup is used")
def _cgroup_parent(facts: Facts) -> Iterator[str]:
    if facts.daemon.get("cgroup-parent"):
        yield f"the default cgroup is {facts.daemon['cgroup-parent']}"


@item("2.12", "Docker commands are authorized")
def _authorization(facts: Facts) -> Iterator[str]:
    if not facts.daemon.get("authorization-plugins"):
        yield "no authorization plugin is set"


@item("2.13", "logs are sent to a central place")
def _log_driver(facts: Facts) -> Iterator[str]:
    if facts.info["LoggingDriver"] in ("json-file", "local", "none"):
        yield f"the log driver is {facts.info['LoggingDriver']}"


@item("2.14", "containers cannot gain privileges")
def _new_privileges(facts: Facts) -> Iterator[str]:
    if facts.daemon.get("no-new-privileges") is not True:
        yield "daemon.json does not set no-new-privileges"


@item("2.15", "live restore is on")
def _live_restore(facts: Facts) -> Iterator[str]:
    if not facts.info["LiveRestoreEnabled"]:
        yield "a restart of the engine stops every container"


@item("2.16", "the userland proxy is off")
def _userland_proxy(facts: Facts) -> Iterator[str]:
    if facts.daemon.get("userland-proxy", True):
        yield "the userland proxy is on"


@item("2.18", "no experimental features")
def _experimental(facts: Facts) -> Iterator[str]:
    if facts.info["ExperimentalBuild"]:
        yield "experimental features are on"


# Chapter 3: files. Each entry has the allowed owners of a file and its widest permissions.

_FILES = {
    "3.1": ("docker.service belongs to root", "/lib/systemd/system/docker.service", "root:root", None),
    "3.2": ("docker.service is 644 at most", "/lib/systemd/system/docker.service", None, 0o644),
    "3.3": ("docker.socket belongs to root", "/lib/systemd/system/docker.socket", "root:root", None),
    "3.4": ("docker.socket is 644 at most", "/lib/systemd/system/docker.socket", None, 0o644),
    "3.5": ("/etc/docker belongs to root", "/etc/docker", "root:root", None),
    "3.6": ("/etc/docker is 755 at most", "/etc/docker", None, 0o755),
    "3.15": ("the socket belongs to root and docker", "/run/docker.sock", "root:docker", None),
    "3.16": ("the socket is 660 at most", "/run/docker.sock", None, 0o660),
    "3.17": ("daemon.json belongs to root", "/etc/docker/daemon.json", "root:root", None),
    "3.18": ("daemon.json is 644 at most", "/etc/docker/daemon.json", None, 0o644),
    "3.19": ("/etc/default/docker belongs to root", "/etc/default/docker", "root:root", None),
    "3.20": ("/etc/default/docker is 644 at most", "/etc/default/docker", None, 0o644),
    "3.23": ("containerd's socket belongs to root", "/run/containerd/containerd.sock", "root:root", None),
    "3.24": ("containerd's socket is 660 at most", "/run/containerd/containerd.sock", None, 0o660),
}
PATHS = sorted({path for _, path, _, _ in _FILES.values()})


def _file(path: str, owners: str | None, most: int | None) -> Callable[[Facts], Iterator[str]]:
    def faults(facts: Facts) -> Iterator[str]:
        if (found := facts.files.get(path)) is None:
            return
        if owners and f"{found.owner}:{found.group}" != owners:
            yield f"{path} belongs to {found.owner}:{found.group}"
        if most is not None and found.mode & ~most:
            yield f"{path} is {found.mode:o}"

    return faults


for _number, (_title, _path, _owners, _most) in _FILES.items():
    item(_number, _title)(_file(_path, _owners, _most))
