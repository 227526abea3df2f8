"""A recursive equalizer: second-order sections in a row (R. Bristow-Johnson, Audio EQ Cookbook)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.signal import sosfilt, sosfreqz

BandKind = Literal["peak", "low_shelf", "high_shelf", "low_cut", "high_cut"]


@dataclass(frozen=True)
class Band:
    """One band of an equalizer.

    Attributes:
        kind: the shape of its response.
        hertz: the centre of a peak, the midpoint of a shelf's slope, or the -3 dB point of a cut with q = 0.707.
        gain_db: the gain of a peak at its centre, of a shelf far beyond its slope; cuts have none.
        q: the quality factor.
    """

    kind: BandKind
    hertz: float
    gain_db: float = 0.0
    q: float = math.sqrt(0.5)


def equalize(audio: np.ndarray, bands: Sequence[Band], sample_rate: int) -> np.ndarray:
    """Filters audio, (channels, samples), with all bands one after another.

    Raises:
        ValueError: a band's frequency is not between 0 and half the sample rate, or its q is not above 0.
    """
    return np.asarray(sosfilt(sections(bands, sample_rate), audio, axis=-1))


def response_db(bands: Sequence[Band], hertz: np.ndarray, sample_rate: int) -> np.ndarray:
    """The magnitude of all bands together at some frequencies, in dB."""
    _, response = sosfreqz(sections(bands, sample_rate), np.asarray(hertz, dtype=float), fs=sample_rate)
    return 20 * np.log10(np.abs(response))


def sections(bands: Sequence[Band], sample_rate: int) -> np.ndarray:
    """The coefficients b0, b1, b2, a0 = 1, a1, a2 of each band, (bands, 6)."""
    return np.stack([_section(band, sample_rate) for band in bands])


def _section(band: Band, sample_rate: int) -> np.ndarray:
    if not 0 < band.hertz < sample_rate / 2 or not band.q > 0:
        raise ValueError(
            f"band: a frequency between 0 and {sample_rate / 2:g} Hz and a q above 0 are needed, "
            f"got {band.hertz:g} Hz and {band.q:g}"
        )
    omega = 2 * math.pi * band.hertz / sample_rate
    cosine, alpha = math.cos(omega), math.sin(omega) / (2 * band.q)
    amplitude = 10 ** (band.gain_db / 40)
    if band.kind == "peak":
        b = (1 + alpha * amplitude, -2 * cosine, 1 - alpha * amplitude)
        a = (1 + alpha / amplitude, -2 * cosine, 1 - alpha / amplitude)
    elif band.kind in ("low_shelf", "high_shelf"):
        sign = 1 if band.kind == "low_shelf" else -1
        up, down, slope = amplitude + 1, amplitude - 1, 2 * math.sqrt(amplitude) * alpha
        b = (
            amplitude * (up - sign * down * cosine + slope),
            sign * 2 * amplitude * (down - sign * up * cosine),
            amplitude * (up - sign * down * cosine - slope),
        )
        a = (
            up + sign * down * cosine + slope,
            -sign * 2 * (down + sign * up * cosine),
            up + sign * down * cosine - slope,
        )
    elif band.kind == "low_cut":
        b = ((1 + cosine) / 2, -(1 + cosine), (1 + cosine) / 2)
        a = (1 + alpha, -2 * cosine, 1 - alpha)
    elif band.kind == "high_cut":
        b = ((1 - cosine) / 2, 1 - cosine, (1 - cosine) / 2)
        a = (1 + alpha, -2 * cosine, 1 - alpha)
    else:
        raise ValueError(f"band: peak, low_shelf, high_shelf, low_cut or high_cut is needed, got {band.kind!r}")
    return np.array((*b, *a)) / a[0]
