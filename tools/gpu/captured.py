"""Section 4: captures the whole training step as a CUDA graph, or reports the error.

The section runs in a separate process: a capture that fails can leave the allocator, or the whole context, unusable.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mixgraph.search.captured import WARM_UP_STEPS, CapturedStep
from mixgraph.search.finite import FiniteWatch
from tools.gpu.context import Context
from tools.gpu.timing import device_seconds, tf32, wall_seconds

if TYPE_CHECKING:
    from tools.gpu.workloads import Training

STATE = ("exp_avg", "exp_avg_sq", "step")


def run(context: Context) -> None:
    context.card_only()
    from tools.gpu.steps import CONSOLES
    from tools.gpu.workloads import console_case, console_label, make_training

    with tf32(matrices=False, convolutions=False):
        for tracks, share in CONSOLES:
            label = console_label(tracks, share)
            with context.part(f"{label}: CUDA graph"):
                training, _ = make_training(console_case(tracks, share, context.quick), context.device)
                _captured(context, label, training)
                del training


class Captured:
    """The steps of a training as a search takes them with `model.rendering.capture`.

    Raises:
        RuntimeError: a part of the step cannot be captured.
    """

    def __init__(self, training: Training) -> None:
        module, self.training = training.module, training
        self.pressure = module.sparsity_pressure
        self.steps = CapturedStep(module.losses, training.optimizer, FiniteWatch(module.parameters()))
        for _ in range(WARM_UP_STEPS + 1):  # the last one is captured
            self.step()

    def step(self) -> Tensor:
        """Takes one step; returns its loss, which the next step overwrites."""
        return self.steps(self.training.next_clip(), self.pressure)["loss"]


def _captured(context: Context, label: str, training: Training) -> None:
    plain = statistics.median(device_seconds(training.step, context.device, 20, 4))
    kept: list[Captured] = []
    seconds = wall_seconds(lambda: kept.append(Captured(training)), context.device)
    captured = kept[0]
    replayed = context.time(f"{label}: step as a CUDA graph", captured.step, repeats=20)
    context.add(f"{label}: faster than the plain step", plain / replayed, "x", details={"capture_seconds": seconds})
    # Runs the same steps from the same values, replayed and eager.
    saved = _values(training)
    courses = []
    for step in (captured.step, training.step):
        for value, before in zip(_state(training), saved, strict=True):
            value.copy_(before)
        training.steps = 0
        courses.append([float(step()) for _ in range(4)])
    from tools.gpu.exactness import relative

    differences = [relative(a, b) for a, b in zip(*courses, strict=True)]
    context.bounded(f"{label}: losses of 4 steps as a CUDA graph, largest", max(differences), 0.02, details=courses)
    context.bounded(f"{label}: the first of them", differences[0], 1e-5)


@torch.no_grad()
def _values(training: Training) -> list[Tensor]:
    return [value.clone() for value in _state(training)]


def _state(training: Training) -> list[Tensor]:
    """Returns all tensors that a step changes, without copying them."""
    parameters = [p.detach() for p in training.module.parameters()]
    moments = [state[name] for state in training.optimizer.state.values() for name in STATE]
    return [*parameters, *moments]
