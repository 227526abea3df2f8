"""Plots the statistics of a data set (the paper's Figure 6)."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import MaxNLocator

from mixgraph.report.drawing.lettering import printable
from mixgraph.report.drawing.palette import INK, QUIET, type_colour, type_label, type_order
from mixgraph.shards.statistics import SongFigures, by_dataset, pruning_ratio, size_columns

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_SHOWN = ("tracks", "subgroups", "processors of the console", "processors")
_MOST_BARS = 20


def sizes_figure(songs: Sequence[SongFigures]) -> Figure:
    """Plots histograms of tracks, subgroups and processors (console, found graph) over songs, stacked by data set.

    Raises:
        ValueError: there are no songs.
    """
    if not songs:
        raise ValueError("songs: at least one is needed, got none")
    figure = _figure(10, 5.6)
    panels = figure.subplots(2, 2).ravel()
    groups = by_dataset(songs)
    for axes, label in zip(panels, _SHOWN, strict=True):
        columns = [size_columns(members)[label] for members in groups.values()]
        known = [value for column in columns for value in column]
        if known:
            colours = [_COLOURS[i % len(_COLOURS)] for i in range(len(columns))]
            axes.hist(columns, bins=_edges(known), stacked=True, color=colours, label=list(groups), edgecolor="white")
        axes.set_xlabel(f"{label} of a song")
        axes.set_ylabel("songs")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _finish(axes)
    handles, labels = panels[0].get_legend_handles_labels()
    num_columns = min(len(labels), 4)
    _as_text(figure.legend(handles, labels, loc="outside upper center", ncols=num_columns, fontsize=9, frameon=False))
    return figure


def ratios_figure(songs: Sequence[SongFigures]) -> Figure:
    """Plots the mean pruning ratio of each type (left) and every song's match loss before and after pruning (right).

    Raises:
        ValueError: there are no songs.
    """
    if not songs:
        raise ValueError("songs: at least one is needed, got none")
    figure = _figure(10, 4)
    left, right = figure.subplots(1, 2)
    types = type_order({node_type for song in songs for node_type in {**song.counts, **(song.console or {})}})
    known = {t: ratio for t in types if (ratio := pruning_ratio(songs, t)) is not None}
    bars = left.bar(range(len(known)), list(known.values()), color=[type_colour(t) for t in known])
    left.bar_label(bars, fmt="%.2f", fontsize=8, color=INK)
    left.set_xticks(range(len(known)), [type_label(t) for t in known], rotation=35, ha="right", rotation_mode="anchor")
    left.set_ylim(0, 1.08)
    left.set_ylabel("share of processors pruned")
    _finish(left)
    for i, (name, members) in enumerate(by_dataset(songs).items()):
        pairs = [(s.losses["console/target"], s.losses["found/target"]) for s in members if "found/target" in s.losses]
        if pairs:
            colour = _COLOURS[i % len(_COLOURS)]
            right.scatter(*zip(*pairs, strict=True), s=24, color=colour, label=name, edgecolor="white", linewidth=0.5)
    low, high = min(right.get_xlim()[0], right.get_ylim()[0]), max(right.get_xlim()[1], right.get_ylim()[1])
    right.plot([low, high], [low, high], color=QUIET, linewidth=1, zorder=0)
    right.set_xlim(low, high)
    right.set_ylim(low, high)
    right.set_xlabel("match loss of the trained console")
    right.set_ylabel("match loss of the found graph")
    _finish(right)
    if right.get_legend_handles_labels()[0]:
        _as_text(right.legend(fontsize=8, frameon=False))
    return figure


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _edges(values: Sequence[float]) -> list[float]:
    """Returns the edges of at most `_MOST_BARS` histogram bars of equal integer width, centred on integers."""
    low, high = int(min(values)), int(max(values))
    width = -(-(high - low + 1) // _MOST_BARS)
    count = -(-(high - low + 1) // width)
    return [low - 0.5 + i * width for i in range(count + 1)]


def _as_text(legend: Legend) -> None:
    """Shows the names in a legend as plain text: a name with dollar signs is no formula."""
    for text in legend.get_texts():
        text.set_text(printable(text.get_text()))
        text.set_parse_math(False)


def _finish(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
