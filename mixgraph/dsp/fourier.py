r"""Fourier transforms: fast lengths, real FFTs whose backward pass is a real FFT too, and spectra of filters.

**Real FFTs.** The gradient of  X = rfft(x)  by x is  Re \sum_{k=0}^{N/2} g_k exp(2 pi i k n / N).  An unscaled inverse
real FFT of g is the same sum with the bins between DC and the Nyquist frequency counted twice, so half of it plus half
of the two end bins is the gradient; the stock backward pads g to N complex bins and runs a complex FFT. Of
x = irfft(X)  the gradient by X is rfft(g) / N, with the bins between counted twice.

**Even filters that are much shorter than the FFT.** With h[-n] = h[n] the spectrum is real and even,

    R[k] = \sum_n h[n] cos(2 pi k n / N),      k = 0 ... N/2 .

A full FFT would mostly work on zeros. With N = L M, and M just longer than the filter, every L-th bin is a short FFT:

    R[L m + r] = \sum_n (h[n] exp(-2 pi i n r / N)) exp(-2 pi i n m / M),

real again, since h[n] exp(-2 pi i n r / N) has its conjugate at -n. By R[N - k] = R[k] the bins of r > L/2 are those of
L - r in reverse, so that L/2 + 1 inverse real FFTs of M points give all. The backward pass is the adjoint: the same
layout of the gradient, real FFTs of M points, and the sum over r. Where operations are dear, the full FFT is taken:
with X that of h[n] from n = 0 on, R = 2 Re(X) - h[0].
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from mixgraph.dsp.constants import made_once
from mixgraph.dsp.pieces import in_pieces

_ANY = 64  # more than the powers of a prime that a length can have
_FACTORS = {2: _ANY, 3: _ANY, 5: _ANY, 7: _ANY}  # prime factors of lengths at which FFTs are fast: the most of each
_FACTORS_AT_BEST = {2: _ANY, 3: 4, 5: _ANY, 7: 2}  # of `fast_length`, as measured with MKL
_LONG, _LONG_STEP = 4096, 32
_EVEN_FILTERS = 2  # filters whose spectra a CPU computes at a time


@lru_cache(maxsize=4096)
def fast_length(minimum: int) -> int:
    """Returns an even FFT length not far above `minimum` at which FFTs are fast: its prime factors are small.

    FFTs at lengths with large prime factors are several times slower; an odd length loses a sample in `irfft`
    without `n`. Of the lengths with small factors, those with few factors of 2 or many of 3 take up to 1.7 times as
    long as their neighbours (measured with MKL), so that long ones are multiples of 32.
    """
    step = _LONG_STEP if minimum > _LONG else 2
    length = max(2, -(-minimum // step) * step)
    while not _has_only(_FACTORS_AT_BEST, length):
        length += step
    return length


def nearest_fast_length(length: float, multiple_of: int = 2) -> int:
    """Returns the FFT length nearest to `length` whose prime factors are 2, 3, 5 and 7 (the longer one of two as near).

    >>> [nearest_fast_length(1024 * rate / 30000, 4) for rate in (16000, 30000, 44100, 48000)]
    [540, 1024, 1500, 1620]

    Args:
        length: the wished length, in samples.
        multiple_of: the result is a multiple of this even number (which must itself be fast).

    Raises:
        ValueError: `multiple_of` is odd, not positive, or has a prime factor above 7.
    """
    if multiple_of < 2 or multiple_of % 2 or not _has_only(_FACTORS, multiple_of):
        raise ValueError(f"multiple_of must be even, positive, with no prime factor above 7; got {multiple_of}")
    above = max(1, math.ceil(length / multiple_of))
    while not _has_only(_FACTORS, above):
        above += 1
    below = max(1, math.floor(length / multiple_of))
    while not _has_only(_FACTORS, below):
        below -= 1
    return multiple_of * min(above, below, key=lambda units: abs(units * multiple_of - length))


def power_of_two_length(minimum: int) -> int:
    """Returns the lowest power of 2 that is at least `minimum`, and at least 2."""
    return 1 << max(minimum - 1, 1).bit_length()


def _has_only(factors: Mapping[int, int], number: int) -> bool:
    """Whether a positive number is a product of these primes, none taken more often than its count."""
    for prime, most in factors.items():
        count = 0
        while number % prime == 0 and count < most:
            number //= prime
            count += 1
    return number == 1


def row_chunks(num_rows: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yields some rows of every tensor at a time, so that what is made of them stays in a CPU's cache.

    Args:
        num_rows: rows of a chunk on a CPU; on other devices all rows come at once.
        tensors: tensors with the same number of rows along the first axis.
    """
    size = num_rows if in_pieces(tensors[0]) else max(1, tensors[0].shape[0])
    return zip(*(tensor.split(size) for tensor in tensors), strict=True)


