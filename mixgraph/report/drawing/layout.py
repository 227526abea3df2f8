"""Places the nodes of a drawing: columns follow the order of processing, rows the tracks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from mixgraph.graph.types import AUXILIARY, INPUT, MIX, MixGraph
from mixgraph.processors import processor_type
from mixgraph.report.drawing.palette import type_order

_GROUP_GAP = 0.5  # rows between subgroups
_SONG_GAP = 1.5


@dataclass(frozen=True)
class Band:
    """Adjacent rows of the tracks of one subgroup: `first` to `last`, both rows included."""

    name: str
    first: float
    last: float


@dataclass(frozen=True)
class Layout:
    """The grid positions of all nodes of a drawing.

    Attributes:
        columns: the column of each node; every edge leads to a higher column.
        rows: the row of each node; nodes of one column are at least a row apart.
        bands: the subgroups, from the top; empty if no track has one.
        headings: by column number, the processor type of a column that holds one type only.
        num_columns, num_rows: the size of the grid.
    """

    columns: tuple[int, ...]
    rows: tuple[float, ...]
    bands: tuple[Band, ...]
    headings: dict[int, str]
    num_columns: int
    num_rows: float

    @cached_property
    def rows_by_column(self) -> tuple[tuple[float, ...], ...]:
        """The rows of each column's nodes, from the top."""
        rows: list[list[float]] = [[] for _ in range(self.num_columns)]
        for column, row in zip(self.columns, self.rows, strict=True):
            rows[column].append(row)
        return tuple(tuple(sorted(column_rows)) for column_rows in rows)

    def free_row(self, row: float, columns: range) -> float:
        """The nearest row to `row`, in half steps, along which a line passes no node of `columns`."""
        for step in range(2 * int(self.num_rows) + 4):
            for candidate in (row - step / 2, row + step / 2):
                if candidate >= -0.5 and not any(self._is_taken(candidate, column) for column in columns):
                    return candidate
        return self.num_rows

    def _is_taken(self, row: float, column: int) -> bool:
        after = bisect_left(self.rows_by_column[column], row - 0.45)
        return after < len(self.rows_by_column[column]) and self.rows_by_column[column][after] < row + 0.45


def is_send(node_type: str) -> bool:
    """Whether nodes of a type stand beside their chain's line, not on it."""
    return node_type not in AUXILIARY and processor_type(node_type).cuts


def make_layout(graph: MixGraph) -> Layout:
    """Places the nodes of any graph.

    A stage is what lies between two sums: it starts with a column of inputs or mixes. Within a stage each processor
    type has one column where the chains agree on an order, so that gaps show what was pruned; otherwise nodes stand
    by their longest path.
    """
    stages = _stages(graph)
    columns, headings = _columns(graph, stages)
    lanes = _lanes(graph)
    rows, bands = _track_rows(graph, lanes)
    _place_downstream(graph, columns, rows, lanes)
    placed = tuple(rows[i] for i in range(len(graph)))
    return Layout(columns, placed, tuple(bands), headings, max(columns) + 1, max(placed) + 1)


def _stages(graph: MixGraph) -> list[int]:
    """Returns the largest number of mix nodes on a path to each node, itself included."""
    stages = [0] * len(graph)
    for node in graph.topological_order:
        before = max((stages[p] for p in graph.feeders[node]), default=0)
        stages[node] = before + (graph.types[node] == MIX)
    return stages


def _columns(graph: MixGraph, stages: Sequence[int]) -> tuple[tuple[int, ...], dict[int, str]]:
    columns = [0] * len(graph)
    headings: dict[int, str] = {}
    start = 0
    for stage in range(max(stages) + 1):
        members = [i for i in graph.processors if stages[i] == stage]
        offsets = _type_columns(graph, members)
        if offsets is None:
            ranks = _longest_paths(graph, set(members))
        else:
            ranks = {i: offsets[graph.types[i]] for i in members}
            headings.update({start + offset: node_type for node_type, offset in offsets.items()})
        for node in range(len(graph)):
            if stages[node] == stage:
                columns[node] = start + ranks.get(node, 0)
        start += max(ranks.values(), default=0) + 1
    for node in graph.outputs:
        columns[node] = start
    return tuple(columns), headings


