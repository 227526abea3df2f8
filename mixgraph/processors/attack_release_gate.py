"""Noisegate with separate attack and release."""

from __future__ import annotations

import torch
from torch import Tensor

from mixgraph.processors.dynamics import AttackReleaseDynamics
from mixgraph.processors.registry import register


@register
class AttackReleaseGate(AttackReleaseDynamics):
    """Turns down what is below the threshold, with an attack and a release; an option beside the paper's (B.6)."""

    name = "attack_release_gate"
    letter = "q"
    type_id = 11
    paper_type = "noisegate"
    direction = -1

    def slope(self, log_ratio: Tensor) -> Tensor:
        return -torch.exp(log_ratio)  # -(R - 1)
