"""`Section`, the base class of all settings. A component takes a section as its arguments.

A field is `hostPort` in YAML and `host_port` in Python. YAML and Python each accept only their own spelling.
Errors use the spelling of their source, YAML or Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator

from portcullis.config.faults import (
    ArgumentsError,
    Finding,
    SettingPath,
    Source,
    closest,
    fault,
    found_in,
    in_python,
    in_yaml,
    line,
    path,
    refusal,
)
from portcullis.docstrings import docstrings

if TYPE_CHECKING:
    from pydantic import ValidationInfo
    from pydantic_core import InitErrorDetails

_FLAG = Finding("is neither true nor false", "write true or false, without quotes")


class Section(BaseModel):
    """A map with known keys in YAML, and the arguments of a component in Python: one declaration for both.

    The docstring under a field is its description in the JSON Schema and in the reference tables. None means
    the same as a missing key.

    A field with `repr=False` holds secrets: no message shows its value.

    Raises:
        ArgumentsError: with every fault; each names the argument, the value and what would be right.
    """

    model_config = ConfigDict(
        alias_generator=in_yaml,
        validate_by_alias=False,
        validate_by_name=True,
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        defer_build=True,
    )

    what: ClassVar[str]
    """What the section describes, with an article: "an SSH server"."""

    def __init__(self, **values: Any) -> None:
        """Validate the arguments of the section."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            name = type(self).__name__
            raise ArgumentsError(
                fault(each, path(name, each["loc"])) for each in error.errors(include_url=False)
            ) from None

    # With this mark, pydantic builds inner sections without a call of this method.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def check(cls, written: Written) -> None:
        """Report faults in the combination of fields, such as two that exclude each other, at `written.at`.

        The check sees the raw values, so a fault in one field does not hide a fault in a combination of other
        fields.
        """

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, raw: Any, handler: ModelWrapValidatorHandler[Any], info: ValidationInfo) -> Any:
        return raw if isinstance(raw, cls) else read_fields(cls, cls.what, raw, handler, info.context)


def read_fields(kind: type, what: str, raw: Any, handler: Any, context: Source | None) -> Any:
    """Let pydantic read the fields, then report its faults in our words, along with the faults of `check`.

    Args:
        kind: a section, or a `TypedDict` that is read like a section.
        what: what the section describes, with an article.
        raw: the raw value.
        handler: pydantic's own reader.
        context: the source of the value. A program builds sections without a source; pydantic then expects
            the names of fields in Python.
    """
    source = context or Source(kind.__name__, in_python)
    fields = kind.model_fields if issubclass(kind, Section) else kind.__annotations__
    names = {source.spell(field): field for field in fields}
    if not isinstance(raw, Mapping):
        keys = f"write a map of {', '.join(names)}" if context else f"write {kind.__name__}(…)"
        if raw is None:
            raise refusal("the section is empty", keys, shows_value=False)
        raise refusal(f"the value does not describe {what}", keys)
    lines: list[InitErrorDetails] = []
    made = None
    try:
        made = handler({name: value for name, value in raw.items() if value is not None})
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # Misspelt keys come first: they explain why another key is missing.
        errors.sort(key=lambda each: not _is_unknown(each))
        lines = [line(_finding(each, kind, names), each["loc"], each["input"]) for each in errors]
    at = SettingPath(source)
    if issubclass(kind, Section):
        kind.check(Written(raw, at))
    if lines or at.found:
        raise ValidationError.from_exception_data(kind.__name__, lines + at.found)
    return made


