r"""Real FFTs whose backward pass is a real FFT too.

The gradient of  X = rfft(x)  by x is  Re \sum_{k=0}^{N/2} g_k exp(2 pi i k n / N).  An unscaled inverse real FFT of
g is the same sum with the bins between DC and the Nyquist frequency counted twice, so half of it plus half of the two
end bins is the gradient; the stock backward pads g to N complex bins and runs a complex FFT.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


class _RealFFT(Function):
    @staticmethod
    def forward(ctx: Any, signal: Tensor, n_fft: int) -> Tensor:
        ctx.samples, ctx.n_fft = signal.shape[-1], n_fft
        return torch.fft.rfft(signal, n=n_fft)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        even = ctx.samples + ctx.samples % 2
        summed = torch.fft.irfft(grad, n=ctx.n_fft, norm="forward")[..., :even]
        # The end bins add one value at even samples and one at odd ones: one complex number to each pair of samples.
        first, last = grad[..., 0].real, grad[..., -1].real
        ends = torch.complex(first + last, first - last).unsqueeze(-1) * 0.5
        pairs = torch.view_as_complex(summed.unflatten(-1, (-1, 2)))
        whole = torch.view_as_real(torch.add(ends, pairs, alpha=0.5)).flatten(-2)
        return whole[..., : ctx.samples], None


def real_fft(signal: Tensor, n_fft: int) -> Tensor:
    """`torch.fft.rfft(signal, n=n_fft)` for even `n_fft` >= samples; differentiable once.

    Shape: (..., samples) to (..., n_fft // 2 + 1).
    """
    if n_fft % 2 or n_fft < signal.shape[-1]:
        raise ValueError(f"n_fft: even and at least {signal.shape[-1]}, got {n_fft}")
    return _RealFFT.apply(signal, n_fft)
