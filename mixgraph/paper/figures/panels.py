"""Grids of panels, and the styles that the figures of the paper share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mixgraph.paper.readings import Reading, SongKey
from mixgraph.report.drawing.draw import printable

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D", "#882255")
"""Colours of songs and samplers, in turn."""
MARKERS = "osD^vPX*"
_GRID = "#E3E5E9"


def colour(number: int) -> str:
    """The colour of the n-th song or sampler."""
    return COLOURS[number % len(COLOURS)]


def panel_grid(
    rows: int, columns: int, width: float, height: float, *, share_x: bool = False, share_y: bool = False
) -> tuple[Figure, list[list[Axes]]]:
    """Makes a figure of panels that are `width` by `height` inches."""
    figure = Figure(figsize=(width * columns, height * rows), dpi=100, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=share_x, sharey=share_y)
    for axes in grid.flat:
        axes.grid(color=_GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure, [list(row) for row in grid]


def song_panels(count: int, width: float = 4.6, height: float = 3.6, columns: int = 3) -> tuple[Figure, list[Axes]]:
    """Makes a figure with one panel a song, up to `columns` in a row."""
    columns = max(1, min(columns, count))
    figure, grid = panel_grid(math.ceil(count / columns), columns, width, height)
    panels = [axes for row in grid for axes in row]
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels[:count]


def song_names(readings: Sequence[Reading]) -> list[str]:
    """Titles that tell results apart.

    They have the song's name where songs share a title, the data set's folder where they share the name, too, and the
    seed where searches of one song have several.
    """
    songs: dict[str, set[str]] = {}
    folders: dict[tuple[str, str], dict[SongKey, Path]] = {}
    seeds: dict[SongKey, set[int]] = {}
    for reading in readings:
        songs.setdefault(_title(reading), set()).add(reading.song)
        folders.setdefault((_title(reading), reading.song), {}).setdefault(reading.song_key, _data_set(reading))
        seeds.setdefault(reading.song_key, set()).add(reading.config["seed_everything"])
    names = []
    for reading in readings:
        notes = [reading.song] if len(songs[_title(reading)]) > 1 else []
        of_name = folders[_title(reading), reading.song]
        if len(of_name) > 1:
            are_told = len({folder.name for folder in of_name.values()}) == len(of_name)
            folder = of_name[reading.song_key]
            notes.append(printable(folder.name if are_told else folder.as_posix()))
        name = _title(reading) + (f" ({', '.join(notes)})" if notes else "")
        names.append(name + (f", seed {reading.config['seed_everything']}" if len(seeds[reading.song_key]) > 1 else ""))
    return names


def _data_set(reading: Reading) -> Path:
    """The folder in which the song was, or the result where the search had several songs."""
    song = reading.config["data"].get("path")
    return (Path(song) if isinstance(song, str) else reading.folder).parent


def _title(reading: Reading) -> str:
    return printable(reading.metrics.song.title or reading.song)
