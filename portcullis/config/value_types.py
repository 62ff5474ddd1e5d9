"""The kinds of values that settings are made of, as metadata: `Annotated[int, Number("a port", 1, 65535)]`.

A kind does two things: it reads a raw value, or says what is wrong with it, and it describes itself as JSON
Schema. Editors, documentation and the program never disagree.

Raw values come from YAML by way of Pulumi's JSON. Both lose type information that people rely on: a number
may arrive as a float, and an unquoted `yes`, `1.10` or `010` is not the text that somebody typed.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_type_hints

from pydantic_core import PydanticCustomError, core_schema

from portcullis.config.faults import closest, refusal
from portcullis.config.secret import Secret, is_output
from portcullis.config.section import Section, read_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

_LONGEST_SECRET = 65_536  # bytes: a key with its chain, with much room
_ENCRYPTED = {
    "type": "object",
    "required": ["secure"],
    "additionalProperties": False,
    "properties": {"secure": {"type": "string"}},
}
"""What Pulumi writes in the place of a text that it has encrypted."""

# Half a pair stands for no character and cannot be written; the others act on whatever shows them.
_HALVES = re.compile("[\ud800-\udfff]")
_ACTS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]")

T = TypeVar("T")
K = TypeVar("K")


class ValueType(ABC):
    """How one value is read and described."""

    @abstractmethod
    def read(self, raw: Any) -> Any:
        """Return the value.

        Raises:
            PydanticCustomError: it cannot be used; see `refusal`.
        """

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """Describe the value as JSON Schema."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Let pydantic read by `read`."""
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Let pydantic describe by `schema`."""
        return self.schema()


@dataclass(frozen=True, slots=True)
class Text(ValueType):
    """Text in a form of its own. `refused` gives the reason and hint against a text, or None."""

    what: str
    pattern: str = ""
    hint: str = ""
    refused: Callable[[str], tuple[str, str] | None] | None = None

    def read(self, raw: Any) -> str:
        """Take the text unchanged."""
        if not isinstance(raw, str):
            raise refusal(f"is not {self.what}", self.hint or "write it in quotes")
        _assert_text(raw)
        fault = self.refused(raw) if self.refused else None
        if fault is None and self.pattern and not re.fullmatch(self.pattern, raw):
            fault = (f"is not {self.what}", self.hint)
        if fault is None and _ACTS.search(raw):
            fault = ("holds a control character", "write it without")
        if fault is not None:
            raise refusal(*fault)
        return raw

    def schema(self) -> dict[str, Any]:
        """Text with its pattern, anchored as JSON Schema wants it."""
        return {"type": "string", **({"pattern": f"^(?:{self.pattern})$"} if self.pattern else {})}


@dataclass(frozen=True, slots=True)
class NumberOrText(ValueType):
    """Text that may also be written as a whole number without quotes, such as a user id."""

    text: Text

    def read(self, raw: Any) -> str:
        """Take a whole number as its digits."""
        return self.text.read(raw if whole(raw) is None else str(whole(raw)))

    def schema(self) -> dict[str, Any]:
        """A text or a whole number."""
        return {"anyOf": [self.text.schema(), {"type": "integer", "minimum": 0}]}


@dataclass(frozen=True, slots=True)
class Literally(ValueType):
    """Text that is passed on as it is, so it has to be text: see the YAML traps at the top."""

    def read(self, raw: Any) -> str:
        """Refuse what YAML has already turned into something else."""
        if raw is None:
            raise refusal("has no value", 'write "" for empty text', shows_value=False)
        if isinstance(raw, bool | int | float):
            raise refusal("is not text", "put it in quotes, so that YAML keeps it as you typed it")
        if not isinstance(raw, str):
            raise refusal("is not text")
        if "\0" in raw:
            raise refusal("holds a zero byte", "no program can be given one")
        _assert_text(raw)
        return raw

    def schema(self) -> dict[str, Any]:
        """Any text, or what Pulumi writes in its place when it is encrypted."""
        return {"anyOf": [{"type": "string"}, _ENCRYPTED]}


@dataclass(frozen=True, slots=True)
class SecretText(ValueType):
    """A secret; it is never shown, encrypted or not. `may_be_empty` lets an empty text pass."""

    may_be_empty: bool = False

    def read(self, raw: Any) -> Secret:
        """Take the text unchanged, line ends included."""
        if isinstance(raw, Secret):
            return raw
        if is_output(raw):
            return Secret(raw)
        if not isinstance(raw, str):
            how = "put it in quotes, so that YAML keeps it as you typed it"
            raise refusal("is not text", how, shows_value=False)
        if not raw and not self.may_be_empty:
            raise refusal("is empty", "no value is not a secret", shows_value=False)
        if "\0" in raw:
            raise refusal("holds a zero byte", "no program can be given one", shows_value=False)
        if len(raw.encode("utf-8", "surrogatepass")) > _LONGEST_SECRET:
            why = f"has more than {_LONGEST_SECRET} bytes"
            raise refusal(why, "a secret is a key or a password", shows_value=False)
        return Secret(raw)

    def schema(self) -> dict[str, Any]:
        """A text, encrypted or not."""
        return {"anyOf": [{"type": "string"}, _ENCRYPTED]}


@dataclass(frozen=True, slots=True)
class OrOutput(ValueType):
    """A value of another kind, or an output of a resource, which is known only later."""

    kind: ValueType

    def read(self, raw: Any) -> Any:
        """Pass an output on as it is."""
        return raw if is_output(raw) else self.kind.read(raw)

    def schema(self) -> dict[str, Any]:
        """The other kind: a file has no outputs."""
        return self.kind.schema()


@dataclass(frozen=True, slots=True)
class Number(ValueType):
    """A whole number within bounds."""

    what: str
    least: int
    most: int
    hint: str = ""

    def read(self, raw: Any) -> int:
        """Take a whole number, also when it arrives as a float or as its digits in quotes."""
        number = whole(raw)
        if number is None or not self.least <= number <= self.most:
            how = self.hint or f"write a number from {self.least} to {self.most}"
            raise refusal(f"is not {self.what}", how)
        return number

    def schema(self) -> dict[str, Any]:
        """A whole number with its bounds."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Fraction(ValueType):
    """A decimal number within bounds, kept as its shortest text. `refused` is as in `Text`."""

    what: str
    least: Decimal
    most: Decimal
    refused: Callable[[Decimal], tuple[str, str] | None] | None = None

    def read(self, raw: Any) -> str:
        """Return the shortest spelling, so that 1, 1.0 and "1" are the same value and never a difference."""
        try:
            number = Decimal(str(raw)) if isinstance(raw, str | int | float) and raw is not True else None
        except InvalidOperation:
            number = None
        if number is None or not number.is_finite() or not self.least <= number <= self.most:
            raise refusal(f"is not {self.what}", f"write a number from {self.least} to {self.most}")
        if self.refused and (fault := self.refused(number)):
            raise refusal(*fault)
        return f"{number.normalize():f}"

    def schema(self) -> dict[str, Any]:
        """A number with its bounds."""
        return {"type": "number", "minimum": float(self.least), "maximum": float(self.most)}


