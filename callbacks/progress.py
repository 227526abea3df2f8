"""Shows the progress of a search: a bar for training, one for trials; without a terminal, a line for each stage."""

from __future__ import annotations

import logging
from typing import Any, TextIO

import lightning as L
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.utilities import rank_zero_info
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from mixgraph.names import visible
from mixgraph.search.module import ConsoleModule
from mixgraph.songs import Song

from .iterative_pruning import IterativePruning
from .stage_lines import StageLines, mean_loss, time_left


class _AboveTheBars:
    """A stream for log handlers that writes above live bars instead of through them."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def write(self, text: str) -> int:
        self.console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
        return len(text)

    def flush(self) -> None:
        self.console.file.flush()


def _bars(console: Console) -> Progress:
    """Makes bars that show numbers in full at any width; words are cut to fit, and never read as markup."""

    def words(field: str, **options: Any) -> TextColumn:
        return TextColumn(field, markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", **options))

    return Progress(
        words("{task.description}", max_width=20),
        BarColumn(8),
        MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=9)),
        TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
        words("{task.fields[left]}", min_width=12),
        words("{task.fields[detail]}", ratio=1),
        console=console,
        expand=True,
    )


class SearchProgress(ProgressBar):
    """Progress of training (stage, step, mean loss) and of trials (song, candidate, loss, verdict, processors left).

    With the time that is left, where a `TimeBudget` expects one. Where standard error is no terminal, there is a line
    for each stage in place of bars.

    Args:
        refresh_every: steps between updates; an update waits for the device.
    """

    def __init__(self, refresh_every: int = 10) -> None:
        super().__init__()
        if refresh_every < 1:
            raise ValueError(f"refresh_every: at least 1 step, got {refresh_every}")
        self.refresh_every = refresh_every
        self._progress: Progress | None = None
        self._training: TaskID | None = None
        self._trials: TaskID | None = None
        self._streams: list[tuple[logging.StreamHandler[Any], TextIO]] = []
        self._lines = StageLines()

    def disable(self) -> None:
        self._stop()

    def print(self, *args: Any, **kwargs: Any) -> None:
        console = self._progress.console if self._progress else Console(stderr=True)
        console.print(*args)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._lines.start(trainer)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, IterativePruning):
                callback.listeners.append(lambda *row: self._on_trial(trainer, *row))
        console = Console(stderr=True)
        if not console.is_terminal:
            return
        self._progress = _bars(console)
        self._progress.start()
        for handler in logging.getLogger("lightning.pytorch").handlers:
            if isinstance(handler, logging.StreamHandler):
                self._streams.append((handler, handler.stream))
                handler.setStream(_AboveTheBars(console))

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._progress is not None:
            self._training = self._progress.add_task("training", detail="", left="")

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._progress is not None and self._training is not None:  # a stage may be shortened while it runs
            left = (trainer.max_epochs or 0) - trainer.current_epoch
            total = trainer.global_step + left * int(trainer.num_training_batches)
            self._progress.update(self._training, total=total, completed=trainer.global_step)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._progress is None or self._training is None or trainer.global_step % self.refresh_every:
            return
        detail = f"stage {trainer.current_epoch + 1}/{trainer.max_epochs}, match loss {mean_loss(trainer):.3f}"
        self._progress.update(self._training, completed=trainer.global_step, detail=detail, left=time_left(trainer))

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes a line on the progress of the search, where there is no terminal."""
        if self._progress is not None or not isinstance(pl_module, ConsoleModule):
            return
        rank_zero_info(self._lines.line(trainer, pl_module))
        self._lines.end_stage()

    def _on_trial(self, trainer: L.Trainer, song: Song, row: dict[str, Any], remaining: int) -> None:
        if self._progress is None:
            return
        if self._trials is None:
            self._trials = self._progress.add_task("trials", total=None, detail="", left="")
        names = ", ".join(map(visible, row["candidates"][:2])) + (" ..." if len(row["candidates"]) > 2 else "")
        if row["kind"] in ("trial", "measured"):
            verdict = "removed" if row["accepted"] else "kept"
            detail = f"{names}: loss {'>' if row['stopped'] else ''}{row['loss']:.4f}, {verdict}, {remaining} left"
        else:
            detail = f"{names}: loss increase {row['loss_increase']:+.4f}"
        described = f"trials of {visible(song.name)}"
        self._progress.update(self._trials, advance=1, description=described, detail=detail, left=time_left(trainer))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._progress is not None and self._training is not None:
            self._progress.update(self._training, completed=trainer.global_step)
        self._stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
        for handler, stream in self._streams:
            handler.setStream(stream)
        self._streams = []
        self._progress = self._training = self._trials = None
