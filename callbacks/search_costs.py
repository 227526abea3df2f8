"""The time that a search takes: measured before it trains, and again from its stages and rounds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, median
from typing import Any

import lightning as L
import torch

from mixgraph.processors import make_processors
from mixgraph.processors.readings import NodeValues
from mixgraph.pruning import Costs, Schedule, SongCosts, SongEvaluator
from mixgraph.pruning.schedule import round_seconds
from mixgraph.report.parametric import fits_bands
from mixgraph.search.module import ConsoleModule

from .iterative_pruning import IterativePruning, song_evaluator

_TIMED_STEPS = 3
_TIMED_TRIALS = 7
_TRIALS_SECONDS = 6.0  # after which no more than the least number of trials is timed
_LEAST_TRIALS = 3
_HELD_UP = 4.0  # times the median: what the machine held up counts as this much
_WRITING = 3.0, 0.013  # seconds of the pictures and the page of a song, and of each of its processors in them
_FITTING = 0.4  # seconds more of each processor whose curve is told by bands: 0.2 to 0.5
_WRITING_RENDERS = 2.0  # times a whole song is rendered and compared for the files of a result
_LEAST_STEPS = 2  # of a stage, before it is believed
_PACES = 0.1, 20.0  # between which a pace is believed


class SearchCosts:
    """The schedule of a search and its costs in time.

    Args:
        trainer: the Trainer of the search.
        module: the module that the Trainer trains.
        pruning: the pruning of the search.
    """

    def __init__(self, trainer: L.Trainer, module: ConsoleModule, pruning: IterativePruning) -> None:
        self.trainer, self.module, self.pruning = trainer, module, pruning
        self.data: Any = trainer.datamodule  # type: ignore[attr-defined]
        self._told_by_bands = _told_by_bands(module)
        self.timed = self._time()
        self._pace: float | None = None  # of trials: how many times slower than they were timed
        self._pruning_seconds = self._total_pruning_seconds()
        self._expected_round = 0.0
        self._stage_started: float | None = None  # when its first step had been taken
        self._stage_steps = 0  # since then
        self._step_seconds = self.timed.step_seconds

    # The schedule.

    def schedule(self) -> Schedule:
        return read_schedule(self.data, self.module, self.pruning)

    def apply(self, schedule: Schedule) -> None:
        """Applies a schedule to the rest of a search: at its start, or at the end of a stage."""
        if self.data.steps_per_stage != schedule.steps_per_stage:
            self.data.steps_per_stage = schedule.steps_per_stage
            self.trainer.reload_dataloaders_every_n_epochs = 1  # type: ignore[attr-defined]  # the next stage has its own length
        self.pruning.console_stages, self.pruning.rounds = schedule.console_stages, schedule.rounds
        self.pruning.leave_one_out = schedule.leave_one_out
        self.pruning.set_sampler(schedule.sampler)
        self.trainer.fit_loop.max_epochs = self.pruning.num_stages
        self.module.regularizers = replace(self.module.regularizers, sparsity_ramp_steps=schedule.sparsity_ramp_steps)

    # What it costs.

    def costs(self) -> Costs:
        """Returns the costs of the rest of the search with the current graph, by the times so far."""
        pace = self._pace
        if pace is None:  # no round yet: what slows steps slows trials
            pace = self.step_seconds / self.timed.step_seconds if self.timed.step_seconds > 0 else 1.0
        return self._costs(pace)

    def _costs(self, pace: float) -> Costs:
        graphs = [self.module.part(song).graph for song in self.data.songs]
        songs = [
            replace(song, processors=len(graph.processors), types=len(graph.count()))
            for song, graph in zip(self.timed.songs, graphs, strict=True)
        ]
        costs = replace(self.timed, songs=tuple(songs), end_seconds=self._writing_seconds(songs))
        return costs.at_pace(self.step_seconds, pace)

    def _writing_seconds(self, songs: Sequence[SongCosts]) -> float:
        """Returns the seconds of writing the results with the current graph."""
        counts = self.module.graph.count()
        fitting = _FITTING * sum(count for node_type, count in counts.items() if node_type in self._told_by_bands)
        return fitting + sum(
            _WRITING[0] + _WRITING[1] * song.processors + _WRITING_RENDERS * song.whole_seconds for song in songs
        )

    @property
    def step_seconds(self) -> float:
        """The time of a step in this stage, once it had enough steps; else in the one before, or as first measured."""
        if self._stage_started is None or self._stage_steps < _LEAST_STEPS:
            return self._step_seconds
        return (time.perf_counter() - self._stage_started) / self._stage_steps

    def after_step(self) -> None:
        """Counts a step; the first one of a stage starts the clock, so that what comes before it does not count."""
        if self._stage_started is None:
            self._stage_started, self._stage_steps = time.perf_counter(), 0
        else:
            self._stage_steps += 1

    def after_stage(self) -> None:
        """Updates the times of steps and trials from the stage that ends now."""
        self._step_seconds = self.step_seconds
        self._stage_started, self._stage_steps = None, 0
        total = self._total_pruning_seconds()
        if total > self._pruning_seconds and self._expected_round > 0:
            self._pace = min(max((total - self._pruning_seconds) / self._expected_round, _PACES[0]), _PACES[1])
        self._pruning_seconds = total

    def expect_round(self, past_stages: int) -> None:
        """Notes the expected time of the next stage's trials, to compare it with the time that they take."""
        past, schedule = past_stages - self.pruning.console_stages, self.schedule()
        expected = 0 <= past < schedule.rounds
        self._expected_round = round_seconds(schedule, self._costs(1.0), past) if expected else 0.0

    def _total_pruning_seconds(self) -> float:
        return sum(record.seconds for record in self.pruning.songs)

    def _time(self) -> Costs:
        songs = []
        for song in self.data.songs:
            graph = self.module.part(song).graph
            whole, trial = time_trials(song_evaluator(self.module, song))
            songs.append(SongCosts(len(graph.processors), len(graph.count()), trial, whole))
        windows = self.pruning.window_tolerance is not None
        return Costs(time_steps(self.module, self.data), tuple(songs), windows, self._writing_seconds(songs))


