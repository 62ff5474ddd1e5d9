"""Reads Docker's undeclared containers, images, networks, volumes and plugins."""

from __future__ import annotations

import calendar
import contextlib
import hashlib
import json
import posixpath
import re
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from portcullis.agent.docker_socket import ask
from portcullis.agent.errors import AgentError
from portcullis.agent.redaction import CONTAINER
from portcullis.components.containers.facts import FORMER, OWNER_LABEL
from portcullis.components.inventory.facts import LEFT_BEHIND, STILL_SERVES
from portcullis.components.inventory.on_host.look import Entry
from portcullis.components.nginx.on_host import served_containers
from portcullis.components.nginx.on_host.served_containers import IS_SERVED, MAY_BE_SERVED

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from portcullis.agent.machine import Machine
    from portcullis.components.inventory.on_host.look import Fix, Fixes, Found, Look

Json = dict[str, Any]

_STATES = "containers.container_states"
"""The kind of the resource that each declared container has on the host."""
_TIMEOUT = 30.0
_OK, _NOT_FOUND, _NO_SWARM = 200, 404, 503
_DOCKERS = ("bridge", "host", "none")
"""Networks that Docker itself creates."""
_SWARMS = ("ingress", "docker_gwbridge")
"""Networks that a swarm creates. The swarm has an entry of its own."""
_SWARM = "swarm mode"
_PASSES = ("macvlan", "ipvlan")
# A volume that an image or `docker run -v PATH` creates has such a name. Such a volume belongs to its
# container.
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{12})[0-9a-f]{52}")
_SOCKETS = ("/run/docker.sock", "/var/run/docker.sock", "/run", "/var/run")
# A container that can write to one of these folders can take over the host.
_TREES = ("/etc", "/root", "/boot", "/dev", "/proc", "/sys", "/usr", "/lib", "/bin", "/sbin", "/home", "/var",
          "/opt")  # fmt: skip
# The values that mean Docker's own profile. Docker shows them only if somebody asked for them.
_OWN_PROFILES = {"apparmor": "docker-default", "seccomp": "builtin"}
# All versions of Docker make these paths invisible or read-only, and newer versions more.
_MASKED = {"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"}
_READ_ONLY = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
# These options depend on who makes the container and from where, not on what it may do.
_PASSING = ("AttachStderr", "AttachStdin", "AttachStdout", "ConsoleSize", "ContainerIDFile", "Labels")
_UNUSUAL = 2  # the rank of all other folders
_NEW = 60  # seconds
_INSPECTED = 100  # details are read of at most this number of undeclared containers
_SHOWN = 8  # the most mounts, devices or ports that one text names


@dataclass(frozen=True)
class Network:
    """A Docker network.

    Attributes:
        bridge: the network's interface on the host, or "" for other drivers than bridge.
        parent: the host's interface that a macvlan or ipvlan network uses.
        created: seconds since 1970, or None if that is unknown.
        stack: the stack in the network's label. Anybody who uses Docker can set a label.
    """

    name: str
    driver: str
    parent: str
    bridge: str
    ipv6: bool
    internal: bool
    swarm: bool
    created: float | None
    stack: str = ""

    @property
    def text(self) -> str:
        """The text about the network for people."""
        on = f" on {self.parent}" if self.parent else ""
        told = [f"{self.driver}{on}" + (": passes all firewalls" if self.driver in _PASSES else "")]
        told += ["of a swarm"] * self.swarm + ["IPv6"] * self.ipv6 + ["internal"] * self.internal
        return ", ".join(told)


@dataclass(frozen=True)
class Container:
    """A container from Docker's list.

    Attributes:
        networks: the container's networks, each with the container's addresses in the network.
        created: seconds since 1970, or None if that is unknown.
        volumes: the names of the volumes that the container mounts.
        stack: the stack in its label. Anybody who uses Docker can set a label.
    """

    id: str
    name: str
    image: str
    image_id: str
    networks: Mapping[str, str]
    created: float | None
    volumes: frozenset[str] = frozenset()
    stack: str = ""


