"""Read ufw's rules in any spelling: `27017/tcp`, `in 443/tcp on eth0`, `redis from 192.0.2.7`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from portcullis.policy.addresses import everybody
from portcullis.policy.model import UNKNOWN

_PORTS = re.compile(r"[\d:,]+(?:/\w+)?")
_SERVICES = {"mongodb": 27017, "mysql": 3306, "postgresql": 5432, "redis": 6379}
_FOLLOWED = ("on", "from", "to", "port")


@dataclass(frozen=True, slots=True)
class Opened:
    """The traffic that a rule admits.

    Attributes:
        ports: ranges of ports, as first and last port.
        everything: whether the rule names no port, no protocol and no interface.
        everybody: whether the rule names no source, or a network that is too wide to be a restriction.
    """

    ports: tuple[tuple[int, int], ...]
    everything: bool
    everybody: bool


def opened(name: str, value: Any) -> Opened | None:
    """Read one rule of a UfwPolicy. Return None if the rule admits no incoming traffic."""
    action = str(value).partition(" ")[0]
    words = re.sub(r"\s*\(v[46]\)$", "", name.strip()).split()
    if "out" in words[:1] or (value is not UNKNOWN and action not in ("allow", "limit")):
        return None
    after = {word: following for word, following in pairwise(words) if word in _FOLLOWED}
    own = [
        word
        for before, word in pairwise(["", *words])
        if before not in _FOLLOWED and word not in (*_FOLLOWED, "in", "out", "route", "any")
    ]
    ports: list[tuple[int, int]] = []
    for word in own:
        what, _, _ = word.partition("/")
        if _PORTS.fullmatch(word):
            ports += [
                (int(first), int(last or first)) for first, last in re.findall(r"(\d+)(?::(\d+))?", what)
            ]
        elif what in _SERVICES:
            ports.append((_SERVICES[what], _SERVICES[what]))
    return Opened(
        tuple(ports),
        everything=not own and "on" not in after,
        everybody="from" not in after or everybody(after["from"]),
    )