def _told_by_bands(module: ConsoleModule) -> set[str]:
    """Returns the types of processors whose settings a result tells by bands that are fitted to their curve."""
    processors = make_processors(module.sample_rate, module.processor_options)  # on the CPU, as a result reads them
    types = set()
    for node_type in processors.keys() & module.graph.count().keys():
        values = processors[node_type].sample_initial_values(1, torch.Generator().manual_seed(0), 0.0)
        settings = NodeValues({name: value.double() for name, value in values.items()}, 0.5)
        if fits_bands(processors[node_type].readings(settings)):
            types.add(node_type)
    return types


def read_schedule(data: Any, module: ConsoleModule, pruning: IterativePruning) -> Schedule:
    """Reads the current schedule of a search."""
    return Schedule(
        data.steps_per_stage,
        pruning.console_stages,
        pruning.rounds,
        pruning.sampler_settings,
        pruning.leave_one_out,
        module.regularizers.sparsity_ramp_steps,
    )


def time_steps(module: ConsoleModule, data: Any) -> float:
    """Measures the seconds of a training step. The parameters stay as they are."""
    clips = data.clips(module.lookahead)
    timed = []
    for step in range(_TIMED_STEPS + 1):
        started = _now(module)
        clip = data.transfer_batch_to_device(clips(step), module.device, 0)
        module.losses(clip)["loss"].backward()
        timed.append(_now(module) - started)
    for parameter in module.parameters():
        parameter.grad = None
    return median(timed[1:])  # the first one also pays for what is made once


def _now(module: ConsoleModule) -> float:
    """Returns the time once the device has finished its work."""
    if module.device.type == "cuda":
        torch.cuda.synchronize(module.device)
    return time.perf_counter()


def time_trials(evaluator: SongEvaluator) -> tuple[float, float]:
    """Measures the seconds of rendering a song with an empty cache, and of a trial, averaged over processors.

    A trial renders the processor's chain anew and all that follows, so that one on a track costs another time than one
    in a subgroup: candidates are taken at even steps through all of them, ordered by what they render. None is tried
    twice, for the evaluator keeps every loss.
    """
    started = time.perf_counter()
    evaluator.evaluate(())
    whole, first = time.perf_counter() - started, time.perf_counter()
    timed: list[float] = []
    for candidate in _representative(evaluator):
        if len(timed) >= _LEAST_TRIALS and time.perf_counter() - first > _TRIALS_SECONDS:
            break
        started = time.perf_counter()
        evaluator.evaluate((candidate,))
        timed.append(time.perf_counter() - started)
    if not timed:
        return whole, 0.0
    ceiling = _HELD_UP * median(timed)  # one that the machine held up would shorten the whole schedule
    return whole, fmean([min(seconds, ceiling) for seconds in timed])


def _representative(evaluator: SongEvaluator) -> list[int]:
    """Returns candidates at even steps through all, by the nodes that they render anew; middle and ends come first."""
    types = [evaluator.whole.types[node] for node in evaluator.whole.processors]
    order = sorted(range(len(types)), key=lambda i: (evaluator.count_rerendered((i,)), types[i], i))
    count = min(_TIMED_TRIALS, len(order))
    steps = [order[(2 * k + 1) * len(order) // (2 * count)] for k in range(count)]
    middle = count // 2
    ranks = sorted(range(count), key=lambda k: (k != middle, k not in (0, count - 1), k))
    return [steps[k] for k in ranks]