def read(look: Look) -> Found:
    """Return the undeclared things of Docker, or nothing on a host without Docker. Raises `AgentError`."""
    listed = _document(look.machine, "/containers/json?all=1")
    if listed is None:
        return {}
    containers = [container(entry) for entry in listed]
    declared = Declared(look)
    found: dict[str, Entry] = {}
    open_networks: list[str] = []
    used = {one.image for one in containers}
    targets = served_containers.Targets(look.machine)
    found.update(_members(containers, declared, targets))
    for what, part in (
        ("images", partial(_images, look, used)),
        ("volumes", partial(_volumes, look, _mounted(containers, declared))),
        ("plugins", partial(_plugins, look)),
        ("swarm", partial(_swarm, look)),
    ):
        try:
            found.update(part())
        except AgentError as error:
            found[f"reading Docker's {what}"] = Entry(f"cannot be read: {error.message}")
    try:
        every = networks(look.machine)
        usual = {*(_SWARMS if _SWARM in found else ()), *declared.links}
        usual |= _of_stacks(look, every, containers, declared)
        found.update(_networks(look, every, usual))
        open_networks = [one.name for one in every if one.driver in _PASSES]
    except AgentError as error:
        found["reading Docker's networks"] = Entry(f"cannot be read: {error.message}")
    served = targets.texts(listed)
    found.update(_undeclared(look.machine, served, containers, declared, open_networks))
    return {"docker": found}


class Declared:
    """The declared containers: by the ids in the records of their states.

    Only root can write the records. A name proves nothing, because anybody who uses Docker chooses names.
    """

    def __init__(self, look: Look) -> None:
        """Read the ids from the records. A record of an earlier version may have a name only."""
        self._stacks = {record.stack for record in look.records if record.stack}
        self._items: dict[str, str] = {}
        self._former: dict[str, str] = {}
        items, named = set(), {}
        for record in look.records:
            if record.kind != _STATES:
                continue
            items.add(record.id)
            number = str(record.extra.get(CONTAINER) or "")
            if number:
                self._items[number] = record.id
            else:
                named[str(record.spec.get("container"))] = record.id
            self._former.update({str(one): record.id for one in record.extra.get(FORMER) or ()})
        self._named = {**{name: name for name in look.spec.containers if name not in items}, **named}
        self.links = {
            record.id: [str(record.spec.get(who)) for who in ("user", "server")]
            for record in look.records
            if record.kind == "containers.links"
        }
        self._own = {
            name: [member.strip() for member in members.split(",") if member.strip()]
            for name, members in look.spec.networks.items()
        }
        self.networks: Mapping[str, Sequence[str]] = self.links | self._own

    def has(self, one: Container) -> bool:
        """Return whether the host's records have the id of this container."""
        return one.id in self._items or one.id in self._former

    def is_former(self, one: Container) -> bool:
        """Return whether the records have this id as that of an earlier container, such as a release."""
        return one.id in self._former and one.id not in self._items

    def is_expected(self, one: Container) -> bool:
        """Return whether the records may lack the id of a declared container.

        `up` records the id as soon as it has created the container, and an earlier version recorded a name.
        """
        is_new = one.created is not None and 0 <= time.time() - one.created < _NEW
        return one.name in self._named or (is_new and self.has_label(one))

    def has_label(self, one: Container) -> bool:
        """Return whether the container has the label of a stack of this host, which anybody can set."""
        return one.stack in self._stacks

    def name_of(self, one: Container) -> str:
        """Return the declared name of a container; "" if the container is undeclared.

        A container that is declared by its name only has such a name, too.
        """
        return self._items.get(one.id) or self._former.get(one.id) or self._named.get(one.name, "")

    def expects(self, name: str) -> bool:
        """Return whether all networks of this container are declared. A link alone declares one of them."""
        return any(name in members for members in self._own.values())


def container(entry: Json) -> Container:
    """Build a container from an entry of Docker's list."""
    names = entry.get("Names") or [str(entry.get("Id"))[:12]]
    networks = (entry.get("NetworkSettings") or {}).get("Networks") or {}
    created = entry.get("Created")
    return Container(
        str(entry.get("Id")),
        str(names[0]).lstrip("/"),
        _DIGEST.sub(r"sha256:\1", str(entry.get("Image") or "?")),
        str(entry.get("ImageID")),
        {name: _addresses(networks[name] or {}) for name in sorted(networks)},
        float(created) if isinstance(created, (int, float)) else None,
        frozenset(str(one.get("Name")) for one in entry.get("Mounts") or () if one.get("Type") == "volume"),
        str((entry.get("Labels") or {}).get(OWNER_LABEL) or ""),
    )


