"""Packs batches for the way from a worker to the main process: few arrays hold the values of many tensors."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mixgraph.shards.examples import Example
from mixgraph.shards.sample import GraphSample

_LARGE = 1 << 20
"""Bytes; a tensor of more, such as audio, is better left in shared memory."""

_TAKEN_APART_BY = ("_num_graphs", "_slice_dict", "_inc_dict")
"""What `torch_geometric.data.Batch.to_data_list` needs beside the tensors of a batch."""


@dataclass(frozen=True, eq=False)
class Message:
    """Batches that leave a worker in one message: lists of examples, or PyG batches.

    Between processes, torch would send each tensor as a separate file in shared memory, which takes longer than to
    decode the whole sample. So all tensors of a dtype are sent as one array.
    """

    batches: list[Any]

    def __reduce__(self) -> tuple[Any, ...]:
        freight = _Freight()
        outline = [freight.load(batch) for batch in self.batches]
        return _unload, (outline, freight.joined())


class _Place(NamedTuple):
    dtype: torch.dtype
    number: int
    shape: tuple[int, ...]


class _Outline(NamedTuple):
    """A sample, an example or a PyG batch without its tensors: its attributes, with placeholders for tensors."""

    kind: str
    values: dict[str, Any]


class _Freight:
    """Replaces tensors in values by placeholders, and collects them by dtype."""

    def __init__(self) -> None:
        self.parts: dict[torch.dtype, list[Tensor]] = {}

    def load(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._take(value)
        if isinstance(value, dict):
            return {key: self.load(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.load(item) for item in value]
        if isinstance(value, Example):
            return _Outline("example", {f.name: self.load(getattr(value, f.name)) for f in fields(value)})
        if isinstance(value, GraphSample):
            values = {f.name: getattr(value, f.name) for f in fields(value)}
            for name in ("parameters", "weights", "loss_increases"):
                values[name] = self.load(values[name])
            return _Outline("sample", values)
        if hasattr(value, "to_data_list"):
            parts = {name: self.load(getattr(value, name)) for name in _TAKEN_APART_BY}
            return _Outline("batch", {"values": self.load(value.to_dict()), "parts": parts})
        return value

    def _take(self, tensor: Tensor) -> Tensor | _Place:
        if tensor.device.type != "cpu" or tensor.nbytes > _LARGE:
            return tensor
        parts = self.parts.setdefault(tensor.dtype, [])
        parts.append(tensor.detach().reshape(-1))
        return _Place(tensor.dtype, len(parts) - 1, tuple(tensor.shape))

    def joined(self) -> dict[torch.dtype, tuple[np.ndarray, list[int]]]:
        return {dtype: (torch.cat(parts).numpy(), [len(part) for part in parts]) for dtype, parts in self.parts.items()}


def _unload(outline: list[Any], freight: dict[torch.dtype, tuple[np.ndarray, list[int]]]) -> Message:
    """Restores the message that `Message.__reduce__` packed."""
    parts = {dtype: torch.from_numpy(joined).split(sizes) for dtype, (joined, sizes) in freight.items()}

    def restored(value: Any) -> Any:
        if isinstance(value, _Place):
            return parts[value.dtype][value.number].view(value.shape)
        if isinstance(value, dict):
            return {key: restored(item) for key, item in value.items()}
        if isinstance(value, list):
            return [restored(item) for item in value]
        if not isinstance(value, _Outline):
            return value
        values = value.values
        if value.kind == "example":
            return Example(**{key: restored(item) for key, item in values.items()})
        if value.kind == "sample":
            for name in ("parameters", "weights", "loss_increases"):
                values[name] = restored(values[name])
            return GraphSample(**values)
        from torch_geometric.data import Batch, Data

        batch = Batch(_base_cls=Data, **restored(values["values"]))
        for name, part in values["parts"].items():
            setattr(batch, name, restored(part))
        return batch

    return Message([restored(batch) for batch in outline])
