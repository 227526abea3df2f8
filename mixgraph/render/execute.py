"""Executes a render plan, in batches of nodes, without a shared buffer.

Signals are (nodes, clips, 2, samples) in time and (nodes, clips, 2, bins) as spectra.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mixgraph.dsp.transforms import real_fft
from mixgraph.graph.types import INPUT, MIX, OUTPUT, MixGraph
from mixgraph.processors.base import Parameters, Processor, Processors, to_basis, to_left_right
from mixgraph.render.plan import Region, RenderPlan, Step, lookahead, make_plan
from mixgraph.render.schedule import Method

GraphParameters = Mapping[str, Parameters]
StagedChannel = Literal["mid", "both"]


@dataclass
class StreamState:
    """What rendering carries from block to block: tails of regions, delay lines, envelopes, cached responses."""

    tensors: dict[tuple[object, ...], Tensor] = field(default_factory=dict)
    responses: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class StagedEnergy:
    """Energies of the gain-staged nodes of one step, before and after the wet processing: (nodes, clips) each."""

    type: str
    nodes: tuple[int, ...]
    dry: Tensor
    wet: Tensor


@dataclass(frozen=True)
class Rendering:
    """A rendered mix.

    Attributes:
        mix: (songs, 2, L), or (clips, songs, 2, L) where the sources had clips.
        energies: of the gain-staged nodes, where they were asked for; samples are `num_samples` long.
        num_samples: length of the block that the energies belong to.
    """

    mix: Tensor
    energies: tuple[StagedEnergy, ...]
    num_samples: int


def render(
    graph: MixGraph,
    processors: Processors,
    sources: Tensor,
    parameters: GraphParameters,
    weights: Tensor,
    length: int | None = None,
    method: Method = "auto",
    staged_channel: StagedChannel | None = None,
) -> Rendering:
    """Renders a graph at once.

    Args:
        graph: what to render.
        processors: one module a type.
        sources: (inputs, 2, T) or (clips, inputs, 2, T); zero before and after.
        parameters: type -> name -> (nodes of the type, *shape).
        weights: dry/wet weight of each processor, (len(graph.processors),), in 0..1 (paper eq. 2).
        length: L, samples to render; T by default. Samples of the sources after L are look-ahead.
        method: of scheduling.
        staged_channel: which energies of the gain-staged nodes to return, none by default.
    """
    length = sources.shape[-1] if length is None else length
    plan = make_plan(graph, processors, length + lookahead(graph, processors), method)
    return render_plan(plan, processors, sources, parameters, weights, staged_channel)


def render_plan(
    plan: RenderPlan,
    processors: Processors,
    sources: Tensor,
    parameters: GraphParameters,
    weights: Tensor,
    staged_channel: StagedChannel | None = None,
) -> Rendering:
    """Renders the one block of a plan at once; see `render`. Renders plan.block - plan.lookahead samples."""
    check_arguments(plan, sources, parameters, weights)
    sources = fit_length(sources, plan.block)
    mix, energies = execute(plan, processors, sources, parameters, weights, staged_channel=staged_channel)
    return Rendering(mix[..., plan.lookahead :], energies, plan.block)


def check_arguments(plan: RenderPlan, sources: Tensor, parameters: GraphParameters, weights: Tensor) -> None:
    """Checks shapes, which costs no synchronisation.

    Raises:
        ValueError: sources, weights or parameters that do not fit the graph.
    """
    graph = plan.graph
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


def execute(
    plan: RenderPlan,
    processors: Processors,
    sources: Tensor,
    parameters: GraphParameters,
    weights: Tensor,
    state: StreamState | None = None,
    staged_channel: StagedChannel | None = None,
) -> tuple[Tensor, tuple[StagedEnergy, ...]]:
    """Renders one block: sources [t, t + block) to the mix [t - lookahead, t - lookahead + block).

    Args:
        plan: of the graph, for this block length.
        processors: one module a type.
        sources: ([clips,] inputs, 2, block).
        parameters: type -> name -> (nodes of the type, *shape).
        weights: (processors,).
        state: carried from block to block and changed here; None renders a block on its own.
        staged_channel: which energies to return.

    Returns:
        The mix, ([clips,] songs, 2, block), and the energies.
    """
    clips = sources if sources.dim() == 4 else sources.unsqueeze(0)
    run = _Execution(plan, processors, parameters, weights, state, staged_channel)
    mix = run(clips.transpose(0, 1)).transpose(0, 1)
    return (mix if sources.dim() == 4 else mix.squeeze(0)), tuple(run.energies)


def _switched_off(graph: MixGraph, weights: Tensor) -> frozenset[int]:
    """The nodes whose weight was forced to 0. Trained weights never are: a GPU is not asked for them."""
    if weights.requires_grad:
        return frozenset()
    return frozenset(node for node, weight in zip(graph.processors, weights.tolist(), strict=True) if weight == 0)


class _Execution:
    """One pass over the steps. Signals are kept as (batch, row), so that a whole batch is handed on uncopied."""

    def __init__(
        self,
        plan: RenderPlan,
        processors: Processors,
        parameters: GraphParameters,
        weights: Tensor,
        state: StreamState | None,
        staged_channel: StagedChannel | None,
    ) -> None:
        self.plan, self.processors, self.parameters = plan, processors, parameters
        self.state, self.staged_channel = state, staged_channel
        self.weight_of = dict(zip(plan.graph.processors, weights.unbind(0), strict=True))
        self.skipped = _switched_off(plan.graph, weights)
        self.signals: dict[tuple[int, Region | None], tuple[tuple[Tensor, ...], Tensor, int]] = {}
        self.energies: list[StagedEnergy] = []

    def __call__(self, sources: Tensor) -> Tensor:
        graph = self.plan.graph
        outputs: dict[int, Tensor] = {}
        for index, step in enumerate(self.plan.steps):
            if step.type == INPUT:
                result = self._take_rows(sources, step.rows)
            elif step.region is not None:
                result = self._linear(index, step, self._spectra(step))
            elif step.type in (MIX, OUTPUT):
                result = self._in_time(index, step)
            elif self.processors[step.type].linear:
                result = self._linear(index, step, self._in_time(index, step))
            else:
                result = self._nonlinear(index, step, self._in_time(index, step))
            if step.type == OUTPUT:
                outputs.update(zip(step.nodes, result.unbind(0), strict=True))
            else:
                self._store(step.nodes, step.region, result)
        return torch.stack([outputs[i] for i in graph.outputs])

    # Gathering: from (node, domain) to a batch.

    def _store(self, nodes: tuple[int, ...], region: Region | None, batch: Tensor) -> None:
        rows = batch.unbind(0)
        for row, node in enumerate(nodes):
            self.signals[node, region] = (rows, batch, row)

    def _gather(self, nodes: list[int], region: Region | None) -> Tensor:
        found = [self.signals[node, region] for node in nodes]
        batch = found[0][1]
        if [row for _, _, row in found] == list(range(batch.shape[0])) and all(b is batch for _, b, _ in found):
            return batch
        return torch.stack([rows[row] for rows, _, row in found])

    def _sum(self, groups: list[list[int]], region: Region | None) -> Tensor:
        if all(len(group) == 1 for group in groups):
            return self._gather([group[0] for group in groups], region)
        signals = [[self.signals[node, region] for node in group] for group in groups]
        return torch.stack([reduce(torch.add, [rows[row] for rows, _, row in group]) for group in signals])

    def _spectra(self, step: Step) -> Tensor:
        """The summed inputs of a step as spectra of its region; what is in time is transformed once."""
        assert step.region is not None
        groups = [list(self.plan.graph.predecessors[node]) for node in step.nodes]
        missing: dict[int, list[int]] = {}
        for node in dict.fromkeys(p for group in groups for p in group):
            if (node, step.region) not in self.signals:
                missing.setdefault(self.plan.latency[node], []).append(node)
        for latency, nodes in missing.items():
            entering = F.pad(self._gather(nodes, None), (step.region.latency - latency, 0))
            self._store(tuple(nodes), step.region, real_fft(entering, step.region.n_fft))
        return self._sum(groups, step.region)

    def _in_time(self, index: int, step: Step) -> Tensor:
        """The summed inputs of a step in time, aligned to its latency: (nodes, clips, 2, block)."""
        graph = self.plan.graph
        total: Tensor | None = None
        kinds: dict[tuple[Region | None, int], dict[int, list[int]]] = {}
        for row, node in enumerate(step.nodes):
            for p in graph.predecessors[node]:
                region = self.plan.regions[p]
                kind = (region, 0 if region else self.plan.latency[p])
                kinds.setdefault(kind, {}).setdefault(row, []).append(p)
        for (region, latency), groups in kinds.items():
            part = self._sum(list(groups.values()), region)
            key = (index, region, latency)
            if region is not None:
                part = self._leave_region(key, part, region, step.latency)
            else:
                part = self._delay(key, part, step.latency - latency)
            if len(groups) < len(step.nodes):
                rows = torch.tensor(list(groups), device=part.device)
                part = part.new_zeros(len(step.nodes), *part.shape[1:]).index_copy(0, rows, part)
            total = part if total is None else total + part
        assert total is not None
        return total

    def _leave_region(self, key: tuple[object, ...], spectra: Tensor, region: Region, latency: int) -> Tensor:
        block = self.plan.block
        whole = torch.fft.irfft(spectra, n=region.n_fft)
        # The block's start in the circle: before index 0, so at its end, or past it (a region that several paths of
        # different latency share).
        early = latency - region.latency
        if self.state is None:
            if early <= 0:
                return whole[..., -early : block - early]
            return torch.cat((whole[..., region.n_fft - early :], whole[..., : block - early]), dim=-1)[..., :block]
        whole = torch.roll(whole, early, dims=-1)
        if key in self.state.tensors:
            tail = self.state.tensors[key]
            whole = torch.cat((whole[..., : tail.shape[-1]] + tail, whole[..., tail.shape[-1] :]), dim=-1)
        self.state.tensors[key] = whole[..., block:]
        return whole[..., :block]

    def _delay(self, key: tuple[object, ...], signal: Tensor, samples: int) -> Tensor:
        if samples == 0:
            return signal
        if self.state is None:
            return F.pad(signal, (samples, 0))[..., : self.plan.block]
        line = self.state.tensors.get(key)
        before = signal.new_zeros(*signal.shape[:-1], samples) if line is None else line
        joined = torch.cat((before, signal), dim=-1)
        self.state.tensors[key] = joined[..., self.plan.block :]
        return joined[..., : self.plan.block]

    # Processing.

    def _rows(self, step: Step) -> dict[str, Tensor]:
        return {name: self._take_rows(value, step.rows) for name, value in self.parameters[step.type].items()}

    @staticmethod
    def _take_rows(values: Tensor, rows: tuple[int, ...]) -> Tensor:
        if rows == tuple(range(values.shape[0])):
            return values
        if rows == tuple(range(rows[0], rows[0] + len(rows))):
            return values[rows[0] : rows[0] + len(rows)]
        return values.index_select(0, torch.tensor(rows, device=values.device))

    def _weights(self, step: Step) -> Tensor:
        return torch.stack([self.weight_of[node] for node in step.nodes]).view(-1, 1, 1)

    def _linear(self, index: int, step: Step, signal: Tensor) -> Tensor:
        if step.type == MIX:
            return signal
        processor = self.processors[step.type]
        weight = self._weights(step)
        responses = {} if self.state is None else self.state.responses
        if index not in responses:
            n_fft = step.region.n_fft if step.region else 0
            responses[index] = self._skip(step, processor.response(self._rows(step), n_fft))
        response = responses[index]
        if processor.staged and self.staged_channel is not None:
            self._measure(step, processor, signal, response.unsqueeze(1))
        mixed = (1 - weight + weight * response).unsqueeze(1)
        return to_left_right(to_basis(signal, processor.channels) * mixed, processor.channels)

    def _nonlinear(self, index: int, step: Step, signal: Tensor) -> Tensor:
        clips = signal.shape[1]
        rows = {name: value.repeat_interleave(clips, dim=0) for name, value in self._rows(step).items()}
        state = self.state.tensors.get((index,)) if self.state else None
        wet, state = self.processors[step.type].process(signal.flatten(0, 1), rows, state)
        if self.state is not None:
            self.state.tensors[(index,)] = state
        weight = self._weights(step).unsqueeze(1)
        return (1 - weight) * signal + weight * self._skip(step, wet.view(signal.shape))

    def _skip(self, step: Step, wet: Tensor) -> Tensor:
        """Silences what is switched off: 0 times infinity is not 0."""
        rows = [row for row, node in enumerate(step.nodes) if node in self.skipped]
        return wet.index_fill(0, torch.tensor(rows, device=wet.device), 0) if rows else wet

    def _measure(self, step: Step, processor: Processor, signal: Tensor, response: Tensor) -> None:
        wet = to_left_right(to_basis(signal, processor.channels) * response, processor.channels)
        energies = []
        for stereo in (signal, wet):
            channels = stereo.sum(dim=-2, keepdim=True) if self.staged_channel == "mid" else stereo
            power = torch.view_as_real(channels).square().sum(-1) if channels.is_complex() else channels.square()
            if step.region is not None:
                # Parseval: the bins between DC and the Nyquist frequency stand for two.
                power = (2 * power.sum(-1) - power[..., 0] - power[..., -1]) / step.region.n_fft
            else:
                power = power.sum(-1)
            energies.append(power.sum(-1))
        self.energies.append(StagedEnergy(step.type, step.nodes, energies[0], energies[1]))
