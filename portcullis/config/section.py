"""The base of every settings section, which is also what a component takes as its arguments.

YAML writes a field as `hostPort`, Python as `host_port`: each knows its own spelling only, and errors use it.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
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

if TYPE_CHECKING:
    from pydantic import ValidationInfo
    from pydantic_core import InitErrorDetails

_FLAG = Finding("is neither true nor false", "write true or false, without quotes")


class Section(BaseModel):
    """A map with known keys, and the arguments of a component: one declaration for both.

    The docstring under a field says what it means; JSON Schema and the reference tables come from it. None is
    the same as nothing written.

    A field with `repr=False` holds secrets: no message shows a value of it, whatever its form.

    Raises:
        ArgumentsError: with every fault, each naming the argument, the value and what would be right.
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
    """What it describes, with its article: "an SSH server"."""

    def __init__(self, **values: Any) -> None:
        """Validate the arguments."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            name = type(self).__name__
            raise ArgumentsError(
                fault(each, path(name, each["loc"])) for each in error.errors(include_url=False)
            ) from None

    # pydantic builds sections inside of sections by this without calling it.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @classmethod
    def check(cls, written: Written) -> None:
        """Report what is wrong between the fields, at `written.at`.

        It sees what was written and not what was read: a fault in one field hides no other.
        """

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, raw: Any, handler: ModelWrapValidatorHandler[Any], info: ValidationInfo) -> Any:
        return raw if isinstance(raw, cls) else read_fields(cls, cls.what, raw, handler, info.context)


def read_fields(kind: type, what: str, raw: Any, handler: Any, context: Source | None) -> Any:
    """Let pydantic read the fields, then report all that it found in our words, with what a check finds.

    Args:
        kind: a section, or a `TypedDict` that is read like one.
        what: what it describes.
        raw: what was written.
        handler: pydantic's own reading.
        context: where the value comes from. A program builds sections without one, and pydantic then takes
            fields by their names in Python.
    """
    source = context or Source(kind.__name__, in_python)
    fields = kind.model_fields if issubclass(kind, Section) else kind.__annotations__
    names = {source.spell(field): field for field in fields}
    if not isinstance(raw, Mapping):
        keys = f"write a map of {', '.join(names)}" if context else f"write {kind.__name__}(…)"
        if raw is None:
            raise refusal("is empty", keys, shows_value=False)
        raise refusal(f"does not describe {what}", keys)
    lines: list[InitErrorDetails] = []
    made = None
    try:
        made = handler({name: value for name, value in raw.items() if value is not None})
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # A misspelt key first: what it was meant to be is then missing.
        errors.sort(key=lambda each: not _is_unknown(each))
        lines = [line(_finding(each, kind, names), each["loc"], each["input"]) for each in errors]
    at = SettingPath(source)
    if issubclass(kind, Section):
        kind.check(Written(raw, at))
    if lines or at.found:
        raise ValidationError.from_exception_data(kind.__name__, lines + at.found)
    return made


class Written:
    """A section as it stands in the file or in a call, before anything was validated.

    Attributes:
        raw: a map, or a section that was validated already; anything else counts as an empty map.
        at: its place.
    """

    def __init__(self, raw: Any, at: SettingPath) -> None:
        """Keep what was written and where."""
        self.raw = raw if isinstance(raw, Mapping | Section) else {}
        self.at = at

    def get(self, field: str, default: Any = None) -> Any:
        """Return what was written for a field, by its name in Python; `default` where nothing was."""
        if isinstance(self.raw, Section):
            found = getattr(self.raw, field, None) if field in self.raw.model_fields_set else None
        else:
            found = self.raw.get(self.at.spell(field))
        return default if found is None else found

    def __contains__(self, field: str) -> bool:
        """Whether a field was written, and not as nothing."""
        return self.get(field) is not None

    def is_nothing(self, field: str) -> bool:
        """Tell whether a field was written as nothing, or as a list of nobody."""
        if isinstance(self.raw, Section):
            return field in self.raw.model_fields_set and not getattr(self.raw, field)
        name = self.at.spell(field)
        return name in self.raw and self.raw[name] in (None, [], ())

    def section(self, field: str) -> Written:
        """Return the section in a field."""
        return Written(self.get(field), self.at.field(field))

    def entries(self, field: str) -> dict[str, Written]:
        """Return the entries of a map of sections; what is no map counts as declared and empty."""
        found, at = self.get(field), self.at.field(field)
        if not isinstance(found, Mapping):
            return {}
        return {str(name): Written(entry, at.key(str(name))) for name, entry in found.items()}

    def sections(self, field: str) -> list[Written]:
        """Return the elements of a list of sections."""
        return [Written(value, place) for value, place in self.elements(field)]

    def items(self, field: str) -> Iterator[tuple[str, Any, SettingPath]]:
        """Give name, value and place of each entry of a map."""
        found, at = self.get(field), self.at.field(field)
        if isinstance(found, Mapping):
            for name, value in found.items():
                yield str(name), value, at.key(str(name))

    def elements(self, field: str) -> Iterator[tuple[Any, SettingPath]]:
        """Give value and place of each element of a list."""
        found, at = self.get(field), self.at.field(field)
        if isinstance(found, Sequence) and not isinstance(found, str):
            for index, value in enumerate(found):
                yield value, at.item(index)


@cache
def meanings(section: type) -> Mapping[str, str]:
    """Return what each field of a section means, by its name: the text under it in the source.

    Not pydantic's `use_attribute_docstrings`, which reads the source of every section at import.
    """
    found: dict[str, str] = {}
    for base in reversed(section.__mro__):
        if base not in (Section, BaseModel, object, dict) and "__annotations__" in base.__dict__:
            found |= _docstrings(base)
    return found


def _docstrings(section: type) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(section)))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef))
    found = {}
    for field, text in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        ):
            found[field.target.id] = " ".join(text.value.value.split())
    return found


def _is_unknown(error: Any) -> bool:
    return error["type"] == "extra_forbidden" and len(error["loc"]) == 1


def _finding(error: Any, kind: type, names: Mapping[str, str]) -> Finding:
    """Say in our words what pydantic found. `names` are the fields by how they are written."""
    finding, loc = _in_words(error, kind, names), error["loc"]
    # The name of an entry is in the path, and no secret.
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
    return Finding(f"cannot be used: {error['msg'][:1].lower()}{error['msg'][1:]}")


def _as_hint(meaning: str) -> str:
    """Return the sentence about a field as the second half of a line."""
    plain = meaning.rstrip(".")
    return plain[:1].lower() + plain[1:] if plain[1:2].islower() else plain
