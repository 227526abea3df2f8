"""Plots the course and the results of searches, with a panel for each song."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mixgraph.report.figures import save_figure
from tools.bench.fidelity.runs import PEER, Answer
from tools.bench.fidelity.table import Runs

_COLOURS = ("#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442")
_PEER_COLOUR = "#d55e00"
_LOSS = "match loss / prediction"


def draw_course(runs: Runs, path: Path) -> None:
    """Plots losses and processors (dotted) against steps: a thin line for each seed, a thick one for the median."""
    figure, panels = _panels(runs)
    for song, axes in panels:
        right = axes.twinx()
        for name, colour in _colours(runs).items():
            answers = runs.get((song, name), [])
            if not answers:
                continue
            steps = [point["step"] for point in answers[0]["curve"]]
            for answer in answers:
                axes.plot(steps, _values(answer, "loss_prediction"), color=colour, alpha=0.3, linewidth=0.8)
            axes.plot(steps, _middle(answers, "loss_prediction"), color=colour, linewidth=2, label=name)
            right.plot(steps, _middle(answers, "processors"), ":", color=colour)
        axes.set(title=song, xlabel="step", ylabel=_LOSS)
        right.set_ylabel("processors (dotted)")
        right.set_ylim(bottom=0)
        axes.grid(True, alpha=0.2)
        axes.legend(fontsize=8)
    save_figure(figure, path, dpi=120)


def draw_ends(runs: Runs, path: Path) -> None:
    """Plots loss against pruning ratio of the found graphs: dots are seeds, crosses medians; bottom right is best."""
    figure, panels = _panels(runs)
    for song, axes in panels:
        for name, colour in _colours(runs).items():
            answers = runs.get((song, name), [])
            if not answers:
                continue
            ratios = [answer["pruning_ratio"] for answer in answers]
            losses = [answer["loss_prediction"] for answer in answers]
            axes.plot(ratios, losses, "o", color=colour, alpha=0.4, markersize=5)
            axes.plot(median(ratios), median(losses), "P", color=colour, markersize=11, label=name)
        axes.set(title=song, xlabel="pruning ratio", ylabel=_LOSS)
        axes.margins(0.15)
        axes.grid(True, alpha=0.2)
        axes.legend(fontsize=8)
    save_figure(figure, path, dpi=120)


def _panels(runs: Runs) -> tuple[Figure, Iterator[tuple[str, Axes]]]:
    songs = list(dict.fromkeys(song for song, _ in runs))
    columns = min(3, len(songs))
    lines = math.ceil(len(songs) / columns)
    figure = Figure(figsize=(5 * columns, 3.6 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for axes in panels[len(songs) :]:
        axes.set_visible(False)
    return figure, zip(songs, panels, strict=False)


def _colours(runs: Runs) -> dict[str, str]:
    names = list(dict.fromkeys(name for _, name in runs))
    others = [name for name in names if name != PEER]
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(others)}
    return colours | ({PEER: _PEER_COLOUR} if PEER in names else {})


def _middle(answers: list[Answer], key: str) -> list[float]:
    return [median(column) for column in zip(*(_values(answer, key) for answer in answers), strict=True)]


def _values(answer: Answer, key: str) -> list[float]:
    return [point[key] for point in answer["curve"]]
