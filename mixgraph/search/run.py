"""Runs one search: a Trainer over one or several songs, with callbacks."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import lightning as L

from mixgraph.checkpoints import check_checkpoint
from mixgraph.names import visible_lines
from mixgraph.search.checks import check_data
from mixgraph.search.module import ConsoleModule


def search(
    module: ConsoleModule,
    data: L.LightningDataModule,
    callbacks: Sequence[L.Callback],
    stages: int,
    accelerator: str = "auto",
    checkpoint: str | None = None,
    **trainer_options: Any,
) -> ConsoleModule:
    """Runs a whole search with one `Trainer.fit`, as `python -m mixgraph fit` does.

    Args:
        module: a console; it builds the songs' graph when the fit starts.
        data: a datamodule with `songs`; a stage is one pass over its training clips.
        callbacks: act between stages: pruning, saving, progress.
        stages: the number of console stages and pruning rounds together.
        accelerator: Lightning's argument of that name.
        checkpoint: the file to resume from.
        trainer_options: further arguments of the Trainer.

    Returns:
        The module, with the graph that was found.

    Raises:
        FileNotFoundError, ValueError: the checkpoint is missing, cut short or damaged; data that lacks what a search
            needs.
    """
    quiet_lightning()
    check_checkpoint(checkpoint)
    check_data(data, trains=True)
    trainer = L.Trainer(
        max_epochs=stages,
        accelerator=accelerator,
        devices=1,
        callbacks=list(callbacks),
        **(TRAINER_DEFAULTS | trainer_options),
    )
    trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    return module


def quiet_lightning() -> None:
    """Silences messages of Lightning that do not help a search: advertisements, its loop's end, some warnings."""
    tips = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    if _matters not in tips.filters:
        tips.addFilter(_matters)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning 2.6 on torch 2.11
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # clips are in memory
    warnings.filterwarnings("ignore", message=".*LightningCLI's args parameter.*")  # the tools call it on purpose


@contextmanager
def without_device_messages() -> Iterator[None]:
    """Silences what Lightning says of the devices that there are, around steps of a search inside another command."""
    tips = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    tips.addFilter(_names_no_device)
    try:
        yield
    finally:
        tips.removeFilter(_names_no_device)


def _names_no_device(record: logging.LogRecord) -> bool:
    return "GPU available" not in record.getMessage()


def _matters(record: logging.LogRecord) -> bool:
    message = visible_lines(record.getMessage())  # with names from files in it
    record.msg, record.args = message, ()
    return not any(words in message for words in ("litlogger", "TPU available", "`Trainer.fit` stopped"))


TRAINER_DEFAULTS: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,  # the result folder's callback writes them, at stage boundaries
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
    "check_val_every_n_epoch": 1_000_000,  # a search measures the whole song itself
    "log_every_n_steps": 1,
}
