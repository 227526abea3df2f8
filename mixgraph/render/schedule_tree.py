"""The tree of all schedules of a graph: what a search for the shortest one has to look through (paper Figure 8e).

A node of the tree is a sequence of types; sequences that have processed the same nodes end in one state. States are
far fewer than sequences, so that sequences are counted without walking them.
"""

from __future__ import annotations

from dataclasses import dataclass

from mixgraph.graph.types import INPUT, MixGraph
from mixgraph.render.schedule import NodeClasses


@dataclass(frozen=True)
class Branch:
    """A node of the tree.

    Attributes:
        node_type: the type of its step.
        parent: its place in the step before; None for the root.
        is_end: whether all nodes of the graph are processed.
    """

    node_type: str
    parent: int | None
    is_end: bool


@dataclass(frozen=True)
class ScheduleTree:
    """The first steps of all schedules of a graph, and how many there are.

    Attributes:
        levels: for each step, its branches, of the steps that were asked for.
        sequences: for each step, the number of sequences of types that have so many steps, exactly.
        states: for each step, the number of sets of nodes that they have processed.
        ends: for each step, the number of schedules that end with it.
        is_whole: whether the counts are of all steps; False where the states were too many to go on.
    """

    levels: tuple[tuple[Branch, ...], ...]
    sequences: tuple[int, ...]
    states: tuple[int, ...]
    ends: tuple[int, ...]
    is_whole: bool

    @property
    def shortest(self) -> int | None:
        """The number of steps of the shortest schedule; None where the counting ended before it."""
        return next((steps for steps, ends in enumerate(self.ends, start=1) if ends), None)


def schedule_tree(graph: MixGraph, most_branches: int = 1500, most_states: int = 20_000) -> ScheduleTree:
    """Grows the tree of the schedules of a graph, each of whose steps takes all nodes of one type that are ready.

    Args:
        graph: any graph with an input.
        most_branches: branches of `ScheduleTree.levels`, at most; a step that would pass it is left out, with those
            behind it.
        most_states: states of one step, at most; the counting ends before a step that has more.
    """
    classes = NodeClasses(graph)
    first = classes.ready(0) & classes.of_type[INPUT]
    return ScheduleTree(_levels(classes, first, most_branches), *_counts(classes, first, most_states))


def _grown(classes: NodeClasses, done: int) -> list[tuple[str, int]]:
    """Returns the types of which nodes are ready, each with what is done after it."""
    ready = classes.ready(done)
    return [(t, done | ready & members) for t, members in classes.of_type.items() if ready & members]


def _levels(classes: NodeClasses, first: int, most: int) -> tuple[tuple[Branch, ...], ...]:
    levels: list[tuple[Branch, ...]] = [(Branch(INPUT, None, first == classes.all),)]
    reached, count = [first], 1
    while any(done != classes.all for done in reached):
        grown = [
            (Branch(node_type, parent, done == classes.all), done)
            for parent, before in enumerate(reached)
            for node_type, done in _grown(classes, before)
        ]
        count += len(grown)
        if count > most:
            break
        levels.append(tuple(branch for branch, _ in grown))
        reached = [done for _, done in grown]
    return tuple(levels)


def _counts(
    classes: NodeClasses, first: int, most: int
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], bool]:
    sequences, states, ends = [], [], []
    reached = {first: 1}  # state -> number of sequences that lead to it
    while reached:
        sequences.append(sum(reached.values()))
        states.append(len(reached))
        ends.append(reached.get(classes.all, 0))
        grown: dict[int, int] = {}
        for before, number in reached.items():
            for _, done in _grown(classes, before):
                grown[done] = grown.get(done, 0) + number
            if len(grown) > most:
                return tuple(sequences), tuple(states), tuple(ends), False
        reached = grown
    return tuple(sequences), tuple(states), tuple(ends), True
