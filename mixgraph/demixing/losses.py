"""Losses of the demixer: errors of coefficients over all combinations of targets, of masks' sums, and of waveforms."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from mixgraph.dsp.slicqt import RaggedSpectrum

_FLOOR = 0.1  # of the energy of the mix; a lower one rewards silence: with 1e-3, vocals came out 5 to 14 LU too low


def combination_error(
    estimates: RaggedSpectrum, targets: RaggedSpectrum, weighting: Literal["coefficients", "blocks"] = "coefficients"
) -> Tensor:
    """The squared error of the sums of all combinations of targets, but for the one of all of them.

    With e_j the error of target j, of J, every target is in 2^(J-1) - 1 combinations and every pair in 2^(J-2) - 1, so
    that the mean over the 2^J - 2 combinations needs no loop over them:

        mean = (2^(J-2) sum_j |e_j|^2 + (2^(J-2) - 1) |sum_j e_j|^2) / (2^J - 2)        J >= 2

    Args:
        estimates: blocks of (batch, targets, channels, slices, bands, size), complex.
        targets: the same of the true targets.
        weighting: the mean over all coefficients, or the mean over blocks of the mean over each.
    """
    errors = estimates.flat - targets.flat
    num_targets = errors.shape[1]
    single = (errors.real.square() + errors.imag.square()).sum(dim=1)
    if num_targets == 1:
        mean = single
    else:
        total = errors.sum(dim=1)
        quarter = 2.0 ** (num_targets - 2)
        joint = total.real.square() + total.imag.square()
        mean = (quarter * single + (quarter - 1) * joint) / (4 * quarter - 2)
    if weighting == "coefficients":
        return mean.mean()
    return torch.stack([block.mean() for block in RaggedSpectrum(mean, targets.layout).blocks]).mean()


def mask_sum_error(masks: RaggedSpectrum, weighting: Literal["coefficients", "blocks"] = "coefficients") -> Tensor:
    """The squared error of the sum of masks, (batch, targets, ...), against 1."""
    error = (masks.flat.sum(dim=1) - 1).square()
    if weighting == "coefficients":
        return error.mean()
    return torch.stack([block.mean() for block in RaggedSpectrum(error, masks.layout).blocks]).mean()


def waveform_error_db(estimates: Tensor, targets: Tensor) -> Tensor:
    """The error of waveforms in dB of the target, the mean over batch and targets; silence has a floor of the mix.

    Args:
        estimates: (batch, targets, channels, time).
        targets: the true ones.
    """
    energy = targets.square().sum(dim=(2, 3))
    error = (estimates - targets).square().sum(dim=(2, 3))
    floor = _FLOOR * targets.sum(dim=1).square().sum(dim=(1, 2)).unsqueeze(1) + 1e-8
    return 10 * ((error + floor).log10() - (energy + floor).log10()).mean()
