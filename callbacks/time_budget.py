"""How long a search will take, and making it fit; and what Ctrl-C does."""

from __future__ import annotations

import math
import re
import signal
import threading
import time
from dataclasses import asdict, replace
from statistics import fmean, median
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from callbacks.iterative_pruning import IterativePruning, song_evaluator
from mixgraph.module import ConsoleModule
from mixgraph.pruning import Costs, Schedule, SongCosts, SongEvaluator
from mixgraph.pruning.schedule import describe_changes, fit, least_seconds, seconds

_UNITS = {"s": 1, "m": 60, "h": 3600}
_TIMED_STEPS = _TIMED_TRIALS = 3
_SHARE = 0.85  # of the budget that is planned for; the rest is for what comes before and after


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `90s`, `20m`, `1h30m`.

    Raises:
        ValueError: anything else.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"budget: a duration such as 90s, 20m or 1h30m, got {text!r}")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


class TimeBudget(L.Callback):
    """Says before training how long a search that prunes will take, from a few timed steps; scales it to fit a budget.

    With a budget, steps of all stages are scaled alike, and training keeps half of the time that is planned (85 % of
    the budget) or more: where trials would take the rest, they become fewer, see `mixgraph.pruning.schedule.fit`. When
    the budget is spent all the same, the search ends with the graph as it is. Ctrl-C does the same; a second one stops
    at once. A search that goes on from a checkpoint has a budget of its own; asked for the same again, with the same
    budget, it keeps the schedule that was made to fit, else it is fitted anew.

    Args:
        budget: such as `20m`; null to run the schedule as it stands.
    """

    def __init__(self, budget: str | None = None) -> None:
        self.budget = None if budget is None else parse_duration(budget)
        self.started = 0.0
        self.asked: Schedule | None = None
        self.fitted: Schedule | None = None
        self._fitted_for: float | None = None
        self._stages = 0  # trained in full
        self._previous: Any = None
        self._over = False

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self.asked = self.fitted = self._fitted_for = None  # of an earlier fit
        self._stages = 0

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        self._stages = checkpoint["epoch"] + 1

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.started = time.perf_counter()
        pruning = _pruning(trainer)
        if pruning is None or not isinstance(pl_module, ConsoleModule):
            return
        pruning.listeners.append(lambda *_: self._check(trainer))
        search = _Search(trainer, pl_module, pruning)
        asked, before = search.schedule(), self.fitted or self.asked
        if (asked, self.budget) != (self.asked, self._fitted_for):
            self.fitted = None
        if before is not None and (self.fitted or asked) != before:
            told = describe_changes(asked, before), describe_changes(before, asked)
            rank_zero_warn("The checkpoint was made with {}; the search goes on with {}.".format(*map(", ".join, told)))
        self.asked = asked
        if self.fitted is not None:
            search.take(self.fitted)
        self._estimate(search)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._over = False
        if threading.current_thread() is threading.main_thread():
            before = self._previous = signal.getsignal(signal.SIGINT)
            signal.signal(signal.SIGINT, lambda number, _: self._interrupt(trainer, number, before))

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._check(trainer)

    def _check(self, trainer: L.Trainer) -> None:
        if self.budget is not None and time.perf_counter() - self.started > self.budget and not trainer.should_stop:
            rank_zero_info("The time budget is spent: the search ends with the graph as it is.")
            trainer.should_stop = True

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._over = True

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._over = True
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def _interrupt(self, trainer: L.Trainer, number: int, before: Any) -> None:
        if self._over:  # Lightning puts this handler back behind a fit that failed
            signal.signal(number, before)
            signal.raise_signal(number)
            return
        if trainer.should_stop:
            raise KeyboardInterrupt
        rank_zero_info("\nInterrupted: ending with the graph as it is; once more to stop at once.")
        trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        kept = {name: None if s is None else asdict(s) for name, s in (("asked", self.asked), ("fitted", self.fitted))}
        return kept | {"budget": self._fitted_for}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.asked, self.fitted = (None if (s := state_dict[n]) is None else Schedule(**s) for n in ("asked", "fitted"))
        self._fitted_for = state_dict["budget"]

    def _estimate(self, search: _Search) -> None:
        costs, schedule = search.costs(), search.schedule()
        stages = schedule.console_stages + schedule.rounds - self._stages
        trial = fmean([song.trial_seconds for song in costs.songs])
        count, total = len(search.module.graph.processors), seconds(schedule, costs, self._stages)
        rank_zero_info(
            f"{count} processors, {stages * schedule.steps_per_stage} steps of {costs.step_seconds:.2f} s or less and "
            f"trials of {trial:.2f} s: about {total / 60:.1f} minutes."
        )
        if self.budget is None or self.fitted is not None or total <= self.budget * _SHARE:
            return
        available = self.budget * _SHARE
        self.fitted = fitted = fit(schedule, costs, available, self._stages)
        self._fitted_for = self.budget
        search.take(fitted)
        stages = fitted.console_stages + fitted.rounds - self._stages
        changes = ", ".join(describe_changes(schedule, fitted))
        rank_zero_info(
            f"To fit the budget: {stages} stages of {fitted.steps_per_stage} steps, {fitted.rounds} pruning "
            f"round{'' if fitted.rounds == 1 else 's'} ({changes})."
        )
        least = max(least_seconds(schedule, costs, self._stages), seconds(fitted, costs, self._stages)) / _SHARE
        duration = f"{math.ceil(least)}s" if least < 60 else f"{math.ceil(least / 60)}m"
        if self.budget < least or seconds(fitted, costs, self._stages) > available:
            rank_zero_warn(
                f"budget: too short to train and prune this console, which takes {duration} at least. "
                "HINT: a longer budget, or shorter chains (model.track_chain, model.subgroup_chain)"
            )


