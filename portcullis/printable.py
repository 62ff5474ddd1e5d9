"""What a host says, made safe to print: it acts on no terminal, and on no log of a job."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

MARK = "\N{REPLACEMENT CHARACTER}"
"""Stands in the place of what was taken out, so that the text is never equal to one without it."""

# All but tab and newline of what controls, turns, hides or breaks writing: Unicode's Cc, Cf, Zl, Zp and Cs.
_CONTROL = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
# pulumi/sdk/go/common/diag/colors: <{%reset%}> is a colour, wherever it stands.
_COLOUR = re.compile(r"<(?=\{%)")
# actions/runner, ActionCommand.cs: `::name key=value::text` begins a line, `##[name]` stands anywhere in it.
# Azure's are ##vso[…], TeamCity's ##teamcity[…]. An IPv6 address such as ::1 is no command.
_COMMAND = re.compile(r"^(\s*)(?=::[\w-]+(?: [^\n]*?)?::)|(?<=#)(?=#[a-z]*\[)", re.MULTILINE)


def printable(text: str) -> str:
    """Return a text that can be printed, in as many lines: `MARK` breaks whatever something would act on."""
    text = _CONTROL.sub(MARK, text)
    text = _COLOUR.sub(f"<{MARK}", text)
    return _COMMAND.sub(rf"\g<0>{MARK}", text)


def one_line(text: str) -> str:
    """Return a text that can be printed, in one line."""
    return printable(re.sub(r"\s", " ", text))


def printable_values(value: Any, known: Any = None, show: Callable[[str], str] = printable) -> Any:
    """Return what a host answered with every text printable, but for what is `known` to be so on the host.

    Args:
        value: of JSON.
        known: the same as it was declared; a file may hold control characters because we wrote them.
        show: what makes a text printable.

    Raises:
        RecursionError: it is nested too deep.
    """
    if isinstance(value, str):
        return value if value == known else show(value)
    if isinstance(value, Mapping):
        held: Mapping[Any, Any] = known if isinstance(known, Mapping) else {}
        return {
            key if key in held else show(str(key)): printable_values(each, held.get(key), show)
            for key, each in value.items()
        }
    if isinstance(value, (list, tuple)):
        members = known if isinstance(known, (list, tuple)) else ()
        return [
            each if isinstance(each, str) and each in members else printable_values(each, None, show)
            for each in value
        ]
    return value
