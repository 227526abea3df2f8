"""Ends the training of a stage whose loss has converged."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import lightning as L

from mixgraph.search.module import ConsoleModule


class StageEnding:
    """Measures the songs' match loss every few steps, and says when it no longer falls.

    Training has converged when the loss has fallen by less than `least_fall` in the last `steps` steps, over whole
    songs and in the mean over songs. It is measured on all of every song, so that it does not depend on the clips, and
    is the loss that trials of pruning compare: over the denominator and by the reduction of the settings. Other
    terms of the objective, such as the levels of octaves, are not in it: a stage ends although they still fall.

    Args:
        least_fall: the smallest fall, in units of the match loss; None never measures.
        steps: the steps between two measurements.
        before: the loss that was measured last; None where nothing was measured since the graph changed.
    """

    def __init__(self, least_fall: float | None, steps: int, before: float | None = None) -> None:
        if least_fall is not None and not least_fall >= 0:
            raise ValueError(f"ending: at least 0, in units of the match loss, or null, got {least_fall}")
        if steps < 1:
            raise ValueError(f"ending_steps: at least 1, got {steps}")
        self.least_fall, self.steps, self.before = least_fall, steps, before

    def restart(self, loss: float | None) -> None:
        """Starts anew with another graph, whose loss is known or not."""
        self.before = loss

    def has_converged(self, trainer: L.Trainer, module: ConsoleModule, steps: int) -> bool:
        """Whether training has converged after a number of steps with the current graph."""
        if self.least_fall is None or steps % self.steps:
            return False
        songs: Any = trainer.datamodule.songs  # type: ignore[attr-defined]
        losses = [module.target(song).bounded_loss(module.render(song))[0] for song in songs]  # as trials compare
        loss, before = fmean(losses), self.before
        self.before = loss
        return before is not None and before - loss < self.least_fall


def end_stage(trainer: L.Trainer, steps: int) -> None:
    """Lets the current stage end with as many steps as it has had; the next one has its own number."""
    trainer.fit_loop.max_batches = steps
    trainer.reload_dataloaders_every_n_epochs = 1  # type: ignore[attr-defined]
