"""The settings section of the firewall: which packets reach a host and its containers."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from portcullis.components.firewall.on_host.ufw_names import normal_name, normal_value
from portcullis.components.firewall.render import forward_filter
from portcullis.config.forms import LAST_PORT, Network
from portcullis.config.section import Section, Written
from portcullis.config.value_types import Choice, ListOf, MapOf, Text


def _rule(text: str) -> tuple[str, str] | None:
    hint = 'write a port and its protocol, such as "8443/tcp" or "60000:61000/udp"'
    found = re.fullmatch(r"([1-9][0-9]{0,4})(?::([1-9][0-9]{0,4}))?/(tcp|udp)", text)
    if not found:
        return ("is not a port with its protocol", hint)
    first, last = int(found[1]), int(found[2] or found[1])
    if max(first, last) > LAST_PORT:
        return (f"is above {LAST_PORT}, the last port", hint)
    if found[2] and first >= last:
        return ("is a range that ends before it begins", hint)
    return None


def _outside(text: str) -> tuple[str, str] | None:
    if forward_filter.DOCKERS.fullmatch(text):
        return (
            "is a bridge that Docker made for containers",
            "name only bridges that lead to the internet",
        )
    return None


def _destination(text: str) -> tuple[str, str] | None:
    try:
        forward_filter.ForwardPolicy(egress={"br": [text]})
    except ValueError as error:
        reason, _, hint = str(error).partition(f"{text!r} ")[2].partition("; ")
        return (
            reason,
            hint or "write 203.0.113.7, 203.0.113.0/24:443/tcp, [2001:db8::1]:443/tcp or *:443/tcp",
        )
    return None


def _denied(text: str) -> tuple[str, str] | None:
    if not text.isprintable():
        return (
            "is not a valid match for a rule",
            "write it on one line: any from 198.51.100.0/24, or 25/tcp",
        )
    try:
        normal_name(f"in {text}")
    except ValueError as error:
        return (f"is not a valid match for a rule ({error})", "write any from 198.51.100.0/24, or 25/tcp")
    return None


def _why(text: str) -> tuple[str, str] | None:
    if not text.isprintable():
        return ("cannot be the comment of a rule", "write plain words on one line")
    try:
        normal_value(f"deny # {text}")
    except ValueError as error:
        return (f"cannot be the comment of a rule ({error})", "write plain words")
    return None


OpenPort = Annotated[str, Text("a port with its protocol", refused=_rule)]
Interface = Annotated[str, Text("the name of a network interface", forward_filter.INTERFACE)]
OutsideBridge = Annotated[
    str, Text("the name of a network interface", forward_filter.INTERFACE, refused=_outside)
]
Destination = Annotated[str, Text("a destination", refused=_destination)]
"""A destination that a container may open connections to: `203.0.113.7:443/tcp`, `*:53/udp`."""
Denied = Annotated[str, Text("a match for a rule", refused=_denied)]
Why = Annotated[str, Text("the comment of a rule", refused=_why)]
LogLevel = Annotated[Literal["off", "low", "medium", "high", "full"], Choice("a level of ufw's log")]


class RuleArgs(Section):
    """The addresses and networks that may use an open port."""

    what: ClassVar[str] = "a rule of the firewall"

    from_: ListOf[Network] = ()
    """The addresses and networks that may use the port. Without `from`, everybody may use the port."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse a rule with an empty list `from`, because such a rule would allow nobody."""
        if written.is_nothing("from_"):
            written.at.field("from_").report(
                "names nobody",
                f"remove the whole rule, or leave {written.at.spell('from_')} out to allow everybody: "
                "`8443/tcp: {}`",
            )


class FirewallArgs(Section):
    """Ports that are open besides those of SSH and nginx, and packets to refuse.

    Write ports with their protocol: "8443/tcp".
    """

    what: ClassVar[str] = "a firewall"

    allow: MapOf[OpenPort, RuleArgs] = Field(default_factory=dict)
    """Ports of the host itself that are open besides those of SSH and nginx:
    `"8443/tcp": {from: [203.0.113.0/24]}`."""
    deny: MapOf[Denied, Why] = Field(default_factory=dict)
    """Packets to refuse, even to open ports, each with the reason: `"any from 198.51.100.0/24": scanner`."""
    public: MapOf[OpenPort, RuleArgs] = Field(default_factory=dict)
    """Published ports of containers that are open to the internet. The forward filter drops packets to every
    other port that Docker publishes."""
    outside: ListOf[OutsideBridge] = ()
    """Bridges that lead to the internet, as on a host that runs virtual machines. The firewall treats every
    other bridge as a network of containers."""
    metadata_for_users: bool = False
    """Whether users of the host other than root reach the metadata service of the cloud, which often gives
    credentials. For example, a cloud's agent that does not run as root needs this."""
    logging: LogLevel = "low"
    """The level of ufw's log about refused packets."""
