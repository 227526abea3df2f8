"""The render plan: the steps of a rendering, in time or as spectra, and their lengths. Data only.

Signals are thought of as unlimited in time; only samples that cannot reach the output are cut.

- **Latency.** A linear processor may look ahead (`before` samples). A node's latency is the largest sum of
  look-aheads on a path to it. When the sources are known up to time t, a node is known up to t - latency. So a block
  of sources [t, t + B) makes the block [t - latency, t - latency + B) of every node; a whole clip of L samples is one
  block of L + lookahead, where lookahead is the latency of the outputs.
- **Domain.** Where linear processors with memory follow each other, sums between them included, signals are spectra
  and nothing is truncated (a region). Inputs and nonlinear processors work in time. What has no memory (gains, sums)
  stays where its input is.
- **Width.** A mono signal is one row until a node makes it stereo.
- **Silence.** Nodes that only silent sources feed are left out.
- **FFT length** of a region: what enters plus the supports along its longest path, so that nothing wraps around.
  Regions of similar length share one, so that their nodes can be processed together.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mixgraph.dsp.fourier import fast_length
from mixgraph.graph.edit import split_outlets, without_inputs
from mixgraph.graph.types import INPUT, OUTPUT, MixGraph
from mixgraph.processors.collection import Processors
from mixgraph.render.schedule import Method, schedule

_MERGE = 0.8  # regions whose extents differ by less than a fifth share an FFT length


@dataclass(frozen=True)
class Region:
    """A set of FFT products: `n_fft` long, with index 0 at `latency` samples before the block's start."""

    n_fft: int
    latency: int


@dataclass(frozen=True)
class Step:
    """Nodes that are processed together.

    Attributes:
        type: the type of the nodes.
        nodes: numbers of the nodes in the plan's graph.
        rows: rows of the nodes in the type's parameters (of the sources for inputs, of the mixes for outputs).
        latency: samples by which the nodes' outputs are early.
        region: region of their spectra, or None for time.
        width: channels of inputs and outputs: 1 where mono stays mono, else 2.
    """

    type: str
    nodes: tuple[int, ...]
    rows: tuple[int, ...]
    latency: int
    region: Region | None
    width: int


@dataclass(frozen=True)
class RenderPlan:
    """The steps that render blocks of `block` samples, see `make_plan`.

    Attributes:
        whole: the graph that the plan was made for.
        graph: the part of it that is rendered, with a node for every outlet.
        weight_rows: the place of every processor of `graph` among those of `whole`.
        steps: the steps, in the order in which they are executed.
        block: the number of samples in a block.
        lookahead: samples of the sources that are needed past the end of the rendered mix.
        latency: samples by which the output of every node is early.
        regions: region of every node, None for nodes in time.
        widths: channels of the output of every node, 1 or 2.
    """

    whole: MixGraph
    graph: MixGraph
    weight_rows: tuple[int, ...]
    steps: tuple[Step, ...]
    block: int
    lookahead: int
    latency: tuple[int, ...]
    regions: tuple[Region | None, ...]
    widths: tuple[int, ...]

    def __str__(self) -> str:
        lines = [f"{len(self.graph)} nodes in {len(self.steps)} steps, block {self.block}, lookahead {self.lookahead}"]
        for i, step in enumerate(self.steps):
            where = f"spectra of {step.region.n_fft}" if step.region else "time"
            nodes = ", ".join(map(str, step.nodes[:12])) + (", ..." if len(step.nodes) > 12 else "")
            what = f"{i:3d}  {step.type:14s} x{len(step.nodes):<4d} {where:20s}"
            channels = "mono  " if step.width == 1 else "stereo"
            lines.append(f"{what} {channels} latency {step.latency:5d}  [{nodes}]")
        return "\n".join(lines)


def lookahead(graph: MixGraph, processors: Processors) -> int:
    """Returns the number of samples of the sources after the end of a clip that still reach the output."""
    return max(latencies(graph, processors))


def make_plan(
    graph: MixGraph,
    processors: Processors,
    block: int,
    method: Method = "auto",
    order: Sequence[str] | None = None,
    mono: Collection[int] = (),
    silent: Collection[int] = (),
) -> RenderPlan:
    """Plans the rendering of blocks of `block` samples; a clip of L samples is one block of L + lookahead.

    Args:
        graph: the graph of one song or several.
        processors: a module for every processor type.
        block: length of a block in samples.
        method: the scheduling method, see `schedule`.
        order: the sequence of types of the method `"fixed"`, see `schedule`.
        mono: rows of the sources whose channels are equal: one channel of them is rendered.
        silent: rows of the sources that are zero throughout, before and after the block too: they are left out.

    Raises:
        ValueError: a type that `processors` lacks, a port that a type does not have, or a block of no samples.
    """
    if block < 1:
        raise ValueError(f"block: at least 1 sample, got {block}")
    unknown = [i for i in graph.processors if graph.types[i] not in processors]
    if unknown:
        raise ValueError(
            f"{graph.label(unknown[0])}: unknown processor type; known are {', '.join(sorted(processors.keys()))}"
        )
    _check_ports(graph, processors)
    whole, lookahead = graph, max(latencies(graph, processors))
    graph, nodes = split_outlets(whole)
    if silent:
        graph, kept = without_inputs(graph, silent)
        nodes = tuple(nodes[i] for i in kept)
    place = {node: i for i, node in enumerate(whole.processors)}
    latency = latencies(graph, processors)
    for i in graph.outputs:  # all songs leave together
        latency[i] = lookahead
    regions = _regions(graph, processors, latency, block)
    widths = _widths(graph, processors, {i for i in graph.inputs if whole.rows[nodes[i]] in mono})
    steps = []
    for node_type, members in schedule(graph, method, order):
        split: dict[tuple[Region | None, int, int], list[int]] = {}
        for node in members:
            key = (regions[node], latency[node] if regions[node] is None else 0, widths[node])
            split.setdefault(key, []).append(node)
        for (region, _, width), step_nodes in split.items():
            rows = tuple(whole.rows[nodes[i]] for i in step_nodes)
            steps.append(Step(node_type, tuple(step_nodes), rows, max(latency[i] for i in step_nodes), region, width))
    weight_rows = tuple(place[nodes[i]] for i in graph.processors)
    return RenderPlan(
        whole, graph, weight_rows, tuple(steps), block, lookahead, tuple(latency), tuple(regions), tuple(widths)
    )


