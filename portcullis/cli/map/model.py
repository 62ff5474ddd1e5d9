"""The map as plain data: a graph of nodes in columns, and edges between the nodes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

COLUMNS = ("who", "port", "site", "container", "store")
"""The columns of the map, from left to right.

An edge leads from a node to a node further right, which the first node can reach.
"""

DECLARED, UNDECLARED = "declared", "undeclared"
ADDED, REMOVED, SAME = "added", "removed", ""


@dataclass(frozen=True, slots=True)
class Node:
    """One node of the map, such as a port, an app or a store.

    Attributes:
        key: identifies the node in every map of the stack, such as `port:web1:443/tcp`.
        column: one of `COLUMNS`.
        host: alias of its host; "" for people and networks.
        label: the node's name for people. The label is not trusted, so renderers escape it.
        detail: the second line of the node; "" for a node with one line.
        status: `DECLARED`, or `UNDECLARED` if the host has it and nobody declared it.
        change: in a map of a change, `ADDED`, `REMOVED` or `SAME`.
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
    """An edge of the map: one node can reach the other node.

    `label` says how the node is reached, such as a port, or is "".
    """

    source: str
    target: str
    label: str = ""
    status: str = DECLARED
    change: str = SAME


@dataclass(frozen=True, slots=True)
class Map:
    """A whole map: nodes under their keys, edges under the keys of their two nodes.

    Attributes:
        stack: the stack's name.
        when: the time of the state, as text for people, or another text about the source of the map; "" if
            unknown.
        others: undeclared items that are not nodes, one line each.
    """

    stack: str
    when: str = ""
    others: list[str] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: dict[tuple[str, str], Edge] = field(default_factory=dict)

    def add(self, node: Node) -> None:
        """Add a node. If the map already has a node with this key, the first node stays."""
        self.nodes.setdefault(node.key, node)

    def join(self, source: str, target: str, label: str = "", status: str = DECLARED) -> None:
        """Add an edge if the map has both its nodes."""
        if source in self.nodes and target in self.nodes:
            self.edges.setdefault((source, target), Edge(source, target, label, status))

    def column(self, name: str) -> list[Node]:
        """Return the nodes of a column, in the order in which they are drawn."""
        found = [node for node in self.nodes.values() if node.column == name]
        return sorted(found, key=lambda node: (node.host, _order(node)))

    def sorted_edges(self) -> list[Edge]:
        """Return the edges, in an order that does not depend on the order in the state."""
        return [self.edges[ends] for ends in sorted(self.edges)]

    @property
    def hosts(self) -> list[str]:
        """Return the aliases of the hosts on the map."""
        return sorted({node.host for node in self.nodes.values() if node.host})

    @property
    def title(self) -> str:
        """Return the map's title, in one line."""
        where = f"{', '.join(self.hosts)}, " if self.hosts else ""
        return f"Who reaches what: {where}stack {self.stack}" + (f", {self.when}" if self.when else "")

    @property
    def undeclared(self) -> list[Node]:
        """Return the map's undeclared nodes."""
        return [node for name in COLUMNS for node in self.column(name) if node.status == UNDECLARED]


def changed(before: Map, after: Map) -> Map:
    """Return one map that joins two maps, from before and after a change.

    Nodes and edges that only one of the two maps has are marked as added or removed.
    """
    result = Map(after.stack, after.when, after.others)
    for key in [*after.nodes, *(key for key in before.nodes if key not in after.nodes)]:
        node = after.nodes.get(key) or before.nodes[key]
        result.nodes[key] = replace(node, change=_change(key in before.nodes, key in after.nodes))
    for ends in [*after.edges, *(ends for ends in before.edges if ends not in after.edges)]:
        edge = after.edges.get(ends) or before.edges[ends]
        result.edges[ends] = replace(edge, change=_change(ends in before.edges, ends in after.edges))
    return result


def differences(found: Map) -> list[str]:
    """Return the nodes and edges that a change adds or removes, one line each, for people."""
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
    """Return the sort key of a node: ports by number, others by name, undeclared nodes last."""
    first = node.label.partition("/")[0].partition(":")[0]
    number = int(first) if re.fullmatch("[0-9]{1,5}", first) else 0
    return (number + (node.status == UNDECLARED) * 100_000, node.label)
