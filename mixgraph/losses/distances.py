"""Distances of magnitudes in groups of bands, with a gradient in few operations for all groups together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from mixgraph.dsp.constants import made_once

_LEAST = 1e-30  # of a distance whose gradient is taken: equal magnitudes have none


def group_distances(
    targets: Sequence[Tensor], log_targets: Sequence[Tensor], magnitudes: Sequence[Tensor], logs: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Returns the Frobenius norms of the differences, and the mean absolute differences of the logarithms.

    Args:
        targets: the magnitudes of each group to be compared with, (B, 4, bands, frames). No gradient flows into them.
        log_targets: their natural logarithms.
        magnitudes: the magnitudes of the prediction; differentiable once.
        logs: their natural logarithms, whose gradient is taken by the magnitudes.

    Returns:
        Both (B, groups, 4).
    """
    fixed = [value.detach() for values in (targets, log_targets, logs) for value in values]
    distances: tuple[Tensor, Tensor] = _Distances.apply(len(targets), *magnitudes, *fixed)
    return distances


class _Distances(Function):
    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        magnitudes, targets, log_targets, logs = (tensors[i : i + count] for i in range(0, 4 * count, count))
        sizes = [x.shape[-2] * x.shape[-1] for x in magnitudes]
        differences = magnitudes[0].new_empty(2, *magnitudes[0].shape[:-2], sum(sizes))
        linear, log = (of_all.split(sizes, dim=-1) for of_all in differences)
        for values, others, parts in ((targets, magnitudes, linear), (log_targets, logs, log)):
            for value, other, part in zip(values, others, parts, strict=True):
                torch.sub(value, other, out=_like(value, part))
        distance = torch.stack([torch.linalg.vector_norm(part, dim=-1) for part in linear], 1)
        log_distance = torch.stack([part.mean(dim=-1) for part in differences[1].abs().split(sizes, dim=-1)], 1)
        ctx.save_for_backward(differences, distance, *magnitudes)
        return distance, log_distance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_distance: Tensor, by_log_distance: Tensor) -> tuple[Tensor | None, ...]:
        differences, distance, *magnitudes = ctx.saved_tensors
        sizes = tuple(x.shape[-2] * x.shape[-1] for x in magnitudes)
        shares = _shares(sizes, distance.dtype, distance.device)
        factors = torch.stack((by_distance / distance.clamp(min=_LEAST), by_log_distance * shares)).neg_()
        signs = torch.sgn(differences[1])
        gradients = []
        for magnitude, difference, sign, factor in zip(
            magnitudes,
            differences[0].split(sizes, dim=-1),
            signs.split(sizes, dim=-1),
            factors.unsqueeze(-1).unbind(2),
            strict=True,
        ):
            total = _like(magnitude, difference * factor[0])
            gradients.append(total.addcdiv_(_like(magnitude, sign.mul_(factor[1])), magnitude))
        return (None, *gradients, *(None,) * (3 * len(magnitudes)))


def _like(magnitudes: Tensor, part: Tensor) -> Tensor:
    """Shapes (..., bands times frames) as magnitudes are, whose memory mostly has the bands of a frame together."""
    return part.unflatten(-1, (magnitudes.shape[-1], magnitudes.shape[-2])).mT


@made_once(keep=64)
def _shares(sizes: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns 1 over the number of bands times frames of each group, (groups, 1)."""
    return torch.stack([torch.full((1,), 1 / size, dtype=dtype, device=device) for size in sizes])
