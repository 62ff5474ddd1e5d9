"""The graph of who reaches what. Plain data: nodes in columns, and edges between them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

COLUMNS = ("who", "port", "site", "container", "store")
"""From left to right; what is further right is reached by what is further left."""

DECLARED, UNDECLARED = "declared", "undeclared"
ADDED, REMOVED, SAME = "added", "removed", ""


@dataclass(frozen=True, slots=True)
class Node:
    """One thing.

    Attributes:
        key: what it is known by, in every map of the stack: `port:web1:443/tcp`.
        column: one of `COLUMNS`.
        host: alias of the host it is on; "" for people and networks.
        label: its name, for people. It may be anything: renderers escape it.
        detail: a second line, or "".
        status: `DECLARED`, or `UNDECLARED`: there, and nobody declared it.
        change: `ADDED`, `REMOVED` or `SAME`, in a map of a change.
    """

    key: str
    column: str
    host: str
    label: str
    detail: str = ""
    status: str = DECLARED
    change: str = SAME


@dataclass(frozen=True, slots=True)
class Edge:
    """That one node reaches another; `label` says how, or is ""."""

    source: str
    target: str
    label: str = ""
    status: str = DECLARED
    change: str = SAME


@dataclass(frozen=True, slots=True)
class Map:
    """A whole map: nodes by key, edges by their two ends.

    Attributes:
        stack: the stack's name.
        when: the time of the state, for people, or what it is a map of; "" where nothing tells.
        strangers: what nobody declared and is no node, a line each.
    """

    stack: str
    when: str = ""
    strangers: list[str] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[tuple[str, str], Edge] = field(default_factory=dict)

    def add(self, node: Node) -> None:
        """Add a node; the first of a key stays."""
        self.nodes.setdefault(node.key, node)

    def join(self, source: str, target: str, label: str = "", status: str = DECLARED) -> None:
        """Add an edge, where both its ends are there."""
        if source in self.nodes and target in self.nodes:
            self.edges.setdefault((source, target), Edge(source, target, label, status))

    def column(self, name: str) -> list[Node]:
        """Return the nodes of a column, in the order that they are drawn in."""
        found = [node for node in self.nodes.values() if node.column == name]
        return sorted(found, key=lambda node: (node.host, _order(node)))

    def sorted_edges(self) -> list[Edge]:
        """Return the edges, in an order that does not depend on the state's."""
        return [self.edges[ends] for ends in sorted(self.edges)]

    @property
    def hosts(self) -> list[str]:
        """Return the aliases of the hosts on it."""
        return sorted({node.host for node in self.nodes.values() if node.host})

    @property
    def title(self) -> str:
        """Return what it is a map of, in one line."""
        where = f"{', '.join(self.hosts)}, " if self.hosts else ""
        return f"Who reaches what: {where}stack {self.stack}" + (f", {self.when}" if self.when else "")

    @property
    def undeclared(self) -> list[Node]:
        """Return what nobody declared."""
        return [node for name in COLUMNS for node in self.column(name) if node.status == UNDECLARED]


def changed(before: Map, after: Map) -> Map:
    """Return one map of both: what only one of them has is marked as added or removed."""
    result = Map(after.stack, after.when, after.strangers)
    for key in [*after.nodes, *(key for key in before.nodes if key not in after.nodes)]:
        node = after.nodes.get(key) or before.nodes[key]
        result.nodes[key] = replace(node, change=_change(key in before.nodes, key in after.nodes))
    for ends in [*after.edges, *(ends for ends in before.edges if ends not in after.edges)]:
        edge = after.edges.get(ends) or before.edges[ends]
        result.edges[ends] = replace(edge, change=_change(ends in before.edges, ends in after.edges))
    return result


def differences(found: Map) -> list[str]:
    """Return what a change adds and removes, a line each, for people."""
    sign = {ADDED: "+", REMOVED: "-"}
    lines = [
        f"{sign[node.change]} {node.column} {node.label}" + (f" on {node.host}" if node.host else "")
        for name in COLUMNS
        for node in found.column(name)
        if node.change
    ]
    return lines + [
        f"{sign[edge.change]} {found.nodes[edge.source].label} reaches {found.nodes[edge.target].label}"
        for edge in found.sorted_edges()
        if edge.change
    ]


def _change(was: bool, *rest: bool) -> str:  # noqa: FBT001 - two facts of one thing
    (is_,) = rest
    return SAME if was and is_ else ADDED if is_ else REMOVED


def _order(node: Node) -> tuple[int, str]:
    """Ports by number, all else by name; what was not declared comes last."""
    first = node.label.partition("/")[0].partition(":")[0]
    number = int(first) if first.isdigit() else 0
    return (number + (node.status == UNDECLARED) * 100_000, node.label)
