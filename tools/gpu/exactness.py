"""Measures differences of values on two devices."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mixgraph.search.module import ConsoleModule
from mixgraph.songs.training_clips import Clip
from tools.gpu.workloads import Training, move_clip

UNIT_GRADIENTS = "delay_z"  # its gradients are normalised to modulus 1: tiny gradients have an arbitrary direction


def relative(value: float, expected: float) -> float:
    """Returns the difference relative to the expected value; 0 if both are zero."""
    return 0.0 if value == expected else abs(value - expected) / max(abs(expected), 1e-12)


def relative_norm(value: Tensor, expected: Tensor) -> float:
    """Returns the norm of the difference over the norm of the expected tensor, in float64 on the CPU."""
    actual, exact = value.detach().double().cpu(), expected.detach().double().cpu()
    difference = float((actual - exact).norm())
    return 0.0 if difference == 0 else difference / max(float(exact.norm()), 1e-30)


def gradients(module: ConsoleModule, clip: Clip) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Returns all terms of the objective, and the gradients of their sum by parameter."""
    module.zero_grad()
    terms = module.losses(clip)
    terms["loss"].backward()
    gradients_by_name = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    module.zero_grad()
    return {name: float(value.detach()) for name, value in terms.items()}, gradients_by_name


def linear_gradients(module: ConsoleModule, clip: Clip) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the mix, and gradients of a fixed linear functional of it, where rounding cannot flip a loss's sign."""
    module.zero_grad()
    mix = module._render_clip(clip, module.parameters_by_type(), module.weights, None).mix
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(mix.shape, generator=generator, dtype=torch.float64).to(mix)
    (mix * direction).sum().backward()
    gradients_by_name = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    module.zero_grad()
    return mix.detach(), gradients_by_name


def largest(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[float, dict[str, float]]:
    """Returns the largest relative difference except for delays' positions, and the difference of each parameter."""
    if actual.keys() != expected.keys():
        raise ValueError(f"gradients: of {', '.join(sorted(expected))} expected, got {', '.join(sorted(actual))}")
    differences = {name: relative_norm(actual[name], expected[name]) for name in expected}
    bounded = [difference for name, difference in differences.items() if UNIT_GRADIENTS not in name]
    return max(bounded), differences


def in_double(training: Training) -> tuple[ConsoleModule, Clip]:
    """Returns the module and its first clip in float64; the module is changed in place."""
    module = training.module.double()
    if module.loudest is not None:
        module.loudest = module.loudest.double()
    return module, move_clip(training.clips[0], dtype=torch.float64)
