"""Ends a training at its first NaN or infinity, with the values of the step before."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from mixgraph.processors import Processors
from mixgraph.search.finite import FiniteWatch, find_origin
from mixgraph.search.settings import OptimizerSettings
from mixgraph.search.trained_graph import TrainedGraph
from mixgraph.songs.training_clips import Clip

_READ_EVERY = 50  # steps on a GPU, where the answer waits for all steps before


class FiniteTraining(TrainedGraph, L.LightningModule):
    """A trained graph that stops its Trainer when a loss, a gradient or a value is not finite.

    It then has the values of the last finite step. When all callbacks have ended, and the result is written, the
    fit fails with a FloatingPointError.

    Attributes:
        failure: why training ended early; empty if it did not.
        watched_loss: the loss of the last step.
    """

    processors: Processors
    optimizer_settings: OptimizerSettings

    def __init__(self) -> None:
        super().__init__()
        self.failure = ""
        self.watched_loss = torch.zeros(())
        self._watched_from = 0

    @property
    def lookahead(self) -> int:
        raise NotImplementedError

    def losses(self, clip: Clip, pressure: float | Tensor | None = None) -> dict[str, Tensor]:
        raise NotImplementedError

    def on_fit_start(self) -> None:
        self.failure = ""

    def watch_from(self, step: int) -> None:
        """Starts to watch the current parameters, from a step of a stage on."""
        self._watch = FiniteWatch(self.parameters())
        self._watched_from = step

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self._watch(self.watched_loss)
        self.read_watch()

    def read_watch(self) -> None:
        """Ends the training if a step so far was not finite; a GPU, which would have to wait, is asked rarely."""
        if self.device.type == "cpu" or self.trainer.global_step % _READ_EVERY == 0:
            self._stop_unless_finite()

    def on_train_batch_end(self, outputs: Any, batch: Clip, batch_idx: int) -> None:
        if batch_idx + 1 < self.trainer.num_training_batches:
            return
        self._stop_unless_finite()  # before anything is pruned or saved
        if not self.failure and not self._watch.values_are_finite():
            self._stop(batch_idx, "the values after it are not finite")

    def _stop_unless_finite(self) -> None:
        good = self._watch.steps_until_bad()
        if good is None or self.failure:
            return
        self._watch.restore(self._watch.bad)
        data, index = self.trainer.datamodule, self._watched_from + good  # type: ignore[attr-defined]
        clip = data.clips(self.lookahead)(self._step(index))
        clip = data.transfer_batch_to_device(clip, self.device, 0)
        with torch.enable_grad():
            loss = self.losses(clip)["loss"]
            loss.backward()
        parameters = self.parameters_by_type()
        gradients = {
            t: {name: value.grad for name, value in type_parameters.items()}
            for t, type_parameters in parameters.items()
        }
        weights = self.weights.detach()
        origin = find_origin(
            self.graph, self.processors, clip, parameters, weights, gradients, self.dry_wet_logits.grad
        )
        problem = "its gradient is not finite" if loss.isfinite() else f"its loss is {loss.item():g}"
        self._stop(index, f"{problem}, which comes from {origin.text(self.graph)}")

    def _step(self, index: int) -> int:
        """The step of the whole search, from 0, that is the `index`-th of the stage."""
        loop = self.trainer.fit_loop
        return loop.total_batch_idx - loop.batch_idx + index

    def _stop(self, index: int, problem: str) -> None:
        """Ends the search with the values of the last finite step."""
        self._watch.restore(self._watch.good)
        step = self._step(index) + 1
        self.failure = (
            f"training broke down at step {step}: {problem}. HINT: a lower model.optimizer.learning_rate (it is "
            f"{self.optimizer_settings.learning_rate:g}), or fewer processors of this kind"
        )
        rank_zero_info(f"Stopped, with the graph of the last good step: {self.failure}.")
        self.trainer.should_stop = True

    def on_train_end(self) -> None:
        """Raises the failure only now, after the callbacks have written the result with the last finite values."""
        if self.failure:
            raise FloatingPointError(self.failure)

    def on_train_epoch_end(self) -> None:
        self._stop_unless_finite()  # a stage may be cut anywhere
