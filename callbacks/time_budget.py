"""Predicts the time of a search and fits it to a budget; handles Ctrl-C and SIGTERM."""

from __future__ import annotations

import math
import re
import signal
import threading
import time
from statistics import fmean
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.exceptions import SIGTERMException

from mixgraph.pruning import Costs, Schedule
from mixgraph.pruning.schedule import LEAST_STEPS, describe_changes, fit, least_seconds, seconds
from mixgraph.search.module import ConsoleModule
from mixgraph.search.resuming import stages_trained
from mixgraph.system.threads import ENVIRONMENT, chosen_threads

from .iterative_pruning import IterativePruning, find_pruning
from .search_costs import SearchCosts, read_schedule
from .stage_ending import end_stage

_UNITS = {"s": 1, "m": 60, "h": 3600}
_RESERVE = 0.05  # of the time that is left, kept for what takes longer than it was timed
_OVER = 1.05  # times the time that is left: a schedule that is expected to take more is fitted again
_END_SHARE = 0.5  # of a budget that writing the result may take at most


def parse_duration(text: str) -> float:
    """Converts a duration to seconds, such as `90s`, `20m`, `1h30m`.

    Raises:
        ValueError: the text is no such duration.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"budget: a duration such as 90s, 20m or 1h30m, got {text!r}")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


class TimeBudget(L.Callback):
    """Says before training how long a search that prunes will take, from timed steps and trials; fits it to a budget.

    With a budget, steps of all stages are scaled alike, and training keeps half of the time or more: where trials
    would take the rest, they become fewer, see `mixgraph.pruning.schedule.fit`. The time of reading the songs and of
    writing the results counts. After each stage, what is left of the schedule is compared with the time that is left,
    by what steps and trials took so far, and fitted again where it would take longer; a stage that would take the time
    of those after it ends early. When the budget is spent all the same, the search ends with the graph as it is.

    Ctrl-C ends it likewise; a second one stops at once. SIGTERM ends it after the step or trial at hand, without a
    result; the command that resumes from the last fully trained stage is printed.

    It stands behind an `IterativePruning` that ends stages, so that it sees where they end.

    A search that goes on from a checkpoint has a budget of its own; asked for the same again, with the same budget, it
    keeps the schedule that was made to fit, else it is fitted anew. It computes with as many threads as the checkpoint
    was made with, where these are free, and says so where it does not, for then its last digits may differ.

    Args:
        budget: longest time of the search, such as `20m`; null to run the schedule as it stands.
    """

    def __init__(self, budget: str | None = None) -> None:
        self.budget = None if budget is None else parse_duration(budget)
        self.requested: Schedule | None = None
        self.fitted: Schedule | None = None
        self._started: float | None = None
        self._fitted_for: float | None = None
        self._threads: int | None = None  # of the checkpoint
        self._stages = 0  # trained in full
        self._search: SearchCosts | None = None
        self._end_seconds = 0.0
        self._expected: tuple[float, float] | None = None  # when, and how many seconds were left then
        self._previous: Any = None
        self._spent = self._over = False

    def start_clock(self) -> None:
        """Counts the budget from here on; without it, from `setup` on, when the songs are read."""
        self._started = time.perf_counter()

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self.requested = self.fitted = self._fitted_for = self._threads = None  # of an earlier fit
        self._stages, self._search, self._expected, self._spent = 0, None, None, False
        if self._started is None:
            self.start_clock()

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        self._stages = stages_trained(checkpoint)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._settle_threads()
        pruning = find_pruning(trainer)
        if pruning is None or not isinstance(pl_module, ConsoleModule):
            return
        _check_order(trainer, self, pruning)
        pruning.listeners.append(lambda *_: self._check(trainer))
        self._stages = pruning.stages_past(self._stages)
        requested = read_schedule(trainer.datamodule, pl_module, pruning)  # type: ignore[attr-defined]
        before = self.fitted or self.requested
        if (requested, self.budget) != (self.requested, self._fitted_for):
            self.fitted = None
        if before is not None and (self.fitted or requested) != before:
            changes = describe_changes(requested, before), describe_changes(before, requested)
            rank_zero_warn(
                "The checkpoint was made with {}; the search goes on with {}.".format(*map(", ".join, changes))
            )
        self.requested = requested
        self._search = search = SearchCosts(trainer, pl_module, pruning)
        if self.fitted is not None:
            search.apply(self.fitted)
        self._estimate(search)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._over = False
        if threading.current_thread() is threading.main_thread():
            before = self._previous = signal.getsignal(signal.SIGINT)
            signal.signal(signal.SIGINT, lambda number, _: self._interrupt(trainer, number, before))

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._check(trainer)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._check(trainer)
        if self._search is None:
            return
        self._search.after_step()
        past, steps = self._search.pruning.stages_past(trainer.current_epoch + 1), batch_idx + 1
        if LEAST_STEPS <= steps < trainer.num_training_batches and self._is_long_enough(trainer, past, steps):
            rank_zero_info(f"Longer than planned: the stage ends after {steps} steps, to leave time for the rest.")
            end_stage(trainer, steps)
        if steps >= trainer.num_training_batches:  # before any checkpoint of the stage is written
            self._search.after_stage()
            self._fit_again(trainer, self._search, past)
            self._search.expect_round(past)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        pruning = find_pruning(trainer)
        if not self._spent or pruning is None or not isinstance(pl_module, ConsoleModule) or pl_module.prune_phase:
            return
        if self.requested is None or not self.requested.rounds:
            return
        # The last line of the search: the result's own, with the command to go on, stands above it.
        rank_zero_info(
            f"The budget was spent before the first round of pruning: all {len(pl_module.graph.processors)} processors "
            f"are left. HINT: a longer budget, --budget {self._longer_budget()}, here or with the command to go on"
        )

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._over = True

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self._over, self._started = True, None
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def seconds_left(self) -> float | None:
        """The expected seconds of the rest of the search; None where nothing was timed."""
        if self._expected is None:
            return None
        at, left = self._expected
        return max(0.0, left - (time.perf_counter() - at))

    def state_dict(self) -> dict[str, Any]:
        schedules = {"asked": self.requested, "fitted": self.fitted}
        states = {name: None if schedule is None else schedule.state() for name, schedule in schedules.items()}
        return states | {"budget": self._fitted_for, "threads": torch.get_num_threads()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.requested, self.fitted = (
            None if state_dict[name] is None else Schedule.from_state(state_dict[name]) for name in ("asked", "fitted")
        )
        self._fitted_for, self._threads = state_dict["budget"], state_dict.get("threads")

    # Endings.

    def _elapsed(self) -> float:
        return 0.0 if self._started is None else time.perf_counter() - self._started

    def _available(self) -> float:
        """The seconds of the budget that are left, with those of writing the result, but for a reserve."""
        assert self.budget is not None
        return (self.budget - self._elapsed()) * (1 - _RESERVE)

    def _check(self, trainer: L.Trainer) -> None:
        if trainer.received_sigterm:
            raise SIGTERMException
        if self.budget is None or trainer.should_stop:
            return
        writing = min(self._end_seconds, _END_SHARE * self.budget)
        if self._elapsed() > self.budget - writing:
            rank_zero_info("The time budget is spent: the search ends with the graph as it is.")
            trainer.should_stop = self._spent = True

    def _interrupt(self, trainer: L.Trainer, number: int, before: Any) -> None:
        if self._over:  # Lightning puts this handler back behind a fit that failed
            signal.signal(number, before)
            signal.raise_signal(number)
            return
        if trainer.should_stop:
            raise KeyboardInterrupt
        trainer.should_stop = True  # first: the second signal may come while the message is printed
        rank_zero_info("\nInterrupted: ending with the graph as it is; once more to stop at once.")

    # Threads.

    def _settle_threads(self) -> None:
        choice, saved = chosen_threads(), self._threads
        reason = "" if choice is None else f" ({choice.reason})"
        if choice is not None and not choice.fixed and saved is not None and saved < choice.threads:
            torch.set_num_threads(saved)  # a resumed search ends as one that was not stopped
            reason = ", as the search had before"
        threads = torch.get_num_threads()
        if choice is not None:
            rank_zero_info(f"Computing with {threads} thread{'' if threads == 1 else 's'}{reason}.")
        if saved not in (None, threads):
            rank_zero_warn(
                f"The checkpoint was made with {saved} thread{'' if saved == 1 else 's'}, the search goes on with "
                f"{threads}: results may differ in the last digits. HINT: {ENVIRONMENT}={saved} goes on as before"
            )

    # Schedules.

    def _expect(self, schedule: Schedule, costs: Costs, past_stages: int) -> float:
        total = seconds(schedule, costs, past_stages)
        self._expected, self._end_seconds = (time.perf_counter(), total), costs.end_seconds
        return total

    def _estimate(self, search: SearchCosts) -> None:
        costs, schedule = search.costs(), search.schedule()
        stages = schedule.console_stages + schedule.rounds - self._stages
        trial = fmean([song.trial_seconds for song in costs.songs])
        count, total = len(search.module.graph.processors), self._expect(schedule, costs, self._stages)
        rank_zero_info(
            f"{count} processors, {stages * schedule.steps_per_stage} steps of {costs.step_seconds:.2f} s or less and "
            f"trials of {trial:.2f} s: about {_minutes(total)}."
        )
        if self.budget is None or self.fitted is not None or total <= self._available():
            return
        self._refit(search, costs, self._stages, "To fit the budget")
        assert self.fitted is not None
        least = max(least_seconds(schedule, costs, self._stages), seconds(self.fitted, costs, self._stages))
        least = least / (1 - _RESERVE) + self._elapsed()
        if self.budget < least:
            rank_zero_warn(
                f"budget: too short to train and prune this console, which takes {_duration(least)} at least. "
                "HINT: a longer budget, or shorter chains (model.track_chain, model.subgroup_chain)"
            )

    def _refit(self, search: SearchCosts, costs: Costs, past_stages: int, why: str) -> None:
        assert self.requested is not None
        before = search.schedule()
        self.fitted = fitted = fit(self.requested, costs, self._available(), past_stages)
        self._fitted_for = self.budget
        if fitted == before:
            return
        search.apply(fitted)
        stages, total = fitted.console_stages + fitted.rounds - past_stages, self._expect(fitted, costs, past_stages)
        rank_zero_info(
            f"{why}: {stages} stage{'' if stages == 1 else 's'} of {fitted.steps_per_stage} steps, {fitted.rounds} "
            f"pruning round{'' if fitted.rounds == 1 else 's'} ({', '.join(describe_changes(before, fitted))}): about "
            f"{_minutes(total)}."
        )

    def _fit_again(self, trainer: L.Trainer, search: SearchCosts, past_stages: int) -> None:
        """After a stage: fits what is left of the schedule to what is left of the budget, where that is too little."""
        schedule, costs = search.schedule(), search.costs()
        total = self._expect(schedule, costs, past_stages)
        ended = trainer.should_stop or past_stages >= schedule.console_stages + schedule.rounds
        if self.budget is None or ended or total <= _OVER * self._available():
            return
        self._refit(search, costs, past_stages, "Longer than planned; to fit the budget")

    def _is_long_enough(self, trainer: L.Trainer, past_stages: int, steps: int) -> bool:
        """Whether a stage that takes longer than planned should end: those after it would get no more steps."""
        if self.budget is None or self._search is None or self.requested is None:
            return False
        schedule, costs, available = self._search.schedule(), self._search.costs(), self._available()
        rest = seconds(schedule, costs, past_stages)
        if (trainer.num_training_batches - steps) * costs.step_seconds + rest <= _OVER * available:
            return False
        if past_stages >= schedule.console_stages + schedule.rounds:
            return rest + costs.step_seconds > available
        return steps >= fit(self.requested, costs, available, past_stages).steps_per_stage

    def _longer_budget(self) -> str:
        assert self._search is not None
        assert self.requested is not None
        return _duration(2 * least_seconds(self.requested, self._search.costs(), 0) / (1 - _RESERVE))


def _check_order(trainer: L.Trainer, budget: TimeBudget, pruning: IterativePruning) -> None:
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    if pruning.stage_ending.least_fall is not None and callbacks.index(budget) < callbacks.index(pruning):
        raise ValueError(
            "callbacks: IterativePruning is needed before TimeBudget, which counts the stages that it ends, got it "
            "behind. HINT: put IterativePruning first, or leave out ending"
        )


def _minutes(total: float) -> str:
    return f"{total / 60:.1f} minutes"


def _duration(total: float) -> str:
    return f"{math.ceil(total)}s" if total < 60 else f"{math.ceil(total / 60)}m"
