"""Measures the statistics of mixes that a graph is moved towards where nothing else is asked for.

    python -m tools.measure_style SONGS... --synthetic 6 --out mixes.json

Songs are folders of any layout with their mix. The file names them with their licences; it has no audio in it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from mixgraph.cli.command_parser import CommandParser
from mixgraph.songs import Song, load_song
from mixgraph.style import mix_statistics
from mixgraph.style.training_mixes import (
    MeasuredMix,
    TrainingMixes,
    instruments_of,
    plain_statistics,
    write_training_mixes,
)
from mixgraph.synthetic.song import make_synthetic_song

SAMPLE_RATE = 30000
_LOUDNESS_LUFS = -16.0
_LEAST_TRACKS, _MORE_TRACKS = 4, 5


def songs(folders: Sequence[Path], synthetic: int, cache_dir: Path) -> Iterator[Song]:
    """Reads songs, and then makes synthetic ones of 4 to 8 tracks in two subgroups, with seeds from 0."""
    for folder in folders:
        yield load_song(folder, sample_rate=SAMPLE_RATE, loudness_lufs=_LOUDNESS_LUFS, cache_dir=cache_dir)
    for seed in range(synthetic):
        yield make_synthetic_song(seed, _LEAST_TRACKS + seed % _MORE_TRACKS, sample_rate=SAMPLE_RATE).song


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tool; returns its exit code."""
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path, nargs="+", metavar="SONG", help="folder of a song with its mix")
    parser.add_argument("--synthetic", type=int, default=0, help="number of synthetic songs to measure, too (0)")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--cache", type=Path, default=Path(".mixgraph_cache"), help="folder for decoded songs")
    options = parser.parse_args(arguments)
    mixes = []
    for song in songs(options.songs, options.synthetic, options.cache):
        measured = mix_statistics(song.mix, SAMPLE_RATE)
        louder = _LOUDNESS_LUFS - float(measured.loudness_lufs)  # synthetic mixes have their own level
        statistics = plain_statistics(measured) | {"loudness_lufs": round(float(measured.loudness_lufs) + louder, 2)}
        mixes.append(MeasuredMix(song.name, song.licence, instruments_of(song), statistics))
        sys.stdout.write(f"{song.name}: {', '.join(mixes[-1].instruments)}\n")
    write_training_mixes(options.out, TrainingMixes(SAMPLE_RATE, tuple(mixes)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
