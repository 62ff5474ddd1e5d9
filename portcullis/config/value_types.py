"""The types of setting values, used as metadata: `Annotated[int, Number("a port", 1, 65535)]`.

A value type reads a raw value or reports what is wrong with it. Each value type also describes itself as JSON
Schema, so editors, documentation and Portcullis always agree.

Raw values come from YAML and then pass through Pulumi's JSON. YAML and JSON lose type information that people
rely on. A number may arrive as a float, and an unquoted `yes`, `1.10` or `010` arrives as another value.
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

_LONGEST_SECRET = 65_536  # bytes: far more than a private key with its certificate chain needs
_ENCRYPTED = {
    "type": "object",
    "required": ["secure"],
    "additionalProperties": False,
    "properties": {"secure": {"type": "string"}},
}
"""The form of a text that Pulumi has encrypted."""

# Half of a surrogate pair is no character, and no file can contain it. Terminals act on the control
# characters.
_HALVES = re.compile("[\ud800-\udfff]")
_ACTS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]")

T = TypeVar("T")
K = TypeVar("K")


class ValueType(ABC):
    """A type of setting value: it reads a raw value, and describes itself as JSON Schema."""

    @abstractmethod
    def read(self, raw: Any) -> Any:
        """Return the validated value.

        Raises:
            PydanticCustomError: the raw value is not valid; `refusal` makes this error.
        """

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """Describe the value as JSON Schema."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Make pydantic validate values with `read`."""
        return core_schema.no_info_plain_validator_function(self.read)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Make pydantic take the JSON Schema from `schema`."""
        return self.schema()


@dataclass(frozen=True, slots=True)
class Text(ValueType):
    """A text that must match a pattern or pass a check.

    `refused` returns reason and hint for a wrong text, otherwise None.
    """

    what: str
    pattern: str = ""
    hint: str = ""
    refused: Callable[[str], tuple[str, str] | None] | None = None

    def read(self, raw: Any) -> str:
        """Return the text unchanged if it is valid."""
        if not isinstance(raw, str):
            raise refusal(f"the value is not {self.what}", self.hint or "write it in quotes")
        _assert_text(raw)
        fault = self.refused(raw) if self.refused else None
        if fault is None and self.pattern and not re.fullmatch(self.pattern, raw):
            fault = (f"is not {self.what}", self.hint)
        if fault is None and _ACTS.search(raw):
            fault = ("contains a control character", "remove it")
        if fault is not None:
            raise refusal(*fault)
        return raw

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a string with its pattern.

        In JSON Schema, a pattern needs explicit anchors (^ and $).
        """
        return {"type": "string", **({"pattern": f"^(?:{self.pattern})$"} if self.pattern else {})}


@dataclass(frozen=True, slots=True)
class NumberOrText(ValueType):
    """Text that people may also write as a whole number without quotes, such as a user id."""

    text: Text

    def read(self, raw: Any) -> str:
        """Return a whole number as its digits, and a text unchanged."""
        return self.text.read(raw if whole(raw) is None else str(whole(raw)))

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a string or a whole number."""
        return {"anyOf": [self.text.schema(), {"type": "integer", "minimum": 0}]}


@dataclass(frozen=True, slots=True)
class Literally(ValueType):
    """Text that is passed on unchanged."""

    def read(self, raw: Any) -> str:
        """Refuse values that YAML has turned into another type, such as an unquoted `yes`."""
        if raw is None:
            raise refusal("the setting has no value", 'write "" for empty text', shows_value=False)
        if isinstance(raw, bool | int | float):
            raise refusal("the value is not text", "put the value in quotes, so that YAML does not change it")
        if not isinstance(raw, str):
            raise refusal("the value is not text")
        if "\0" in raw:
            raise refusal("the value contains a zero byte", "remove the byte: no program can receive it")
        _assert_text(raw)
        return raw

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of any string, or of an encrypted text in Pulumi's form."""
        return {"anyOf": [{"type": "string"}, _ENCRYPTED]}


