"""The levels at which signals have the powers of another signal: a least-squares fit that ignores phases."""

from __future__ import annotations

import torch
from scipy.optimize import nnls
from torch import Tensor

_FRAME_SECONDS = 0.068  # 2048 samples at 30 kHz
_LOWEST_HZ, _PER_OCTAVE = 60.0, 2
_RIDGE, _FLOOR, _SILENT = 0.03, 0.01, 1e-9


def band_powers(audio: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
    """Returns powers in frames of 68 ms, side by side, and in half-octave bands (the first one below 60 Hz).

    Args:
        audio: (..., samples).
        sample_rate: sample rate of `audio`, in Hz.

    Returns:
        (..., bands, frames) in float64, and the geometric mean of each band's first and last bin in Hz,
        (bands,).
    """
    size = 2 * round(_FRAME_SECONDS * sample_rate / 2)
    window = torch.hann_window(size, dtype=torch.float64, device=audio.device)
    frames = torch.nn.functional.pad(audio.double(), (0, -audio.shape[-1] % size)).unflatten(-1, (-1, size))
    powers = torch.fft.rfft(frames * window).abs().square()
    hertz = torch.arange(size // 2 + 1, dtype=torch.float64, device=audio.device) * (sample_rate / size)
    band = (1 + torch.log2(hertz.clamp(min=1e-3) / _LOWEST_HZ) * _PER_OCTAVE).floor().clamp(min=0)
    member = (band.unsqueeze(0) == torch.arange(int(band[-1]) + 1, device=audio.device).unsqueeze(1)).double()
    member = member[member.any(dim=1)]
    inside = [hertz[row > 0].clamp(min=_LOWEST_HZ / 2) for row in member]
    centres = torch.stack([(band_hertz[0] * band_hertz[-1]).sqrt() for band_hertz in inside])
    return (powers @ member.T).transpose(-1, -2), centres


def fit_powers(parts: Tensor, whole: Tensor) -> Tensor:
    """Amplitude factors of signals at which the sum of their powers is nearly the power of another.

    min over a >= 0 of sum over n of (sum over k of a_k parts[k, n] - whole[n])^2 / whole[n]: squares of powers alone
    would follow the loudest moments only. A slight pull to 1 decides what the powers leave open.

    Args:
        parts: (K, n), powers.
        whole: (n,), powers.

    Returns:
        sqrt(a), (K,), in float64 on the CPU; 1 for silent signals.
    """
    weights = (whole + _FLOOR * whole.mean() + torch.finfo(torch.float64).tiny).rsqrt()
    norms = torch.linalg.vector_norm(parts * weights, dim=1)
    audible = norms > _SILENT * norms.max()
    factors = torch.ones(len(parts), dtype=torch.float64)
    if audible.any():
        matrix = (parts[audible] * weights).T
        pull = _RIDGE * norms[audible]
        rows, goal = torch.cat((matrix, torch.diag(pull))), torch.cat((whole * weights, pull))
        factors[audible.cpu()] = torch.from_numpy(nnls(rows.cpu().numpy(), goal.cpu().numpy())[0]).sqrt()
    return factors
