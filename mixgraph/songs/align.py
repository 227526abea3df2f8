"""How late each dry track is against the mix, and whether its polarity is flipped.

Raw recordings and the mix made of them are not always lined up: a plug-in or a microphone's distance delays a
track, a cable flips it. The estimate is the peak of a cross-correlation. Between a track and a whole mix the plain
correlation is ruled by whatever is loudest in the mix at low frequencies, and a fully whitened one (PHAT) by bands
in which the track has nothing; the half-whitened one, with the cross spectrum divided by the root of the geometric
mean of the two power spectra, was the most robust on real songs. Its peak is then refined on the plain
correlation: the equalizer of the console is zero-phase, so the best single shift is the one that lines up the
track where its energy is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mixgraph.dsp.convolution import cross_spectrum

MIN_CONFIDENCE = 0.2  # below it an estimate is reported, never applied
HIGH_PASS_HZ = 60.0  # rumble and mains hum say nothing about the offset
MAIN_LOBE_SECONDS = 0.002  # a rival peak must be farther than this from the winner
REFINE_SECONDS = 0.0005
NEAR_ZERO_BIAS = 0.25  # a peak at the largest lag counts this much less: loops repeat after every bar
SPECTRUM_FLOOR = 1e-9
MAX_LAG_SECONDS = 1.0  # of a single track


@dataclass(frozen=True)
class Alignment:
    """An estimate of where a track lies against the mix.

    Attributes:
        offset_samples: positive where the track is late: mix sample n belongs to track sample n + offset.
        polarity: +1, or -1 where the track is flipped.
        confidence: 1 - (highest rival peak / peak), in [0, 1]; 0 for silence.
    """

    offset_samples: int
    polarity: int
    confidence: float


@dataclass(frozen=True)
class TrackAlignment(Alignment):
    """The alignment found for one track of a song, at the song's sample rate, and whether it was applied."""

    track: str
    applied: bool


def estimate_alignment(
    track: Tensor, mix: Tensor, sample_rate: float, max_lag_seconds: float = MAX_LAG_SECONDS
) -> Alignment:
    """Estimates the offset and the polarity of a track in a mix from their cross-correlation.

    Args:
        track: (1 or 2, L); a mono track is compared with the sum of the channels of the mix.
        mix: (2, L).
        sample_rate: sample rate of both signals, in Hz.
        max_lag_seconds: offsets beyond it, in either direction, are not looked for.

    Raises:
        ValueError: if the lengths differ or `max_lag_seconds` is not above zero.
    """
    if track.shape[-1] != mix.shape[-1]:
        raise ValueError(
            f"track: as many samples as the mix ({mix.shape[-1]}) expected, got {track.shape[-1]}. "
            "HINT: pad the shorter one with zeros"
        )
    if not max_lag_seconds > 0:
        raise ValueError(f"max_lag_seconds: a number above 0 expected, got {max_lag_seconds}")
    length = mix.shape[-1]
    max_lag = min(round(max_lag_seconds * sample_rate), length - 1)
    *channel_spectra, fft_length = cross_spectrum(track, mix, max_lag)
    cross, track_power, mix_power = (spectra.sum(dim=0) for spectra in channel_spectra)

    hertz = torch.arange(cross.shape[0], device=cross.device) * (sample_rate / fft_length)
    cross = torch.where(hertz >= HIGH_PASS_HZ, cross, 0)
    product = track_power * mix_power
    largest = product.max()
    if not largest > 0 or not cross.abs().max() > 0:
        return Alignment(0, 1, 0.0)
    weight = (product + SPECTRUM_FLOOR * largest).pow(-0.25)

    lags = torch.arange(-max_lag, max_lag + 1, device=cross.device)
    correlation = torch.fft.irfft(cross * weight, n=fft_length)[: 2 * max_lag + 1]
    correlation = correlation * (1 - NEAR_ZERO_BIAS * lags.abs() / max(max_lag, 1))
    magnitude = correlation.abs()
    peak = int(magnitude.argmax())
    sign = 1 if correlation[peak] > 0 else -1
    rivals = (lags - lags[peak]).abs() > MAIN_LOBE_SECONDS * sample_rate
    rival = magnitude[rivals].max() if bool(rivals.any()) else magnitude.new_zeros(())
    confidence = float(1 - rival / magnitude[peak])

    plain = torch.fft.irfft(cross, n=fft_length)[: 2 * max_lag + 1] * sign
    return Alignment(_refine(plain, peak, round(REFINE_SECONDS * sample_rate)) - max_lag, sign, confidence)


def _refine(plain: Tensor, peak: int, radius: int) -> int:
    first = max(peak - radius, 0)
    near = plain[first : peak + radius + 1]
    best = int(near.argmax())
    on_the_edge = best in (0, near.numel() - 1)  # still rising: no peak of its own
    return peak if on_the_edge else first + best
