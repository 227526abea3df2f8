"""Section 5: compiles the match loss, then all losses of a step, and reports times or the error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from tools.gpu.context import Context, Unavailable
from tools.gpu.exactness import relative
from tools.gpu.timing import tf32, wall_seconds
from tools.gpu.workloads import Training, demo_case, make_training

_TRACING_SECONDS, _COMPILING_SECONDS = 25.0, 35.0  # tracing and compiling only start if so much time is left


def run(context: Context) -> None:
    with tf32(matrices=False, convolutions=False):
        with context.part("match loss, compiled"):
            _match_loss(context)
        with context.part("demo: losses, traced"):
            _traced(context)
        with context.part("demo: losses, compiled"):
            _losses(context)


def backend(context: Context) -> str:
    """Returns the backend of torch.compile; on the CPU one that only traces, which needs no compiler."""
    return "inductor" if context.on_card else "eager"


def _demo(context: Context) -> Training:
    """Makes the training of the demo song; in a quick run, of a small pruned console, which is traced fast."""
    case = replace(demo_case(True), tracks=1, share=0.1) if context.quick else demo_case(False)
    return make_training(case, context.device)[0]


def _match_loss(context: Context) -> None:
    """Measures the compiled match loss with its gradient by the prediction, without rendering."""
    training = _demo(context)
    match, warm_up = training.module.match, training.module.warm_up
    target = training.clips[0].targets[..., warm_up:]
    prediction = (0.5 * target).requires_grad_()

    def whole(prediction: Tensor, target: Tensor) -> Tensor:
        return match(prediction, target).full.sum()

    def call(loss: Callable[..., Tensor]) -> Tensor:
        prediction.grad = None
        value = loss(prediction, target)
        value.backward()
        return value.detach()

    context.time("match loss and gradient, plain", lambda: call(whole))
    expected = float(call(whole))
    torch._dynamo.reset()
    compiled = torch.compile(whole, backend=backend(context))
    context.add("match loss: seconds to compile", wall_seconds(lambda: call(compiled), context.device), "s")
    context.time("match loss and gradient, compiled", lambda: call(compiled))
    context.bounded("match loss, compiled", relative(float(call(compiled)), expected), 1e-4)


def _traced(context: Context) -> None:
    """Counts the graph breaks in the losses of a step, and reports their reasons."""
    if context.quick:
        raise Unavailable("takes too long for a small run; what is compiled below is traced, too")
    if context.left < _TRACING_SECONDS:
        raise Unavailable("no time left")
    training = _demo(context)
    torch._dynamo.reset()
    explanation = torch._dynamo.explain(lambda clip: training.module.losses(clip)["loss"])(training.clips[0])
    reasons: dict[str, int] = {}
    for reason in explanation.break_reasons:
        place = reason.user_stack[-1] if reason.user_stack else None
        name = reason.reason.splitlines()[0][:160] + (f" ({place.name})" if place else "")
        reasons[name] = reasons.get(name, 0) + 1
    ranked = dict(sorted(reasons.items(), key=lambda item: -item[1])[:20])
    context.add("demo: graph breaks of the losses of a step", explanation.graph_break_count, "", details=ranked)


def _losses(context: Context) -> None:
    """Measures the compiled losses of a step with their backward pass."""
    if context.left < _COMPILING_SECONDS and not context.quick:
        raise Unavailable("no time left")
    training = _demo(context)
    clip = training.clips[0]
    expected = float(training.module.losses(clip)["loss"].detach())
    torch._dynamo.reset()
    losses = torch.compile(training.module.losses, backend=backend(context))
    values: list[float] = []
    seconds = wall_seconds(lambda: values.append(float(losses(clip)["loss"].detach())), context.device)
    context.add("demo: seconds to compile the losses of a step", seconds, "s")
    context.bounded("demo: loss of a step, compiled", relative(values[0], expected), 1e-4)

    def step() -> None:
        training.optimizer.zero_grad()
        losses(training.next_clip())["loss"].backward()
        training.optimizer.step()

    compiled = context.time("demo: step, losses compiled", step, repeats=10, warm_up=len(training.clips) + 1)
    plain = context.time("demo: step, plain", training.step, repeats=10)
    context.add("demo: compiled, faster than the plain step", plain / compiled, "x")
