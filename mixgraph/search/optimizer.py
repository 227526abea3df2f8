"""Pruning of optimizer state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn


def shrink_optimizer(
    optimizer: torch.optim.Optimizer,
    replaced: Mapping[nn.Parameter, nn.Parameter],
    kept: Mapping[nn.Parameter, Sequence[int]],
) -> None:
    """Swaps parameters of an optimizer for their surviving rows, and takes the same rows of their moments.

    Afterwards the optimizer goes on as if the removed rows had never been there: moments and step counts stay.

    Args:
        optimizer: any that keeps its state per parameter.
        replaced: old parameter -> new parameter.
        kept: old parameter -> rows of it that the new one holds.

    Raises:
        ValueError: the optimizer lacks one of the old parameters.
    """
    swapped = set()
    for group in optimizer.param_groups:
        for position, old in enumerate(group["params"]):
            if old not in replaced:
                continue
            swapped.add(old)
            new = replaced[old]
            group["params"][position] = new
            state = optimizer.state.pop(old, None)
            if state is not None:
                optimizer.state[new] = {
                    name: value[list(kept[old])].clone()
                    if isinstance(value, torch.Tensor) and value.shape == old.shape
                    else value
                    for name, value in state.items()
                }
    if len(swapped) < len(replaced):
        raise ValueError(f"optimizer: {len(replaced) - len(swapped)} of the pruned parameters are not in it")
