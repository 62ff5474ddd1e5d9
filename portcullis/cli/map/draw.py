"""Draw the map from the resources of a state.

The functions do no I/O. This module does not read the settings.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from portcullis.cli.map.model import UNDECLARED, Map, Node
from portcullis.cli.map.state import Resource, stack_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

INTERNET, NEIGHBOUR = "who:internet", "who:neighbour"
_STORES = {"Redis": "Redis", "MongoDB": "MongoDB", "PostgreSQL": "PostgreSQL"}
_HAVE_USERS = ("RedisUser", "StoreServer")
"""The kinds of resources whose undeclared items are users of a store."""
_SERVED = re.compile(
    r"\b(?:server|proxy_pass)\s+(?:http://)?((?:\d{1,3}\.){3}\d{1,3}:\d+|\[[0-9a-f:]+\]:\d+)"
)
_RULE = re.compile(r"in (?P<ports>[0-9:,]+)(?:/(?P<protocol>tcp|udp))?(?: from (?P<source>\S+))?")
INVENTORY = ("accounts", "keys", "files", "units", "programs", "packages", "kernel", "docker")
"""The maps of the resource Inventory. This is a copy: its module needs packages that a pipeline may lack."""
_SERVES = re.compile(r"serves (.+?)(?: on .*)?$")
_EVERYWHERE = (None, "", "0.0.0.0", "::")  # noqa: S104 - to be recognised
_WEB = ("80/tcp", "443/tcp")


def draw(resources: Sequence[Resource]) -> Map:
    """Return the map of a stack."""
    found = Map(stack_of(resources))
    found.add(Node(INTERNET, "who", "", "internet"))
    found.add(Node(NEIGHBOUR, "who", "", "neighbour", "same network segment"))
    by_urn = {resource.urn: resource for resource in resources}
    hosts = {urn: host for urn in by_urn if (host := _host_of(urn, by_urn))}
    for resource in resources:
        if resource.kind == "SshServer":
            _ssh(found, resource)
        elif resource.kind == "UfwPolicy":
            _rules(found, resource)
    containers = _containers(found, resources, by_urn, hosts)
    _sites(found, resources, by_urn, containers)
    _stores(found, containers)
    _links(found, resources)
    for resource in resources:
        if resource.kind == "SshServer":
            _tunnels(found, resource, containers)
    return found


def scanned(found: Map, scan: Mapping[str, Any]) -> None:
    """Add the undeclared ports that a scan found. `scan` is the output of `portcullis scan --json`."""
    for host, seen in scan.get("hosts", {}).items():
        for where, rows in seen["addresses"].items():
            for row in rows:
                if row["state"] == "open" and row["declared"] == "nobody declared it":
                    key = _undeclared_port(found, host, row["what"], row["answers"] or where)
                    for who in (INTERNET, NEIGHBOUR):
                        found.join(who, key, "", UNDECLARED)


def exposed(found: Map, before: Iterable[Resource], after: Iterable[Resource] = ()) -> None:
    """Add the undeclared ports that the resource `Exposure` found on a host, and other undeclared items.

    The map draws no line to these ports. A program listens there, but a firewall may refuse every packet.

    Args:
        found: the map.
        before: the resources as a refresh found them on the host.
        after: the resources as declared. Without `after`, the inputs in the state count as declared.
    """
    declared = {resource.urn: resource for resource in after}
    for resource in before:
        _undeclared_items(found, resource)
        if resource.kind != "Exposure":
            continue
        goal = declared.get(resource.urn)
        # After a refresh, inputs and outputs both have the values that were found. `declared` has the
        # declared values.
        remembered = resource.mapping("declared")
        accepted = (goal or resource).mapping("accepted")
        for name in ("listeners", "published"):
            wanted = goal.mapping(name) if goal else remembered.get(name) or resource.mapping(name)
            for key, owner in resource.found(name).items():
                if key in wanted or key in accepted:
                    continue
                place = re.fullmatch(r"(tcp|udp)[46] (\S+):(\d+)", key)
                if place:
                    label = f"{place[3]}/{place[1]}"
                    _undeclared_port(found, resource.text("host"), label, f"{owner} on {place[2]}")


def _undeclared_items(found: Map, resource: Resource) -> None:
    """Add undeclared items that a component or the inventory found.

    The map shows an undeclared virtual host of nginx as a red site.
    """
    host = resource.text("host")
    # A state of 0.1.0 has the former name.
    files = (
        {} if resource.kind in _HAVE_USERS else resource.found("undeclared") or resource.found("strangers")
    )
    for path, text in sorted(files.items()):
        served = _SERVES.search(str(text))
        if served and resource.kind == "ServedSites":
            key = f"site:{host}:{path}"
            found.add(Node(key, "site", host, served[1], path, UNDECLARED))
            for port in _WEB:
                found.join(f"port:{host}:{port}", key, "", UNDECLARED)
        found.others.append(f"{host}: {path}: {text}")
    if resource.kind == "Inventory":
        for name in INVENTORY:
            things = sorted(resource.found(name).items())
            found.others.extend(f"{host}: {name}: {thing}: {text}" for thing, text in things)


def _undeclared_port(found: Map, host: str, port: str, who: str) -> str:
    key = f"port:{host}:{port}"
    found.add(Node(key, "port", host, port, who, UNDECLARED))
    return key


def _ssh(found: Map, server: Resource) -> None:
    port = f"{server.text('port')}/tcp"
    _open(found, server.text("host"), port, "SSH", "")


def _rules(found: Map, policy: Resource) -> None:
    for name, action in sorted(policy.mapping("rules").items()):
        rule, verb = _RULE.fullmatch(name), str(action).partition(" ")[0]
        if verb not in ("allow", "limit") or name.startswith("out "):
            continue
        host, comment = policy.text("host"), str(action).partition("# ")[2]
        if not rule:
            # The rule lets somebody in all the same, and everything that is not on the map counts as closed.
            source = re.search(r" from (?!any\b)(\S+)", name)
            _open(found, host, name.removeprefix("in "), comment, source[1] if source else "")
            continue
        for protocol in [rule["protocol"]] if rule["protocol"] else ["tcp", "udp"]:
            for ports in rule["ports"].split(","):
                _open(found, host, f"{ports}/{protocol}", comment, rule["source"] or "")


def _open(found: Map, host: str, port: str, what: str, source: str) -> None:
    key = f"port:{host}:{port}"
    found.add(Node(key, "port", host, port, what))
    if source:
        who = f"who:{source}"
        found.add(Node(who, "who", "", source))
        found.join(who, key)
        return
    for who in (INTERNET, NEIGHBOUR):
        found.join(who, key)


def _host_of(urn: str, by_urn: Mapping[str, Resource]) -> str:
    """Return the alias of a resource's host, from the resource or from its parent components."""
    resource = by_urn.get(urn)
    while resource is not None:
        if resource.kind == "HardenedHost":
            return resource.name
        if host := resource.text("host"):
            return host
        resource = by_urn.get(resource.parent)
    return ""


