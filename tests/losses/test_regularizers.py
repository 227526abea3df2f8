"""Gain staging and sparsity."""

import math

import pytest
import torch

from mixgraph.losses import gain_staging, sparsity, sparsity_ramp
from mixgraph.render import StagedEnergy


def test_gain_staging_sums_log_ratios_of_norms_over_nodes() -> None:
    dry = torch.tensor([[4.0], [9.0]]) * 1e3
    wet = dry * torch.tensor([[4.0], [0.25]])  # gains of 2 and 0.5
    delay = torch.stack((dry[:1], dry[:1] * math.e**2))
    energies = [StagedEnergy("equalizer", (3, 4), torch.stack((dry, wet))), StagedEnergy("delay", (5,), delay)]
    loss = gain_staging(energies, 1000, ["equalizer", "delay"])
    assert loss.item() == pytest.approx(2 * math.log(2) + 1, rel=1e-6)
    assert gain_staging(energies, 1000, ["delay"]).item() == pytest.approx(1, rel=1e-6)
    assert gain_staging(energies, 1000, []).item() == 0


def test_gain_staging_averages_clips_and_leaves_silence_alone() -> None:
    dry = torch.tensor([[1e3, 1e3, 0.0]])
    wet = torch.tensor([[1e3, math.e**4 * 1e3, 0.0]], requires_grad=True)
    loss = gain_staging([StagedEnergy("reverb", (1,), torch.stack((dry, wet)))], 1000, ["reverb"])
    assert loss.item() == pytest.approx(2 / 3, rel=1e-6)
    loss.backward()
    assert wet.grad is not None
    assert torch.isfinite(wet.grad).all()


def test_sparsity_is_the_l1_norm() -> None:
    weights = torch.tensor([0.2, 0.5, 0.9], requires_grad=True)
    loss = sparsity(weights)
    assert loss.item() == pytest.approx(1.6)
    loss.backward()
    assert weights.grad is not None
    assert weights.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("step", "ramp", "expected"), [(0, 2000, 0), (500, 2000, 0.25), (2000, 2000, 1), (9000, 2000, 1), (0, 0, 1)]
)
def test_ramp_is_linear_and_ends_at_one(step: int, ramp: int, expected: float) -> None:
    assert sparsity_ramp(step, ramp) == expected
