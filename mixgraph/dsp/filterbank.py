"""Fixed filters of the match loss: the A-weighting FIR, and mel filterbanks."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from auraloss.perceptual import FIRFilter
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks

from mixgraph.dsp.pieces import in_pieces


def a_weighting_taps(sample_rate: int, num_taps: int = 101) -> Tensor:
    """Returns the A-weighting FIR of auraloss, float32, symmetric (docs/published_code.md).

    The analog curve goes through a bilinear transform without prewarping, then a least-squares fit. That many taps
    cannot follow the curve at the bottom (-26 dB at 20 Hz at 30 kHz, where the true value is -50 dB), and the
    transform cuts the top: it is the published loss's weighting, not a measurement filter.

    Args:
        sample_rate: sample rate of the audio to be weighted, in Hz.
        num_taps: the number of taps, odd.

    Raises:
        ValueError: `num_taps` is even.
    """
    if num_taps % 2 == 0:
        raise ValueError(f"num_taps must be odd, so that the filter has a centre; got {num_taps}")
    # auraloss makes a Conv1d, which draws random weights before it sets them: keep that out of the caller's seed.
    with torch.random.fork_rng(devices=[]):
        design = FIRFilter(filter_type="aw", fs=sample_rate, ntaps=num_taps)
    return design.fir.weight.detach().flatten().clone()


def zero_phase_response(taps: Tensor, block_size: int = 2048) -> Tensor:
    """Returns the real frequency response of symmetric taps, centred on time 0.

    Args:
        taps: (taps,), odd, symmetric.
        block_size: FFT size of `zero_phase_filter`, even, larger than the number of taps.

    Shape:
        (block_size / 2 + 1,)

    Raises:
        ValueError: the taps are even in number or not symmetric, or the block is odd or not larger than them.
    """
    num_taps = taps.shape[-1]
    if num_taps % 2 == 0 or not torch.equal(taps, taps.flip(-1)):
        raise ValueError(f"taps must be odd in number and symmetric; got {num_taps} of them")
    if block_size <= num_taps or block_size % 2:
        raise ValueError(f"block_size must be even and larger than the {num_taps} taps; got {block_size}")
    centred = F.pad(taps, (0, block_size - num_taps)).roll(-(num_taps // 2))
    return torch.fft.rfft(centred.double()).real.to(taps.dtype)


def zero_phase_filter(audio: Tensor, response: Tensor, num_taps: int) -> Tensor:
    """Filters with a symmetric FIR, with zeros before the start and after the end, at the same length.

    Equal to `conv1d(audio, taps, padding=num_taps // 2)`, by overlap-save with one constant spectrum (on a CPU 25
    times faster, 50 times with the gradient, at 101 taps).

    Args:
        audio: (..., time)
        response: (bins,), the result of `zero_phase_response` for the filter's taps.
        num_taps: the number of the filter's taps.
    """
    filtered: Tensor = _ZeroPhaseFilter.apply(audio, response, num_taps)
    return filtered


class _ZeroPhaseFilter(torch.autograd.Function):
    """A symmetric filter between zeros is a symmetric matrix: its gradient is the filter itself."""

    @staticmethod
    def forward(ctx: Any, audio: Tensor, response: Tensor, num_taps: int) -> Tensor:
        ctx.response, ctx.num_taps = response, num_taps
        margin, block_size, length = num_taps // 2, 2 * (response.shape[-1] - 1), audio.shape[-1]
        step = block_size - 2 * margin
        num_blocks = math.ceil(length / step)
        # A block holds `margin` samples of each neighbour; what wraps around falls on those, and they are dropped.
        padded = F.pad(audio, (margin, num_blocks * step + margin - length))
        spectra = torch.fft.rfft(padded.unfold(-1, block_size, step))
        blocks = torch.fft.irfft(spectra.mul_(response), n=block_size)
        return blocks[..., margin : margin + step].flatten(-2)[..., :length]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        response, num_taps = ctx.response, ctx.num_taps
        return zero_phase_filter(gradients[0], response, num_taps), None, None


def mel_filterbank(sample_rate: int, fft_size: int, num_mels: int) -> Tensor:
    """Returns triangular mel filters with Slaney's scale and area norm, from 0 Hz to half the sample rate.

    Bands so narrow that no FFT bin falls into them are dropped: their log would compare nothing with nothing.

    Args:
        sample_rate: sample rate of the audio behind the spectra, in Hz.
        fft_size: FFT size of the spectra, even.
        num_mels: the number of bands before the empty ones are dropped.

    Shape:
        (fft_size / 2 + 1, bands), to be multiplied from the right of (..., frames, bins).

    Raises:
        ValueError: `fft_size` is odd, or `num_mels` is not positive.
    """
    if fft_size % 2 or fft_size < 2:
        raise ValueError(f"fft_size must be even and positive; got {fft_size}")
    if num_mels < 1:
        raise ValueError(f"num_mels must be positive; got {num_mels}")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="At least one mel filterbank has all zero values")
        filters: Tensor = melscale_fbanks(
            fft_size // 2 + 1, 0.0, sample_rate / 2, num_mels, sample_rate, norm="slaney", mel_scale="slaney"
        )
    return filters[:, filters.amax(0) > 0].contiguous()


Blocks = tuple[tuple[slice, slice], ...]
_BANDS_A_BLOCK = 16


def filterbank_blocks(filters: Tensor) -> Blocks:
    """Cuts a filterbank into groups of neighbouring bands, with the stretch of bins where their filters are not zero.

    Most of a matrix of triangular filters is zero; the blocks leave most of that out.

    Args:
        filters: (bins, bands).

    Returns:
        The ranges (bins, bands) of every block.
    """
    blocks = []
    for first in range(0, filters.shape[1], _BANDS_A_BLOCK):
        bands = slice(first, min(first + _BANDS_A_BLOCK, filters.shape[1]))
        audible = filters[:, bands].ne(0).any(dim=1).nonzero().flatten().tolist()
        blocks.append((slice(audible[0], audible[-1] + 1), bands))
    return tuple(blocks)


def filterbank_product(magnitude: Tensor, filters: Tensor, blocks: Blocks) -> Tensor:
    """`magnitude @ filters`, on a CPU block by block; differentiable once, by the magnitude.

    Shape: (..., bins), (bins, bands) to (..., bands).
    """
    product: Tensor = _FilterbankProduct.apply(magnitude, filters, blocks)
    return product


class _FilterbankProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, magnitude: Tensor, filters: Tensor, blocks: Blocks) -> Tensor:
        ctx.filters, ctx.blocks = filters, blocks
        if not in_pieces(magnitude):
            return magnitude @ filters
        rows = magnitude.flatten(0, -2)
        product = rows.new_empty(rows.shape[0], filters.shape[1])
        for bins, bands in blocks:
            torch.mm(rows[:, bins], filters[bins, bands], out=product[:, bands])
        return product.unflatten(0, magnitude.shape[:-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        filters, blocks = ctx.filters, ctx.blocks
        if not in_pieces(filters):
            return gradients[0] @ filters.T, None, None
        arriving = gradients[0].flatten(0, -2)
        by_magnitude = arriving.new_zeros(arriving.shape[0], filters.shape[0])
        for bins, bands in blocks:  # neighbouring blocks share some bins
            by_magnitude[:, bins].addmm_(arriving[:, bands], filters[bins, bands].T)
        return by_magnitude.unflatten(0, gradients[0].shape[:-1]), None, None
