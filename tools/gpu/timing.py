"""Seconds of work on a device, and the number formats of its matrix products."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch

from tools.bench.clock import synchronize


def device_seconds(call: Callable[[], Any], device: torch.device, repeats: int, warm_up: int) -> list[float]:
    """Returns the seconds of each of `repeats` calls in a row, after `warm_up` calls that are not timed.

    On a GPU they are measured by events without synchronising between calls, so the host may run ahead as in training.
    """
    for _ in range(warm_up):
        call()
    synchronize(device)
    if device.type != "cuda":
        return [_host_seconds(call) for _ in range(repeats)]
    events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    events[0].record()
    for event in events[1:]:
        call()
        event.record()
    synchronize(device)
    return [first.elapsed_time(second) / 1000 for first, second in pairwise(events)]


def wall_seconds(call: Callable[[], Any], device: torch.device) -> float:
    """Returns the seconds until a call has returned and the device has finished its work."""
    synchronize(device)
    started = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - started


def _host_seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


@contextmanager
def tf32(matrices: bool, convolutions: bool) -> Iterator[None]:
    """Allows or forbids matrix products and convolutions to round float32 inputs to 10 bits (TF32)."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if matrices else "highest")
    torch.backends.cudnn.allow_tf32 = convolutions
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