class Choice:
    """One of the words of a `Literal`, or of `words`.

    `refused` holds words that are understood but not accepted, with the reason.
    """

    def __init__(
        self, what: str, words: Sequence[str] = (), *, refused: Mapping[str, str] | None = None
    ) -> None:
        """Keep what the words are, and those that are refused."""
        self.what, self.words, self.refused = what, words, refused or {}

    def read(self, words: Sequence[str], raw: Any) -> str:
        """Take one of the words; YAML 1.1 reads some of them as booleans.

        Raises:
            PydanticCustomError: it is none of them.
        """
        if isinstance(raw, bool):
            meant = ("yes", "on") if raw else ("no", "off")
            raw = next((word for word in meant if word in words or word in self.refused), raw)
        if isinstance(raw, str) and raw in words:
            return raw
        if isinstance(raw, str) and raw in self.refused:
            how = f"write {' or '.join(words)}"
            raise refusal(f"is not supported: {self.refused[raw]}", how, meant=raw)
        raise refusal(f"is not {self.what}", closest(str(raw), words))

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Let pydantic read one of the words."""
        words = tuple(self.words) or get_args(source)
        return core_schema.no_info_plain_validator_function(
            partial(self.read, words), metadata={"words": list(words)}
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The words."""
        return {"enum": schema["metadata"]["words"]}


