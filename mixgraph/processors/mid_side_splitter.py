"""Mid/side splitter: mid and side as two signals, each with its own chain (paper C.5)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from mixgraph.processors.base import Processor
from mixgraph.processors.other_rates import SettingsAtRate
from mixgraph.processors.parameter import Parameter, Parameters, decibels
from mixgraph.processors.readings import NodeValues, Reading, outlet_gains
from mixgraph.processors.registry import register


@register
class MidSideSplitter(Processor):
    """Outlet 0 has the mid, (m, m) with m = (l + r) / 2, outlet 1 the side, (s, -s) with s = (l - r) / 2.

    Each has a gain, exp(log_gain); at 0 dB their sum is the input. A chain behind each outlet processes both apart.
    Gain staging that compares mids (the default) does not see the side's.
    """

    name = "mid_side_splitter"
    letter = "t"
    type_id = 15
    linear = True
    channels = "mid_side"
    keeps_mono = True
    outlets = 2
    outlet_names: ClassVar = ("mid", "side")

    @property
    def specification(self) -> dict[str, Parameter]:
        return {"log_gain": decibels((2,), -60, 24, "gains of mid and side")}

    def impulse_response(self, parameters: Parameters) -> Tensor:
        return self.outlet_response(parameters, 0)

    def at_sample_rate(self, parameters: Parameters, sample_rate: int) -> SettingsAtRate:
        return SettingsAtRate(parameters)

    def readings(self, node: NodeValues) -> tuple[Reading, ...]:
        """Reads the gains of mid and side."""
        return (outlet_gains(self, node, torch.exp(node.parameters["log_gain"][0])),)

    def outlet_response(self, parameters: Parameters, outlet: int) -> Tensor:
        gain = torch.exp(parameters["log_gain"])
        return (gain * torch.eye(2, dtype=gain.dtype, device=gain.device)[outlet]).unsqueeze(-1)
