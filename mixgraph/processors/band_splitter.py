"""Band splitter: low and high frequencies as two signals (paper C.5)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mixgraph.dsp.fir import hann, zero_phase_fir
from mixgraph.processors.base import Processor
from mixgraph.processors.other_rates import SettingsAtRate
from mixgraph.processors.parameter import Parameter, Parameters, decibels
from mixgraph.processors.readings import NodeValues, Number, Reading, in_units, outlet_gains
from mixgraph.processors.registry import register

_LOWEST, _HIGHEST = 40.0, 0.4  # Hz; of the sample rate. It starts in the middle, at 693 Hz


@register
class BandSplitter(Processor):
    """A crossover: outlet 0 has what is below its frequency, outlet 1 what is above.

    The low band's magnitude is that of a fourth-order Linkwitz-Riley low-pass, 1 / (1 + (f / fc)^4), without its phase:
    a centred FIR with the taps and the window of the equalizer (paper eq. 12), 34 ms to either side. The high band is
    what is left of the input, so that the sum is the input where both gains, exp(log_gain), are 0 dB. Bands that a
    chain processes apart make multiband dynamics; more bands are splitters behind a splitter.
    """

    name = "band_splitter"
    letter = "b"
    type_id = 12
    linear = True
    keeps_mono = True
    outlets = 2
    outlet_names: ClassVar = ("low", "high")

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.num_bins = round(1024 * sample_rate / 30000)
        self.highest = _HIGHEST * sample_rate
        self.window: Tensor
        self.log_frequency: Tensor
        self.register_buffer("window", hann(2 * self.num_bins - 1).float(), persistent=False)
        bins = torch.arange(self.num_bins, dtype=torch.float64).clamp(min=1e-3)  # the logarithm of 0 Hz
        self.register_buffer("log_frequency", torch.log(bins * sample_rate / (2 * self.num_bins - 1)), persistent=False)
        self.span = math.log(self.highest / _LOWEST)

    def _log_hz(self, p: Tensor) -> Tensor:
        return math.log(_LOWEST) + self.span * torch.sigmoid(p)

    @property
    def specification(self) -> dict[str, Parameter]:
        def from_hz(hz: Tensor) -> Tensor:
            return torch.logit((hz.log() - math.log(_LOWEST)) / self.span)

        return {
            "frequency_logit": Parameter(
                (1,),
                "Hz",
                _LOWEST * 1.01,
                self.highest * 0.99,
                lambda p: self._log_hz(p).exp(),
                from_hz,
                "crossover frequency",
            ),
            "log_gain": decibels((2,), -60, 24, "gains of the low and the high band"),
        }

    @property
    def before(self) -> int:
        return self.num_bins - 1

    @property
    def after(self) -> int:
        return self.num_bins - 1

    def impulse_response(self, parameters: Parameters) -> Tensor:
        return self.outlet_response(parameters, 0)

    def at_sample_rate(self, parameters: Parameters, sample_rate: int) -> SettingsAtRate:
        """Keeps the frequency in Hz; a lower rate holds it below its own highest one."""
        there = BandSplitter(sample_rate).specification["frequency_logit"]
        hertz = self._log_hz(parameters["frequency_logit"].double()).exp().clamp(there.low, there.high)
        logit = there.from_unit(hertz).to(parameters["frequency_logit"])
        return SettingsAtRate({**parameters, "frequency_logit": logit})

    def readings(self, node: NodeValues) -> tuple[Reading, ...]:
        """The crossover frequency and the gains of both bands."""
        hertz = in_units(self, node, "frequency_logit")
        crossover = Number("crossover_hz", "crossover", hertz, "Hz", ".0f", on_panel="value")
        return crossover, outlet_gains(self, node, torch.exp(node.parameters["log_gain"][0]))

    def outlet_response(self, parameters: Parameters, outlet: int) -> Tensor:
        logit = parameters["frequency_logit"]
        log_low = -F.softplus(4 * (self.log_frequency.to(logit) - self._log_hz(logit)))
        band = zero_phase_fir(log_low, self.window.to(logit))
        if outlet == 1:
            band = F.pad(torch.ones_like(logit), (self.before, self.after)) - band
        return (torch.exp(parameters["log_gain"][:, outlet : outlet + 1]) * band).unsqueeze(1)
