"""The kinds of values that settings are made of.

A kind does two things with one declaration: it reads a raw value (reporting what is wrong with it) and it
describes itself as JSON Schema, so that editors, documentation and the program never disagree.

Raw values come from YAML by way of Pulumi's JSON. Both lose type information that people rely on: a number
may arrive as a float, and an unquoted `yes`, `1.10` or `010` is not the text that somebody typed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from portcullis.settings.faults import Place, closest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LONGEST_SECRET = 65_536  # bytes: a key with its chain, with much room

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Kind(Protocol[T_co]):
    """How one value is read and described."""

    def read(self, raw: Any, at: Place) -> T_co | None:
        """Give the value, or None after reporting why it cannot be used."""

    def schema(self) -> dict[str, Any]:
        """Describe the value as JSON Schema."""


@dataclass(frozen=True, slots=True)
class Text:
    """Text in a form of its own. `refusal` gives the reason and hint against a text, or None."""

    what: str
    pattern: str = ""
    hint: str = ""
    refusal: Callable[[str], tuple[str, str] | None] | None = None

    def read(self, raw: Any, at: Place) -> str | None:
        """Take the text unchanged."""
        if not isinstance(raw, str):
            at.refuse(raw, f"is not {self.what}", self.hint or "write it in quotes")
            return None
        fault = self.refusal(raw) if self.refusal else None
        if fault is None and self.pattern and not re.fullmatch(self.pattern, raw):
            fault = (f"is not {self.what}", self.hint)
        if fault is not None:
            at.refuse(raw, *fault)
            return None
        return raw

    def schema(self) -> dict[str, Any]:
        """Text with its pattern, anchored as JSON Schema wants it."""
        return {"type": "string", **({"pattern": f"^(?:{self.pattern})$"} if self.pattern else {})}


@dataclass(frozen=True, slots=True)
class NumberOrText:
    """Text that may also be written as a whole number without quotes, such as a user id."""

    text: Text

    def read(self, raw: Any, at: Place) -> str | None:
        """Take a whole number as its digits."""
        return self.text.read(str(whole(raw)) if whole(raw) is not None else raw, at)

    def schema(self) -> dict[str, Any]:
        """A text or a whole number."""
        return {"anyOf": [self.text.schema(), {"type": "integer", "minimum": 0}]}


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that is passed on as it is, so it has to be text: see the YAML traps at the top."""

    def read(self, raw: Any, at: Place) -> str | None:
        """Refuse what YAML has already turned into something else."""
        if isinstance(raw, str):
            if "\0" not in raw:
                return raw
            at.refuse(raw, "holds a zero byte", "no program can be given one")
        elif raw is None:
            at.report("has no value", 'write "" for empty text')
        elif isinstance(raw, bool | int | float):
            at.refuse(raw, "is not text", "put it in quotes, so that YAML keeps it as you typed it")
        else:
            at.refuse(raw, "is not text")
        return None

    def schema(self) -> dict[str, Any]:
        """Any text, or what Pulumi writes in its place when it is encrypted."""
        encrypted = {"type": "object", "required": ["secure"], "additionalProperties": False}
        return {"anyOf": [{"type": "string"}, {**encrypted, "properties": {"secure": {"type": "string"}}}]}