@dataclass(frozen=True, slots=True)
class SecretText(ValueType):
    """A secret text, encrypted or not, which no message shows. `may_be_empty` accepts an empty text."""

    may_be_empty: bool = False

    def read(self, raw: Any) -> Secret:
        """Return the text unchanged, with its line ends."""
        if isinstance(raw, Secret):
            return raw
        if is_output(raw):
            return Secret(raw)
        if not isinstance(raw, str):
            how = "put the value in quotes, so that YAML does not change it"
            raise refusal("the secret is not text", how, shows_value=False)
        if not raw and not self.may_be_empty:
            raise refusal("the secret is empty", "give the secret a value", shows_value=False)
        if "\0" in raw:
            how = "remove the byte: no program can receive it"
            raise refusal("the secret contains a zero byte", how, shows_value=False)
        if len(raw.encode("utf-8", "surrogatepass")) > _LONGEST_SECRET:
            why = f"the secret has more than {_LONGEST_SECRET} bytes"
            raise refusal(why, "write only one key or one password as the secret", shows_value=False)
        return Secret(raw)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a string, encrypted or not."""
        return {"anyOf": [{"type": "string"}, _ENCRYPTED]}


@dataclass(frozen=True, slots=True)
class OrOutput(ValueType):
    """A value of the given type, or an output of a resource, whose value is not known yet."""

    kind: ValueType

    def read(self, raw: Any) -> Any:
        """Return an output unchanged; read any other value."""
        return raw if is_output(raw) else self.kind.read(raw)

    def schema(self) -> dict[str, Any]:
        """Return the schema of the given type, because a file contains no outputs."""
        return self.kind.schema()


@dataclass(frozen=True, slots=True)
class Number(ValueType):
    """A whole number within bounds."""

    what: str
    least: int
    most: int
    hint: str = ""

    def read(self, raw: Any) -> int:
        """Accept a whole number, even if it arrives as a float or as digits in quotes."""
        number = whole(raw)
        if number is None or not self.least <= number <= self.most:
            how = self.hint or f"write a number from {self.least} to {self.most}"
            raise refusal(f"the value is not {self.what}", how)
        return number

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a whole number with its bounds."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Fraction(ValueType):
    """A decimal number within bounds, kept as its shortest text.

    `refused` has the same meaning as in `Text`.
    """

    what: str
    least: Decimal
    most: Decimal
    refused: Callable[[Decimal], tuple[str, str] | None] | None = None

    def read(self, raw: Any) -> str:
        """Return the shortest text, so that 1, 1.0 and "1" are the same value and never show as a change."""
        try:
            number = Decimal(str(raw)) if isinstance(raw, str | int | float) and raw is not True else None
        except InvalidOperation:
            number = None
        if number is None or not number.is_finite() or not self.least <= number <= self.most:
            raise refusal(f"the value is not {self.what}", f"write a number from {self.least} to {self.most}")
        if self.refused and (fault := self.refused(number)):
            raise refusal(*fault)
        return f"{number.normalize():f}"

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a number with its bounds."""
        return {"type": "number", "minimum": float(self.least), "maximum": float(self.most)}


class Choice:
    """One of the words of a `Literal`, or of `words`.

    `refused` has further known words that are not accepted, each with the reason.
    """

    def __init__(
        self, what: str, words: Sequence[str] = (), *, refused: Mapping[str, str] | None = None
    ) -> None:
        """Store the accepted words, the refused words, and `what` the words mean, for messages."""
        self.what, self.words, self.refused = what, words, refused or {}

    def read(self, words: Sequence[str], raw: Any) -> str:
        """Return the value if it is one of the words.

        YAML 1.1 reads some words as booleans, such as `yes` and `off`.

        Raises:
            PydanticCustomError: the value is none of the words.
        """
        if isinstance(raw, bool):
            meant = ("yes", "on") if raw else ("no", "off")
            raw = next((word for word in meant if word in words or word in self.refused), raw)
        if isinstance(raw, str) and raw in words:
            return raw
        if isinstance(raw, str) and raw in self.refused:
            how = f"write {' or '.join(words)}"
            raise refusal(f"the value is not supported: {self.refused[raw]}", how, meant=raw)
        raise refusal(f"the value is not {self.what}", closest(str(raw), words))

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Make pydantic accept only these words."""
        words = tuple(self.words) or get_args(source)
        return core_schema.no_info_plain_validator_function(
            partial(self.read, words), metadata={"words": list(words)}
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the JSON Schema of an enum of the words."""
        return {"enum": schema["metadata"]["words"]}