def _addresses(joined: Json) -> str:
    return " ".join(str(joined[key]) for key in ("IPAddress", "GlobalIPv6Address") if joined.get(key))


# Containers -------------------------------------------------------------------------------------------------


def _undeclared(
    machine: Machine,
    served: Mapping[str, str],
    containers: Sequence[Container],
    declared: Declared,
    open_networks: Sequence[str],
) -> dict[str, Entry]:
    names = {one.id: one.name for one in containers}
    found: dict[str, Entry] = {}
    undeclared = [one for one in containers if declared.is_former(one) or not declared.has(one)]
    for one in undeclared:
        if declared.is_former(one):
            text = STILL_SERVES if served.get(one.id) == IS_SERVED else LEFT_BEHIND
            found[f"container {one.name}"] = Entry(text, one.id)
            continue
        details: Json | None = None
        if len(found) < _INSPECTED:
            details = _details(machine, one.id)
            if details is None:
                continue  # the container has been removed meanwhile
            is_expected = declared.is_expected(one)
            dangers = dangers_of(details, names, named=is_expected)
            if is_expected and not dangers:
                continue
            if declared.has_label(one) and not dangers_of(details, names, named=True):
                dangers.append("may be left by an `up` that failed")
        else:
            dangers = ["not looked at for dangers: there are too many"]
        joined = [
            # No firewall keeps a neighbour of the host away from this address.
            f"in {network}" + (f" as {address}" if address and network in open_networks else "")
            for network, address in one.networks.items()
            if network not in _DOCKERS
        ]
        is_served = served.get(one.id) == IS_SERVED
        text = ", ".join([*[IS_SERVED] * is_served, *dangers, one.image, *joined])
        found[f"container {one.name}"] = Entry(
            text,
            one.id,
            one.created,
            is_open=details is None or _opens(details),
            options=_digest(details, one.id, names) if details else "",
            fixes=_unless_served(served.get(one.id, ""), ("remove-container", one.name)),
        )
    return found


def _unless_served(served: str, fix: Fix) -> Fixes:
    """Return a fix as the only one. If nginx needs the container or may need it, people must look first."""
    return () if served == IS_SERVED else (("look-at-targets",),) if served else (fix,)


def _details(machine: Machine, number: str) -> Json | None:
    """Return Docker's details of a container; None if the container has been removed."""
    found: Json | None = _document(machine, f"/containers/{number}/json")
    if found and not (machine.root / "sys/fs/cgroup/cgroup.controllers").exists():
        # With control groups of version 1, each container sees the host's unless somebody asked otherwise.
        (found.get("HostConfig") or {}).pop("CgroupnsMode", None)
    return found


def _digest(details: Json, number: str, names: Mapping[str, str]) -> str:
    """Return a digest of a container's image and options, which is the same for the same `docker run`.

    Left out is what changes when Docker is newer, and the order of what Docker Compose gives in any order.
    """
    config, host = ({**(details.get(name) or {})} for name in ("Config", "HostConfig"))
    if number.startswith(str(config.get("Hostname") or "-")):
        del config["Hostname"]
    config["Env"] = sorted(map(str, config.get("Env") or ()))
    host["Mounts"] = sorted(json.dumps(one, sort_keys=True) for one in host.get("Mounts") or ())
    if host.get("NetworkMode") == "bridge":
        host["NetworkMode"] = "default"
    if (host.get("RestartPolicy") or {}).get("Name") in ("", "no"):
        host["RestartPolicy"] = None
    for key, own in (("MaskedPaths", _MASKED), ("ReadonlyPaths", _READ_ONLY)):
        if own.issubset(map(str, host.get(key) or ())):
            host[key] = None
    parts = [
        {key: value for key, value in part.items() if value and key not in _PASSING}
        for part in (config, host)
    ]
    text = json.dumps([str(details.get("Image")), parts], sort_keys=True)
    text = re.sub(r"container:([0-9a-f]{64})", lambda found: f"container:{names.get(found[1])}", text)
    text = re.sub(r'\\"[0-9a-f]{64}\\"', "a volume without a name", text)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def dangers_of(details: Json, names: Mapping[str, str], *, named: bool = False) -> list[str]:
    """Return the dangerous properties of a container, the worst first.

    Args:
        details: Docker's details of the container.
        names: the names of all containers, by id.
        named: whether the container may be a declared one. If so, leave out what a declared container may
            have: published ports, and folders that it only reads.
    """
    config = details.get("HostConfig") or {}
    told = ["privileged"] if config.get("Privileged") else []
    for key, host, other in (
        ("PidMode", "sees the host's processes", "sees the processes of"),
        ("NetworkMode", "in the host's network", "in the network of"),
        ("IpcMode", "in the host's shared memory", "in the shared memory of"),
        ("UTSMode", "sets the host's name", ""),
        ("UsernsMode", "in the host's user namespace", ""),
    ):
        mode = str(config.get(key) or "")
        if mode == "host":
            told.append(host)
        elif mode.startswith("container:") and other:
            told.append(f"{other} {names.get(mode[10:], mode[10:22])}")
    told += _mounts(details, named=named)
    told += [] if named else _published((details.get("NetworkSettings") or {}).get("Ports") or {})
    added = sorted(str(name) for name in config.get("CapAdd") or ())
    if added:
        told.append(f"capabilities {', '.join(added[:_SHOWN])}")
    told += filter(None, map(_weakened, map(str, config.get("SecurityOpt") or ())))
    return told + _devices(config) + _kernel_files(config)


