"""Searches a song of 4 minutes and 24 tracks by a shortened schedule, and extrapolates to the default schedule."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

from mixgraph.pruning.schedule import seconds as expected_seconds
from mixgraph.songs.song import Song
from tools.bench.cases import Case
from tools.gpu.context import Context, Unavailable
from tools.gpu.timed_search import run_search, trial_seconds
from tools.gpu.timing import device_seconds, wall_seconds
from tools.gpu.workloads import DEFAULT_SCHEDULE, QUICK, MadeSongData, Training, costs_of, make_training

GOAL_SECONDS = 90.0
_SHARE_OF_TRAINING, _SHARE_OF_TRIALS = 0.2, 0.6  # shares of the time that is left, in the shortened search
_LEAST_SECONDS = 15.0
_STAGES, _MOST_ROUNDS = 1, 2  # in the shortened search
_TRIALS = 1.5  # evaluations in a brute-force round for each processor: it measures all of them, and tries about half


def run(context: Context) -> None:
    case = replace(QUICK, tracks=3) if context.quick else Case(tracks=24, seconds=240.0, kind="mono")
    label = f"{case.tracks} tracks, {case.seconds:g} s"
    started = time.monotonic()
    training, song = make_training(case, context.device)
    context.add(f"{label}: making the song", time.monotonic() - started, "s")
    step, trial = _parts(context, label, training, song)
    schedule = DEFAULT_SCHEDULE
    total = expected_seconds(schedule, costs_of(training.module, 1, step, trial))
    _against_goal(context, f"{label}: default schedule, by the search's own estimate", total)
    processors = len(training.module.graph.processors)
    del training
    if context.left < _LEAST_SECONDS and not context.quick:
        raise Unavailable("no time left for the scaled search")
    with context.part(f"{label}: the schedule, scaled"):
        data = MadeSongData([song], steps_per_stage=1, scored_seconds=case.scored_seconds)
        a_round = _TRIALS * processors * trial
        rounds = min(_MOST_ROUNDS, int(_SHARE_OF_TRIALS * context.left / a_round))
        if context.quick:
            rounds = 1
        if rounds == 0:
            raise Unavailable(f"a round is expected to take {a_round:.0f} s, of {context.left:.0f} s that are left")
        _scaled(context, label, data, step, rounds)


def _parts(context: Context, label: str, training: Training, song: Song) -> tuple[float, float]:
    """Measures the parts of a search of such a song; returns the median seconds of a step and of a trial."""
    module = training.module
    repeats = 2 if context.quick else 10
    steps = device_seconds(training.step, context.device, repeats, 5)
    context.add_times(f"{label}: step", steps)
    context.add(f"{label}: score of the song", wall_seconds(lambda: module.score(song), context.device), "s")
    trials = trial_seconds(module, song, 4 if context.quick else 10)
    context.add_times(f"{label}: one trial, whole song", trials)
    if context.on_card:
        with context.part(f"{label}: trials with more memory"):
            before = module.rendering
            module.rendering = replace(before, trial_memory_gb=16.0)
            context.add_times(f"{label}: one trial, 16 GB of caches", trial_seconds(module, song, 10))
            module.rendering = replace(before, trial_memory_gb=16.0, block=1 << 21)
            larger = trial_seconds(module, song, 10)
            context.add_times(f"{label}: one trial, 16 GB of caches, blocks of 2^22 samples", larger)
            module.rendering = before
    return statistics.median(steps), statistics.median(trials)


def _scaled(context: Context, label: str, data: MadeSongData, step: float, rounds: int) -> None:
    """Searches with few steps and one or two rounds, and extrapolates: missing rounds cost as much as the last."""
    budget = context.left
    count = max(2, min(DEFAULT_SCHEDULE.steps_per_stage, int(_SHARE_OF_TRAINING * budget / step / (_STAGES + rounds))))
    if context.quick:
        count = 2
    data.steps_per_stage = count
    schedule = replace(
        DEFAULT_SCHEDULE, steps_per_stage=count, console_stages=_STAGES, rounds=rounds, leave_one_out=False
    )
    record = run_search(data, schedule, context.device, 0.9 * budget)
    clock = record.clock
    reason = "" if record.ended else "cut by time"
    name = f"{label}: search of {_STAGES} + {rounds} stages of {count} steps"
    context.add(name, clock.total, "s", reason=reason, details=record.details)
    if not record.ended:
        raise Unavailable("the scaled search was cut: nothing to extrapolate from")
    step_seconds_by_stage = [
        seconds / max(1, steps) for seconds, steps in zip(clock.training, clock.steps, strict=True)
    ]
    costs = [
        (pruning, DEFAULT_SCHEDULE.steps_per_stage * step_seconds)
        for pruning, step_seconds in zip(clock.before[_STAGES:], step_seconds_by_stage[_STAGES:], strict=True)
    ]
    costs += [costs[-1]] * (DEFAULT_SCHEDULE.rounds - len(costs))
    console = DEFAULT_SCHEDULE.console_stages * DEFAULT_SCHEDULE.steps_per_stage * step_seconds_by_stage[0]
    trial = clock.before[_STAGES] / max(1, record.trials[0])
    ends = trial * (record.processors[0] + record.processors[1])  # leave-one-out after the console and at the end
    total = console + sum(pruning + training for pruning, training in costs) + ends + record.start
    _against_goal(context, f"{label}: default schedule (6000 + 12 x 500), extrapolated from it", total)


def _against_goal(context: Context, name: str, seconds: float) -> None:
    goal = f"goal: below {GOAL_SECONDS:g} s"
    if context.quick:
        context.add(name, seconds, "s")
    else:
        context.add(name, seconds, "s", goal, "goal met" if seconds < GOAL_SECONDS else "goal missed")
