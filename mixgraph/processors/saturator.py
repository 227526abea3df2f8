"""Saturator: a soft clipper."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mixgraph.processors.base import Processor
from mixgraph.processors.other_rates import SettingsAtRate
from mixgraph.processors.parameter import Parameter, Parameters, decibels
from mixgraph.processors.readings import Curve, NodeValues, Number, Reading, in_units
from mixgraph.processors.registry import register

_MOST_BIAS = 3.0


def _bias(coordinate: Tensor) -> Tensor:
    return _MOST_BIAS * torch.tanh(coordinate / _MOST_BIAS)


def _from_bias(bias: Tensor) -> Tensor:
    return _MOST_BIAS * torch.atanh(bias / _MOST_BIAS)


@register
class Saturator(Processor):
    """y = (tanh(d x + b) - tanh(b)) / (d (1 - tanh(b)^2)): soft signals pass as they are, loud ones are bent.

    Without bias b, which is within 3, there are odd harmonics only. Nothing is oversampled: harmonics above half the
    sample rate come back as aliases. At 30 kHz the third harmonic of a 7 kHz sine of amplitude .5 is 34 dB below it
    without drive and 15 dB with a drive of 12 dB.
    """

    name = "saturator"
    letter = "h"
    type_id = 17
    linear = False
    keeps_mono = True

    @property
    def specification(self) -> dict[str, Parameter]:
        return {
            "bias": Parameter((1,), "1", -2, 2, _bias, _from_bias, "moves the curve: even harmonics"),
            "log_drive": replace(
                decibels((1,), -24, 36, "gain before the curve, taken back behind it"), follows_level=-1.0
            ),
        }

    def process(self, signal: Tensor, parameters: Parameters, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        drive, bias = torch.exp(parameters["log_drive"]).unsqueeze(-1), _bias(parameters["bias"]).unsqueeze(-1)
        bent = torch.tanh(drive * signal)
        wet = bent / (drive * (1 + torch.tanh(bias) * bent))  # the same, by the sum of tanh: nothing cancels
        return wet, signal.new_zeros(signal.shape[0], 0)  # no memory

    def at_sample_rate(self, parameters: Parameters, sample_rate: int) -> SettingsAtRate:
        return SettingsAtRate(parameters)

    def rest(self, parameters: Parameters, state: Tensor, samples: int) -> Tensor:
        return state

    def readings(self, node: NodeValues) -> tuple[Reading, ...]:
        """Reads drive (at the tracks' own level) and bias, and the curve that maps samples from -1 to 1."""
        (drive,) = in_units(self, node, "log_drive")
        loudness = 10 ** (-node.offset_db / 20)
        before = torch.linspace(-1, 1, 201, dtype=torch.float64)
        wet = self.process(loudness * before.view(1, 1, -1), node.parameters)[0].flatten() / loudness
        return (
            Number("drive_db", "drive", (drive - node.offset_db,), "dB", "+.1f", on_panel="whole"),
            Number("bias", "bias", in_units(self, node, "bias"), "1", "+.2f", on_panel="whole"),
            Curve(before, torch.lerp(before, wet, node.weight), "in", "out", before),
        )
