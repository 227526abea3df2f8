r"""The spectrum of an even filter that is much shorter than the FFT.

With h[-n] = h[n] the spectrum is real and even,

    R[k] = \sum_n h[n] cos(2 pi k n / N),      k = 0 ... N/2 .

A full FFT would mostly work on zeros. With N = L M, and M just longer than the filter, every L-th bin is a short FFT:

    R[L m + r] = \sum_n (h[n] exp(-2 pi i n r / N)) exp(-2 pi i n m / M),

real again, since h[n] exp(-2 pi i n r / N) has its conjugate at -n. By R[N - k] = R[k] the bins of r > L/2 are those of
L - r in reverse, so that L/2 + 1 inverse real FFTs of M points give all. The backward pass is the adjoint: the same
layout of the gradient, real FFTs of M points, and the sum over r.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from mixgraph.dsp.pieces import pieces

_NODES = 2  # at once on a CPU


def even_response(half: Tensor, n_fft: int) -> Tensor:
    """The spectrum of the filter half[|n|], a real tensor; differentiable once.

    Args:
        half: taps at n = 0, 1, ..., (nodes, taps).
        n_fft: even FFT length that the filter's 2 * taps - 1 samples fit into.

    Returns:
        (nodes, n_fft // 2 + 1).
    """
    if n_fft % 2 or n_fft < 2 * half.shape[-1] - 1:
        raise ValueError(f"n_fft: even and at least the {2 * half.shape[-1] - 1} taps, got {n_fft}")
    return _EvenResponse.apply(half, n_fft)


def _split(taps: int, n_fft: int) -> tuple[int, int]:
    """L and M, both as above; M is even and at least twice the taps."""
    apart = next(n for n in range(n_fft // (2 * taps), 0, -1) if (n_fft // 2) % n == 0)
    return apart, n_fft // apart


def _turns(half: Tensor, apart: int, n_fft: int) -> Tensor:
    """exp(2 pi i n r / N), (L // 2 + 1, taps), computed in float64."""
    r = torch.arange(apart // 2 + 1, device=half.device).unsqueeze(-1)
    angle = (r * torch.arange(half.shape[-1], device=half.device)).double() * (2 * math.pi / n_fft)
    return torch.complex(angle.cos().to(half.dtype), angle.sin().to(half.dtype))


class _EvenResponse(Function):
    @staticmethod
    def forward(ctx: Any, half: Tensor, n_fft: int) -> Tensor:
        apart, short = _split(half.shape[-1], n_fft)
        turns, low, top = _turns(half, apart, n_fft), apart // 2 + 1, short // 2 + 1
        response = half.new_empty(half.shape[0], top, apart)  # bin L m + r at [m, r]
        for h, out in pieces(_NODES, half, response):
            # The inverse FFT's sign: the conjugate of a real sum.
            parts = torch.fft.irfft(h.unsqueeze(1) * turns, n=short, norm="forward")
            out[..., :low] = parts[..., :top].transpose(1, 2)
            out[..., low:] = parts[:, 1 : apart - low + 1].flip((1, 2))[..., :top].transpose(1, 2)
        ctx.save_for_backward(turns)
        ctx.short = short
        return response.flatten(1)[:, : n_fft // 2 + 1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (turns,) = ctx.saved_tensors
        short, low, bins = ctx.short, turns.shape[0], grad.shape[-1]
        apart, top = 2 * (bins - 1) // short, short // 2 + 1
        weights = torch.view_as_real(turns)
        sums = []
        for (g,) in pieces(_NODES, grad):
            arrived = F.pad(g, (0, top * apart - bins)).unflatten(1, (top, apart))
            parts = g.new_zeros(g.shape[0], low, short)
            parts[..., :top] = arrived[..., :low].transpose(1, 2)
            parts[:, 1 : apart - low + 1, top - 1 :] = arrived[:, :-1, low:].flip((1, 2)).transpose(1, 2)
            spectrum = torch.view_as_real(torch.fft.rfft(parts)[..., : turns.shape[-1]])
            sums.append((spectrum * weights).sum(dim=1).sum(dim=-1))
        grad_half = torch.cat(sums)
        grad_half[:, 1:] *= 2  # the taps at n and -n
        return grad_half, None
