"""A drawing of a mixing graph as boxes, curves and labels, in pixels; `draw` turns them into SVG and PNG."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mixgraph.graph.edit import audible_part
from mixgraph.graph.types import AUXILIARY, INPUT, MIX, OUTPUT, MixGraph
from mixgraph.processors import processor_type
from mixgraph.report.drawing.layout import Layout, is_send, make_layout
from mixgraph.report.drawing.palette import (
    INK,
    PAPER,
    QUIET,
    node_letter,
    text_colour,
    type_colour,
    type_label,
    type_order,
)

_CELL_WIDTH, _ROW_HEIGHT, _BOX = 36.0, 42.0, 22.0
_FAN_WIDTH = 34.0  # extra room before a column of sums, for the curves that meet there
_OUTLET_WIDTH = 18.0  # behind a column of splitters, for the names of their outlets
_MARGIN, _GAP = 14.0, 8.0
_LONGEST_NAME = 28  # characters shown; the SVG has the whole name as a tooltip
_BAND, _TRACK, _EDGE = "#F1F2F5", "#D5D8DE", "#7C8189"

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle with rounded corners; a circle where the radius is half its width."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    stroke: str = ""
    radius: float = 0.0


@dataclass(frozen=True)
class Label:
    """A line of text; `x` is its start, middle or end, `y` its baseline."""

    x: float
    y: float
    text: str
    size: float
    colour: str = INK
    anchor: str = "start"
    bold: bool = False


@dataclass(frozen=True)
class Curve:
    """A line from `start` through segments: one point is a straight line, three are a cubic Bezier curve."""

    start: Point
    segments: tuple[tuple[Point, ...], ...]
    dashed: bool = False


@dataclass(frozen=True)
class NodeGroup:
    """The shapes of one node, and its description."""

    node: int
    type: str
    title: str
    shapes: tuple[Box | Label, ...]


@dataclass(frozen=True)
class Scene:
    """All shapes of a drawing, from back to front: background, curves, marks on them, nodes, text around."""

    width: float
    height: float
    background: tuple[Box, ...]
    curves: tuple[Curve, ...]
    marks: tuple[Box, ...]
    nodes: tuple[NodeGroup, ...]
    labels: tuple[Box | Label, ...]


@dataclass(frozen=True)
class _Cable:
    """An edge with its port, and the row along which it runs."""

    source: int
    destination: int
    outlet: int
    inlet: int
    row: float


@dataclass(frozen=True)
class _Grid:
    """Pixels of a layout: `x` of each column's middle, half the width of each node and of each column's widest."""

    layout: Layout
    x: tuple[float, ...]
    top: float
    half: tuple[float, ...]
    widest: tuple[float, ...]

    def y(self, row: float) -> float:
        return self.top + (row + 0.5) * _ROW_HEIGHT


def make_scene(
    graph: MixGraph,
    weights: Sequence[float] | None = None,
    title: str = "",
    settings: Mapping[int, str] | None = None,
    silent: Collection[int] = (),
    letters: Mapping[int, str] | None = None,
) -> Scene:
    """Draws tracks from the left to the output at the right.

    Args:
        graph: any graph.
        weights: dry/wet weight of each processor, in 0..1: drawn as a bar and a number below it.
        title: the title above the drawing.
        settings: node -> the text of its settings, for its description.
        silent: rows of silent sources: they are listed by name, and nodes that only they reach are not drawn.
        letters: node -> what stands in it in place of its type's letter.
    """
    weight_of = dict(zip(graph.processors, weights, strict=True)) if weights is not None else {}
    full_graph = graph
    graph, numbers = audible_part(full_graph, silent)
    layout = make_layout(graph)
    half = tuple(_half_width(graph, node) for node in range(len(graph)))
    name_width = max((_text_width(_short(graph.names[i]), 11) for i in graph.inputs), default=0.0)
    x = _column_positions(graph, layout, half, left=_MARGIN + name_width + _GAP)
    output_width = max(_text_width(_short(graph.names[i]), 11) for i in graph.outputs) + _GAP + _BOX / 2
    width = max(x[-1] + output_width + _MARGIN, _text_width(title, 17) + 2 * _MARGIN, 420.0)
    widest = tuple(max((half[i] for i in members), default=0.0) for members in _by_column(layout))
    cables = [
        _Cable(*edge, *port, _run(graph, layout, *edge, *port))
        for edge, port in zip(graph.edges, graph.ports, strict=True)
    ]
    notes = ["hollow dot: no such processor here"] if any(_gaps(layout, cable) for cable in cables) else []
    if any(cable.inlet for cable in cables):
        notes.append("dashed: the key that a sidechain listens to")
    if weights is not None:
        notes.append("bar and number: dry/wet weight (1: processed sound only)")
    if len(graph) < len(full_graph):
        names = ", ".join(full_graph.names[full_graph.inputs[row]] for row in sorted(silent))
        processors = len(full_graph.processors) - len(graph.processors)
        with_them = f", with {processors} processors that only they reach" if processors else ""
        notes.append(f"not drawn because they are silent: {names}{with_them}")
    header, top = _header(graph, "; ".join(notes), title, width)
    lowest = max([layout.num_rows - 1, *(cable.row for cable in cables)])
    grid = _Grid(layout, x, top + (16 if min(cable.row for cable in cables) >= 0 else 26), half, widest)
    headings = [
        Label(x[c], top + 12, node_letter(t), 11, _on_paper(t), "middle", bold=True) for c, t in layout.headings.items()
    ]
    return Scene(
        width=width,
        height=grid.y(lowest + 0.5) + _MARGIN,
        background=tuple(_bands(graph, grid)),
        curves=tuple(_curve(grid, cable) for cable in cables),
        marks=tuple(mark for cable in cables for mark in _marks(grid, cable)),
        nodes=tuple(
            _node(
                graph,
                grid,
                i,
                number,
                weight_of.get(number),
                (settings or {}).get(number, ""),
                (letters or {}).get(number, ""),
            )
            for i, number in enumerate(numbers)
        ),
        labels=(*header, *headings, *_outlets(graph, grid, cables)),
    )


def _by_column(layout: Layout) -> list[list[int]]:
    members: list[list[int]] = [[] for _ in range(layout.num_columns)]
    for node, column in enumerate(layout.columns):
        members[column].append(node)
    return members


def _text_width(text: str, size: float) -> float:
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)  # wide characters, such as Chinese ones and emoji
    return 0.6 * size * (len(text) + wide)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _on_paper(node_type: str) -> str:
    colour = type_colour(node_type)
    return INK if colour == PAPER else colour


def _half_width(graph: MixGraph, node: int) -> float:
    if graph.types[node] == MIX and graph.names[node]:
        return (_BOX + _text_width(_short(graph.names[node]), 10) + 6) / 2
    return _BOX / 2


def _column_positions(graph: MixGraph, layout: Layout, half: Sequence[float], left: float) -> tuple[float, ...]:
    widths = [_CELL_WIDTH] * layout.num_columns
    fans = [0.0] * layout.num_columns
    for node, column in enumerate(layout.columns):
        widths[column] = max(widths[column], 2 * half[node] + _CELL_WIDTH - _BOX)
        if len(graph.predecessors[node]) > 1:
            fans[column] = _FAN_WIDTH
        if _outlet_names(graph, node):
            fans[column + 1] = max(fans[column + 1], _OUTLET_WIDTH)
    positions = []
    for width, fan in zip(widths, fans, strict=True):
        positions.append(left + fan + width / 2)
        left += fan + width
    return tuple(positions)


def _header(graph: MixGraph, notes: str, title: str, width: float) -> tuple[list[Box | Label], float]:
    """Returns title, legend and notes, wrapped to the width, and the vertical position below them."""
    y = _MARGIN
    shapes: list[Box | Label] = []
    if title:
        y += 16
        shapes.append(Label(_MARGIN, y, title, 15, bold=True))
        y += 12
    counts = graph.count()
    entries = [(t, f"{type_label(t)} × {counts[t]}") for t in type_order(counts)]
    entries += [(INPUT, "track"), (MIX, "subgroup mix"), (OUTPUT, "mix")]
    x = _MARGIN
    for node_type, text in entries:
        needed = 21 + _text_width(text, 10) + 8
        if x + needed > width - _MARGIN and x > _MARGIN:
            x, y = _MARGIN, y + 22
        shapes += _symbol(node_type, x + 8, y + 8, 16, 16)
        shapes.append(Label(x + 21, y + 12, text, 10))
        x += needed
    y += 20
    for line in textwrap.wrap(notes, int((width - 2 * _MARGIN) / _text_width(" ", 9))):
        y += 12
        shapes.append(Label(_MARGIN, y, line, 9, QUIET))
    return shapes, y + 10


def _symbol(
    node_type: str, x: float, y: float, width: float, size: float, text: str = "", letter: str = ""
) -> list[Box | Label]:
    """Draws a node type's sign around (x, y): round for inputs and outputs, else square; `text` beside the letter."""
    fill = type_colour(node_type)
    auxiliary = node_type in AUXILIARY
    radius = size / 2 if node_type in (INPUT, OUTPUT) else size / 5
    box = Box(x - width / 2, y - size / 2, width, size, fill, INK if auxiliary else fill, radius)
    letter_x = x - width / 2 + size / 2
    ink = text_colour(fill)
    shown = letter or node_letter(node_type)
    longest = 1 if text else 2  # of letters of the usual size; three digits fit, too, and two beside a name
    height = size * (0.58 if len(shown) <= longest else 0.42)
    sign = Label(letter_x, y + height * 0.2 / 0.58, shown, height, ink, "middle", bold=True)
    if not text:
        return [box, sign]
    return [box, sign, Label(letter_x + size / 2 - 1, y + 3.5, text, 10)]


