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
from mixgraph.processors.base import Processor
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


@register
class Reverb(Processor):
    """Two seconds of filtered noise, wet only, in mid and side (paper eq. 14-15).

    The noise is the same for every node and song; its STFT is multiplied by the mask and turned back into two
    responses, m + s on the left and m - s on the right, normalised to unit energy (mean of both channels), so that a
    common level of the mask has no effect.

    Args:
        sample_rate: sample rate of the audio, in Hz.
        mask: `"decay"` is the published exp((H0 - softplus(D) m) / 8), which always decays; `"paper"` is eq. 15,
            exp(H0 + m D).
    """

    name = "reverb"
    letter = "r"
    type_id = 8
    linear = True
    gain_staged = True
    late = True
    truth_names: ClassVar[tuple[str, ...]] = ("reverb", "Reverb")
    usage = Usage(track_rate=0.3, subgroup_rate=0.3, needs="reverberant")

    def __init__(self, sample_rate: int = 30000, mask: Literal["decay", "paper"] = "decay") -> None:
        super().__init__(sample_rate)
        self.mask = chosen("mask", mask, ("decay", "paper"))
        noise = torch.from_numpy(np.random.RandomState(0).uniform(size=(2, _LENGTH)).astype(np.float64) * 2 - 1)
        window = hann(_FFT, periodic=True)
        spectrogram = torch.stft(
            noise.float().double(), _FFT, HOP, window=window, center=True, pad_mode="reflect", return_complex=True
        )
        self.noise: Tensor
        self.synthesis: Tensor
        self.register_buffer("noise", torch.view_as_real(spectrogram.transpose(1, 2)).contiguous(), persistent=False)
        # Overlapping squared windows sum to envelope[n]; half a window overlaps the next, so two halves describe it.
        # The last frame reaches past the last overlap, and is there divided by its own window alone.
        envelope = window.square().view(2, HOP).sum(dim=0)
        weights = (window.view(2, HOP) / envelope).reshape(_FFT).repeat(_FRAMES, 1)
        weights[-1, HOP:] = 1 / window[HOP:]
        self.register_buffer("synthesis", weights, persistent=False)

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
        return {
            "delta_log_magnitude": Parameter(
                (2, BINS), "s (T60)", 0.05, 20, to_seconds, from_seconds, "decay time of mid and side, each bin"
            ),
            "init_log_magnitude": replace(decibels((2, BINS), -12, 12, description, scale), common_level="mean"),
        }

    @property
    def after(self) -> int:
        return round(_LENGTH * self.sample_rate / RATE) - 1

    def impulse_response(self, parameters: Parameters) -> Tensor:
        start, slope = parameters["init_log_magnitude"], parameters["delta_log_magnitude"]
        if self.mask == "decay":
            start, slope = start / _SCALE, -F.softplus(slope) / _SCALE
        return self.shaped_noise(start, slope)

    def shaped_noise(self, start: Tensor, slope: Tensor) -> Tensor:
        """The response of a mask exp(start + slope m) in frame m, both (nodes, 2, 193): (nodes, 2, after + 1)."""
        stereo = decaying_noise(start, slope, self.noise, self.synthesis, _LENGTH)
        if self.sample_rate != RATE:
            stereo = AF.resample(stereo, RATE, self.sample_rate)[..., : self.after + 1]
            stereo = F.pad(stereo, (0, self.after + 1 - stereo.shape[-1]))
        return normalize_energy(stereo)

    def decay_rates(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """1 / T60 of mid and side of one node in 1/s, (BINS,) each."""
        declared = self.specification["delta_log_magnitude"]
        mid, side = 1 / declared.to_unit(parameters["delta_log_magnitude"])[0]
        return mid, side

    def readings(self, node: NodeValues) -> tuple[Reading, ...]:
        """Reads the decay times of mid and side, and the level of the reverberation."""
        hertz = torch.arange(BINS, dtype=torch.float64) * (RATE / (2 * (BINS - 1)))
        level = 20 * math.log10(max(wet_against_dry(node.weight), 1e-9))
        return (Decay(hertz, *self.decay_rates(node.parameters), level, is_wet_only(node.weight)),)

    def quantities(self, node: NodeValues) -> tuple[Compared, ...]:
        """The decay times, the initial levels but for the common one, which has no effect, and the weight."""
        declared = self.specification
        mid, side = declared["delta_log_magnitude"].to_unit(node.parameters["delta_log_magnitude"])[0]
        level = declared["init_log_magnitude"].to_unit(node.parameters["init_log_magnitude"])[0]
        return (
            Quantity("T60 mid", "s", mid, "median", stated=True),
            Quantity("T60 side", "s", side, "median", stated=True),
            Quantity("colour", "dB", level - level.mean(), "median"),
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
        return units, draw.effect_weight(strength)
