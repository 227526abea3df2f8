"""Stereo imager: the gain of the side channel (paper B.2)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from mixgraph.processors.base import Processor
from mixgraph.processors.other_rates import SettingsAtRate
from mixgraph.processors.parameter import Parameter, Parameters, decibels
from mixgraph.processors.readings import Compared, NodeValues, blend, single, to_db
from mixgraph.processors.registry import register
from mixgraph.processors.usage import RandomSettings, Usage


@register
class StereoImager(Processor):
    """Keeps mid and multiplies side by exp(log_gain) (paper eq. 11)."""

    name = "stereo_imager"
    letter = "s"
    type_id = 9
    linear = True
    channels = "mid_side"
    keeps_mono = True
    usage = Usage(track_rate=0.4, subgroup_rate=0.2, needs="stereo", on_subgroups=False)
    identity: ClassVar = {"log_gain": 0.0}

    @property
    def specification(self) -> dict[str, Parameter]:
        return {"log_gain": decibels((1,), -60, 24, "gain of the side channel")}

    def impulse_response(self, parameters: Parameters) -> Tensor:
        side = torch.exp(parameters["log_gain"])
        return torch.stack((torch.ones_like(side), side), dim=1)

    def at_sample_rate(self, parameters: Parameters, sample_rate: int) -> SettingsAtRate:
        return SettingsAtRate(parameters)

    def quantities(self, node: NodeValues) -> tuple[Compared, ...]:
        """Returns the gain of the side."""
        wet = torch.exp(node.parameters["log_gain"][0, 0])
        return (single("side", "dB", to_db(blend(self, wet, node.weight))),)

    def engineer_settings(
        self, signal: Tensor, strength: float, draw: RandomSettings
    ) -> tuple[dict[str, Tensor], float]:
        """Draws a side gain that makes the sound clearly narrower or clearly wider."""
        side_db = draw.uniform(-12, -7) if draw.uniform(0, 1) < 0.5 else draw.uniform(4, 6)
        return {"log_gain": torch.tensor([side_db * strength]).clamp(-20, 9)}, draw.full_weight()
