"""The long-term spectrum of a signal in third-octave bands, and a zero-phase filter that moves it to another one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mixgraph.blind.reference import BANDS_HZ
from mixgraph.dsp.convolution import convolve
from mixgraph.dsp.fir import hann, zero_phase_fir
from mixgraph.songs.clips import cut

FLOOR_DB = -80.0
"""Bands that are lower than this against the whole count as this."""
MOST_DB = 12.0
"""The most that the filter raises or lowers a band by."""
QUIET_DB = -60.0
"""What is lower than this against the whole is never raised: it may be noise, or what a demixer left over."""
_WINDOW_SECONDS = 0.37  # resolves the lowest band
_FIR_SECONDS = 2047 / 30000  # as the equalizer's
_FRAMES_AT_ONCE = 64
_SAMPLES_AT_ONCE = 1 << 20


def band_levels_db(mono: Tensor, sample_rate: int) -> tuple[float | None, ...] | None:
    """Measures the long-term spectrum of a mono signal.

    Args:
        mono: (samples,).
        sample_rate: in Hz.

    Returns:
        The level of each band of BANDS_HZ in dB against the sum of all, at least FLOOR_DB; None for bands that reach
        above 0.47 of the sample rate. None for a signal without any power in these bands.
    """
    powers = _band_powers(mono, sample_rate)
    known = [power for power in powers if power is not None]
    whole = sum(known)
    if whole <= 0:
        return None
    return tuple(
        None if power is None else max(FLOOR_DB, 10 * math.log10(max(power / whole, 1e-30))) for power in powers
    )


def _band_powers(mono: Tensor, sample_rate: int) -> list[float | None]:
    size = 1 << math.ceil(math.log2(_WINDOW_SECONDS * sample_rate))
    hop, window = size // 2, torch.hann_window(size, dtype=torch.float64)
    frames = mono.shape[-1] // hop + 1
    total = torch.zeros(hop + 1, dtype=torch.float64)
    for first in range(0, frames, _FRAMES_AT_ONCE):  # memory does not grow with the signal
        count = min(_FRAMES_AT_ONCE, frames - first)
        stretch = cut(mono, (first - 1) * hop, (count + 1) * hop).double()
        total += torch.fft.rfft(stretch.unfold(-1, size, hop) * window).abs().square().sum(0)
    power = (total / frames).numpy()
    hertz = np.arange(len(power)) * sample_rate / size
    edges = [(centre * 2 ** (-1 / 6), centre * 2 ** (1 / 6)) for centre in BANDS_HZ]
    return [
        None if high > 0.47 * sample_rate else float(power[(hertz >= low) & (hertz < high)].sum())
        for low, high in edges
    ]


def matching_gains_db(levels_db: Sequence[float | None], target_db: Sequence[float | None]) -> tuple[float, ...]:
    """Returns the gain of each band that moves a spectrum to a target, within MOST_DB in both directions.

    Bands that either lacks get the gain of their nearest neighbour; bands below QUIET_DB are not raised. Each gain is
    then averaged with its neighbours', half and half, so that no single note of a song is singled out.
    """
    gains: list[float | None] = []
    for level, target in zip(levels_db, target_db, strict=True):
        if level is None or target is None:
            gains.append(None)
            continue
        most = 0.0 if level < QUIET_DB else MOST_DB
        gains.append(min(most, max(-MOST_DB, target - level)))
    known = [band for band, gain in enumerate(gains) if gain is not None]
    if not known:
        return (0.0,) * len(gains)
    nearest = [min(known, key=lambda other: abs(other - band)) for band in range(len(gains))]
    filled = np.array([gains[band] for band in nearest], dtype=np.float64)
    smooth = np.convolve(np.pad(filled, 1, mode="edge"), (0.25, 0.5, 0.25), mode="valid")
    return tuple(smooth.tolist())


def apply_band_gains(mono: Tensor, sample_rate: int, gains_db: Sequence[float]) -> Tensor:
    """Filters a signal with a zero-phase FIR filter; gains are interpolated along the logarithm of the frequency.

    Args:
        mono: (samples,).
        sample_rate: in Hz.
        gains_db: a gain for each band of BANDS_HZ.

    Returns:
        (samples,), nothing of it delayed.
    """
    bins = round(_FIR_SECONDS * sample_rate / 2)
    taps = 2 * bins - 1
    hertz = np.arange(bins) * sample_rate / taps
    log_gains = np.interp(np.log(np.maximum(hertz, 1.0)), np.log(BANDS_HZ), np.asarray(gains_db) * math.log(10) / 20)
    fir = zero_phase_fir(torch.from_numpy(log_gains), hann(taps))
    filtered = torch.empty_like(mono)
    for start in range(0, mono.shape[-1], _SAMPLES_AT_ONCE):
        length = min(_SAMPLES_AT_ONCE, mono.shape[-1] - start)
        stretch = convolve(cut(mono, start - bins + 1, length + taps - 1).double(), fir)
        filtered[start : start + length] = stretch[taps - 1 : taps - 1 + length]
    return filtered
