"""Figure 4: the dry/wet weight of each processor of the trained console, and the loss increase on its removal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixgraph.paper.figures.panels import MARKERS, song_panels
from mixgraph.paper.readings import Reading, check_alike
from mixgraph.report.drawing.draw import printable
from mixgraph.report.drawing.palette import QUIET, node_letter, type_colour, type_label, type_order

_LINEAR = 1e-3
"""Loss increases are drawn on a scale that is linear up to here, and logarithmic beyond, below zero too."""


def weights_figure(readings: Sequence[Reading], tolerance: float | None = None) -> Figure:
    """Draws a panel for each song: a point for each processor, by type, and the rank correlation of each type.

    Args:
        readings: results whose searches measured loss increases (`pruning.leave_one_out`).
        tolerance: where a line is drawn; the tolerance of each search by default.

    Raises:
        ValueError: no results, results of other settings or versions, or one without loss increases.
    """
    check_alike(readings)
    figure, panels = song_panels(len(readings), height=4.4)
    for reading, axes in zip(readings, panels, strict=True):
        rows = console_increases(reading)
        types = type_order({row["type"] for row in rows})
        for number, node_type in enumerate(types):
            points = [(row["weight"], row["loss_increase"]) for row in rows if row["type"] == node_type]
            label = f"{node_letter(node_type)}: {type_label(node_type)}{_correlation(points)}"
            looks: dict[str, Any] = {"color": type_colour(node_type), "marker": MARKERS[number % len(MARKERS)]}
            weights, increases = zip(*points, strict=True)
            axes.scatter(weights, increases, s=22, alpha=0.75, linewidths=0, label=label, **looks)
        _finish(axes, reading, reading.metrics.tolerance if tolerance is None else tolerance)
    return figure


def console_increases(reading: Reading) -> list[dict[str, Any]]:
    """Returns weight, loss increase and type of every processor of the trained console, from the search's trace.

    Raises:
        ValueError: the search did not measure them.
    """
    rows = [row for row in reading.trace() if row["kind"] == "leave_one_out" and row["when"] == "console"]
    if not rows:
        raise ValueError(
            f"result: {reading.folder}: the loss increases of the console's processors are needed, and its search did "
            "not measure them. HINT: --pruning.leave_one_out=true"
        )
    return [
        {
            "label": row["candidates"][0],
            "type": _type_of(row["candidates"][0], reading.metrics.num_console_processors_by_type or {}),
            "weight": row["weight"],
            "loss_increase": row["loss_increase"],
        }
        for row in rows
    ]


def _type_of(label: str, types: Mapping[str, int]) -> str:
    """The processor type of a label such as `track kick: reverb (2)`."""
    name = label.rpartition(": ")[2].partition(" (")[0]
    return name if name in types else next((kind for kind in types if label.endswith(kind)), name)


def _correlation(points: Sequence[tuple[float, float]]) -> str:
    """Spearman's rank correlation of weights and loss increases, as a text; none for fewer than three points."""
    if len(points) < 3:
        return ""
    weights, increases = (np.argsort(np.argsort(values)) for values in zip(*points, strict=True))
    return f" (rank correlation {np.corrcoef(weights, increases)[0, 1]:+.2f})"


def _finish(axes: Axes, reading: Reading, tolerance: float | None) -> None:
    axes.set_title(printable(reading.metrics.song.title or reading.song), fontsize=10, parse_math=False)
    axes.set_xlabel("dry/wet weight", fontsize=9)
    axes.set_ylabel("loss increase when pruned", fontsize=9)
    axes.set_xlim(-0.03, 1.03)
    axes.set_yscale("symlog", linthresh=_LINEAR)
    axes.axhline(0, color=QUIET, linewidth=0.7)
    if tolerance is not None:
        axes.axhline(tolerance, color=QUIET, linewidth=0.9, linestyle="--", label=f"tolerance {tolerance:g}")
    axes.legend(fontsize=6.5, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
