"""Checkpoints that are read as data only, and only if no byte was changed since they were written."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mixgraph.system.files import parse_json

Module = TypeVar("Module", bound=nn.Module)
_SEAL = b"mixgraph sha256 "
_SEAL_BYTES = len(_SEAL) + 64
_NO_COMMENT = (0).to_bytes(2, "little")  # the length of an archive's comment, with which the archive ends
_HINT = "HINT: start anew, or go on from another checkpoint"


_KINDS = {"mixgraph": "a search for a graph", "mixgraph_estimator": "an estimator", "mixgraph_demixer": "a demixer"}


def kind_of(checkpoint: Mapping[str, Any]) -> str:
    """Says what a checkpoint is of, for messages: `a search for a graph`, `an estimator`, `a demixer`."""
    return next((kind for key, kind in _KINDS.items() if key in checkpoint), "another program")


def sealed(checkpoint: bytes) -> bytes:
    """Adds its sha256 to a file of `torch.save`, as the comment of the zip archive that it is; it loads as before.

    Raises:
        ValueError: it is no file of `torch.save`, or is sealed already.
    """
    if not checkpoint.endswith(_NO_COMMENT):
        raise ValueError("checkpoint: an archive without a comment is needed")
    seal = _SEAL + hashlib.sha256(checkpoint).hexdigest().encode()
    return checkpoint[:-2] + len(seal).to_bytes(2, "little") + seal


def _is_broken(data: bytes) -> bool:
    """Whether an archive was sealed, and changed since, be it in its seal: `torch.save` writes no other comment."""
    if data.endswith(_NO_COMMENT):
        return False
    seal = _SEAL + hashlib.sha256(data[: -_SEAL_BYTES - 2] + _NO_COMMENT).hexdigest().encode()
    return not data.endswith(_SEAL_BYTES.to_bytes(2, "little") + seal)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint as data only, to the CPU.

    A changed bit is not taken for a value: the file is compared with its sha256 where it is `sealed`, as those of a
    result folder are, and every part of any file with its CRC-32, which `torch.save` writes and `torch.load` ignores.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is empty, cut short or damaged, or that holds more than data.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: a checkpoint is needed, got {'a folder' if path.is_dir() else 'none'}")
    try:
        with zipfile.ZipFile(path) as parts:  # before the file is held in memory
            size = sum(entry.file_size for entry in parts.infolist())
        if size > path.stat().st_size:  # compressed, or the same bytes under many names
            raise ValueError("its parts are larger than the file, which torch.save does not write")
        data = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            damaged = parts.testzip() is not None or _is_broken(data)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError, RuntimeError) as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path}: the checkpoint is empty, cut short or damaged ({reason}). {_HINT}") from error
    if damaged:
        raise ValueError(f"{path}: the checkpoint is damaged (its checksum is another one). {_HINT}")
    try:
        checkpoint = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        _check_extent(checkpoint)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path}: the checkpoint holds more than data, and is not read. {_HINT}") from error
    except MemoryError as error:
        raise MemoryError(f"{path}: asks for more than there is") from error
    except Exception as error:  # whatever hostile data makes torch trip over, its file has to be named
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise ValueError(f"{path}: is no checkpoint ({reason}). {_HINT}") from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("state_dict"), dict):
        raise ValueError(f"{path}: is no checkpoint (state_dict is missing). {_HINT}")
    for key in _KINDS.keys() & checkpoint.keys():
        try:
            settings = parse_json(checkpoint[key])
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: the checkpoint is damaged ({key}: {error}). {_HINT}") from error
        if not isinstance(settings, dict):
            raise ValueError(f"{path}: the checkpoint is damaged ({key}: no JSON object). {_HINT}")
    return checkpoint


def _check_extent(checkpoint: Any) -> None:
    """Checks that the file holds the values of every tensor of a state: none is one value that is seen many times."""
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    for name, value in state.items() if isinstance(state, dict) else ():
        if isinstance(value, Tensor):
            held = value.untyped_storage().nbytes() if value.device.type == "cpu" else 0
            if type(value) not in (Tensor, nn.Parameter) or value.numel() * value.element_size() > held:
                raise ValueError(f"state_dict: {name} has more values than the file holds")


def loaded(make: Callable[[], Module], tensors: Mapping[str, Tensor]) -> Module:
    """Makes a module and gives it its tensors. One that does not fit them takes no memory, whatever its settings are.

    Args:
        make: makes the module, twice, from settings of the same file as the tensors.
        tensors: the state of the module.

    Raises:
        RuntimeError: tensors of other names or shapes, or with values in common.
    """
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors.values()}
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) > sum(storages.values()):
        raise RuntimeError("tensors that have values in common")
    with torch.device("meta"):
        make().load_state_dict({name: tensor.to("meta") for name, tensor in tensors.items()})
    module = make()
    module.load_state_dict(tensors)
    return module


def check_checkpoint(path: str | Path | None) -> None:
    """Checks a file that Lightning is going to load; Lightning's names for checkpoints, such as `last`, are left to it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged or holds more than data, see `read_checkpoint`, or is not of a training; or the
            path is an address, whose file Lightning would fetch unchecked.
    """
    if "://" in str(path) or str(path).lower().partition(":")[0] == "registry":
        raise ValueError(
            f"ckpt_path: a file is needed, got an address: {path}. HINT: fetch it first, then name the file"
        )
    if path is None or not (os.sep in str(path) or "." in str(path)):
        return
    if "pytorch-lightning_version" not in read_checkpoint(path):
        raise ValueError(f"{path}: holds weights and no state of a training, so that none goes on from it. {_HINT}")