def _containers(
    found: Map, resources: Sequence[Resource], by_urn: Mapping[str, Resource], hosts: Mapping[str, str]
) -> dict[str, _Container]:
    """Add all containers. Return them by the URN of their component, or else by their own URN."""
    made: dict[str, _Container] = {}
    beside = {resource.parent: host for resource in resources if (host := resource.text("host"))}
    for resource in resources:
        # A container that need not run was a job. Nobody reaches it.
        if resource.kind != "Container" or resource.props.get("mustRun") is False:
            continue
        parent = by_urn.get(resource.parent)
        kind, component, above = resource.above
        ours = kind == "PrivateContainer"
        around = (above, parent.above[0] if parent else "")
        store = next((each for each in around if ours and each in _STORES), "")
        name = component if ours else resource.text("name")
        host = hosts.get(resource.urn) or beside.get(resource.parent, "")
        column = "store" if store else "container"
        key = f"{column}:{host}:{name}"
        detail = _STORES.get(store, "")
        found.add(Node(key, column, host, name or resource.name, detail))
        made[resource.parent if ours else resource.urn] = _Container(key, host, resource, parent)
    return made


class _Container:
    """A container on the map, with the networks, addresses and ports by which others reach it."""

    def __init__(self, key: str, host: str, resource: Resource, component: Resource | None) -> None:
        self.key, self.host = key, host
        self.networks = {
            str(network["name"])
            for network in resource.props.get("networksAdvanced") or ()
            if isinstance(network, dict) and network.get("name")
        }
        self.urns = {resource.urn, *([resource.parent] if resource.above[0] == "PrivateContainer" else [])}
        self.addresses = {
            f"{port['ip']}:{port['external']}"
            for port in resource.props.get("ports") or ()
            if isinstance(port, dict) and port.get("external") and port.get("ip")
        }
        if component and (address := component.text("address")):
            self.addresses.add(address)
        self.published = sorted(
            f"{port['external']}/{port.get('protocol') or 'tcp'}"
            for port in resource.props.get("ports") or ()
            if isinstance(port, dict) and port.get("external") and port.get("ip") in _EVERYWHERE
        )


