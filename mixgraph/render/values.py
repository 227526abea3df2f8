"""Arguments and results of rendering, and the state that it carries from block to block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor

from mixgraph.graph.values import GraphValues
from mixgraph.processors.parameter import Parameters
from mixgraph.render.plan import RenderPlan

GraphParameters = Mapping[str, Parameters]


@dataclass
class StreamState:
    """The state that rendering carries from block to block: tails of regions, delay lines, envelopes, responses."""

    tensors: dict[tuple[object, ...], Tensor] = field(default_factory=dict)
    responses: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class StagedEnergy:
    """Energies of the gain-staged nodes of one step, before and after the wet processing: (2, nodes, clips)."""

    type: str
    nodes: tuple[int, ...]
    dry_and_wet: Tensor

    @property
    def dry(self) -> Tensor:
        """(nodes, clips)"""
        return self.dry_and_wet[0]

    @property
    def wet(self) -> Tensor:
        """(nodes, clips)"""
        return self.dry_and_wet[1]


@dataclass(frozen=True)
class Rendering:
    """A rendered mix.

    Attributes:
        mix: (songs, 2, L), or (clips, songs, 2, L) where the sources had clips.
        energies: energies of the gain-staged nodes over `num_samples` samples, where a staged channel was named.
        num_samples: length of the block that the energies belong to.
    """

    mix: Tensor
    energies: tuple[StagedEnergy, ...]
    num_samples: int


def check_arguments(plan: RenderPlan, values: GraphValues, sources: Tensor) -> None:
    """Checks shapes, which costs no synchronisation with the device.

    Raises:
        ValueError: sources, weights or parameters that do not fit the graph.
    """
    graph, weights, parameters = plan.whole, values.weights, values.parameters
    if sources.dim() not in (3, 4) or sources.shape[-2] != 2 or sources.shape[-3] != len(graph.inputs):
        raise ValueError(
            f"sources: ([clips,] {len(graph.inputs)} inputs, 2, samples) is needed, got {tuple(sources.shape)}"
        )
    if weights.shape != (len(graph.processors),):
        raise ValueError(f"weights: ({len(graph.processors)},) is needed, got {tuple(weights.shape)}")
    for node_type, count in graph.count().items():
        if node_type not in parameters:
            raise ValueError(f"parameters: {node_type!r} is missing")
        for name, value in parameters[node_type].items():
            if value.shape[0] != count:
                raise ValueError(f"parameters: {node_type}.{name} needs {count} rows, got {value.shape[0]}")


def fit_length(sources: Tensor, length: int) -> Tensor:
    """Cuts or zero-pads the last axis."""
    if sources.shape[-1] >= length:
        return sources[..., :length]
    return F.pad(sources, (0, length - sources.shape[-1]))
