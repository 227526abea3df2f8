"""Measures the seconds that the stages of a search take."""

from __future__ import annotations

import math
import time
from typing import Any

import lightning as L
import torch

from mixgraph.search.module import ConsoleModule


def synchronize(device: torch.device) -> None:
    """Waits until a device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class StageClock(L.Callback):
    """Measures the training of each stage and the pruning before it; it must be the last of the callbacks.

    Args:
        deadline: the value of `time.monotonic()` after which the search is stopped.

    Attributes:
        before: seconds of pruning, for each stage.
        training: seconds of the steps of each stage, with what Lightning does around them.
        steps: number of steps of each stage.
        counts: processors of each type that each stage trains.
        total: seconds of the whole fit.
    """

    def __init__(self, deadline: float = math.inf) -> None:
        self.deadline = deadline
        self.before: list[float] = []
        self.training: list[float] = []
        self.steps: list[int] = []
        self.counts: list[dict[str, int]] = []
        self.total = self._last = self._started = 0.0
        self._step = 0

    @property
    def processors(self) -> list[int]:
        """Number of processors that each stage trains."""
        return [sum(count.values()) for count in self.counts]

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._last = self._started = _now(pl_module)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, ConsoleModule)
        self.before.append(self._lap(pl_module))
        self.counts.append(pl_module.graph.count())
        self._step = trainer.global_step

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any, **__: Any) -> None:
        self.check(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.training.append(self._lap(pl_module))
        self.steps.append(trainer.global_step - self._step)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.total = _now(pl_module) - self._started

    def check(self, trainer: L.Trainer) -> None:
        """Stops the search once its deadline has passed."""
        if time.monotonic() > self.deadline:
            trainer.should_stop = True

    def _lap(self, module: L.LightningModule) -> float:
        before, self._last = self._last, _now(module)
        return self._last - before


def _now(module: L.LightningModule) -> float:
    synchronize(module.device)
    return time.perf_counter()
