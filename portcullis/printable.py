"""Makes texts from a host safe to print: they cannot control a terminal or the log of a CI job."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

MARK = "\N{REPLACEMENT CHARACTER}"
"""Replaces each unsafe character, so that people see that the text was changed."""

# Characters that control, reverse, hide or break text: Unicode's Cc, Cf, Zl, Zp, Cs, except tab and newline.
_CONTROL = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
# Pulumi reads <{%reset%}> as a colour, anywhere in a text (pulumi/sdk/go/common/diag/colors).
_COLOUR = re.compile(r"<(?=\{%)")
# These texts are commands to CI systems. GitHub reads `::name key=value::text` at the beginning of a line and
# `##[name]` anywhere (actions/runner, ActionCommand.cs). Azure reads ##vso[…], and TeamCity reads
# ##teamcity[…]. An IPv6 address such as ::1 is no command.
_COMMAND = re.compile(r"^(\s*)(?=::[\w-]+(?: [^\n]*?)?::)|(?<=#)(?=#[a-z]*\[)", re.MULTILINE)


def printable(text: str) -> str:
    """Return a text that is safe to print, with the same lines. `MARK` breaks each control sequence."""
    text = _CONTROL.sub(MARK, text)
    text = _COLOUR.sub(f"<{MARK}", text)
    return _COMMAND.sub(rf"\g<0>{MARK}", text)


def one_line(text: str) -> str:
    """Return a text that is safe to print, on one line."""
    return printable(re.sub(r"\s", " ", text))


def printable_values(value: Any, known: Any = None, show: Callable[[str], str] = printable) -> Any:
    """Make every text of a host's answer safe to print. A text that equals one of `known` stays unchanged.

    Args:
        value: the answer as JSON values.
        known: the declared value. A file may contain control characters that its declaration has.
        show: the function that makes a text safe.

    Raises:
        RecursionError: the answer is nested too deeply.
    """
    if isinstance(value, str):
        return value if value == known else show(value)
    if isinstance(value, Mapping):
        held: Mapping[Any, Any] = known if isinstance(known, Mapping) else {}
        return {
            key if key in held else _key(show(str(key))): printable_values(each, held.get(key), show)
            for key, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        members = known if isinstance(known, (list, tuple)) else ()
        return [
            each if isinstance(each, str) and each in members else printable_values(each, None, show)
            for each in value
        ]
    return value


def _key(text: str) -> str:
    """Return a key that Pulumi's engine can read in a path.

    The engine escapes the quotes of a key, but no backslash. It then takes a backslash at the end of a key
    and the closing quote for an escaped quote, and previews nothing: resource/properties_path.go.
    """
    return f"{text[:-1]}{MARK}" if text.endswith("\\") else text