def _check_ports(graph: MixGraph, processors: Processors) -> None:
    for (source, destination), (outlet, inlet) in zip(graph.edges, graph.ports, strict=True):
        for node, port, what in ((source, outlet, "outlets"), (destination, inlet, "inlets")):
            if port and port >= getattr(processors[graph.types[node]], what):
                has = getattr(processors[graph.types[node]], what)
                raise ValueError(
                    f"{graph.label(node)}: {graph.types[node]} has {has} {what}, counted from 0, got a cable at {port}"
                )


def _widths(graph: MixGraph, processors: Processors, mono: Collection[int]) -> list[int]:
    """Returns the number of channels at the input and at the output of each node."""
    widths = [2] * len(graph)
    for i in graph.topological_order:
        node_type = graph.types[i]
        if node_type == INPUT:
            widths[i] = 1 if i in mono else 2
        elif node_type != OUTPUT and (node_type not in processors or processors[node_type].keeps_mono):
            widths[i] = max(widths[p] for p in graph.predecessors[i])
    return widths


def latencies(graph: MixGraph, processors: Processors) -> list[int]:
    """Returns the samples by which each node's output is early: the sum of look-aheads on the longest path to it."""
    latency = [0] * len(graph)
    for i in graph.topological_order:
        entering = max((latency[p] for p in graph.feeders[i]), default=0)
        latency[i] = entering + _supports(graph, processors, i)[0]
    return latency


def _supports(graph: MixGraph, processors: Processors, node: int) -> tuple[int, int]:
    if graph.types[node] in processors and processors[graph.types[node]].linear:
        return processors[graph.types[node]].before, processors[graph.types[node]].after
    return 0, 0


def _regions(graph: MixGraph, processors: Processors, latency: Sequence[int], block: int) -> list[Region | None]:
    spectral: dict[int, bool] = {}
    extents: dict[int, tuple[int, int]] = {}  # node -> (start, stop) of what a block turns into
    owner: dict[int, int] = {}

    def find(node: int) -> int:
        while owner[node] != node:
            node = owner[node]
        return node

    for i in graph.topological_order:
        if graph.types[i] == INPUT:
            spectral[i] = False
            continue
        if graph.types[i] == OUTPUT or (graph.types[i] in processors and not processors[graph.types[i]].linear):
            spectral[i] = False
            continue
        before, after = _supports(graph, processors, i)
        inside = [p for p in graph.predecessors[i] if spectral[p]]
        spectral[i] = bool(inside) or before + after > 0
        if not spectral[i]:
            continue
        ends = [extents[p] if p in inside else (-latency[p], block - latency[p]) for p in graph.predecessors[i]]
        extents[i] = (min(start for start, _ in ends) - before, max(stop for _, stop in ends) + after)
        owner[i] = i
        for p in inside:
            owner[find(p)] = i
    # Per connected region: where the entering blocks start, and from where to where its signals reach.
    spans: dict[int, tuple[int, int, int]] = {}
    for i, (start, stop) in extents.items():
        entering = [-latency[p] for p in graph.predecessors[i] if not spectral[p]]
        origin, low, high = spans.get(find(i), (block, start, stop))
        # A node in time that waits for another path is read from before the region's first sample: zeros must be there.
        leaving = [-latency[s] for s in graph.successors[i] if not spectral[s]]
        spans[find(i)] = (min([origin, *entering]), min([low, start, *leaving]), max(high, stop))
    shared: list[tuple[int, int, int, list[int]]] = []
    for root in sorted(spans, key=lambda r: (spans[r][1] - spans[r][2], r)):
        origin, low, high = spans[root]
        if shared and high - low >= _MERGE * (shared[-1][2] - shared[-1][1]):
            o, a, b, roots = shared[-1]
            shared[-1] = (min(o, origin), min(a, low), max(b, high), [*roots, root])
        else:
            shared.append((origin, low, high, [root]))
    region_of = {
        root: Region(fast_length(high - low), -origin) for origin, low, high, roots in shared for root in roots
    }
    return [region_of[find(i)] if spectral[i] else None for i in range(len(graph))]
