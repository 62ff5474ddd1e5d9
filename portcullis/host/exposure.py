"""What a host exposes: who listens beyond loopback, what Docker publishes, what the firewalls let through."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portcullis.render import exposure_keys as keys

from .diagnostics import warn
from .provider import HostProvider, Normaliser, Props, is_known
from .resource import HostResource
from .survey import Item

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pulumi

    from .agent_process import Json
    from .session import Channel

_LIVE = ("listeners", "published", "passes", "networks")
# What the host needs to know for reading; the rest is compared here.
_SPEC = ("listeners", "published", "networks", "accepted", "usual")
ABSENT = "absent"


class ExposureProvider(HostProvider):
    """Provider of `Exposure`; its module path is part of every state."""

    kind = "exposure"
    identity = ("host",)
    # Inputs too: what a change leaves in the state is what the host exposes, not what it should.
    chosen = _LIVE

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

    def item(self, props: Props) -> Item:
        """Return the host, with what is declared of sockets and containers."""
        return Item(self.kind, "host", {name: props.get(name) or {} for name in _SPEC})

    def apply(self, channel: Channel, item: Item, props: Props) -> Json:
        """Change nothing, and warn of each difference.

        Not a failure: the engine deletes nothing after one, and what is to be taken back would stay.
        """
        answer = self.put(channel, item, props)
        for step in answer["steps"]:
            warn(props["managed_by"], line(step))
        facts: Json = answer["facts"]
        return facts

    def live_inputs(self, facts: Json) -> Props:
        """Return all that is exposed."""
        return {name: facts[name] for name in _LIVE}

    def absent_inputs(self) -> Props:
        """Return nothing: there is always a host."""
        return {}


def line(step: Mapping[str, str]) -> str:
    """Return a difference in one line for people: `tcp4 0.0.0.0:3306 by container "leak" (mysql:8)`."""
    name, key = re.fullmatch(r'(\w+)\["(.*)"\]', step["property"], re.DOTALL).groups()  # type: ignore[union-attr]
    have, want = step["have"], step["want"]
    what = {"networks": f"network {key} with", "passes": f"{key}:"}.get(name, f"{key} by")
    if want == ABSENT:
        return f"undeclared: {what} {have}"
    if have == ABSENT:
        return f"declared, and not there: {what} {want}"
    return f"{what} {have}, declared: {want}"


class Exposure(HostResource, module="portcullis", name="Exposure"):
    """What a host exposes. Read only: what differs shows in every preview, and an update warns of it.

    Attributes:
        listeners: who listens beyond loopback: `tcp4 0.0.0.0:443` → `nginx.service`.
        published: what Docker publishes beyond loopback: `tcp4 172.17.0.1:2019` → `container "api"`.
        passes: what the firewalls let through: `tcp4 443` → `anywhere`.
        networks: networks of Docker with somebody in them.
        accepted: what may be there besides, with the reason.
    """

    listeners: pulumi.Output[dict[str, str]]
    published: pulumi.Output[dict[str, str]]
    passes: pulumi.Output[dict[str, str]]
    networks: pulumi.Output[dict[str, str]]
    accepted: pulumi.Output[dict[str, str]]

    def __init__(
        self,
        name: str,
        *,
        host: str,
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
            host: alias of the host.
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
            ExposureProvider(),
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
            outputs=(),
            opts=opts,
        )
