"""Comparison of the processors of a found graph with those of the true graph."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from mixgraph.graph.types import SEND, MixGraph


@dataclass(frozen=True)
class Agreement:
    """The numbers of processors in the true graph, in the found graph, and in both."""

    true: int
    found: int
    matched: int

    @property
    def precision(self) -> float | None:
        """The share of the found processors that are true; None if none was found."""
        return self.matched / self.found if self.found else None

    @property
    def recall(self) -> float | None:
        """The share of the true processors that were found; None if there are none."""
        return self.matched / self.true if self.true else None

    @property
    def f1(self) -> float | None:
        """The harmonic mean of precision and recall; None if both graphs have no processors."""
        return 2 * self.matched / (self.true + self.found) if self.true + self.found else None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"precision": self.precision, "recall": self.recall, "f1": self.f1}


@dataclass(frozen=True)
class GraphComparison:
    """The processors that two graphs of one console share.

    Attributes:
        types: the agreement on each processor type that either graph has, in alphabetical order.
        overall: the agreement on the processors of all types together.
        missed: labels of true processors that were not found.
        spurious: labels of found processors that are not true.
    """

    types: dict[str, Agreement]
    overall: Agreement
    missed: tuple[str, ...]
    spurious: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The comparison as dicts and lists for JSON; a share that is not defined is None."""
        return {
            "types": {t: agreement.to_dict() for t, agreement in self.types.items()},
            "overall": self.overall.to_dict(),
            "missed": list(self.missed),
            "spurious": list(self.spurious),
        }

    def format_table(self) -> str:
        """The agreement on each type and on all types, as a Markdown table."""
        rows = [
            (name, a.true, a.found, a.matched, _share(a.precision), _share(a.recall), _share(a.f1))
            for name, a in [*self.types.items(), ("all", self.overall)]
        ]
        return markdown(("type", "true", "found", "matched", "precision", "recall", "F1"), rows)


def compare_graphs(true_graph: MixGraph, found_graph: MixGraph) -> GraphComparison:
    """Counts the processors that two graphs share; its chain and its type identify a processor.

    A chain is that of a track or subgroup, or one behind an outlet of a splitter there. Where a chain has a type
    several times, they are matched in order.

    Raises:
        ValueError: the graphs have different tracks or subgroups.
    """
    true_keys, found_keys = matched_keys(true_graph, found_graph)
    types = sorted({key.type for key in (*true_keys, *found_keys)})

    def agreement(node_types: Iterable[str]) -> Agreement:
        kinds = set(node_types)
        ours, theirs = ({key for key in keys if key.type in kinds} for keys in (true_keys, found_keys))
        return Agreement(len(ours), len(theirs), len(ours & theirs))

    return GraphComparison(
        {t: agreement([t]) for t in types},
        agreement(types),
        tuple(true_graph.label(node) for key, node in true_keys.items() if key not in found_keys),
        tuple(found_graph.label(node) for key, node in found_keys.items() if key not in true_keys),
    )


@dataclass(frozen=True)
class ChainKey:
    """Identifies a processor in both graphs by level, chain, branch of the chain, type, and rank among equal ones."""

    level: str
    name: str
    branch: tuple[str, ...]
    type: str
    rank: int


def chain_keys(graph: MixGraph) -> dict[ChainKey, int]:
    """Maps the key of each processor of a graph to its node."""
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


def matched_keys(true_graph: MixGraph, found_graph: MixGraph) -> tuple[dict[ChainKey, int], dict[ChainKey, int]]:
    for kind, ours, theirs in (
        ("tracks", *(sorted(g.names[i] for i in g.inputs) for g in (true_graph, found_graph))),
        ("subgroups", *(sorted(set(g.subgroups)) for g in (true_graph, found_graph))),
    ):
        if ours != theirs:
            raise ValueError(f"found_graph: the {kind} of the true graph {ours} expected, got {theirs}")
    return chain_keys(true_graph), chain_keys(found_graph)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def markdown(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"