def _weakened(option: str) -> str:
    """Return how a security option makes the limits of a container weaker than Docker's own."""
    name, value = [*re.split("[=:]", option, maxsplit=1), ""][:2]
    if "unconfined" in value or value == "disable":
        return f"without {name}"
    if name == "writable-cgroups" and value.lower() not in ("false", "0"):
        return "writes to its control groups"
    # The value of seccomp is a whole profile.
    return f"with its own {name} profile" if value not in ("", _OWN_PROFILES.get(name, value)) else ""


def _devices(config: Json) -> list[str]:
    """Return the devices of the host that a container can use."""
    devices = [str(one.get("PathOnHost")) for one in config.get("Devices") or () if isinstance(one, dict)]
    devices += [f"by the rule {rule}" for rule in config.get("DeviceCgroupRules") or ()]
    for one in config.get("DeviceRequests") or ():
        ids = [str(number) for number in one.get("DeviceIDs") or ()]
        devices.append(" ".join(["by the driver", str(one.get("Driver") or "for GPUs"), *ids]))
    return [f"devices {', '.join(devices[:_SHOWN])}"] if devices else []


def _kernel_files(config: Json) -> list[str]:
    """Return which of the limits are missing that Docker sets by itself."""
    told = []
    for key, needed, text in (
        ("MaskedPaths", _MASKED, "sees the kernel's memory and keys"),
        ("ReadonlyPaths", _READ_ONLY, "writes to the kernel's settings"),
    ):
        # Without a list, Docker uses its own list. A privileged container has no list, either.
        if config.get(key) is not None and not needed.issubset(map(str, config[key])):
            told.append(text)
    if config.get("CgroupnsMode") == "host":
        told.append("sees the host's control groups")
    return told


def _mounts(details: Json, *, named: bool) -> list[str]:
    """Return the folders and files of the host that a container mounts, the worst first."""
    found = _sources(details, named=named)
    told = []
    for source in sorted(found, key=lambda source: (_rank(source), source)):
        if source in _SOCKETS:
            told.append(f"root by Docker's socket ({source} at {found[source]})")
        else:
            told.append(f"mounts {source} at {found[source]}")
    return told[:_SHOWN]


def _sources(details: Json, *, named: bool = False) -> dict[str, str]:
    """Return the folders and files of the host that a container mounts, each with its place in there."""
    config = details.get("HostConfig") or {}
    found: dict[str, str] = {}
    for one in details.get("Mounts") or ():
        if one.get("Type") == "bind":
            _add_source(found, one.get("Source"), one.get("Destination"), named=named, writes=one.get("RW"))
    asked: dict[str, str] = {}  # Docker lists no mounts of a container that never started
    for one in config.get("Mounts") or ():
        source, writes = one.get("Source"), not one.get("ReadOnly")
        if one.get("Type") == "volume":
            # A volume can be a folder of the host, too. Other options may contain a password.
            driver = (one.get("VolumeOptions") or {}).get("DriverConfig") or {}
            options = driver.get("Options") or {}
            # A volume on another machine is none: its device is `//machine/share` or `:/path`.
            source = options.get("device") if "bind" in str(options.get("o")).split(",") else ""
        _add_source(asked, source, one.get("Target"), named=named, writes=writes)
    for bind in config.get("Binds") or ():
        source, _, rest = str(bind).partition(":")
        if source.startswith("/"):
            asked.setdefault(_plain(source), rest.partition(":")[0])
    return {**asked, **found}


