"""Exact linear convolution through FFTs of fast lengths."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from mixgraph.dsp.transforms import real_fft

_RADICES = {2: 64, 3: 4, 5: 64, 7: 2}  # prime factors and how often each may occur
_LONG, _STEP = 4096, 32


@lru_cache(maxsize=4096)
def fast_length(minimum: int) -> int:
    """A number not far above `minimum` at which FFTs are fast: even, with small prime factors.

    FFTs at lengths with large prime factors are several times slower; an odd length loses a sample in `irfft`
    without `n`. Of the smooth lengths those with few factors of 2 or many of 3 take up to 1.7 times as long as their
    neighbours (measured with MKL), so that long ones are multiples of 32.
    """
    step = _STEP if minimum > _LONG else 2
    length = max(2, -(-minimum // step) * step)
    while not _is_smooth(length):
        length += step
    return length


def _is_smooth(length: int) -> bool:
    for radix, most in _RADICES.items():
        count = 0
        while length % radix == 0 and count < most:
            length //= radix
            count += 1
    return length == 1


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


def convolve(signal: Tensor, impulse_response: Tensor) -> Tensor:
    """Full linear convolution along the last axis; the others broadcast.

    Shape: (..., N) and (..., M) to (..., N + M - 1).
    """
    length = signal.shape[-1] + impulse_response.shape[-1] - 1
    n_fft = fast_length(length)
    product = torch.fft.rfft(signal, n=n_fft) * torch.fft.rfft(impulse_response, n=n_fft)
    return torch.fft.irfft(product, n=n_fft)[..., :length]
