"""Send: the gain at which a track goes to a return bus."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from mixgraph.processors.base import Processor
from mixgraph.processors.other_rates import SettingsAtRate
from mixgraph.processors.parameter import Parameter, Parameters, decibels
from mixgraph.processors.registry import register

LEVEL = -12.0
"""In dB: what sends start at. Full sends of all tracks would drown a mix before anything is learned."""


@register
class Send(Processor):
    """Multiplies both channels by exp(log_gain), and by the weight: a send that is switched off is silent, not dry.

    It stands beside a chain, on the way from its end to a return bus (`build_console`), and there is no bypass of that.
    """

    name = "send"
    letter = "a"
    type_id = 18
    linear = True
    cuts = True
    keeps_mono = True
    identity: ClassVar = {"log_gain": 0.0}

    @property
    def specification(self) -> dict[str, Parameter]:
        gain = decibels((1,), -60, 24, "gain on the way to the return bus")
        return {"log_gain": replace(gain, mean=float(gain.from_unit(torch.tensor(LEVEL))))}

    def impulse_response(self, parameters: Parameters) -> Tensor:
        return torch.exp(parameters["log_gain"]).unsqueeze(-1)

    def at_sample_rate(self, parameters: Parameters, sample_rate: int) -> SettingsAtRate:
        return SettingsAtRate(parameters)
