"""Checkpoints that are read as data, and only where every byte is as it was written."""

from __future__ import annotations

import os
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

_HINT = "HINT: start anew, or go on from another checkpoint"


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint as data only, to the CPU.

    `torch.save` writes a checksum (CRC-32) of every part of the file, which `torch.load` does not look at; here they
    are compared, so that a changed bit is not taken for a value.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is empty, cut short or damaged, or that holds more than data.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: a checkpoint is needed, got {'a folder' if path.is_dir() else 'none'}")
    try:
        with zipfile.ZipFile(path) as parts:
            damaged = parts.testzip()
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError, RuntimeError) as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path}: the checkpoint is empty, cut short or damaged ({reason}). {_HINT}") from error
    if damaged is not None:
        raise ValueError(f"{path}: the checkpoint is damaged ({damaged} is not as it was written). {_HINT}")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path}: the checkpoint holds more than data, and is not read. {_HINT}") from error
    except (RuntimeError, KeyError, EOFError) as error:
        raise ValueError(f"{path}: is no checkpoint ({str(error).splitlines()[0]}). {_HINT}") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ValueError(f"{path}: is no checkpoint (state_dict is missing). {_HINT}")
    return checkpoint


def check_checkpoint(path: str | Path | None) -> None:
    """Checks a file that Lightning is going to load; its own words for one, such as `last`, are left to it.

    Raises:
        FileNotFoundError, ValueError: as `read_checkpoint`.
    """
    if path is not None and (os.sep in str(path) or "." in str(path)) and "://" not in str(path):
        read_checkpoint(path)
