"""The linear stretches of a graph's chains, and their impulse responses.

A chain is cut at its non-linear processors. What leads from the beginning of the chain, or from a non-linear processor,
to the next non-linear processor or to the chain's end is linear: one impulse response from left and right to left and
right. Where a chain parts at a splitter, several stretches may end at one place, which hears their sum.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from mixgraph.graph.types import AUXILIARY, INPUT, OUTPUT, PLAIN, MixGraph
from mixgraph.graph.values import GraphValues, batch_values
from mixgraph.processors import Processors
from mixgraph.render import render_song
from mixgraph.results.changes import processor_labels
from mixgraph.results.found_graph import FoundGraph

_TAIL = 1e-13
"""Share of a response's energy that its cut end may have, -130 dB."""
_CROSSTALK = 1e-6
"""Of the peak: what is quieter between the channels is rounding."""


@dataclass(frozen=True)
class End:
    """A place that a stretch leads to.

    Attributes:
        label: names it for people, as `subgroup drums`, `the mix`, `track kick: compressor`, or `key of ...`; several
            names are joined by " and ".
        ends: (node, outlet) pairs whose sum arrives there.
        processor: the non-linear processor that is there; None at the end of the chain.
    """

    label: str
    ends: tuple[tuple[int, int], ...]
    processor: int | None


@dataclass(frozen=True)
class Stretch:
    """A linear part of a chain.

    Attributes:
        start: the node whose output enters; None where the sum at the input of the chain's first processor does.
        end: where it leads to.
        nodes: its processors, in the signal's order; none where the signal passes as it is.
        latency: samples by which its response is late, so that it begins at time zero. Where several stretches arrive
            at one place, each has the latency that makes the sums right.
    """

    start: int | None
    end: End
    nodes: tuple[int, ...]
    latency: int


@dataclass(frozen=True)
class Chain:
    """A chain: `track kick`, `subgroup drums`.

    Attributes:
        head: its input or mix node, or the processor at whose input several chains meet.
        place: `track kick`.
        stretches: its linear parts, in the signal's order.
        curved: its non-linear processors, in the signal's order.
        latency: samples by which the last part is late, in all.
    """

    head: int
    place: str
    stretches: tuple[Stretch, ...]
    curved: tuple[int, ...]
    latency: int


def find_chains(found_graph: FoundGraph) -> list[Chain]:
    """Returns all chains of the graph, tracks first, in the order of nodes."""
    graph = found_graph.graph
    labels = node_labels(graph)
    heads = [i for i in range(len(graph)) if graph.chain_head(i) == i and graph.types[i] != OUTPUT]
    return [_chain(graph, found_graph.processors, head, labels) for head in heads]


def node_labels(graph: MixGraph) -> dict[int, str]:
    """Returns a name for each node; processors have names of their own, see `processor_labels`."""
    labels = {node: graph.label(node) for node in range(len(graph))}
    labels |= dict.fromkeys(graph.outputs, "the mix")
    return labels | dict(zip(graph.processors, processor_labels(graph), strict=True))


def _chain(graph: MixGraph, processors: Processors, head: int, labels: Mapping[int, str]) -> Chain:
    members = [i for i in graph.topological_order if graph.chain_head(i) == head and graph.types[i] != OUTPUT]
    inner = [i for i in members if graph.types[i] not in AUXILIARY]
    curved = [i for i in inner if not processors[graph.types[i]].linear]
    late = _latencies(graph, processors, members)
    stretches = []
    starts = [None if head in inner else head, *curved]
    for end in _ends(graph, members, curved, labels):
        for start in starts:
            nodes = _between(graph, start, head, end, set(inner) - set(curved))
            if nodes or any(node == start for node, _ in end.ends) or (start is None and end.processor == head):
                arrival = max((late[node] for node, _ in end.ends), default=0)
                stretches.append(Stretch(start, end, nodes, arrival - (0 if start is None else late[start])))
    place = graph.label(head)
    if graph.types[head] not in AUXILIARY:
        place = place.rpartition(": ")[0]  # a chain that begins with a processor: the name of that is no part of it
    total = max((late[node] for s in stretches if s.end.processor is None for node, _ in s.end.ends), default=0)
    return Chain(head, place, tuple(stretches), tuple(curved), total)


def _latencies(graph: MixGraph, processors: Processors, members: Collection[int]) -> dict[int, int]:
    """Returns the samples by which convolution makes the output of each member late, from the chain's beginning on."""
    late: dict[int, int] = {}
    for node in members:
        kind = graph.types[node]
        look_ahead = processors[kind].before if kind not in AUXILIARY and processors[kind].linear else 0
        late[node] = look_ahead + max((late[p] for p in graph.predecessors[node] if p in late), default=0)
    return late


