"""Estimators as safetensors files, and the one that comes with mixgraph.

A file holds the network's weights in half precision, the buffers that standardise its answers in full precision, and
what it was trained for as JSON: task, network, keep rates, and `about`, facts on its training for messages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch

from mixgraph.estimators.module import CHECKPOINT_KEY, EstimatorModule, load_checkpoint, module_of
from mixgraph.system.files import parse_json, write_atomically

SHIPPED = Path(__file__).parent / "shipped" / "estimator.safetensors"
"""The weights that come with mixgraph; the card beside them says what they were trained on."""
SUFFIX = ".safetensors"
_FULL_PRECISION = ("network.cue_mean", "network.cue_spread")


def save_weights(module: EstimatorModule, path: Path, about: Mapping[str, Any] | None = None) -> None:
    """Writes an estimator as a safetensors file.

    Args:
        module: a trained estimator.
        path: the file, which ends in `.safetensors`.
        about: facts on the training; `max_tracks` is the largest number of tracks of a song that it saw.

    Raises:
        ValueError: another suffix.
    """
    if path.suffix != SUFFIX:
        raise ValueError(f"path: a name that ends in {SUFFIX} is needed, got {path.name}")
    tensors = {
        name: value.half() if name.startswith("network.") and name not in _FULL_PRECISION else value
        for name, value in module.state_dict().items()
    }
    saved = {**module.saved_settings(), "about": dict(about or {})}
    metadata = {CHECKPOINT_KEY: json.dumps(saved)}
    encoded = safetensors.torch.save({name: value.contiguous() for name, value in tensors.items()}, metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, encoded)


def load_estimator(path: str | Path | None = None) -> EstimatorModule:
    """Loads an estimator to the CPU, in evaluation mode, from safetensors or from a checkpoint, without running code.

    Args:
        path: a file of `save_weights`, or a checkpoint of `fit`; None takes the one that comes with mixgraph.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged, holds no estimator, or one of another version or with unknown processors.
    """
    path = SHIPPED if path is None else Path(path)
    if path.suffix != SUFFIX:
        return load_checkpoint(path)
    if not path.is_file():
        missing = "mixgraph is not installed completely"
        hint = missing if path == SHIPPED else "HINT: where none is named, mixgraph's own is taken"
        raise FileNotFoundError(f"{path}: weights of an estimator are needed, got none. {hint}")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            saved_text = (file.metadata() or {}).get(CHECKPOINT_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: is damaged or no safetensors file ({error})") from error
    if saved_text is None:
        raise ValueError(f"{path}: holds no estimator ({CHECKPOINT_KEY!r} is missing in its metadata)")
    try:
        saved = parse_json(saved_text)
    except ValueError as error:
        raise ValueError(f"{path}: the metadata {CHECKPOINT_KEY!r} is damaged ({error})") from error
    if not isinstance(saved, dict):
        raise ValueError(f"{path}: the metadata {CHECKPOINT_KEY!r} is damaged (no JSON object)")
    module = module_of(saved, {name: value.float() for name, value in tensors.items()}, str(path))
    return module.eval()
