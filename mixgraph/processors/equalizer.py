"""Equalizer: a zero-phase FIR from its log-magnitude response (paper B.3)."""

from __future__ import annotations

import itertools
import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from mixgraph.dsp.fir import hann, zero_phase_fir
from mixgraph.dsp.fourier import even_response
from mixgraph.dsp.third_octaves import third_octave_means
from mixgraph.processors.base import Processor, check_rate, wet_gains
from mixgraph.processors.other_rates import REACH, SettingsAtRate, filters_at_rate
from mixgraph.processors.parameter import Parameter, Parameters, chosen, decibels
from mixgraph.processors.readings import Compared, NodeValues, Response, blend, to_db
from mixgraph.processors.registry import register
from mixgraph.processors.usage import RandomSettings, Usage


@register
class Equalizer(Processor):
    """Filters both channels with one centred FIR (paper eq. 12-13): 2047 taps at 30 kHz, 34 ms to either side.

    Args:
        sample_rate: sample rate of the audio, in Hz; the FIR has the same length in seconds at every rate.
        window: `"symmetric"` keeps the response real; `"periodic"` is the published one, half a tap off-centre.
        found_at: the rate at which the magnitudes were found, where it is another one: the response is that one up to
            what was heard there, and flat above.
    """

    name = "equalizer"
    letter = "e"
    type_id = 5
    linear = True
    gain_staged = True
    keeps_mono = True
    truth_names = (
        *("equalizer", "HighpassFilter", "LowpassFilter", "PeakFilter"),
        *("HighShelfFilter", "LowShelfFilter"),
    )
    usage = Usage(track_rate=0.5, subgroup_rate=0.35)
    identity: ClassVar = {"log_magnitude": 0.0}

    def __init__(
        self,
        sample_rate: int = 30000,
        window: Literal["symmetric", "periodic"] = "symmetric",
        found_at: int | None = None,
    ) -> None:
        super().__init__(sample_rate)
        self.found_at = check_rate("found_at", found_at or sample_rate)
        self.is_real = window == "symmetric"
        self.num_bins = round(1024 * self.found_at / 30000)
        self.reach = self.num_bins - 1
        if self.found_at != sample_rate:
            self.reach = math.ceil((self.num_bins + REACH) * sample_rate / self.found_at)
        self.window: Tensor
        taps = hann(2 * self.num_bins - 1, periodic=chosen("window", window, ("symmetric", "periodic")) == "periodic")
        self.register_buffer("window", taps.float(), persistent=False)

    @property
    def specification(self) -> dict[str, Parameter]:
        return {"log_magnitude": decibels((self.num_bins,), -48, 24, "magnitude at multiples of the bin width")}

    @property
    def before(self) -> int:
        return self.reach

    @property
    def after(self) -> int:
        return self.reach

    def values_for_gains(self, hertz: Tensor, gains: Tensor) -> tuple[dict[str, Tensor], float]:
        """Interpolates the gains in dB over the logarithm of frequency; constant outside."""
        wet, weight = wet_gains(gains.double().log().mean(dim=0).exp())
        x, place = hertz.double().log().contiguous(), self._hertz.clamp(min=1.0).log()
        above = torch.searchsorted(x, place).clamp(1, len(x) - 1)
        share = ((place - x[above - 1]) / (x[above] - x[above - 1])).clamp(0, 1)
        level = wet.log()
        return {"log_magnitude": torch.lerp(level[above - 1], level[above], share)}, weight

    def impulse_response(self, parameters: Parameters) -> Tensor:
        log_magnitude = parameters["log_magnitude"]
        fir = zero_phase_fir(log_magnitude, self.window.to(log_magnitude.dtype))
        if self.found_at != self.sample_rate:
            fir = filters_at_rate(fir, self.num_bins - 1, self.found_at, self.sample_rate, self.reach)
        return fir.unsqueeze(1)

    def spectrum(self, impulse_response: Tensor, n_fft: int) -> Tensor:
        if not self.is_real:
            return super().spectrum(impulse_response, n_fft)
        return even_response(impulse_response.squeeze(1)[:, self.before :], n_fft).unsqueeze(1)

    def at_sample_rate(self, parameters: Parameters, sample_rate: int) -> SettingsAtRate:
        return SettingsAtRate(parameters, {"found_at": self.found_at})

    @property
    def _hertz(self) -> Tensor:
        """The frequency of each magnitude, (num_bins,), float64."""
        return torch.arange(self.num_bins, dtype=torch.float64) * (self.found_at / (2 * self.num_bins - 1))

    def quantities(self, node: NodeValues) -> tuple[Compared, ...]:
        """Returns the response, at a rate that it was found at at the frequencies of the parameter."""
        taps = self.impulse_response(node.parameters)[0, 0]
        wet = torch.fft.fft(torch.roll(taps, -self.before)).real[: self.before + 1]
        hertz = torch.arange(len(wet), dtype=torch.float64) * (self.sample_rate / len(taps))
        return (Response(hertz, to_db(blend(self, wet, node.weight)), self.sample_rate / 2),)

    def engineer_settings(
        self, signal: Tensor, strength: float, draw: RandomSettings
    ) -> tuple[dict[str, Tensor], float]:
        """A few bells an octave or so wide, one in each part of the spectrum.

        Their mean over third-octave bands is 0 dB, since a level is a gain's matter.
        """
        hertz = self._hertz
        octave = torch.log2(hertz.clamp(min=float(hertz[1]) / 2))
        curve = torch.zeros(self.num_bins, dtype=torch.float64)
        borders = (80, 400, 2000, 10000)
        sign = draw.sign()
        for low, high in itertools.pairwise(borders):
            centre, width = math.log2(draw.logarithmic(low, high)), draw.uniform(0.6, 1.2)
            curve += sign * strength * draw.uniform(4, 9) * torch.exp(-0.5 * ((octave - centre) / width) ** 2)
            sign = -sign if draw.uniform(0, 1) < 0.75 else sign
        curve = curve - (third_octave_means(hertz) @ curve).mean()
        return {"log_magnitude": curve.clamp(-18, 14)}, draw.full_weight()
