"""The order of processing: batches of nodes of one type (paper appendix C.2).

A schedule is a sequence of steps; all nodes of a step have one type and wait for no other node of the step. Inputs
come first, outputs last, and a step always takes every node of its type that is ready, so that a schedule is as
good as its sequence of types is short.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Literal, get_args

from mixgraph.graph.types import INPUT, MIX, OUTPUT, MixGraph

Method = Literal["auto", "fixed", "beam", "greedy", "one_by_one"]
Steps = list[tuple[str, tuple[int, ...]]]


def schedule(graph: MixGraph, method: Method = "auto", order: Sequence[str] | None = None, width: int = 64) -> Steps:
    """Schedules the nodes of a graph.

    Args:
        graph: any graph.
        method: `"fixed"` walks a sequence of types once (optimal for consoles and what pruning leaves of them),
            `"beam"` searches sequences, `"greedy"` takes the type with the most ready nodes, `"one_by_one"` makes a
            step of each node, `"auto"` is fixed where the graph has a common order and else beam.
        order: the sequence of types for `"fixed"`; by default read off the graph by `console_order`.
        width: the number of sequences of types that a beam search keeps.

    Returns:
        The type and the nodes of each step, in order.

    Raises:
        ValueError: an unknown method, no common order, or an order that leaves nodes unprocessed.
    """
    methods: dict[str, Callable[[], Steps]] = {
        "auto": lambda: _automatic(graph, width),
        "fixed": lambda: _fixed(graph, order if order is not None else console_order(graph)),
        "beam": lambda: _beam(graph, width),
        "greedy": lambda: _beam(graph, 1),
        "one_by_one": lambda: [(graph.types[i], (i,)) for i in graph.topological_order],
    }
    if method not in methods:
        raise ValueError(f"method: one of {', '.join(get_args(Method))}, got {method!r}")
    return methods[method]()


def console_order(graph: MixGraph) -> list[str]:
    """Returns the order of types that all chains of a graph follow: tracks, mix, subgroups (and so on), output.

    Raises:
        ValueError: two chains of the same level use two types in opposite orders.
    """
    level = dict.fromkeys(range(len(graph)), 0)
    for node in graph.topological_order:
        before = max((level[p] for p in graph.feeders[node]), default=0)
        level[node] = before + (graph.types[node] == MIX)
    order = [INPUT]
    for current in range(max(level.values()) + 1):
        sorter: TopologicalSorter[str] = TopologicalSorter()
        for node in graph.processors:
            if level[node] == current:
                ahead = [p for p in graph.feeders[node] if level[p] == current and graph.types[p] != MIX]
                sorter.add(graph.types[node], *(graph.types[p] for p in ahead if graph.types[p] != INPUT))
        try:
            types = list(sorter.static_order())
        except CycleError as error:
            raise ValueError(f"the graph has no common order of types ({error.args[1]}); use method='beam'") from error
        order += ([MIX] if current else []) + types
    return [*order, OUTPUT]


def _automatic(graph: MixGraph, width: int) -> Steps:
    try:
        return _fixed(graph, console_order(graph))
    except ValueError:
        return _beam(graph, width)


def _fixed(graph: MixGraph, order: Sequence[str]) -> Steps:
    state = _State(graph)
    steps: Steps = []
    for node_type in order:
        nodes = state.ready(node_type)
        if nodes:
            steps.append((node_type, nodes))
            state = state.advance(nodes)
    if len(state.done) < len(graph):
        left = next(i for i in range(len(graph)) if i not in state.done)
        raise ValueError(f"order: {list(order)} leaves node {left} ({graph.label(left)}) unprocessed")
    return steps


def _beam(graph: MixGraph, width: int) -> Steps:
    start = _State(graph)
    first = start.ready(INPUT)
    beams: list[tuple[Steps, _State]] = [([(INPUT, first)], start.advance(first))]
    while True:
        for steps, state in beams:
            if len(state.done) == len(graph):
                return steps
        grown: dict[frozenset[int], tuple[Steps, _State]] = {}
        for steps, state in beams:
            for node_type in state.ready_types():
                nodes = state.ready(node_type)
                after = state.advance(nodes)
                grown.setdefault(after.done, ([*steps, (node_type, nodes)], after))
        # The sort is stable and the types are visited in a fixed order: the same graph gives the same schedule.
        beams = sorted(grown.values(), key=lambda beam: -len(beam[1].done))[:width]


class _State:
    """The nodes that have been processed, and those that are ready."""

    def __init__(self, graph: MixGraph, done: frozenset[int] = frozenset()) -> None:
        self.graph = graph
        self.done = done

    def ready(self, node_type: str) -> tuple[int, ...]:
        if node_type == OUTPUT and len(self.done) < len(self.graph) - len(self.graph.outputs):
            return ()
        before = self.graph.feeders
        return tuple(
            i for i in self.graph.nodes_of(node_type) if i not in self.done and all(p in self.done for p in before[i])
        )

    def ready_types(self) -> list[str]:
        return [t for t in dict.fromkeys(self.graph.types) if self.ready(t)]

    def advance(self, nodes: Sequence[int]) -> _State:
        return _State(self.graph, self.done | frozenset(nodes))
