"""Cost against tracks and seconds, beside a straight line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tools.benchmarks.table import Row

AXES = (("tracks", "step"), ("tracks", "evaluation"), ("clip seconds", "step"), ("song seconds", "evaluation"))
_COLOURS = {"ours": "#0072b2", "peer": "#d55e00"}
Curve = tuple[list[float], list[float]]


def curves(rows: Sequence[Row], axis: str, measure: str) -> dict[str, Curve]:
    """Runner -> (values of the axis, medians), of a sweep; only where something was measured."""
    found: dict[str, Curve] = {}
    for row in rows:
        if row.part == "sweep" and row.case["axis"] == axis and row.measure == measure:
            for name in row.samples:
                median = row.median(name)
                if median is not None:
                    values, medians = found.setdefault(name, ([], []))
                    values.append(float(row.case["value"]))
                    medians.append(median)
    return found


def growth(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """For every sweep and runner, the exponent p of cost ~ value^p between its ends; at most 1 is linear or better."""
    found: dict[str, dict[str, float]] = {}
    for axis, measure in AXES:
        for name, (values, medians) in curves(rows, axis, measure).items():
            if len(values) > 1 and values[-1] > values[0]:
                exponent = math.log(medians[-1] / medians[0]) / math.log(values[-1] / values[0])
                found.setdefault(f"{measure} against {axis}", {})[name] = round(exponent, 3)
    return found


def draw(rows: Sequence[Row], path: Path) -> None:
    """Writes the picture."""
    figure = Figure(figsize=(10, 8), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (axis, measure) in zip(figure.subplots(2, 2).flat, AXES, strict=True):
        found = curves(rows, axis, measure)
        for name, (values, medians) in found.items():
            colour = _COLOURS[name.split()[0]]
            axes.loglog(values, medians, "o-", color=colour, label=name)
            line = [medians[0] * value / values[0] for value in values]
            axes.loglog(values, line, ":", color=colour, alpha=0.6, label=f"linear, from {name}'s first")
        axes.set(xlabel=axis, ylabel="seconds", title=f"{measure} against {axis}")
        axes.grid(True, which="both", alpha=0.2)
        if found:
            axes.legend(fontsize=8)
            ticks = sorted({value for values, _ in found.values() for value in values})
            axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
            axes.minorticks_off()
    figure.savefig(path, dpi=120)
