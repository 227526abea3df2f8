"""Training whose steps are CUDA graphs, within Lightning's loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from mixgraph.search.captured import CapturedStep
from mixgraph.search.checks import check_captured_trainer
from mixgraph.search.finite_training import FiniteTraining
from mixgraph.songs.training_clips import Clip


class CapturedTraining(FiniteTraining):
    """A module that can take whole steps, the optimizer's included, as one CUDA graph.

    A captured step takes its gradients and changes its parameters itself, so that Lightning's hooks for that do nothing
    while there is one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._captured: CapturedStep | None = None

    def capture_steps(self, capture: bool) -> None:
        """Captures anew, or no longer: the parameters or the watch are new ones.

        Raises:
            ValueError: the Trainer would change gradients, which are in the captured step.
        """
        if capture:
            check_captured_trainer(self.trainer)
        (optimizer,) = self.trainer.optimizers
        self._captured = CapturedStep(self.losses, optimizer, self._watch) if capture else None

    def step_terms(self, clip: Clip, pressure: float) -> dict[str, Tensor]:
        """Computes the terms of the objective; a captured step is then over."""
        if self._captured is None:
            return self.losses(clip)
        terms = self._captured(clip, pressure)
        # One copy for all: the next step overwrites them, and loggers read them later.
        return dict(zip(terms, torch.stack(list(terms.values())).unbind(), strict=True))

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        if self._captured is None:
            super().backward(loss, *args, **kwargs)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        if self._captured is None:
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Callable[[], Any] | None = None
    ) -> None:
        if self._captured is None or optimizer_closure is None:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
            return
        optimizer_closure()
        self.read_watch()
