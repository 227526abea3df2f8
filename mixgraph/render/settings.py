"""Takes parameters, dry/wet weights and responses of a plan's steps: all steps of a type at once.

A step of few nodes costs as much as one of many where operations are small, and on a GPU always. So what depends on
settings only is computed for all nodes of a type together, in the order of the steps, and then split.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from mixgraph.dsp.constants import constant_index, made_once
from mixgraph.dsp.pieces import in_pieces
from mixgraph.graph.types import MixGraph
from mixgraph.graph.values import GraphValues
from mixgraph.processors.base import left_right_gains
from mixgraph.processors.collection import Processors, base_type
from mixgraph.processors.parameter import Parameters
from mixgraph.render.plan import RenderPlan
from mixgraph.render.values import StreamState


class StepSettings:
    """The settings of one pass over a plan, by the index of a step.

    Args:
        plan: the plan of the graph.
        values: the graph and the settings of its processors.
        processors: a module for every processor type.
        state: keeps responses from block to block; None for a single block.
    """

    def __init__(
        self, plan: RenderPlan, values: GraphValues, processors: Processors, state: StreamState | None
    ) -> None:
        self.plan, self.processors, self._values = plan, processors, values.parameters
        weight_row = dict(zip(plan.graph.processors, plan.weight_rows, strict=True))
        self._steps: dict[str, list[int]] = {}
        for index, step in enumerate(plan.steps):
            if step.type in processors:
                self._steps.setdefault(step.type, []).append(index)
        rows = tuple(
            weight_row[node]
            for of_type in self._steps.values()
            for index in of_type
            for node in plan.steps[index].nodes
        )
        of_types = split(take_rows(values.weights, rows), [self._count(of_type) for of_type in self._steps.values()])
        self._type_weights = dict(zip(self._steps, of_types, strict=True))
        self._weights: dict[int, Tensor] = {}
        self._gains: dict[int, Tensor] = {}
        self._responses: dict[int, Tensor] = {} if state is None else state.responses
        self._parameters: dict[int, Parameters] = {}
        self.skipped = _nodes_without_weight(plan.graph, plan.weight_rows, values.weights)

    def weights(self, index: int) -> Tensor:
        """Returns the dry/wet weights of a step, (nodes,)."""
        if index not in self._weights:
            indices = self._of_type(index)
            weights = self._split(self._type_weights[self.plan.steps[index].type], indices)
            self._weights |= zip(indices, weights, strict=True)
        return self._weights[index]

    def parameters(self, index: int) -> Parameters:
        """Returns the prepared parameters of a nonlinear step, name -> (nodes, *shape)."""
        if index not in self._parameters:
            indices, node_type = self._of_type(index), self.plan.steps[index].type
            weights = self._type_weights[node_type]
            prepared = self.processors[node_type].prepare(self._take(indices), weights, self.plan.block)
            parts = {name: self._split(value, indices) for name, value in prepared.items()}
            for place, of_type in enumerate(indices):
                self._parameters[of_type] = {name: split[place] for name, split in parts.items()}
        return self._parameters[index]

    def response(self, index: int) -> Tensor:
        """Returns the responses of a linear step, (nodes, 1 or 2, bins or 1); of mid and side, mono has the mid."""
        if index not in self._responses:
            missing = [i for i in self._of_type(index) if i not in self._responses]
            self._responses |= {i: self._acting(i, response) for i, response in self._compute(missing)}
        return self._responses[index]

    def gains(self, index: int) -> Tensor:
        """Returns the gains of a linear step without memory, its dry sound included.

        Those of left and right, (nodes, 1 or 2, 1), or, of mid and side, from each channel to each, (nodes, 2, 2).
        """
        if index not in self._gains:
            indices, step = self._of_type(index), self.plan.steps[index]
            processor = self.processors[step.type]
            gains = self._switched_off(indices, processor.impulse_response(self._take(indices)))
            weights = self._type_weights[step.type].view(-1, 1, 1).to(gains.dtype)
            gains = gains * weights if processor.cuts else torch.lerp(_one(gains.dtype, gains.device), gains, weights)
            parts = self._split(gains, indices)
            if processor.channels == "mid_side":
                matrices = self._split(left_right_gains(gains), indices)
                of_widths = zip(indices, parts, matrices, strict=True)
                parts = tuple(both[self.plan.steps[i].width - 1] for i, *both in of_widths)
            self._gains |= {i: part[:, : self.plan.steps[i].width] for i, part in zip(indices, parts, strict=True)}
        return self._gains[index]

    def _of_type(self, index: int) -> list[int]:
        """Returns the steps of the type of a step."""
        return self._steps[self.plan.steps[index].type]

    def _acting(self, index: int, response: Tensor) -> Tensor:
        step = self.plan.steps[index]
        if self.processors[step.type].cuts:
            response = response * self.weights(index).view(-1, 1, 1)
        return self._switched_off([index], response)[:, : step.width]

    def _switched_off(self, indices: Sequence[int], responses: Tensor) -> Tensor:
        """Sets the responses of nodes with a weight of 0 to 0, since 0 times infinity is not 0."""
        nodes = (node for index in indices for node in self.plan.steps[index].nodes)
        off = tuple(row for row, node in enumerate(nodes) if node in self.skipped)
        return responses.index_fill(0, constant_index(off, responses.device), 0) if off else responses

    def _compute(self, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Yields the responses of steps of one type; those of one FFT length are transformed together."""
        processor = self.processors[self.plan.steps[indices[0]].type]
        n_fft = {i: region.n_fft if (region := self.plan.steps[i].region) else 0 for i in indices}
        indices = sorted(indices, key=lambda i: n_fft[i])
        responses = processor.impulse_response(self._take(indices))
        if responses.shape[-1] == 1:
            yield from zip(indices, self._split(responses, indices), strict=True)
            return
        # The gradient of what is split is copied together, which takes a CPU longer than a few operations more.
        groups = [list(group) for _, group in groupby(indices, key=None if in_pieces(responses) else n_fft.get)]
        parts = split(responses, [self._count(group) for group in groups])
        for group, part in zip(groups, parts, strict=True):
            yield from zip(group, self._split(processor.spectrum(part, n_fft[group[0]]), group), strict=True)

    def _take(self, indices: Sequence[int]) -> Parameters:
        """Returns the parameters of the nodes of some steps of one type, one step after the other."""
        node_type = self.plan.steps[indices[0]].type
        if node_type not in self._values:  # the outlets of a splitter share its parameters
            node_type = base_type(node_type)
        rows = tuple(row for index in indices for row in self.plan.steps[index].rows)
        return {name: take_rows(value, rows) for name, value in self._values[node_type].items()}

    def _split(self, values: Tensor, indices: Sequence[int]) -> tuple[Tensor, ...]:
        return split(values, [self._count([index]) for index in indices])

    def _count(self, indices: Sequence[int]) -> int:
        return sum(len(self.plan.steps[index].nodes) for index in indices)