def _add_source(found: dict[str, str], source: object, place: object, *, named: bool, writes: object) -> None:
    """Add a mount of a folder or file of the host, unless a declared container may have such a mount."""
    path = str(source or "")
    if path.startswith("/") and (writes or not named or not _rank(_plain(path))):
        found[_plain(path)] = str(place) + ("" if writes else ", read-only")


def _plain(path: str) -> str:
    return "/" + posixpath.normpath(path).lstrip("/")


def _opens(details: Json) -> bool:
    """Return whether a container has a danger other than a mount of a folder that no program runs from."""
    config = details.get("HostConfig") or {}
    others = {**details, "Mounts": (), "HostConfig": {**config, "Binds": (), "Mounts": ()}}
    return bool(dangers_of(others, {})) or any(_rank(source) < _UNUSUAL for source in _sources(details))


def _published(ports: Mapping[str, Any]) -> list[str]:
    """Return the ports that other hosts can reach."""
    found = set()
    for bind in (bind for binds in ports.values() for bind in binds or ()):
        address = str(bind.get("HostIp") or "0.0.0.0")  # noqa: S104 - "" means this address for Docker
        if not address.startswith(("127.", "::1")):
            found.add(f"{f'[{address}]' if ':' in address else address}:{bind.get('HostPort')}")
    return [f"publishes {', '.join(sorted(found)[:_SHOWN])}"] if found else []


def _rank(source: str) -> int:
    if source == "/" or source in _SOCKETS:
        return 0
    return 1 if any(source == tree or source.startswith(f"{tree}/") for tree in _TREES) else _UNUSUAL


def _members(
    containers: Sequence[Container], declared: Declared, targets: served_containers.Targets
) -> dict[str, Entry]:
    """Return declared containers that are in undeclared networks.

    An undeclared container has an entry of its own, which names its networks.
    """
    found = {}
    for one in containers:
        name = declared.name_of(one)
        if not name or not declared.expects(name):
            continue
        for network, addresses in one.networks.items():
            if name not in declared.networks.get(network, ()):
                is_served = targets.has(addresses.split())
                served = IS_SERVED if is_served else MAY_BE_SERVED if targets.is_unclear and addresses else ""
                found[f"member {network}: {one.name}"] = Entry(
                    "was connected by hand" + f", {IS_SERVED} there" * is_served,
                    one.id,
                    fixes=_unless_served(served, ("disconnect", network, one.name)),
                )
    return found


# Networks, volumes, plugins, swarm --------------------------------------------------------------------------


def networks(machine: Machine) -> list[Network]:
    """Return all networks of Docker; no network on a host without Docker. Raises `AgentError`."""
    return [network(entry) for entry in _document(machine, "/networks") or ()]


def network(entry: Json) -> Network:
    """Build a network from an entry of Docker's list."""
    options = entry.get("Options") or {}
    driver, number = str(entry.get("Driver") or "?"), str(entry.get("Id") or "")
    bridge = str(options.get("com.docker.network.bridge.name") or f"br-{number[:12]}")
    return Network(
        name=str(entry.get("Name")),
        driver=driver,
        parent=str(options.get("parent") or ""),
        bridge=bridge if driver == "bridge" else "",
        ipv6=bool(entry.get("EnableIPv6")),
        internal=bool(entry.get("Internal")),
        swarm=entry.get("Scope") == "swarm",
        created=seconds(entry.get("Created")),
        stack=str((entry.get("Labels") or {}).get(OWNER_LABEL) or ""),
    )


def _of_stacks(
    look: Look, every: Sequence[Network], containers: Sequence[Container], declared: Declared
) -> set[str]:
    """Return the networks that a stack of this host made, if no undeclared container is in them.

    The settings of the host do not name the networks of a container that a program declares beside them. `up`
    creates a network before its containers, and removes it after them.
    """
    stacks = {record.stack for record in look.records if record.stack}
    strange = {
        network
        for one in containers
        if not declared.has(one) and not declared.is_expected(one)
        for network in one.networks
    }
    return {one.name for one in every if one.bridge and one.stack in stacks and one.name not in strange}


