"""Checkpoints of a Trainer that are whole or absent, and in which a changed bit is noticed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from mixgraph.checkpoints import sealed
from mixgraph.system.files import write_atomically


class SealedCheckpoints(TorchCheckpointIO):
    """Writes checkpoints with their sha256, to a temporary name beside their own.

    Lightning writes them to the system's folder for temporary files. Where that is another disk, a full disk, or a
    killed process, leaves half a checkpoint in place of the one before.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        if "://" in str(path):  # not of this machine
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        path, data = Path(path), io.BytesIO()
        torch.save(checkpoint, data)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, sealed(data.getvalue()))


def seal_checkpoints(trainer: L.Trainer) -> None:
    """Lets a Trainer write its checkpoints so, unless it has another plugin for them."""
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = SealedCheckpoints()
