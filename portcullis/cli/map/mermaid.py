"""The map as a Mermaid flowchart, which GitHub and GitLab draw in a comment. The functions do no I/O.

Names are not trusted, because anybody who runs something on the host may have chosen them. So labels are
quoted, and the number of a character replaces each special character of Mermaid or HTML.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portcullis.cli.map.model import ADDED, COLUMNS, REMOVED, UNDECLARED, Node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portcullis.cli.map.model import Edge, Map

_SHAPES = {"who": ("([", "])"), "port": ("{{", "}}"), "store": ("[(", ")]")}
_CLASSES = """\
    classDef undeclared fill:#fbe3e0,stroke:#c0271b,stroke-width:3px,color:#7d140b
    classDef added fill:#e3f1e3,stroke:#2a7d2a,stroke-width:3px,color:#111
    classDef removed fill:#fff,stroke:#888,stroke-dasharray:5 4,color:#666"""
_LINES = {UNDECLARED: "stroke:#c0271b", ADDED: "stroke:#2a7d2a", REMOVED: "stroke:#888,stroke-dasharray:5 4"}
_LONGEST = 60


def mermaid(found: Map) -> str:
    """Return the text of the flowchart."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Map) -> Iterator[str]:
    yield "flowchart LR"
    ids: dict[str, str] = {}
    for column in COLUMNS:
        for number, node in enumerate(found.column(column), 1):
            ids[node.key] = f"{column}{number}"
            left, right = _SHAPES.get(column, ("[", "]"))
            yield f'    {ids[node.key]}{left}"{label(node, several=_several(found))}"{right}{_class(node)}'
    styles = []
    for index, edge in enumerate(found.sorted_edges()):
        text = f'|"{escape(edge.label)}"|' if edge.label else ""
        yield f"    {ids[edge.source]} -->{text} {ids[edge.target]}"
        if style := _LINES.get(_state(edge)):
            styles.append(f"    linkStyle {index} {style}")
    yield from styles
    if any(_state(node) for node in found.nodes.values()):
        yield _CLASSES


def label(node: Node, *, several: bool) -> str:
    """Return the escaped label of a node. On a map with several hosts, the label names the node's host."""
    parts = (node.label, node.detail, node.host if several else "")
    return "<br/>".join(escape(part) for part in parts if part)


def escape(text: str) -> str:
    """Return text with each special character as its number. A very long text is cut."""
    cut = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
    return re.sub(r"[^\w ./:,*-]", lambda letter: f"#{ord(letter[0])};", cut, flags=re.ASCII)


def _several(found: Map) -> bool:
    return len({node.host for node in found.nodes.values() if node.host}) > 1


def _class(node: Node) -> str:
    state = _state(node)
    return f":::{state}" if state else ""


def _state(thing: Node | Edge) -> str:
    """Return the mark of a node or edge: undeclared, added, removed, or "" for no mark."""
    return thing.change if thing.status != UNDECLARED or thing.change == REMOVED else UNDECLARED
