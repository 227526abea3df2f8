"""`python -m mixgraph report RESULT... --out page.html`: writes the page of a result, of several, or of a dataset."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mixgraph.cli.command_parser import CommandParser

_DESCRIPTION = (
    "Writes a result as one HTML page that opens from the disk: the graph with the settings of every processor, "
    "excerpts to compare by ear, spectrograms, and the course of the search. The page fetches nothing. It has the "
    "song's audio in it, under the song's licence, unless --no-audio is given. Several results of one song are shown "
    "side by side; results of several songs, or the folder of a dataset that build-dataset wrote, are a table of songs "
    "with their statistics and links to their pages. A folder of stems that demix wrote gets a page with a fader and "
    "a spectrogram a stem."
)


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    parser = CommandParser(description=_DESCRIPTION)
    parser.add_argument(
        "result",
        type=Path,
        nargs="+",
        metavar="RESULT",
        help="result folders of searches, folders of datasets, or one of stems",
    )
    parser.add_argument("--out", type=Path, required=True, help="the page to write (.html)")
    parser.add_argument("--tracks", type=Path, help="folder of the song, where it is not where the search read it")
    parser.add_argument(
        "--changed-tracks",
        choices=("refuse", "allow"),
        default="refuse",
        help="what to do with tracks whose content is another than in the search (default: refuse)",
    )
    parser.add_argument("--excerpts", default="", metavar="START-STOP,...", help="stretches of the song, in seconds")
    parser.add_argument("--whole", action="store_true", help="the whole song in place of excerpts")
    parser.add_argument("--no-audio", action="store_true", help="a page that can be passed on: nothing to hear")
    parser.add_argument("--megabytes", type=float, default=20.0, help="the page's largest size (default: 20)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    options = parser.parse_args(arguments)
    if options.whole and options.excerpts:
        raise ValueError("whole, excerpts: one of them expected, got both")
    if not options.megabytes > 0:
        raise ValueError(f"megabytes: a number above 0 expected, got {options.megabytes}")
    if options.out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"out: a name that ends with .html expected, got {str(options.out)!r}")
    if options.out.exists() and not options.overwrite:
        raise FileExistsError(f"out: {options.out} exists and is kept; choose another name or give --overwrite")

    # These imports load torch, which the help does not need.
    from mixgraph.names import visible

    size, notes = _write(options)
    for line in (*notes, f"{options.out}: {size:.1f} MB"):
        sys.stdout.write(f"{visible(line)}\n")
    return 0


def _write(options: argparse.Namespace) -> tuple[float, Sequence[str]]:
    """Writes the page; returns its size in megabytes, and sentences on what is missing."""
    from mixgraph.page.comparison import SONGS, read_results, sort_folders
    from mixgraph.page.comparison_write import write_comparison
    from mixgraph.page.material import read_material
    from mixgraph.page.songs_page import write_dataset_page, write_songs_page
    from mixgraph.page.stem_material import read_stem_material
    from mixgraph.page.stem_write import write_stem_page
    from mixgraph.page.write import write_page
    from mixgraph.results.demix_record import RECORD
    from mixgraph.shipped import song_path

    tracks = None if options.tracks is None else song_path(options.tracks)
    listening = {
        "audio": not options.no_audio,
        "excerpts": options.excerpts,
        "whole": options.whole,
        "megabytes": options.megabytes,
    }
    if any((folder / RECORD).is_file() for folder in options.result):
        if len(options.result) > 1:
            raise ValueError(f"result: a folder of stems is shown alone, got {len(options.result)} folders")
        if options.tracks:
            raise ValueError("tracks: a folder of stems has no dry tracks. HINT: leave --tracks out")
        stems = read_stem_material(options.result[0])
        return write_stem_page(options.out, stems, **listening), stems.missing
    if len(options.result) == 1 and not (options.result[0] / SONGS).is_file():
        material = read_material(options.result[0], tracks, options.changed_tracks)
        return write_page(options.out, material, **listening), material.missing
    folders, datasets = sort_folders(options.result)
    if datasets:
        _refuse_audio(options, "of a dataset")
        return write_dataset_page(options.out, datasets, megabytes=options.megabytes)
    results, damaged = read_results(folders)
    if not all(result.is_of_the_song_of(results[0]) for result in results):
        _refuse_audio(options, "of results of several songs")
        return write_songs_page(options.out, results, damaged, megabytes=options.megabytes)
    return write_comparison(
        options.out, results, damaged, tracks=tracks, changed_tracks=options.changed_tracks, **listening
    )


def _refuse_audio(options: argparse.Namespace, what: str) -> None:
    asked = [name for name in ("excerpts", "whole", "tracks") if getattr(options, name)]
    if asked:
        raise ValueError(
            f"{asked[0]}: a page {what} has no audio, so that none can be chosen. HINT: give results of one song, or "
            f"leave --{asked[0]} out"
        )
