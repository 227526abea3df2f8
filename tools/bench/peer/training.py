"""The peer's training step."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from tools.bench.peer.console import PeerConsole
from tools.bench.peer.loss import PeerLoss

LEARNING_RATE = 0.01
GAIN_STAGING_WEIGHT, RADII_WEIGHT, SPARSITY_WEIGHT = 1e-3, 0.5, 1e-4
SPARSITY_RAMP_STEPS = 2000
STEPS_PER_EPOCH = 500


class PeerTrainer:
    """Trains a console; the optimizer is rebuilt every 500 steps, and with a pruned console, and loses its moments.

    Args:
        console: the console to train.
        loss: the match loss.
        steps_per_epoch: steps that one optimizer lasts.
    """

    def __init__(self, console: PeerConsole, loss: PeerLoss, steps_per_epoch: int = STEPS_PER_EPOCH) -> None:
        self.console, self.loss, self.steps_per_epoch = console, loss, steps_per_epoch
        self.steps, self.ramp = 0, 0.0
        self.pruning = False
        self.optimizer = self._optimizer()

    def replace(self, console: PeerConsole) -> None:
        """Goes on with a pruned console and a new optimizer."""
        self.console, self.steps = console, 0

    def step(self, sources: Tensor, target: Tensor) -> dict[str, float]:
        """One step on a clip; returns the match loss and the seconds of each phase.

        Args:
            sources: the dry tracks, (inputs, 2, L).
            target: the mix, (1, 2, L).
        """
        if self.steps % self.steps_per_epoch == 0:
            self.optimizer = self._optimizer()
        self.steps += 1
        times = [time.perf_counter()]
        weights = self.console.weights()
        rendering = self.console(sources, weights)
        times.append(time.perf_counter())
        match = self.loss(rendering.mix, target).full
        total = match + GAIN_STAGING_WEIGHT * rendering.gain_staging + RADII_WEIGHT * rendering.radii
        if self.pruning:
            self.ramp = min(1.0, self.ramp + 1 / SPARSITY_RAMP_STEPS)
            total = total + SPARSITY_WEIGHT * self.ramp * weights.sum()
        times.append(time.perf_counter())
        self.optimizer.zero_grad()
        total.backward()
        times.append(time.perf_counter())
        self.optimizer.step()
        times.append(time.perf_counter())
        phases = ("forward", "loss", "backward", "optimizer")
        seconds = {name: after - before for name, before, after in zip(phases, times, times[1:], strict=False)}
        return {"match": float(match.detach()), "total": times[-1] - times[0]} | seconds

    def _optimizer(self) -> torch.optim.Optimizer:
        parameters = [self.console.soft_mask, *self.console.values.parameters()]
        return torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.0)
