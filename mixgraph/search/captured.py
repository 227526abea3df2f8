"""A training step on tensors that stay where they are, and the same as one CUDA graph.

On a GPU a step of small operations takes as long as launching them does. A CUDA graph launches all of them at once:
losses, gradients, the watch for NaN and the optimizer are recorded once and replayed in every step. So nothing in them
may wait for the host, have a shape that depends on values, or read a number of the host that changes from step to step:
the clip, the pressure of sparsity and the optimizer's rates are tensors that are written before the replay.

Tracks that are silent in a clip are rendered here like all others: which ones they are changes from clip to clip.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from mixgraph.graph import MixGraph
from mixgraph.processors import Processors
from mixgraph.search.finite import FiniteWatch
from mixgraph.search.optimizer import rates_as_tensors
from mixgraph.songs.training_clips import Clip

WARM_UP_STEPS = 3
"""Steps that are taken before the capture: they make plans of FFTs, constants and the optimizer's state."""

Losses = Callable[[Clip, Tensor], Mapping[str, Tensor]]


class StaticStep:
    """A training step whose inputs and results are tensors that stay where they are.

    Args:
        losses: computes the terms of the objective, `loss` among them, of a clip at a pressure of sparsity.
        optimizer: changes the parameters.
        watch: takes in losses and gradients before that; None for no watch.
        clip: a clip of the shapes of all that follow.
    """

    def __init__(self, losses: Losses, optimizer: Optimizer, watch: FiniteWatch | None, clip: Clip) -> None:
        self._losses, self._optimizer, self._watch = losses, optimizer, watch
        tensors: dict[str, Any] = {name: value.clone() for name, value in _tensors(clip).items()}
        self.clip = clip._replace(silent=(), **tensors)
        self.pressure = clip.targets.new_zeros(())

    def write(self, clip: Clip, pressure: float) -> None:
        """Copies what the next step reads to where it reads it.

        Raises:
            ValueError: the clip has other shapes, or other mono tracks, than the first one.
        """
        kept, new = _tensors(self.clip), _tensors(clip)
        shapes = [{name: value.shape for name, value in tensors.items()} for tensors in (kept, new)]
        if clip.mono != self.clip.mono or shapes[0] != shapes[1]:
            raise ValueError("clip: clips of a captured step have the shapes and the mono tracks of the first one")
        for name, value in kept.items():
            value.copy_(new[name])
        self.pressure.fill_(pressure)

    def run(self) -> dict[str, Tensor]:
        """Takes the step; returns the terms of its objective, detached."""
        self._optimizer.zero_grad(set_to_none=True)
        losses = self._losses(self.clip, self.pressure)
        losses["loss"].backward()
        terms = {name: value.detach() for name, value in losses.items()}
        if self._watch is not None:
            self._watch(terms["loss"])
        self._optimizer.step()
        return terms


def _tensors(clip: Clip) -> dict[str, Tensor]:
    return {name: value for name, value in clip._asdict().items() if isinstance(value, Tensor)}


class CapturedStep:
    """Training steps of one graph with one set of parameters: the first ones are taken, the others are replayed.

    Args:
        losses, optimizer, watch: see `StaticStep`. The optimizer's rates become tensors, see `rates_as_tensors`.
    """

    def __init__(self, losses: Losses, optimizer: Optimizer, watch: FiniteWatch | None) -> None:
        self._parts = losses, optimizer, watch
        rates_as_tensors(optimizer)
        self._static: StaticStep | None = None
        self._replay: Callable[[], Any] | None = None
        self._terms: dict[str, Tensor] = {}
        self._taken = 0

    def __call__(self, clip: Clip, pressure: float) -> dict[str, Tensor]:
        """Takes a step; returns the terms of its objective, which the next step overwrites.

        Raises:
            RuntimeError: a part of the step cannot be captured.
        """
        if self._static is None:
            self._static = StaticStep(*self._parts, clip)
        self._static.write(clip, pressure)
        if self._taken < WARM_UP_STEPS:
            self._taken += 1
            return run_aside(self._static.run)
        if self._replay is None:
            self._replay, self._terms = record(self._static.run)
        self._replay()
        return self._terms


def run_aside(step: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Takes a step on another stream, as a capture needs it of those before it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        terms = step()
    torch.cuda.current_stream().wait_stream(stream)
    return terms


def record(step: Callable[[], dict[str, Tensor]]) -> tuple[Callable[[], Any], dict[str, Tensor]]:
    """Captures a step without taking it; returns what replays it, and the tensors that then hold its results."""
    torch.cuda.synchronize()
    gc.collect()  # garbage that holds an old autograd graph would hold its streams, which must not be captured
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        terms = step()
    return graph.replay, terms


def check_capture(device: torch.device, graph: MixGraph, processors: Processors, renderer: str) -> None:
    """Refuses what cannot be captured.

    Raises:
        ValueError: another device than an NVIDIA GPU, the slow renderer, or a processor that waits for the host.
    """
    if device.type != "cuda":
        raise ValueError(
            f"model.rendering.capture: CUDA graphs need an NVIDIA GPU, and the search runs on {device.type}. "
            "HINT: leave it false, or choose the GPU (--trainer.accelerator gpu)"
        )
    if renderer != "fast":
        raise ValueError(f"model.rendering.capture: model.rendering.renderer must be fast, got {renderer}")
    waiting = sorted(t for t in graph.count() if t in processors and not processors[t].capturable)
    if waiting:
        raise ValueError(
            f"model.rendering.capture: a step with {', '.join(waiting)} waits for the host, so that it cannot be "
            "captured. HINT: a console without them, or leave it false"
        )
