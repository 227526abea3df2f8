"""Section 3: the step captured as a CUDA graph, and compiled; how far either works, else the error."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from tools.gpu.context import Context, Unavailable
from tools.gpu.exactness import relative
from tools.gpu.steps import CONSOLES
from tools.gpu.timing import device_seconds, tf32, wall_seconds
from tools.gpu.workloads import Training, console_case, console_label, demo_case, make_training

_WARM_UP = 4
_TRACING_SECONDS, _COMPILING_SECONDS = 25.0, 35.0  # left of the section, below which neither is begun
STATE = ("exp_avg", "exp_avg_sq", "step")


def run(context: Context) -> None:
    with tf32(matrices=False, convolutions=False):
        for tracks, share in CONSOLES:
            label = console_label(tracks, share)
            with context.part(f"{label}: CUDA graph"):
                context.card_only()
                training, _ = make_training(console_case(tracks, share, context.quick), context.device)
                _captured(context, label, training)
                del training
        with context.part("match loss, compiled"):
            _match_loss(context)
        with context.part("demo: losses, traced"):
            _traced(context)
        with context.part("demo: losses, compiled"):
            _losses(context)


# CUDA graphs.


class CapturedStep:
    """A whole training step as a CUDA graph; clips are copied into the one that it was captured with.

    Args:
        training: whose optimizer is made anew, such that it counts its steps on the card.

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
    # The same steps from the same values, replayed and not.
    saved = _values(training)
    courses = []
    for step in (captured.step, training.step):
        for value, before in zip(_state(training), saved, strict=True):
            value.copy_(before)
        training.steps = 0
        courses.append([float(step()) for _ in range(4)])
    differences = [relative(a, b) for a, b in zip(*courses, strict=True)]
    context.bounded(f"{label}: losses of 4 steps as a CUDA graph, largest", max(differences), 0.02, details=courses)
    context.bounded(f"{label}: the first of them", differences[0], 1e-5)


@torch.no_grad()
def _values(training: Training) -> list[Tensor]:
    return [value.clone() for value in _state(training)]


def _state(training: Training) -> list[Tensor]:
    """All that a step changes, as it is held."""
    parameters = [p.detach() for p in training.module.parameters()]
    moments = [own[name] for own in training.optimizer.state.values() for name in STATE]
    return [*parameters, *moments]


# torch.compile.


def backend(context: Context) -> str:
    """Of torch.compile: on the CPU only what is traced matters, which takes no compiler."""
    return "inductor" if context.on_card else "eager"


def _demo(context: Context) -> Training:
    """The demo; where it is to be quick, what little is left of a console, which is soon traced."""
    case = replace(demo_case(True), tracks=1, share=0.1) if context.quick else demo_case(False)
    return make_training(case, context.device)[0]


def _match_loss(context: Context) -> None:
    """The match loss and its gradient by the prediction alone: the part that is most like other models."""
    training = _demo(context)
    match, warm_up = training.module.match, training.module.warm_up
    target = training.clips[0].targets[..., warm_up:]
    prediction = (0.5 * target).requires_grad_()

    def whole(given: Tensor, wanted: Tensor) -> Tensor:
        return match(given, wanted).full.sum()

    def call(loss: Callable[..., Tensor]) -> Tensor:
        prediction.grad = None
        found = loss(prediction, target)
        found.backward()
        return found.detach()

    context.time("match loss and gradient, plain", lambda: call(whole))
    expected = float(call(whole))
    torch._dynamo.reset()
    compiled = torch.compile(whole, backend=backend(context))
    context.add("match loss: seconds to compile", wall_seconds(lambda: call(compiled), context.device), "s")
    context.time("match loss and gradient, compiled", lambda: call(compiled))
    context.bounded("match loss, compiled", relative(float(call(compiled)), expected), 1e-4)


def _traced(context: Context) -> None:
    """How many pieces the tracer makes of the losses of a step, and why."""
    if context.quick:
        raise Unavailable("takes too long for a small run; what is compiled below is traced, too")
    if context.left < _TRACING_SECONDS:
        raise Unavailable("no time left")
    training = _demo(context)
    torch._dynamo.reset()
    found = torch._dynamo.explain(lambda clip: training.module.losses(clip)["loss"])(training.clips[0])
    reasons: dict[str, int] = {}
    for reason in found.break_reasons:
        place = reason.user_stack[-1] if reason.user_stack else None
        name = reason.reason.splitlines()[0][:160] + (f" ({place.name})" if place else "")
        reasons[name] = reasons.get(name, 0) + 1
    ranked = dict(sorted(reasons.items(), key=lambda item: -item[1])[:20])
    context.add("demo: graph breaks of the losses of a step", found.graph_break_count, "", details=ranked)


def _losses(context: Context) -> None:
    """The losses of a step, compiled; backward follows what was compiled."""
    if context.left < _COMPILING_SECONDS and not context.quick:
        raise Unavailable("no time left")
    training = _demo(context)
    clip = training.clips[0]
    expected = float(training.module.losses(clip)["loss"].detach())
    torch._dynamo.reset()
    losses = torch.compile(training.module.losses, backend=backend(context))
    found: list[float] = []
    seconds = wall_seconds(lambda: found.append(float(losses(clip)["loss"].detach())), context.device)
    context.add("demo: seconds to compile the losses of a step", seconds, "s")
    context.bounded("demo: loss of a step, compiled", relative(found[0], expected), 1e-4)

    def step() -> None:
        training.optimizer.zero_grad()
        losses(training.next_clip())["loss"].backward()
        training.optimizer.step()

    compiled = context.time("demo: step, losses compiled", step, repeats=10, warm_up=len(training.clips) + 1)
    plain = context.time("demo: step, plain", training.step, repeats=10)
    context.add("demo: compiled, faster than the plain step", plain / compiled, "x")