def _ends(graph: MixGraph, members: Collection[int], curved: Collection[int], labels: Mapping[int, str]) -> list[End]:
    """Returns the inputs of the non-linear processors of a chain, then where it leads to, then keys from within it."""
    arriving: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (source, destination), (outlet, inlet) in zip(graph.edges, graph.ports, strict=True):
        leaves = destination not in members or inlet == 1
        if source in members and (leaves or destination in curved):
            arriving.setdefault((inlet, destination), []).append((source, outlet))
    inputs = [End(labels[i], tuple(arriving.pop((0, i), ())), i) for i in curved]
    by_ends: dict[tuple[tuple[int, int], ...], list[str]] = {}
    for (inlet, destination), ends in sorted(arriving.items()):
        by_ends.setdefault(tuple(ends), []).append(f"{'key of ' * inlet}{labels[destination]}")
    return [*inputs, *(End(" and ".join(names), ends, None) for ends, names in by_ends.items())]


def _between(graph: MixGraph, start: int | None, head: int, end: End, linear: Collection[int]) -> tuple[int, ...]:
    """Returns the linear processors on the ways from a start to an end."""
    forward: set[int] = set()
    for node in graph.topological_order:
        entered = start is None and node == head
        if node in linear and (entered or any(p == start or p in forward for p in graph.predecessors[node])):
            forward.add(node)
    backward: set[int] = set()
    sources = {node for node, _ in end.ends}
    for node in reversed(graph.topological_order):
        feeds = any(s in backward for s in graph.successors[node] if node in graph.predecessors[s])
        if node in forward and (node in sources or feeds):
            backward.add(node)
    return tuple(node for node in graph.topological_order if node in backward)


def stretch_values(found_graph: FoundGraph, chain: Chain, stretch: Stretch) -> GraphValues:
    """Returns a stretch as a graph of its own, with its values: one input, its processors, one output."""
    graph, nodes = found_graph.graph, stretch.nodes
    number = {node: 1 + i for i, node in enumerate(nodes)} | ({} if stretch.start is None else {stretch.start: 0})
    last = len(nodes) + 1
    cables = [((0, number[chain.head]), PLAIN)] if stretch.start is None and chain.head in number else []
    for (source, destination), (outlet, inlet) in zip(graph.edges, graph.ports, strict=True):
        if source in number and destination in nodes and inlet == 0:
            cables.append(((number[source], number[destination]), (outlet, 0)))
    cables += [((number[node], last), (outlet, 0)) for node, outlet in stretch.end.ends if node in number]
    edges, ports = zip(*cables, strict=True)
    part = MixGraph(
        types=(INPUT, *(graph.types[node] for node in nodes), OUTPUT),
        edges=edges,
        names=("", *(graph.names[node] for node in nodes), ""),
        subgroups=("",),
        ports=ports,
    )
    place = {node: i for i, node in enumerate(graph.processors)}
    rows = {kind: [graph.rows[node] for node in nodes if graph.types[node] == kind] for kind in part.count()}
    parameters = {kind: {n: v[rows[kind]] for n, v in found_graph.parameters[kind].items()} for kind in rows}
    return GraphValues(part, parameters, found_graph.weights[[place[node] for node in nodes]])


def impulse_response(found_graph: FoundGraph, chain: Chain, stretch: Stretch) -> Tensor:
    """Returns the response of a stretch, (2, 2, samples): from left and right to left and right.

    Time zero is at sample `stretch.latency`. The end is cut where what is left has less than -130 dB of the energy.
    """
    values = stretch_values(found_graph, chain, stretch)
    processors = found_graph.processors
    length = stretch.latency + 1 + _reach(values.graph, processors)
    impulses = torch.zeros(2, 2, length)
    impulses[0, 0, stretch.latency] = impulses[1, 1, stretch.latency] = 1
    both = batch_values([values, values])
    with torch.no_grad():
        response = render_song(both.graph, processors, impulses, both.parameters, both.weights).cpu()
    energy = response.double().square().sum(dim=(0, 1))
    after = energy.flip(0).cumsum(0).flip(0)
    kept = max(stretch.latency + 1, int((after > _TAIL * after[0]).sum()))
    return response[..., :kept]


def _reach(graph: MixGraph, processors: Processors) -> int:
    """Returns the samples that a linear graph's response reaches after time zero."""
    reach = [0] * len(graph)
    for node in graph.topological_order:
        entering = max((reach[p] for p in graph.predecessors[node]), default=0)
        kind = graph.types[node]
        reach[node] = entering + (0 if kind in AUXILIARY else processors[kind].after)
    return max(reach)


def has_crosstalk(response: Tensor) -> bool:
    """Whether a response, (2, 2, samples), leads from one channel to the other."""
    across = torch.maximum(response[0, 1].abs().max(), response[1, 0].abs().max())
    return bool(across > _CROSSTALK * response.abs().max())
