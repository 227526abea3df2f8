"""Draws the dry/wet weight of each processor of a trained console against the loss increase on its removal.

Paper Figure 4, of equation 9. A search measures both before it prunes (`pruning.leave_one_out`); they are in its trace.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mixgraph.report.drawing.draw import printable
from mixgraph.report.drawing.palette import QUIET, node_letter, type_colour, type_label, type_order

_LINEAR = 1e-3
"""Loss increases are drawn on a scale that is linear up to here, and logarithmic beyond, below zero too."""
_MARKERS = "osD^vPX*"
_SIZE = 5.2, 4.4  # inches


@dataclass(frozen=True)
class LossIncrease:
    """The weight of one processor of a trained console, and the rise of the match loss when it is removed."""

    label: str
    node_type: str
    weight: float
    increase: float


def console_increases(trace: Sequence[Mapping[str, Any]], types: Collection[str]) -> list[LossIncrease]:
    """Takes the processors of the trained console from the trace of a search; none where they were not measured.

    Args:
        trace: rows of trace.jsonl.
        types: the processor types of the console.
    """
    rows = [row for row in trace if row["kind"] == "leave_one_out" and row["when"] == "console"]
    return [
        LossIncrease(row["candidates"][0], _type_of(row["candidates"][0], types), row["weight"], row["loss_increase"])
        for row in rows
    ]


def _type_of(label: str, types: Collection[str]) -> str:
    """The processor type of a label such as `track kick: reverb (2)`."""
    name = label.rpartition(": ")[2].partition(" (")[0]
    return name if name in types else next((kind for kind in types if label.endswith(kind)), name)


def increases_figure(increases: Sequence[LossIncrease], title: str, tolerance: float | None) -> Figure:
    """Draws the processors of one search.

    Args:
        increases: the processors of the console, at least one.
        title: the title of the song.
        tolerance: the tolerance of pruning, which is a line; None for none.

    Raises:
        ValueError: there are no processors.
    """
    figure = Figure(figsize=_SIZE, dpi=100, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    draw_increases(figure.subplots(), increases, title, tolerance)
    return figure


def draw_increases(axes: Axes, increases: Sequence[LossIncrease], title: str, tolerance: float | None) -> None:
    """Draws one panel: a point for each processor, by type, and the rank correlation of each type's values."""
    if not increases:
        raise ValueError("increases: at least one processor is needed, got none")
    types = type_order({processor.node_type for processor in increases})
    axes.set_yscale("symlog", linthresh=_LINEAR)
    axes.margins(y=0.06)  # of the scale: no point is cut at the edge
    for number, node_type in enumerate(types):
        points = [(one.weight, one.increase) for one in increases if one.node_type == node_type]
        weights, rises = zip(*points, strict=True)
        rank = rank_correlation(weights, rises)
        label = f"{node_letter(node_type)}: {type_label(node_type)}{'' if rank is None else f' ({rank:+.2f})'}"
        marker = _MARKERS[number % len(_MARKERS)]
        axes.scatter(
            weights, rises, s=22, alpha=0.75, linewidths=0, label=label, color=type_colour(node_type), marker=marker
        )
    axes.set_title(printable(title), fontsize=10, parse_math=False)
    axes.set_xlabel("dry/wet weight", fontsize=9)
    axes.set_ylabel("loss increase when pruned", fontsize=9)
    axes.set_xlim(-0.03, 1.03)
    axes.axhline(0, color=QUIET, linewidth=0.7)
    if tolerance is not None:
        axes.axhline(tolerance, color=QUIET, linewidth=0.9, linestyle="--", label=f"tolerance {tolerance:g}")
    looks: dict[str, Any] = {"fontsize": 6.5, "title_fontsize": 6.5, "frameon": False, "ncols": 2}
    heading = "type (rank correlation of weight and loss increase)"
    axes.legend(title=heading, loc="upper center", bbox_to_anchor=(0.5, -0.16), **looks)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Returns Spearman's rank correlation, equal values having the mean of their ranks.

    Returns None for fewer than three values, and where all of one sequence are equal.
    """
    ranks = np.stack([_ranks(np.asarray(values)) for values in (first, second)])
    if len(first) < 3 or np.ptp(ranks, axis=1).min() == 0:
        return None
    return float(np.corrcoef(ranks)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """The ranks of values from 1; equal ones share the mean of theirs."""
    below = (values[:, None] > values[None, :]).sum(1)
    equal = (values[:, None] == values[None, :]).sum(1)
    return np.asarray(below + (equal + 1) / 2)
