"""Writes the Markdown reference of the components from their declarations and docstrings.

Each folder of components/, such as components/nginx, has one page.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import TYPE_CHECKING

import pulumi

from portcullis.config.describe import anchor, inner_sections, table
from portcullis.config.section import Section

if TYPE_CHECKING:
    from collections.abc import Mapping

_MARK, _END = "<!-- components -->\n", "<!-- end -->\n"
# Every component has these parameters, with the same meaning.
_COMMON = ("self", "name", "opts")


def with_reference(page: str, public: Mapping[str, object]) -> str:
    """Return a Markdown page with the reference rewritten under its mark, `<!-- components -->`.

    Args:
        page: the page.
        public: the public names of the components' package, with their objects.

    Raises:
        ValueError: the page has no mark, or the docstring of a component does not describe an argument.
    """
    before, found, after = page.partition(_MARK)
    if not found or _END not in after:
        raise ValueError("the page has no mark for the components")
    return before + _MARK + _reference(public) + _END + after.partition(_END)[2]


def example(component: type) -> str:
    """Return the program under `Example:` in a component's docstring; "" if there is none."""
    fenced = re.fullmatch(r"```python\n(.*)```\s*", _part(_doc(component), "Example"), re.DOTALL)
    return fenced[1] if fenced else ""


def components(public: Mapping[str, object]) -> dict[str, type]:
    """Return the components among the public names."""
    return {
        name: kind
        for name, kind in sorted(public.items())
        if isinstance(kind, type) and issubclass(kind, pulumi.ComponentResource)
    }


def _reference(public: Mapping[str, object]) -> str:
    kinds = components(public)
    lines = ["| component | description |", "|---|---|"]
    lines += [f"| [`{name}`]({anchor(name)}) | {_summary(kind)} |" for name, kind in kinds.items()]
    texts = ["\n".join(lines) + "\n"]
    shown: set[type[Section]] = set()
    for name, kind in kinds.items():
        texts.append(f"\n## {name}\n\n" + _component(kind, public, shown))
    inside: list[type[Section]] = []
    for each in sorted(shown, key=lambda kind: kind.__name__):
        inside += [one for one in inner_sections(each) if one not in shown and one not in inside]
    if inside:
        texts.append("\n## Arguments inside other arguments\n")
    texts += [_arguments(kind) for kind in sorted(inside, key=lambda kind: kind.__name__)]
    return "".join(texts)


def _component(kind: type, public: Mapping[str, object], shown: set[type[Section]]) -> str:
    told = _doc(kind)
    texts = [re.split(r"^(?:Example|Attributes|Raises):$", told, maxsplit=1, flags=re.MULTILINE)[0].strip()]
    if program := example(kind):
        texts.append(f"```python\n{program}```")
    wiring = []
    for name, parameter in _parameters(kind).items():
        section = public.get(str(parameter.annotation))
        if isinstance(section, type) and issubclass(section, Section):
            shown.add(section)
            texts.append(_arguments(section).strip())
        else:
            wiring.append((name, parameter))
    if wiring:
        texts.append(f"Other arguments of `{kind.__name__}`:\n\n" + _wiring(kind, wiring))
    if given := _entries(told, "Attributes"):
        lines = [f"| `{name}` | {_cell(text)} |" for name, text in given.items()]
        head = ["| attribute | description |", "|---|---|"]
        texts.append(f"Attributes of `{kind.__name__}`:\n\n" + "\n".join(head + lines))
    return "\n\n".join(texts) + "\n"


def _arguments(section: type[Section]) -> str:
    return f"\n### {section.__name__}\n\n{table(section, python=True)}"


def _wiring(kind: type, wiring: list[tuple[str, inspect.Parameter]]) -> str:
    described = _entries(inspect.getdoc(kind.__init__) or "", "Args")  # type: ignore[misc]
    if missing := [name for name, _ in wiring if name not in described]:
        raise ValueError(
            f"{kind.__name__}: the docstring does not describe the arguments {', '.join(missing)}"
        )
    lines = ["| argument | type | description | default |", "|---|---|---|---|"]
    for name, parameter in wiring:
        default = "required" if parameter.default is parameter.empty else _default(parameter.default)
        lines.append(
            f"| `{name}` | `{_cell(str(parameter.annotation))}` | {_cell(described[name])} | {default} |"
        )
    return "\n".join(lines)


def _default(value: object) -> str:
    return f"`{value}`" if isinstance(value, str | int) and value != "" else ""


def _parameters(kind: type) -> dict[str, inspect.Parameter]:
    found = inspect.signature(kind.__init__).parameters  # type: ignore[misc]
    return {name: parameter for name, parameter in found.items() if name not in _COMMON}


def _summary(kind: type) -> str:
    return _cell(_doc(kind).partition("\n\n")[0])


def _doc(kind: type) -> str:
    return inspect.cleandoc(kind.__doc__ or "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _part(doc: str, title: str) -> str:
    """Return the text under a title of a docstring in Google's style."""
    found = re.search(rf"^{title}:\n+((?:(?: {{4}}.*)?\n)+)", doc + "\n", re.MULTILINE)
    return textwrap.dedent(found[1]) if found else ""


def _entries(doc: str, title: str) -> dict[str, str]:
    found = re.findall(r"^(\w+): (.*(?:\n +.*)*)", _part(doc, title), re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}
