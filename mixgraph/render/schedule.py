"""The order of processing: batches of nodes of one type (paper appendix C.2).

A schedule is a sequence of steps; all nodes of a step have one type and wait for no other node of the step. Inputs
come first, outputs last, and a step always takes every node of its type that is ready, so that a schedule is as
good as its sequence of types is short.

Nodes of one type that are fed by the same nodes, or by nodes that are always processed together, are processed
together by every schedule. Such classes of nodes, as bits of a number, are what is searched: all equal tracks of a
console are one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Literal, get_args

from mixgraph.graph.types import INPUT, MIX, OUTPUT, MixGraph

Method = Literal["auto", "fixed", "beam", "greedy", "one_by_one"]
Steps = list[tuple[str, tuple[int, ...]]]


def schedule(graph: MixGraph, method: Method = "auto", order: Sequence[str] | None = None, width: int = 64) -> Steps:
    """Schedules the nodes of a graph.

    Args:
        graph: any graph.
        method: `"fixed"` walks a sequence of types once: the shortest for full consoles, but not for all that pruning
            leaves of them, since every type waits for the longest chain before its mix. `"beam"` searches sequences,
            `"greedy"` takes the type with the most ready nodes, `"one_by_one"` makes a step of each node, and `"auto"`
            is the shorter of fixed, where the graph has a common order, and beam.
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
        "beam": lambda: _steps(graph, _beam(NodeClasses(graph), width)),
        "greedy": lambda: _steps(graph, _beam(NodeClasses(graph), 1)),
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
    classes = NodeClasses(graph)
    try:
        fixed = _fixed(graph, console_order(graph))
    except ValueError:
        return _steps(graph, _beam(classes, width))
    if len(fixed) <= classes.least_steps(0):
        return fixed
    shorter = _beam(classes, width, len(fixed) - 1)
    return _steps(graph, shorter) if shorter else fixed


def _fixed(graph: MixGraph, order: Sequence[str]) -> Steps:
    steps = _steps(graph, order)
    processed = {node for _, nodes in steps for node in nodes}
    if len(processed) < len(graph):
        left = next(i for i in range(len(graph)) if i not in processed)
        raise ValueError(f"order: {list(order)} leaves node {left} ({graph.label(left)}) unprocessed")
    return steps


def _steps(graph: MixGraph, types: Iterable[str]) -> Steps:
    """Walks a sequence of types; those of which no node is ready are skipped."""
    classes, done, steps = NodeClasses(graph), 0, []
    for node_type in types:
        ready = classes.ready(done) & classes.of_type.get(node_type, 0)
        if ready:
            steps.append((node_type, classes.nodes(ready)))
            done |= ready
    return steps


def _beam(classes: NodeClasses, width: int, most_steps: int | None = None) -> tuple[str, ...]:
    """Searches a short sequence of types; empty where none of at most `most_steps` is found."""
    first = classes.ready(0) & classes.of_type[INPUT]
    beams: list[tuple[tuple[str, ...], int]] = [((INPUT,), first)]
    while beams:
        for types, done in beams:
            if done == classes.all:
                return types
        grown: dict[int, tuple[str, ...]] = {}
        for types, done in beams:
            ready = classes.ready(done)
            for node_type, members in classes.of_type.items():
                if ready & members:
                    grown.setdefault(done | ready & members, (*types, node_type))
        kept = [
            (types, done)
            for done, types in grown.items()
            if most_steps is None or len(types) + classes.least_steps(done) <= most_steps
        ]
        # The sort is stable and the types are visited in a fixed order: the same graph gives the same schedule.
        beams = sorted(kept, key=lambda beam: -classes.count(beam[1]))[:width]
    return ()


class NodeClasses:
    """The classes of nodes that are always processed together, as bits, and what each waits for.

    Attributes:
        of_type: type -> its classes, in the order in which the types appear in the graph.
        all: all classes.
    """

    def __init__(self, graph: MixGraph) -> None:
        self.members: list[list[int]] = []
        self.waits_for: list[int] = []
        self.of_type = dict.fromkeys(graph.types, 0)
        self.all = 0
        place: dict[int, int] = {}  # node -> class
        numbers: dict[tuple[str, int], int] = {}
        for node in graph.topological_order:
            if graph.types[node] != OUTPUT:
                waits_for = 0
                for feeder in graph.feeders[node]:
                    waits_for |= 1 << place[feeder]
                place[node] = numbers.setdefault((graph.types[node], waits_for), len(numbers))
                self._add(node, place[node], graph.types[node], waits_for)
        before = self.all
        for node in graph.outputs:
            self._add(node, len(numbers), OUTPUT, before)
        self.height = [1] * len(self.members)
        for number in reversed(range(len(self.members))):
            above = [self.height[n] for n, waits_for in enumerate(self.waits_for) if waits_for >> number & 1]
            self.height[number] = 1 + max(above, default=0)

    def _add(self, node: int, number: int, node_type: str, waits_for: int) -> None:
        if number == len(self.members):
            self.members.append([])
            self.waits_for.append(waits_for)
            self.of_type[node_type] |= 1 << number
            self.all |= 1 << number
        self.members[number].append(node)

    def _of(self, bits: int) -> list[int]:
        return [number for number in range(bits.bit_length()) if bits >> number & 1]

    def ready(self, done: int) -> int:
        """The classes that wait for none but those that are done, and are not done themselves."""
        return sum(1 << n for n in self._of(self.all & ~done) if not self.waits_for[n] & ~done)

    def nodes(self, classes: int) -> tuple[int, ...]:
        return tuple(sorted(node for number in self._of(classes) for node in self.members[number]))

    def count(self, classes: int) -> int:
        """The number of nodes."""
        return sum(len(self.members[number]) for number in self._of(classes))

    def least_steps(self, done: int) -> int:
        """The number of steps that are left at least: the longest path through what is not done."""
        return max((self.height[number] for number in self._of(self.all & ~done)), default=0)
