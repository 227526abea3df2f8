"""Section 2: measures the time of a training step and of its phases and kernels."""

from __future__ import annotations

import statistics

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from tools.gpu.context import Context, Unavailable
from tools.gpu.exactness import gradients, largest, relative
from tools.gpu.timing import device_seconds, tf32, wall_seconds
from tools.gpu.workloads import Training, console_case, console_label, demo_case, make_training

CONSOLES = ((24, 1.0), (24, 0.3), (8, 1.0), (8, 0.3))  # tracks, and the share of the processors that is left
_NOT_KERNELS = ("memcpy", "memset", "gpu_user_annotation", "[memory]")
_LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel")
_TOP = 12


def run(context: Context) -> None:
    for tracks, share in CONSOLES[1:2] if context.quick else CONSOLES:
        label = console_label(tracks, share)
        with context.part(label):
            training, _ = make_training(console_case(tracks, share, context.quick), context.device)
            context.add(f"{label}: processors", len(training.module.graph.processors), "")
            measure(context, label, training)
            del training
    with context.part("demo"):
        training, _ = make_training(demo_case(context.quick), context.device)
        with tf32(matrices=False, convolutions=False):
            context.time("demo: step", training.step)


def measure(context: Context, label: str, training: Training) -> None:
    with tf32(matrices=False, convolutions=False):
        seconds = context.time(f"{label}: step, float32", training.step, repeats=20)
        with context.part(f"{label}: phases"):
            _phases(context, label, training)
        with context.part(f"{label}: peak memory"):
            _memory(context, label, training)
        with context.part(f"{label}: kernels"):
            _kernels(context, label, training, seconds)
        with context.part(f"{label}: fused AdamW"):
            _fused(context, label, training)
    with context.part(f"{label}: TF32"):
        _tf32(context, label, training)


def _phases(context: Context, label: str, training: Training) -> None:
    """Measures the wall time of each phase with a synchronisation after it; the sum is longer than a step."""
    samples: dict[str, list[float]] = {}
    for _ in range(3 if context.quick else 8):
        for phase, call in training.phases().items():
            samples.setdefault(phase, []).append(wall_seconds(call, context.device))
    for phase, seconds in samples.items():
        context.add_times(f"{label}: {phase}, alone", seconds[1:])


def _memory(context: Context, label: str, training: Training) -> None:
    context.card_only()
    torch.cuda.reset_peak_memory_stats(context.device)
    before = torch.cuda.memory_allocated(context.device)
    for _ in range(2):
        training.step()
    torch.cuda.synchronize(context.device)
    peak = torch.cuda.max_memory_allocated(context.device)
    details = {"before": before, "reserved": torch.cuda.max_memory_reserved(context.device)}
    context.add(f"{label}: peak memory of a step", peak / 2**20, "MiB", details=details)


def _kernels(context: Context, label: str, training: Training, step_seconds: float) -> None:
    """Counts the kernels of a step, and measures the share of a step in which the GPU is busy."""
    context.card_only()
    steps = 2
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        for _ in range(steps):
            training.step()
        torch.cuda.synchronize(context.device)
    launches = 0
    kernels: dict[str, list[float]] = {}
    for event in profiler.events() or ():
        if event.device_type == DeviceType.CPU:
            launches += event.name.startswith(_LAUNCHES)
        elif not event.is_user_annotation and not event.name.lower().startswith(_NOT_KERNELS):
            kernels.setdefault(event.name, []).append(event.time_range.elapsed_us())
    count, busy = sum(map(len, kernels.values())), sum(map(sum, kernels.values())) / 1e6 / steps
    if not count:
        raise Unavailable(f"the profiler saw no kernels ({launches} launches)")
    ranked = sorted(kernels.items(), key=lambda item: -sum(item[1]))[:_TOP]
    details = [{"name": n[:160], "count": len(us) / steps, "us": sum(us) / steps} for n, us in ranked]
    context.add(f"{label}: kernels of a step", count / steps, "", details={"longest": details})
    context.add(f"{label}: kernel launches of a step", launches / steps, "")
    context.add(f"{label}: time of the kernels of a step", 1000 * busy, "ms")
    context.add(f"{label}: share of a step in which kernels run", busy / step_seconds, "")


def _fused(context: Context, label: str, training: Training) -> None:
    """Measures steps with fused AdamW (one kernel for each parameter group), if the device supports it."""
    optimizer = torch.optim.AdamW([p for p in training.module.parameters() if p.requires_grad], lr=0.0, fused=True)
    for parameter in training.module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    samples = device_seconds(optimizer.step, context.device, 2 if context.quick else 10, 2)
    plain = device_seconds(training.optimizer.step, context.device, 2 if context.quick else 10, 2)
    context.add_times(f"{label}: AdamW, fused", samples)
    context.add_times(f"{label}: AdamW as a search has it", plain)
    training.optimizer.zero_grad()


def _tf32(context: Context, label: str, training: Training) -> None:
    """Measures steps with matrix products (envelopes, mel bands, taps) and convolutions in TF32, and their errors."""
    context.card_only()
    clip = training.clips[0]
    with tf32(matrices=False, convolutions=False):
        expected_terms, expected_gradients = gradients(training.module, clip)
    for name, matrices in (("convolutions", False), ("matrices and convolutions", True)):
        with tf32(matrices=matrices, convolutions=True):
            terms, gradients_now = gradients(training.module, clip)
            samples = device_seconds(training.step, context.device, 20, 3)
        context.add_times(f"{label}: step, TF32 for {name}", samples)
        context.add(f"{label}: loss with it", relative(terms["loss"], expected_terms["loss"]), "relative")
        worst, errors = largest(gradients_now, expected_gradients)
        middle = statistics.median(errors.values())
        context.add(
            f"{label}: gradients with it, largest", worst, "relative", details={"median": middle, "each": errors}
        )
        with tf32(matrices=False, convolutions=False):  # the steps moved the values
            expected_terms, expected_gradients = gradients(training.module, clip)
