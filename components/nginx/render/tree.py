"""nginx's configuration as data: a tree of directives, printed in one stable form.

Only this module quotes words of the configuration. nginx cannot escape a dollar sign, which always begins a
variable. So this module refuses a text with a dollar sign, unless the text is an `Expression`.

The page https://nginx.org/en/docs/beginners_guide.html#conf_structure and ngx_conf_read_token() in
ngx_conf_file.c define the syntax.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_INDENT = "    "
_WIDTH = 108
# Characters that need no quotes. Braces, quotes, semicolons, backslashes and # need quotes.
_PLAIN = re.compile(r"[A-Za-z0-9._:/@*=,+%&?!|()\[\]~^<>-]+")
# A regular expression with an escaped dot needs no quotes either, which is easier to read.
_PATTERN = re.compile(rf"(?:{_PLAIN.pattern}|\$|\\\.)+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Expression(str):
    """A text that we wrote, in which $ begins a variable."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Directive:
    """A simple directive, or a block if it has a `body`.

    Attributes:
        name: the directive's name; in a map, the value that nginx compares.
        args: the words after the name.
        body: the content of the braces; None for a simple directive.
        why: the comment above the directive.
    """

    name: str
    args: tuple[str, ...] = ()
    body: tuple[Node, ...] | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Text that the user wrote, printed line by line."""

    text: str


@dataclass(frozen=True, slots=True)
class Gap:
    """An empty line."""


GAP = Gap()
Node = Directive | Verbatim | Gap


def directive(name: str, *args: str, why: str = "") -> Directive:
    """Make a simple directive."""
    return Directive(name, args, why=why)


def block(name: str, *args: str, body: Iterable[Node], why: str = "") -> Directive:
    """Make a block."""
    return Directive(name, args, tuple(body), why)


def render(nodes: Iterable[Node]) -> str:
    """Return the text of a file, one directive a line.

    Raises:
        ValueError: a text has characters that are not allowed in nginx's configuration.
    """
    return "".join(f"{line}\n" for line in _lines(nodes, ""))


def quoted(text: str) -> str:
    """Return a text as one word of the configuration.

    Raises:
        ValueError: the text has a control character, or has a $ and is not an `Expression`.
    """
    if _PLAIN.fullmatch(text):
        return text
    if _CONTROL.search(text):
        raise ValueError(
            f"the text {text!r} contains a control character, which nginx's configuration does not allow"
        )
    if "$" in text and not isinstance(text, Expression):
        raise ValueError(
            f"the text {text!r} is not allowed in nginx's configuration: $ would begin the name of a variable"
        )
    if isinstance(text, Expression) and _PATTERN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _lines(nodes: Iterable[Node], indent: str) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Gap):
            yield ""
        elif isinstance(node, Verbatim):
            yield from ((indent + line).rstrip() for line in node.text.splitlines())
        else:
            yield from _comment(node.why, indent)
            words = " ".join([quoted(node.name), *map(quoted, node.args)])
            if node.body is None:
                yield f"{indent}{words};"
            else:
                yield f"{indent}{words} {{"
                yield from _lines(node.body, indent + _INDENT)
                yield f"{indent}}}"


@lru_cache(1000)
def _comment(why: str, indent: str) -> tuple[str, ...]:
    """Return a comment's lines.

    The result is cached, because sites share comments, and breaking lines is the slowest step.
    """
    width = _WIDTH - len(indent)
    lines = [
        line
        for paragraph in why.splitlines()
        for line in textwrap.wrap(paragraph, width, break_long_words=False, break_on_hyphens=False)
    ]
    return tuple(f"{indent}# {line}" for line in lines)
