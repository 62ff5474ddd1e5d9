"""What a preview finds about one resource, and how the resource's kind says it to people.

The report (portcullis/cli/report) reads the engine's events, and asks each kind for its lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Props = Mapping[str, Any]
Path = tuple[str, ...]
"""Where a value stands in the properties of a resource: names, keys of maps, places in lists."""
Op = Literal["create", "update", "replace", "delete"]

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What the engine writes where a value is known only after `up`."""
SECRET = "[secret]"  # noqa: S105 - what the engine writes instead of a secret
STAYS = "stays"
"""How a remedy begins where `up` changes nothing: what nobody declared is told, and left to people."""

_STEP = re.compile(r"""\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|([^.\[]+)""")


class Severity(Enum):
    """How bad a difference is. The value is the mark in front of its line."""

    OPEN = "!!"
    """It opens the host, or loses data."""
    WRONG = "!"
    """Something does not work as declared."""
    COSMETIC = ""

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


class Section(IntEnum):
    """What a difference is about. Lines of the same severity stand in this order."""

    ACCESS = 0
    FIREWALL = 1
    DATA = 2
    SITES = 3
    REST = 4


@dataclass(frozen=True, slots=True)
class Line:
    """A difference in one line for people: `deploy: key "evil" added — up removes it`.

    Attributes:
        subject: the thing by its human name.
        what: what is different about it.
        remedy: what `up` will do about it; "" leaves the words to the report. It begins with `STAYS` where
            `up` changes nothing, followed by what a person can do, ready to paste.
        severity: how bad it is.
        section: what it is about; None: what the kind is about.
        at: the value that it is about; () is the whole resource.
        topic: what several kinds may tell of, such as `9200/tcp`.
        echo: left out where a line without this mark has the same topic on the same host.
        follows: left out where there is any other difference: it comes from one, and goes with it.
    """

    subject: str
    what: str
    remedy: str = ""
    severity: Severity = Severity.COSMETIC
    section: Section | None = None
    at: Path = ()
    topic: str = ""
    echo: bool = False
    follows: bool = False

    @property
    def stays(self) -> bool:
        """Whether `up` leaves it as it is."""
        return self.remedy.startswith(STAYS)


@dataclass(frozen=True, slots=True)
class Change:
    """What is different about one resource.

    Attributes:
        kind: such as `File`.
        name: the resource's name.
        op: what `up` does to it.
        before: its inputs as the last `up` left them; empty for a new one.
        live: its inputs as they are on the host; empty where it is gone.
        goal: its inputs after `up`; empty where it is deleted.
        hand: where the host differs from the last `up`.
        up: where `up` will change something.
        host: the host's alias, "" where it is on none.
    """

    kind: str
    name: str
    op: Op
    before: Props
    live: Props
    goal: Props
    hand: frozenset[Path] = frozenset()
    up: frozenset[Path] = frozenset()
    host: str = ""

    @property
    def props(self) -> Props:
        """Its inputs, from wherever they are known."""
        return self.goal or self.live or self.before

    @property
    def gone(self) -> bool:
        """Whether somebody took it away since the last `up`."""
        return bool(self.before) and not self.live and self.op in ("create", "replace")

    def changes(self, *names: str) -> bool:
        """Whether `up` changes one of these properties."""
        return any(path[:1] == (name,) for path in self.up for name in names)

    def names(self) -> list[str]:
        """Return the properties that `up` changes, but for those that only follow other changes."""
        found = sorted({path[0] for path in self.up if path})
        return [name for name in found if not self._is_unknown(name)]

    def _is_unknown(self, name: str) -> bool:
        return all(at(self.goal, path) == UNKNOWN for path in self.up if path[:1] == (name,))

    def by_hand(self, where: Path = ()) -> bool:
        """Whether what `up` changes there was changed on the host since the last `up`."""
        if self.gone:
            return True
        here = [path for path in self.up if _overlap(path, where)] if self.up else [where]
        return any(_overlap(path, found) for path in here for found in self.hand)

    def mine(self, where: Path = ()) -> bool:
        """Whether the code asks for something else there than at the last `up`."""
        if self.gone:
            return any(self.before.get(key) != value for key, value in self.goal.items() if known(value))
        if self.op in ("create", "delete"):
            return True
        here = [path for path in self.up if _overlap(path, where)]
        return any(
            not any(_overlap(path, found) for found in self.hand)
            or (known(at(self.goal, path)) and at(self.before, path) != at(self.goal, path))
            for path in here
        )

    def entries(self, name: str) -> Iterator[tuple[str, Any, Any]]:
        """Yield what differs of a map: key, value on the host, value after `up`; None for an absent one."""
        live, goal = self.live.get(name), self.goal.get(name)
        if (
            not self.changes(name)
            or not isinstance(live or {}, Mapping)
            or not isinstance(goal or {}, Mapping)
        ):
            return
        live, goal = live or {}, goal or {}
        for key in sorted({*live, *goal}):
            if live.get(key) != goal.get(key):
                yield key, live.get(key), goal.get(key)


