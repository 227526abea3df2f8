"""Executes a render plan, in batches of nodes, without a shared buffer.

Signals are (nodes, clips, width, samples) in time and (nodes, clips, width, bins) as spectra; mono signals have a width
of 1 until a node makes them stereo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from mixgraph.dsp.constants import constant_index
from mixgraph.dsp.fourier import inverse_fft, real_fft
from mixgraph.graph.types import INPUT, MIX, OUTPUT
from mixgraph.graph.values import GraphValues
from mixgraph.processors.base import to_basis, to_left_right
from mixgraph.processors.collection import Processors
from mixgraph.render.linear_runs import (
    Gather,
    LinearRun,
    LinearStep,
    Program,
    compute_run,
    entering_groups,
    exit_groups,
    find_runs,
    group_width,
)
from mixgraph.render.plan import Region, RenderPlan, Step
from mixgraph.render.products import Gains, LinearProduct, StagedChannel
from mixgraph.render.settings import StepSettings, take_rows
from mixgraph.render.values import GraphParameters, StagedEnergy, StreamState


def execute(
    plan: RenderPlan,
    values: GraphValues,
    processors: Processors,
    sources: Tensor,
    state: StreamState | None = None,
    *,
    staged_channel: StagedChannel | None = None,
    starts: Tensor | None = None,
) -> tuple[Tensor, tuple[StagedEnergy, ...]]:
    """Renders one block: sources [t, t + block) to the mix [t - lookahead, t - lookahead + block).

    Args:
        plan: the plan of the graph for this block length.
        values: the graph and the settings of its processors.
        processors: a module for every processor type.
        sources: ([clips,] inputs, 2, block).
        state: carried from block to block and changed here; None renders a single block.
        staged_channel: the channel (`"mid"` or `"both"`) whose energies of gain-staged nodes are returned;
            None returns no energies.
        starts: ([clips,] songs), the sample t at which the block starts in every song; 0 by default. Only timed
            processors use it.

    Returns:
        The mix, ([clips,] songs, 2, block), and the energies.
    """
    clips = sources if sources.dim() == 4 else sources.unsqueeze(0)
    execution = _Execution(plan, values, processors, state, staged_channel, starts)
    mix = execution(clips.transpose(0, 1)).transpose(0, 1)
    return (mix if sources.dim() == 4 else mix.squeeze(0)), tuple(execution.energies)


def skip(plan: RenderPlan, processors: Processors, parameters: GraphParameters, state: StreamState) -> None:
    """Lets a block of silence pass after all tails have died away: only envelopes are left, and they fall."""
    fallen: dict[tuple[object, ...], Tensor] = {}
    for index, step in enumerate(plan.steps):
        if (index,) in state.tensors:
            rows = {name: take_rows(value, step.rows) for name, value in parameters[step.type].items()}
            fallen[(index,)] = processors[step.type].rest(rows, state.tensors[(index,)], plan.block)
    state.tensors = fallen


class _Execution:
    """One pass over a plan. Signals are kept as (batch, row), so that a whole batch is handed on uncopied.

    The key of a signal is the group of nodes that it sums (one node, but for what leaves a run of linear steps), and
    the region of its spectrum, None in time.
    """

    def __init__(
        self,
        plan: RenderPlan,
        values: GraphValues,
        processors: Processors,
        state: StreamState | None,
        staged_channel: StagedChannel | None,
        starts: Tensor | None,
    ) -> None:
        self.plan, self.processors = plan, processors
        self.settings = StepSettings(plan, values, processors, state)
        self.state, self.staged_channel, self.starts = state, staged_channel, starts
        self.parts, self.run_of = find_runs(plan)
        self.signals: dict[tuple[tuple[int, ...], Region | None], tuple[tuple[Tensor, ...], Tensor, int]] = {}
        self.energies: list[StagedEnergy] = []

    def __call__(self, sources: Tensor) -> Tensor:
        graph = self.plan.graph
        outputs: dict[int, Tensor] = {}
        for part in self.parts:
            if isinstance(part, LinearRun):
                self._compute_run(part)
                continue
            step = self.plan.steps[part]
            if step.type == INPUT:
                result = take_rows(sources, step.rows)[:, :, : step.width]
            else:
                entering = self._in_time(part, step, self.plan.graph.predecessors)
                assert entering is not None
                result = entering.expand(-1, -1, step.width, -1)
                if step.type in self.processors:
                    linear = self.processors[step.type].linear
                    result = self._memoryless(part, step, result) if linear else self._nonlinear(part, step, result)
            if step.type == OUTPUT:
                outputs.update(zip(step.nodes, result.unbind(0), strict=True))
            else:
                self._store([(node,) for node in step.nodes], None, result)
        return torch.stack([outputs[i] for i in graph.outputs])

    # Gathering: from keys to a batch.

    def _store(self, groups: Sequence[tuple[int, ...]], region: Region | None, batch: Tensor) -> None:
        rows = batch.unbind(0)
        for row, group in enumerate(groups):
            self.signals[group, region] = (rows, batch, row)

    def _sum(self, sums: Sequence[Sequence[tuple[int, ...]]], region: Region | None) -> Tensor:
        """Returns one row for every sum, of the signals of its groups; all sums have one width."""
        addends = [[self.signals[group, region] for group in groups] for groups in sums]
        batch = addends[0][0][1]
        single = all(len(signals) == 1 and signals[0][1] is batch for signals in addends)
        if single and [signals[0][2] for signals in addends] == list(range(batch.shape[0])):
            return batch
        totals = [reduce(torch.add, [rows[row] for rows, _, row in signals]) for signals in addends]
        return torch.stack(totals) if len(totals) > 1 else totals[0].unsqueeze(0)

    def _in_time(self, index: int, step: Step, feeding: Sequence[Sequence[int]], inlet: int = 0) -> Tensor | None:
        """Returns the sums at an inlet of a step in time, aligned to its latency: (nodes, clips, width, block)."""
        total: Tensor | None = None
        kinds: dict[tuple[Region | None, int, int], dict[int, list[tuple[int, ...]]]] = {}
        for row, node in enumerate(step.nodes):
            singles = [(p,) for p in feeding[node] if self.plan.regions[p] is None]
            for group in singles + exit_groups(feeding[node], self.run_of):
                region = self.plan.regions[group[0]]
                kind = (region, 0 if region else self.plan.latency[group[0]], group_width(self.plan, group))
                kinds.setdefault(kind, {}).setdefault(row, []).append(group)
        for (region, latency, width), sums in kinds.items():
            part = self._sum(list(sums.values()), region)
            key = (index, inlet, region, latency, width)
            if region is not None:
                part = self._leave_region(key, part, region, step.latency)
            else:
                part = self._delay(key, part, step.latency - latency)
            if len(sums) < len(step.nodes):
                rows = constant_index(tuple(sums), part.device)
                part = part.new_zeros(len(step.nodes), *part.shape[1:]).index_copy(0, rows, part)
            total = part if total is None else total + part
        return total

    def _leave_region(self, key: tuple[object, ...], spectra: Tensor, region: Region, latency: int) -> Tensor:
        block = self.plan.block
        # The block's start in the circle: before index 0, so at its end, or past it (a region that several paths of
        # different latency share).
        early = latency - region.latency
        if self.state is None:
            return inverse_fft(spectra, region.n_fft, -early, block)
        whole = torch.fft.irfft(spectra, n=region.n_fft)
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

    def _compute_run(self, linear_run: LinearRun) -> None:
        """Computes a run of linear steps, and stores what leaves it."""
        steps = [self.plan.steps[index] for index in linear_run.indices]
        entered = [group for batch in linear_run.entering for group in batch]
        outside = {group: i for i, group in enumerate(entered)}
        number: dict[int, int] = {}  # of the nodes of the run
        program, responses, weights = [], [], []
        for index, step in zip(linear_run.indices, steps, strict=True):
            sources = tuple(self._numbers(node, number, outside) for node in step.nodes)
            number |= {node: len(outside) + len(number) + i for i, node in enumerate(step.nodes)}
            product: LinearProduct | Gains | None = None
            if step.type != MIX:
                processor = self.processors[step.type]
                staged_channel = self.staged_channel if processor.gain_staged else None
                if staged_channel is None and processor.before == processor.after == 0:
                    product = Gains()
                    responses.append(self.settings.gains(index))
                else:
                    product = LinearProduct(processor.channels == "mid_side", staged_channel)
                    responses.append(self.settings.response(index))
                    weights.append(self._weights(index, step))
            program.append(LinearStep(Gather(sources, step.width), product))
        exits = tuple(
            Gather(tuple(tuple(number[node] for node in group) for group in groups), group_width(self.plan, groups[0]))
            for groups in linear_run.exits
        )
        entering = [self._entering(batch, linear_run.region) for batch in linear_run.entering]
        result = compute_run(Program(tuple(program), exits, linear_run.region.n_fft), entering, responses, weights)
        for groups, spectra in zip(linear_run.exits, result.exits, strict=True):
            self._store(groups, linear_run.region, spectra)
        if self.staged_channel is not None:
            staged = [step for step in steps if step.type != MIX and self.processors[step.type].gain_staged]
            for step, dry_and_wet in zip(staged, result.energies, strict=True):
                self.energies.append(StagedEnergy(step.type, step.nodes, dry_and_wet))

    def _numbers(self, node: int, inside: Mapping[int, int], outside: Mapping[tuple[int, ...], int]) -> tuple[int, ...]:
        """Returns the numbers of the signals that a node of a run sums."""
        within = [inside[p] for p in self.plan.graph.predecessors[node] if p in inside]
        return (*within, *(outside[group] for group in entering_groups(self.plan, node, inside)))

    def _entering(self, groups: Sequence[tuple[int, ...]], region: Region) -> Tensor:
        """Returns the spectra of signals of one width that enter a run; signals in time are transformed once."""
        missing: dict[int, list[tuple[int, ...]]] = {}
        for group in groups:
            if (group, region) not in self.signals:
                missing.setdefault(self.plan.latency[group[0]], []).append(group)
        for latency, sums in missing.items():
            signal = self._sum([[(node,) for node in group] for group in sums], None)
            self._store(sums, region, real_fft(signal, region.n_fft, region.latency - latency))
        return self._sum([[group] for group in groups], region)

    def _weights(self, index: int, step: Step) -> Tensor:
        """Returns the shares of the wet signals; a processor without a dry signal has them in its response."""
        weights = self.settings.weights(index)
        return torch.ones_like(weights) if self.processors[step.type].cuts else weights

    def _memoryless(self, index: int, step: Step, signal: Tensor) -> Tensor:
        """Applies a linear processor without memory, in time."""
        processor = self.processors[step.type]
        if processor.gain_staged and self.staged_channel is not None:
            channels = processor.channels if step.width == 2 else "left_right"
            response = self.settings.response(index)
            wet = to_left_right(to_basis(signal, channels) * response.unsqueeze(1), channels)
            dry_and_wet = torch.stack([self._energy(stereo) for stereo in (signal, wet)])
            self.energies.append(StagedEnergy(step.type, step.nodes, dry_and_wet))
        gains = self.settings.gains(index).unsqueeze(1)
        return signal * gains if gains.shape[-1] == 1 else gains @ signal

    def _energy(self, signal: Tensor) -> Tensor:
        stereo = signal.expand(-1, -1, 2, -1)
        channels = stereo.sum(dim=-2, keepdim=True) if self.staged_channel == "mid" else stereo
        return channels.square().sum(dim=(-2, -1))

    def _nonlinear(self, index: int, step: Step, signal: Tensor) -> Tensor:
        clips = signal.shape[1]
        rows, weight = self.settings.parameters(index), self.settings.weights(index)
        if clips > 1:
            rows = {name: value.repeat_interleave(clips, dim=0) for name, value in rows.items()}
            weight = weight.repeat_interleave(clips)
        state = self.state.tensors.get((index,)) if self.state else None
        if state is None and self.processors[step.type].timed:
            state = self.processors[step.type].state_at(self._positions(index, step, clips))
        processor, flat = self.processors[step.type], signal.flatten(0, 1)
        if processor.inlets > 1:
            key = self._in_time(index, step, self.plan.graph.keys, inlet=1)
            key = torch.zeros_like(signal) if key is None else key
            wet, state = processor.process_keyed(flat, key.flatten(0, 1), rows, state)
            mixed = torch.lerp(flat, wet, weight.view(-1, 1, 1))
        else:
            mixed, state = processor.dry_wet(flat, rows, weight, state)
        if self.state is not None:
            self.state.tensors[(index,)] = state
        off = [row for row, node in enumerate(step.nodes) if node in self.settings.skipped]
        mixed = mixed.view(signal.shape)
        if off:  # 0 times infinity is not 0
            kept = constant_index(tuple(off), mixed.device)
            mixed = mixed.index_copy(0, kept, signal.index_select(0, kept))
        return mixed

    def _positions(self, index: int, step: Step, clips: int) -> Tensor:
        """Returns the positions in their songs of the first samples that nodes process, (nodes * clips,)."""
        songs = tuple(self.plan.graph.songs[node] for node in step.nodes)
        if self.starts is None:
            return torch.full((len(songs) * clips,), -step.latency, device=self.settings.weights(index).device)
        of_nodes = take_rows(self.starts.reshape(-1, self.starts.shape[-1]).T, songs)
        return (of_nodes.expand(-1, clips) - step.latency).flatten()
