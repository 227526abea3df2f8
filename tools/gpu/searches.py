"""Section 3: measures a trial, a round and a whole search of the demo on GPU and CPU; then a large song."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

import torch

from datamodules import SongData
from mixgraph.pruning import RoundResult, Schedule
from mixgraph.search.module import ConsoleModule
from mixgraph.songs.song import Song
from tools.bench.cases import DEMO
from tools.gpu import large_song
from tools.gpu.context import Context
from tools.gpu.timed_search import CPU, SearchRecord, prune_once, run_search, trial_seconds
from tools.gpu.timing import device_seconds, wall_seconds
from tools.gpu.workloads import (
    DEMO_SCHEDULE,
    LOSS_INCREASE,
    MadeSongData,
    demo_case,
    made_song,
    make_training,
)

QUICK_SCHEDULE = Schedule(2, 1, 1, LOSS_INCREASE, False, 10)


def run(context: Context) -> None:
    with context.part("demo: a trial and a round"):
        _trials_and_round(context)
    with context.part("demo: a search"):
        _demo(context)
    with context.part("large song"):
        large_song.run(context)


def _trials_and_round(context: Context) -> None:
    training, song = make_training(demo_case(context.quick), context.device)
    for _ in range(4 if context.quick else 60):
        training.step()
    module = training.module
    trial_seconds(module, song, 3)
    context.add_times("demo: one trial, whole song", trial_seconds(module, song, 12))
    context.add_times("demo: one trial, with early stop", trial_seconds(module, song, 12, early_stop=True))
    samples = [wall_seconds(lambda: module.score(song), module.device) for _ in range(3)]
    context.add_times("demo: score of the whole song", samples)
    rounds: list[RoundResult] = []
    seconds = wall_seconds(lambda: rounds.append(prune_once(module, song)), module.device)
    details = {"trials": len(rounds[0].trials), "removed": len(rounds[0].removed)}
    context.add("demo: one round of brute force", seconds, "s", details=details)
    if context.on_card:
        _other_blocks(context, module, song)


def _other_blocks(context: Context, module: ConsoleModule, song: Song) -> None:
    """Measures trials with other block sizes, since the default was chosen on CPUs."""
    before = module.rendering
    for power in (19, 21):
        with context.part(f"demo: blocks of 2^{power}"):
            module.rendering = replace(before, block=1 << power)
            trial_seconds(module, song, 2)
            name = f"demo: one trial, blocks of 2^{power + 1} samples"
            context.add_times(name, trial_seconds(module, song, 12))
    module.rendering = before
    with context.part("demo: tracks on the card"):
        song_on_device = replace(song, sources=song.sources.to(module.device), mix=song.mix.to(module.device))
        trial_seconds(module, song_on_device, 2)
        context.add_times("demo: one trial, tracks held on the card", trial_seconds(module, song_on_device, 12))


def _demo(context: Context) -> None:
    """Searches by configs/demo.yaml, leave-one-out at both ends, but with 300 instead of 400 console steps."""
    if context.quick:
        song = made_song(demo_case(True), 0)
        data: SongData = MadeSongData([song], steps_per_stage=2, scored_seconds=1.0)
        schedule = QUICK_SCHEDULE
    else:
        data, schedule = SongData(str(DEMO), cache_dir=None, steps_per_stage=50), DEMO_SCHEDULE
    data.setup("fit")  # reads the song
    record = run_search(data, schedule, context.device, 0.6 * context.left)
    clock = record.clock
    console = schedule.console_stages
    reason = "" if record.ended else "cut by time"
    context.add("demo: a search", clock.total, "s", reason=reason, details=record.details)
    context.add("demo: what comes before its first step", record.start, "s")
    context.add(
        "demo: its loss", record.loss, "", reason=f"{record.processors[0]} -> {record.processors[1]} processors"
    )
    step = sum(clock.training[:console]) / max(1, sum(clock.steps[:console]))
    context.add("demo: a step of it, Lightning included", 1000 * step, "ms")
    if context.on_card:
        with context.part("demo: the same search on the CPU"):
            _on_cpu(context, record, schedule)


def _on_cpu(context: Context, record: SearchRecord, schedule: Schedule) -> None:
    """Estimates the CPU's time: steps and trials timed on all cores, times their numbers in the GPU's search."""
    training, song = make_training(demo_case(context.quick), CPU)
    steps, trials = [], []
    full = len(training.module.graph.processors)
    for module in (training.module, record.module.to(CPU)):
        if module is not training.module:
            training.module, training.optimizer = module, module.configure_optimizers()
            if module.loudest is not None:
                module.loudest = module.loudest.to(CPU)
        steps.append(statistics.median(device_seconds(training.step, CPU, 5, 1)))
        trials.append(statistics.median(trial_seconds(module, song, 5)))
    least = len(record.module.graph.processors)

    def between(costs: Sequence[float], processors: int) -> float:
        share = (processors - least) / (full - least) if full > least else 1.0
        return costs[1] + share * (costs[0] - costs[1])

    clock = record.clock
    seconds = sum(n * between(steps, p) for n, p in zip(clock.steps, clock.processors, strict=False))
    before = clock.processors[schedule.console_stages - 1 :]
    seconds += sum(n * between(trials, p) for n, p in zip(record.trials, before, strict=False))
    seconds += full * trials[0] + least * trials[1] if schedule.leave_one_out else 0.0
    details = {"step": steps, "trial": trials, "threads": torch.get_num_threads(), "processors": [full, least]}
    context.add("demo: the same search on the CPU, extrapolated", seconds, "s", details=details)
    context.add("demo: a step on the CPU", 1000 * steps[0], "ms")
    context.add("demo: a trial on the CPU", 1000 * trials[0], "ms")
    if clock.total:
        context.add("demo: the card against the CPU", seconds / clock.total, "x", reason="" if record.ended else "cut")