def split(values: Tensor, counts: Sequence[int]) -> tuple[Tensor, ...]:
    """Splits rows; a single part is the tensor itself."""
    return (values,) if len(counts) == 1 else values.split(list(counts))


def take_rows(values: Tensor, rows: tuple[int, ...]) -> Tensor:
    """Returns rows of a tensor; uncopied where they are a stretch of it."""
    if rows == tuple(range(values.shape[0])):
        return values
    first = rows[0] if rows else 0
    if rows == tuple(range(first, first + len(rows))):
        return values[first : first + len(rows)]
    if len(rows) == values.shape[0] == len(set(rows)):
        return _Permuted.apply(values, rows)
    return values.index_select(0, constant_index(rows, values.device))


class _Permuted(Function):
    """All rows in another order, whose gradient is a choice of rows, too."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, rows: tuple[int, ...]) -> Tensor:
        ctx.rows = rows
        return values.index_select(0, constant_index(rows, values.device))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        back = tuple(sorted(range(len(ctx.rows)), key=ctx.rows.__getitem__))
        return grad.index_select(0, constant_index(back, grad.device)), None


@made_once(keep=8)
def _one(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.ones((), dtype=dtype, device=device)


def _nodes_without_weight(graph: MixGraph, rows: Sequence[int], weights: Tensor) -> frozenset[int]:
    """Returns the nodes whose weight is 0. Trained weights never are: reading them would make a GPU wait."""
    if weights.requires_grad:
        return frozenset()
    values = weights.tolist()
    return frozenset(node for node, row in zip(graph.processors, rows, strict=True) if values[row] == 0)
