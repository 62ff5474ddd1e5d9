"""Parse nginx's configuration into blocks, so that policies can see what each server serves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# A quoted text, a comment, one of the signs {};, or a word. ${name} is part of a word.
_TOKEN = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\#[^\n]*|[{};]|(?:\$\{\w+\}|\\.|[^\s{};])+""")


@dataclass(frozen=True, slots=True)
class Directive:
    """A directive of nginx: its words without quotes, and the directives in its block."""

    words: tuple[str, ...]
    block: tuple[Directive, ...] = ()

    @property
    def name(self) -> str:
        """The first word of the directive."""
        return self.words[0] if self.words else ""

    def named(self, *names: str) -> list[Directive]:
        """Return the directives with these names that are directly in this directive's block."""
        return [directive for directive in self.block if directive.name in names]


def parse(text: str) -> tuple[Directive, ...]:
    """Parse a configuration.

    If the text ends inside a block, the block ends there. That is no error here, because nginx itself tests
    the file later.
    """
    return _block(match[0] for match in _TOKEN.finditer(text) if not match[0].startswith("#"))


def _block(tokens: Iterator[str]) -> tuple[Directive, ...]:
    found: list[Directive] = []
    words: list[str] = []
    for piece in tokens:
        if piece == "}":
            break
        if piece in "{;":
            block = _block(tokens) if piece == "{" else ()
            if words:
                found.append(Directive(tuple(words), block))
            words = []
        else:
            words.append(piece[1:-1] if piece[0] in "\"'" else piece)
    return tuple(found)
