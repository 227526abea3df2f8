"""Reverb: fixed noise with a decaying, coloured STFT mask (paper B.4)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
import torchaudio.functional as AF
from torch import Tensor

from mixgraph.dsp.fir import hann, normalize_energy
from mixgraph.dsp.noise import decaying_noise
from mixgraph.dsp.resample import ROLLOFF, resample
from mixgraph.processors.base import Processor, check_rate
from mixgraph.processors.other_rates import FLAT, HEARD, SettingsAtRate, extended
from mixgraph.processors.parameter import Parameter, Parameters, chosen, decibels
from mixgraph.processors.readings import (
    Compared,
    Decay,
    NodeValues,
    Quantity,
    Reading,
    is_wet_only,
    single,
    wet_against_dry,
)
from mixgraph.processors.registry import register
from mixgraph.processors.usage import RandomSettings, Usage

RATE = 30000  # the response is made at this rate and resampled to others
_LENGTH = 60000
_FFT = 384
HOP = 192
BINS = _FFT // 2 + 1
_FRAMES = _LENGTH // HOP + 1
_SCALE = 8.0
_START_SECONDS, _START = 1.0, -3.6459
"""Decay time, and the log-magnitude at which noise that decays so has unit energy, the mean of both channels."""
_LEADS = range(100, 400)
"""Samples before time zero in which the filter of `resample` rings at another rate: about a whole number there, too."""


@register
class Reverb(Processor):
    """Two seconds of filtered noise, wet only, in mid and side (paper eq. 14-15).

    The noise is the same for every node and song; its STFT is multiplied by the mask and turned back into two
    responses, m + s on the left and m - s on the right. By default they are normalised to unit energy (mean of both
    channels), so that a common level of the mask has no effect.

    Args:
        sample_rate: sample rate of the audio, in Hz.
        mask: `"decay"` is the published exp((H0 - softplus(D) m) / 8), which always decays; `"paper"` is eq. 15,
            exp(H0 + m D).
        found_at: the rate at which the settings were found, where it is another one: the response is that one, with its
            level, up to what was heard there. Above, colour and decay go on flat, on noise of their own.
        normalize: scale the response to unit energy, as published. Eq. 14-15 do not: raising H0 by 1 everywhere
            multiplies the wet sound by e. A search then starts at the level at which noise with a decay time of 1 s has
            unit energy, by the mask `"paper"` also at that decay time: slopes about 0 would often rise.
    """

    name = "reverb"
    letter = "r"
    type_id = 8
    linear = True
    gain_staged = True
    late = True
    truth_names: ClassVar[tuple[str, ...]] = ("reverb", "Reverb")
    usage = Usage(track_rate=0.3, subgroup_rate=0.3, needs="reverberant")

    def __init__(
        self,
        sample_rate: int = 30000,
        mask: Literal["decay", "paper"] = "decay",
        found_at: int | None = None,
        normalize: bool = True,
    ) -> None:
        super().__init__(sample_rate)
        self.normalize = normalize
        self.mask = chosen("mask", mask, ("decay", "paper"))
        self.found_at = check_rate("found_at", found_at or sample_rate)
        self.capturable = self.found_at == sample_rate == RATE  # resampling makes a constant on the host in every step
        noise = torch.from_numpy(np.random.RandomState(0).uniform(size=(2, _LENGTH)).astype(np.float64) * 2 - 1)
        self.noise: Tensor
        self.synthesis: Tensor
        self.treble: Tensor
        self.treble_synthesis: Tensor
        self.register_buffer("noise", _spectrogram(noise), persistent=False)
        self.register_buffer("synthesis", _synthesis(), persistent=False)
        self.lead, self.early = 0, 0
        if self.found_at != sample_rate:
            ratio = sample_rate / RATE
            self.lead = min(_LEADS, key=lambda lead: abs(lead * ratio - round(lead * ratio)))
            self.early = round(self.lead * ratio)
        self.times_rate = 0  # by which the rate of the noise above what was heard is higher; 0 where there is none
        if sample_rate > RATE >= self.found_at:
            self._add_treble(-(-sample_rate // RATE))

    def _add_treble(self, times: int) -> None:
        """Makes the noise above what was heard, with the power in each Hz of the noise at 30 kHz, after resampling."""
        self.times_rate = times
        noise = torch.from_numpy(np.random.RandomState(1).uniform(size=(2, times * _LENGTH)) * 2 - 1) * math.sqrt(times)
        self.register_buffer("treble", _spectrogram(noise, times), persistent=False)
        self.register_buffer("treble_synthesis", _synthesis(times), persistent=False)

    @property
    def specification(self) -> dict[str, Parameter]:
        seconds_per_frame = HOP / RATE
        decay = math.log(1000) * seconds_per_frame

        def to_seconds(p: Tensor) -> Tensor:
            return -decay / p if self.mask == "paper" else decay * _SCALE / F.softplus(p)

        def from_seconds(t60: Tensor) -> Tensor:
            return -decay / t60 if self.mask == "paper" else torch.log(torch.expm1(decay * _SCALE / t60))

        scale = 1.0 if self.mask == "paper" else 1 / _SCALE
        description = "initial level of mid and side, each frequency bin"
        level = decibels((2, BINS), -12, 12, description, scale)
        level = replace(level, common_level="mean") if self.normalize else replace(level, mean=_START / scale)
        rises = self.mask == "paper" and not self.normalize
        return {
            "delta_log_magnitude": Parameter(
                (2, BINS),
                "s (T60)",
                0.05,
                20,
                to_seconds,
                from_seconds,
                "decay time of mid and side, each bin",
                mean=-decay / _START_SECONDS if rises else 0.0,
            ),
            "init_log_magnitude": level,
        }

    @property
    def before(self) -> int:
        return self.early

    @property
    def after(self) -> int:
        return round(_LENGTH * self.sample_rate / RATE) - 1

    def impulse_response(self, parameters: Parameters) -> Tensor:
        start, slope = parameters["init_log_magnitude"], parameters["delta_log_magnitude"]
        if self.mask == "decay":
            start, slope = start / _SCALE, F.softplus(slope) * (-1 / _SCALE)
        return self.shaped_noise(start, slope)

    def shaped_noise(self, start: Tensor, slope: Tensor) -> Tensor:
        """The response of a mask exp(start + slope m) in frame m, both (nodes, 2, 193): (nodes, 2, after + 1)."""
        stereo = decaying_noise(start, slope, self.noise, self.synthesis, _LENGTH)
        if self.found_at == self.sample_rate:
            if self.sample_rate != RATE:
                stereo = self._whole(AF.resample(stereo, RATE, self.sample_rate))
            return normalize_energy(stereo) if self.normalize else stereo * (RATE / self.sample_rate)
        scale = torch.tensor(RATE / self.found_at)
        if self.normalize:
            searched = stereo if self.found_at == RATE else AF.resample(stereo, RATE, self.found_at)
            scale = torch.rsqrt(searched.square().sum(dim=(1, 2), keepdim=True) / 2 + 1e-12)
        if self.found_at <= RATE:
            heard_bins = min(self.found_at, RATE) / RATE * (BINS - 1)
            start, slope = extended(start, heard_bins), extended(slope, heard_bins)
            stereo = decaying_noise(start, slope, self.noise, self.synthesis, _LENGTH)
        rolloff = HEARD if self.times_rate else ROLLOFF
        response = self._whole(resample(F.pad(stereo, (self.lead, 0)), RATE, self.sample_rate, rolloff))
        if self.times_rate:
            more = self.times_rate * HOP + 1 - BINS
            start, slope = (torch.cat((x, x[..., -1:].expand(-1, -1, more)), dim=-1) for x in (start, slope))
            length, rate = self.times_rate * _LENGTH, self.times_rate * RATE
            treble = decaying_noise(start, slope, self.treble, self.treble_synthesis, length)
            treble = _without_heard(F.pad(treble, (self.lead * self.times_rate, self.lead * self.times_rate)), rate)
            response = response + self._whole(resample(treble, rate, self.sample_rate))
        return response * (scale * (self.found_at / self.sample_rate))

    def _whole(self, response: Tensor) -> Tensor:
        """Cuts or pads a response to its length at this rate."""
        length = self.before + 1 + self.after
        return F.pad(response[..., :length], (0, max(0, length - response.shape[-1])))

    def at_sample_rate(self, parameters: Parameters, sample_rate: int) -> SettingsAtRate:
        return SettingsAtRate(parameters, {"found_at": self.found_at})

    def wet_level(self, parameters: Parameters) -> float:
        """The level of one node's wet sound against the white noise that enters, at 30 kHz: 1 if normalised."""
        if self.normalize:
            return 1.0
        energy = self.impulse_response(parameters)[0].square().sum() / 2
        return math.sqrt(float(energy) * self.sample_rate / RATE)

    def decay_rates(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """1 / T60 of mid and side of one node in 1/s, (BINS,) each."""
        declared = self.specification["delta_log_magnitude"]
        mid, side = 1 / declared.to_unit(parameters["delta_log_magnitude"])[0]
        return mid, side

    def start_levels_db(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """Levels of mid and side of one node at the start in dB, before they are normalised, (BINS,) each."""
        declared = self.specification["init_log_magnitude"]
        mid, side = declared.to_unit(parameters["init_log_magnitude"])[0]
        return mid, side

    def readings(self, node: NodeValues) -> tuple[Reading, ...]:
        """Reads the decay times of mid and side, and the level of the reverberation."""
        hertz = torch.arange(BINS, dtype=torch.float64) * (RATE / (2 * (BINS - 1)))
        level = 20 * math.log10(max(wet_against_dry(node.weight) * self.wet_level(node.parameters), 1e-9))
        rates, levels = self.decay_rates(node.parameters), self.start_levels_db(node.parameters)
        return (Decay(hertz, *rates, level, is_wet_only(node.weight), *levels),)

    def quantities(self, node: NodeValues) -> tuple[Compared, ...]:
        """The decay times, the initial levels but for the common one, the level that it leads to, and the weight.

        Where responses are normalised, the common level has no effect.
        """
        declared = self.specification
        mid, side = declared["delta_log_magnitude"].to_unit(node.parameters["delta_log_magnitude"])[0]
        level = declared["init_log_magnitude"].to_unit(node.parameters["init_log_magnitude"])[0]
        level_db = 20 * math.log10(max(self.wet_level(node.parameters), 1e-9))
        wet = () if self.normalize else (single("level", "dB", level_db),)
        return (
            Quantity("T60 mid", "s", mid, "median", stated=True),
            Quantity("T60 side", "s", side, "median", stated=True),
            Quantity("colour", "dB", level - level.mean(), "median"),
            *wet,
            single("weight", "1", node.weight),
        )

    def engineer_settings(
        self, signal: Tensor, strength: float, draw: RandomSettings
    ) -> tuple[dict[str, Tensor], float]:
        """A room or hall of 0.4 to 2 seconds that is darker and shorter towards high frequencies."""
        height = torch.linspace(0, 1, BINS, dtype=torch.float64).sqrt()
        seconds = draw.logarithmic(0.7, 2.0) * (1 - draw.uniform(0, 0.45) * height)
        tilt = -draw.uniform(2, 10) * height
        width_db = draw.uniform(-6, 0)
        units = {
            "delta_log_magnitude": seconds.clamp(0.4, 2.0).expand(2, BINS),
            "init_log_magnitude": torch.stack((tilt, tilt + width_db)),
        }
        if not self.normalize:
            values = {name: p.from_unit(units[name].unsqueeze(0)) for name, p in self.specification.items()}
            units["init_log_magnitude"] -= 20 * math.log10(self.wet_level(values))
        return units, draw.effect_weight(strength)


def _spectrogram(noise: Tensor, times: int = 1) -> Tensor:
    """Returns the spectrograms of noise at a multiple of 30 kHz, (2, frames, bins, 2): real and imaginary parts."""
    window = hann(times * _FFT, periodic=True)
    spectrogram = torch.stft(
        noise.float().double(),
        times * _FFT,
        times * HOP,
        window=window,
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    return torch.view_as_real(spectrogram.transpose(1, 2)).contiguous()


def _synthesis(times: int = 1) -> Tensor:
    """Returns the window of each frame over the sum of the overlapping squared windows, (frames, samples)."""
    # Overlapping squared windows sum to envelope[n]; half a window overlaps the next, so two halves describe it.
    # The last frame reaches past the last overlap, and is there divided by its own window alone.
    hop = times * HOP
    window = hann(2 * hop, periodic=True)
    envelope = window.square().view(2, hop).sum(dim=0)
    weights = (window.view(2, hop) / envelope).reshape(2 * hop).repeat(_FRAMES, 1)
    weights[-1, hop:] = 1 / window[hop:]
    return weights


def _without_heard(noise: Tensor, rate: int) -> Tensor:
    """Removes from noise, (..., samples), what `resample` with the rolloff HEARD lets through at 30 kHz."""
    hertz = torch.arange(noise.shape[-1] // 2 + 1, device=noise.device) * (rate / noise.shape[-1])
    first, last = (share * RATE / 2 for share in (2 * HEARD - FLAT, FLAT))
    rise = torch.sin(math.pi / 2 * ((hertz - first) / (last - first)).clamp(0, 1)).to(noise)
    return torch.fft.irfft(torch.fft.rfft(noise) * rise, n=noise.shape[-1])
