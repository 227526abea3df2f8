"""Large batches a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor


def pieces(rows: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """So many rows of each tensor at a time on a CPU, so that what is made of them stays in its cache; else all.

    Args:
        rows: along the first axis.
        tensors: with the same number of rows.
    """
    at_once = rows if tensors[0].device.type == "cpu" else max(1, tensors[0].shape[0])
    return zip(*(tensor.split(at_once) for tensor in tensors), strict=True)
