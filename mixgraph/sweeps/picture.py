"""The trials of a sweep as a picture: loss against pruning ratio of searches, the metric of networks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mixgraph.report.figures import save_figure
from mixgraph.sweeps.figures import LOSS, RATIO
from mixgraph.sweeps.folder import Trial
from mixgraph.sweeps.sweep_file import Metric
from mixgraph.sweeps.table import pareto_front, short_text, winner

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_FAINT = 0.45  # of trials that repeat the winner
_MOST_STYLES = 8  # values of a parameter that get a colour or a marker of their own


def trials_figure(trials: Sequence[Trial], metric: Metric) -> Figure:
    """Draws a point for each trial that is done.

    Colours and markers are the values of the first two parameters that have several values, but not many.

    Raises:
        ValueError: no trial is done.
    """
    done = [trial for trial in trials if trial.state == "done"]
    if not done:
        raise ValueError("trials: at least one that is done is needed, got none")
    figure = Figure(figsize=(7.5, 4.8), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    is_search = all(LOSS in trial.figures for trial in done)
    _draw_points(axes, done, is_search)
    best = winner(trials, metric)
    if is_search:
        front = pareto_front(done)
        ratios, losses = [t.figures[RATIO] for t in front], [t.figures[LOSS] for t in front]
        axes.plot(ratios, losses, "--", color="#6B7280", linewidth=1, zorder=1, label="Pareto front")
        axes.set(xlabel="pruning ratio", ylabel="match loss of the whole song")
    else:
        axes.set(xlabel="trial", ylabel=metric.name)
    if best is not None:
        place = _place(best, is_search)
        axes.plot(
            *place, "o", markersize=15, fillstyle="none", color="#111827", label=f"winner: trial {best.job.number}"
        )
    axes.margins(0.1)
    axes.grid(color="#E3E5E9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if any(trial.job.again for trial in done):
        axes.plot([], [], "o", color="#6B7280", alpha=_FAINT, label="winner with other seeds")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure


def save_picture(path: Path, trials: Sequence[Trial], metric: Metric) -> None:
    """Writes the picture of the trials; a sweep of which none is done has none."""
    if any(trial.state == "done" for trial in trials):
        save_figure(trials_figure(trials, metric), path, dpi=120)
    else:
        path.unlink(missing_ok=True)


def _place(trial: Trial, is_search: bool) -> tuple[float, float]:
    return (trial.figures[RATIO], trial.figures[LOSS]) if is_search else (float(trial.job.number), trial.value)


def _draw_points(axes: Axes, trials: Sequence[Trial], is_search: bool) -> None:
    """Draws the points; the legend names each value of the parameters that are shown."""
    styles = [_styles(trials, name, kinds) for name, kinds in zip(_shown(trials), (_COLOURS, _MARKERS), strict=False)]
    places: dict[tuple[float, float], list[Trial]] = {}
    for trial in trials:
        place = _place(trial, is_search)
        places.setdefault((round(place[0], 4), round(place[1], 4)), []).append(trial)
    for (x, y), together in places.items():  # a larger point behind each that would be hidden
        for behind, trial in enumerate(reversed(together)):
            colour, marker = _style(trial, styles)
            size, alpha = 7 + 4 * (len(together) - 1 - behind), _FAINT if trial.job.again else 0.9
            axes.plot(x, y, marker, color=colour, markersize=size, alpha=alpha, zorder=2)
        names = ", ".join(dict.fromkeys(str(trial.job.number) for trial in together))
        axes.annotate(names, (x, y), (7, 5), textcoords="offset points", fontsize=7)
    for name, by_value in styles:
        shown = {repr(trial.job.values[name]): short_text(trial.job.values[name]) for trial in trials}
        for text, style in by_value.items():
            is_colour = style.startswith("#")
            label = f"{name.rpartition('.')[2]}: {shown[text]}"
            axes.plot([], [], "o" if is_colour else style, color=style if is_colour else "#6B7280", label=label)


def _style(trial: Trial, styles: Sequence[tuple[str, dict[str, str]]]) -> tuple[str, str]:
    """Returns the colour and the marker of a trial."""
    colour, marker = _COLOURS[0], _MARKERS[0]
    for name, by_value in styles:
        style = by_value[repr(trial.job.values[name])]
        colour, marker = (style, marker) if style.startswith("#") else (colour, style)
    return colour, marker


def _shown(trials: Sequence[Trial]) -> list[str]:
    """Returns the first two parameters that have several values, but not many."""
    counts = {name: len({repr(t.job.values[name]) for t in trials}) for name in trials[0].job.values}
    return [name for name, count in counts.items() if 1 < count <= _MOST_STYLES][:2]


def _styles(trials: Sequence[Trial], name: str, kinds: Sequence[str]) -> tuple[str, dict[str, str]]:
    values: list[Any] = list(dict.fromkeys(repr(trial.job.values[name]) for trial in trials))
    return name, dict(zip(values, cycle(kinds), strict=False))
