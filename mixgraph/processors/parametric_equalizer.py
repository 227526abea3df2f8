"""Parametric equalizer: two shelves and four bells, as engineers set them."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from mixgraph.processors.base import Processor
from mixgraph.processors.parameter import Parameter, Parameters, decibels
from mixgraph.processors.readings import Bands, NodeValues, Reading, in_units
from mixgraph.processors.registry import register

_CENTRES = (60.0, 180.0, 500.0, 1500.0, 4000.0, 9000.0)  # Hz at the start: low shelf, four bells, high shelf
_LOWEST, _HIGHEST = 20.0, 0.45  # Hz; of the sample rate
_WITHIN = 0.9  # share of the highest frequency, at which a band starts at most
_LEAST_Q, _MOST_Q = 0.3, 4.0  # a larger Q rings for longer than the response lasts
_SECONDS = 0.28


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
    """

    name = "parametric_equalizer"
    letter = "p"
    type_id = 16
    linear = True
    gain_staged = True
    keeps_mono = True
    paper_type = "equalizer"
    identity: ClassVar = {"log_gain": 0.0, "frequency_logit": 0.0, "q_logit": 0.0}

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.taps = 2 * round(_SECONDS * sample_rate / 2)
        self.highest = _HIGHEST * sample_rate
        self.bilinear: Tensor
        self.offset: Tensor
        # tan(w / 2) ends at infinity: the last bin is taken just below half the sample rate.
        half = torch.linspace(0, math.pi / 2, self.taps // 2 + 1, dtype=torch.float64).clamp(max=math.pi / 2 - 1e-4)
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
            "frequency_logit": Parameter((bands,), "Hz", 25, 0.4 * self.sample_rate, to_hz, from_hz, "of each band"),
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
    def after(self) -> int:
        return self.taps - 1

    def impulse_response(self, parameters: Parameters) -> Tensor:
        return torch.fft.irfft(self.transfer(parameters), n=self.taps).unsqueeze(1)

    def readings(self, node: NodeValues) -> tuple[Reading, ...]:
        """Reads the response, and the settings of the six bands."""
        hertz, gains, q = (in_units(self, node, name) for name in ("frequency_logit", "log_gain", "q_logit"))
        return (*super().readings(node), Bands(hertz, gains, q))

    def transfer(self, parameters: Parameters) -> Tensor:
        """Returns the transfer function at multiples of sample_rate / taps, (nodes, taps / 2 + 1)."""
        declared = self.specification
        hz, q = (declared[name].to_unit(parameters[name]) for name in ("frequency_logit", "q_logit"))
        w = (self.bilinear.to(hz) / torch.tan(math.pi / self.sample_rate * hz).unsqueeze(-1)).unbind(1)
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
