"""Figure 3: the pruning ratio and the mean dry/wet weight over the steps, together and by type, a line a song."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from mixgraph.paper.figures.panels import colour, panel_grid, song_names
from mixgraph.paper.readings import Reading, check_alike
from mixgraph.report.drawing.palette import node_letter, type_label, type_order

_SHADE = "#FFF3C4"
_MOST_NAMED = 12  # songs in the legend
Rows = Sequence[Mapping[str, Any]]


def course_figure(readings: Sequence[Reading]) -> Figure:
    """Draws two rows of panels: pruning ratios above, mean dry/wet weights below; one column for all types, one each.

    Args:
        readings: results of the same settings, one or several songs; each has its colour. The pruning phase is shaded.

    Raises:
        ValueError: no results, or results of other settings or versions.
    """
    check_alike(readings)
    logs = [reading.log() for reading in readings]
    types = type_order({key.split("/", 1)[1] for log in logs for row in log for key in row if key.startswith("ratio/")})
    figure, (ratios, weights) = panel_grid(2, 1 + len(types), 2.3, 2.2, share_x=True, share_y=True)
    for number, (reading, log, name) in enumerate(zip(readings, logs, song_names(readings), strict=True)):
        looks: dict[str, Any] = {"color": colour(number), "linewidth": 1.1}
        counts = reading.metrics.num_console_processors_by_type or {}
        steps = _values(log, "step")
        ratios[0].plot(steps, _ratios(log, reading.metrics.num_processors.console), label=name, **looks)
        weights[0].plot(steps, _mean_weights(log, counts), **looks)
        for column, node_type in enumerate(types, start=1):
            left = _values(log, f"ratio/{node_type}")
            ratios[column].plot(steps, [1 - share for share in left], **looks)
            means = _values(log, f"weight/{node_type}")  # of a type that is gone there is none
            weights[column].plot(
                steps, [m if share else math.nan for m, share in zip(means, left, strict=True)], **looks
            )
        start = next((steps[max(i - 1, 0)] for i, row in enumerate(log) if row["stage"] == "prune"), None)
        if number == 0 and start is not None:
            for axes in (*ratios, *weights):
                axes.axvspan(start, steps[-1], color=_SHADE, zorder=0, linewidth=0)
    for column, title in enumerate(["all", *(f"{node_letter(t)}: {type_label(t)}" for t in types)]):
        ratios[column].set_title(title, fontsize=9)
        weights[column].set_xlabel("training steps", fontsize=8)
    ratios[0].set_ylabel("pruning ratio", fontsize=9)
    weights[0].set_ylabel("mean dry/wet weight", fontsize=9)
    ratios[0].set_ylim(-0.03, 1.03)
    if len(readings) <= _MOST_NAMED:
        figure.legend(*ratios[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8)
    return figure


def _values(log: Rows, key: str) -> list[float]:
    """The values of a column; NaN, which is not drawn, where there is none."""
    return [math.nan if row.get(key) is None else float(row[key]) for row in log]


def _ratios(log: Rows, console: int) -> list[float]:
    """The share of all processors that is pruned, by the number that is left."""
    return [1 - count / console if console else math.nan for count in _values(log, "num_processors")]


def _mean_weights(log: Rows, counts: Mapping[str, int]) -> list[float]:
    """The mean weight of all processors that are left, from the means and the shares of each type."""
    left = [[count * share for share in _values(log, f"ratio/{kind}")] for kind, count in counts.items()]
    means = [_values(log, f"weight/{kind}") for kind in counts]
    totals = [sum(of_row) for of_row in zip(*left, strict=True)]
    sums = [
        sum(number * weight for number, weight in zip(numbers, weights, strict=True))
        for numbers, weights in zip(zip(*left, strict=True), zip(*means, strict=True), strict=True)
    ]
    return [weighted / total if total else math.nan for weighted, total in zip(sums, totals, strict=True)]