def _type_columns(graph: MixGraph, members: Sequence[int]) -> dict[str, int] | None:
    """Returns a column for every type, from 1, in an order that all chains follow; None if there is no such order."""
    inside = set(members)
    before: dict[str, set[str]] = {graph.types[i]: set() for i in members}
    for source, destination in graph.edges:
        if source in inside and destination in inside:
            before[graph.types[destination]].add(graph.types[source])
    offsets: dict[str, int] = {}
    while len(offsets) < len(before):
        ready = [t for t in type_order(before) if t not in offsets and before[t] <= offsets.keys()]
        if not ready:
            return None
        offsets[ready[0]] = len(offsets) + 1
    return offsets


def _longest_paths(graph: MixGraph, inside: set[int]) -> dict[int, int]:
    ranks: dict[int, int] = {}
    for node in graph.topological_order:
        if node in inside:
            ranks[node] = 1 + max((ranks.get(p, 0) for p in graph.feeders[node]), default=0)
    return ranks


def _lanes(graph: MixGraph) -> list[int]:
    """Returns by how many rows each node is below its chain: sends, and nodes behind a splitter's later outlets."""
    lanes = [0] * len(graph)
    used: dict[int, int] = {}  # the lanes of each chain
    outlets = dict(zip(graph.edges, graph.ports, strict=True))
    for node in graph.topological_order:
        head, before = graph.chain_head(node), graph.predecessors[node]
        if head == node:
            continue
        further = len(before) == 1 and outlets[before[0], node][0] > 0
        if further or is_send(graph.types[node]):
            used[head] = lanes[node] = used.get(head, 0) + 1
        else:
            lanes[node] = min(lanes[p] for p in before)
    return lanes


def _track_rows(graph: MixGraph, lanes: Sequence[int]) -> tuple[dict[int, float], list[Band]]:
    """Returns the rows of tracks, one or more for each: songs in order, subgroups by appearance, tracks by node."""
    needed = dict.fromkeys(graph.inputs, 1)
    for node in (node for node, lane in enumerate(lanes) if lane and graph.chain_head(node) in needed):
        head = graph.chain_head(node)
        needed[head] = max(needed[head], 1 + lanes[node])
    groups: dict[tuple[int, str], list[int]] = {}
    for node, name in zip(graph.inputs, graph.subgroups, strict=True):
        groups.setdefault((graph.songs[node], name), []).append(node)
    order = list(groups)
    order.sort(key=lambda key: key[0])  # stable: keeps the order of appearance within a song
    rows: dict[int, float] = {}
    bands: list[Band] = []
    row = 0.0
    for i, (song, name) in enumerate(order):
        if i > 0:
            row += _GROUP_GAP if song == order[i - 1][0] else _SONG_GAP
        first = row
        for node in groups[song, name]:
            rows[node] = row
            row += needed[node]
        if name:
            bands.append(Band(name, first, row - 1))
    return rows, bands


def _place_downstream(graph: MixGraph, columns: Sequence[int], rows: dict[int, float], lanes: Sequence[int]) -> None:
    """Serial nodes keep their row, or that of their lane; sums stand at the middle of what they sum.

    Neighbours are then moved apart.
    """
    for column in range(1, max(columns) + 1):
        wanted_rows: list[tuple[float, int]] = []
        for node in range(len(graph)):
            if columns[node] == column and graph.types[node] != INPUT:
                apart = graph.chain_head(node) == node
                feeding = [rows[p] if apart else rows[p] - lanes[p] + lanes[node] for p in graph.predecessors[node]]
                wanted_rows.append(((min(feeding) + max(feeding)) / 2 if apart else min(feeding), node))
        free = 0.0
        for row, node in sorted(wanted_rows):
            rows[node] = max(row, free)
            free = rows[node] + 1