class Secret(Literal):
    """A text that is not empty; it is never shown, encrypted or not."""

    def read(self, raw: Any, at: Place) -> str | None:
        """Take the text unchanged, line ends included."""
        if isinstance(raw, str) and not raw:
            at.report("is empty", "no value is not a secret")
            return None
        if isinstance(raw, str) and len(raw.encode("utf-8", "surrogatepass")) > _LONGEST_SECRET:
            at.report(f"has more than {_LONGEST_SECRET} bytes", "a secret is a key or a password")
            return None
        if not isinstance(raw, str):
            at.report("is not text", "put it in quotes, so that YAML keeps it as you typed it")
            return None
        return super().read(raw, at)


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number within bounds."""

    what: str
    least: int
    most: int
    hint: str = ""

    def read(self, raw: Any, at: Place) -> int | None:
        """Take a whole number, also when it arrives as a float or as its digits in quotes."""
        number = whole(raw)
        if number is None or not self.least <= number <= self.most:
            at.refuse(
                raw, f"is not {self.what}", self.hint or f"write a number from {self.least} to {self.most}"
            )
            return None
        return number

    def schema(self) -> dict[str, Any]:
        """A whole number with its bounds."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Fraction:
    """A decimal number within bounds, kept as its shortest text. `refusal` is as in `Text`."""

    what: str
    least: Decimal
    most: Decimal
    refusal: Callable[[Decimal], tuple[str, str] | None] | None = None

    def read(self, raw: Any, at: Place) -> str | None:
        """Give the shortest spelling, so that 1, 1.0 and "1" are the same value and never a difference."""
        try:
            number = Decimal(str(raw)) if isinstance(raw, str | int | float) and raw is not True else None
        except InvalidOperation:
            number = None
        if number is None or not number.is_finite() or not self.least <= number <= self.most:
            at.refuse(raw, f"is not {self.what}", f"write a number from {self.least} to {self.most}")
            return None
        if self.refusal and (fault := self.refusal(number)):
            at.refuse(raw, *fault)
            return None
        return f"{number.normalize():f}"

    def schema(self) -> dict[str, Any]:
        """A number with its bounds."""
        return {"type": "number", "minimum": float(self.least), "maximum": float(self.most)}


