"""Impulse responses: zero-phase filters from log-magnitudes (paper eq. 12), and unit energy."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def hann(length: int, periodic: bool = False) -> Tensor:
    """A Hann window of odd `length`, in float64.

    The symmetric window has its peak at the centre tap, so a zero-phase response stays real. The periodic one
    (as published) is off-centre by half a tap, which makes the response slightly complex.
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


class _UnitEnergy(Function):
    """y = x / r with r^2 = |x|^2 / channels + 1e-12; the gradient of x is (g - y <g, y> / channels) / r."""

    @staticmethod
    def forward(ctx: Any, impulse_response: Tensor) -> Tensor:
        energy = impulse_response.square().sum(dim=(1, 2), keepdim=True) / impulse_response.shape[1]
        scale = torch.rsqrt(energy + 1e-12)
        normalized = impulse_response * scale
        ctx.save_for_backward(normalized, scale)
        return normalized

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        normalized, scale = ctx.saved_tensors
        along = (grad * normalized).sum(dim=(1, 2), keepdim=True)
        return (grad * scale).addcmul_(normalized, along * scale, value=-1 / grad.shape[1])


def normalize_energy(impulse_response: Tensor) -> Tensor:
    """Scales each response to unit energy, the mean of its channels; differentiable once.

    Shape: (nodes, channels, taps) to the same.
    """
    return _UnitEnergy.apply(impulse_response)
