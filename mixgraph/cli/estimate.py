"""`python -m mixgraph estimate CHECKPOINT SONG --out DIR`: a graph from a trained network, as a result folder."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixgraph.results import HeldPlace


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        description="Predicts a song's graph without a search. `fit --config DIR/config.yaml` searches on from it.",
    )
    parser.add_argument("checkpoint", type=Path, help="of an estimator (fit --config estimator.yaml)")
    parser.add_argument("song", type=Path, help="folder of the song")
    parser.add_argument("--out", type=Path, required=True, help="result folder to write")
    parser.add_argument("--threshold", type=float, help="on the probability of keeping a processor, 0 to 1")
    parser.add_argument("--layout", default="auto", help="of the song's folder")
    parser.add_argument("--subgrouping", default="auto", help="auto, rule or one_per_track")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing result")
    options = parser.parse_args(arguments)

    # What follows loads torch and Lightning, which the help above does without.
    from callbacks.song_result import summary
    from mixgraph.cli.commands import PROGRAM
    from mixgraph.results import RESULT, Place
    from mixgraph.search.run import quiet_lightning

    quiet_lightning()
    with Place(options.out, RESULT, "out", "choose another folder or give --overwrite").held() as held:
        held.check(options.overwrite)
        metrics = _estimate(options, held)
    config = shlex.quote(os.path.abspath(options.out / "config.yaml"))
    on = f"To search on from it:\n  {PROGRAM} fit --config {config}"
    sys.stdout.write(f"{summary(options.out, metrics)}\n{on}\n")
    return 0


def _estimate(options: argparse.Namespace, place: HeldPlace) -> dict[str, Any]:
    """Predicts, and publishes the result; returns its metrics."""
    from callbacks.song_result import write_song
    from mixgraph.estimators import estimate_song, load_estimator
    from mixgraph.pruning import SongRecord
    from mixgraph.results import CONFIG, TIMINGS
    from mixgraph.search.module import ConsoleModule
    from mixgraph.shipped import song_path
    from mixgraph.songs import load_song
    from mixgraph.system.files import json_text, write_atomically

    estimator = load_estimator(options.checkpoint)
    path, rate = song_path(options.song), estimator.task.sample_rate
    song = load_song(path, rate, layout=options.layout, subgrouping=options.subgrouping)
    prediction = estimate_song(estimator, song, threshold=options.threshold)
    module = ConsoleModule(sample_rate=song.sample_rate)
    graph = prediction.graph
    module.load(graph.graph, graph.parameters, graph.weights)
    module.initial_counts = [prediction.console.graph.count()]
    work = place.new_work()
    try:
        metrics = write_song(work, module, song, SongRecord(), [{"step": 0, "stage": "console"}], steps=0)
        write_atomically(work / CONFIG, _config(options, song.sample_rate).encode())
        write_atomically(work / TIMINGS, json_text({"steps": 0}, indent=1).encode())
        place.publish(work, options.overwrite)
    finally:
        place.discard(work)
    return metrics


def _config(options: argparse.Namespace, sample_rate: int) -> str:
    """The settings of a search that starts from an estimate: its delays are near the true ones, so they must move."""
    from mixgraph.cli.config_paths import saved_config

    data = {
        "path": str(options.song),
        "sample_rate": sample_rate,
        "layout": options.layout,
        "subgrouping": options.subgrouping,
    }
    settings = {"start": str(options.out), "data": data, "model": {"initial_values": "drawn"}}
    return f"# Predicted by {options.checkpoint.name}.\n{saved_config(settings, options.out)}"
