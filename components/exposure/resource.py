"""What a host exposes: who listens beyond loopback, what Docker publishes, what the firewalls let through."""

from __future__ import annotations

import re
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from portcullis.components.exposure import exposure_keys as keys
from portcullis.components.exposure.facts import ABSENT, MAPS, ExposureDesired, ExposureFacts, maps_of
from portcullis.components.exposure.on_host.docker_ports import PAST_FILTERS, was_declared
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

# What was declared before an update, on its way to `apply` only.
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
    instead_of_import = "it only reads: declare it"
    # Inputs too: what a change leaves in the state is what the host exposes, not what it should.
    chosen = MAPS
    # The state's other maps are what is exposed. An update takes more from this than the present inputs.
    remembered = ("declared",)

    def normalise(self, inputs: Normaliser) -> None:
        """Check the keys of each map."""
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
                    inputs.fail(name, f"{key!r} is not a key of {name}; copy it from a line of difference")
                if is_known(text) and not (isinstance(text, str) and text.strip()):
                    inputs.fail(name, f"{key!r} has no text: an owner, or a reason")

    def desired(self, props: Props) -> ExposureDesired:
        """Return what is declared: in a state the inputs are what was found, and that stands beside them."""
        found: ExposureDesired = super().desired({**props, **(props.get("declared") or {})})
        return found

    def create(self, props: Props) -> CreateResult:
        """Read it, and remember what was declared."""
        done = super().create(props)
        return CreateResult(done.id, _remembering(props, done.outs))

    def update(self, id_: str, olds: Props, news: Props) -> UpdateResult:
        """Read it, and remember what was declared."""
        done = super().update(id_, olds, {**news, _BEFORE: olds.get("declared") or {}})
        return UpdateResult(_remembering(news, done.outs))

    def apply(self, channel: Channel, item: Item, props: Props) -> Json:
        """Change nothing, and warn of each difference.

        Not a failure: the engine deletes nothing after one, and what is to be taken back would stay. It
        deletes after every update, so what was declared until now is still there, and about to go.
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
        """Return nothing: there is always a host."""
        return {}

    def lines(self, change: Change) -> list[Line]:
        """Say what is open and undeclared, and what is declared and closed. `up` closes nothing of it."""
        if change.op != "update":
            # It only reads: what it finds is told, that it reads is not.
            return [replace(line, follows=True) for line in super().lines(change)]
        found = []
        for name in MAPS:
            told: set[tuple[str, str]] = set()
            for key, live, goal in change.entries(name):
                line = _line(change, name, key, live, goal)
                # One port by IPv4 and by IPv6 is one line.
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
    """Whether something undeclared was declared until now, with the same owner."""
    declared = before.get(name) or {}
    if name == "networks":
        return key in declared
    return declared.get(key) == owner or (name == "published" and was_declared(key, owner, declared))


def _split(step: Mapping[str, str]) -> tuple[str, str]:
    name, key = re.fullmatch(r'(\w+)\["(.*)"\]', step["property"], re.DOTALL).groups()  # type: ignore[union-attr]
    return name, key


def _line(change: Change, name: str, key: str, live: str | None, goal: str | None) -> Line:
    """Return the line of a report about one key of a map."""
    at = (name, key)
    if not change.by_hand(at):
        return Line(_named(name, key), f"declared: {goal or 'no longer'}", "up reads it again", at=at)
    if live is None:
        # The rule, the container or the unit behind it has a line of its own.
        what, remedy = f"declared, and not there: {goal}", "what serves it has to start"
        return Line(_named(name, key), what, remedy, Severity.WRONG, at=at, follows=True)
    container = _CONTAINER.match(live)
    if name in ("listeners", "published"):
        what = f"reached by {live}" if name == "published" else f"{live} listens"
        service = _SERVICE.match(live)
        away = (
            f"docker rm -f {container[1]}"
            if container
            else f"docker service rm {service[1]}"
            if service
            else ""
        )
        remedy = f"{STAYS}; remove it yourself: {away}" if away else STAYS
        topic = f"container {container[1]}" if container else ""
        return Line(_named(name, key), what, remedy, Severity.OPEN, at=at, topic=topic, echo=bool(topic))
    if name == "networks":
        # The inventory tells of each network, also of one with nobody in it.
        subject, remedy = f"network {key}", f"{STAYS}; remove it yourself: docker network rm {key}"
        severity = Severity.OPEN if PAST_FILTERS in live else Severity.WRONG
        return Line(subject, f"undeclared, with {live}", remedy, severity, at=at, topic=subject, echo=True)
    topic = "forward filter" if key == "any routed" else _port(key) or key
    return Line(_named(name, key), f"open to {live}", STAYS, Severity.OPEN, at=at, topic=topic, echo=True)


_CONTAINER = re.compile(r'container "([A-Za-z0-9][A-Za-z0-9_.-]*)"')
_SERVICE = re.compile(r'service "([A-Za-z0-9][A-Za-z0-9_.-]*)"')
_PASSED = re.compile(r"(tcp|udp)[46] (\d[\d-]*)$")


def _port(key: str) -> str:
    """Return what ufw calls a port that it lets through, '' where it is another rule."""
    found = _PASSED.match(key)
    return f"{found[2].replace('-', ':')}/{found[1]}" if found else ""


def _named(name: str, key: str) -> str:
    return _port(key) or key if name == "passes" else key


def line(step: Mapping[str, str]) -> str:
    """Return a difference in one line for people: `tcp4 0.0.0.0:3306 by container "leak" (mysql:8)`."""
    name, key = _split(step)
    have, want = step["have"], step["want"]
    what = {"networks": f"network {key} with", "passes": f"{key}:"}.get(name, f"{key} by")
    if want == ABSENT:
        return f"undeclared: {what} {have}"
    if have == ABSENT:
        return f"declared, and not there: {what} {want}"
    return f"{what} {have}, declared: {want}"


class Exposure(HostResource):
    """What a host exposes. Read only: what differs shows in every preview, and an update warns of it.

    Attributes:
        listeners: who listens beyond loopback: `tcp4 0.0.0.0:443` → `nginx.service`.
        published: what Docker publishes beyond loopback: `tcp4 172.17.0.1:2019` → `container "api"`.
        passes: what the firewalls let through: `tcp4 443` → `anywhere`.
        networks: networks of Docker with somebody in them.
        accepted: what may be there besides, with the reason.
        declared: what was declared of the first four when it was last read in an `up`.
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
        """Declare it.

        Args:
            name: the resource's name.
            host: the host, or its alias.
            listeners: sockets beyond loopback → their owners: a systemd unit, `container "NAME"`, or
                `process NAME (USER)`.
            published: what Docker publishes beyond loopback → `container "NAME"`. The releases of an app are
                `tcp4 172.17.0.1:28000-28999 for NAME`.
            passes: what ufw and the forward filter let through → from where.
            networks: the networks of Docker that are declared.
            accepted: keys of any of these that may be there → why. Networks are `network NAME`.
            usual: what may be there, on any address → why: `udp 68 by dhclient`; `ephemeral` stands for a
                port that the kernel chose, `*` for any owner. `published tcp 8443 by *` is of containers.
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
