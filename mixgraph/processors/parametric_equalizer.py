"""Parametric equalizer: two shelves and four bells, as engineers set them."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from mixgraph.processors.base import Processor, check_rate
from mixgraph.processors.other_rates import SettingsAtRate
from mixgraph.processors.parameter import Parameter, Parameters, decibels
from mixgraph.processors.readings import Bands, NodeValues, Reading, in_units
from mixgraph.processors.registry import register

_CENTRES = (60.0, 180.0, 500.0, 1500.0, 4000.0, 9000.0)  # Hz at the start: low shelf, four bells, high shelf
_LOWEST, _HIGHEST = 20.0, 0.45  # Hz; of the sample rate
_WITHIN = 0.9  # share of the highest frequency, at which a band starts at most
_LEAST_Q, _MOST_Q = 0.3, 4.0  # a larger Q rings for longer than the response lasts
_SECONDS = 0.28
_EARLY_SECONDS = 0.02  # a response that is flat above the rate of the search rings a little before time zero


@register
class ParametricEqualizer(Processor):
    """Six second-order filters in series, 18 numbers in place of the equalizer's 1,024; minimum phase.

    Each is an analogue prototype brought to the sample rate by the bilinear transform: with g the amplitude gain,
    A = sqrt(g), W = tan(w0 / 2) and s = j tan(w / 2) / W,

        bell        (s^2 + s A / Q + 1) / (s^2 + s / (A Q) + 1)
        low shelf   A (s^2 + s sqrt(A) / Q + A) / (A s^2 + s sqrt(A) / Q + 1)
        high shelf  A (A s^2 + s sqrt(A) / Q + 1) / (s^2 + s sqrt(A) / Q + A)

    (the forms that audio equalizers have in common). The response is sampled in frequency, so that it has an end:
    what rings for longer than 0.28 s is folded back.

    Args:
        sample_rate: sample rate of the audio, in Hz.
        found_at: the rate at which the settings were found, where it is another one: the response is that of this rate,
            and flat above its half.
    """

    name = "parametric_equalizer"
    letter = "p"
    type_id = 16
    linear = True
    gain_staged = True
    keeps_mono = True
    paper_type = "equalizer"
    identity: ClassVar = {"log_gain": 0.0, "frequency_logit": 0.0, "q_logit": 0.0}

    def __init__(self, sample_rate: int = 30000, found_at: int | None = None) -> None:
        super().__init__(sample_rate)
        self.found_at = check_rate("found_at", found_at or sample_rate)
        self.taps = 2 * round(_SECONDS * sample_rate / 2)
        self.early = 0 if self.found_at == sample_rate else round(_EARLY_SECONDS * sample_rate)
        self.highest = _HIGHEST * self.found_at
        self.bilinear: Tensor
        self.offset: Tensor
        # tan(w / 2) ends at infinity: the last bin is taken just below half the sample rate.
        end = math.pi / 2 * sample_rate / self.found_at
        half = torch.linspace(0, end, self.taps // 2 + 1, dtype=torch.float64).clamp(max=math.pi / 2 - 1e-4)
        self.register_buffer("bilinear", torch.tan(half), persistent=False)
        centres = torch.tensor(_CENTRES, dtype=torch.float64).clamp(max=_WITHIN * self.highest)
        share = torch.log(centres / _LOWEST) / math.log(self.highest / _LOWEST)
        self.register_buffer("offset", torch.logit(share), persistent=False)

    @property
    def specification(self) -> dict[str, Parameter]:
        octaves = math.log(self.highest / _LOWEST)
        span = _MOST_Q - _LEAST_Q

        def to_hz(p: Tensor) -> Tensor:
            return _LOWEST * torch.exp(octaves * torch.sigmoid(p + self.offset.to(p)))

        def from_hz(hz: Tensor) -> Tensor:
            return torch.logit((hz / _LOWEST).log() / octaves) - self.offset.to(hz)

        bands = len(_CENTRES)
        return {
            "frequency_logit": Parameter((bands,), "Hz", 25, 0.4 * self.found_at, to_hz, from_hz, "of each band"),
            "log_gain": decibels((bands,), -24, 24, "gain of each band"),
            "q_logit": Parameter(
                (bands,),
                "Q",
                _LEAST_Q + 0.01,
                _MOST_Q - 0.01,
                lambda p: _LEAST_Q + span * torch.sigmoid(p - 1.5),
                lambda q: torch.logit((q - _LEAST_Q) / span) + 1.5,
                "quality of each band",
            ),
        }

    @property
    def before(self) -> int:
        return self.early

    @property
    def after(self) -> int:
        return self.taps - 1 - self.early

    def impulse_response(self, parameters: Parameters) -> Tensor:
        response = torch.fft.irfft(self.transfer(parameters), n=self.taps)
        return (torch.roll(response, self.early, dims=-1) if self.early else response).unsqueeze(1)

    def at_sample_rate(self, parameters: Parameters, sample_rate: int) -> SettingsAtRate:
        return SettingsAtRate(parameters, {"found_at": self.found_at})

    def readings(self, node: NodeValues) -> tuple[Reading, ...]:
        """Reads the response, and the settings of the six bands."""
        hertz, gains, q = (in_units(self, node, name) for name in ("frequency_logit", "log_gain", "q_logit"))
        return (*super().readings(node), Bands(hertz, gains, q))

    def transfer(self, parameters: Parameters) -> Tensor:
        """Returns the transfer function at multiples of sample_rate / taps, (nodes, taps / 2 + 1)."""
        declared = self.specification
        hz, q = (declared[name].to_unit(parameters[name]) for name in ("frequency_logit", "q_logit"))
        w = (self.bilinear.to(hz) / torch.tan(math.pi / self.found_at * hz).unsqueeze(-1)).unbind(1)
        a = torch.exp(parameters["log_gain"] / 2).unsqueeze(-1).unbind(1)
        qs = q.unsqueeze(-1).unbind(1)
        total = _shelf(w[0], a[0], qs[0], low=True) * _shelf(w[-1], a[-1], qs[-1], low=False)
        for band in range(1, len(_CENTRES) - 1):
            flat = 1 - w[band].square()
            bend = w[band] / qs[band]
            total = total * torch.complex(flat, bend * a[band]) / torch.complex(flat, bend / a[band])
        return total


def _shelf(w: Tensor, a: Tensor, q: Tensor, low: bool) -> Tensor:
    bend, square = w * a.sqrt() / q, w.square()
    falling, rising = torch.complex(a - square, bend), torch.complex(1 - a * square, bend)
    return a * (falling / rising if low else rising / falling)
