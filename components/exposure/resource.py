"""The resource `Exposure`: listeners on non-loopback addresses, published ports, and open firewall rules."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from portcullis.components.exposure import exposure_keys as keys
from portcullis.components.exposure.facts import ABSENT, MAPS, ExposureDesired, ExposureFacts, maps_of
from portcullis.components.exposure.on_host.docker_ports import PAST_FILTERS, was_declared
from portcullis.components.nginx.on_host.served_containers import IS_SERVED, MAY_BE_SERVED
from portcullis.host.provider import HostProvider, Normaliser, is_known
from portcullis.host.resource import HostResource
from portcullis.provider.base import CreateResult, UpdateResult
from portcullis.provider.changes import STAYS, Line, Section, Severity, with_rest
from portcullis.provider.diagnostics import warn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi

    from portcullis.host.agent_process import Json
    from portcullis.host.host import Host
    from portcullis.host.session import Channel
    from portcullis.host.survey import Item
    from portcullis.provider.base import Props
    from portcullis.provider.changes import Change

# Under this name, `update` passes the previous declaration to `apply`. The state never contains it.
_BEFORE = "__before"


class ExposureProvider(HostProvider):
    """Provider of `Exposure`."""

    kind = "exposure"
    section = Section.FIREWALL
    desired_type = ExposureDesired
    facts_type = ExposureFacts
    live = MAPS
    identity = ("host",)
    sets = MappingProxyType({"networks": "declared"})
    instead_of_import = "declare the resource instead; it only checks the host"
    # The maps are outputs and inputs. After an update, the state contains what the host exposes, not what it
    # should expose.
    chosen = MAPS
    # The state's other maps contain what the host exposes, so the state also records the declaration.
    remembered = ("declared",)

    def normalise(self, inputs: Normaliser) -> None:
        """Check the keys and texts of each map."""
        for name, form in (
            ("listeners", keys.LISTENER),
            ("published", keys.PUBLISHED),
            ("passes", keys.PASSED),
            ("networks", keys.NETWORK),
            ("accepted", keys.ACCEPTED),
            ("usual", keys.USUAL),
        ):
            found = inputs.news.get(name)
            inputs.inputs[name] = found if found is not None else {}
            for key, text in (found or {}).items() if is_known(found) else ():
                if not re.fullmatch(form, key):
                    inputs.fail(name, f"{key!r} is not a key of {name}; copy the key from the preview")
                if is_known(text) and not (isinstance(text, str) and text.strip()):
                    inputs.fail(name, f"{key!r} needs a text: an owner or a reason")

    def desired(self, props: Props) -> ExposureDesired:
        """Return the declared exposure.

        In the state, the inputs contain what the last refresh found. So this function takes the declared maps
        from `declared`.
        """
        found: ExposureDesired = super().desired({**props, **(props.get("declared") or {})})
        return found

    def create(self, props: Props) -> CreateResult:
        """Read the host, and record the declaration in the state."""
        done = super().create(props)
        return CreateResult(done.id, _remembering(props, done.outs))

    def update(self, id_: str, olds: Props, news: Props) -> UpdateResult:
        """Read the host, and record the declaration in the state."""
        done = super().update(id_, olds, {**news, _BEFORE: olds.get("declared") or {}})
        return UpdateResult(_remembering(news, done.outs))

    def apply(self, channel: Channel, item: Item, props: Props) -> Json:
        """Change nothing, and print a warning for each difference.

        A difference is only a warning: after an error, Pulumi's engine would skip all deletes, which come
        after all updates. If an entry is no longer declared, the host still has it at this moment, because
        the delete comes later. So this entry gets no warning.
        """
        answer = self.put(channel, item, props)
        found = maps_of(self._typed(answer["facts"]))
        for step in answer["steps"]:
            name, key = _split(step)
            if step["want"] == ABSENT and _is_going(name, key, step["have"], props.get(_BEFORE) or {}):
                found[name] = {other: text for other, text in found[name].items() if other != key}
            else:
                warn(props["managed_by"], line(step))
        return {**answer["facts"], **found}

    def absent_inputs(self) -> Props:
        """Return no inputs, because this resource is never absent."""
        return {}

    def lines(self, change: Change) -> list[Line]:
        """Name each undeclared entry that is open, and each declared entry that is missing.

        `up` itself closes no port.
        """
        if change.op != "update":
            # The resource only reads. Its creation or deletion alone is not worth a line.
            return [replace(line, follows=True) for line in super().lines(change)]
        found = []
        for name in MAPS:
            told: set[tuple[str, str]] = set()
            for key, live, goal in change.entries(name):
                line = _line(change, name, key, live, goal)
                # A port on both IPv4 and IPv6 gets one line.
                if (line.subject, line.what) not in told:
                    told.add((line.subject, line.what))
                    found.append(line)
        for name in ("accepted", "usual"):
            for key, live, goal in change.entries(name):
                what = f"accepted: {goal}" if goal else f"no longer accepted: {live}"
                found.append(Line(key, what, at=(name, key)))
        return with_rest(change, "exposure", found, *MAPS)


def _remembering(props: Props, outs: Props) -> Props:
    known = {key: value for key, value in outs.items() if key != _BEFORE}
    return {**known, "declared": {name: props.get(name) or {} for name in MAPS}}


def _is_going(name: str, key: str, owner: str, before: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether an undeclared entry was declared until this update, with the same owner."""
    declared = before.get(name) or {}
    if name == "networks":
        return key in declared
    return declared.get(key) == owner or (name == "published" and was_declared(key, owner, declared))


def _split(step: Mapping[str, str]) -> tuple[str, str]:
    name, key = re.fullmatch(r'(\w+)\["(.*)"\]', step["property"], re.DOTALL).groups()  # type: ignore[union-attr]
    return name, key


