"""Which processors of the true graph are in the found one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from mixgraph.graph.types import SEND, MixGraph


@dataclass(frozen=True)
class Agreement:
    """How many processors are in the true graph, in the found one, and in both."""

    true: int
    found: int
    matched: int

    @property
    def precision(self) -> float | None:
        """Share of what was found that is true; None if nothing was found."""
        return self.matched / self.found if self.found else None

    @property
    def recall(self) -> float | None:
        """Share of what is true that was found; None if there is nothing to find."""
        return self.matched / self.true if self.true else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None if both graphs have nothing."""
        return 2 * self.matched / (self.true + self.found) if self.true + self.found else None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"precision": self.precision, "recall": self.recall, "f1": self.f1}


@dataclass(frozen=True)
class GraphComparison:
    """Which processors two graphs of one console share.

    Attributes:
        types: of each processor type in either graph, in alphabetical order.
        overall: of all types together.
        missed: labels of true processors that were not found.
        spurious: labels of found processors that are not true.
    """

    types: dict[str, Agreement]
    overall: Agreement
    missed: tuple[str, ...]
    spurious: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it; None where a share is not defined."""
        return {
            "types": {t: agreement.to_dict() for t, agreement in self.types.items()},
            "overall": self.overall.to_dict(),
            "missed": list(self.missed),
            "spurious": list(self.spurious),
        }

    def format_table(self) -> str:
        """A Markdown table."""
        rows = [
            (name, a.true, a.found, a.matched, _share(a.precision), _share(a.recall), _share(a.f1))
            for name, a in [*self.types.items(), ("all", self.overall)]
        ]
        return markdown(("type", "true", "found", "matched", "precision", "recall", "F1"), rows)


def compare_graphs(true_graph: MixGraph, found_graph: MixGraph) -> GraphComparison:
    """Counts the processors that two graphs share; a processor is known by its chain and its type.

    A chain is a track or a subgroup, or what stands behind an outlet of a splitter there. Where a chain has a type
    several times, they are matched in order.

    Raises:
        ValueError: the graphs have different tracks or subgroups.
    """
    true, found = matched_keys(true_graph, found_graph)
    types = sorted({key.type for key in (*true, *found)})

    def agreement(wanted: Iterable[str]) -> Agreement:
        kinds = set(wanted)
        ours, theirs = ({key for key in keys if key.type in kinds} for keys in (true, found))
        return Agreement(len(ours), len(theirs), len(ours & theirs))

    return GraphComparison(
        {t: agreement([t]) for t in types},
        agreement(types),
        tuple(true_graph.label(node) for key, node in true.items() if key not in found),
        tuple(found_graph.label(node) for key, node in found.items() if key not in true),
    )


@dataclass(frozen=True)
class ChainKey:
    """Where a processor stands, the same in both graphs."""

    level: str
    name: str
    branch: tuple[str, ...]
    type: str
    rank: int


def chain_keys(graph: MixGraph) -> dict[ChainKey, int]:
    """The processors of a graph by where they stand."""
    keys: dict[ChainKey, int] = {}
    for node in graph.topological_order:
        if node not in graph.processors:
            continue
        rank = 0
        branch = graph.branch(node)
        if graph.types[node] == SEND:  # a track has one to each bus
            branch = (*branch, *(graph.names[bus] for bus in graph.successors[node]))
        place = graph.level(node), graph.names[node], branch, graph.types[node]
        while (key := ChainKey(*place, rank)) in keys:
            rank += 1
        keys[key] = node
    return keys


def matched_keys(true: MixGraph, found: MixGraph) -> tuple[dict[ChainKey, int], dict[ChainKey, int]]:
    for what, ours, theirs in (
        ("tracks", *(sorted(g.names[i] for i in g.inputs) for g in (true, found))),
        ("subgroups", *(sorted(set(g.subgroups)) for g in (true, found))),
    ):
        if ours != theirs:
            raise ValueError(f"found: the {what} of the true graph {ours} expected, got {theirs}")
    return chain_keys(true), chain_keys(found)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def markdown(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"
