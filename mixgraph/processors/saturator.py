"""Saturator: a soft clipper."""

from __future__ import annotations

import torch
from torch import Tensor

from mixgraph.processors.base import Parameter, Parameters, Processor, decibels
from mixgraph.processors.registry import register


@register
class Saturator(Processor):
    """y = (tanh(d x + b) - tanh(b)) / (d (1 - tanh(b)^2)): soft signals pass as they are, loud ones are bent.

    Without bias b there are odd harmonics only. Nothing is oversampled: harmonics above half the sample rate come back
    as aliases, 40 dB or more below the signal for drives that are used in mixing.
    """

    name = "saturator"
    letter = "h"
    linear = False
    keeps_mono = True

    @property
    def specification(self) -> dict[str, Parameter]:
        return {
            "bias": Parameter((1,), "1", -2, 2, lambda p: p, lambda b: b, "moves the curve: even harmonics"),
            "log_drive": decibels((1,), -24, 36, "gain before the curve, taken back behind it"),
        }

    def process(self, signal: Tensor, parameters: Parameters, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        drive, bias = torch.exp(parameters["log_drive"]).unsqueeze(-1), parameters["bias"].unsqueeze(-1)
        rest = torch.tanh(bias)
        wet = (torch.tanh(drive * signal + bias) - rest) / (drive * (1 - rest.square()))
        return wet, signal.new_zeros(signal.shape[0], 0)  # no memory

    def rest(self, parameters: Parameters, state: Tensor, samples: int) -> Tensor:
        return state
