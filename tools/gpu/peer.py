"""Section 8: measures the training step of the peer (our harness over `grafx`), if `grafx` is installed."""

from __future__ import annotations

import importlib.util
import statistics
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import torch

from tools.gpu.context import Context, Unavailable
from tools.gpu.timing import device_seconds, tf32

if TYPE_CHECKING:
    from tools.bench.cases import Case


def run(context: Context) -> None:
    if importlib.util.find_spec("grafx") is None:
        raise Unavailable("grafx is not installed (python -m tools.benchmark --help says how)")
    from tools.bench.cases import Case
    from tools.gpu.steps import CONSOLES
    from tools.gpu.workloads import console_label

    for tracks, share in CONSOLES[3:] if context.quick else reversed(CONSOLES):
        label = console_label(tracks, share)
        with context.part(label):
            _step(context, label, Case(tracks=2 if context.quick else tracks, seconds=10.0, share=share))


def _step(context: Context, label: str, case: Case) -> None:
    from tools.bench.peer_side import PeerSide
    from tools.gpu.workloads import make_training

    side = PeerSide(case)
    side.console.to(context.device)
    side.console.render_data = to_device(side.console.render_data, context.device)
    side.loss.to(context.device)
    clips = [tuple(part.to(context.device) for part in side.clip(step)) for step in range(2)]
    side.trainer.replace(side.console)

    def step() -> None:
        side.trainer.step(*clips[side.trainer.steps % len(clips)])

    with tf32(matrices=False, convolutions=False):
        theirs = device_seconds(step, context.device, 2 if context.quick else 5, 2)
        context.add_times(f"{label}: step of the peer", theirs)
        training, _ = make_training(case, context.device)
        ours = device_seconds(training.step, context.device, 2 if context.quick else 10, 4)
    speed = statistics.median(theirs) / statistics.median(ours)
    context.add(f"{label}: ours against it", speed, "x")


def to_device(value: Any, device: torch.device) -> Any:
    """Moves all tensors in a value to a device, and returns the value; dataclasses are changed in place."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, list | tuple):
        return type(value)(to_device(item, device) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        for part in fields(value):
            setattr(value, part.name, to_device(getattr(value, part.name), device))
    return value
