"""Judges a trained estimator against baselines on a test set, and writes the table.

Its options, and what it writes: `tools/options.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from statistics import fmean
from typing import Any

import torch
from rich.progress import track as progress

from callbacks.iterative_pruning import IterativePruning
from datamodules.song import SongData
from mixgraph.estimators import EstimatorModule, load_estimator
from mixgraph.estimators.baselines import MeanSettings
from mixgraph.estimators.evaluation import (
    Judge,
    Method,
    MethodScore,
    TestSong,
    format_scores,
    read_test_song,
    true_on_console,
)
from mixgraph.estimators.prediction import Prediction, estimate
from mixgraph.graph import GraphValues
from mixgraph.recovery.agreement import markdown
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule
from mixgraph.shards import read_shards
from mixgraph.songs import Song
from mixgraph.songs.align import TrackAlignment
from mixgraph.system.files import write_atomically
from tools.options import evaluate_estimator_parser

ESTIMATOR, MEANS = "estimator", "keep everything (mean parameters)"
ORACLE, ORACLE_MEANS = "true processors, estimated settings", "true processors, mean parameters"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    return evaluate_estimator_parser().parse_args(arguments)


def methods_of(module: EstimatorModule, means: MeanSettings) -> dict[str, Method]:
    """Returns the methods to evaluate by name: the estimator, the baselines and the true processors."""
    latest: dict[str, Prediction] = {}

    def estimated(song: TestSong) -> Prediction:
        if song.key not in latest:
            latest.clear()
            latest[song.key] = estimate(module, song.console, song.tracks, song.mix)
        return latest[song.key]

    return {
        "keep nothing (dry sum)": lambda song: means.nothing(song.console),
        MEANS: lambda song: means.everything(song.console),
        "keep everything, weights times rates": lambda song: means.at_rates(song.console),
        "rate of each type, by chance": lambda song: means.at_random(song.console),
        "best types": lambda song: means.best_by_type(song.console),
        ESTIMATOR: estimated,
        ORACLE_MEANS: lambda song: true_on_console(song, means.values(song.console)),
        ORACLE: lambda song: true_on_console(song, estimated(song).values),
    }


def test_songs(module: EstimatorModule, options: argparse.Namespace) -> Iterator[TestSong]:
    samples = read_shards(options.shards, options.audio_root)
    chosen_samples = (s for s in samples if not options.only or s.meta["song"] in options.only)
    song_names, task = set(), module.task
    for sample in islice(chosen_samples, options.limit):
        song_names.add(sample.meta["song"])
        yield read_test_song(sample, task.sample_rate, task.track_chain, task.subgroup_chain)
    if options.limit is None and (unknown := sorted(set(options.only) - song_names)):
        raise ValueError(f"--only: songs of {options.shards} are needed, got {', '.join(unknown)}")


# A short search.


class MemorySong(SongData):
    """A data module for a song that is in memory."""

    def __init__(self, song: Song, steps_per_stage: int) -> None:
        super().__init__(path=song.name, sample_rate=song.sample_rate, steps_per_stage=steps_per_stage)
        self.loaded_song = song

    def read(self) -> tuple[Song, ...]:
        return (self.loaded_song,)


@dataclass(frozen=True)
class ShortSearch:
    """The result of a short search of a song from one starting graph."""

    song: str
    start: str
    loss: float
    num_processors: int
    seconds: float


def as_song(song: TestSong, sample_rate: int) -> Song:
    graph = song.console.graph
    tracks = [graph.names[i] for i in graph.inputs]
    groups = {
        group: tuple(t for t, g in zip(tracks, graph.subgroups, strict=True) if g == group) for group in graph.subgroups
    }
    return Song(
        name=song.key,
        title=song.key,
        licence="",
        sample_rate=sample_rate,
        subgroups=groups,
        sources=song.tracks,
        mix=song.mix,
        mono=tuple(torch.equal(t[0], t[1]) for t in song.tracks),
        placements=((0, 1),) * len(tracks),
        level=1.0,
        alignment=tuple(TrackAlignment(0, 1, 1.0, track, False) for track in tracks),
        warnings=(),
        file_hashes={},
    )


def short_search(song: Song, start: GraphValues | None, options: argparse.Namespace) -> ShortSearch:
    """Searches for a short time from a graph, or from the default console if `start` is None."""
    # Delays that a network predicts are near the true ones, not on them: they must move.
    module = ConsoleModule(sample_rate=song.sample_rate, initial_values="heard" if start is None else "drawn")
    if start is not None:
        module.load(start.graph, start.parameters, start.weights)
    pruning = IterativePruning(options.search_stages, options.search_rounds)
    began = time.perf_counter()
    data = MemorySong(song, options.search_steps)
    search(module, data, [pruning], pruning.num_stages, "auto", enable_progress_bar=False)
    seconds = time.perf_counter() - began
    loss, count = module.score(song).loss["full"], len(module.graph.processors)
    return ShortSearch(song.name, "default console" if start is None else ESTIMATOR, loss, count, seconds)


def short_searches(module: EstimatorModule, songs: list[TestSong], options: argparse.Namespace) -> list[ShortSearch]:
    searches = []
    for song in progress(songs, "Short searches", disable=not songs):
        memory = as_song(song, module.task.sample_rate)
        predicted = estimate(module, song.console, song.tracks, song.mix).graph
        searches.append(short_search(memory, None, options))
        if predicted.graph.processors:  # a graph without processors cannot be searched
            searches.append(short_search(memory, predicted, options))
    return searches


def format_searches(searches: list[ShortSearch], options: argparse.Namespace) -> str:
    rows = []
    for start in dict.fromkeys(s.start for s in searches):
        from_start = [s for s in searches if s.start == start]
        figures = (
            fmean(s.loss for s in from_start),
            fmean(s.num_processors for s in from_start),
            fmean(s.seconds for s in from_start),
        )
        rows.append((start, len(from_start), f"{figures[0]:.3f}", f"{figures[1]:.1f}", f"{figures[2]:.0f}"))
    steps = options.search_steps * (options.search_stages + options.search_rounds)
    head = ("start", "songs", "match loss", "processors", "seconds")
    return f"After a search of {steps} steps, {options.search_rounds} rounds of pruning:\n\n{markdown(head, rows)}"


def run(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Evaluates all methods; returns the results as JSON values and as Markdown."""
    module = load_estimator(options.checkpoint)
    judge = Judge(module.processors, module.task.sample_rate)
    songs = progress(test_songs(module, options), "Songs")
    scores: list[MethodScore] = judge.score(songs, methods_of(module, MeanSettings(module)), (ESTIMATOR, MEANS))
    searched = list(islice(test_songs(module, options), options.search_songs))
    searches = short_searches(module, searched, options)
    report: dict[str, Any] = {
        "num_songs": len(scores[0].losses),
        "threshold": float(module.threshold),
        "methods": [score.to_dict() for score in scores],
        "searches": [vars(s) for s in searches],
    }
    head = (
        f"# Estimator on {report['num_songs']} songs\n\nThreshold {report['threshold']:.2f}, match loss before search."
    )
    parts = [head, format_scores(scores)]
    if searches:
        parts.append(format_searches(searches, options))
    return report, "\n\n".join(parts)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    files = options.out / "evaluation.json", options.out / "evaluation.md"
    if (there := [file for file in files if file.exists()]) and not options.overwrite:
        raise FileExistsError(f"out: {there[0]} exists and is kept; choose another folder or give --overwrite")
    report, text = run(options)
    options.out.mkdir(parents=True, exist_ok=True)
    for file, content in zip(files, (json.dumps(report, indent=1) + "\n", text), strict=True):
        write_atomically(file, content.encode())
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
