"""Figure 4: the dry/wet weight of each processor of the trained console, and the loss increase on its removal."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from mixgraph.paper.figures.panels import song_names, song_panels
from mixgraph.paper.readings import Reading, check_alike
from mixgraph.report.loss_increases import LossIncrease, console_increases, draw_increases


def weights_figure(readings: Sequence[Reading]) -> Figure:
    """Draws a panel for each song, see `draw_increases`; that of one search is also in its result folder.

    Args:
        readings: results whose searches measured loss increases (`pruning.leave_one_out`).

    Raises:
        ValueError: no results, results of other settings or versions, or one without loss increases.
    """
    check_alike(readings)
    figure, panels = song_panels(len(readings), height=4.4)
    for reading, axes, title in zip(readings, panels, song_names(readings), strict=True):
        draw_increases(axes, measured_increases(reading), title, reading.metrics.tolerance)
    return figure


def measured_increases(reading: Reading) -> list[LossIncrease]:
    """Returns weight, loss increase and type of every processor of the trained console.

    Raises:
        ValueError: the search did not measure them.
    """
    increases = console_increases(reading.trace(), reading.metrics.num_console_processors_by_type or {})
    if not increases:
        raise ValueError(
            f"result: {reading.folder}: the loss increases of the console's processors are needed, and its search did "
            "not measure them. HINT: --pruning.leave_one_out=true"
        )
    return increases