def path_of(text: str) -> Path:
    """Read a path of the engine's: `keys["a.b"]`, `mounts[0].target`."""
    return tuple(
        re.sub(r"\\(.)", r"\1", quoted) if quoted else index or name
        for quoted, index, name in _STEP.findall(text)
    )


def at(props: Any, path: Path) -> Any:
    """Return the value at a path, None where there is none."""
    for step in path:
        if isinstance(props, Mapping):
            props = props.get(step)
        elif isinstance(props, list) and step.isdigit() and int(step) < len(props):
            props = props[int(step)]
        else:
            return None
    return props


def known(value: Any) -> bool:
    """Return whether a value has no part that is known only after `up`."""
    if isinstance(value, Mapping):
        return all(map(known, value.values()))
    return all(map(known, value)) if isinstance(value, list) else value != UNKNOWN


def _overlap(one: Path, other: Path) -> bool:
    return all(mine == theirs for mine, theirs in zip(one, other, strict=False))


def words(name: str) -> str:
    """Return a property's name in words: `on_delete`, `publishAllPorts`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()


_LONG = 48
"""Characters of a value that a line quotes; of a longer one it says only that it differs."""


def quoted(value: Any) -> str:
    """Return a value as a line quotes it, "" where it cannot be quoted."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, Mapping | list) or value in (SECRET, UNKNOWN):
        return ""
    text = str(value)
    return text if len(text) <= _LONG and text.isprintable() else ""


def difference(change: Change, name: str) -> str:
    """Say how one property differs: `mode 0777, declared 0644`; of a map, its keys."""
    if isinstance(change.live.get(name) or {}, Mapping) and isinstance(change.goal.get(name) or {}, Mapping):
        entries = list(change.entries(name))
        told = [
            (f"{word} {', '.join(keys)}")
            for word, keys in (
                ("has", [key for key, _, goal in entries if goal is None]),
                ("lacks", [key for key, live, _ in entries if live is None]),
                ("differs in", [key for key, live, goal in entries if None not in (live, goal)]),
            )
            if keys
        ]
        return f"{words(name)} {', '.join(told)}" if told else f"{words(name)} differ"
    live, goal = quoted(change.live.get(name)), quoted(change.goal.get(name))
    if live and goal:
        return f"{words(name)} {live}, declared {goal}"
    return f"{words(name)} {live}" if live and name not in change.goal else f"{words(name)} differs"


def plain(change: Change, subject: str, names: Sequence[str] | None = None, **more: Any) -> Line:
    """Return the line that serves where a kind has no better words.

    Args:
        change: what is different.
        subject: the thing by its human name.
        names: the properties to tell of; all that differ by default.
        more: attributes of the line.
    """
    if change.gone:
        return Line(subject, "is gone", "up makes it", **{"severity": Severity.WRONG, **more})
    if change.op == "create":
        return Line(subject, "new", "up makes it", **more)
    if change.op == "delete":
        return Line(subject, "no longer declared", "up removes it", **more)
    names = change.names() if names is None else names
    told = "; ".join(difference(change, name) for name in names)
    hand = any(change.by_hand((name,)) for name in names) if names else change.by_hand()
    more = {"severity": Severity.WRONG if hand else Severity.COSMETIC, **more}
    remedy = "up replaces it" if change.op == "replace" else ""
    if len(names) == 1:
        more = {"at": (names[0],), **more}
    return Line(subject, told or "follows other changes", remedy, **{"follows": not names, **more})


def with_rest(change: Change, subject: str, found: list[Line], *told: str) -> list[Line]:
    """Return lines with one more for what none of them is about: no change may be hidden by another.

    Args:
        change: what is different.
        subject: the thing by its human name.
        found: the lines so far; each tells of the property that it is about.
        told: properties that they tell of besides.
    """
    covered = {*told, *(line.at[0] for line in found if line.at)}
    rest = [name for name in change.names() if name not in covered]
    return [*found, plain(change, subject, rest)] if rest or not found else found
