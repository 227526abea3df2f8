"""Compressor (paper B.5)."""

from __future__ import annotations

import torch
from torch import Tensor

from mixgraph.processors.dynamics import OnePoleDynamics, detected_levels_db, engineer_units
from mixgraph.processors.registry import register
from mixgraph.processors.usage import RandomSettings, Usage


@register
class Compressor(OnePoleDynamics):
    """Turns down what is above the threshold (paper eq. 20-22), R = 1 + exp(log_ratio)."""

    name = "compressor"
    letter = "c"
    type_id = 3
    truth_names = ("compressor", "Compressor")
    usage = Usage(track_rate=0.35, subgroup_rate=0.35)
    direction = 1

    def slope(self, log_ratio: Tensor) -> Tensor:
        return -torch.sigmoid(log_ratio)  # 1 / R - 1

    def engineer_settings(
        self, signal: Tensor, strength: float, draw: RandomSettings
    ) -> tuple[dict[str, Tensor], float]:
        """A threshold 5 to 11 dB below the loud parts, times 5 to 100 ms."""
        time_ms = draw.logarithmic(5, 100)
        loud = float(detected_levels_db(signal, time_ms, self.sample_rate).quantile(0.9))
        threshold = loud - draw.uniform(5, 11) * strength
        ratio = 1 + draw.uniform(2, 7) * strength
        return engineer_units(threshold, ratio, draw.uniform(2, 10), time_ms), draw.full_weight()