def _pruning(trainer: L.Trainer) -> IterativePruning | None:
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return next((c for c in callbacks if isinstance(c, IterativePruning)), None)


class _Search:
    """What a schedule is of: read, timed, changed."""

    def __init__(self, trainer: L.Trainer, module: ConsoleModule, pruning: IterativePruning) -> None:
        self.trainer, self.module, self.pruning = trainer, module, pruning
        self.data: Any = trainer.datamodule  # type: ignore[attr-defined]

    def schedule(self) -> Schedule:
        pruning = self.pruning
        return Schedule(
            self.data.steps_per_stage,
            pruning.console_stages,
            pruning.rounds,
            pruning.sampler_name,
            pruning.period,
            pruning.leave_one_out,
            self.module.regularizers.sparsity_ramp_steps,
        )

    def take(self, schedule: Schedule) -> None:
        self.data.steps_per_stage = schedule.steps_per_stage
        self.pruning.rounds, self.pruning.leave_one_out = schedule.rounds, schedule.leave_one_out
        self.pruning.use(schedule.sampler, schedule.period)
        self.trainer.fit_loop.max_epochs = self.pruning.num_stages
        self.module.regularizers = replace(self.module.regularizers, sparsity_ramp_steps=schedule.sparsity_ramp_steps)

    def costs(self) -> Costs:
        songs = []
        for song in self.data.songs:
            graph = self.module.part(song).graph
            timed = _time_trial(song_evaluator(self.module, song))
            songs.append(SongCosts(len(graph.processors), len(graph.count()), timed))
        measures, windows = self.pruning.order == "loss_increase", self.pruning.window_tolerance is not None
        return Costs(_time_steps(self.module, self.data), tuple(songs), measures, windows)


def _time_steps(module: ConsoleModule, data: Any) -> float:
    clips = data.clips(module.lookahead)
    timed = []
    for step in range(_TIMED_STEPS + 1):
        clip = data.transfer_batch_to_device(clips(step), module.device, 0)
        started = _now(module)
        module.losses(clip)["loss"].backward()
        timed.append(_now(module) - started)
    for parameter in module.parameters():
        parameter.grad = None
    return median(timed[1:])  # the first one also pays for what is made once


def _now(module: ConsoleModule) -> float:
    """The time when the device has done what it was given."""
    if module.device.type == "cuda":
        torch.cuda.synchronize(module.device)
    return time.perf_counter()


def _time_trial(evaluator: SongEvaluator) -> float:
    evaluator.evaluate(())
    if not evaluator.graph.processors:
        return 0.0
    timed = []
    for _ in range(_TIMED_TRIALS):
        started = time.perf_counter()
        evaluator.evaluate((0,))
        timed.append(time.perf_counter() - started)
    return median(timed)  # one that the machine held up would shorten the whole schedule