def _sites(
    found: Map,
    resources: Sequence[Resource],
    by_urn: Mapping[str, Resource],
    containers: Mapping[str, _Container],
) -> None:
    served = [resource for resource in resources if resource.kind == "ServedSites"]
    files = {
        (resource.text("host"), path.rpartition("/")[2].removesuffix(".conf")): resource
        for resource in resources
        if resource.kind == "File" and (path := resource.text("path")).startswith("/etc/nginx/conf.d/")
    }
    for proxy in served:
        host = proxy.text("host")
        for name, probe in sorted((proxy.mapping("probes") or proxy.mapping("sites")).items()):
            tls = not isinstance(probe, dict) or probe.get("tls", True)
            key = f"site:{host}:{name}"
            found.add(Node(key, "site", host, name, "HTTPS" if tls else "HTTP"))
            for port in _WEB[: 2 if tls else 1]:
                found.join(f"port:{host}:{port}", key)
            file = files.get((host, name))
            for target in _behind(file, by_urn, containers) if file else ():
                found.join(key, target)
    for container in containers.values():
        for port in container.published:
            # The port is declared public: it leads to the container itself.
            found.join(f"port:{container.host}:{port}", container.key)


def _behind(
    file: Resource, by_urn: Mapping[str, Resource], containers: Mapping[str, _Container]
) -> list[str]:
    """Return the containers that a site's file passes requests to.

    If its content is unknown, they are those that the file depends on.
    """
    host, content = file.text("host"), file.text("content")
    if content:
        addresses = set(_SERVED.findall(content))
        return sorted(
            container.key
            for container in containers.values()
            if container.host == host and container.addresses & addresses
        )
    waits = set(file.after) | {by_urn[urn].parent for urn in file.after if urn in by_urn}
    return sorted(
        container.key
        for container in containers.values()
        if container.host == host and container.key.startswith("container:") and container.urns & waits
    )


def _stores(found: Map, containers: Mapping[str, _Container]) -> None:
    """Add an edge from each app to each store that shares a network with it."""
    for app in containers.values():
        for store in containers.values():
            meet = app.host == store.host and app.networks & store.networks
            if meet and app.key.startswith("container:") and store.key.startswith("store:"):
                found.join(app.key, store.key)


def _links(found: Map, resources: Iterable[Resource]) -> None:
    """Add an edge from each app to each app or store that it uses."""
    for link in resources:
        if link.kind == "Link":
            host, server = link.text("host"), link.text("server")
            for column in ("container", "store"):
                found.join(f"container:{host}:{link.text('user')}", f"{column}:{host}:{server}")


def _tunnels(found: Map, server: Resource, containers: Mapping[str, _Container]) -> None:
    """Add the people whom sshd allows to open tunnels, and the containers that they reach."""
    host, port = server.text("host"), f"port:{server.text('host')}:{server.text('port')}/tcp"
    for account, options in sorted(server.mapping("users").items()):
        allowed = str(options.get("PermitOpen", "")) if isinstance(options, dict) else ""
        reached = [
            container for container in containers.values() if container.addresses & set(allowed.split())
        ]
        if not reached:
            continue
        person = account.removeprefix("tunnel-")
        who = f"who:tunnel:{person}"
        found.add(Node(who, "who", "", person, "SSH tunnel"))
        found.join(who, port, "tunnel")
        for container in reached:
            if container.host == host:
                found.join(who, container.key, "tunnel")
