"""Computes the figures of a graph that are logged while it is pruned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

from mixgraph.graph import MixGraph


def graph_statistics(
    graph: MixGraph, weights: Sequence[float], initial_counts: Sequence[Mapping[str, int]], suffixes: Sequence[str]
) -> dict[str, float]:
    """Returns `weight/{type}` (mean dry/wet weight), `ratio/{type}` (left over initial count) and `num_processors`.

    Args:
        graph: the graph of one song or several.
        weights: dry/wet weight of each processor.
        initial_counts: for each song, the initial number of processors by type.
        suffixes: the suffix of each song's names of figures, e.g. `/SONG`.

    Returns:
        The figures of all songs together, and those of each song.
    """
    left: list[list[tuple[str, float]]] = [[] for _ in initial_counts]
    for node, weight in zip(graph.processors, weights, strict=True):
        left[graph.songs[node]].append((graph.types[node], weight))
    statistics = _statistics(list(chain(*left)), sum(map(Counter, initial_counts), Counter()))
    for of_song, initial, suffix in zip(left, initial_counts, suffixes, strict=True):
        statistics |= {name + suffix: value for name, value in _statistics(of_song, initial).items()}
    return statistics


def _statistics(left: Sequence[tuple[str, float]], initial: Mapping[str, int]) -> dict[str, float]:
    statistics = {}
    for node_type, count in initial.items():
        weights = [weight for kind, weight in left if kind == node_type]
        statistics[f"weight/{node_type}"] = sum(weights) / len(weights) if weights else 0.0
        statistics[f"ratio/{node_type}"] = len(weights) / count
    return statistics | {"num_processors": float(len(left))}
