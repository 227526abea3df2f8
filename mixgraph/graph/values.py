"""Graphs with the values of their processors: joined, and taken apart again, song by song."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mixgraph.graph.edit import batch, prune, take_song, upstream_part
from mixgraph.graph.types import MixGraph


@dataclass(frozen=True, eq=False)
class GraphValues:
    """A graph and the settings of its processors.

    Attributes:
        graph: the graph of one song or several.
        parameters: type -> name -> (nodes of the type, *shape), in trained coordinates.
        weights: dry/wet weights, (processors,).
    """

    graph: MixGraph
    parameters: Mapping[str, Mapping[str, Tensor]]
    weights: Tensor


def batch_values(parts: Sequence[GraphValues]) -> GraphValues:
    """Joins graphs into one disconnected graph, as `batch` does, with their rows one after the other."""
    graph = batch([part.graph for part in parts])
    rows: dict[str, dict[str, list[Tensor]]] = {}
    for part in parts:
        for node_type, type_parameters in part.parameters.items():
            for name, value in type_parameters.items():
                rows.setdefault(node_type, {}).setdefault(name, []).append(value)
    parameters = {t: {name: torch.cat(values) for name, values in type_rows.items()} for t, type_rows in rows.items()}
    return GraphValues(graph, parameters, torch.cat([part.weights for part in parts]))


def song_values(values: GraphValues, song: int) -> GraphValues:
    """Takes the graph and values of one song, by its number, out of those that `batch_values` joined."""
    whole = values.graph
    graph = take_song(whole, song)
    rows = {t: [whole.rows[i] for i in whole.nodes_of(t) if whole.songs[i] == song] for t in graph.count()}
    parameters = {t: {name: value[rows[t]] for name, value in values.parameters[t].items()} for t in rows}
    return GraphValues(
        graph, parameters, values.weights[[n for n, i in enumerate(whole.processors) if whole.songs[i] == song]]
    )


def prune_values(values: GraphValues, keep: Collection[int]) -> GraphValues:
    """Removes the processors that are not in `keep` (node numbers), with their values; see `prune`."""
    graph, index = prune(values.graph, keep)
    parameters = {
        t: {name: value[list(rows)] for name, value in values.parameters[t].items()}
        for t, rows in index.rows.items()
        if rows
    }
    return GraphValues(graph, parameters, values.weights[list(index.processors)])


def upstream_values(values: GraphValues, ends: Collection[tuple[int, int]]) -> tuple[GraphValues, tuple[int, ...]]:
    """Takes the part of one song's graph that makes a sum of outlets, with its values; see `upstream_part`.

    Returns:
        The part, and the rows of the sources that it reads.
    """
    whole = values.graph
    graph, nodes = upstream_part(whole, ends)
    place = {node: i for i, node in enumerate(whole.processors)}
    rows = {t: [whole.rows[i] for i in nodes if whole.types[i] == t] for t in graph.count()}
    parameters = {t: {name: value[rows[t]] for name, value in values.parameters[t].items()} for t in rows}
    weights = values.weights[[place[i] for i in nodes if i in place]]
    return GraphValues(graph, parameters, weights), tuple(whole.rows[i] for i in nodes if i in whole.inputs)
