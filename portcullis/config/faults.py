"""The faults of settings and arguments. Each fault has a path, a reason and a remedy."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic_core import InitErrorDetails, PydanticCustomError

from portcullis.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NAMESPACE = "portcullis"
"""The namespace of this program's keys in a stack's file."""
VALUE = "the value "
"""The beginning of a reason. A message that shows the value has the value instead of these words."""
_LONGEST_VALUE = 60
_LONGEST_LINE = 2000
_TYPE = "fault"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: the path of the setting, the reason, and a hint with a correct form."""

    path: str
    reason: str
    hint: str = ""

    def __str__(self) -> str:
        """Return `path: reason; hint` on one line.

        Names in the line may contain any text that people pasted, so control characters are replaced.
        """
        line = one_line(f"{self.path}: {self.reason}" + (f"; {self.hint}" if self.hint else ""))
        return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"


class SettingsError(Exception):
    """The settings of a stack have faults. The message is for people and lists every fault."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        """Store the faults in their order."""
        self.faults = tuple(faults)
        count = "a fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__(
            "\n".join([f"The settings of this stack have {count}:", *(f"  {fault}" for fault in self.faults)])
        )


class ArgumentsError(ValueError):
    """The arguments of a component have faults. The message lists every fault, one on each line."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        """Store the faults in their order."""
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of one value. The path of the value is added later.

    Attributes:
        reason: why Portcullis cannot use the value.
        hint: a correct value or form.
        shows_value: whether the message has the value before the reason.
        is_secret: whether the value may be a secret, which the message must not show.
        meant: the word that people wrote, if YAML reads it as another value. For example, YAML reads `yes` as
            true.
    """

    reason: str
    hint: str = ""
    shows_value: bool = True
    meant: str | None = None
    is_secret: bool = False


def refusal(
    reason: str, hint: str = "", *, shows_value: bool = True, meant: str | None = None
) -> PydanticCustomError:
    """Return the error that a value type raises.

    If `reason` begins with "the value", a message that shows the value has it in place of these words, as in
    `70000 is not a port`.
    """
    return PydanticCustomError(_TYPE, _TYPE, {_TYPE: Finding(reason, hint, shows_value, meant)})


def line(finding: Finding, loc: tuple[int | str, ...], raw: Any) -> InitErrorDetails:
    """Return a finding in pydantic's form.

    pydantic then puts the path of the surrounding value before `loc`.
    """
    return InitErrorDetails(type=PydanticCustomError(_TYPE, _TYPE, {_TYPE: finding}), loc=loc, input=raw)


def found_in(error: Any) -> Finding | None:
    """Return the finding in one of pydantic's `errors()`, or None if the error is pydantic's own."""
    finding = error["ctx"][_TYPE] if error["type"] == _TYPE else None
    return finding if isinstance(finding, Finding) else None


def fault(error: Any, path: str, *, secret: bool = False) -> Fault:
    """Return one of pydantic's `errors()` as a fault. The fault never shows a secret value."""
    finding = found_in(error) or Finding(str(error["msg"]))
    if not finding.shows_value:
        return Fault(path, finding.reason, finding.hint)
    hides = secret or finding.is_secret
    value = "this value (a secret)" if hides else shown(finding.meant or error["input"])
    return Fault(path, f"{value} {finding.reason.removeprefix(VALUE)}", finding.hint)


def shown(raw: Any) -> str:
    """Return a value as people wrote it, shortened if it is long."""
    try:
        text = json.dumps(raw, ensure_ascii=False, default=lambda value: f"<{type(value).__name__}>")
    except RecursionError:
        return "an endlessly nested value"
    cut = _cut(text)
    return f'{cut}"' if cut != text and text.startswith('"') else cut


def dotted(loc: Iterable[int | str]) -> str:
    """Return a location as people write it: `.apps.api.uses[0]`."""
    # pydantic adds [key] if the fault is in the name of an entry and not in its value.
    parts = (part for part in loc if part != "[key]")
    return "".join(f"[{part}]" if isinstance(part, int) else f".{_cut(part)}" for part in parts)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def path(root: str, loc: Iterable[int | str]) -> str:
    """Return the full path of a setting: `portcullis:apps.api`, `HardenedHostArgs.apps.api`."""
    inside = dotted(loc)
    return root + (inside.removeprefix(".") if root.endswith(":") else inside)


def in_yaml(name: str) -> str:
    """Return the name of a field in YAML: `host_port` becomes `hostPort`, and `from_` becomes `from`."""
    first, *more = name.rstrip("_").split("_")
    return first + "".join(part.capitalize() for part in more)


def in_python(name: str) -> str:
    """Return the name of a field in Python, unchanged."""
    return name


@dataclass(frozen=True, slots=True)
class Source:
    """The source of raw values, which is a stack's file or a program.

    Attributes:
        root: the beginning of every path: `portcullis:`, or the name of a class.
        spell: turns a field's name in Python into its name in this source.
        secret: the top-level keys that contain an encrypted value.
    """

    root: str
    spell: Callable[[str], str] = in_yaml
    secret: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SettingPath:
    """The path of a setting, and the list that collects the faults of all its checks."""

    source: Source
    loc: tuple[int | str, ...] = ()
    found: list[InitErrorDetails] = field(default_factory=list)

    def spell(self, name: str) -> str:
        """Return how this source spells a field. `name` is the field's name in Python."""
        return self.source.spell(name)

    def field(self, name: str) -> SettingPath:
        """Return the path of a section's field. `name` is the field's name in Python."""
        return self._at(self.spell(name))

    def key(self, name: str) -> SettingPath:
        """Return the path of the entry `name` of a map."""
        return self._at(name)

    def item(self, index: int) -> SettingPath:
        """Return the path of one element of a list."""
        return self._at(index)

    @property
    def is_secret(self) -> bool:
        """Whether the path is below a key that contains an encrypted value."""
        return bool(self.loc) and self.loc[0] in self.source.secret

    def refuse(self, raw: Any, reason: str, hint: str = "") -> None:
        """Report a fault of one value. `reason` follows the value, as in `70000 is not a port`."""
        self.found.append(line(Finding(reason, hint), self.loc, raw))

    def report(self, reason: str, hint: str = "") -> None:
        """Report a fault that is not about one value."""
        self.found.append(line(Finding(reason, hint, shows_value=False), self.loc, None))

    def __str__(self) -> str:
        """Return the full path."""
        return path(self.source.root, self.loc)

    def _at(self, part: int | str) -> SettingPath:
        return SettingPath(self.source, (*self.loc, part), self.found)


def closest(word: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown word: the known word that was probably meant, or all known words."""
    names = sorted(known)
    folded = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word[:_LONGEST_VALUE].lower(), folded, n=1)
    if near:
        return f"did you mean {folded[near[0]]}?"
    return f"choose from {', '.join(names)}" if names else "none is declared"
