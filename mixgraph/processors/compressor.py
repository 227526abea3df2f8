"""Compressor (paper B.5)."""

from __future__ import annotations

import torch
from torch import Tensor

from mixgraph.processors.dynamics import OnePoleDynamics
from mixgraph.processors.registry import register


@register
class Compressor(OnePoleDynamics):
    """Turns down what is above the threshold (paper eq. 20-22), R = 1 + exp(log_ratio)."""

    name = "compressor"
    letter = "c"
    type_id = 3
    direction = 1

    def slope(self, log_ratio: Tensor) -> Tensor:
        return -torch.sigmoid(log_ratio)  # 1 / R - 1
