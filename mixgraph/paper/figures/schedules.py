"""Figure 8, the schedules of a graph, and Figure 9, their steps and speed against the size of the graph."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixgraph.graph.io import load_graph
from mixgraph.paper.figures.panels import MARKERS, colour, panel_grid
from mixgraph.paper.published import MEAN_STEPS, RENDERS_A_SECOND
from mixgraph.paper.readings import Reading
from mixgraph.render import schedule
from mixgraph.render.schedule import Method
from mixgraph.report.drawing.draw import Drawing, draw_together
from mixgraph.report.drawing.palette import INK
from mixgraph.system.files import parse_json, read_text

NAMES: dict[str, str] = {
    "reference": "node by node, in time",
    "one_by_one": "one by one",
    "greedy": "greedy",
    "fixed": "chains' order",
    "beam": "beam search",
    "auto": "auto (optimal in the paper)",
}
_DRAWN: tuple[Method, ...] = ("auto", "greedy", "one_by_one")
_PART = "schedule"


@dataclass(frozen=True)
class MeasuredGraph:
    """A console of which some processors are left, on one device.

    Attributes:
        device: `CPU`, or the name of a GPU.
        tracks: its number of tracks.
        share: the share of the console's processors that is left.
        processors: its number of processors.
        steps: schedule -> number of steps; that of `one_by_one` is the number of nodes.
        seconds: schedule -> seconds of rendering a clip; `reference` is the slow renderer.
    """

    device: str
    tracks: int
    share: float
    processors: int
    steps: dict[str, float]
    seconds: dict[str, float]


def read_schedules(path: Path) -> list[MeasuredGraph]:
    """Reads the part `schedule` of a benchmark.json that `python -m tools.benchmark` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or has no such part.
    """
    graphs: dict[str, MeasuredGraph] = {}
    try:
        report = parse_json(read_text(path))
        for row in report["rows"]:
            if row["part"] != _PART:
                continue
            case: dict[str, Any] = row["case"]
            empty = MeasuredGraph(case["device"], case["tracks"], case["share"], case["processors"], {}, {})
            graph = graphs.setdefault(json.dumps(case), empty)
            kind, _, method = row["measure"].partition(" ")
            medians = [float(value) for value in row["median"].values()]
            if medians:  # none where it could not be measured
                (graph.steps if kind == "steps" else graph.seconds)[method] = medians[0]
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise ValueError(f"benchmark: {path}: is damaged ({error!r}). HINT: measure it again") from error
    if not graphs:
        raise ValueError(f"benchmark: {path}: has no schedules. HINT: python -m tools.benchmark --parts {_PART}")
    return list(graphs.values())


def order_figure(reading: Reading) -> Figure:
    """Draws a found graph, and the step in which each of its nodes is processed by each schedule (Figure 8)."""
    graph = load_graph(reading.folder / "graph.json").graph
    title = reading.metrics.song.title or reading.song
    drawings = [Drawing(graph, title=f"{title}: {len(graph)} nodes")]
    for method in _DRAWN:
        steps = schedule(graph, method)
        numbers = {node: str(number) for number, (_, nodes) in enumerate(steps) for node in nodes}
        drawings.append(Drawing(graph, title=f"{NAMES[method]}: {len(steps)} steps", letters=numbers))
    return draw_together(drawings, columns=2)


def speed_figure(graphs: Sequence[MeasuredGraph]) -> Figure:
    """Draws steps, and renderings a second, against the nodes of the graph, a row for each device (Figure 9).

    Crosses are the paper's means over the graphs that it found.
    """
    devices = list(dict.fromkeys(graph.device for graph in graphs))
    figure, rows = panel_grid(len(devices), 2, 5.2, 3.9)
    for device, (steps, speed) in zip(devices, rows, strict=True):
        of_device = sorted((g for g in graphs if g.device == device), key=lambda g: g.steps["one_by_one"])
        for number, method in enumerate(NAMES):
            looks: dict[str, Any] = {
                "color": colour(number),
                "marker": MARKERS[number],
                "markersize": 4.5,
                "linewidth": 1.0,
            }
            counts = [(g.steps["one_by_one"], g.steps[method]) for g in of_device if method in g.steps]
            times = [(g.steps["one_by_one"], 1 / g.seconds[method]) for g in of_device if method in g.seconds]
            for axes, points in ((steps, counts), (speed, times)):
                if points:
                    axes.plot(*zip(*points, strict=True), label=NAMES[method], **looks)
        _paper(steps, MEAN_STEPS)
        _paper(speed, RENDERS_A_SECOND)
        for axes, what in ((steps, "steps"), (speed, f"renderings a second, {device}")):
            axes.set(xscale="log", yscale="log", xlabel="nodes of the graph")
            axes.set_ylabel(what, parse_math=False)
            axes.legend(fontsize=7)
    return figure


def _paper(axes: Axes, means: Mapping[str, float]) -> None:
    nodes = MEAN_STEPS["one_by_one"]
    for method, value in means.items():
        axes.plot(nodes, value, "X", color=colour(list(NAMES).index(method)), markeredgecolor=INK, markersize=8)
    axes.plot([], [], "X", color="white", markeredgecolor=INK, markersize=7, label="the paper's mean (RTX 3090)")
