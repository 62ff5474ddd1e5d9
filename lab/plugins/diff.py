"""Compare a resource's state with checked inputs, as Pulumi's Terraform bridge does.

Only properties with a value are compared. As in Terraform, "", 0, false and empty lists count as no value.
The order of the elements of a set does not matter. Paths have Pulumi's form: `envs[0]`, `options["a.b"]`,
`ports[1].external`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lab.plugins.values import Properties, holds_unknown, is_empty, is_unknown, reveal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lab.plugins.fields import Field

Change = Literal["ADD", "DELETE", "UPDATE"]
_PLAIN_KEY = re.compile(r"^[A-Za-z_$][\w$]*$")


@dataclass(frozen=True, slots=True)
class Difference:
    """One changed property or part of it; `replaces` when it needs a new resource."""

    path: str
    change: Change
    replaces: bool

    @property
    def top(self) -> str:
        """The name of the top-level property."""
        return re.split(r"[.\[]", self.path, maxsplit=1)[0]

    @property
    def kind(self) -> str:
        """The name that Pulumi's protocol has for this kind of difference."""
        return f"{self.change}_REPLACE" if self.replaces else self.change


def differences(fields: Mapping[str, Field], state: Properties, inputs: Properties) -> list[Difference]:
    """Return the differences between state and inputs, in the order of the property names."""
    found: list[Difference] = []
    for key in sorted(fields):
        known = fields[key]
        if not known.output:
            found += _compare(known, state.get(key), inputs.get(key), key, replaces=known.replaces)
    return found


def _compare(known: Field, old: Any, new: Any, path: str, *, replaces: bool) -> Iterator[Difference]:
    """Yield the differences in one property.

    First compare whether the property is set, then compare its parts.
    """
    old, new = reveal(old), reveal(new)
    if is_unknown(new):
        yield Difference(path, "ADD" if old is None else "UPDATE", replaces)
    elif known.kind == "map" and old is not None and not _left_alone(known, new):
        yield from _compare_set(known, old, new or {}, path, replaces=replaces)
    elif is_empty(new):
        unset = is_empty(old) or _left_alone(known, new) or _nothing_set(known, old)
        if not unset:
            yield Difference(
                path, "UPDATE" if new is not None and not _container(known) else "DELETE", replaces
            )
    elif old is None or (_container(known) and is_empty(old)):
        yield Difference(path, "ADD", replaces)
    else:
        yield from _compare_set(known, old, new, path, replaces=replaces)


def _compare_set(known: Field, old: Any, new: Any, path: str, *, replaces: bool) -> Iterator[Difference]:
    """Differences in one property that was and is set."""
    match known.kind:
        case "object":
            for key, part in sorted(known.fields.items()):
                inner = (replaces and not known.in_place) or part.replaces
                yield from _compare(part, old.get(key), new.get(key), _join(path, key), replaces=inner)
        case "map":
            for key in sorted({*old, *new}):
                if old.get(key) != new.get(key):
                    change: Change = "DELETE" if key not in new else "UPDATE" if key in old else "ADD"
                    yield Difference(_join(path, key), change, replaces)
        case "list":
            yield from _compare_items(
                known, list(enumerate(old)), list(enumerate(new)), path, replaces=replaces
            )
        case "set":
            yield from _compare_items(known, *_unmatched(known, old, new), path, replaces=replaces)
        case _ if old != new:
            yield Difference(path, "UPDATE", replaces)


def _compare_items(
    known: Field, olds: list[tuple[int, Any]], news: list[tuple[int, Any]], path: str, *, replaces: bool
) -> Iterator[Difference]:
    assert known.item is not None  # noqa: S101 - lists and sets are declared with their elements
    before, after = dict(olds), dict(news)
    replaces = replaces and not (known.in_place and len(olds) == len(news))
    for index in sorted({*before, *after}):
        place = f"{path}[{index}]"
        if index not in after:
            yield Difference(place, "DELETE", replaces or _sets_replacing(known.item, before[index]))
        elif index not in before:
            yield Difference(place, "ADD", replaces or _sets_replacing(known.item, after[index]))
        else:
            yield from _compare(known.item, before[index], after[index], place, replaces=replaces)


def _unmatched(
    known: Field, old: list[Any], new: list[Any]
) -> tuple[list[tuple[int, Any]], list[tuple[int, Any]]]:
    """Return the elements that only one of two sets has, with their indexes.

    An element with a value that is not known yet counts as different from every other element.
    """
    assert known.item is not None  # noqa: S101 - sets are declared with their elements
    left = list(enumerate(old))
    added = []
    for index, item in enumerate(new):
        for candidate in left:
            if not holds_unknown(item) and not any(
                _compare(known.item, candidate[1], item, "", replaces=False)
            ):
                left.remove(candidate)
                break
        else:
            added.append((index, item))
    return left, added


def _container(known: Field) -> bool:
    return known.kind in ("list", "set", "map", "object")


def _sets_replacing(item: Field, value: Any) -> bool:
    """Return whether a set's element has a value for a part that cannot change in place."""
    return any(part.replaces and not is_empty(value.get(key)) for key, part in item.fields.items())


def _left_alone(known: Field, new: Any) -> bool:
    """Return whether the provider's value stays, because the program sets no value.

    An empty list or false counts as no value.
    """
    if not known.computed and not known.kept:
        return False
    return new is None or new == "" or known.kind == "object" or _is_block(known)


def _is_block(known: Field) -> bool:
    """Return whether a property is a list or set of objects.

    Terraform treats an empty list of objects like a property without a value.
    """
    return known.item is not None and known.item.kind == "object"


def _nothing_set(known: Field, old: Any) -> bool:
    """Return whether no part of an object has a value. Such an object counts as no value itself."""
    return known.kind == "object" and all(is_empty(value) for value in old.values())


def _join(path: str, key: str) -> str:
    if _PLAIN_KEY.match(key):
        return f"{path}.{key}" if path else key
    return f'{path}["{key}"]'