def _node(
    graph: MixGraph, grid: _Grid, node: int, number: int, weight: float | None, settings: str, letter: str
) -> NodeGroup:
    """Draws a node of the graph without silent parts; `number` is its number in the whole graph."""
    node_type, name = graph.types[node], graph.names[node]
    x, y = grid.x[grid.layout.columns[node]], grid.y(grid.layout.rows[node])
    shapes = _symbol(node_type, x, y, 2 * grid.half[node], _BOX, _short(name) if node_type == MIX else "", letter)
    title = graph.label(node)
    if node_type == INPUT:
        shapes.append(Label(x - _BOX / 2 - _GAP, y + 4, _short(name), 11, anchor="end"))
    elif node_type == OUTPUT:
        shapes.append(Label(x + _BOX / 2 + _GAP, y + 4, _short(name), 11))
    if weight is not None:
        title += f", dry/wet weight {weight:.3f}"
        left, bottom = x - _BOX / 2, y + _BOX / 2
        shapes.append(Box(left, bottom + 2, _BOX, 3, _TRACK))
        shapes.append(Box(left, bottom + 2, _BOX * weight, 3, INK))
        shapes.append(Label(x, bottom + 13, f"{weight:.2f}", 8, INK, "middle"))
    return NodeGroup(number, node_type, f"{title}; {settings}" if settings else title, tuple(shapes))


