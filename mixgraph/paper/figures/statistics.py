"""Figure 6: tracks, subgroups, processors and nodes of the songs, consoles and found graphs of built data sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mixgraph.graph import MIX, MixGraph
from mixgraph.graph.io import load_graph
from mixgraph.paper.dataset_table import ACCEPTED, SEARCHED, BuiltSet, check_data_sets
from mixgraph.paper.figures.panels import colour, panel_grid
from mixgraph.paper.published import MEAN_CONSOLE_PROCESSORS, MEAN_NODES, MEAN_PROCESSORS
from mixgraph.paper.readings import Reading
from mixgraph.report.drawing.palette import QUIET

Count = Callable[[Reading, MixGraph], float]
_RATIO = "pruning ratio"
_COUNTS: dict[str, tuple[Count, float | None]] = {
    "dry tracks": (lambda reading, graph: len(graph.inputs), None),
    "subgroups": (lambda reading, graph: graph.types.count(MIX), None),
    "console's processors": (lambda reading, graph: reading.metrics.num_processors.console, MEAN_CONSOLE_PROCESSORS),
    "processors": (lambda reading, graph: len(graph.processors), MEAN_PROCESSORS),
    "nodes": (lambda reading, graph: len(graph), MEAN_NODES),
    _RATIO: (lambda reading, graph: reading.metrics.pruning_ratio, None),
}
"""Panel -> what is counted of a result, and the paper's mean over its full data."""
_MOST_BINS = 20
_RATIO_BINS = np.linspace(0, 1, _MOST_BINS + 1).tolist()


def statistics_figure(built: Sequence[BuiltSet]) -> Figure:
    """Draws histograms, data sets stacked: every searched song in the first row, accepted ones in the second.

    Dashed lines are means, dotted ones the paper's over its full data.

    Raises:
        ValueError: as `check_data_sets`.
    """
    check_data_sets(built)
    figure, grid = panel_grid(2, len(_COUNTS), 2.5, 2.3)
    for row, kind in zip(grid, (SEARCHED, ACCEPTED), strict=True):
        songs = [
            [(reading, load_graph(reading.folder / "graph.json").graph) for reading in data_set.songs(kind)]
            for data_set in built
        ]
        for axes, (name, (count, printed)) in zip(row, _COUNTS.items(), strict=True):
            is_ratio = name == _RATIO
            values = [[count(*song) for song in of_set] for of_set in songs]
            flat = [value for of_set in values for value in of_set]
            looks: dict[str, Any] = {"color": [colour(number) for number in range(len(built))], "stacked": True}
            if flat:
                axes.hist(
                    values,
                    bins=_RATIO_BINS if is_ratio else _bins(flat),
                    label=[data_set.name for data_set in built],
                    **looks,
                )
                axes.axvline(float(np.mean(flat)), color=QUIET, linestyle="--", linewidth=1.0)
                name = f"{name}: mean {np.mean(flat):.3g}"
            if printed is not None:
                axes.axvline(printed, color=QUIET, linestyle=":", linewidth=1.2)
                name = f"{name}\n(paper {printed:g})"
            axes.set_title(name, fontsize=8)
            axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=not is_ratio, min_n_ticks=1))
            if is_ratio:
                axes.set_xlim(0, 1)
        row[0].set_ylabel(f"{kind}\nsongs", fontsize=9)
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8)
    return figure


def _bins(values: Sequence[float]) -> list[float]:
    """Edges of bins of whole numbers, twenty bins at the most."""
    low, high = min(values), max(values)
    width = max(1, -(-int(high - low + 1) // _MOST_BINS))
    return np.arange(low - 0.5, high + width, width).tolist()
