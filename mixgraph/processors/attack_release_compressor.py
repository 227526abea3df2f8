"""Compressor with separate attack and release, and make-up gain."""

from __future__ import annotations

import torch
from torch import Tensor

from mixgraph.processors.dynamics import AttackReleaseDynamics
from mixgraph.processors.parameter import Parameter, Parameters, decibels
from mixgraph.processors.registry import register


@register
class AttackReleaseCompressor(AttackReleaseDynamics):
    """Turns down what is above the threshold, as engineers' compressors do; an option beside the paper's (B.5)."""

    name = "attack_release_compressor"
    letter = "k"
    type_id = 10
    paper_type = "compressor"
    direction = 1

    @property
    def specification(self) -> dict[str, Parameter]:
        makeup = {"log_makeup": decibels((1,), -24, 24, "make-up gain")}
        return dict(sorted((super().specification | makeup).items()))

    def slope(self, log_ratio: Tensor) -> Tensor:
        return -torch.sigmoid(log_ratio)  # 1 / R - 1

    def gain(self, signal: Tensor, parameters: Parameters, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        gain, state = super().gain(signal, parameters, state)
        return gain * torch.exp(parameters["log_makeup"]), state
