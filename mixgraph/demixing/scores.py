"""Scores of separated targets."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SILENT_DB = -60.0
"""A target whose power is below this, in dB of full scale, is silent; no ratio is computed for it."""
_EPS = 1e-7


def is_silent(target: Tensor) -> bool:
    """Whether a target, (channels, time), is silent."""
    return target.numel() == 0 or float(target.double().square().mean()) < 10 ** (SILENT_DB / 10)


def song_sdr_db(target: Tensor, estimate: Tensor) -> float | None:
    """The signal-to-distortion ratio of a whole song, as the Music Demixing Challenge 2021 defines it.

        10 log10((sum |s|^2 + eps) / (sum |s - s'|^2 + eps))        over all channels and samples, eps = 1e-7

    Args:
        target: (channels, time).
        estimate: of the same shape.

    Returns:
        The ratio in dB; None for a target that is silent.

    Raises:
        ValueError: other shapes.
    """
    if target.shape != estimate.shape:
        raise ValueError(f"estimate: {tuple(target.shape)} is needed, got {tuple(estimate.shape)}")
    if is_silent(target):
        return None
    energies = [float(torch.sum(part.double().square())) for part in (target, target - estimate)]
    return 10 * math.log10((energies[0] + _EPS) / (energies[1] + _EPS))
