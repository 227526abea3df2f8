"""Section 4: captures the whole training step as a CUDA graph, or reports the error.

The section runs in a separate process: a capture that fails can leave the allocator, or the whole context, unusable.
"""

from __future__ import annotations

import gc
import statistics
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tools.gpu.context import Context
from tools.gpu.timing import device_seconds, tf32, wall_seconds

if TYPE_CHECKING:
    from tools.gpu.workloads import Training

_WARM_UP = 4
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


class CapturedStep:
    """A whole training step as a CUDA graph; clips are copied into the one that it was captured with.

    Args:
        training: the training to capture; its optimizer is replaced by one that counts its steps on the GPU.

    Raises:
        RuntimeError: a part of the step cannot be captured.
    """

    def __init__(self, training: Training) -> None:
        self.training = training
        first = training.clips[0]
        self.clip = first._replace(
            sources=first.sources.clone(),
            targets=first.targets.clone(),
            starts=None if first.starts is None else first.starts.clone(),
        )
        for group in training.optimizer.param_groups:
            group["capturable"] = True
        training.optimizer.state.clear()
        # Warm-up on another stream, as a capture needs it: plans of FFTs, handles, the optimizer's state.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                training.optimizer.zero_grad(set_to_none=True)
                self._body()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        gc.collect()  # garbage that holds an old autograd graph would hold its streams, which must not be captured
        self.graph = torch.cuda.CUDAGraph()
        training.optimizer.zero_grad(set_to_none=True)  # gradients live in the graph's own memory
        with torch.cuda.graph(self.graph):
            self.loss = self._body()

    def _body(self) -> Tensor:
        loss = self.training.module.losses(self.clip)["loss"]
        loss.backward()
        self.training.optimizer.step()
        return loss.detach()

    def step(self) -> Tensor:
        """One step; returns its loss, which the next step overwrites."""
        clip = self.training.next_clip()
        self.clip.sources.copy_(clip.sources)
        self.clip.targets.copy_(clip.targets)
        if self.clip.starts is not None and clip.starts is not None:
            self.clip.starts.copy_(clip.starts)
        self.graph.replay()
        return self.loss


def _captured(context: Context, label: str, training: Training) -> None:
    plain = statistics.median(device_seconds(training.step, context.device, 20, 4))
    kept: list[CapturedStep] = []
    seconds = wall_seconds(lambda: kept.append(CapturedStep(training)), context.device)
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
