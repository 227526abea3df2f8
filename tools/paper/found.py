"""The results that a figure is drawn of: folders that a user names, or those of a folder of `paper-tables`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from mixgraph.paper.figures.spectrograms import MAIN_TEXT_CHAINS
from mixgraph.paper.published import CHAINS, DEFAULT_METHOD
from mixgraph.paper.readings import Reading, read_search
from mixgraph.sweeps.folder import trial_folders
from tools.paper.searches import SEARCHES, SETTINGS

_OF_DEFAULT_METHOD = ("2a", "3", "4", "8", "8e", "11")
_OF_HYBRID = ("5",)
_OF_CONSOLES = ("7", "15", "16", "17", "18")


def results_of(figure: str, folders: Sequence[Path], songs: Sequence[str]) -> list[Reading]:
    """Reads the results of a figure.

    Args:
        figure: the name of the figure.
        folders: result folders, all of which are taken; and folders of `paper-tables` or of sweeps, of which those are
            that the paper's figure shows. Trials of a sweep that were stopped have no results; stderr says which.
        songs: shell patterns of the songs to take; empty for all.

    Raises:
        FileNotFoundError: a folder is neither.
        ValueError: a result is unfinished or there twice, or none is left.
    """
    readings: list[Reading] = []
    for folder in folders:
        if (folder / SETTINGS).is_file() and (folder / SEARCHES).is_dir():
            inside = sorted((folder / SEARCHES).glob("*/results/*/run_*"))
        else:
            inside, stopped = trial_folders(folder)
            if stopped:
                names = ", ".join(path.name for path in stopped)
                sys.stderr.write(f"{folder}: left out, for they were stopped early: {names}\n")
        if inside:
            shown = [reading for reading in map(read_search, inside) if _is_shown(figure, reading)]
            readings += sorted(shown, key=_order)
        else:
            readings.append(read_search(folder))
    places = [reading.folder.resolve() for reading in readings]
    if twice := sorted({str(place) for place in places if places.count(place) > 1}):
        raise ValueError(f"result: {', '.join(twice)}: is there twice; each result is needed once")
    chosen = [reading for reading in readings if not songs or any(fnmatchcase(reading.song, one) for one in songs)]
    if not chosen:
        needed = "searches by the default method" if figure in _OF_DEFAULT_METHOD else "searches for it"
        raise ValueError(f"result: {', '.join(map(str, folders))}: no {needed} of these songs. HINT: paper-tables")
    return chosen


def _is_shown(figure: str, reading: Reading) -> bool:
    is_first = not reading.folder.name.startswith("run_") or reading.folder.name == "run_0"
    if figure in _OF_DEFAULT_METHOD:
        return reading.is_pruned and reading.method == DEFAULT_METHOD and (is_first or figure == "11")
    if figure in _OF_HYBRID:
        return reading.is_pruned and reading.method[0] == DEFAULT_METHOD[0] and is_first
    if figure in _OF_CONSOLES:
        console = not reading.is_pruned and reading.chain in MAIN_TEXT_CHAINS
        return console or _is_shown("5", reading)
    return reading.is_pruned and is_first  # Figure 10


def _order(reading: Reading) -> tuple[str, bool, int, tuple[str, float], str]:
    chain = CHAINS.index(reading.chain) if reading.chain in CHAINS else len(CHAINS)
    return reading.song, reading.is_pruned, chain, reading.method, reading.folder.name
