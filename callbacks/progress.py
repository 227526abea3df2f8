"""What a person sees during a search: one bar for training, one for trials."""

from __future__ import annotations

import logging
from typing import Any, TextIO

import lightning as L
from lightning.pytorch.callbacks import ProgressBar
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from callbacks.iterative_pruning import IterativePruning, searched_songs
from mixgraph.songs import Song


class _AboveTheBars:
    """A stream for log handlers that writes above live bars instead of through them."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def write(self, text: str) -> int:
        self.console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
        return len(text)

    def flush(self) -> None:
        self.console.file.flush()


class SearchProgress(ProgressBar):
    """Progress of training (stage, step, mean loss) and of trials (song, candidate, loss, verdict, what remains).

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

    def disable(self) -> None:
        self._stop()

    def print(self, *args: Any, **kwargs: Any) -> None:
        console = self._progress.console if self._progress else Console(stderr=True)
        console.print(*args)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, TextColumn("{task.fields[detail]}"), console=Console(stderr=True))
        self._progress.start()
        for handler in logging.getLogger("lightning.pytorch").handlers:
            if isinstance(handler, logging.StreamHandler):
                self._streams.append((handler, handler.stream))
                handler.setStream(_AboveTheBars(self._progress.console))
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, IterativePruning):
                callback.listeners.append(self._on_trial)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._progress is None:
            return
        left = (trainer.max_epochs or 0) - trainer.current_epoch
        total = trainer.global_step + left * int(trainer.num_training_batches)
        self._training = self._progress.add_task("training", total=total, completed=trainer.global_step, detail="")

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._progress is None or self._training is None or trainer.global_step % self.refresh_every:
            return
        loss = float(trainer.callback_metrics.get("match/full", float("nan"))) / len(searched_songs(trainer))
        stage = f"stage {trainer.current_epoch + 1}/{trainer.max_epochs}, match loss {loss:.3f}"
        self._progress.update(self._training, completed=trainer.global_step, detail=stage)

    def _on_trial(self, song: Song, row: dict[str, Any], remaining: int) -> None:
        if self._progress is None:
            return
        if self._trials is None:
            self._trials = self._progress.add_task("trials", total=None, detail="")
        names = ", ".join(row["candidates"][:2]) + (" ..." if len(row["candidates"]) > 2 else "")
        if row["kind"] in ("trial", "measured"):
            verdict = "removed" if row["accepted"] else "kept"
            detail = f"{names}: loss {'>' if row['stopped'] else ''}{row['loss']:.4f}, {verdict}, {remaining} left"
        else:
            detail = f"{names}: loss increase {row['loss_increase']:+.4f}"
        self._progress.update(self._trials, advance=1, description=f"trials of {song.name}", detail=detail)

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
