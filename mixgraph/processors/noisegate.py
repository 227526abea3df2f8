"""Noisegate: a downward expander (paper B.6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from mixgraph.processors.dynamics import PUBLISHED_TAPS, OnePoleDynamics, detected_levels_db, engineer_units
from mixgraph.processors.parameter import Parameter, chosen
from mixgraph.processors.registry import register
from mixgraph.processors.usage import RandomSettings, Usage


@register
class Noisegate(OnePoleDynamics):
    """Turns down what is below the threshold (paper eq. 23).

    Args:
        sample_rate: sample rate of the audio, in Hz.
        detector: `"energy"` or `"mid"`, see `DynamicRangeProcessor`.
        envelope: `"exact"` or `"truncated"`, see `OnePoleDynamics`.
        gain: `"amplitude"` or `"energy"`, see `DynamicRangeProcessor`.
        start_ms: the time constant that a search starts from, see `OnePoleDynamics`.
        truncated_taps: samples after which the envelope `"truncated"` is cut.
        ratio: `"above_one"`: R = 1 + exp(log_ratio), a gate. `"positive"`: R = exp(log_ratio), as eq. 23 allows: 1, at
            which a search starts, does nothing, and below it what is below the threshold is turned up.
    """

    name = "noisegate"
    letter = "n"
    type_id = 7
    truth_names = ("noisegate", "NoiseGate")
    usage = Usage(track_rate=0.2, subgroup_rate=0.05, on_subgroups=False)
    direction = -1

    def __init__(
        self,
        sample_rate: int = 30000,
        detector: Literal["energy", "mid"] = "energy",
        envelope: Literal["exact", "truncated"] = "exact",
        gain: Literal["amplitude", "energy"] = "amplitude",
        start_ms: float | None = 20.0,
        truncated_taps: int = PUBLISHED_TAPS,
        ratio: Literal["above_one", "positive"] = "above_one",
    ) -> None:
        super().__init__(sample_rate, detector, envelope, gain, start_ms, truncated_taps)
        self.any_ratio = chosen("ratio", ratio, ("above_one", "positive")) == "positive"

    @property
    def specification(self) -> dict[str, Parameter]:
        declared = super().specification
        if not self.any_ratio:
            return declared
        ratio = replace(declared["log_ratio"], low=0.05, to_unit=torch.exp, from_unit=torch.log)
        return declared | {"log_ratio": ratio}

    def slope(self, log_ratio: Tensor) -> Tensor:
        return -torch.expm1(log_ratio) if self.any_ratio else -torch.exp(log_ratio)  # -(R - 1)

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
