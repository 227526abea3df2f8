"""Zero-phase FIR filters from log-magnitude responses (paper eq. 12)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def hann(length: int, periodic: bool = False) -> Tensor:
    """A Hann window of odd `length`, in float64.

    The symmetric window has its peak at the centre tap, so a zero-phase response stays real. The periodic one
    (the reference's) is off-centre by half a tap, which makes the response slightly complex.
    """
    steps = length if periodic else length + 1
    offset = 0 if periodic else 1  # skip the first zero, so that all taps of the symmetric window count
    n = torch.arange(length, dtype=torch.float64) + offset
    return 0.5 * (1 - torch.cos(2 * math.pi * n / steps))


def zero_phase_fir(log_magnitude: Tensor, window: Tensor) -> Tensor:
    """Windowed inverse FFT of a zero-phase magnitude response.

    Args:
        log_magnitude: (..., bins), natural logarithm, from 0 to just below the Nyquist frequency.
        window: (2 * bins - 1,), centred at `bins - 1`.

    Returns:
        (..., 2 * bins - 1); time zero at index `bins - 1`.
    """
    taps = 2 * log_magnitude.shape[-1] - 1
    if window.shape[-1] != taps:
        raise ValueError(f"window: {taps} taps are needed for {log_magnitude.shape[-1]} bins, got {window.shape[-1]}")
    fir = torch.fft.irfft(torch.exp(log_magnitude), n=taps)
    return torch.roll(fir, taps // 2, dims=-1) * window
