"""Codes a processor's parameters as a short vector that a network can predict, and decodes it.

Curves over frequency (an equalizer's 1024 log magnitudes, a reverb's levels and decays) are coded as the values of a
piecewise linear curve at a few knots, dense where hearing is; the code is the least-squares fit. What has no effect is
taken out first: the common level of a reverb or of a delay's taps, which are normalised to unit energy
(`Parameter.common_level`). Curves over the song are coded as their mean: a network sees a stretch of it.

The delays of a multitap delay are angles in their segments of 100 ms, all positions being about as likely as others:
the mean of possible delays is none of them. Such parameters (`Parameter.positions`) are therefore not regressed: a
code holds them as turns from 0 to 1, a network predicts a distribution over `POSITION_BINS` equal parts of a turn, and
its most probable part is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from mixgraph.processors import Processor, Processors

POSITION_BINS = 16
_WARP_HZ = 100.0  # curves are about linear in frequency below, logarithmic above
_KNOTS = ((200, 28), (64, 6), (16, 3))  # a curve of at least so many points: so many knots


class ParameterCode(nn.Module):
    """Codes the parameters of one processor type as `size` linear numbers, then `num_positions` turns.

    Args:
        processor: declares the names and shapes of the parameters.
    """

    def __init__(self, processor: Processor) -> None:
        super().__init__()
        self.processor_name = processor.name
        declared = processor.specification
        self.shapes = {name: parameter.shape for name, parameter in declared.items()}
        self.positions = _only(processor.name, "positions", [n for n, p in declared.items() if p.positions])
        self.levels = _only(processor.name, "common_level", [n for n, p in declared.items() if p.common_level])
        self.common_level = declared[self.levels].common_level if self.levels else ""
        self.widths: dict[str, int] = {}
        for name, shape in self.shapes.items():
            if name == self.positions:
                continue
            knots = 1 if processor.timed else next((k for points, k in _KNOTS if shape[-1] >= points), None)
            if knots is not None:
                constant = torch.ones(shape[-1], 1, dtype=torch.float64)
                curve = constant if processor.timed else _hats(shape[-1], knots, processor.sample_rate / 2)
                gram = curve.T @ curve
                fit = torch.linalg.solve(gram + 1e-6 * gram.diagonal().mean() * torch.eye(knots).double(), curve.T)
                self.register_buffer(f"curve_{name}", curve.float(), persistent=False)
                self.register_buffer(f"fit_{name}", fit.float(), persistent=False)
            self.widths[name] = math.prod(shape[:-1]) * (knots or shape[-1])
        self.size = sum(self.widths.values())
        self.num_positions = self.shapes[self.positions][0] if self.positions else 0

    def encode(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Codes parameters, name -> (nodes, *shape) in trained coordinates, as (nodes, size + num_positions)."""
        parts = []
        for name in self.widths:
            value = parameters[name]
            if f"fit_{name}" in self._buffers:
                value = value @ self.get_buffer(f"fit_{name}").T
            if name == self.levels:
                value = value - self._common_level(self._curve(name, value))
            parts.append(value.flatten(1))
        if self.positions:
            real, imaginary = parameters[self.positions].unbind(-1)
            parts.append(torch.remainder(-torch.atan2(imaginary, real) / (2 * math.pi), 1.0))
        return torch.cat(parts, dim=1)

    def decode(self, code: Tensor) -> dict[str, Tensor]:
        """Inverts `encode`, up to what a code leaves out; differentiable in the linear numbers."""
        values = {}
        parts = code[:, : self.size].split(list(self.widths.values()), dim=1)
        for (name, _), part in zip(self.widths.items(), parts, strict=True):
            shape = self.shapes[name]
            value = part.reshape(code.shape[0], *shape[:-1], -1)
            values[name] = self._curve(name, value)
        if self.positions:
            angle = -2 * math.pi * code[:, self.size :]
            values[self.positions] = torch.stack((torch.cos(angle), torch.sin(angle)), dim=-1)
        return {name: values[name] for name in self.shapes}

    def position_weights(self, code: Tensor) -> Tensor:
        """How much each position matters: its share of a node's energy times their number, (nodes, positions).

        All positions have the same weight where the processor declares no levels of the positions.
        """
        if self.common_level != "energy":
            return code.new_ones(code.shape[0], self.num_positions)
        parts = dict(zip(self.widths, code[:, : self.size].split(list(self.widths.values()), dim=1), strict=True))
        levels = parts[self.levels].unflatten(1, (self.num_positions, -1)).mean(dim=-1)
        return torch.softmax(2 * levels, dim=1) * self.num_positions

    def _curve(self, name: str, value: Tensor) -> Tensor:
        """From values at knots to all points, of parameters that have knots."""
        return value @ self.get_buffer(f"curve_{name}").T if f"curve_{name}" in self._buffers else value

    def _common_level(self, value: Tensor) -> Tensor:
        if self.common_level == "mean":
            return value.mean(dim=(-2, -1), keepdim=True)
        return (torch.logsumexp(2 * value, dim=(-2, -1), keepdim=True) - math.log(2 * value.shape[-1])) / 2


def _only(processor: str, role: str, names: list[str]) -> str:
    """Returns the only name in a list, or `""` if it is empty."""
    if len(names) > 1:
        raise ValueError(f"processor {processor!r}: {role}: at most one parameter is allowed, got {', '.join(names)}")
    return names[0] if names else ""


def make_codes(processors: Processors, types: Iterable[str] | None = None) -> dict[str, ParameterCode]:
    """Makes the code of each processor type; of all types, or of those in `types`."""
    return {name: ParameterCode(processors[name]) for name in (processors if types is None else types)}


def position_bins(turns: Tensor) -> Tensor:
    """The bin of a turn that a position lies in, 0 to POSITION_BINS - 1."""
    return (turns * POSITION_BINS).long().clamp(0, POSITION_BINS - 1)


def likely_position(logits: Tensor) -> Tensor:
    """(..., POSITION_BINS) to turns in [0, 1): the most probable part, moved towards its more probable neighbour."""
    probability = torch.softmax(logits, dim=-1)
    best = probability.argmax(dim=-1, keepdim=True)
    around = torch.cat([probability.gather(-1, torch.remainder(best + i, POSITION_BINS)) for i in (-1, 0, 1)], dim=-1)
    shift = (around[..., 2] - around[..., 0]) / around.sum(dim=-1)
    return torch.remainder((best[..., 0] + 0.5 + shift) / POSITION_BINS, 1.0)


def _hats(points: int, knots: int, nyquist_hz: float) -> Tensor:
    """Piecewise linear curves with a value at each knot: (points, knots), float64, rows of sum 1."""
    hertz = torch.linspace(0, nyquist_hz, points, dtype=torch.float64)
    position = torch.log1p(hertz / _WARP_HZ) / math.log1p(nyquist_hz / _WARP_HZ) * (knots - 1)
    return (1 - (position.unsqueeze(1) - torch.arange(knots, dtype=torch.float64)).abs()).clamp(min=0)
