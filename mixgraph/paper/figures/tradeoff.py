"""Figure 10: the loss increase over the console against the processors that are left, by samplers and tolerances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixgraph.paper.figures.panels import MARKERS, colour, song_names, song_panels
from mixgraph.paper.pruning_table import MAY_DIFFER
from mixgraph.paper.published import SAMPLER_NAMES
from mixgraph.paper.readings import Reading, SongKey, check_alike
from mixgraph.report.drawing.palette import QUIET

_TEXT = 0.09, 0.035  # the room of a text, as shares of a panel's sides


def tradeoff_figure(readings: Sequence[Reading]) -> Figure:
    """Draws a panel for each song, under its name: a line for each sampler, a point for each tolerance.

    Tolerances are written where there is room. The loss is that over the denominator of the search, less the trained
    console's; down and left is best.

    Raises:
        ValueError: no results, results that differ in more than sampler and tolerance, or one that was not pruned.
    """
    check_alike(readings, MAY_DIFFER)
    songs: dict[SongKey, list[Reading]] = {}
    for reading in readings:
        if not reading.is_pruned:
            raise ValueError(f"result: {reading.folder}: a pruned graph is needed, got a console that was only trained")
        songs.setdefault(reading.song_key, []).append(reading)
    order = list(SAMPLER_NAMES)
    samplers = sorted(
        {reading.method[0] for reading in readings}, key=lambda s: (order.index(s) if s in order else 9, s)
    )
    figure, panels = song_panels(len(songs))
    names = song_names([of_song[0] for of_song in songs.values()])
    for of_song, axes, title in zip(songs.values(), panels, names, strict=True):
        marked: list[tuple[str, tuple[float, float]]] = []
        for number, sampler in enumerate(samplers):
            points = sorted(
                (reading.method[1], 1 - reading.metrics.pruning_ratio, loss_increase(reading))
                for reading in of_song
                if reading.method[0] == sampler
            )
            if not points:
                continue
            name = SAMPLER_NAMES.get(sampler, sampler)
            looks: dict[str, Any] = {"color": colour(number), "marker": MARKERS[number % len(MARKERS)], "markersize": 5}
            axes.plot([p[1] for p in points], [p[2] for p in points], label=name, linewidth=1.1, **looks)
            marked += [(f"{tolerance:g}", (left, increase)) for tolerance, left, increase in points]
        axes.set_title(title, fontsize=10, parse_math=False)
        axes.set_xlabel("processors left (share of the console)", fontsize=9)
        axes.set_ylabel("loss increase over the console", fontsize=9)
        axes.axhline(0, color=QUIET, linewidth=0.7)
        axes.set_xlim(0, 1)
        axes.margins(y=0.15)
        _annotate(axes, marked)
        axes.legend(fontsize=8, title="sampler; points: tolerances", title_fontsize=7)
    return figure


def _annotate(axes: Axes, marked: Sequence[tuple[str, tuple[float, float]]]) -> None:
    """Writes texts beside points, but for those that would stand on another one."""
    low, high = axes.get_ylim()
    taken: list[tuple[float, float]] = []
    for text, (x, y) in marked:
        place = x, (y - low) / (high - low)
        if all(abs(place[0] - other[0]) > _TEXT[0] or abs(place[1] - other[1]) > _TEXT[1] for other in taken):
            axes.annotate(text, (x, y), xytext=(4, 3), textcoords="offset points", fontsize=6.5)
            taken.append(place)


def loss_increase(reading: Reading) -> float:
    """The found graph's match loss less the trained console's, over the denominator of the search."""
    losses = reading.metrics.searched_losses
    return losses["found"] - losses["console"]