class Written:
    """A section as written in the file or in a call, before validation.

    Attributes:
        raw: a map, or a section that is already validated. Any other value counts as an empty map.
        at: the path of the section.
    """

    def __init__(self, raw: Any, at: SettingPath) -> None:
        """Store the raw value and its path."""
        self.raw = raw if isinstance(raw, Mapping | Section) else {}
        self.at = at

    def get(self, field: str, default: Any = None) -> Any:
        """Return the raw value of a field, by its name in Python, or `default` if the field is not set."""
        if isinstance(self.raw, Section):
            found = getattr(self.raw, field, None) if field in self.raw.model_fields_set else None
        else:
            found = self.raw.get(self.at.spell(field))
        return default if found is None else found

    def __contains__(self, field: str) -> bool:
        """Tell whether a field has a value other than null."""
        return self.get(field) is not None

    def unknown(self, section: type[Section]) -> bool:
        """Tell whether the section has a key that `section` does not know."""
        known = {self.at.spell(name) for name in section.model_fields}
        return isinstance(self.raw, Mapping) and not known.issuperset(self.raw)

    def is_nothing(self, field: str) -> bool:
        """Tell whether a field is set to null or to an empty list."""
        if isinstance(self.raw, Section):
            return field in self.raw.model_fields_set and not getattr(self.raw, field)
        name = self.at.spell(field)
        return name in self.raw and self.raw[name] in (None, [], ())

    def section(self, field: str) -> Written:
        """Return the section in a field of this section."""
        return Written(self.get(field), self.at.field(field))

    def entries(self, field: str) -> dict[str, Written]:
        """Return the entries of a map of sections. An entry that is no map counts as an empty section."""
        found, at = self.get(field), self.at.field(field)
        if not isinstance(found, Mapping):
            return {}
        return {str(name): Written(entry, at.key(str(name))) for name, entry in found.items()}

    def sections(self, field: str) -> list[Written]:
        """Return the elements of a list of sections."""
        return [Written(value, place) for value, place in self.elements(field)]

    def items(self, field: str) -> Iterator[tuple[str, Any, SettingPath]]:
        """Yield the name, value and path of each entry of a map."""
        found, at = self.get(field), self.at.field(field)
        if isinstance(found, Mapping):
            for name, value in found.items():
                yield str(name), value, at.key(str(name))

    def elements(self, field: str) -> Iterator[tuple[Any, SettingPath]]:
        """Yield the value and path of each element of a list."""
        found, at = self.get(field), self.at.field(field)
        if isinstance(found, Sequence) and not isinstance(found, str):
            for index, value in enumerate(found):
                yield value, at.item(index)


@cache
def meanings(section: type) -> Mapping[str, str]:
    """Return, for each field of a section, its description: the docstring below the field in the source.

    pydantic's `use_attribute_docstrings` would read the source of every section at import, which takes time.
    """
    found: dict[str, str] = {}
    for base in reversed(section.__mro__):
        if base not in (Section, BaseModel, object, dict) and "__annotations__" in base.__dict__:
            found |= docstrings(base)
    return found


def _is_unknown(error: Any) -> bool:
    return error["type"] == "extra_forbidden" and len(error["loc"]) == 1


def _finding(error: Any, kind: type, names: Mapping[str, str]) -> Finding:
    """Return one of pydantic's errors in our words. `names` maps a field's spelling to its name in Python."""
    finding, loc = _in_words(error, kind, names), error["loc"]
    # A fault in the name of an entry may show it: the name is no secret, and the path contains it anyway.
    if loc and loc[-1] != "[key]" and issubclass(kind, Section):
        field = kind.model_fields.get(names.get(str(loc[0]), ""))
        if field is not None and not field.repr:
            return replace(finding, is_secret=True)
    return finding


def _in_words(error: Any, kind: type, names: Mapping[str, str]) -> Finding:
    if (finding := found_in(error)) is not None:
        return finding
    own, what = str(error["loc"][0]) if len(error["loc"]) == 1 else "", error["type"]
    if what == "missing" and own:
        return Finding("is missing", _as_hint(meanings(kind)[names[own]]), shows_value=False)
    if what == "extra_forbidden" and own:
        return Finding("is not a known key", closest(own, names), shows_value=False)
    if what in ("bool_type", "bool_parsing"):
        return _FLAG
    return Finding(f"is not valid: {error['msg'][:1].lower()}{error['msg'][1:]}")


def _as_hint(meaning: str) -> str:
    """Return a field's description in the form of a hint: lower case, no full stop."""
    plain = meaning.rstrip(".")
    return plain[:1].lower() + plain[1:] if plain[1:2].islower() else plain
