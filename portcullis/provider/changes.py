"""Describes the changes of one resource in a preview, in lines for people.

The report (portcullis/cli/report) reads the events of Pulumi's engine, and asks each kind for its lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Props = Mapping[str, Any]
Path = tuple[str, ...]
"""The path of a value in the properties of a resource: names, keys of maps, indexes of lists."""
Op = Literal["create", "update", "replace", "delete"]

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Pulumi's engine writes this text for a value that is known only after `up`."""
SECRET = "[secret]"  # noqa: S105 - the engine writes this text for a secret
STAYS = "stays"
"""The first word of a remedy if `up` does not remove the difference, because a person must decide about it.
"""

GOES = "goes with "
"""The first words of a remedy if `up` removes the thing at its end, after the resource that reports it."""
PORTS_OF_APPS = "ports of apps"
"""The topic of what changes because a stopped app gets another port. The code has not changed."""

_STEP = re.compile(r"""\["((?:\\"|[^"])*)"\]|\[(\d+)\]|([^.\[]+)""")


class Severity(Enum):
    """The severity of a difference.

    The value is the mark that a report prints before a difference of this severity.
    """

    OPEN = "!!"
    """The difference makes the host unsafe, or loses data."""
    WRONG = "!"
    """Something on the host does not work as declared."""
    COSMETIC = ""

    @property
    def rank(self) -> int:
        """The position of a severity in the order of severities; 0 is the worst."""
        return list(Severity).index(self)


class Section(IntEnum):
    """The subject area of a difference.

    Within one severity, a report sorts its lines in the order of these areas.
    """

    ACCESS = 0
    FIREWALL = 1
    DATA = 2
    SITES = 3
    REST = 4


@dataclass(frozen=True, slots=True)
class Line:
    """A difference in one line for people: `deploy: key "evil" added — up removes it`.

    Attributes:
        subject: the name of the resource for people.
        what: the difference, in words.
        remedy: the action of `up` for the difference; with "", the report chooses the words. If `up` changes
            nothing, the remedy begins with `STAYS`, followed by a command or a step for a person.
        severity: how bad the difference is.
        section: the subject area; None means the subject area of the kind.
        at: the path of the value; () means the whole resource.
        topic: a subject that several kinds may report, such as `9200/tcp`.
        echo: whether to omit this line if another line on the same host has the same topic and its `echo` is
            false.
        follows: whether to omit this line if there is any other difference, because this difference results
            from it.
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
        """Whether `up` changes nothing."""
        return self.remedy.startswith(STAYS)


@dataclass(frozen=True, slots=True)
class Change:
    """The changes of one resource.

    Attributes:
        kind: the kind, such as `File`.
        name: the resource's name.
        op: the operation of `up` on the resource.
        before: the resource's inputs after the last `up`; empty for a new resource.
        live: the resource's inputs on the host; empty if the resource is missing on the host.
        goal: the resource's inputs after the next `up`; empty if `up` deletes the resource.
        hand: the paths at which the host differs from the last `up`.
        up: the paths that `up` will change.
        host: the host's alias; "" if the resource is on no host.
        outputs: the resource's outputs on the host. They have the inputs, and facts that nobody declares.
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
    outputs: Props = field(default_factory=dict)

    @property
    def props(self) -> Props:
        """The resource's inputs after `up`.

        If `up` deletes the resource, these are the inputs on the host. If the resource is missing on the host
        too, these are the inputs after the last `up`.
        """
        return self.goal or self.live or self.before

    @property
    def gone(self) -> bool:
        """Whether somebody removed the resource from the host since the last `up`."""
        return bool(self.before) and not self.live and self.op in ("create", "replace")

    def changes(self, *names: str) -> bool:
        """Whether `up` changes at least one of these properties."""
        return any(path[:1] == (name,) for path in self.up for name in names)

    def names(self) -> list[str]:
        """Return the properties that `up` changes, except those that only follow from other changes."""
        found = sorted({path[0] for path in self.up if path})
        return [name for name in found if not self._is_unknown(name)]

    def _is_unknown(self, name: str) -> bool:
        return all(at(self.goal, path) == UNKNOWN for path in self.up if path[:1] == (name,))

    def by_hand(self, where: Path = ()) -> bool:
        """Tell whether somebody changed a value on the host that `up` will change at this path."""
        if self.gone:
            return True
        here = [path for path in self.up if _overlap(path, where)] if self.up else [where]
        return any(_overlap(path, found) for path in here for found in self.hand)

    def mine(self, where: Path = ()) -> bool:
        """Tell whether the code declares another value at this path than at the last `up`."""
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
        """Yield the differences of a map: key, value on the host, value after `up`.

        A value of None means that the map has no such key.
        """
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
    """Parse a path in the form of Pulumi's engine: `keys["a.b"]`, `mounts[0].target`.

    The engine escapes quotes, but no backslashes.
    """
    return tuple(
        quoted.replace('\\"', '"') if quoted else index or name for quoted, index, name in _STEP.findall(text)
    )


def at(props: Any, path: Path) -> Any:
    """Return the value at a path, or None if there is none."""
    for step in path:
        if isinstance(props, Mapping):
            props = props.get(step)
        elif isinstance(props, list) and step.isdecimal() and int(step) < len(props):
            props = props[int(step)]
        else:
            return None
    return props


def known(value: Any) -> bool:
    """Tell whether a value contains no part that is known only after `up`."""
    if isinstance(value, Mapping):
        return all(map(known, value.values()))
    return all(map(known, value)) if isinstance(value, list) else value != UNKNOWN


def _overlap(one: Path, other: Path) -> bool:
    return all(mine == theirs for mine, theirs in zip(one, other, strict=False))


def words(name: str) -> str:
    """Return a property's name as words in lower case: `on delete` for `on_delete` and for `onDelete`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()


_LONG = 48
"""The largest number of characters that a line quotes.

For a longer value, the line only says that the value differs.
"""


def quoted(value: Any) -> str:
    """Return a value in the form that a line quotes; "" if a line cannot quote it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, Mapping | list) or value in (SECRET, UNKNOWN):
        return ""
    text = str(value)
    return text if len(text) <= _LONG and text.isprintable() else ""


def difference(change: Change, name: str) -> str:
    """Describe how one property differs: `mode 0777, declared 0644`. For a map, name its keys."""
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
    """Return the line for kinds that do not describe a difference in their own words.

    Args:
        change: the changes of the resource.
        subject: the name of the resource for people.
        names: the properties to describe. By default, the line describes all properties that differ.
        more: further attributes of the `Line`.
    """
    if change.gone:
        return Line(subject, "is gone", "up creates it", **{"severity": Severity.WRONG, **more})
    if change.op == "create":
        return Line(subject, "new", "up creates it", **more)
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
    """Return the given lines and one more line for all changed properties that they do not mention.

    Args:
        change: the changes of the resource.
        subject: the name of the resource for people.
        found: the lines so far. Each line describes the property at its path.
        told: further properties that the lines describe.
    """
    covered = {*told, *(line.at[0] for line in found if line.at)}
    rest = [name for name in change.names() if name not in covered]
    return [*found, plain(change, subject, rest)] if rest or not found else found
