"""Gain staging and sparsity (paper eq. 5 and 8)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from mixgraph.render.values import StagedEnergy

_FLOOR = 1e-7  # mean energy a sample; keeps silent tracks out


def gain_staging(
    energies: Sequence[StagedEnergy], num_samples: int, types: Collection[str], like: Tensor | None = None
) -> Tensor:
    """Computes the sum over nodes of | ln(rms of wet) - ln(rms of dry) | (paper eq. 5).

    Args:
        energies: energies of the gain-staged nodes, from rendering; of the mid channel by default.
        num_samples: the number of samples that the energies were summed over.
        types: the processor types that take part.
        like: a tensor whose device and dtype the result 0 has if no node takes part, so that a GPU need not wait for
            the host.

    Returns:
        A scalar, the mean over clips.
    """
    taking_part = [step for step in energies if step.type in types]
    if not taking_part:
        return torch.zeros(()) if like is None else like.new_zeros(())
    energies_of_all = torch.cat([step.dry_and_wet for step in taking_part], dim=1)
    dry, wet = torch.log(energies_of_all + num_samples * _FLOOR)
    return (wet - dry).abs().sum() * (0.5 / dry.shape[-1])


def sparsity(weights: Tensor) -> Tensor:
    """The l1 norm of the processors' dry/wet weights (paper eq. 8); (processors,) to a scalar."""
    return torch.linalg.vector_norm(weights, ord=1)


def sparsity_ramp(step: int, ramp_steps: int) -> float:
    """The coefficient of the sparsity term, from 0 to 1 over the first steps of the pruning phase."""
    return 1.0 if ramp_steps <= 0 else min(1.0, step / ramp_steps)
