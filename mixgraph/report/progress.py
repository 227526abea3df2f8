"""Draws the course of a search: remaining processors, dry/wet weights and loss over training steps (paper figure 3)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mixgraph.report.drawing.palette import INK, node_letter, type_colour, type_label, type_order

_STAGES = ("console", "prune")
_RATIO, _WEIGHT, _LOSS = "ratio/", "weight/", "match/full"
_SHADE = "#FFF3C4"
_STYLES = ("-", "--", "-.", ":")
_MARKERS = "osD^vPX"
_MOST_MARKERS = 60  # more points are drawn as lines only


def progress_figure(records: Sequence[Mapping[str, Any]]) -> Figure:
    """Draws three panels over steps: remaining share of each type, its mean dry/wet weight, and clips' match losses.

    Args:
        records: logged rows in order of steps, with `"step"`, `"stage"` (`"console"` or `"prune"`), and where known
            `"match/full"`, `"ratio/{type}"` and `"weight/{type}"` (numbers or None). Other keys are not shown. The
            pruning phase is shaded. The weights of a type end where none of it is left.

    Raises:
        ValueError: no records, one without a step or with another stage, steps that go back, a value that is not a
            number, or an unregistered processor type.
    """
    _check(records)
    keys = {key for record in records for key in record}
    types = type_order({key.split("/", 1)[1] for key in keys if key.startswith((_RATIO, _WEIGHT))})
    figure = Figure(figsize=(9, 8), dpi=100, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(3, 1, sharex=True, height_ratios=(1, 1, 0.8))
    for axes, prefix, label in (
        (panels[0], _RATIO, "processors left (share)"),
        (panels[1], _WEIGHT, "mean dry/wet weight"),
    ):
        for i, node_type in enumerate(types):
            shown = records if prefix == _RATIO else [row for row in records if row.get(_RATIO + node_type) != 0]
            steps, values = _series(shown, prefix + node_type)
            name = f"{node_letter(node_type)}: {type_label(node_type)}"
            marker = _MARKERS[i % len(_MARKERS)] if len(records) <= _MOST_MARKERS else ""
            style = _STYLES[i % len(_STYLES)]
            axes.plot(steps, values, style, marker=marker, markersize=4, color=type_colour(node_type), label=name)
        axes.set_ylim(-0.03, 1.03)
        axes.set_ylabel(label)
    marker = "o" if len(records) <= _MOST_MARKERS else ""
    panels[2].plot(*_series(records, _LOSS), marker=marker, markersize=4, color=INK)
    panels[2].set_ylabel("match loss of a clip")
    panels[2].set_xlabel("training steps")
    for axes in panels:
        _finish(axes, records)
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside right upper", fontsize=9, frameon=False)
    return figure


def _check(records: Sequence[Mapping[str, Any]]) -> None:
    if not records:
        raise ValueError("records: at least one is needed, got none")
    last = -math.inf
    for i, record in enumerate(records):
        for key, value in record.items():
            is_shown = key in ("step", _LOSS) or key.startswith((_RATIO, _WEIGHT))
            if is_shown and value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise ValueError(f"records[{i}]: {key}: a number or None is needed, got {value!r}")
        step, stage = record.get("step"), record.get("stage")
        if step is None or step < last:
            raise ValueError(f"records[{i}]: step: a number that does not fall is needed, got {step} after {last:g}")
        if stage not in _STAGES:
            raise ValueError(f"records[{i}]: stage: {' or '.join(_STAGES)} is needed, got {stage!r}")
        last = step


def _series(records: Sequence[Mapping[str, Any]], key: str) -> tuple[list[float], list[float]]:
    """Returns the steps of the records that have a value, and the values."""
    points = [(record["step"], record[key]) for record in records if record.get(key) is not None]
    return [step for step, _ in points], [value for _, value in points]


def _finish(axes: Axes, records: Sequence[Mapping[str, Any]]) -> None:
    axes.grid(color="#E3E5E9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    first = next((i for i, record in enumerate(records) if record["stage"] == "prune"), None)
    if first is not None:
        start = records[max(first - 1, 0)]["step"]  # pruning starts where the console's training ends
        axes.axvspan(start, records[-1]["step"], color=_SHADE, zorder=0, linewidth=0, label="pruning phase")
