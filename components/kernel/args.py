"""The settings section for a host's kernel settings."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from portcullis.components.firewall.render import ufw_sysctl
from portcullis.components.kernel import render
from portcullis.config.section import Section, Written
from portcullis.config.value_types import ListOf, MapOf, NumberOrText, Text, valid, whole
from portcullis.resources.sysctl.facts import STATIC

Key = Annotated[
    str,
    Text(
        "a kernel setting",
        rf"[a-z0-9_-]+(?:\.(?:\*|{STATIC}|[A-Za-z0-9_/-]+))+",
        "write the key with dots, such as net.ipv4.tcp_syncookies; * stands for every interface",
    ),
]
Value = Annotated[
    str, NumberOrText(Text("a value of a kernel setting", r"-?[A-Za-z0-9/._ -]*[A-Za-z0-9]", "write 1"))
]
Prefix = Annotated[
    str, Text("the beginning of kernel settings", r"[a-z0-9_.-]+", "write net. or kernel.yama.")
]


class KernelArgs(Section):
    """Changes to our default kernel settings."""

    what: ClassVar[str] = "kernel settings"

    values: MapOf[Key, Value | None] = Field(default_factory=dict)
    """Values that replace our defaults, or that we do not set: `net.ipv4.conf.all.rp_filter: 2`. A setting
    without a value removes our default. `net.ipv4.conf.all.…` applies to each interface too."""
    only: ListOf[Prefix] = ()
    """Manage only settings whose names begin like this: `[net.]`. For a host that is itself a container and
    shares its kernel."""
    ipsec: bool = False
    """Whether the kernel may load esp4 and esp6, which IPsec and encrypted networks of Docker Swarm need."""

    @classmethod
    def check(cls, written: Written) -> None:
        """Refuse values that would break Docker, and values that ufw would override."""
        _ports(written)
        only = written.get("only")
        managed = tuple(str(prefix) for prefix, _ in written.elements("only")) or ("",)
        for key, value, place in written.items("values"):
            text = valid(Value, value) or ""
            ufw = ufw_sysctl.VALUES.get(key, text)
            if value is not None and (why := render.refusal(key, text)):
                place.refuse(value, f"would break this host: {why}", "leave the setting out")
            elif value is not None and text != ufw:
                place.refuse(
                    value, f"would not last: the firewall sets {ufw} at every start", "leave the setting out"
                )
            elif not key.startswith(managed):
                place.report(
                    f"is not managed: only lists {', '.join(managed)}",
                    "leave the setting out, or add its prefix to only",
                )
        if not any(key.startswith(managed) for key in render.DEFAULTS):
            written.at.field("only").refuse(
                only, "matches none of our settings", "write net., or leave the prefix out"
            )


def _ports(written: Written) -> None:
    """Refuse values that let local users take containers' ports, and port ranges that the kernel refuses."""
    values = {key: (valid(Value, value), place) for key, value, place in written.items("values")}
    start, place = values.get(render.PORT_START, (str(render.FIRST_USER_PORT), written.at))
    first = whole(start)
    if start is not None and (first is None or first < render.FIRST_USER_PORT):
        why = f"would let local users listen on containers' ports below {render.FIRST_USER_PORT}"
        place.refuse(
            start,
            why,
            "leave the setting out; docs/explanation/hardening/kernel.md says what a service can do instead",
        )
        return
    ports, place = values.get(render.PORT_RANGE, (None, written.at))
    least = whole((ports or "").partition(" ")[0])
    if first is not None and least is not None and least < first:
        why = f"begins below {first}, the first port for local users: the kernel refuses this range"
        place.refuse(ports, why, f'write "{first} 60999", or more')
