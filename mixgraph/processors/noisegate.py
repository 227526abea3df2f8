"""Noisegate: a downward expander (paper B.6)."""

from __future__ import annotations

import torch
from torch import Tensor

from mixgraph.processors.dynamics import OnePoleDynamics, detected_levels_db, engineer_units
from mixgraph.processors.registry import register
from mixgraph.processors.usage import RandomSettings, Usage


@register
class Noisegate(OnePoleDynamics):
    """Turns down what is below the threshold (paper eq. 23), R = 1 + exp(log_ratio)."""

    name = "noisegate"
    letter = "n"
    type_id = 7
    truth_names = ("noisegate", "NoiseGate")
    usage = Usage(track_rate=0.2, subgroup_rate=0.05, on_subgroups=False)
    direction = -1

    def slope(self, log_ratio: Tensor) -> Tensor:
        return -torch.exp(log_ratio)  # -(R - 1)

    def engineer_settings(
        self, signal: Tensor, strength: float, draw: RandomSettings
    ) -> tuple[dict[str, Tensor], float]:
        """A threshold in the middle between the quiet and the loud parts, times 5 to 40 ms."""
        time_ms = draw.logarithmic(5, 40)
        levels = detected_levels_db(signal, time_ms, self.sample_rate)
        quiet, loud = float(levels.quantile(0.1)), float(levels.quantile(0.9))
        threshold = quiet + min(1.0, draw.uniform(0.45, 0.6) * strength) * (loud - quiet)
        ratio = 1 + draw.uniform(1, 3) * strength
        return engineer_units(threshold, ratio, draw.uniform(2, 8), time_ms), draw.full_weight()
