"""Stereo imager: the gain of the side channel (paper B.2)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from mixgraph.processors.base import Parameter, Parameters, Processor, decibels
from mixgraph.processors.registry import register


@register
class StereoImager(Processor):
    """Keeps mid and multiplies side by exp(log_gain) (paper eq. 11)."""

    name = "stereo_imager"
    letter = "s"
    type_id = 9
    linear = True
    channels = "mid_side"
    keeps_mono = True
    identity: ClassVar = {"log_gain": 0.0}

    @property
    def specification(self) -> dict[str, Parameter]:
        return {"log_gain": decibels((1,), -60, 24, "gain of the side channel")}

    def impulse_response(self, parameters: Parameters) -> Tensor:
        side = torch.exp(parameters["log_gain"])
        return torch.stack((torch.ones_like(side), side), dim=1)
