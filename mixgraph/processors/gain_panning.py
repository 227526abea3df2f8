"""Gain and panning: one gain a channel (paper B.1)."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from mixgraph.processors.base import Processor, wet_gains
from mixgraph.processors.other_rates import SettingsAtRate
from mixgraph.processors.parameter import Parameter, Parameters, decibels
from mixgraph.processors.readings import Compared, NodeValues, blend, single, to_db
from mixgraph.processors.registry import register
from mixgraph.processors.usage import RandomSettings, Usage


@register
class GainPanning(Processor):
    """Multiplies the left and the right channel by exp(log_gain) (paper eq. 10)."""

    name = "gain_panning"
    letter = "g"
    type_id = 6
    linear = True
    label = "gain/panning"
    truth_names = ("gain", "Gain", "Pan")
    usage = Usage(track_rate=0.65, subgroup_rate=0.35)
    identity: ClassVar = {"log_gain": 0.0}

    @property
    def specification(self) -> dict[str, Parameter]:
        return {"log_gain": replace(decibels((2,), -60, 24, "gain of the left and right channel"), left_right=True)}

    def values_for_gains(self, hertz: Tensor, gains: Tensor) -> tuple[dict[str, Tensor], float]:
        wet, weight = wet_gains(gains.log().mean(dim=-1).exp())
        return {"log_gain": wet.log()}, weight

    def impulse_response(self, parameters: Parameters) -> Tensor:
        return torch.exp(parameters["log_gain"]).unsqueeze(-1)

    def at_sample_rate(self, parameters: Parameters, sample_rate: int) -> SettingsAtRate:
        return SettingsAtRate(parameters)

    def quantities(self, node: NodeValues) -> tuple[Compared, ...]:
        """Returns both gains, and their balance, which does not depend on levels that other processors may share."""
        wet = torch.exp(node.parameters["log_gain"][0])
        left, right = to_db(blend(self, wet, node.weight)).tolist()
        return single("left", "dB", left), single("right", "dB", right), single("balance", "dB", left - right)

    def engineer_settings(
        self, signal: Tensor, strength: float, draw: RandomSettings
    ) -> tuple[dict[str, Tensor], float]:
        """Draws a level that differs audibly from 0 dB, and a position beside the middle."""
        level = draw.uniform(3, 9) * -1 if draw.uniform(0, 1) < 0.6 else draw.uniform(2, 4)
        panning = draw.sign() * draw.uniform(1.5, 3)
        gains = torch.tensor([level + panning, level - panning], dtype=torch.float64) * strength
        return {"log_gain": gains.clamp(-12, 6)}, draw.full_weight()