def _bands(graph: MixGraph, grid: _Grid) -> list[Box]:
    """Draws a grey band behind the tracks of each subgroup, as far as their last processor column."""
    columns = grid.layout.columns
    last = min((columns[i] for i in graph.nodes_of(MIX)), default=max(columns)) - 1
    right = grid.x[max(last, 0)] + _CELL_WIDTH / 2
    return [
        Box(
            _MARGIN / 2,
            grid.y(band.first) - _BOX / 2 - 7,
            right - _MARGIN / 2,
            (band.last - band.first) * _ROW_HEIGHT + _BOX + 24,
            _BAND,
            radius=5,
        )
        for band in grid.layout.bands
    ]


def _outlets(graph: MixGraph, grid: _Grid, cables: Sequence[_Cable]) -> list[Label]:
    """Writes the names of splitters' outlets on the lines that leave them."""
    labels = []
    for cable in cables:
        if names := _outlet_names(graph, cable.source):
            x = grid.x[grid.layout.columns[cable.source] + 1] - _BOX / 2 - 3
            labels.append(Label(x, grid.y(cable.row) - 3, names[cable.outlet], 8, QUIET, "end"))
    return labels


def _outlet_names(graph: MixGraph, node: int) -> tuple[str, ...]:
    return () if graph.types[node] in AUXILIARY else processor_type(graph.types[node]).outlet_names


def _run(graph: MixGraph, layout: Layout, source: int, destination: int, outlet: int, inlet: int) -> float:
    """Returns the row along which an edge runs: its source's into a sum, else its destination's or a free one nearby.

    What leaves a further outlet for a sum runs below.
    """
    serial = len(graph.predecessors[destination]) == 1 and inlet == 0
    row = layout.rows[destination] if serial else layout.rows[source] + outlet
    return layout.free_row(row, range(layout.columns[source] + 1, layout.columns[destination]))


def _curve(grid: _Grid, cable: _Cable) -> Curve:
    layout, source, destination, row = grid.layout, cable.source, cable.destination, cable.row
    column = layout.columns[destination]
    start = (grid.x[layout.columns[source]] + grid.half[source], grid.y(layout.rows[source]))
    end = (grid.x[column] - grid.half[destination], grid.y(layout.rows[destination]))
    # The last bend is within the room left before the column, after all that its other nodes may reach.
    turn = max(start[0], min(grid.x[column] - grid.widest[column] - _FAN_WIDTH, end[0]))
    segments: list[tuple[Point, ...]] = []
    here, y = start, grid.y(row)
    if y != here[1]:
        there = (min(here[0] + _CELL_WIDTH - _BOX + 4, end[0]), y)
        segments.append(_bend(here, there))
        here = there
    if y != end[1]:
        turn = max(turn, here[0])
        segments += [((turn, y),), _bend((turn, y), end)]
    else:
        segments.append((end,))
    return Curve(start, tuple(segments), dashed=cable.inlet > 0)


def _bend(a: Point, b: Point) -> tuple[Point, ...]:
    middle = (a[0] + b[0]) / 2
    return ((middle, a[1]), (middle, b[1]), b)


def _gaps(layout: Layout, cable: _Cable) -> list[int]:
    """Returns the columns of processor types that an edge passes because its chain has no such processor."""
    if cable.inlet or cable.row != layout.rows[cable.source]:
        return []
    passed = range(layout.columns[cable.source] + 1, layout.columns[cable.destination])
    return [c for c in passed if c in layout.headings and not is_send(layout.headings[c])]


def _marks(grid: _Grid, cable: _Cable) -> list[Box]:
    y = grid.y(cable.row)
    return [Box(grid.x[column] - 2.5, y - 2.5, 5, 5, PAPER, _EDGE, 2.5) for column in _gaps(grid.layout, cable)]
