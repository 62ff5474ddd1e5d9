"""The properties of a resource, and the operation Check for them.

The facts about a property come from the Terraform schemas of the official plugins. They are the type, the
default, whether a change forces a replacement, and whether the provider fills in the value. `needs_official`
marks a property that a stand-in refuses.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from lab.plugins.errors import official_cure
from lab.plugins.values import Properties, is_empty, is_unknown, reveal, secret

if TYPE_CHECKING:
    from collections.abc import Mapping

FieldType = Literal["text", "int", "bool", "list", "set", "map", "object"]
Problem = tuple[str, str]  # property path, reason

_PYTHON: Mapping[FieldType, type | tuple[type, ...]] = {
    "text": str,
    "int": int,
    "bool": bool,
    "list": list,
    "set": list,
    "map": dict,
    "object": dict,
}


@dataclass(frozen=True, slots=True)
class Field:
    """One property; `item` describes the elements of a list or set, `fields` the parts of an object."""

    kind: FieldType
    item: Field | None = None
    fields: Mapping[str, Field] = field(default_factory=dict)
    default: object = None
    required: bool = False
    replaces: bool = False  # a change needs a new resource
    in_place: bool = False  # for blocks: only a change of their number needs a new resource
    computed: bool = False  # if it is not set, a value that the provider reads is no difference
    kept: bool = False  # the same, but a preview knows the value, because the provider does not fill it in
    output: bool = False  # the property is never an input
    secret: bool = False
    needs_official: bool = False


def text(**facts: Any) -> Field:
    """Return a text property."""
    return Field("text", **facts)


def number(**facts: Any) -> Field:
    """Return a property that is a whole number."""
    return Field("int", **facts)


def flag(**facts: Any) -> Field:
    """Return a property that is true or false."""
    return Field("bool", **facts)


def texts(kind: Literal["list", "set"] = "set", **facts: Any) -> Field:
    """Return a property that is a list or set of texts."""
    return Field(kind, item=Field("text"), **facts)


def mapping(**facts: Any) -> Field:
    """Return a property that is a map of texts to texts."""
    return Field("map", item=Field("text"), **facts)


def record(fields: Mapping[str, Field], **facts: Any) -> Field:
    """Return a property that is an object. In Terraform, such a property is a block that may occur once."""
    return Field("object", fields=fields, **facts)


def records(fields: Mapping[str, Field], kind: Literal["list", "set"] = "set", **facts: Any) -> Field:
    """Return a property that is a list or set of objects."""
    return Field(kind, item=Field("object", fields=fields), **facts)


def official_only(given: Field) -> Field:
    """Return a property that only the official plugin supports.

    The stand-in refuses a program that sets it.
    """
    return replace(given, needs_official=True)


@dataclass(frozen=True, slots=True)
class Checker:
    """Turns a program's inputs into checked inputs, and collects their faults.

    With `marks_defaults`, the inputs get lists `__defaults`, as Pulumi's bridge adds them for a provider on
    Terraform's older SDK, such as docker.
    """

    package: str
    marks_defaults: bool

    def check(self, fields: Mapping[str, Field], news: Properties) -> tuple[Properties, list[Problem]]:
        """Return the inputs to store, and all problems, each with the path of its property."""
        problems: list[Problem] = []
        return self._object(fields, news, "", problems), problems

    def _object(
        self, fields: Mapping[str, Field], given: Properties, path: str, problems: list[Problem]
    ) -> Properties:
        checked: Properties = {}
        for key, value in given.items():
            if key == "__defaults" or value is None:
                continue
            place = f"{path}.{key}" if path else key
            known = fields.get(key)
            if known is None or known.output:
                problems.append(
                    (place, f"the {self.package} plugin's stand-in knows no input {key!r}. {self._cure}")
                )
            elif known.needs_official:
                problems.append(
                    (place, f"the {self.package} plugin's stand-in does not cover it. {self._cure}")
                )
            else:
                checked[key] = self._value(known, value, place, problems)
        defaulted = []
        for key, known in fields.items():
            if key in checked or known.output:
                continue
            if known.required and given.get(key) is None:
                problems.append((f"{path}.{key}" if path else key, f"missing required property {key!r}"))
            elif self.marks_defaults and not is_empty(known.default):
                checked[key] = known.default
                defaulted.append(key)
        if self.marks_defaults:
            checked["__defaults"] = sorted(defaulted)
        return checked

    def _value(self, known: Field, value: Any, path: str, problems: list[Problem]) -> Any:
        if is_unknown(value):
            return value
        plain: Any = reveal(value) if known.secret else value
        if not _fits(known.kind, plain):
            problems.append((path, f"expected {known.kind}, got {type(plain).__name__}"))
        elif known.kind == "object":
            return self._object(known.fields, plain, path, problems)
        elif known.kind in ("list", "set") and known.item is not None:
            return [self._value(known.item, item, f"{path}[{i}]", problems) for i, item in enumerate(plain)]
        return secret(plain) if known.secret else plain

    @property
    def _cure(self) -> str:
        return official_cure(self.package)


def _fits(kind: FieldType, value: object) -> bool:
    return isinstance(value, _PYTHON[kind]) and not (kind == "int" and isinstance(value, bool))
