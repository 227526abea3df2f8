"""The course of searches: losses and processors against steps, a panel a song."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import median

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tools.measuring.runs import REFERENCE, Found
from tools.measuring.table import Runs

_COLOURS = ("#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442")
_REFERENCE_COLOUR = "#d55e00"


def draw(runs: Runs, path: Path) -> None:
    """Writes the picture; every seed is a thin line, their median a thick one, processors are dotted."""
    songs = list(dict.fromkeys(song for song, _ in runs))
    names = list(dict.fromkeys(name for _, name in runs))
    others = [name for name in names if name != REFERENCE]
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(others)} | {REFERENCE: _REFERENCE_COLOUR}
    columns = min(3, len(songs))
    lines = math.ceil(len(songs) / columns)
    figure = Figure(figsize=(5 * columns, 3.6 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, columns, squeeze=False).flat
    for axes, song in zip(panels, songs, strict=False):
        right = axes.twinx()
        for name in names:
            found = runs.get((song, name), [])
            if not found:
                continue
            steps = [point["step"] for point in found[0]["curve"]]
            for own in found:
                axes.plot(steps, _values(own, "loss_prediction"), color=colours[name], alpha=0.3, linewidth=0.8)
            middle = [
                median(column) for column in zip(*(_values(own, "loss_prediction") for own in found), strict=True)
            ]
            left = [median(column) for column in zip(*(_values(own, "processors") for own in found), strict=True)]
            axes.plot(steps, middle, color=colours[name], linewidth=2, label=name)
            right.plot(steps, left, ":", color=colours[name])
        axes.set(title=song, xlabel="step", ylabel="match loss / prediction")
        right.set_ylabel("processors (dotted)")
        right.set_ylim(bottom=0)
        axes.grid(True, alpha=0.2)
        axes.legend(fontsize=8)
    for axes in list(figure.axes)[: lines * columns][len(songs) :]:
        axes.set_visible(False)
    figure.savefig(path, dpi=120)


def _middle(found: list[Found], key: str) -> list[float]:
    return [median(column) for column in zip(*(_values(own, key) for own in found), strict=True)]


def _values(found: Found, key: str) -> list[float]:
    return [point[key] for point in found["curve"]]