def _line(change: Change, name: str, key: str, live: str | None, goal: str | None) -> Line:
    """Return the report's line about one key of a map."""
    at = (name, key)
    if not change.by_hand(at):
        return Line(_named(name, key), f"declared: {goal or 'no longer'}", "up reads it again", at=at)
    if live is None:
        # The rule, container or unit behind the missing entry has a line of its own.
        what, remedy = f"declared but missing: {goal}", "start the service behind it"
        return Line(_named(name, key), what, remedy, Severity.WRONG, at=at, follows=True)
    container = _CONTAINER.match(live)
    if name in ("listeners", "published"):
        what = f"published by {live}" if name == "published" else f"{live} listens"
        service = _SERVICE.match(live)
        away = (
            f"docker rm -f {shlex.quote(container[1])}"
            if container
            else f"docker service rm {shlex.quote(service[1])}"
            if service
            else ""
        )
        if IS_SERVED in live or MAY_BE_SERVED in live:
            away = ""  # without the container, nginx may answer with an error
        remedy = f"{STAYS}; remove it yourself: {away}" if away else STAYS
        topic = f"container {container[1]}" if container else ""
        return Line(_named(name, key), what, remedy, Severity.OPEN, at=at, topic=topic, echo=bool(topic))
    if name == "networks":
        # The inventory has a line for each undeclared network, even for one without containers.
        subject = f"network {key}"
        remedy = f"{STAYS}; remove it yourself: docker network rm {shlex.quote(key)}"
        severity = Severity.OPEN if PAST_FILTERS in live else Severity.WRONG
        return Line(subject, f"undeclared, with {live}", remedy, severity, at=at, topic=subject, echo=True)
    topic = "forward filter" if key == "any routed" else _port(key) or key
    return Line(_named(name, key), f"open to {live}", STAYS, Severity.OPEN, at=at, topic=topic, echo=True)


# Only the agent's text for a container or service of Docker begins so: processes and units cannot.
_CONTAINER = re.compile(r'container "([A-Za-z0-9][A-Za-z0-9_.-]*)"')
_SERVICE = re.compile(r'service "([A-Za-z0-9][A-Za-z0-9_.-]*)"')
_PASSED = re.compile(r"(tcp|udp)[46] (\d[\d-]*)$")


def _port(key: str) -> str:
    """Return ufw's name for the port that this key opens, or "" for any other key."""
    found = _PASSED.match(key)
    return f"{found[2].replace('-', ':')}/{found[1]}" if found else ""


def _named(name: str, key: str) -> str:
    return _port(key) or key if name == "passes" else key


def line(step: Mapping[str, str]) -> str:
    """Return one difference as a line for people: `tcp4 0.0.0.0:3306 by container "leak" (mysql:8)`."""
    name, key = _split(step)
    have, want = step["have"], step["want"]
    what = {"networks": f"network {key} with", "passes": f"{key}:"}.get(name, f"{key} by")
    if want == ABSENT:
        return f"undeclared: {what} {have}"
    if have == ABSENT:
        return f"declared but missing: {what} {want}"
    return f"{what} {have}, declared: {want}"


class Exposure(HostResource):
    """Compares what a host exposes with the declaration.

    A preview shows each difference, and `up` prints a warning for it.

    Attributes:
        listeners: sockets that listen on non-loopback addresses: `tcp4 0.0.0.0:443` → `nginx.service`.
        published: ports that Docker publishes on non-loopback addresses: `tcp4 172.17.0.1:2019` → `container
            "api"`.
        passes: the open ports and the accepting rules of the firewalls: `tcp4 443` → `anywhere`.
        networks: declared Docker networks, and undeclared networks with a running container in them.
        accepted: undeclared keys that may be on the host, each with the reason.
        declared: the maps `listeners`, `published`, `passes` and `networks` as the last `up` declared them.
    """

    listeners: pulumi.Output[dict[str, str]]
    published: pulumi.Output[dict[str, str]]
    passes: pulumi.Output[dict[str, str]]
    networks: pulumi.Output[dict[str, str]]
    accepted: pulumi.Output[dict[str, str]]
    declared: pulumi.Output[dict[str, dict[str, str]]]

    def __init__(
        self,
        name: str,
        *,
        host: Host | str,
        listeners: Mapping[str, str],
        published: Mapping[str, str] | None = None,
        passes: Mapping[str, str] | None = None,
        networks: Sequence[str] = (),
        accepted: Mapping[str, str] | None = None,
        usual: Mapping[str, str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the ports, rules and networks that the host may expose.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            listeners: sockets on non-loopback addresses → their owners: a systemd unit, `container "NAME"`,
                or `process "NAME" (USER)`.
            published: ports that Docker publishes on non-loopback addresses → `container "NAME"`. The key of
                all releases of an app is `tcp4 172.17.0.1:28000-28999 for NAME`.
            passes: the open ports and the accepting rules of the firewalls → the allowed sources.
            networks: the names of the declared Docker networks.
            accepted: undeclared keys of these maps that may be on the host → the reason. The key of a network
                is `network NAME`.
            usual: listeners that may be on any address, such as `udp 68 by dhclient` → the reason.
                `ephemeral` stands for a port that the kernel chose, and `*` for any owner. `published tcp
                8443 by *` is a port that any container may publish.
            opts: resource options.
        """
        super().__init__(
            ExposureProvider,
            name,
            host=host,
            adopt=False,
            inputs={
                "listeners": dict(listeners),
                "published": dict(published or {}),
                "passes": dict(passes or {}),
                "networks": dict.fromkeys(sorted(networks), "declared"),
                "accepted": dict(accepted or {}),
                "usual": dict(usual or {}),
            },
            outputs=("declared",),
            opts=opts,
        )
