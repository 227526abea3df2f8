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
        differences, log_differences = torch._foreach_sub(targets, magnitudes), torch._foreach_sub(log_targets, logs)
        distance = torch.stack([torch.linalg.vector_norm(d, dim=(-2, -1)) for d in differences], 1)
        log_distance = torch.stack([d.mean(dim=(-2, -1)) for d in torch._foreach_abs(log_differences)], 1)
        ctx.save_for_backward(distance, *magnitudes, *differences, *log_differences)
        return distance, log_distance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_distance: Tensor, by_log_distance: Tensor) -> tuple[Tensor | None, ...]:
        distance, *tensors = ctx.saved_tensors
        count = len(tensors) // 3
        magnitudes, differences, log_differences = (tensors[i : i + count] for i in range(0, 3 * count, count))
        shares = _shares(tuple(x.shape[-2] * x.shape[-1] for x in magnitudes), distance.dtype, distance.device)
        factors = torch.stack((by_distance / distance.clamp(min=_LEAST), by_log_distance * shares)).neg_()
        linear, log = factors.unsqueeze(-1).unsqueeze(-1).unbind(0)  # (B, groups, 4, 1, 1)
        gradients = [d * factor for d, factor in zip(differences, linear.unbind(1), strict=True)]
        signs = [s.mul_(factor) for s, factor in zip(torch._foreach_sign(log_differences), log.unbind(1), strict=True)]
        torch._foreach_addcdiv_(gradients, signs, magnitudes)
        return (None, *gradients, *(None,) * (3 * len(magnitudes)))


@made_once(keep=64)
def _shares(sizes: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns 1 over the number of bands times frames of each group, (groups, 1)."""
    return torch.stack([torch.full((1,), 1 / size, dtype=dtype, device=device) for size in sizes])
