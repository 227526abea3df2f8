"""Plots the cost against numbers of tracks and seconds, beside straight lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mixgraph.report.figures import save_figure
from tools.bench.speed.table import Row

AXES = (("tracks", "step"), ("tracks", "evaluation"), ("clip seconds", "step"), ("song seconds", "evaluation"))
TITLES = {"step": "a training step", "evaluation": "a whole-song evaluation"}
_COLOURS = {"ours": "#0072b2", "peer": "#d55e00"}
_LABELS = {"ours": "mixgraph", "peer": "the peer"}
Curve = tuple[list[float], list[float]]


def curves(rows: Sequence[Row], axis: str, measure: str) -> dict[str, Curve]:
    """Runner -> (values of the axis, medians), of a sweep; only where something was measured."""
    curves_of_runners: dict[str, Curve] = {}
    for row in rows:
        if row.part == "sweep" and row.case["axis"] == axis and row.measure == measure:
            for name in row.samples:
                median = row.median(name)
                if median is not None:
                    values, medians = curves_of_runners.setdefault(name, ([], []))
                    values.append(float(row.case["value"]))
                    medians.append(median)
    return curves_of_runners


def growth(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, float]]]:
    """For every sweep and runner, the exponent p of cost ~ value^p; at most 1 is linear or better.

    `all` is between the ends of the sweep, `last` between its last two values, where fixed costs count least.
    """
    exponents_of: dict[str, dict[str, dict[str, float]]] = {}
    for axis, measure in AXES:
        for name, (values, medians) in curves(rows, axis, measure).items():
            if len(values) > 1:
                exponents = {which: _exponent(values, medians, i) for which, i in (("all", 0), ("last", -2))}
                exponents_of.setdefault(f"{measure} against {axis}", {})[name] = exponents
    return exponents_of


def _exponent(values: list[float], medians: list[float], first: int) -> float:
    return round(math.log(medians[-1] / medians[first]) / math.log(values[-1] / values[first]), 3)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Writes the picture: dotted lines have slope 1, through each side's first point."""
    figure = Figure(figsize=(10, 8), layout="constrained")
    FigureCanvasAgg(figure)
    found_growth = growth(rows)
    for axes, (axis, measure) in zip(figure.subplots(2, 2).flat, AXES, strict=True):
        curves_of_runners = curves(rows, axis, measure)
        for name, (values, medians) in curves_of_runners.items():
            side = name.split()[0]
            label = _LABELS[side]
            if name in found_growth.get(f"{measure} against {axis}", {}):
                label += f": slope {found_growth[f'{measure} against {axis}'][name]['all']:.2f}"
            axes.loglog(values, medians, "o-", color=_COLOURS[side], label=label)
            axes.loglog(values, [medians[0] * v / values[0] for v in values], ":", color=_COLOURS[side], alpha=0.7)
        axes.set(xlabel=axis, ylabel="seconds", title=f"{TITLES[measure]} against {axis}")
        axes.grid(True, which="both", alpha=0.2)
        if curves_of_runners:
            axes.plot([], [], ":", color="grey", label="slope 1 (linear)")
            axes.legend(fontsize=9)
            ticks = sorted({value for values, _ in curves_of_runners.values() for value in values})
            axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
            axes.xaxis.minorticks_off()
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
    save_figure(figure, path, dpi=120)
