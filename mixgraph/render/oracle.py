"""The oracle: a slow and plain renderer, node by node, that the fast one must equal."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from mixgraph.dsp.convolution import convolve
from mixgraph.graph.types import INPUT, OUTPUT
from mixgraph.graph.values import GraphValues
from mixgraph.processors.base import to_basis, to_left_right
from mixgraph.processors.collection import Processors
from mixgraph.render.plan import latencies, make_plan
from mixgraph.render.products import StagedChannel
from mixgraph.render.values import Rendering, StagedEnergy


def render_oracle(
    values: GraphValues,
    processors: Processors,
    sources: Tensor,
    *,
    length: int | None = None,
    staged_channel: StagedChannel | None = None,
    starts: Tensor | None = None,
    watch: Callable[[int, Tensor], None] | None = None,
) -> Rendering:
    """Renders one node at a time in the time domain; arguments and result are those of `render`.

    A signal is kept with the time of its first sample and grows by the supports of the processors that it passes; it is
    cut to the plan's window before a nonlinear node and to [0, L) at the output.

    Args:
        values: the graph, of one song or several, and the settings of its processors.
        processors: a module for every processor type.
        sources: (inputs, 2, T).
        length: L, samples to render; T by default.
        staged_channel: the channel (`"mid"` or `"both"`) whose energies of gain-staged nodes are returned;
            None returns no energies.
        starts: (songs,), the sample of every song at which its sources begin; 0 by default.
        watch: a function that is called with every node and its signal, in topological order.
    """
    graph, weights = values.graph, values.weights
    length = sources.shape[-1] if length is None else length
    block = make_plan(graph, processors, length).lookahead + length
    latency = latencies(graph, processors)
    weight_of = dict(zip(graph.processors, weights, strict=True))
    feeding: list[tuple[list[tuple[int, int]], ...]] = [([], []) for _ in graph.types]  # (node, outlet) at each inlet
    for (source, destination), (outlet, inlet) in zip(graph.edges, graph.ports, strict=True):
        feeding[destination][inlet].append((source, outlet))
    signals: dict[int, tuple[int, Tensor]] = {}
    branches: dict[tuple[int, int], tuple[int, Tensor]] = {}  # of further outlets
    energies = []
    for node in graph.topological_order:
        node_type, row = graph.types[node], graph.rows[node]
        if node_type == INPUT:
            signals[node] = (0, sources[row : row + 1, :, :block])
            if watch is not None:
                watch(node, signals[node][1])
            continue
        start, total = _add([branches.get((p, outlet), signals[p]) for p, outlet in feeding[node][0]])
        if node_type == OUTPUT:
            signals[node] = (0, _window(start, total, 0, length))
        elif node_type not in processors:
            signals[node] = (start, total)
        elif not weights.requires_grad and weight_of[node] == 0:
            signals[node] = (start, torch.zeros_like(total) if processors[node_type].cuts else total)
            silence = (start, torch.zeros_like(total))
            branches |= {(node, outlet): silence for outlet in range(1, processors[node_type].outlets)}
        else:
            processor = processors[node_type]
            settings = {name: value[row : row + 1] for name, value in values.parameters[node_type].items()}
            weight = weight_of[node]
            if processor.linear:
                full = convolve(to_basis(total, processor.channels), processor.impulse_response(settings))
                wet = (start - processor.before, to_left_right(full, processor.channels))
                for outlet in range(1, processor.outlets):
                    part = convolve(to_basis(total, processor.channels), processor.outlet_response(settings, outlet))
                    stereo = to_left_right(part, processor.channels)
                    branches[node, outlet] = (start - processor.before, weight * stereo)
            else:
                total = _window(start, total, -latency[node], block - latency[node])
                start = -latency[node]
                begins = weights.new_zeros(1, dtype=torch.long) if starts is None else starts[graph.songs[node]].view(1)
                state = processor.state_at(begins + start)
                if processor.inlets > 1:
                    key_signal = _add([(start, 0 * total), *(branches.get(p, signals[p[0]]) for p in feeding[node][1])])
                    key = _window(*key_signal, start, start + total.shape[-1])
                    wet = (start, processor.process_keyed(total, key, settings, state)[0])
                else:
                    wet = (start, processor.process(total, settings, state)[0])
            if processor.linear and processor.gain_staged and staged_channel is not None:
                dry_and_wet = torch.stack([_energy(x, staged_channel) for x in (total, wet[1])])
                energies.append(StagedEnergy(node_type, (node,), dry_and_wet))
            dry = (start, (1 - weight) * total if not processor.cuts else torch.zeros_like(total))
            signals[node] = _add([dry, (wet[0], weight * wet[1])])
        if watch is not None:
            watch(node, signals[node][1])
    return Rendering(torch.cat([signals[i][1] for i in graph.outputs]), tuple(energies), block)


def _add(signals: list[tuple[int, Tensor]]) -> tuple[int, Tensor]:
    start = min(s for s, _ in signals)
    stop = max(s + x.shape[-1] for s, x in signals)
    return start, torch.stack([_window(s, x, start, stop) for s, x in signals]).sum(dim=0)


def _window(start: int, signal: Tensor, first: int, last: int) -> Tensor:
    return F.pad(signal, (start - first, last - start - signal.shape[-1]))


def _energy(signal: Tensor, channel: StagedChannel) -> Tensor:
    channels = signal.sum(dim=-2, keepdim=True) if channel == "mid" else signal
    return channels.square().sum(dim=(-2, -1)).unsqueeze(-1)
