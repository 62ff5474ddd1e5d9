"""A value that the settings accept has no characters that are syntax in a file or on a command line."""

from __future__ import annotations

import unicodedata
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from portcullis.components.host.stack import StackArgs
from portcullis.config.describe import inner_sections
from portcullis.config.faults import in_yaml, shown
from portcullis.config.value_types import NumberOrText, Text, ValueType, fields_of, whole
from tests.fuzz.hostile_settings import PLAUSIBLE
from tests.fuzz.texts import is_utf8, texts, values

FREE = {
    "a file on this machine",
    "a public key",
    "the public key of a host",
    "the comment of a rule",
    "a reason",
    "a Content-Security-Policy",
    "the value of a header",
    "configuration for nginx",
    "a message",
    "a command",
    "a resource",
    "something on a host",
    "something that a host exposes",
    "a match for a rule",
    "a value of sshd_config",
    "a value of a kernel setting",
}
"""Values that are quoted, or have a line of their own. test_quoting.py tests these."""
_SYNTAX = set("\"'`;{}$\\<>|&()!#\0 \t\n\r\v\f")
_ACTING = {
    letter for letter in map(chr, range(0x3000)) if unicodedata.category(letter) in ("Cc", "Zl", "Zp")
} | set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_IN_URLS = {"a path": "&", "a URL": "&", "a path inside a container": ""}


def kinds_in(annotation: Any, path: str) -> list[tuple[str, ValueType]]:
    """Return every kind of value in a type, each with its path."""
    found = [(path, each) for each in getattr(annotation, "__metadata__", ()) if isinstance(each, ValueType)]
    for inner in get_args(annotation):
        if not isinstance(inner, (str, bytes)):
            found += kinds_in(inner, path)
    return found


def every() -> dict[str, ValueType]:
    found: dict[str, ValueType] = {}
    for section in (StackArgs, *inner_sections(StackArgs)):
        for name, annotation in fields_of(section).items():
            field = section.model_fields[name]
            for number, (path, kind) in enumerate(
                kinds_in(annotation, f"{section.__name__}.{in_yaml(name)}")
            ):
                found[f"{path}[{number}]"] = kind
            for each in field.metadata:
                if isinstance(each, ValueType):
                    found[f"{section.__name__}.{in_yaml(name)}"] = each
    return found


KINDS = {repr(kind): kind for kind in every().values()}


@pytest.mark.parametrize(
    "kind", KINDS.values(), ids=lambda kind: f"{type(kind).__name__} {getattr(kind, 'what', '')}"
)
@given(raw=texts(*PLAUSIBLE) | values | st.integers())
def test_a_value_is_refused_or_read_without_syntax_characters(kind: ValueType, raw: Any) -> None:
    try:
        value = kind.read(raw)
    except PydanticCustomError:
        return
    if not isinstance(value, str):
        return
    assert is_utf8(value)
    # A value that was read is read again unchanged, so settings that are written back do not change.
    assert kind.read(value) == value
    text = kind.text if isinstance(kind, NumberOrText) else kind
    if isinstance(text, Text) and text.what not in FREE:
        assert value.isascii(), value
        assert not set(value) & (_SYNTAX - set(_IN_URLS.get(text.what, ""))), value
    if isinstance(text, Text):
        acting = _ACTING - set("\n\t") if text.what in ("configuration for nginx", "a message") else _ACTING
        assert not set(value) & acting, value


@given(values)
def test_whole_returns_an_int_or_none(raw: Any) -> None:
    number = whole(raw)
    assert number is None or (isinstance(number, int) and not isinstance(number, bool))


@given(values)
def test_any_value_can_be_shown(raw: Any) -> None:
    # 60 characters, and the closing quote of a shortened text.
    assert len(shown(raw)) <= 61
