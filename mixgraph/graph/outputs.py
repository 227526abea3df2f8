"""A graph in which every group of subgroups has an output of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mixgraph.graph.types import INPUT, OUTPUT, MixGraph


@dataclass(frozen=True)
class SplitOutputs:
    """A graph with several outputs a song; to a renderer, each of them is a song.

    Attributes:
        graph: the graph. Its processors, inputs and their rows are those of the graph that was split, so that they
            share values.
        songs: for each output, the song of the graph that was split. Outputs of a song sum to its mix.
        groups: for each output, the number of its group in its song, from 0; None for what is in no group.
    """

    graph: MixGraph
    songs: tuple[int, ...]
    groups: tuple[int | None, ...]


def split_outputs(graph: MixGraph, groups: Sequence[Mapping[str, int]]) -> SplitOutputs:
    """Gives each group of subgroups the part of the mix that it makes, and what is in no group another part.

    Args:
        graph: the graph of one song or several, in which subgroups meet at the output only.
        groups: for each song, name of a subgroup -> number of its group.

    Raises:
        ValueError: processors that two groups share: those of a return bus or of a chain on the mix, or compressors
            whose key is in another group.
    """
    labels: list[int | None] = [None] * len(graph)  # the group of each node but outputs; each leads to an output
    for node in reversed(graph.topological_order):
        if graph.types[node] == OUTPUT:
            continue
        behind = {labels[s] for s in graph.successors[node] if graph.types[s] != OUTPUT}
        if any(graph.types[s] == OUTPUT for s in graph.successors[node]):
            behind.add(groups[graph.songs[node]].get(_subgroup(graph, node)))
        if len(behind) > 1 or graph.level(node) in ("return", "master"):
            raise ValueError(
                f"data.group_targets: groups that meet at the output only are needed, got {graph.label(node)}, which "
                "several share. HINT: a console without returns, a chain on the mix, or sidechains between groups"
            )
        (labels[node],) = behind
    return _cut(graph, labels)


def _subgroup(graph: MixGraph, node: int) -> str:
    """The subgroup of a node that feeds an output."""
    head = graph.chain_head(node)
    return graph.subgroups[graph.rows[head]] if graph.types[head] == INPUT else graph.names[head]


def _cut(graph: MixGraph, labels: Sequence[int | None]) -> SplitOutputs:
    number: dict[int, int] = {}  # old node -> new node
    output: dict[tuple[int, int | None], int] = {}  # old song and group -> new node
    types: list[str] = []
    names: list[str] = []
    songs: list[tuple[int, int | None]] = []
    for node, node_type in enumerate(graph.types):
        if node_type != OUTPUT:
            number[node] = len(types)
            types.append(node_type)
            names.append(graph.names[node])
            songs.append((graph.songs[node], labels[node]))
            continue
        for group in sorted({labels[p] for p in graph.predecessors[node]}, key=lambda g: (g is None, g)):
            output[graph.songs[node], group] = len(types)
            types.append(OUTPUT)
            names.append(graph.names[node])
            songs.append((graph.songs[node], group))
    parts = list(output)
    edges = [
        (number[s], output[graph.songs[s], labels[s]] if graph.types[d] == OUTPUT else number[d])
        for s, d in graph.edges
    ]
    split = MixGraph(
        types=tuple(types),
        edges=tuple(edges),
        names=tuple(names),
        subgroups=graph.subgroups,
        songs=tuple(parts.index(song) for song in songs),
        ports=graph.ports,
    )
    return SplitOutputs(split, tuple(song for song, _ in parts), tuple(group for _, group in parts))
