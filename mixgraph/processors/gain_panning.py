"""Gain and panning: one gain a channel (paper B.1)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from mixgraph.processors.base import Parameter, Parameters, Processor, decibels, wet_gains
from mixgraph.processors.registry import register


@register
class GainPanning(Processor):
    """Multiplies the left and the right channel by exp(log_gain) (paper eq. 10)."""

    name = "gain_panning"
    letter = "g"
    type_id = 6
    linear = True
    identity: ClassVar = {"log_gain": 0.0}

    @property
    def specification(self) -> dict[str, Parameter]:
        return {"log_gain": decibels((2,), -60, 24, "gain of the left and right channel")}

    def values_for_gains(self, hertz: Tensor, gains: Tensor) -> tuple[dict[str, Tensor], float]:
        wet, weight = wet_gains(gains.log().mean(dim=-1).exp())
        return {"log_gain": wet.log()}, weight

    def impulse_response(self, parameters: Parameters) -> Tensor:
        return torch.exp(parameters["log_gain"]).unsqueeze(-1)
