"""Noisegate: a downward expander (paper B.6)."""

from __future__ import annotations

import torch
from torch import Tensor

from mixgraph.processors.dynamics import OnePoleDynamics
from mixgraph.processors.registry import register


@register
class Noisegate(OnePoleDynamics):
    """Turns down what is below the threshold (paper eq. 23), R = 1 + exp(log_ratio)."""

    name = "noisegate"
    letter = "n"
    type_id = 7
    direction = -1

    def slope(self, log_ratio: Tensor) -> Tensor:
        return -torch.exp(log_ratio)  # -(R - 1)