@dataclass(frozen=True, slots=True)
class OrFalse:
    """A value of the union's first type, or false for "none"."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Make pydantic accept false in addition to the first type."""
        return core_schema.no_info_wrap_validator_function(
            lambda raw, read: False if raw is False else read(raw),
            handler.generate_schema(get_args(source)[0]),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the JSON Schema of the first type or false."""
        return {"anyOf": [handler(schema), {"const": False}]}


class _AsTuple:
    """A list in YAML, or in Python any sequence except text. The value is kept as a tuple."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Let pydantic read every element, so that the faults of all elements are reported."""
        items = handler.generate_schema(get_args(source)[0])
        return core_schema.no_info_before_validator_function(
            _elements, core_schema.tuple_variable_schema(items, strict=False)
        )


class _AsMap:
    """A map from names to one type. An empty value in YAML counts as an empty map."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Make pydantic read every entry of the map."""
        names, values = map(handler.generate_schema, get_args(source))
        return core_schema.no_info_before_validator_function(
            _entries, core_schema.dict_schema(names, values, strict=False)
        )


@dataclass(frozen=True, slots=True)
class SectionMap:
    """A `TypedDict` whose values are sections.

    The map is read like a section; `what` says what the map describes.
    """

    what: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Let pydantic read every known key and refuse unknown keys."""
        fields = {
            name: core_schema.typed_dict_field(handler.generate_schema(kind), required=False)
            for name, kind in fields_of(source).items()
        }
        inner = core_schema.typed_dict_schema(fields, cls=source, extra_behavior="forbid")
        return core_schema.with_info_wrap_validator_function(
            lambda raw, read, info: read_fields(source, self.what, raw, read, info.context), inner
        )


ListOf = Annotated[Sequence[T], _AsTuple()]
"""A list of one type: `ListOf[Network]`. Programs may pass any sequence."""
MapOf = Annotated[Mapping[K, T], _AsMap()]
"""A map from names to one type: `MapOf[EnvName, Argument]`."""


def _assert_text(raw: str) -> None:
    if _HALVES.search(raw):
        raise refusal("the value contains half of a Unicode surrogate pair", "write the whole character")


def _elements(raw: Any) -> Any:
    how = "write - and a space before each element"
    if isinstance(raw, Mapping):
        # The message does not show the map: somebody may have written secrets instead of their names.
        raise refusal("the value is a map and not a list", how, shows_value=False)
    if isinstance(raw, str | bytes) or not isinstance(raw, Sequence):
        raise refusal("the value is not a list", how)
    return raw


def _entries(raw: Any) -> Any:
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise refusal("the value is not a map", "write one `name: value` on each line")
    return raw


def fields_of(kind: type) -> dict[str, Any]:
    """Return the type of each field of a section, or of a `TypedDict` that is read like a section."""
    if issubclass(kind, Section):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return get_type_hints(kind, include_extras=True)


def kind_of(form: Any) -> ValueType:
    """Return the value type in an annotated type such as `Port`."""
    return next(each for each in form.__metadata__ if isinstance(each, ValueType))


def valid(form: Any, raw: Any) -> Any:
    """Return a raw value as a type such as `Port` reads it, or None if the value is not valid."""
    try:
        return kind_of(form).read(raw)
    except PydanticCustomError:
        return None


def whole(raw: Any) -> int | None:
    """Return the whole number that a raw value means, or None if the value is no whole number."""
    if isinstance(raw, bool):
        return None
    if isinstance(raw, int):
        return raw
    if isinstance(raw, float):
        return int(raw) if raw.is_integer() else None
    if isinstance(raw, str) and re.fullmatch(r"0|[1-9][0-9]{0,17}", raw):
        return int(raw)
    return None
