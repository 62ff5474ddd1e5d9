"""The map as an SVG picture, with columns from people to stores. The functions do no I/O."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from portcullis.cli.map.model import ADDED, COLUMNS, REMOVED, UNDECLARED, Node

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portcullis.cli.map.model import Edge, Map

_TITLES = {"who": "who", "port": "open ports", "site": "sites", "container": "containers", "store": "stores"}
_FILLS = {"who": "#fff", "port": "#fff4dc", "site": "#e3f1e3", "container": "#e2ecf8", "store": "#f1e8f7"}
_WIDTH, _HEIGHT, _GAP = 164, 50, 18
_STEP = 224  # pixels from one column to the next
_LEFT, _TOP = 20, 84
_LETTERS = {"label": 21, "detail": 25}  # the most characters that fit into a box
_LINES = {
    UNDECLARED: ("#c0271b", 2.4, ""),
    ADDED: ("#2a7d2a", 2.4, ""),
    REMOVED: ("#888", 1.4, "5 4"),
    "": ("#333", 1.4, ""),
}
_TINTS = {UNDECLARED: "#fbe3e0", ADDED: "#d3ecd3", REMOVED: "#fff"}

Place = tuple[float, float]


def svg(found: Map) -> str:
    """Return the picture, for a file of its own or for a page."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Map) -> Iterator[str]:
    columns = {name: found.column(name) for name in COLUMNS}
    tallest = max((len(nodes) for nodes in columns.values()), default=1)
    height = _TOP + max(tallest, 1) * (_HEIGHT + _GAP) + 44
    width = 2 * _LEFT + (len(COLUMNS) - 1) * _STEP + _WIDTH
    # Each column is centred beside the tallest one.
    above = {name: (tallest - len(nodes)) / 2 for name, nodes in columns.items()}
    places = {
        node.key: (_LEFT + number * _STEP, _TOP + (above[name] + row) * (_HEIGHT + _GAP))
        for number, name in enumerate(COLUMNS)
        for row, node in enumerate(columns[name])
    }
    several = len({node.host for node in found.nodes.values() if node.host}) > 1
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="system-ui, \'DejaVu Sans\', sans-serif" font-size="14" role="img">'
    )
    yield f"  <title>{_text(found.title)}</title>"
    yield "  <defs>"
    for name, (colour, _, _) in _LINES.items():
        yield (
            f'    <marker id="arrow{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            f'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="{colour}"/></marker>'
        )
    yield "  </defs>"
    yield f'  <rect width="{width}" height="{height}" fill="#fff"/>'
    yield (
        f'  <text x="{_LEFT}" y="32" font-size="18" font-weight="bold" fill="#111">'
        f"{_text(found.title)}</text>"
    )
    for number, name in enumerate(COLUMNS):
        x = _LEFT + number * _STEP + _WIDTH / 2
        yield f'  <text x="{x:g}" y="64" text-anchor="middle" fill="#555">{_TITLES[name]}</text>'
    for edge in found.sorted_edges():
        yield _edge(edge, places[edge.source], places[edge.target])
    for name in COLUMNS:
        for node in columns[name]:
            yield from _node(node, places[node.key], several=several)
    yield f'  <text x="{_LEFT}" y="{height - 16}" font-size="12.5" fill="#555">{_legend(found)}</text>'
    yield "</svg>"


def _node(node: Node, place: Place, *, several: bool) -> Iterator[str]:
    state = _state(node)
    colour, stroke, dashes = _LINES[state]
    x, y = place
    fill = _TINTS.get(state, _FILLS[node.column])
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    detail = " · ".join(part for part in (node.detail, node.host if several else "") if part)
    yield "  <g>"
    yield f"    <title>{_text(' '.join(filter(None, (node.label, node.detail, node.host))))}</title>"
    yield (
        f'    <rect x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="{fill}" '
        f'stroke="{colour}" stroke-width="{stroke:g}"{dashed}/>'
    )
    middle = x + _WIDTH / 2
    struck = ' text-decoration="line-through"' if state == REMOVED else ""
    first = y + (21 if detail else 30)
    yield (
        f'    <text x="{middle:g}" y="{first:g}" text-anchor="middle" font-weight="bold" fill="#111"{struck}>'
        f"{_cut(node.label, 'label')}</text>"
    )
    if detail:
        yield (
            f'    <text x="{middle:g}" y="{y + 39:g}" text-anchor="middle" font-size="12" fill="#555">'
            f"{_cut(detail, 'detail')}</text>"
        )
    yield "  </g>"


def _edge(edge: Edge, start: Place, end: Place) -> str:
    state = _state(edge)
    colour, stroke, dashes = _LINES[state]
    x1, y1 = start[0] + _WIDTH, start[1] + _HEIGHT / 2
    x2, y2 = end[0] - 2, end[1] + _HEIGHT / 2
    bend = (x2 - x1) / 2
    over1, over2 = y1, y2
    if x2 - x1 > _STEP:
        # An edge that skips columns is a tunnel. Such an edge is drawn over the columns, with a thinner line.
        stroke, dashes = (1.0, "2 3") if not state else (stroke, dashes)
        bend, over1 = (
            _STEP / 2,
            (_TOP - 6 - (y1 + y2) / 8) / 0.75,
        )  # the middle of the curve is then above the boxes
        over2 = over1
    bent1, bent2 = x1 + bend, x2 - bend
    if start[0] == end[0]:
        # An app uses another one, in the same column: a bow on the right of both.
        x2 = x1 + 2
        bent1 = bent2 = x1 + (_STEP - _WIDTH) / 1.5
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    way = f"M{x1:g} {y1:g}C{bent1:g} {over1:g} {bent2:g} {over2:g} {x2:g} {y2:g}"
    return (
        f'  <path d="{way}" fill="none" stroke="{colour}" stroke-width="{stroke:g}"{dashed} '
        f'marker-end="url(#arrow{state})"/>'
    )


def _legend(found: Map) -> str:
    states = {_state(node) for node in found.nodes.values()} | {_state(edge) for edge in found.edges.values()}
    parts = ["everything not shown is declared closed", "dotted: through an SSH tunnel"]
    parts += [
        text
        for state, text in (
            (UNDECLARED, "red: nobody declared it"),
            (ADDED, "green: added by this change"),
            (REMOVED, "dashed and struck through: removed by it"),
        )
        if state in states
    ]
    return "; ".join(parts)


def _state(thing: Node | Edge) -> str:
    return thing.change if thing.status != UNDECLARED or thing.change == REMOVED else UNDECLARED


def _cut(text: str, where: str) -> str:
    most = _LETTERS[where]
    return _text(text if len(text) <= most else text[: most - 1] + "…")


def _text(text: str) -> str:
    """Return text that is safe in XML and on a terminal."""
    return escape("".join(letter if letter.isprintable() else "·" for letter in text))