@dataclass(frozen=True, slots=True)
class OrFalse:
    """A value of the union's first type, or false for having none."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Let pydantic read false as itself."""
        return core_schema.no_info_wrap_validator_function(
            lambda raw, read: False if raw is False else read(raw),
            handler.generate_schema(get_args(source)[0]),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Either."""
        return {"anyOf": [handler(schema), {"const": False}]}


class _AsTuple:
    """A list of YAML, or any sequence but a text; kept as a tuple."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Let pydantic read every element, so that all faults show."""
        items = handler.generate_schema(get_args(source)[0])
        return core_schema.no_info_before_validator_function(
            _elements, core_schema.tuple_variable_schema(items, strict=False)
        )


class _AsMap:
    """A map from names to one type. Nothing after the colon is an empty map, as YAML gives it."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Let pydantic read every entry."""
        names, values = map(handler.generate_schema, get_args(source))
        return core_schema.no_info_before_validator_function(
            _entries, core_schema.dict_schema(names, values, strict=False)
        )


@dataclass(frozen=True, slots=True)
class SectionMap:
    """A `TypedDict` whose keys are sections, read as a section is; `what` it describes."""

    what: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Let pydantic read every key, and none that is not known."""
        fields = {
            name: core_schema.typed_dict_field(handler.generate_schema(kind), required=False)
            for name, kind in fields_of(source).items()
        }
        inner = core_schema.typed_dict_schema(fields, cls=source, extra_behavior="forbid")
        return core_schema.with_info_wrap_validator_function(
            lambda raw, read, info: read_fields(source, self.what, raw, read, info.context), inner
        )


ListOf = Annotated[Sequence[T], _AsTuple()]
"""A list of one type: `ListOf[Network]`. Python takes any sequence."""
MapOf = Annotated[Mapping[K, T], _AsMap()]
"""A map from names to one type: `MapOf[EnvName, Argument]`."""


def _assert_text(raw: str) -> None:
    if _HALVES.search(raw):
        raise refusal("holds half a character", "write the whole one")


def _elements(raw: Any) -> Any:
    how = "write - and a space before each element"
    if isinstance(raw, Mapping):
        # Not the map itself: somebody may have written secrets where their names belong.
        raise refusal("is a map and not a list", how, shows_value=False)
    if isinstance(raw, str | bytes) or not isinstance(raw, Sequence):
        raise refusal("is not a list", how)
    return raw


def _entries(raw: Any) -> Any:
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise refusal("is not a map", "write name: value, one a line")
    return raw


def fields_of(kind: type) -> dict[str, Any]:
    """Return the type of each field of a section, or of a `TypedDict` that is read like one."""
    if issubclass(kind, Section):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return get_type_hints(kind, include_extras=True)


def kind_of(form: Any) -> ValueType:
    """Return the kind in a type such as `Port`."""
    return next(each for each in form.__metadata__ if isinstance(each, ValueType))


def valid(form: Any, raw: Any) -> Any:
    """Return a raw value as a type such as `Port` reads it, or None where it cannot be used."""
    try:
        return kind_of(form).read(raw)
    except PydanticCustomError:
        return None


def whole(raw: Any) -> int | None:
    """Return the whole number that a raw value means, or None."""
    if isinstance(raw, bool):
        return None
    if isinstance(raw, int):
        return raw
    if isinstance(raw, float):
        return int(raw) if raw.is_integer() else None
    if isinstance(raw, str) and re.fullmatch(r"0|[1-9][0-9]{0,17}", raw):
        return int(raw)
    return None
