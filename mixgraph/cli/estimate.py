"""`python -m mixgraph estimate SONG --out DIR`: estimates a graph with a network, as a result folder."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mixgraph.cli.command_parser import CommandParser

if TYPE_CHECKING:
    from mixgraph.estimators import EstimatorModule
    from mixgraph.results.write import WrittenSong
    from mixgraph.songs import Song


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    parser = CommandParser(
        description="Predicts a song's graph without a search. `fit --config DIR/config.yaml` searches on from it.",
    )
    parser.add_argument("song", type=Path, help="folder of the song")
    parser.add_argument("--out", type=Path, required=True, help="result folder to write")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="another estimator (.safetensors, or .ckpt of fit --config estimator.yaml) than mixgraph's own",
    )
    parser.add_argument("--threshold", type=float, help="on the probability of keeping a processor, 0 to 1")
    parser.add_argument("--layout", default="auto", help="of the song's folder")
    parser.add_argument("--subgrouping", default="auto", help="auto, rule or one_per_track")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing result")
    options = parser.parse_args(arguments)

    # These imports load torch and Lightning, which the help does not need.
    from mixgraph.cli.commands import PROGRAM
    from mixgraph.results import RESULT, Place, publish_folder
    from mixgraph.results.summary import summarise
    from mixgraph.search.run import quiet_lightning

    quiet_lightning()
    place = Place(options.out, RESULT, "out", "choose another folder or give --overwrite")
    with publish_folder(place, options.overwrite) as work:
        written, notes = _estimate(options, work)
    config = shlex.quote(os.path.abspath(options.out / "config.yaml"))
    for line in (*notes, *written.notes, summarise(options.out, written.metrics)):
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"To search on from it:\n  {PROGRAM} fit --config {config}\n")
    return 0


def _estimate(options: argparse.Namespace, folder: Path) -> tuple[WrittenSong, list[str]]:
    """Predicts a graph and writes it to a folder, as a result without a search; and what is unusual about the song."""
    from callbacks.song_outcome import song_outcome
    from mixgraph.estimators import estimate_song, load_estimator
    from mixgraph.results import CONFIG, TIMINGS
    from mixgraph.results.write import write_song
    from mixgraph.search.module import ConsoleModule
    from mixgraph.shipped import song_path
    from mixgraph.songs import load_song
    from mixgraph.system.files import json_text, write_atomically

    estimator = load_estimator(options.checkpoint)
    path, rate = song_path(options.song), estimator.task.sample_rate
    song = load_song(path, rate, layout=options.layout, subgrouping=options.subgrouping)
    prediction = estimate_song(estimator, song, threshold=options.threshold)
    module, values = ConsoleModule(sample_rate=song.sample_rate), prediction.graph
    module.load(values.graph, values.parameters, values.weights)  # a search keeps weights as logits
    written = write_song(folder, replace(song_outcome(module, song), console=prediction.console.graph))
    write_atomically(folder / CONFIG, _config(options, song.sample_rate).encode())
    write_atomically(folder / TIMINGS, json_text({"steps": 0}, indent=1).encode())
    return written, notes_on(estimator, song)


def notes_on(estimator: EstimatorModule, song: Song) -> list[str]:
    """What was done with a song that is not like those the estimator was trained on."""
    from mixgraph.search.initial_estimate import trained_on
    from mixgraph.songs.own_rate import own_rate

    rate, tracks, notes = own_rate(song), len(song.tracks), []
    if trained_on(estimator, song.name):
        notes.append(
            f"The estimator was trained on tracks of a song named {song.name}: if it is this one, the estimate says "
            "nothing of how well others are known."
        )
    if rate != song.sample_rate:
        notes.append(f"The estimator was trained at {song.sample_rate} Hz: the song, at {rate} Hz, was resampled.")
    if tracks == 1:
        notes.append("One track: its subgroup's processors cannot be told from its own; the estimator saw two or more.")
    most = estimator.about.get("max_tracks")
    if most is not None and tracks > most:
        notes.append(f"{tracks} tracks: the estimator was trained on songs of at most {most}.")
    return notes


def _config(options: argparse.Namespace, sample_rate: int) -> str:
    """The settings of a search that starts from an estimate, whose delays must still move to the true ones."""
    from mixgraph.cli.config_paths import saved_config

    data = {
        "path": str(options.song),
        "sample_rate": sample_rate,
        "layout": options.layout,
        "subgrouping": options.subgrouping,
    }
    settings = {"start": str(options.out), "data": data, "model": {"initial_values": "drawn"}}
    name = "mixgraph's own estimator" if options.checkpoint is None else options.checkpoint.name
    return f"# Predicted by {name}.\n{saved_config(settings, options.out)}"