@dataclass(frozen=True, slots=True)
class Flag:
    """Yes or no."""

    def read(self, raw: Any, at: Place) -> bool | None:
        """Take nothing but a boolean."""
        if isinstance(raw, bool):
            return raw
        at.refuse(raw, "is neither true nor false", "write true or false, without quotes")
        return None

    def schema(self) -> dict[str, Any]:
        """A boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class OrFalse(Generic[T]):
    """A value of another kind, or false for having none, which is then read as `off`."""

    kind: Kind[T]
    off: T | None

    def read(self, raw: Any, at: Place) -> T | None:
        """Take false, or what the other kind takes."""
        return self.off if raw is False else self.kind.read(raw, at)

    def schema(self) -> dict[str, Any]:
        """Either."""
        return {"anyOf": [self.kind.schema(), {"const": False}]}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several words. `refused` holds words that are understood but not accepted, with the reason."""

    what: str
    words: Sequence[str]
    refused: Mapping[str, str]

    def read(self, raw: Any, at: Place) -> str | None:
        """Take one of the words; YAML 1.1 reads some of them as booleans."""
        if isinstance(raw, bool):
            meant = ("yes", "on") if raw else ("no", "off")
            raw = next((word for word in meant if word in self.words or word in self.refused), raw)
        if isinstance(raw, str) and raw in self.words:
            return raw
        if isinstance(raw, str) and raw in self.refused:
            at.refuse(raw, f"is not supported: {self.refused[raw]}", f"write {' or '.join(self.words)}")
        else:
            at.refuse(raw, f"is not {self.what}", closest(str(raw), self.words))
        return None

    def schema(self) -> dict[str, Any]:
        """The words."""
        return {"enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class ListOf(Generic[T]):
    """A list of one kind."""

    kind: Kind[T]

    def read(self, raw: Any, at: Place) -> tuple[T, ...] | None:
        """Read every element, so that all faults show."""
        if not isinstance(raw, list):
            at.refuse(raw, "is not a list", "write - and a space before each element")
            return None
        values = [self.kind.read(element, at.item(index)) for index, element in enumerate(raw)]
        kept = tuple(value for value in values if value is not None)
        return kept if len(kept) == len(values) else None

    def schema(self) -> dict[str, Any]:
        """An array of that kind."""
        return {"type": "array", "items": self.kind.schema()}


@dataclass(frozen=True, slots=True)
class MapOf(Generic[T]):
    """A map from names to one kind. Entries with faults are left out of the result, the others stay."""

    name: Text
    kind: Kind[T]

    def read(self, raw: Any, at: Place) -> dict[str, T] | None:
        """Read every entry. Nothing after the colon is an empty map, as YAML gives it."""
        if raw is None:
            return {}
        if not isinstance(raw, dict):
            at.refuse(raw, "is not a map", "write name: value, one a line")
            return None
        values = {}
        for key, element in raw.items():
            name = self.name.read(key, at.key(str(key)))
            value = self.kind.read(element, at.key(str(key)))
            if name is not None and value is not None:
                values[name] = value
        return values

    def schema(self) -> dict[str, Any]:
        """An object whose keys have the form of a name."""
        names = {"propertyNames": self.name.schema()} if self.name.pattern else {}
        return {"type": "object", **names, "additionalProperties": self.kind.schema()}


REQUIRED: Final = object()


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a section: its kind, what it means, and what it is when nobody writes it."""

    key: str
    kind: Kind[Any]
    meaning: str
    default: Any = REQUIRED
    name: str = ""

    @property
    def attribute(self) -> str:
        """The name in Python: hostPort becomes host_port; `name` where that is a word of the language."""
        return self.name or re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", self.key)


@dataclass(frozen=True, slots=True)
class Section(Generic[T]):
    """A map with known keys that becomes one object.

    `check` finds what is wrong between its keys. It sees the raw map: a fault in one key hides no other.
    """

    what: str
    build: Callable[..., T]
    fields: Sequence[Field]
    check: Callable[[Mapping[str, Any], Place], None] | None = None

    def read(self, raw: Any, at: Place) -> T | None:
        """Read every key, report the unknown and the missing ones."""
        if not isinstance(raw, dict):
            keys = f"write a map of {', '.join(self._keys())}"
            if raw is None:
                at.report("is empty", keys)
            else:
                at.refuse(raw, f"does not describe {self.what}", keys)
            return None
        before = len(at.faults)
        for key in raw:
            if key not in self._keys():
                at.key(str(key)).report("is not a known key", closest(str(key), self._keys()))
        values = {}
        for field in self.fields:
            if raw.get(field.key) is not None:
                values[field.attribute] = field.kind.read(raw[field.key], at.key(field.key))
            elif field.default is REQUIRED:
                at.key(field.key).report("is missing", field.meaning)
            else:
                values[field.attribute] = field.default
        if self.check is not None:
            self.check(raw, at)
        return self.build(**values) if len(at.faults) == before else None

    @property
    def may_be_empty(self) -> bool:
        """Whether every key may be left out."""
        return all(field.default is not REQUIRED for field in self.fields)

    def empty(self) -> T:
        """Give the object of a section that nobody wrote, of which every key may be left out."""
        return self.build(**{field.attribute: field.default for field in self.fields})

    def schema(self) -> dict[str, Any]:
        """An object with these keys and no others."""
        described = {f.key: {"description": f.meaning, **f.kind.schema(), **_default(f)} for f in self.fields}
        required = [field.key for field in self.fields if field.default is REQUIRED]
        return {
            "type": "object",
            "properties": described,
            **({"required": required} if required else {}),
            "additionalProperties": False,
        }

    def _keys(self) -> list[str]:
        return [field.key for field in self.fields]


def _default(field: Field) -> dict[str, Any]:
    return {"default": field.default} if isinstance(field.default, str | int | bool) else {}


def whole(raw: Any) -> int | None:
    """Give the whole number that a raw value means, or None."""
    if isinstance(raw, bool):
        return None
    if isinstance(raw, int):
        return raw
    if isinstance(raw, float):
        return int(raw) if raw.is_integer() else None
    if isinstance(raw, str) and re.fullmatch(r"0|[1-9][0-9]{0,17}", raw):
        return int(raw)
    return None
