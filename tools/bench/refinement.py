"""How near refinements come to the statistics of other songs' mixes, from starts that know no mix.

    python -m tools.bench.refinement SONGS... --out refinement.json

Each song is moved towards the mix of the next one, the last towards that of the first, from its sum at equal loudness
with a neutral equalizer, compressor and imager on every track.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mixgraph.cli.command_parser import CommandParser
from mixgraph.graph import build_console
from mixgraph.graph.values import GraphValues
from mixgraph.processors import make_processors
from mixgraph.songs import Song, load_song
from mixgraph.songs.loudness import integrated_loudness
from mixgraph.style import StatisticsDistance, mix_statistics, statistics_distance
from mixgraph.style.baseline_graphs import EQUAL_LUFS, dry_loudness, equal_loudness
from mixgraph.style.evaluation import excerpt
from mixgraph.style.refine import Refined, RefineSettings, refine
from mixgraph.style.track_levels import change_level
from mixgraph.system.files import json_text, write_atomically

SAMPLE_RATE = 30000
CHAIN = "ecsg"
_LUFS = -16.0


def neutral_start(song: Song, seed: int = 0) -> GraphValues:
    """Returns a console whose tracks have equal loudness, with processors that do little yet."""
    graph, processors = build_console(song.subgroups, CHAIN, "", song.name), make_processors(song.sample_rate)
    generator, values = torch.Generator().manual_seed(seed), {}
    for node_type, count in graph.count().items():
        values[node_type] = processors[node_type].sample_initial_values(count, generator)
        for name, value in (processors[node_type].identity or {}).items():
            values[node_type][name].fill_(value)
    start = GraphValues(graph, values, torch.full((len(graph.processors),), 0.5))
    for row, level in enumerate(dry_loudness(song)):
        if math.isfinite(level):
            start = change_level(start, row, EQUAL_LUFS - level)
    return start


@dataclass(frozen=True, eq=False)
class Course:
    """One refinement: the song, the reference's name, the plain sum's distance, and what was reached."""

    song: str
    reference: str
    sum: StatisticsDistance
    refined: Refined
    start: int


def courses(songs: Sequence[Song], settings: RefineSettings) -> Iterator[Course]:
    """Refines each song towards the mix of the next."""
    for number, song in enumerate(songs):
        reference = songs[(number + 1) % len(songs)]
        target = mix_statistics(reference.mix, reference.sample_rate)
        plain = equal_loudness(song, make_processors(song.sample_rate), dry_loudness(song)).mix()
        louder = 10 ** ((_LUFS - integrated_loudness(plain, song.sample_rate)) / 20)
        distance = statistics_distance(mix_statistics(plain * louder, song.sample_rate), target)
        start = neutral_start(song)
        yield Course(song.name, reference.name, distance, refine(song, start, target, settings), len(start.weights))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tool; returns its exit code."""
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path, nargs="+", metavar="SONG", help="folder of a song with its mix")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--seconds", type=float, help="of the middle of each song; all of it by default")
    parser.add_argument("--steps-per-stage", type=int, default=RefineSettings.steps_per_stage)
    parser.add_argument("--cache", type=Path, default=Path(".mixgraph_cache"), help="folder for decoded songs")
    options = parser.parse_args(arguments)
    settings = replace(RefineSettings(), steps_per_stage=options.steps_per_stage)
    loaded = (load_song(path, sample_rate=SAMPLE_RATE, cache_dir=options.cache) for path in options.songs)
    songs = [excerpt(song, options.seconds) for song in loaded]
    rows = []
    for course in courses(songs, settings):
        refined, plain = course.refined, float(course.sum.full)
        after, levels = float(refined.after.full), refined.levels_db.values()
        rows.append(
            {
                "song": course.song,
                "reference": course.reference,
                "sum": course.sum.to_dict(),
                "before": refined.before.to_dict(),
                "after": refined.after.to_dict(),
                "share_of_sum": round(after / plain, 3),
                "processors": [course.start, len(refined.values.graph.processors)],
                "level_changes_db": [round(min(levels), 2), round(max(levels), 2)],
                "steps": refined.steps,
                "seconds": round(refined.seconds, 1),
                "notes": list(refined.notes),
            }
        )
        sys.stdout.write(f"{course.song} like {course.reference}: {plain:.2f} to {after:.2f} dB\n")
        sys.stdout.flush()
    write_atomically(options.out, (json_text({"settings": str(settings), "rows": rows}, indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
