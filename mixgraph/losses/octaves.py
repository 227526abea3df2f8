"""Levels by octave: a mix against its target where the match loss hears little.

The match loss is A-weighted: it takes off 39 dB around 31.5 Hz and 26 dB around 63 Hz. This distance weighs all octaves
alike. With T_b and P_b the powers of the target and of the prediction in octave b, both channels together,

    D = mean over octaves of | 1/2 ln((P_b + f) / (T_b + f)) |,

where f is 40 dB below the power of the whole target, so that octaves with next to nothing do not count. A difference of
1 dB in every octave is .115.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mixgraph.dsp.fourier import fast_length, real_fft
from mixgraph.dsp.octaves import FLOOR_DB, octave_bins

_SILENCE = 1e-12  # mean square; keeps silence out


def octave_distance(prediction: Tensor, target: Tensor, sample_rate: int) -> Tensor:
    """Compares the long-term levels of mixes by octave.

    Args:
        prediction: (B, 2, T).
        target: (B, 2, T). No gradient flows into it.
        sample_rate: in Hz; it decides which octaves there are.

    Returns:
        (B,), mean absolute differences of natural logarithms of amplitudes; 0 where both are silent.
    """
    samples = prediction.shape[-1]
    n_fft = fast_length(samples)
    bins = octave_bins(n_fft, sample_rate)
    with torch.no_grad():
        before = _powers(target, n_fft, bins)
        floor = 10 ** (FLOOR_DB / 10) * target.square().sum(dim=(1, 2)) + 2 * samples * _SILENCE
        floor = floor.unsqueeze(-1)
    after = _powers(prediction, n_fft, bins)
    return 0.5 * torch.log((after + floor) / (before + floor)).abs().mean(dim=-1)


def _powers(audio: Tensor, n_fft: int, bins: list[slice]) -> Tensor:
    """The energy in each octave, both channels together, (B, octaves), as sums of squared samples (Parseval)."""
    spectrum = real_fft(audio, n_fft)
    energy = torch.view_as_real(spectrum).square().sum(dim=(1, -1)) * (2 / n_fft)
    return torch.stack([energy[:, of].sum(dim=-1) for of in bins], dim=-1)
