"""Runs of linear steps as one pass over frequency.

Between two nonlinear processors everything is a product of spectra: nothing couples one frequency bin to another. So
a run of linear steps, sums included, is computed a few thousand bins at a time, all steps of the run while the bins
are in the processor's cache. Only what enters (spectra, responses, weights) is kept for the backward pass, which
computes each piece once more and differentiates it there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from mixgraph.processors.base import to_basis, to_left_right
from mixgraph.render.products import mid_energies, mix

StagedChannel = Literal["mid", "both"]
CACHE_BYTES = 1 << 22  # of the largest batch of a piece: found by trying, with 32 MiB of shared cache


@dataclass(frozen=True)
class LinearStep:
    """One step of a run: which signals are summed for each of its nodes, and what it does to them.

    Attributes:
        sources: for each node the signals that it sums, as indices: first what enters the run, then the nodes of its
            steps in order.
        channels: in which the response is diagonal; None where the step only sums.
        staged: its energies are measured.
    """

    sources: tuple[tuple[int, ...], ...]
    channels: str | None
    staged: bool


@dataclass(frozen=True)
class Program:
    """A run of linear steps.

    Attributes:
        steps: in order.
        exits: for each signal that leaves the run, the signals that it sums, as in `LinearStep.sources`.
        staged_channel: whose energies are measured.
        n_fft: length of the spectra.
    """

    steps: tuple[LinearStep, ...]
    exits: tuple[tuple[int, ...], ...]
    staged_channel: StagedChannel | None
    n_fft: int


@dataclass(frozen=True)
class RunResult:
    """What a run makes.

    Attributes:
        exits: (exits, clips, 2, bins).
        energies: of each staged step in order, dry and wet, (2, nodes, clips).
    """

    exits: Tensor
    energies: tuple[Tensor, ...]


def run(program: Program, entering: Tensor, responses: Sequence[Tensor], weights: Sequence[Tensor]) -> RunResult:
    """Computes a run of linear steps.

    Args:
        program: what to do.
        entering: spectra that enter, (signals, clips, 2, bins).
        responses: of each step that has one, in order, (nodes, 1 or 2, bins or 1).
        weights: dry/wet weights of each such step, (nodes,).
    """
    tensors = (entering, *responses, *weights)
    if entering.device.type != "cpu" or not torch.is_grad_enabled() or not any(t.requires_grad for t in tensors):
        exits, *energies = _pieces(program, tensors) if entering.device.type == "cpu" else _whole(program, tensors)
    else:
        exits, *energies = _Run.apply(program, *tensors)
    return RunResult(exits, tuple(energies))


def _whole(program: Program, tensors: Sequence[Tensor]) -> list[Tensor]:
    bins = tensors[0].shape[-1]
    return _piece(program, tensors, _count(slice(0, bins), bins, tensors[0]))


def _pieces(program: Program, tensors: Sequence[Tensor]) -> list[Tensor]:
    entering = tensors[0]
    bins = entering.shape[-1]
    exits = entering.new_empty(len(program.exits), *entering.shape[1:])
    energies: list[Tensor] = []
    for part in _slices(program, entering):
        found, *parts = _piece(program, _cut(tensors, part), _count(part, bins, entering))
        exits[..., part] = found
        energies = [total + e for total, e in zip(energies, parts, strict=True)] if energies else parts
    return [exits, *energies]


def _slices(program: Program, entering: Tensor) -> list[slice]:
    """Pieces of the frequency axis whose largest batch fits the cache."""
    rows = max([entering.shape[0], *(len(step.sources) for step in program.steps)]) * entering[0, ..., 0].numel()
    size = max(256, CACHE_BYTES // (rows * entering.element_size()))
    return [slice(start, start + size) for start in range(0, entering.shape[-1], size)]


def _cut(tensors: Sequence[Tensor], part: slice) -> list[Tensor]:
    bins = tensors[0].shape[-1]
    return [t[..., part] if t.dim() > 1 and t.shape[-1] == bins else t for t in tensors]


def _count(part: slice, bins: int, like: Tensor) -> Tensor:
    """Parseval: the bins between DC and the Nyquist frequency stand for two."""
    count = torch.full((min(part.stop, bins) - part.start,), 2.0, dtype=like.real.dtype, device=like.device)
    if part.start == 0:
        count[0] = 1
    if part.stop >= bins:
        count[-1] = 1
    return count


def _piece(program: Program, tensors: Sequence[Tensor], count: Tensor) -> list[Tensor]:
    """The run on some bins: the exits, then the energies of the staged steps."""
    entering, rest = tensors[0], list(tensors[1:])
    num_responses = len(rest) // 2
    responses, weights = iter(rest[:num_responses]), iter(rest[num_responses:])
    signals = _rows(entering)
    energies: list[Tensor] = []
    for step in program.steps:
        batch = _sum(signals, step.sources)
        if step.channels is not None:
            response, weight = next(responses), next(weights)
            if step.staged and program.staged_channel is not None:
                energies.append(_energies(program, step, batch, response, count))
            batch = to_left_right(mix(to_basis(batch, step.channels), response, weight), step.channels)
        signals += _rows(batch)
    return [_sum(signals, program.exits), *energies]


@dataclass(frozen=True)
class _Row:
    """One signal, and the batch that it is a row of."""

    batch: Tensor
    row: int
    signal: Tensor


def _rows(batch: Tensor) -> list[_Row]:
    return [_Row(batch, row, signal) for row, signal in enumerate(batch.unbind(0))]


def _sum(signals: Sequence[_Row], groups: Sequence[Sequence[int]]) -> Tensor:
    chosen = [signals[group[0]] for group in groups]
    batch = chosen[0].batch
    whole = [r.row for r in chosen] == list(range(batch.shape[0])) and all(r.batch is batch for r in chosen)
    if whole and all(len(group) == 1 for group in groups):
        return batch
    return torch.stack([reduce(torch.add, [signals[i].signal for i in group]) for group in groups])


def _energies(program: Program, step: LinearStep, batch: Tensor, response: Tensor, count: Tensor) -> Tensor:
    if program.staged_channel == "mid" and step.channels == "left_right":
        return mid_energies(batch, response, count) / program.n_fft
    assert step.channels is not None
    wet = to_left_right(to_basis(batch, step.channels) * response.unsqueeze(1), step.channels)
    if program.staged_channel == "mid":
        batch, wet = (x.sum(dim=-2, keepdim=True) for x in (batch, wet))
    power = [(x.real.square() + x.imag.square()).sum(dim=-2) @ count for x in (batch, wet)]
    return torch.stack(power) / program.n_fft


class _Run(Function):
    @staticmethod
    def forward(ctx: Any, program: Program, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.program = program
        ctx.save_for_backward(*tensors)
        return tuple(_pieces(program, tensors))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        program, tensors = ctx.program, ctx.saved_tensors
        needed = [i for i, wanted in enumerate(ctx.needs_input_grad[1:]) if wanted]
        bins = tensors[0].shape[-1]
        # What spans the bins is written piece by piece; what all bins share (weights, constant gains) is summed.
        found = {
            i: torch.empty_like(tensors[i]) if _spans(tensors[i], bins) else torch.zeros_like(tensors[i])
            for i in needed
        }
        for part in _slices(program, tensors[0]):
            cut = [t.detach() for t in _cut(tensors, part)]
            for i in needed:
                cut[i].requires_grad_()
            with torch.enable_grad():
                outputs = _piece(program, cut, _count(part, bins, tensors[0]))
            arriving = [grads[0][..., part], *grads[1:]]
            pieces = torch.autograd.grad(outputs, [cut[i] for i in needed], arriving, allow_unused=True)
            for i, piece in zip(needed, pieces, strict=True):
                if _spans(tensors[i], bins):
                    found[i][..., part] = 0 if piece is None else piece
                elif piece is not None:
                    found[i] += piece
        return (None, *(found.get(i) for i in range(len(tensors))))


def _spans(tensor: Tensor, bins: int) -> bool:
    return tensor.dim() > 1 and tensor.shape[-1] == bins
