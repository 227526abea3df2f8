"""Progress of a search in a line for each stage, printed where there is no terminal and kept in result folders."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import lightning as L

from mixgraph.search.module import ConsoleModule
from mixgraph.songs import Song
from mixgraph.system.files import append_text, read_text

from .iterative_pruning import IterativePruning, searched_songs
from .time_budget import TimeBudget


class StageLines:
    """Makes the line of a stage, of all songs of a search together or of one of them."""

    def __init__(self) -> None:
        self._started = 0.0
        self._trials: Counter[str] = Counter()

    def start(self, trainer: L.Trainer) -> None:
        """Starts the clock, and counts trials from now on."""
        self._started = time.monotonic()
        self._trials.clear()
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, IterativePruning):
                callback.listeners.append(self._count)

    def _count(self, song: Song, row: dict[str, Any], remaining: int) -> None:
        self._trials[song.name] += 1

    def line(self, trainer: L.Trainer, module: ConsoleModule, song: int | None = None) -> str:
        """Makes the line of the stage that ends.

        Args:
            trainer: the Trainer of the search.
            module: the module with the graphs of all songs.
            song: number of the song that the line is about; None for all songs together.
        """
        songs, graph = searched_songs(trainer), module.graph
        of_all = song is None or len(songs) == 1
        tried = self._trials.total() if song is None else self._trials[songs[song].name]
        loss = mean_loss(trainer) if of_all else _logged_loss(trainer, module.metric_suffixes()[song or 0])
        left = len(graph.processors) if of_all else sum(graph.songs[node] == song for node in graph.processors)
        trials = f"{tried} trials, " if tried else ""
        rest = time_left(trainer) if trainer.current_epoch + 1 < (trainer.max_epochs or 0) else ""
        return (
            f"Stage {trainer.current_epoch + 1}/{trainer.max_epochs}: {trials}{trainer.global_step} steps so far, "
            f"match loss {loss:.3f}, {left} processors, "
            f"{clock(time.monotonic() - self._started)} taken{rest and f', {rest}'}"
        )

    def end_stage(self) -> None:
        """Counts the trials of the next stage from zero."""
        self._trials.clear()


def mean_loss(trainer: L.Trainer) -> float:
    """The match loss of the last training step, as a mean over the songs."""
    return _logged_loss(trainer, "") / len(searched_songs(trainer))


def _logged_loss(trainer: L.Trainer, suffix: str) -> float:
    return float(trainer.callback_metrics.get(f"match/full{suffix}", float("nan")))


def time_left(trainer: L.Trainer) -> str:
    """Returns the remaining time of the search as text; empty where it is not known."""
    budgets = [c for c in trainer.callbacks if isinstance(c, TimeBudget)]  # type: ignore[attr-defined]
    seconds = budgets[0].seconds_left() if budgets else None
    return "" if seconds is None else f"{clock(seconds)} left"


def clock(seconds: float) -> str:
    """Seconds as hours, minutes and seconds: `0:59:01`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def append_line(path: Path, line: str) -> None:
    """Adds a line with the time of day to a log, after ending a line that a killed process left unfinished."""
    before = read_text(path, errors="replace") if path.is_file() else ""
    end_of_line = "\n" if before and not before.endswith("\n") else ""
    append_text(path, f"{end_of_line}{datetime.now():%Y-%m-%d %H:%M:%S}  {line}\n")
