"""Gives groups of parameters their learning rates, and prunes an optimizer's state."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def parameter_groups(
    dry_wet_logits: nn.Parameter, values: nn.ModuleDict, rates: Collection[str]
) -> list[dict[str, Any]]:
    """Makes an optimizer's groups: `dry_wet`, one for each processor type, and one for each name in `rates`.

    Args:
        dry_wet_logits: the logits of all processors' dry/wet weights.
        values: type -> name -> parameter.
        rates: the names of groups and parameters that have their own rate, such as `delay.delay_z`.

    Returns:
        The groups, with `params` and `name`.
    """
    by_name: dict[str, list[nn.Parameter]] = {"dry_wet": [dry_wet_logits]}
    for node_type, parameters in values.items():
        for name, parameter in parameters.named_parameters():
            full_name = f"{node_type}.{name}"
            by_name.setdefault(full_name if full_name in rates else node_type, []).append(parameter)
    return [{"params": parameters, "name": name} for name, parameters in by_name.items()]


def set_rate(group: dict[str, Any], rate: float) -> None:
    """Sets the learning rate of an optimizer's group, in place where it is a tensor."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def rates_as_tensors(optimizer: torch.optim.Optimizer) -> None:
    """Makes the learning rates of AdamW tensors on the device of their parameters, so that captured steps read them.

    On a CPU, where nothing is captured, AdamW then updates one parameter after the other.
    """
    for group in optimizer.param_groups:
        device = group["params"][0].device
        if not isinstance(group["lr"], Tensor):
            group["lr"] = torch.tensor(group["lr"], dtype=torch.float32, device=device)
        group["capturable"] = device.type == "cuda"
        group["foreach"] = False


def shrink_optimizer(
    optimizer: torch.optim.Optimizer,
    replaced: Mapping[nn.Parameter, nn.Parameter],
    kept: Mapping[nn.Parameter, Sequence[int]],
) -> None:
    """Swaps parameters of an optimizer for their surviving rows, and takes the same rows of their moments.

    Afterwards the optimizer goes on as if the removed rows had never been there: moments and step counts stay.

    Args:
        optimizer: any optimizer that keeps its state per parameter.
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
