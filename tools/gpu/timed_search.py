"""Times trials, rounds and whole searches."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from callbacks.iterative_pruning import IterativePruning, song_evaluator
from datamodules import SongData
from mixgraph.pruning import BruteForce, RoundResult, Schedule, prune_round
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule
from mixgraph.songs.song import Song
from tools.bench.clock import StageClock
from tools.gpu.timing import wall_seconds

CPU = torch.device("cpu")
TOLERANCE = 0.03  # the tolerance of searches


def trial_seconds(module: ConsoleModule, song: Song, trials: int, early_stop: bool = False) -> list[float]:
    """Times trials of single processors spread over the graph, without the first evaluation, which fills caches."""
    evaluator = song_evaluator(module, song)
    loss = evaluator.evaluate(()).loss
    count = len(module.part(song).graph.processors)
    bound = loss + TOLERANCE if early_stop else None
    picked = range(0, count, max(1, count // trials))
    return [wall_seconds(partial(evaluator.evaluate, (i,), bound), module.device) for i in picked]


def prune_once(module: ConsoleModule, song: Song) -> RoundResult:
    """Runs a pruning round of the default sampler, as a search does."""
    graph = module.part(song).graph
    return prune_round(
        song_evaluator(module, song),
        BruteForce("loss_increase"),
        0,
        [graph.types[i] for i in graph.processors],
        module.part(song).weights.tolist(),
        random.Random(0),
        None,
        TOLERANCE,
    )


@dataclass(frozen=True)
class SearchRecord:
    """The times and results of a search.

    Attributes:
        clock: the seconds of its stages, from the start of the fit on.
        start: the seconds before that, in which delays are initialised from the mix and targets transformed.
        trials: the number of trials of each round.
        ended: True if the search was complete before its deadline.
        loss: the match loss of the whole song at the end.
        processors: the number of processors before and after the search.
        module: the module with the pruned graph.
    """

    clock: StageClock
    start: float
    trials: tuple[int, ...]
    ended: bool
    loss: float
    processors: tuple[int, int]
    module: ConsoleModule

    @property
    def details(self) -> dict[str, Any]:
        """Returns the times of each stage, for the JSON file."""
        clock = self.clock
        return {
            "steps": clock.steps,
            "training": clock.training,
            "pruning": clock.before,
            "trials": self.trials,
            "processors": clock.processors,
            "start": self.start,
        }


def run_search(data: SongData, schedule: Schedule, device: torch.device, seconds: float) -> SearchRecord:
    """Runs a search with Lightning, as the command line does, but stops it after some seconds."""
    module = ConsoleModule(sample_rate=data.sample_rate, warm_up_seconds=data.warm_up / data.sample_rate)
    module.regularizers = replace(module.regularizers, sparsity_ramp_steps=schedule.sparsity_ramp_steps)
    pruning = IterativePruning(schedule.console_stages, schedule.rounds, leave_one_out=schedule.leave_one_out)
    clock = StageClock(time.monotonic() + seconds)
    pruning.listeners.append(lambda *_: clock.check(module.trainer))
    callbacks = [pruning, clock]
    accelerator = "gpu" if device.type == "cuda" else "cpu"
    started = time.perf_counter()
    search(module, data, callbacks, pruning.num_stages, accelerator, enable_progress_bar=False)
    start = time.perf_counter() - started - clock.total
    ended = len(clock.training) == pruning.num_stages and time.monotonic() < clock.deadline
    trials = tuple(row["trials"] for row in pruning.trace if row["kind"] == "round")
    module.to(device)
    loss = module.score(data.song).loss["full"]
    counts = sum(module.initial_counts[0].values()), len(module.graph.processors)
    return SearchRecord(clock, start, trials, ended, loss, counts, module)
