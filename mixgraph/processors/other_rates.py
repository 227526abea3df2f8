"""Settings at another sample rate than the one that they were found at.

What was found at a rate says nothing about frequencies that were not heard there. `HEARD` is the share of the Nyquist
frequency up to which tracks and mixes are heard in full: the filter of `dsp.resample` falls from there on, and the
settings of an equalizer above it are what training left by chance (13.2 kHz at 30 kHz). At a higher rate all that is
above goes on flat, at the mean level in dB of the sixth of an octave below.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mixgraph.processors.parameter import Parameters

HEARD = 0.88
FLAT = 0.94
"""Share of the Nyquist frequency of the search from which on responses are flat: they fade from 0.82 on."""
_TOP = HEARD * 2 ** (-1 / 6)
REACH = 120
"""Samples at the rate of the search that a filter grows by, to either side, where it fades to a flat response."""
_TINY = 1e-9
_CHUNK = 1 << 20  # products of a frequency and a tap that are held at a time


@dataclass(frozen=True)
class SettingsAtRate:
    """The settings of one type of processor at another sample rate.

    Attributes:
        parameters: name -> (nodes, *shape), in the trained coordinates of a processor at that rate.
        options: the constructor's options that such a processor needs beside those that it had.
    """

    parameters: Parameters
    options: Mapping[str, Any] = field(default_factory=dict)


def filters_at_rate(
    filters: Tensor, centre: int, found_at: int, sample_rate: int, reach: int, shift: Tensor | None = None
) -> Tensor:
    """Takes filters to another sample rate: the same response in Hz up to what was heard, and flat above.

    Args:
        filters: (rows, taps) at the rate of the search.
        centre: the tap at time zero.
        found_at: sample rate of the search in Hz.
        sample_rate: the other rate in Hz.
        reach: taps of the result before and after time zero.
        shift: delay of each filter in samples at the other rate, parts of a sample, (rows,); none by default.

    Returns:
        (rows, 2 reach + 1), time zero at index `reach`.
    """
    taps = 2 * reach + 1
    hertz = torch.arange(reach + 1, dtype=torch.float64, device=filters.device) * (sample_rate / taps)
    share = hertz / (found_at / 2)
    response = _spectra(filters.double(), centre, hertz / found_at)
    if sample_rate > found_at:
        top = response[:, (share >= _TOP) & (share <= HEARD)]
        level = top.abs().clamp(min=_TINY).log().mean(dim=1, keepdim=True).exp()
        first = 2 * HEARD - FLAT
        fade = 0.5 - 0.5 * torch.cos(math.pi * ((share - first) / (FLAT - first)).clamp(0, 1))
        response = torch.lerp(response, level.to(response), fade.to(response))
    if shift is not None:
        turn = -2 * math.pi / sample_rate * shift.double().unsqueeze(1) * hertz
        response = response * torch.polar(torch.ones_like(turn), turn)
    return torch.roll(torch.fft.irfft(response, n=taps), reach, dims=-1).to(filters)


def _spectra(filters: Tensor, centre: int, frequencies: Tensor) -> Tensor:
    """Returns the responses of filters, (rows, taps), at frequencies in cycles a sample: (rows, frequencies)."""
    time = torch.arange(filters.shape[1], dtype=torch.float64, device=filters.device) - centre
    parts = []
    for some in frequencies.split(max(1, _CHUNK // len(time))):
        angle = -2 * math.pi * time.unsqueeze(1) * some
        parts.append(torch.complex(filters @ torch.cos(angle), filters @ torch.sin(angle)))
    return torch.cat(parts, dim=1)


def extended(log_magnitude: Tensor, bins_per_nyquist: float) -> Tensor:
    """Returns log-magnitudes, (..., bins), that are flat above what was heard.

    Args:
        log_magnitude: at multiples of a bin width, from 0.
        bins_per_nyquist: Nyquist frequency of the search in bins.
    """
    bins = torch.arange(log_magnitude.shape[-1], device=log_magnitude.device)
    top = log_magnitude[..., (bins >= _TOP * bins_per_nyquist) & (bins <= HEARD * bins_per_nyquist)]
    return torch.where(bins <= HEARD * bins_per_nyquist, log_magnitude, top.mean(dim=-1, keepdim=True))


def interpolated(values: Tensor, position: Tensor) -> Tensor:
    """Returns values, (..., points), on straight lines between points, at positions from 0; held after the last."""
    lower = position.long().clamp(max=values.shape[-1] - 1)
    upper = (lower + 1).clamp(max=values.shape[-1] - 1)
    share = (position - lower).clamp(0, 1).to(values)
    return torch.lerp(values[..., lower], values[..., upper], share)
