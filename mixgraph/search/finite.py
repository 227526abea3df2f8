"""Notices the first training step that gives NaN or infinity, undoes it, and traces it to its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mixgraph.graph import MixGraph
from mixgraph.graph.values import GraphValues
from mixgraph.processors import Processors
from mixgraph.render import GraphParameters, render_oracle
from mixgraph.songs.training_clips import Clip

_SHOWN = 4  # nodes in a message


class FiniteWatch:
    """Watches losses and gradients for NaN and infinity without waiting for the device.

    Two sets of values are kept on the device: those of the last finite step (loss and gradient), and those with which
    the first other step was taken.

    Args:
        parameters: the parameters that are trained.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.good, self.bad = ([p.detach().clone() for p in self.parameters] for _ in range(2))
        device = self.parameters[0].device
        self._finite = torch.ones((), dtype=torch.bool, device=device)
        self._count = torch.zeros((), dtype=torch.long, device=device)

    @torch.no_grad()
    def __call__(self, loss: Tensor) -> None:
        """Takes in a step's loss and the gradients of its parameters, before the optimizer changes them."""
        self._keep(self.bad)
        gradients = [p.grad for p in self.parameters if p.grad is not None and p.numel()]
        largest = torch.nn.utils.get_total_norm(gradients, float("inf"))  # NaN if any number is NaN or infinite
        self._finite &= loss.isfinite() & largest.isfinite()  # in place, as captured steps need it
        self._count += self._finite
        self._keep(self.good)

    def _keep(self, kept: list[Tensor]) -> None:
        for value, parameter in zip(kept, self.parameters, strict=True):
            value.copy_(torch.where(self._finite, parameter, value))

    def steps_until_bad(self) -> int | None:
        """How many finite steps came before the first other step; None if all were finite. Waits for the device."""
        return None if bool(self._finite) else int(self._count)

    def values_are_finite(self) -> bool:
        """Whether the current values are finite. Waits for the device."""
        return bool(torch.stack([p.detach().isfinite().all() for p in self.parameters]).all())

    @torch.no_grad()
    def restore(self, values: Sequence[Tensor]) -> None:
        """Copies one of the kept sets of values, `good` or `bad`, into the parameters, and drops the gradients."""
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)
            parameter.grad = None


class Origin(NamedTuple):
    """The place where NaN or infinity arose: in the `"values"`, the `"output"` or the `"gradient"` of some nodes."""

    of: str
    nodes: list[int]

    def text(self, graph: MixGraph) -> str:
        """Describes the place for users, such as `the output of compressor (track kick: compressor)`."""
        if not self.nodes:
            return "no single processor"
        types = ", ".join(dict.fromkeys(graph.types[node] for node in self.nodes))
        labels = [graph.label(node) for node in self.nodes]
        more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
        return f"the {self.of} of {types} ({'; '.join(labels[:_SHOWN])}{more})"


def find_origin(
    graph: MixGraph,
    processors: Processors,
    clip: Clip,
    parameters: GraphParameters,
    weights: Tensor,
    gradients: Mapping[str, Mapping[str, Tensor | None]],
    weight_gradient: Tensor | None,
) -> Origin:
    """Finds the processors where NaN or infinity comes from, node by node.

    Args:
        graph: the graph that was rendered.
        processors: a module for every processor type.
        clip: the clip of the step.
        parameters: type -> name -> (nodes of the type, *shape), with which the step was taken.
        weights: dry/wet weights, (processors,).
        gradients: the gradients of the parameters, in the form of `parameters`.
        weight_gradient: the gradient of the weights or of their logits, (processors,).
    """
    broken = _broken_nodes(graph, parameters, weights)
    if broken:
        return Origin("values", broken)
    is_finite: dict[int, bool] = {}

    def watch(node: int, signal: Tensor) -> None:
        is_finite[node] = bool(signal.isfinite().all())

    with torch.no_grad():
        samples = clip.targets.shape[-1]
        values = GraphValues(graph, parameters, weights.detach())
        render_oracle(values, processors, clip.sources, length=samples, starts=clip.starts, watch=watch)
    first = [n for n in graph.processors if not is_finite[n] and all(is_finite[p] for p in graph.predecessors[n])]
    if first:
        return Origin("output", first)
    return Origin("gradient", _broken_nodes(graph, gradients, weight_gradient))


def _broken_nodes(
    graph: MixGraph, values: Mapping[str, Mapping[str, Tensor | None]], weights: Tensor | None
) -> list[int]:
    """The processors with NaN or infinity in their rows."""
    rows = {
        (t, row)
        for t, parameters in values.items()
        for value in parameters.values()
        if value is not None
        for row in (~value.detach().isfinite().flatten(1).all(dim=1)).nonzero().flatten().tolist()
    }
    broken = [] if weights is None else (~weights.detach().isfinite()).tolist()
    logits = {node for node, bad in zip(graph.processors, broken, strict=False) if bad}
    return [n for n in graph.processors if n in logits or (graph.types[n], graph.rows[n]) in rows]
