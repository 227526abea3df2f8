r"""Trains of delayed impulses whose delays can be learnt (paper B.7; Hayes et al. 2023).

A delay of d samples in a segment of N is the spectrum exp(-2 pi i k d / N). Its relaxation z^k with |z| <= 1 is
differentiable in z. Used forward it would ring, so the forward value is the unit impulse at

    d = -angle(z) N / 2 pi  (mod N, rounded)

where the relaxed impulse has its maximum, and only the backward pass uses the relaxation

    s[n] = (1/N) \sum_{k=0}^{N/2} c_k Re( z^k exp(2 pi i k n / N) ),      c = 1, 2, 2, ..., 2, 1 .

With v[n] the gradient that arrives at s[n] and V its FFT, the loss along s is (1/N) \sum_k c_k Re( conj(V_k) z^k ). Its
gradient by the real and imaginary part of z is the real and imaginary part of

    (1/N) \sum_{k=1}^{N/2} c_k k V_k conj(z)^(k-1) .
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from mixgraph.dsp.constants import made_once


def hard_delay(z: Tensor, length: int) -> Tensor:
    """Returns the delay in samples, 0 to length - 1, for complex z, (..., 2): real and imaginary parts."""
    real, imag = z.double().unbind(-1)
    return torch.remainder(torch.round(torch.atan2(imag, real) * (-length / (2 * torch.pi))), length).long()


def soft_impulse(z: Tensor, length: int) -> Tensor:
    """The relaxed impulse itself, (..., 2) to (..., length); for tests and pictures."""
    k = torch.arange(length // 2 + 1, device=z.device)
    powers = torch.view_as_complex(z.contiguous()).unsqueeze(-1) ** k
    return torch.fft.irfft(powers, n=length)


def delayed_filters(z: Tensor, filters: Tensor, length: int, truncate: bool) -> Tensor:
    """Puts one filter at each learnt delay, one a segment, and joins the segments to one response.

    Args:
        z: (rows, segments, 2), real and imaginary part, |z| <= 1.
        filters: (rows, segments, taps), zero-phase, taps odd.
        length: samples of a segment, even.
        truncate: cut each filter at the borders of its segment (as published); otherwise only at both ends of
            the whole response.

    Returns:
        (rows, segments * length).
    """
    rows, segments, taps = filters.shape
    if truncate:  # each segment is a response by itself
        z, filters = z.reshape(rows * segments, 1, 2), filters.reshape(rows * segments, 1, taps)
    return _DelayedFilters.apply(z, filters, length).reshape(rows, segments * length)


class _DelayedFilters(Function):
    """Filters at their delays; what reaches past the ends of the response falls on margins of half a filter."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, filters: Tensor, length: int) -> Tensor:
        rows, segments, taps = filters.shape
        half = taps // 2
        position = hard_delay(z, length).unsqueeze(-1) + _positions(segments, length, taps, z.device)
        response = filters.new_zeros(rows, segments * length + 2 * half)
        response.scatter_add_(1, position.flatten(1), filters.flatten(1))
        ctx.save_for_backward(z, filters, position)
        ctx.length = length
        return response[:, half : half + segments * length]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        z, filters, position = ctx.saved_tensors
        half = filters.shape[-1] // 2
        padded = F.pad(grad, (half, half))
        by_filters = padded.gather(1, position.flatten(1)).view(filters.shape)
        by_z = _surrogate_gradient(padded, z, filters, ctx.length) if ctx.needs_input_grad[0] else None
        return by_z, by_filters, None


@made_once(keep=16)
def _positions(segments: int, length: int, taps: int, device: torch.device) -> Tensor:
    """Returns where each tap of filters without delay goes in a response with margins, (segments, taps)."""
    return torch.arange(segments, device=device).unsqueeze(-1) * length + torch.arange(taps, device=device)


def _surrogate_gradient(padded: Tensor, z: Tensor, filters: Tensor, length: int) -> Tensor:
    """Returns the gradient by z, given that by the response with its margins."""
    rows, segments, taps = filters.shape
    # v[n] = sum_j grad[n + j - half] filters[j]: the gradient at each sample of the impulse before its filter.
    windows = padded.unfold(1, length + taps - 1, length)
    num_filters = rows * segments
    arrived = F.conv1d(windows.reshape(1, num_filters, -1), filters.reshape(num_filters, 1, taps), groups=num_filters)
    spectrum = torch.fft.rfft(arrived[0])
    spectrum[:, -1].mul_(0.5)
    return _slope(spectrum[:, 1:], z.reshape(num_filters, 2)).view_as(z) * (2 / length)


def _slope(coefficients: Tensor, z: Tensor) -> Tensor:
    """The sum over k >= 1 of k V_k conj(z)^(k-1), at one point for each row: (rows, K) and (rows, 2) to (rows, 2).

    With k - 1 = p b + q, p and q from 0, the power is conj(z)^(p b) conj(z)^q: two short tables and a small matrix
    product in place of a power for each k. b is a divisor of K near its root. The tables are made in float64.
    """
    terms = coefficients.shape[-1]
    columns = next(b for b in range(math.isqrt(terms), terms + 1) if terms % b == 0)
    q_and_1, p = _exponents(columns, terms, z.device)
    point = torch.view_as_complex(z.double()).conj().unsqueeze(-1)
    inner = _powers(point, columns)
    outer = _powers(inner[:, -1:] * point, terms // columns).to(coefficients.dtype)
    table = torch.stack((inner, inner * q_and_1), dim=-1).to(coefficients.dtype)
    polynomial, slope = (coefficients.unflatten(-1, (-1, columns)) @ table).unbind(-1)
    return torch.view_as_real(((slope + polynomial * p) * outer).sum(dim=-1))


@made_once(keep=16)
def _exponents(columns: int, terms: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns q + 1 for all columns, and p b for all rows."""
    return torch.arange(1, columns + 1, device=device), torch.arange(0, terms, columns, device=device)


def _powers(x: Tensor, count: int) -> Tensor:
    """x^0, x^1, ... by repeated products (0^0 is 1): (rows, 1) to (rows, count)."""
    return F.pad(x.expand(-1, count - 1), (1, 0), value=1.0).cumprod(dim=-1)


class _UnitGradient(Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        return z.view_as(z)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad / (grad.norm(dim=-1, keepdim=True) + 1e-7)


def unit_gradient(z: Tensor) -> Tensor:
    """The identity, whose gradient keeps its direction and gets modulus 1 (paper eq. 26); pairs on the last axis."""
    return _UnitGradient.apply(z)
