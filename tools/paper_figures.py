"""Draws the figures of the paper of finished searches.

Its options, and what it writes: `tools/options.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from mixgraph.paper.dataset_table import read_built_set
from mixgraph.paper.figures.course import course_figure
from mixgraph.paper.figures.graphs import console_figure, runs_figure
from mixgraph.paper.figures.schedule_trees import tree_figure
from mixgraph.paper.figures.schedules import order_figure, read_schedules, speed_figure
from mixgraph.paper.figures.spectrograms import match_figure
from mixgraph.paper.figures.statistics import statistics_figure
from mixgraph.paper.figures.tradeoff import tradeoff_figure
from mixgraph.paper.figures.weights import weights_figure
from mixgraph.paper.readings import Reading
from mixgraph.report.drawing.draw import PICTURE_SUFFIXES
from mixgraph.report.figures import save_figure
from mixgraph.shipped import song_path
from tools.options import paper_figures_parser
from tools.paper.found import results_of
from tools.paper_tables import named_folder

DATA_SET_FIGURE, SPEED_FIGURE = "6", "9"


def draw(options: argparse.Namespace) -> Figure:
    """Draws a figure.

    Raises:
        FileNotFoundError, ValueError: results that are missing, unfinished, or cannot be in one figure.
    """
    name: str = options.figure
    if name == DATA_SET_FIGURE:
        return statistics_figure([read_built_set(*named_folder(text)) for text in options.results])
    if name == SPEED_FIGURE:
        return speed_figure([graph for text in options.results for graph in read_schedules(Path(text))])
    readings = results_of(name, [Path(text) for text in options.results], options.only)
    match name:
        case "2a":
            return console_figure(_only_one(name, readings))
        case "3":
            return course_figure(readings)
        case "4":
            return weights_figure(readings)
        case "8":
            return order_figure(_only_one(name, readings))
        case "8e":
            return tree_figure(_only_one(name, readings))
        case "10":
            return tradeoff_figure(readings)
        case "11":
            return runs_figure(readings)
        case _:
            return match_figure(readings, None if options.song is None else song_path(options.song))


def _only_one(figure: str, readings: Sequence[Reading]) -> Reading:
    if len(readings) > 1:
        songs = ", ".join(dict.fromkeys(reading.song for reading in readings))
        raise ValueError(f"result: figure {figure} is of one search, got those of {songs}. HINT: --only SONG")
    return readings[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    options = paper_figures_parser().parse_args(arguments)
    if options.out.suffix.lower() not in PICTURE_SUFFIXES:
        raise ValueError(f"out: a name that ends with {' or '.join(PICTURE_SUFFIXES)} is needed, got {options.out}")
    if options.out.exists() and not options.overwrite:
        raise FileExistsError(f"out: {options.out} exists and is kept; choose another name or give --overwrite")
    figure = draw(options)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_figure(figure, options.out, options.dpi)
    sys.stdout.write(f"{options.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
