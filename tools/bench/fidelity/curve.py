"""The whole-song loss in the course of a search, by one measure for every side."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import lightning as L

from mixgraph.search.module import ConsoleModule
from mixgraph.songs.loudness import BLOCK_SECONDS
from mixgraph.songs.song import Song
from tools.bench.losses import Render, common_scores
from tools.bench.ours import renderer


class Curve:
    """Points of a search: steps, seconds of searching (measuring left out), losses, processors that are left.

    Beside the seconds of the clock stand those of the processor (`processor_seconds`, of all threads), which other jobs
    of the machine hardly change.

    The losses are those of `CommonScores`, and the parts of the published one over the prediction's norm.

    Args:
        song: the song at the level of its files.

    Raises:
        ValueError: the song is too short to be measured: it needs 1 s of warm-up and 0.4 s for the loudness.
    """

    def __init__(self, song: Song) -> None:
        least = 1 + BLOCK_SECONDS
        if song.num_samples < least * song.sample_rate:
            seconds = song.num_samples / song.sample_rate
            raise ValueError(f"{song.name}: at least {least} s are needed to be measured, got {seconds:.2f} s")
        self.song = song
        self.points: list[dict[str, Any]] = []
        self._started, self._measuring = _clocks(), (0.0, 0.0)

    @property
    def seconds(self) -> float:
        """The seconds of searching so far."""
        return self._searching()[0]

    def _searching(self) -> tuple[float, float]:
        now = zip(_clocks(), self._started, self._measuring, strict=True)
        wall, processor = (clock - started - measuring for clock, started, measuring in now)
        return wall, processor

    def add(self, step: int, processors: int, render: Render) -> None:
        """Measures a graph after a number of steps."""
        (seconds, processor_seconds), began = self._searching(), _clocks()
        scores = common_scores(self.song, render)
        taken = [now - before for now, before in zip(_clocks(), began, strict=True)]
        self._measuring = self._measuring[0] + taken[0], self._measuring[1] + taken[1]
        terms = {"published_terms": scores.published.loss_prediction}
        times = {"seconds": seconds, "processor_seconds": processor_seconds}
        self.points.append({"step": step} | times | {"processors": processors} | scores.to_dict() | terms)


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


class CurveCallback(L.Callback):
    """Adds a point at the end of every stage, and after further numbers of steps.

    Args:
        curve: points are added to it.
        level: the factor that the song was multiplied by before the training.
        steps: further numbers of steps after which a point is added; 0 is before the first step.

    Attributes:
        console: processors of each type when the search starts.
        console_steps: steps before the first round of pruning.
    """

    def __init__(self, curve: Curve, level: float, steps: Collection[int] = ()) -> None:
        self.curve, self.level, self.steps = curve, level, frozenset(steps)
        self.console: dict[str, int] = {}
        self.console_steps = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, ConsoleModule)
        self.console = pl_module.graph.count()
        if 0 in self.steps:
            self._add(trainer, pl_module)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any, **__: Any) -> None:
        if trainer.global_step in self.steps:
            self._add(trainer, pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, ConsoleModule)
        if not pl_module.prune_phase:
            self.console_steps = trainer.global_step
        if not self.curve.points or self.curve.points[-1]["step"] != trainer.global_step:
            self._add(trainer, pl_module)

    def _add(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, ConsoleModule)
        self.curve.add(trainer.global_step, len(module.graph.processors), renderer(module, self.level))


def first_at(points: list[dict[str, Any]], loss: float, key: str, coordinate: str = "step") -> float | None:
    """Returns the coordinate at which a curve first reaches a loss, by linear interpolation; None if it never does."""
    for before, after in zip([None, *points], points, strict=False):
        if not after[key] <= loss:
            continue
        if before is None or not before[key] > after[key]:
            return float(after[coordinate])
        share = (before[key] - loss) / (before[key] - after[key])
        return float(before[coordinate] + share * (after[coordinate] - before[coordinate]))
    return None
