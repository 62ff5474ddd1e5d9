"""Describes settings for editors and people, from the same declarations that read the settings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic.json_schema import GenerateJsonSchema

from portcullis.config.faults import NAMESPACE, in_python, in_yaml
from portcullis.config.section import Section, meanings
from portcullis.config.value_types import fields_of

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REQUIRED = object()


class _Schema(GenerateJsonSchema):
    """Generates schemas without titles and null, but with the description of each field."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Omit the title, which would only repeat the key."""
        return False

    def nullable_schema(self, schema: Any) -> dict[str, Any]:
        """Describe only the value: null means the same as a missing key."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> dict[str, Any]:
        """Add the default only if it is a plain value."""
        found, default = self.generate_inner(schema["schema"]), schema.get("default")
        return {**found, "default": default} if isinstance(default, str | int) and default != "" else found

    def dict_schema(self, schema: Any) -> dict[str, Any]:
        """Return the schema of a map. The keys of the map must match the pattern of their type."""
        pattern = self.generate_inner(schema["keys_schema"]).get("pattern")
        names = {"propertyNames": {"type": "string", "pattern": pattern}} if pattern else {}
        values = self.generate_inner(schema["values_schema"])
        if schema["values_schema"]["type"] == "nullable":
            values = {"anyOf": [values, {"type": "null"}]}
        return {"type": "object", **names, "additionalProperties": values}

    def model_schema(self, schema: Any) -> dict[str, Any]:
        """Describe a section of the settings as JSON Schema."""
        return self._described(super().model_schema(schema), schema["cls"])

    def typed_dict_schema(self, schema: Any) -> dict[str, Any]:
        """Describe a `TypedDict` that is read like a section."""
        return self._described(super().typed_dict_schema(schema), schema["cls"])

    @staticmethod
    def _described(found: dict[str, Any], kind: type) -> dict[str, Any]:
        properties = {
            in_yaml(name): {"description": meaning, **found["properties"][name]}
            for name, meaning in meanings(kind).items()
        }
        required = [in_yaml(name) for name in found.get("required", ())]
        return {
            "type": "object",
            "properties": properties,
            **({"required": required} if required else {}),
            "additionalProperties": False,
        }


def json_schema(stack: type[Section]) -> str:
    """Return the JSON Schema of a stack file, `Pulumi.<stack>.yaml`, for editors.

    The schema describes only the keys of Portcullis, and accepts all other keys of a stack file.
    """
    described = stack.model_json_schema(schema_generator=_Schema)
    keys = described["properties"]
    schema = {
        "$schema": _DIALECT,
        "title": "A stack of Portcullis",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": {f"{NAMESPACE}:{key}": value for key, value in keys.items()},
                "patternProperties": {f"^{NAMESPACE}:(?!(?:{'|'.join(keys)})$)": False},
            },
        },
        "$defs": described["$defs"],
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def table(kind: type[Section], *, python: bool = False) -> str:
    """Return the fields of a section as a table in Markdown, with their names in YAML or Python.

    The table for Python also links the class of each inner section to its heading.
    """
    spell = in_python if python else in_yaml
    lines = [f"| {'argument' if python else 'key'} | description | default |", "|---|---|---|"]
    sentences, defaults = meanings(kind), _defaults(kind, python=python)
    for name, annotation in fields_of(kind).items():
        meaning = sentences[name].replace("|", "\\|")
        if python:
            meaning = _in_python(meaning, kind)
            meaning += "".join(f" [`{one.__name__}`]({anchor(one.__name__)})" for one in _nearest(annotation))
        lines.append(f"| `{spell(name)}` | {meaning} | {defaults[name]} |")
    return "\n".join(lines) + "\n"


def _in_python(meaning: str, kind: type[Section]) -> str:
    """Return a field's description with the names of other fields as in Python."""
    names = {in_yaml(name): name for name in fields_of(kind)}
    return re.sub(r"`(\w+)`", lambda found: f"`{names.get(found[1], found[1])}`", meaning)


def sections(kind: type[Section]) -> dict[str, type[Section]]:
    """Return every inner section of a section.

    The key of an inner section is the first path to it, such as `hosts.*.ssh`.
    """
    found: dict[type, str] = {}
    for path, inner in _sections(kind, ""):
        found.setdefault(inner, path)
    return {path: inner for inner, path in found.items() if issubclass(inner, Section)}


def _sections(kind: type, path: str) -> Iterator[tuple[str, type]]:
    for name, annotation in fields_of(kind).items():
        for more, inner in _inside(annotation):
            here = f"{path}{in_yaml(name)}{more}"
            yield here.removesuffix(".*"), inner
            yield from _sections(inner, f"{here}.")


def with_tables(page: str, stack: type[Section]) -> str:
    """Return a Markdown page with each table rewritten under its mark, which is an HTML comment.

    Raises:
        ValueError: a section has no mark.
    """
    for path, kind in sections(stack).items():
        mark, end = f"<!-- table: {path} -->\n", "<!-- end -->\n"
        before, found, after = page.partition(mark)
        if not found or end not in after:
            raise ValueError(f"the page of the settings has no comment that marks the table of {path}")
        page = before + mark + table(kind) + end + after.partition(end)[2]
    return page


def inner_sections(kind: type[Section]) -> list[type[Section]]:
    """Return every inner section of a section, at any depth, without duplicates."""
    inner = (found for _, found in _sections(kind, ""))
    return list(dict.fromkeys(found for found in inner if issubclass(found, Section)))


def anchor(heading: str) -> str:
    """Return the link to a heading of one word on the same page."""
    return f"#{heading.lower()}"


def _nearest(annotation: Any) -> Iterator[type[Section]]:
    """Yield the sections in a type, and those in a `TypedDict` that is read like a section."""
    for _, found in _inside(annotation):
        if issubclass(found, Section):
            yield found
        else:
            for inner in fields_of(found).values():
                yield from _nearest(inner)


def _inside(annotation: Any) -> Iterator[tuple[str, type]]:
    """Yield the sections in a type, each with a `.*` in its path for every map around it."""
    if isinstance(annotation, type) and (issubclass(annotation, Section) or hasattr(annotation, "__total__")):
        yield "", annotation
        return
    inner = get_args(annotation)
    if get_origin(annotation) is Mapping:
        yield from ((f".*{more}", kind) for more, kind in _inside(inner[1]))
    elif get_origin(annotation) is Sequence or inner:
        for each in inner:
            yield from _inside(each)


def _defaults(kind: type[Section], *, python: bool) -> dict[str, str]:
    found = {}
    for name, field in kind.model_fields.items():
        default = _REQUIRED if field.is_required() else field.default
        if default is _REQUIRED:
            found[name] = "required"
        elif isinstance(default, bool):
            found[name] = f"`{default if python else str(default).lower()}`"
        else:
            found[name] = f"`{default}`" if isinstance(default, str | int) and default != "" else ""
    return found
