"""Measures the graph of a search after every stage, by the figures that a search logs at its end."""

from __future__ import annotations

from statistics import fmean

import lightning as L

from mixgraph.search.module import ConsoleModule

from .iterative_pruning import searched_songs


class StageScores(L.Callback):
    """Logs `search/found_loss` and `search/pruning_ratio` after each stage, so that a sweep can stop bad ones early.

    A whole song is rendered for it. After the last stage nothing is logged, for the search itself logs its end.
    """

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.loggers or trainer.current_epoch + 1 >= (trainer.max_epochs or 0):
            return
        figures = stage_figures(trainer, pl_module)
        for logger in trainer.loggers:
            logger.log_metrics(figures, step=trainer.global_step)


def stage_figures(trainer: L.Trainer, module: L.LightningModule) -> dict[str, float]:
    """Returns the whole-song match loss and the pruning ratio as they are now: means over the songs, and each song's.

    Raises:
        TypeError: the module is no ConsoleModule.
    """
    if not isinstance(module, ConsoleModule):
        raise TypeError(f"a ConsoleModule is measured, got {type(module).__name__}")
    losses: list[float] = []
    ratios: list[float] = []
    figures: dict[str, float] = {}
    for number, song in enumerate(searched_songs(trainer)):
        left = sum(module.graph.songs[node] == number for node in module.graph.processors)
        losses.append(module.score(song).loss["full"])
        ratios.append(1 - left / max(1, sum(module.initial_counts[number].values())))
        suffix = module.metric_suffixes()[number]
        figures |= {f"search/found_loss{suffix}": losses[-1], f"search/pruning_ratio{suffix}": ratios[-1]}
    return {**figures, "search/found_loss": fmean(losses), "search/pruning_ratio": fmean(ratios)}
