"""Notices the first training step that gives NaN or infinity, undoes it, and traces it to its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mixgraph.graph import MixGraph
from mixgraph.graph.values import GraphValues
from mixgraph.processors import Processors
from mixgraph.processors.collection import base_type
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
    """The place where NaN or infinity arose: in the `"values"`, the `"output"` or the `"gradient"` of some nodes.

    Attributes:
        of: which of the three.
        nodes: the processors.
        parameters: the parameters concerned; of an output those that are outside of their declared ranges, with their
            values.
    """

    of: str
    nodes: list[int]
    parameters: tuple[str, ...] = ()

    def text(self, graph: MixGraph) -> str:
        """Describes the place for users: `the values of compressor (track kick: compressor), in log_knee`."""
        if not self.nodes:
            return "no single processor"
        types = ", ".join(dict.fromkeys(graph.types[node] for node in self.nodes))
        labels = [graph.label(node) for node in self.nodes]
        more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
        join = ", with " if self.of == "output" else ", in "
        names = join + ", ".join(self.parameters[:_SHOWN]) if self.parameters else ""
        return f"the {self.of} of {types} ({'; '.join(labels[:_SHOWN])}{more}){names}"


def find_origin(
    graph: MixGraph,
    processors: Processors,
    clip: Clip,
    parameters: GraphParameters,
    weights: Tensor,
    gradients: Mapping[str, Mapping[str, Tensor | None]],
    weight_gradient: Tensor | None,
) -> Origin:
    """Finds the processors where NaN or infinity comes from, node by node, and which of their parameters.

    An output spoils those behind it, a gradient those before it: of several the first, or last, nodes are taken.

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
        return Origin("values", list(broken), _names(broken, broken))
    is_finite: dict[int, bool] = {}

    def watch(node: int, signal: Tensor) -> None:
        is_finite[node] = bool(signal.isfinite().all())

    with torch.no_grad():
        samples = clip.targets.shape[-1]
        values = GraphValues(graph, parameters, weights.detach())
        render_oracle(values, processors, clip.sources, length=samples, starts=clip.starts, watch=watch)
    first = [n for n in graph.processors if not is_finite[n] and all(is_finite[p] for p in graph.feeders[n])]
    if first:
        return Origin("output", first, _outside(graph, processors, parameters, first))
    broken = _broken_nodes(graph, gradients, weight_gradient)
    last = _last(graph, broken)
    return Origin("gradient", last, _names(broken, last))


def _broken_nodes(
    graph: MixGraph, values: Mapping[str, Mapping[str, Tensor | None]], weights: Tensor | None
) -> dict[int, list[str]]:
    """The processors with NaN or infinity in their rows, and the names of what has it."""
    names: dict[tuple[str, int], list[str]] = {}
    for node_type, parameters in values.items():
        for name, value in parameters.items():
            if value is not None:
                for row in (~value.detach().isfinite().flatten(1).all(dim=1)).nonzero().flatten().tolist():
                    names.setdefault((node_type, row), []).append(name)
    bad_weights = [] if weights is None else (~weights.detach().isfinite()).tolist()
    weighted = {node for node, bad in zip(graph.processors, bad_weights, strict=False) if bad}
    broken = {}
    for node in graph.processors:
        found = names.get((graph.types[node], graph.rows[node]), []) + ["the dry/wet weight"] * (node in weighted)
        if found:
            broken[node] = found
    return broken


def _names(broken: Mapping[int, Sequence[str]], nodes: Iterable[int]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for node in nodes for name in broken[node]))


def _last(graph: MixGraph, nodes: Mapping[int, object]) -> list[int]:
    """Those of some nodes that have none of the others behind them."""
    before: set[int] = set()
    for node in reversed(graph.topological_order):
        if any(after in nodes or after in before for after in graph.successors[node]):
            before.add(node)
    return [node for node in nodes if node not in before]


def _outside(
    graph: MixGraph, processors: Processors, parameters: GraphParameters, nodes: Iterable[int]
) -> tuple[str, ...]:
    """The parameters of some nodes whose values are outside of the declared ranges, and how far."""
    texts: dict[str, str] = {}
    for node in nodes:
        declared = processors[graph.types[node]].specification
        for name, value in parameters[base_type(graph.types[node])].items():
            unit, range_ = declared[name].to_unit(value.detach()[graph.rows[node]].double()), declared[name]
            low, high = float(unit.min()), float(unit.max())
            if not (range_.low <= low and high <= range_.high):
                far = high if not high <= range_.high else low
                meant = f"{range_.low:g} to {range_.high:g} are meant"
                texts.setdefault(name, f"{name} at {far:g} {range_.unit} ({meant})")
    return tuple(texts.values())
