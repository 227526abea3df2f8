"""The responses of pedalboard's processors (JUCE), by their settings in truth.json.

They were confirmed with pedalboard 0.9.26: impulses through its filters, gain, delay and reverb give them within
1e-4 dB. The mixes of demo_potassium, clingo_band and ev3_francium, made once more from their settings with the pan law
below, are their mix.flac with residuals of -121, -106 and -108 dB; on demo_potassium nine other laws (linear, square
root, balance, other levels of the centre) leave -3 to -16 dB. k8_synthetic, made so, is a common gain of 0.791 away
from its mix (and -40 dB after that): the older form of truth.json does not state the gain of the sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

_BUTTERWORTH = math.sqrt(0.5)

_COMBS, _ALLPASSES = (1116, 1188, 1277, 1356, 1422, 1491, 1557, 1617), (556, 441, 341, 225)
_SPREAD = 23
"""Samples at 44.1 kHz of a reverb's lines on the left, and how many more on the right."""

Chain = Sequence[tuple[str, Any]]
"""Types of truth.json and their settings, in order."""


def pan_gains(pan: float) -> tuple[float, float]:
    """Returns left and right gain of a pan in -1..1: sqrt(2) cos and sin of (1 + pan) pi / 4, 0 dB at the centre."""
    angle = (1 + pan) * math.pi / 4
    return math.sqrt(2) * math.cos(angle), math.sqrt(2) * math.sin(angle)


def filter_response(kind: str, settings: Mapping[str, float], hertz: Tensor, sample_rate: int) -> Tensor:
    """The transfer function of one of pedalboard's filters, (bins,), complex.

    JUCE brings analogue prototypes to the sample rate by the bilinear transform, so that with A = sqrt(gain) and
    s = j tan(pi f / rate) / tan(pi cutoff / rate) they are

        high-pass   s / (s + 1)                                        first order
        low-pass    1 / (s + 1)                                        first order
        peak        (s^2 + s A / Q + 1) / (s^2 + s / (A Q) + 1)
        low shelf   A (s^2 + s sqrt(A) / Q + A) / (A s^2 + s sqrt(A) / Q + 1)
        high shelf  A (A s^2 + s sqrt(A) / Q + 1) / (s^2 + s sqrt(A) / Q + A)

    Args:
        kind: a type of truth.json, in either of its forms.
        settings: pedalboard's arguments; q is sqrt(1/2) where it is left out.
        hertz: (bins,); above half the sample rate the response is held.
        sample_rate: sample rate of the mix in Hz.

    Raises:
        ValueError: the kind is no known filter.
    """
    prewarped = torch.tan(math.pi * (hertz.double() / sample_rate).clamp(max=0.5))
    s = 1j * prewarped / math.tan(math.pi * settings["cutoff_frequency_hz"] / sample_rate)
    name = kind.lower().removesuffix("filter")
    if name == "highpass":
        return s / (s + 1)
    if name == "lowpass":
        return 1 / (s + 1)
    if name not in ("peak", "lowshelf", "highshelf"):
        raise ValueError(f"one of highpass, lowpass, peak, lowshelf, highshelf is needed, got {kind!r}")
    a, q = 10 ** (settings["gain_db"] / 40), settings.get("q", _BUTTERWORTH)
    if name == "peak":
        return (s * s + s * (a / q) + 1) / (s * s + s / (a * q) + 1)
    bend = s * (math.sqrt(a) / q)
    rising, falling = a * s * s + bend + 1, s * s + bend + a
    return a * (falling / rising if name == "lowshelf" else rising / falling)


def reverb_response(settings: Mapping[str, float], n_fft: int, sample_rate: int) -> Tensor:
    """The transfer functions of a reverb's wet sound from the sum of both channels, (2, n_fft // 2 + 1), complex.

    Eight combs side by side, whose lines of N samples feed back through a low-pass, then four all-passes in a row
    (Schroeder 1962, Moorer 1979); with f the feedback and d the damping

        comb       z^-N (1 - d z^-1) / (1 - d z^-1 - f (1 - d) z^-N)
        all-pass   (1.5 z^-N - 1) / (1 - 0.5 z^-N)

    The width counts as 1. With it, what the mix of demo_potassium has besides the voice is 3.2 dB softer than with the
    voice's dry sound alone.

    Args:
        settings: `room_size`, `damping` and `wet_level`, pedalboard's arguments.
        n_fft: longer than the response.
        sample_rate: sample rate of the mix in Hz.
    """
    omega = 2 * math.pi * torch.arange(n_fft // 2 + 1, dtype=torch.float64) / n_fft
    feedback, damping = 0.28 * settings["room_size"] + 0.7, 0.4 * settings["damping"]
    lowpass = 1 - damping * torch.exp(-1j * omega)
    sides = []
    for spread in (0, _SPREAD):
        combs, allpasses = (
            [torch.exp(-1j * omega * (sample_rate * (length + spread) // 44100)) for length in lengths]
            for lengths in (_COMBS, _ALLPASSES)
        )
        side = torch.stack([z * lowpass / (lowpass - feedback * (1 - damping) * z) for z in combs]).sum(dim=0)
        for z in allpasses:
            side = side * (1.5 * z - 1) / (1 - 0.5 * z)
        sides.append(side)
    return torch.stack(sides) * (0.015 * 3 * settings["wet_level"])  # JUCE's scales


def chain_response(chain: Chain, hertz: Tensor, sample_rate: int) -> tuple[Tensor, bool]:
    """Returns the complex response of a chain of truth.json, (2, bins) left and right, and True if it has dynamics.

    Raises:
        ValueError: a type is unknown, or a setting is missing.
    """
    total = torch.ones(2, hertz.numel(), dtype=torch.complex128)
    dynamic = False
    for kind, settings in chain:
        try:
            if kind == "equalizer":
                for name, arguments in settings:
                    total = total * filter_response(name, arguments, hertz, sample_rate)
            elif kind in ("gain", "Gain", "Pan"):
                left, right = pan_gains(settings.get("pos" if kind == "Pan" else "pan", 0.0))
                level = 1.0 if kind == "Pan" else 10 ** (settings["gain_db"] / 20)
                total = total * (level * torch.tensor([[left], [right]], dtype=torch.float64))
            elif kind in ("delay", "Delay"):
                total = total * (1 - settings["mix"])
            elif kind in ("reverb", "Reverb"):
                total = total * (2 * settings["dry_level"])  # JUCE's scale of dry levels
            elif kind in ("compressor", "noisegate", "Compressor", "NoiseGate"):
                dynamic = True
            else:
                total = total * filter_response(kind, settings, hertz, sample_rate)
        except KeyError as error:
            raise ValueError(f"{kind}: the setting {error} is needed, got {settings}") from error
    return total, dynamic
