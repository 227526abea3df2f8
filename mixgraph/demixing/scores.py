"""Scores of separated targets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mixgraph.songs.loudness import BLOCK_SECONDS, integrated_loudness

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


def loudness_difference_lu(target: Tensor, estimate: Tensor, sample_rate: int) -> float | None:
    """How much louder an estimate is than its target, both (channels, time), in LU by integrated loudness.

    Returns:
        The difference; None where either is silent, or shorter than a block of 0.4 s.
    """
    if target.shape[-1] < round(BLOCK_SECONDS * sample_rate):
        return None
    levels = [integrated_loudness(audio, sample_rate) for audio in (target, estimate)]
    return levels[1] - levels[0] if all(map(math.isfinite, levels)) else None


def leakage_db(targets: Tensor, row: int, estimate: Tensor, heard: Sequence[int]) -> float:
    """The power of other targets in an estimate, in dB of the power of its own target in it.

    An estimate is taken as a sum of the true targets, each times a gain, and of what none of them explains; the gains
    are those of least squares.

    Args:
        targets: all true targets, (targets, channels, time).
        row: of the estimate's own target, which sounds.
        estimate: (channels, time).
        heard: rows of the targets that sound.
    """
    signals = targets[list(heard)].flatten(1).double()
    gains = torch.linalg.lstsq(signals @ signals.T, signals @ estimate.flatten().double()).solution
    powers = (gains.square() * signals.square().sum(1)).tolist()
    mine = powers[list(heard).index(row)]
    return 10 * math.log10((sum(powers) - mine + _EPS) / (mine + _EPS))
