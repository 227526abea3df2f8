"""Edits of graphs as values: prune, batch, split, relabel."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import compress

from mixgraph.graph.types import AUXILIARY, INPUT, OUTPUT, MixGraph
from mixgraph.processors.registry import registered


@dataclass(frozen=True)
class PruneIndex:
    """Maps the remaining processors and rows of a pruned graph to those of the graph before.

    Attributes:
        processors: the index in the old `graph.processors` of every remaining processor, in order.
        rows: per processor type of the old graph, the parameter rows that remain, in order (maybe none).
    """

    processors: tuple[int, ...]
    rows: dict[str, tuple[int, ...]]


def prune(graph: MixGraph, keep: Collection[int]) -> tuple[MixGraph, PruneIndex]:
    """Removes the processors that are not in `keep`, and connects what fed them to what they fed.

    Equal to setting the dry/wet weights of the removed nodes to 0 (paper section 3). A processor that cuts (a send) is
    removed with its connection. So are the further outlets of a splitter, whose first one passes everything on, and
    keys. All that nothing feeds any more, or that feeds nothing, goes too: what was kept may go with it.

    Args:
        graph: any graph.
        keep: node numbers of the processors to keep; inputs, mixes and outputs always stay.

    Raises:
        ValueError: `keep` names a node that is not a processor, or the removal would connect two nodes twice
            (a node beside a bypass of itself: its sum cannot be written as a simple graph), or leave an output without
            input, or an input unheard.
    """
    kept, gone = set(keep), set(graph.processors).difference(keep)
    for node in kept.difference(graph.processors):
        raise ValueError(f"keep: node {node} is not a processor of this graph")
    cuts = {name for name, processor in registered().items() if processor.cuts}
    # Walk in topological order: what reaches the input of a removed node leaves, through it, by its first outlet.
    arriving: list[list[tuple[int, int, int]]] = [[] for _ in graph.types]
    for (source, destination), (outlet, inlet) in zip(graph.edges, graph.ports, strict=True):
        arriving[destination].append((source, outlet, inlet))
    cables: dict[int, list[tuple[int, int, int]]] = {}  # node -> (source, outlet, inlet) of what reaches it
    for node in graph.topological_order:
        reaching: list[tuple[int, int, int]] = []
        for p, outlet, inlet in arriving[node] if not (node in gone and graph.types[node] in cuts) else ():
            if p not in gone:
                reaching.append((p, outlet, inlet))
            elif outlet == 0:
                reaching += [
                    (source, source_outlet, inlet) for source, source_outlet, entered in cables[p] if entered == 0
                ]
        if not any(inlet == 0 for _, _, inlet in reaching) and graph.types[node] not in (INPUT, OUTPUT):
            gone.add(node)
        if len(set(reaching)) < len(reaching) and node not in gone:
            raise ValueError(f"pruning would connect two nodes twice at {graph.label(node)}; keep one of its branches")
        cables[node] = reaching
    feeds_output = set(graph.inputs) | set(graph.outputs)
    for node in reversed(graph.topological_order):
        if node in feeds_output and node not in gone:
            feeds_output.update(source for source, _, _ in cables[node])
    gone |= set(range(len(graph))) - feeds_output
    survivors = [i for i in range(len(graph)) if i not in gone]
    renumber = {old: new for new, old in enumerate(survivors)}
    left = [(source, node, outlet, inlet) for node in survivors for source, outlet, inlet in cables[node]]
    pruned = MixGraph(
        types=tuple(graph.types[i] for i in survivors),
        edges=tuple((renumber[source], renumber[node]) for source, node, _, _ in left),
        names=tuple(graph.names[i] for i in survivors),
        subgroups=graph.subgroups,
        songs=tuple(graph.songs[i] for i in survivors),
        ports=tuple((outlet, inlet) for _, _, outlet, inlet in left),
    )
    rows = {t: tuple(graph.rows[i] for i in graph.nodes_of(t) if i not in gone) for t in graph.count()}
    processors = tuple(i for i, node in enumerate(graph.processors) if node not in gone)
    return pruned, PruneIndex(processors, rows)


def audible_part(graph: MixGraph, silent: Collection[int]) -> tuple[MixGraph, tuple[int, ...]]:
    """Removes nodes that only silent sources reach; returns the graph and the old number of every remaining node.

    Where all sources of one of its songs are silent, it returns the whole graph.

    Args:
        graph: any graph.
        silent: rows of the sources that are silent.

    Raises:
        ValueError: a row that the graph does not have.
    """
    if strange := sorted(set(silent).difference(range(len(graph.inputs)))):
        raise ValueError(f"silent: rows from 0 to {len(graph.inputs) - 1} are needed, got {strange}")
    left = [node for node in range(len(graph)) if not set(graph.sources[node]) <= set(silent)]
    if not silent or not set(graph.outputs) <= set(left):
        return graph, tuple(range(len(graph)))
    renumber = {old: new for new, old in enumerate(left)}
    cables = [(edge, port) for edge, port in zip(graph.edges, graph.ports, strict=True) if {*edge} <= renumber.keys()]
    part = MixGraph(
        types=tuple(graph.types[i] for i in left),
        edges=tuple((renumber[source], renumber[destination]) for (source, destination), _ in cables),
        names=tuple(graph.names[i] for i in left),
        subgroups=tuple(graph.subgroups[graph.rows[i]] for i in graph.inputs if i in renumber),
        songs=tuple(graph.songs[i] for i in left),
        ports=tuple(port for _, port in cables),
    )
    return part, tuple(left)


def split_outlets(graph: MixGraph) -> tuple[MixGraph, tuple[int, ...]]:
    """Replaces splitters by a node for every outlet that is used, so that every node has one output.

    The first outlet keeps the type, the others add their number to it, see `Processors`.

    Returns:
        The graph, and the old number of each of its nodes.
    """
    if not any(outlet for outlet, _ in graph.ports):
        return graph, tuple(range(len(graph)))
    used: list[set[int]] = [set() for _ in graph.types]
    for (source, _), (outlet, _) in zip(graph.edges, graph.ports, strict=True):
        used[source].add(outlet)
    parts = [(node, outlet) for node in range(len(graph)) for outlet in sorted(used[node] or {0})]
    number = {part: i for i, part in enumerate(parts)}
    edges, ports = [], []
    for (source, destination), (outlet, inlet) in zip(graph.edges, graph.ports, strict=True):
        for part in sorted(used[destination] or {0}):
            edges.append((number[source, outlet], number[destination, part]))
            ports.append((0, inlet))
    nodes = tuple(node for node, _ in parts)
    split = MixGraph(
        types=tuple(graph.types[node] + (f"/{outlet}" if outlet else "") for node, outlet in parts),
        edges=tuple(edges),
        names=tuple(graph.names[node] for node in nodes),
        subgroups=graph.subgroups,
        songs=tuple(graph.songs[node] for node in nodes),
        ports=tuple(ports),
    )
    return split, nodes


def without_inputs(graph: MixGraph, silent: Collection[int]) -> tuple[MixGraph, tuple[int, ...]]:
    """Removes inputs, all that only they feed, and what was the key of that; a song keeps its first input at least.

    Args:
        graph: any graph.
        silent: rows of the sources to remove, i.e. ranks among the inputs.

    Returns:
        The remaining graph, and the old number of each of its nodes.
    """
    carrying = set(graph.outputs)  # what an output hears, not only through a key
    for node in reversed(graph.topological_order):
        if node in carrying:
            carrying.update(graph.predecessors[node])
    live = {i for k, i in enumerate(graph.inputs) if k not in silent}
    for song in range(graph.num_songs):
        song_inputs = [i for i in graph.inputs if graph.songs[i] == song and i in carrying]
        if live.isdisjoint(song_inputs):
            live.add(song_inputs[0])
    for node in graph.topological_order:
        if any(p in live for p in graph.predecessors[node]):
            live.add(node)
    feeds_output = set(graph.outputs)
    for node in reversed(graph.topological_order):
        if node in feeds_output and node in live:
            feeds_output.update(graph.feeders[node])
    left = feeds_output & live
    nodes = tuple(i for i in range(len(graph)) if i in left)
    subgroups = tuple(g for g, i in zip(graph.subgroups, graph.inputs, strict=True) if i in left)
    return _take(graph, nodes, subgroups, tuple(graph.songs[i] for i in nodes)), nodes


def upstream_part(graph: MixGraph, ends: Collection[tuple[int, int]]) -> tuple[MixGraph, tuple[int, ...]]:
    """Returns the part of one song's graph that makes a sum of outlets, which its output then is.

    What feeds keys belongs to it: a compressor with a sidechain acts as in the whole graph.

    Args:
        graph: the graph of one song.
        ends: (node, outlet) pairs that are summed.

    Returns:
        The part, and the old number of each of its nodes.
    """
    needed = {node for node, _ in ends}
    for node in reversed(graph.topological_order):
        if node in needed:
            needed.update(graph.feeders[node])
    nodes = (*sorted(needed), graph.outputs[0])
    number = {old: new for new, old in enumerate(nodes)}
    cables = [
        (number[source], number[destination], port)
        for (source, destination), port in zip(graph.edges, graph.ports, strict=True)
        if source in needed and destination in needed
    ] + [(number[node], len(nodes) - 1, (outlet, 0)) for node, outlet in ends]
    part = MixGraph(
        types=tuple(graph.types[i] for i in nodes),
        edges=tuple((source, destination) for source, destination, _ in cables),
        names=tuple(graph.names[i] for i in nodes),
        subgroups=tuple(group for group, i in zip(graph.subgroups, graph.inputs, strict=True) if i in needed),
        ports=tuple(port for _, _, port in cables),
    )
    return part, nodes


def batch(graphs: Sequence[MixGraph]) -> MixGraph:
    """Joins graphs into one disconnected graph; rows of parameters and sources are concatenated in order."""
    if not graphs:
        raise ValueError("graphs: at least one graph is needed, got none")
    types: list[str] = []
    edges: list[tuple[int, int]] = []
    songs: list[int] = []
    ports: list[tuple[int, int]] = []
    for graph in graphs:
        ports += graph.ports
        edges += [(s + len(types), d + len(types)) for s, d in graph.edges]
        first = max(songs, default=-1) + 1
        songs += [first + song for song in graph.songs]
        types += graph.types
    names = tuple(name for graph in graphs for name in graph.names)
    subgroups = tuple(group for graph in graphs for group in graph.subgroups)
    return MixGraph(tuple(types), tuple(edges), names, subgroups, tuple(songs), tuple(ports))


def song_nodes(graph: MixGraph, song: int) -> tuple[int, ...]:
    """Returns the node numbers of one song of a batch."""
    return tuple(i for i in range(len(graph)) if graph.songs[i] == song)


def take_song(graph: MixGraph, song: int) -> MixGraph:
    """Returns the graph of one song of a batch; its nodes are `song_nodes`, in order."""
    inputs = [k for k, i in enumerate(graph.inputs) if graph.songs[i] == song]
    nodes = song_nodes(graph, song)
    return _take(graph, nodes, tuple(graph.subgroups[k] for k in inputs), songs=(0,) * len(nodes))


def unbatch(graph: MixGraph) -> list[MixGraph]:
    """The inverse of `batch`: one graph a song."""
    return [take_song(graph, song) for song in range(graph.num_songs)]


def relabel(graph: MixGraph, order: Sequence[int]) -> MixGraph:
    """Renumbers the nodes: new node `i` is old node `order[i]`; rows and sources follow the new order."""
    if sorted(order) != list(range(len(graph))):
        raise ValueError(f"order: a permutation of 0..{len(graph) - 1} is needed, got {list(order)}")
    group_of = dict(zip(graph.inputs, graph.subgroups, strict=True))
    subgroups = tuple(group_of[i] for i in order if i in group_of)
    return _take(graph, order, subgroups, tuple(graph.songs[i] for i in order))


def _take(graph: MixGraph, nodes: Sequence[int], subgroups: tuple[str, ...], songs: tuple[int, ...]) -> MixGraph:
    number = {old: new for new, old in enumerate(nodes)}
    inside = [s in number and d in number for s, d in graph.edges]
    return MixGraph(
        types=tuple(graph.types[i] for i in nodes),
        edges=tuple((number[s], number[d]) for s, d in compress(graph.edges, inside)),
        names=tuple(graph.names[i] for i in nodes),
        subgroups=subgroups,
        songs=songs,
        ports=tuple(compress(graph.ports, inside)),
    )


def keep_by_type(graph: MixGraph, types: Collection[str]) -> list[int]:
    """Returns the node numbers of all processors of the given types, e.g. to keep the gains alone."""
    unknown = set(types) & set(AUXILIARY)
    if unknown:
        raise ValueError(f"types: {sorted(unknown)} are not processor types")
    return [i for i in graph.processors if graph.types[i] in types]
