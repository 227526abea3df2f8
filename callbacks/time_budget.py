"""How long a search will take, and making it fit; and what Ctrl-C does."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Mapping
from statistics import fmean
from typing import Any

import lightning as L
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from callbacks.iterative_pruning import IterativePruning, song_evaluator
from mixgraph.graph import MixGraph
from mixgraph.module import ConsoleModule
from mixgraph.pruning import BruteForce, Hybrid, SongEvaluator

_UNITS = {"s": 1, "m": 60, "h": 3600}
_TIMED_STEPS = 3
_SHARE = 0.85  # of the budget that is planned for; the rest is for what comes before and after
_MIN_STEPS = 5


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
    """Says before training how long the search will take, from a few timed steps; scales it to fit a budget.

    With a budget, steps of all stages are scaled alike; where the trials alone would take more than half of the time
    that is planned (85 % of it), rounds are dropped first. When the budget is spent all the same, the search ends with
    the graph as it is. Ctrl-C does the same; a second one stops at once. A search that goes on from a checkpoint keeps
    the schedule that was made to fit, and has a budget of its own.

    Args:
        budget: such as `20m`; null to run the schedule as it stands.
    """

    def __init__(self, budget: str | None = None) -> None:
        self.budget = None if budget is None else parse_duration(budget)
        self.started = 0.0
        self.schedule: dict[str, int] = {}
        self._stages = 0  # trained in full
        self._previous: Any = None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.started = time.perf_counter()
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, lambda *_: self._interrupt(trainer))
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, IterativePruning):
                callback.listeners.append(lambda *_: self._check(trainer))
        if isinstance(pl_module, ConsoleModule):
            self._keep_schedule(trainer)
            self._estimate(trainer, pl_module)
            self.schedule = _schedule(trainer)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stages = trainer.current_epoch + 1

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._check(trainer)

    def _check(self, trainer: L.Trainer) -> None:
        if self.budget is not None and time.perf_counter() - self.started > self.budget and not trainer.should_stop:
            rank_zero_info("The time budget is spent: the search ends with the graph as it is.")
            trainer.should_stop = True

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def _interrupt(self, trainer: L.Trainer) -> None:
        if trainer.should_stop:
            raise KeyboardInterrupt
        rank_zero_info("\nInterrupted: ending with the graph as it is; once more to stop at once.")
        trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"schedule": self.schedule, "stages": self._stages}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.schedule, self._stages = state_dict["schedule"], state_dict["stages"]

    def _keep_schedule(self, trainer: L.Trainer) -> None:
        """Gives a search that goes on within a budget its schedule; without one, says where it has another."""
        given = _schedule(trainer)
        if not self.schedule or self.schedule == given:
            return
        if self.budget is None:
            told = (", ".join(f"{name}={value}" for name, value in s.items()) for s in (self.schedule, given))
            rank_zero_warn("The checkpoint was made with {}; the search goes on with {}.".format(*told))
            return
        _set_schedule(trainer, self.schedule)

    def _estimate(self, trainer: L.Trainer, module: ConsoleModule) -> None:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        pruning = next((c for c in trainer.callbacks if isinstance(c, IterativePruning)), None)  # type: ignore[attr-defined]
        step_seconds = _time_steps(module, data)
        rounds, stages = (pruning.rounds, pruning.num_stages) if pruning else (0, trainer.max_epochs or 1)
        stages -= self._stages
        past = max(0, self._stages - pruning.console_stages) if pruning else 0
        timed = [(module.part(s).graph, _time_trial(song_evaluator(module, s))) for s in data.songs if pruning]
        trial_seconds = fmean([seconds for _, seconds in timed] or [0.0])

        def trials(rounds: int) -> float:
            return sum(s * _expected_trials(pruning, past, rounds, graph) for graph, s in timed if pruning)

        total = stages * data.steps_per_stage * step_seconds + trials(rounds)
        rank_zero_info(
            f"{len(module.graph.processors)} processors, {stages * data.steps_per_stage} steps of {step_seconds:.2f} s "
            f"and trials of {trial_seconds:.2f} s: about {total / 60:.1f} minutes at most (less as the graph shrinks)."
        )
        if self.schedule or self.budget is None or total <= self.budget * _SHARE:
            return
        available = self.budget * _SHARE
        while rounds > 1 and trials(rounds) > available / 2:
            rounds -= 1
        dropped = (pruning.rounds - rounds) if pruning else 0
        stages -= dropped
        steps = max(_MIN_STEPS, int((available - trials(rounds)) / (stages * step_seconds)))
        fitting = {"data.steps_per_stage": min(data.steps_per_stage, steps)}
        _set_schedule(trainer, fitting | ({"pruning.rounds": rounds} if pruning else {}))
        rank_zero_info(f"To fit the budget: {stages} stages of {data.steps_per_stage} steps, {rounds} pruning rounds.")


def _schedule(trainer: L.Trainer) -> dict[str, int]:
    """The schedule of a search, by the names of its options."""
    found = {"data.steps_per_stage": trainer.datamodule.steps_per_stage}  # type: ignore[attr-defined]
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, IterativePruning):
            found |= {"pruning.console_stages": callback.console_stages, "pruning.rounds": callback.rounds}
    return found


def _set_schedule(trainer: L.Trainer, schedule: Mapping[str, int]) -> None:
    trainer.datamodule.steps_per_stage = schedule["data.steps_per_stage"]  # type: ignore[attr-defined]
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, IterativePruning):
            callback.rounds = schedule["pruning.rounds"]
            trainer.fit_loop.max_epochs = callback.num_stages


def _expected_trials(pruning: IterativePruning, past: int, rounds: int, graph: MixGraph) -> int:
    """The trials of one song after `past` rounds, with those that measure loss increases at both ends."""
    count, types, sampler = len(graph.processors), len(graph.count()), pruning.sampler

    def trials(round_index: int) -> int:
        rule = sampler
        if isinstance(rule, Hybrid) and round_index % rule.period == rule.period - 1:
            rule = rule.brute_force
        if isinstance(rule, BruteForce):
            return 2 * count if rule.order == "loss_increase" else count
        return min(count, 4 * types)

    return sum(map(trials, range(past, rounds))) + 2 * pruning.leave_one_out * count


def _time_steps(module: ConsoleModule, data: Any) -> float:
    clips = data.clips(module.lookahead)
    seconds = []
    for step in range(_TIMED_STEPS + 1):
        clip = data.transfer_batch_to_device(clips(step), module.device, 0)
        started = time.perf_counter()
        module.losses(clip)["loss"].backward()
        seconds.append(time.perf_counter() - started)
    for parameter in module.parameters():
        parameter.grad = None
    return sorted(seconds[1:])[_TIMED_STEPS // 2]  # the first one also pays for what is made once


def _time_trial(evaluator: SongEvaluator) -> float:
    evaluator.evaluate(())
    if not evaluator.graph.processors:
        return 0.0
    started = time.perf_counter()
    evaluator.evaluate((0,))
    return time.perf_counter() - started
