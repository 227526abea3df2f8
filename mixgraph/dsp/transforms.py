r"""Real FFTs, of a stretch of a circle, whose backward pass is a real FFT too.

The gradient of  X = rfft(x)  by x is  Re \sum_{k=0}^{N/2} g_k exp(2 pi i k n / N).  An unscaled inverse real FFT of
g is the same sum with the bins between DC and the Nyquist frequency counted twice, so half of it plus half of the two
end bins is the gradient; the stock backward pads g to N complex bins and runs a complex FFT. Of  x = irfft(X)  the
gradient by X is rfft(g) / N, with the bins between counted twice.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


class _RealFFT(Function):
    @staticmethod
    def forward(ctx: Any, signal: Tensor, n_fft: int, offset: int) -> Tensor:
        ctx.samples, ctx.n_fft, ctx.offset = signal.shape[-1], n_fft, offset
        if offset == 0:
            return torch.fft.rfft(signal, n=n_fft)
        circle = signal.new_zeros(*signal.shape[:-1], n_fft)
        circle[..., offset : offset + ctx.samples] = signal
        return torch.fft.rfft(circle)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        offset, samples = ctx.offset, ctx.samples
        first = offset - offset % 2
        last = offset + samples + (offset + samples) % 2
        summed = torch.fft.irfft(grad, n=ctx.n_fft, norm="forward")[..., first:last]
        # The end bins add one value at even samples and one at odd ones: one complex number to each pair of samples.
        low, high = grad[..., 0].real, grad[..., -1].real
        ends = torch.complex(low + high, low - high).unsqueeze(-1) * 0.5
        pairs = torch.view_as_complex(summed.unflatten(-1, (-1, 2)))
        whole = torch.view_as_real(torch.add(ends, pairs, alpha=0.5)).flatten(-2)
        return whole[..., offset - first : offset - first + samples], None, None


def real_fft(signal: Tensor, n_fft: int, offset: int = 0) -> Tensor:
    """The spectrum of a signal that starts at `offset` of a circle of zeros; differentiable once.

    `torch.fft.rfft(signal, n=n_fft)` for an offset of 0.

    Shape: (..., samples) to (..., n_fft // 2 + 1).

    Raises:
        ValueError: n_fft is odd, or the signal does not fit.
    """
    needed = offset + signal.shape[-1]
    if n_fft % 2 or n_fft < needed or offset < 0:
        raise ValueError(f"n_fft: even and at least {needed}, got {n_fft}")
    return _RealFFT.apply(signal, n_fft, offset)


class _InverseFFT(Function):
    @staticmethod
    def forward(ctx: Any, spectrum: Tensor, n_fft: int, first: int, samples: int) -> Tensor:
        ctx.n_fft, ctx.first, ctx.samples = n_fft, first, samples
        whole = torch.fft.irfft(spectrum, n=n_fft)
        last = first + samples
        if first >= 0:
            return whole[..., first:last]
        return torch.cat((whole[..., first : last if last < 0 else None], whole[..., : max(last, 0)]), dim=-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        first, last = ctx.first, ctx.first + ctx.samples
        circle = grad.new_zeros(*grad.shape[:-1], ctx.n_fft)
        inside = max(first, 0)
        torch.mul(grad[..., inside - first :], 2, out=circle[..., inside : max(last, inside)])
        if first < 0:
            wrapped = min(last, 0)
            torch.mul(grad[..., : wrapped - first], 2, out=circle[..., ctx.n_fft + first : ctx.n_fft + wrapped])
        found = torch.fft.rfft(circle, norm="forward")
        found[..., 0] /= 2
        found[..., -1] /= 2
        return found, None, None, None


def inverse_fft(spectrum: Tensor, n_fft: int, first: int, samples: int) -> Tensor:
    """Samples [first, first + samples) of the circle that a spectrum stands for; differentiable once.

    Args:
        spectrum: (..., n_fft // 2 + 1).
        n_fft: length of the circle, even.
        first: may be negative: such samples are at the end of the circle.
        samples: not more than there are, counted from `first` to the end of the circle or, from below 0, around it.

    Returns:
        (..., samples).

    Raises:
        ValueError: samples that are not there.
    """
    if not -n_fft <= first <= first + samples <= n_fft or samples > n_fft:
        raise ValueError(f"first, samples: a stretch of the circle of {n_fft} is needed, got {first} and {samples}")
    return _InverseFFT.apply(spectrum, n_fft, first, samples)
