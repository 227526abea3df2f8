"""Pruning between the stages of a fit (paper Algorithm 1)."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Collection
from dataclasses import asdict
from statistics import fmean
from typing import Any

import lightning as L
from lightning.pytorch.utilities import rank_zero_info

from mixgraph.graph import prune, song_nodes
from mixgraph.losses import SongScore
from mixgraph.pruning import (
    Rule,
    SamplerSettings,
    SongEvaluator,
    SongRecord,
    Trial,
    leave_one_out,
    prune_round,
)
from mixgraph.results.changes import processor_labels
from mixgraph.search.module import ConsoleModule
from mixgraph.search.resuming import check_settings, constructor_settings
from mixgraph.songs import Song

from .stage_ending import StageEnding, end_stage

OnTrial = Callable[[Song, dict[str, Any], int], None]
"""Called after every trial with the song, the row of its trace, and the number of its processors that are left."""


MAX_STAGES = 10_000  # a round that removes nothing is the last that can change anything


class IterativePruning(L.Callback):
    """Prunes at the start of every stage after the console's training: tries, removes, lets the rest train on.

    Several songs are tried one after the other, each with its own loss, order of candidates and record; the
    removals of all songs are applied at once.

    Args:
        console_stages: stages of training before the first round.
        rounds: rounds of pruning, one at the start of every later stage.
        sampler: `"brute_force"`, `"dry_wet"`, `"hybrid"`, or the registered name of a sampler of your own.
            Trials are cheap, so that brute force is the default.
        tolerance: largest rise of the whole-song match loss above its lowest value, absolute. The paper's is 0.01 on
            a loss over the prediction's norm; see docs/decisions.md for what 0.02, 0.03 and 0.05 give.
        window_tolerance: largest rise of the loss of any window of 2.8 s in a round, which protects short and quiet
            parts; None lets the whole song's mean alone decide.
        rule: rule of the dry/wet sampler, see `DryWet`.
        period: every period-th round of the hybrid sampler is brute force.
        order: order of brute force: `"random"`, `"weight"`, `"loss_increase"`, or the name that an order of your own
            is registered by; see `mixgraph.pruning.orders`.
        refresh_min_loss: lower L_min to the current loss at every round (the published code's rule).
        ending: a stage ends when the match loss of the whole song, without other terms of the objective, has fallen by
            less than this in the last `ending_steps` steps, so that the schedule's steps are a bound; the training of
            the console then ends as a whole. The last stage, over which the learning rate falls, is trained in full.
            None trains all steps.
        ending_steps: steps between two measurements for `ending`, each of which renders the song once.
        leave_one_out: measure each node's loss increase after console training and at the end (paper eq. 9).
        seed: seeds the order of candidates.
        sampler_options: further arguments of a sampler of your own.
    """

    def __init__(
        self,
        console_stages: int = 12,
        rounds: int = 12,
        sampler: str = "brute_force",
        tolerance: float = 0.03,
        window_tolerance: float | None = None,
        rule: Rule = "paper",
        period: int = 4,
        order: str = "loss_increase",
        refresh_min_loss: bool = False,
        leave_one_out: bool = True,
        seed: int = 42,
        sampler_options: dict[str, Any] | None = None,
        ending: float | None = None,
        ending_steps: int = 25,
    ) -> None:
        self.settings = constructor_settings(locals())
        if not (1 <= console_stages <= MAX_STAGES and 0 <= rounds <= MAX_STAGES):
            raise ValueError(
                f"console_stages, rounds: at least 1 and 0, at most {MAX_STAGES}, got {console_stages} and {rounds}"
            )
        if not tolerance >= 0:
            raise ValueError(f"tolerance: at least 0, in units of the match loss, got {tolerance}")
        if window_tolerance is not None and not window_tolerance >= 0:
            raise ValueError(f"window_tolerance: at least 0, in units of the match loss, got {window_tolerance}")
        self.window_tolerance = window_tolerance
        self.console_stages, self.rounds, self.tolerance = console_stages, rounds, tolerance
        self.set_sampler(SamplerSettings(sampler, rule, period, order, dict(sampler_options or {})))
        self.refresh_min_loss, self.leave_one_out, self.seed = refresh_min_loss, leave_one_out, seed
        self.stage_ending = StageEnding(ending, ending_steps)
        self.console_has_converged = False
        self.songs: list[SongRecord] = []
        self.rounds_done = 0
        self._between_stages = False
        self.listeners: list[OnTrial] = []

    def set_sampler(self, settings: SamplerSettings) -> None:
        """Prunes by a sampler from now on."""
        self.sampler, self.sampler_settings = settings.make(), settings

    @property
    def num_stages(self) -> int:
        return self.console_stages + self.rounds

    def stages_past(self, stages: int) -> int:
        """Returns how many stages are over after some; those that a converged console skips are over at once."""
        return max(stages, min(self.console_stages, self.num_stages - 1)) if self.console_has_converged else stages

    @property
    def trace(self) -> list[dict[str, Any]]:
        """The trace of a search of one song; see `songs`."""
        return self._only().trace

    @property
    def console_score(self) -> SongScore | None:
        """The console's score in a search of one song; see `songs`."""
        return self._only().console_score

    def _only(self) -> SongRecord:
        if len(self.songs) != 1:
            raise ValueError(f"a search of one song is needed, got {len(self.songs)} songs; see `songs`")
        return self.songs[0]

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if stage == "fit":
            self.songs = [SongRecord(tolerance=self.tolerance) for _ in searched_songs(trainer)]
            self.rounds_done, self._between_stages = 0, False
            self.console_has_converged = False
            self.stage_ending.restart(None)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        round_index = trainer.current_epoch - self.console_stages
        if round_index < self.rounds_done or self.rounds == 0:
            return
        module, self._between_stages = _console(pl_module), True
        removed: set[int] = set()
        for song, record in zip(searched_songs(trainer), self.songs, strict=True):
            started = time.perf_counter()
            trials = _SongTrials(self, trainer, module, song, record)
            if round_index == 0:
                trials.finish_console()
            removed |= trials.round(round_index)
            record.seconds += time.perf_counter() - started
        module.prune([node for node in module.graph.processors if node not in removed])
        module.prune_phase = True
        self.rounds_done, self._between_stages = round_index + 1, False
        self.stage_ending.restart(fmean([record.trace[-1]["end_loss"] for record in self.songs]))

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Skips the rest of the console's training once it has converged."""
        _console(pl_module).skips_stage = self.console_has_converged and self._trains_console(trainer)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Ends the stage, and with it the training of the console, where the loss has converged."""
        past, in_console = trainer.current_epoch + 1, self._trains_console(trainer)
        ends = batch_idx + 1 == trainer.num_training_batches and past >= self.console_stages
        if ends or _is_last_stage(trainer) or trainer.should_stop:
            return
        steps = trainer.global_step if in_console else batch_idx + 1
        if self.stage_ending.has_converged(trainer, _console(pl_module), steps):
            self.console_has_converged = True
            what = "console" if in_console else "stage"
            rank_zero_info(f"The loss has converged: the training of the {what} ends after {steps} steps.")
            end_stage(trainer, batch_idx + 1)

    def _trains_console(self, trainer: L.Trainer) -> bool:
        return trainer.current_epoch < self.console_stages and not _is_last_stage(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module, self._between_stages = _console(pl_module), True
        for song, record in zip(searched_songs(trainer), self.songs, strict=True):
            started = time.perf_counter()
            if record.console_score is None:
                record.console_score, record.console_second_loss = module.score(song), module.second_loss(song)
            if self.leave_one_out:
                record.loss_increases = _SongTrials(self, trainer, module, song, record).leave_one_out("end")
            record.seconds += time.perf_counter() - started

    def state_dict(self) -> dict[str, Any]:
        return {
            "songs": [asdict(record) for record in self.songs],
            "rounds_done": self.rounds_done,
            "between_stages": self._between_stages,
            "settings": json.dumps(self.settings),
            "console_has_converged": self.console_has_converged,
            "loss_before": self.stage_ending.before,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict["between_stages"]:
            raise ValueError(
                "ckpt_path: the checkpoint was taken in the middle of a round of pruning, or of measuring. HINT: go on "
                "from one that was taken between steps, such as the stage.ckpt of a result folder"
            )
        changes = check_settings("pruning", json.loads(state_dict["settings"]), self.settings)
        if changes:
            rank_zero_info(f"From the checkpoint on: {', '.join(changes)}.")
        self.rounds_done = state_dict["rounds_done"]
        ends = self.stage_ending.least_fall is not None  # else the console is trained on
        self.console_has_converged = ends and state_dict.get("console_has_converged", False)
        self.stage_ending.restart(state_dict.get("loss_before"))
        self.songs = [SongRecord(**saved) for saved in state_dict["songs"]]
        for record in self.songs:
            record.tolerance = self.tolerance  # what the rest of the search prunes with
            if record.console_score is not None:
                record.console_score = SongScore(**record.console_score)  # type: ignore[arg-type]


class _SongTrials:
    """The trials of one song between two stages, with the graph as it is then."""

    def __init__(
        self, pruning: IterativePruning, trainer: L.Trainer, module: ConsoleModule, song: Song, record: SongRecord
    ) -> None:
        self.pruning, self.trainer, self.module, self.song, self.record = pruning, trainer, module, song, record
        self.evaluator = song_evaluator(module, song)
        part = module.part(song)
        self.graph, self.weights = part.graph, part.weights.tolist()
        self.labels = processor_labels(part.graph)

    def finish_console(self) -> None:
        """Measures the trained console."""
        self.record.console_score = self.evaluator.score()
        if self.module.match.reduction != "mean":
            self.record.console_loss = self.evaluator.evaluate(()).loss
        self.record.console_second_loss = self.module.second_loss(self.song)
        if self.pruning.leave_one_out:
            self.leave_one_out("console")

    def round(self, round_index: int) -> set[int]:
        """Runs a round of trials; returns the nodes of the module's graph to remove."""
        pruning, record = self.pruning, self.record
        removed: list[int] = []
        remaining = len(self.labels)

        def on_trial(trial: Trial) -> None:
            nonlocal remaining
            if trial.accepted:
                removed.extend(trial.candidates)
                remaining = len(self._left(removed))
            row = asdict(trial)
            row |= {
                "remaining": remaining,
                "kind": "measured" if row.pop("measured") else "trial",
                "round": round_index,
                "step": self.trainer.global_step,
                "candidates": [self.labels[i] for i in trial.candidates],
            }
            self._record(row, remaining)

        result = prune_round(
            self.evaluator,
            pruning.sampler,
            round_index,
            [self.graph.types[i] for i in self.graph.processors],
            self.weights,
            random.Random(f"{pruning.seed}/{round_index}"),
            record.min_loss,
            pruning.tolerance,
            pruning.refresh_min_loss,
            pruning.window_tolerance,
            on_trial,
            lambda: self.trainer.should_stop,
        )
        if not math.isfinite(result.start_loss):
            raise FloatingPointError(
                f"the match loss of the whole of {self.song.name} is {result.start_loss} after step "
                f"{self.trainer.global_step}, so nothing can be pruned. HINT: a lower model.optimizer.learning_rate"
            )
        record.min_loss = result.min_loss
        left = self._left(result.removed)
        record.trace.append(
            {
                "kind": "round",
                "round": round_index,
                "step": self.trainer.global_step,
                "start_loss": result.start_loss,
                "min_loss": result.min_loss,
                "end_loss": self.evaluator.evaluate(()).loss,
                "trials": len(result.trials),
                "removed": [label for i, label in enumerate(self.labels) if i not in left],
                "remaining": len(left),
            }
        )
        nodes = song_nodes(self.module.graph, self.module.song_number(self.song))
        return {nodes[self.graph.processors[i]] for i in result.removed}

    def _left(self, removed: Collection[int]) -> tuple[int, ...]:
        """Returns the remaining processors; nodes that only removed ones fed, or that fed only these, go along."""
        removed_nodes = {self.graph.processors[i] for i in removed}
        return prune(self.graph, [node for node in self.graph.processors if node not in removed_nodes])[1].processors

    def leave_one_out(self, when: str) -> list[float | None]:
        """Measures the loss increase of every processor (paper eq. 9)."""
        started = time.perf_counter()
        base, count = self.evaluator.evaluate(()).loss, len(self.labels)

        def on_trial(index: int, loss: float) -> None:
            row = {
                "kind": "leave_one_out",
                "when": when,
                "step": self.trainer.global_step,
                "candidates": [self.labels[index]],
                "weight": self.weights[index],
                "loss": loss,
                "loss_increase": loss - base,
            }
            self._record(row, count)

        increases = leave_one_out(self.evaluator, count, on_trial, lambda: self.trainer.should_stop)
        self.record.loss_increase_seconds += time.perf_counter() - started
        return increases

    def _record(self, row: dict[str, Any], remaining: int) -> None:
        self.record.trace.append(row)
        for listener in self.pruning.listeners:
            listener(self.song, row, remaining)


def song_evaluator(module: ConsoleModule, song: Song) -> SongEvaluator:
    """Makes the evaluator of a song's part of a module's current graph."""
    part = module.part(song)
    return SongEvaluator(
        part.graph,
        module.processors,
        part.parameters,
        part.weights,
        song.sources,
        module.target(song),
        2 * module.rendering.block,
        song.mono_rows if module.rendering.shortcuts else (),
        int(min(module.rendering.trial_memory_gb * 1e9, song.memory_limit)),
    )


def _is_last_stage(trainer: L.Trainer) -> bool:
    return trainer.current_epoch + 1 >= (trainer.max_epochs or 0)


def _console(module: L.LightningModule) -> ConsoleModule:
    if not isinstance(module, ConsoleModule):
        raise TypeError(f"IterativePruning prunes a ConsoleModule, got {type(module).__name__}")
    return module


def find_pruning(trainer: L.Trainer) -> IterativePruning | None:
    """Finds the pruning callback of a Trainer; None where nothing is pruned."""
    callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return next((callback for callback in callbacks if isinstance(callback, IterativePruning)), None)


def searched_songs(trainer: L.Trainer) -> tuple[Song, ...]:
    """Returns the songs of a search, in the order of its graph."""
    return trainer.datamodule.songs  # type: ignore[attr-defined]