@made_once(keep=64)
def bin_weights(num_bins: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns 1 for DC and the Nyquist frequency, and 1/2 for the bins between, which an inverse FFT counts twice."""
    weights = torch.full((num_bins,), 0.5, dtype=dtype, device=device)
    weights[0] = weights[-1] = 1.0
    return weights


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
        if not in_pieces(grad):  # in fewer operations, which go through the spectrum instead
            weights = bin_weights(ctx.n_fft // 2 + 1, grad.real.dtype, grad.device)
            whole = torch.fft.irfft(grad * weights, n=ctx.n_fft, norm="forward")
            return whole[..., offset : offset + samples], None, None
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
        if not in_pieces(grad):
            circle = F.pad(grad, (max(first, 0), ctx.n_fft - ctx.samples - max(first, 0)))
            circle = circle.roll(first, dims=-1) if first < 0 else circle
            weights = bin_weights(ctx.n_fft // 2 + 1, grad.dtype, grad.device)
            return torch.fft.rfft(circle, norm="forward") / weights, None, None, None
        circle = grad.new_zeros(*grad.shape[:-1], ctx.n_fft)
        inside = max(first, 0)
        torch.mul(grad[..., inside - first :], 2, out=circle[..., inside : max(last, inside)])
        if first < 0:
            wrapped = min(last, 0)
            torch.mul(grad[..., : wrapped - first], 2, out=circle[..., ctx.n_fft + first : ctx.n_fft + wrapped])
        by_spectrum = torch.fft.rfft(circle, norm="forward")
        by_spectrum[..., :: ctx.n_fft // 2].mul_(0.5)  # the two end bins
        return by_spectrum, None, None, None


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


def circular_response(impulse_response: Tensor, before: int, n_fft: int) -> Tensor:
    """The spectrum of an FIR whose time zero is at index `before`, for products of spectra of length `n_fft`.

    Args:
        impulse_response: (..., taps), with `taps <= n_fft`.
        before: number of taps at negative times; they wrap to the end of the FFT's buffer.
        n_fft: even FFT length.

    Returns:
        (..., n_fft // 2 + 1), complex.
    """
    if impulse_response.shape[-1] > n_fft:
        raise ValueError(f"n_fft: at least the {impulse_response.shape[-1]} taps are needed, got {n_fft}")
    if before:
        gap = impulse_response.new_zeros(*impulse_response.shape[:-1], n_fft - impulse_response.shape[-1])
        parts = (impulse_response[..., before:], gap, impulse_response[..., :before])
        return real_fft(torch.cat(parts, dim=-1), n_fft)
    return real_fft(impulse_response, n_fft)


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


@made_once(keep=16)
def _turns(taps: int, apart: int, n_fft: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """exp(2 pi i n r / N), (L // 2 + 1, taps), computed in float64."""
    r = torch.arange(apart // 2 + 1, device=device).unsqueeze(-1)
    angle = (r * torch.arange(taps, device=device)).double() * (2 * math.pi / n_fft)
    return torch.complex(angle.cos().to(dtype), angle.sin().to(dtype))


class _EvenResponse(Function):
    @staticmethod
    def forward(ctx: Any, half: Tensor, n_fft: int) -> Tensor:
        ctx.taps, ctx.n_fft = half.shape[-1], n_fft
        if not in_pieces(half):
            return torch.lerp(half[:, :1], torch.fft.rfft(half, n=n_fft).real, 2.0)
        apart, short = _split(half.shape[-1], n_fft)
        turns, low, top = (
            _turns(half.shape[-1], apart, n_fft, half.dtype, half.device),
            apart // 2 + 1,
            short // 2 + 1,
        )
        response = half.new_empty(half.shape[0], top, apart)  # bin L m + r at [m, r]
        for h, out in row_chunks(_EVEN_FILTERS, half, response):
            # The inverse FFT's sign: the conjugate of a real sum.
            parts = torch.fft.irfft(h.unsqueeze(1) * turns, n=short, norm="forward")
            out[..., :low] = parts[..., :top].transpose(1, 2)
            out[..., low:] = parts[:, 1 : apart - low + 1].flip((1, 2))[..., :top].transpose(1, 2)
        ctx.turns, ctx.short = turns, short
        return response.flatten(1)[:, : n_fft // 2 + 1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        if not in_pieces(grad):
            weights = bin_weights(grad.shape[-1], grad.dtype, grad.device)
            grad_half = torch.fft.irfft(grad * weights, n=ctx.n_fft, norm="forward")[:, : ctx.taps]
            grad_half[:, 1:].mul_(2)  # the taps at n and -n
            return grad_half, None
        turns = ctx.turns
        short, low, bins = ctx.short, turns.shape[0], grad.shape[-1]
        apart, top = 2 * (bins - 1) // short, short // 2 + 1
        weights = torch.view_as_real(turns)
        sums = []
        for (g,) in row_chunks(_EVEN_FILTERS, grad):
            arrived = F.pad(g, (0, top * apart - bins)).unflatten(1, (top, apart))
            parts = g.new_zeros(g.shape[0], low, short)
            parts[..., :top] = arrived[..., :low].transpose(1, 2)
            parts[:, 1 : apart - low + 1, top - 1 :] = arrived[:, :-1, low:].flip((1, 2)).transpose(1, 2)
            spectrum = torch.view_as_real(torch.fft.rfft(parts)[..., : turns.shape[-1]])
            sums.append((spectrum * weights).sum(dim=1).sum(dim=-1))
        grad_half = torch.cat(sums)
        grad_half[:, 1:].mul_(2)  # the taps at n and -n
        return grad_half, None
