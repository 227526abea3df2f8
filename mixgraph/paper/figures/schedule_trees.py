"""Figure 8e, the tree of all schedules of a graph, which grows with every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from mixgraph.graph import MixGraph
from mixgraph.graph.io import load_graph
from mixgraph.paper.figures.panels import MARKERS, colour, panel_grid
from mixgraph.paper.readings import Reading
from mixgraph.render import schedule
from mixgraph.render.schedule_tree import Branch, ScheduleTree, schedule_tree
from mixgraph.report.drawing.draw import printable
from mixgraph.report.drawing.palette import INK, QUIET, node_letter, text_colour, type_colour

_MOST_BRANCHES = 4000
_LETTERED = 14  # branches of a step that have room for their letters


def tree_figure(reading: Reading) -> Figure:
    """Draws the schedules of a found graph as a tree, with the shortest one, and counts them by their steps.

    The tree is drawn up to the last step that fits; the counts are of all steps where the states are not too many.
    """
    graph = load_graph(reading.folder / "graph.json").graph
    tree, types = schedule_tree(graph, _MOST_BRANCHES), [node_type for node_type, _ in schedule(graph)]
    figure, ((drawn, counted),) = panel_grid(1, 2, 6.4, 5.2)
    title = reading.metrics.song.title or reading.song
    drawn.set_title(printable(f"{title}: {len(graph)} nodes, {_whole(tree)}"), fontsize=10, parse_math=False)
    _draw_tree(drawn, tree, types)
    _draw_counts(counted, tree, len(types), graph)
    return figure


def _whole(tree: ScheduleTree) -> str:
    if len(tree.levels) == len(tree.sequences) and tree.is_whole:
        return "all schedules"
    return f"all schedules up to step {len(tree.levels) - 1}"


def _heights(levels: Sequence[Sequence[Branch]]) -> list[np.ndarray]:
    """Places branches in 0..1: ends of the tree at equal distances, in order, and each other one amid its own."""
    lowest, highest = [np.zeros(len(level)) for level in levels], [np.zeros(len(level)) for level in levels]
    children: list[list[list[int]]] = [[[] for _ in level] for level in levels]
    for number, level in enumerate(levels[1:]):
        for place, branch in enumerate(level):
            if branch.parent is not None:
                children[number][branch.parent].append(place)
    leaf, stack = 0, [(0, 0, False)]
    while stack:  # depth first, so that no branch crosses another
        step, place, is_left = stack.pop()
        below = children[step][place]
        if not below:
            lowest[step][place] = highest[step][place] = leaf
            leaf += 1
        elif is_left:
            lowest[step][place], highest[step][place] = lowest[step + 1][below[0]], highest[step + 1][below[-1]]
        else:
            stack += [(step, place, True), *((step + 1, child, False) for child in reversed(below))]
    return [(low + high) / 2 / max(1, leaf - 1) for low, high in zip(lowest, highest, strict=True)]


def _draw_tree(axes: Axes, tree: ScheduleTree, types: Sequence[str]) -> None:
    levels, heights = tree.levels, _heights(tree.levels)
    for step in range(1, len(levels)):
        lines = [
            [(step - 1, heights[step - 1][branch.parent or 0]), (step, height)]
            for branch, height in zip(levels[step], heights[step], strict=True)
        ]
        colours = [_line_colour(branch.node_type) for branch in levels[step]]
        axes.add_collection(LineCollection(lines, colors=colours, linewidths=max(0.25, 1.4 - 0.12 * step)))
    place, path = 0, [(0, float(heights[0][0]))]
    for step, node_type in enumerate(types[1:], start=1):
        if step < len(levels):
            place = next(
                number
                for number, branch in enumerate(levels[step])
                if branch.parent == place and branch.node_type == node_type
            )
            path.append((step, float(heights[step][place])))
        else:
            path.append((step, path[-1][1]))  # beyond what is drawn of the tree
    axes.plot(*zip(*path, strict=True), color=INK, linewidth=1.6, zorder=3)
    for (step, height), node_type in zip(path, types, strict=True):
        _dot(axes, step, height, node_type, 4)
    for step, level in enumerate(levels):
        if len(level) <= _LETTERED:
            for branch, height in zip(level, heights[step], strict=True):
                _dot(axes, step, float(height), branch.node_type, 3.5)
    axes.set(xlabel=f"step; black: the schedule of {len(types)} steps that is taken", yticks=[], xlim=(-0.6, None))
    axes.set_ylim(-0.03, 1.03)
    axes.grid(False)
    axes.spines["left"].set_visible(False)


def _line_colour(node_type: str) -> str:
    return QUIET if type_colour(node_type) == "#FFFFFF" else type_colour(node_type)


def _dot(axes: Axes, step: float, height: float, node_type: str, order: float) -> None:
    fill = type_colour(node_type)
    axes.plot([step], [height], "o", color=fill, markeredgecolor=INK, markersize=10, markeredgewidth=0.6, zorder=order)
    letter: dict[str, Any] = {
        "ha": "center",
        "va": "center_baseline",
        "fontsize": 7,
        "fontweight": "bold",
        "color": text_colour(fill),
    }
    axes.text(step, height, node_letter(node_type), zorder=order + 0.2, clip_on=True, **letter)


def _draw_counts(axes: Axes, tree: ScheduleTree, taken: int, graph: MixGraph) -> None:
    curves = {
        "sequences of types": tree.sequences,
        "sets of nodes that they processed": tree.states,
        "schedules that end here": tree.ends,
    }
    for number, (label, values) in enumerate(curves.items()):
        points = [(step, value) for step, value in enumerate(values) if value]
        if points:
            looks: dict[str, Any] = {
                "color": colour(number),
                "marker": MARKERS[number],
                "markersize": 4.5,
                "linewidth": 1.0,
            }
            axes.plot(*zip(*points, strict=True), label=label, **looks)
    axes.axvline(len(graph) - 1, color=QUIET, linewidth=0.9, linestyle=":", label="one by one")
    shortest = "not counted to the end" if tree.shortest is None else f"shortest: {tree.shortest} steps, taken: {taken}"
    axes.set_title(f"{shortest}; {sum(tree.ends):.3g} schedules" if tree.is_whole else shortest, fontsize=10)
    axes.set(yscale="log", xlabel="step")
    axes.legend(fontsize=7)
