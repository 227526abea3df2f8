"""The direct sound of the tracks in a mix: third-octave bands, and the factors that tracks have there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mixgraph.dsp.third_octaves import third_octave_means

HIGHEST_HZ = 10000.0  # nominal centre of the last band
_TINY = 1e-12
_RIDGE, _LEAST_APART = 1e-9, 0.01


@dataclass(frozen=True, eq=False)
class Bands:
    """Third-octave bands, and the bins of an FFT up to their end.

    Attributes:
        n_fft: size of the FFT, half a second or more: at 50 Hz a band has five bins.
        hertz: the frequency of each bin, (bins,).
        member: (bands, bins), 1 if a bin is in a band, else 0.
    """

    n_fft: int
    hertz: Tensor
    member: Tensor


def third_octave_bands(sample_rate: int) -> Bands:
    """Returns the bands from 50 Hz to 10 kHz, or to half of `sample_rate` (in Hz)."""
    n_fft = 2 ** math.ceil(math.log2(sample_rate / 2))
    hertz = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * (sample_rate / n_fft)
    hertz = hertz[hertz < HIGHEST_HZ * 2 ** (1 / 6)]
    return Bands(n_fft, hertz, (third_octave_means(hertz) > 0).double())


def mix_factors(responses: Sequence[Tensor], tracks: Tensor, mix: Tensor, bands: Bands) -> Tensor:
    """Estimates the factor of each track's direct sound in a mix, relative to its path's response.

    All direct sounds at once are fitted to either channel by least squares, up to 10 kHz, in frames of `bands.n_fft`
    that half overlap. What is not direct, such as reverb, is hardly like the direct sound in a frame.

    Args:
        responses: the response of each track's path, as in `DirectPath`.
        tracks: the dry tracks, (K, 2, L), at the level of the mix.
        mix: the mix, (2, L).
        bands: the bands of the responses.

    Returns:
        The factors (K, 2) of left and right; NaN if a factor is not positive, or if 99 % of a track's direct sound is
        explained by other tracks; 1 if a track does not reach a channel.
    """
    count, (size, bins) = len(responses), (bands.n_fft, bands.hertz.numel())
    paths = torch.stack(list(responses)).to(torch.complex64)
    window = torch.hann_window(size)
    gram = torch.zeros(2, count, count, dtype=torch.float64)
    products = torch.zeros(2, count, dtype=torch.float64)
    for start in range(0, mix.shape[-1], size // 2):
        parts = (audio[..., start : start + size] for audio in (tracks, mix))
        dry, whole = (torch.fft.rfft(F.pad(p, (0, size - p.shape[-1])) * window)[..., :bins] for p in parts)
        direct = (paths * dry.unsqueeze(1)).sum(dim=2).transpose(0, 1)
        gram += (direct @ direct.mH).real
        products += (direct.conj() @ whole.unsqueeze(-1)).real.squeeze(-1)
    energy = gram.diagonal(dim1=1, dim2=2)
    nothing = energy <= _TINY * energy.sum(dim=0)
    scale = energy.sqrt().masked_fill(nothing, 1.0)
    inverse = torch.linalg.inv(gram / (scale.unsqueeze(1) * scale.unsqueeze(2)) + _RIDGE * torch.eye(count))
    factors = (inverse @ (products / scale).unsqueeze(-1)).squeeze(-1) / scale
    unclear = (factors <= 0) | (1 / inverse.diagonal(dim1=1, dim2=2) < _LEAST_APART)
    known: Tensor = factors.masked_fill(unclear, torch.nan).masked_fill(nothing, 1.0)
    return known.T
