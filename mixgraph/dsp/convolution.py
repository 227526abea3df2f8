"""Exact linear convolution through FFTs of fast lengths."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from mixgraph.dsp.transforms import real_fft

_RADICES = (2, 3, 5, 7)


@lru_cache(maxsize=4096)
def fast_length(minimum: int) -> int:
    """The smallest even number that is at least `minimum` and has no prime factor above 7.

    FFTs at lengths with large prime factors are several times slower; an odd length loses a sample in `irfft`
    without `n`.
    """
    length = max(2, minimum + minimum % 2)
    while not _is_smooth(length):
        length += 2
    return length


def _is_smooth(length: int) -> bool:
    for radix in _RADICES:
        while length % radix == 0:
            length //= radix
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