def _networks(look: Look, every: Sequence[Network], usual: Collection[str]) -> dict[str, Entry]:
    return {
        f"network {one.name}": Entry(
            one.text,
            changed=one.created,
            is_open=one.driver in _PASSES,
            fixes=(("remove-network", one.name),),
        )
        for one in every
        if one.name not in (*_DOCKERS, *usual) and one.name not in look.spec.networks
    }


def _images(look: Look, used: Collection[str]) -> dict[str, Entry]:
    """Return unused images that have a tag. Ours have none: they are pulled by digest."""
    found = {}
    for one in _document(look.machine, "/images/json") or ():
        number = str(one.get("Id"))
        for tag in one.get("RepoTags") or ():
            # Docker 29 lists an image that was pulled by digest under that digest, which is no tag.
            if tag != "<none>:<none>" and "@" not in tag and tag not in used:
                found[f"image {tag}"] = Entry(
                    "has a tag, which images of ours have not", number, fixes=(("remove-image", tag),)
                )
    return found


def _mounted(containers: Sequence[Container], declared: Declared) -> set[str]:
    """Return the volumes of declared containers. A container keeps its volumes until its end."""
    return {volume for one in containers if declared.has(one) for volume in one.volumes}


def _volumes(look: Look, mounted: Collection[str]) -> dict[str, Entry]:
    found = {}
    for one in (_document(look.machine, "/volumes") or {}).get("Volumes") or ():
        name = str(one.get("Name"))
        if name in look.spec.volumes or name in mounted or _ANONYMOUS.fullmatch(name):
            continue
        options = one.get("Options") or {}
        told = [str(one.get("Driver"))]
        # Other options are left out, because they may contain the password of a network share.
        if options.get("device") and str(options.get("type") or "none") in ("none", "bind"):
            told.append(f"is {options['device']} of the host")
        elif options.get("type"):
            told.append(str(options["type"]))
        found[f"volume {name}"] = Entry(
            ", ".join(told), changed=seconds(one.get("CreatedAt")), fixes=(("remove-volume", name),)
        )
    return found


def _plugins(look: Look) -> dict[str, Entry]:
    found = {}
    for one in _document(look.machine, "/plugins") or ():
        state = "enabled" if one.get("Enabled") else "disabled"
        name = str(one.get("Name"))
        found[f"plugin {name}"] = Entry(
            f"{state}; it runs as root on the host",
            str(one.get("Id")),
            is_open=True,
            fixes=(("remove-plugin", name),),
        )
    return found


def _swarm(look: Look) -> dict[str, Entry]:
    answer = ask(look.machine.docker, "GET", "/swarm", timeout=_TIMEOUT)
    if answer is None:
        return {}
    with answer:
        if answer.status == _OK:
            return {_SWARM: Entry("this host manages a swarm", is_open=True, fixes=(("leave-swarm",),))}
        said = answer.error()
    # If the host is in no swarm, Docker's answer says how to make a swarm.
    if answer.status == _NO_SWARM and "docker swarm init" not in said:
        return {_SWARM: Entry("this host is in a swarm", is_open=True, fixes=(("leave-swarm",),))}
    return {}


def seconds(text: object) -> float | None:
    """Parse a time of Docker, ``2026-11-27T08:00:12.123456789+01:00``, into seconds since 1970."""
    match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|([+-])(\d\d):(\d\d))\Z", str(text))
    if not match:
        return None
    with contextlib.suppress(ValueError):
        at = calendar.timegm(time.strptime(match[1], "%Y-%m-%dT%H:%M:%S"))
        away = (int(match[4]) * 3600 + int(match[5]) * 60) if match[3] else 0
        return float(at - (away if match[3] == "+" else -away))
    return None


def _document(machine: Machine, target: str) -> Any:
    """Return Docker's answer; None if the host has no Docker, or if the object no longer exists."""
    answer = ask(machine.docker, "GET", target, timeout=_TIMEOUT)
    if answer is None:
        return None
    with answer:
        if answer.status == _NOT_FOUND:
            return None
        if answer.status != _OK:
            raise AgentError(
                "unreadable",
                f"Docker refuses the request {target.partition('?')[0]}: {answer.error()}",
            )
        return answer.document()
