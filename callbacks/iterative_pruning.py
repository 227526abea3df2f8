"""Pruning between the stages of a fit (paper Algorithm 1)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal

import lightning as L

from mixgraph.losses import SongScore
from mixgraph.module import ConsoleModule
from mixgraph.pruning import SongEvaluator, Trial, leave_one_out, make_sampler, prune_round
from mixgraph.songs import Song

OnTrial = Callable[[dict[str, Any], int], None]


class IterativePruning(L.Callback):
    """Prunes at the start of every stage after the console's training: tries, removes, lets the rest train on.

    Args:
        console_stages: stages of training before the first round.
        rounds: of pruning, one a stage.
        sampler: `"brute_force"`, `"dry_wet"` or `"hybrid"`.
        tolerance: how much the whole-song match loss may rise above its lowest value, absolute.
        rule: of the dry/wet sampler, see `DryWet`.
        period: of the hybrid sampler: every period-th round is brute force.
        refresh_min_loss: lower L_min to the current loss at every round (the reference's rule).
        leave_one_out: measure each node's loss increase after console training and at the end (paper eq. 9).
        seed: of the order of candidates.
    """

    def __init__(
        self,
        console_stages: int = 12,
        rounds: int = 12,
        sampler: Literal["brute_force", "dry_wet", "hybrid"] = "hybrid",
        tolerance: float = 0.01,
        rule: Literal["paper", "reference"] = "paper",
        period: int = 4,
        refresh_min_loss: bool = False,
        leave_one_out: bool = True,
        seed: int = 42,
    ) -> None:
        if console_stages < 1 or rounds < 0:
            raise ValueError(f"console_stages, rounds: at least 1 and 0, got {console_stages} and {rounds}")
        if not tolerance >= 0:
            raise ValueError(f"tolerance: at least 0, in units of the match loss, got {tolerance}")
        self.console_stages, self.rounds, self.tolerance = console_stages, rounds, tolerance
        self.sampler = make_sampler(sampler, rule, period)
        self.refresh_min_loss, self.leave_one_out, self.seed = refresh_min_loss, leave_one_out, seed
        self.min_loss: float | None = None
        self.trace: list[dict[str, Any]] = []
        self.console_score: SongScore | None = None
        self.loss_increases: list[float | None] | None = None
        self.trial_seconds = 0.0
        self.listeners: list[OnTrial] = []

    @property
    def num_stages(self) -> int:
        return self.console_stages + self.rounds

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        round_index = trainer.current_epoch - self.console_stages
        if round_index < 0 or self.rounds == 0:
            return
        module = _console(pl_module)
        started = time.perf_counter()
        evaluator = song_evaluator(module, _song(trainer))
        if round_index == 0:
            self._finish_console(trainer, module, evaluator)
        self._round(trainer, module, evaluator, round_index)
        self.trial_seconds += time.perf_counter() - started

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module = _console(pl_module)
        started = time.perf_counter()
        if self.console_score is None:
            self.console_score = module.score(trainer.datamodule.song)  # type: ignore[attr-defined]
        if self.leave_one_out:
            self.loss_increases = self._leave_one_out(trainer, module, song_evaluator(module, _song(trainer)), "end")
        self.trial_seconds += time.perf_counter() - started

    def _finish_console(self, trainer: L.Trainer, module: ConsoleModule, evaluator: SongEvaluator) -> None:
        self.console_score = module.target(_song(trainer)).score(evaluator.mix())
        if self.leave_one_out:
            self._leave_one_out(trainer, module, evaluator, "console")
        module.prune_phase = True

    def _round(self, trainer: L.Trainer, module: ConsoleModule, evaluator: SongEvaluator, round_index: int) -> None:
        graph = module.graph
        labels = [graph.label(i) for i in graph.processors]

        def on_trial(trial: Trial) -> None:
            row = asdict(trial) | {
                "kind": "trial",
                "round": round_index,
                "step": trainer.global_step,
                "candidates": [labels[i] for i in trial.candidates],
            }
            self._record(row, trial.remaining)

        result = prune_round(
            evaluator,
            self.sampler,
            round_index,
            [graph.types[i] for i in graph.processors],
            module.weights.detach().tolist(),
            random.Random(f"{self.seed}/{round_index}"),
            self.min_loss,
            self.tolerance,
            self.refresh_min_loss,
            on_trial,
            lambda: trainer.should_stop,
        )
        self.min_loss = result.min_loss
        removed = {graph.processors[i] for i in result.removed}
        module.prune([i for i in graph.processors if i not in removed])
        self.trace.append(
            {
                "kind": "round",
                "round": round_index,
                "step": trainer.global_step,
                "start_loss": result.start_loss,
                "min_loss": result.min_loss,
                "end_loss": evaluator.evaluate(()).loss,
                "trials": len(result.trials),
                "removed": [labels[i] for i in result.removed],
                "remaining": len(module.graph.processors),
            }
        )

    def _leave_one_out(
        self, trainer: L.Trainer, module: ConsoleModule, evaluator: SongEvaluator, when: str
    ) -> list[float | None]:
        graph = module.graph
        base = evaluator.evaluate(()).loss
        weights = module.weights.detach().tolist()

        def on_trial(index: int, loss: float) -> None:
            row = {
                "kind": "leave_one_out",
                "when": when,
                "step": trainer.global_step,
                "candidates": [graph.label(graph.processors[index])],
                "weight": weights[index],
                "loss": loss,
                "loss_increase": loss - base,
            }
            self._record(row, len(graph.processors))

        return leave_one_out(evaluator, len(graph.processors), on_trial, lambda: trainer.should_stop)

    def _record(self, row: dict[str, Any], remaining: int) -> None:
        self.trace.append(row)
        for listener in self.listeners:
            listener(row, remaining)

    def state_dict(self) -> dict[str, Any]:
        score = None if self.console_score is None else asdict(self.console_score)
        return {"min_loss": self.min_loss, "trace": self.trace, "console_score": score, "seconds": self.trial_seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.min_loss, self.trace = state_dict["min_loss"], state_dict["trace"]
        score = state_dict["console_score"]
        self.console_score = None if score is None else SongScore(**score)
        self.trial_seconds = state_dict["seconds"]


def song_evaluator(module: ConsoleModule, song: Song) -> SongEvaluator:
    """The evaluator of a module's graph, as it is now, on a song."""
    return SongEvaluator(
        module.graph,
        module.processors,
        module.parameters_by_type(),
        module.weights,
        song.sources,
        module.target(song),
        module.evaluation_block,
    )


def _console(module: L.LightningModule) -> ConsoleModule:
    if not isinstance(module, ConsoleModule):
        raise TypeError(f"IterativePruning prunes a ConsoleModule, got {type(module).__name__}")
    return module


def _song(trainer: L.Trainer) -> Song:
    return trainer.datamodule.song  # type: ignore[attr-defined]
