"""Compares several searches of one song: chooses the best, and measures how much they agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from mixgraph.graph import MixGraph
from mixgraph.graph.io import load_graph
from mixgraph.recovery.agreement import compare_graphs, matched_keys
from mixgraph.results.metrics import Metrics, read_metrics


@dataclass(frozen=True, eq=False)
class SongRuns:
    """The finished runs (searches) of a song, in order of their numbers.

    Attributes:
        folders: the result folder of each run.
        runs: the number of each run.
        losses: the match loss of each run, of the whole song over the target's norm; NaN counts as infinite.
        graphs: the graph that each run found.
        loss_increases: the loss increase on removing each processor of each graph; None if not measured.
        metrics: the metrics of each run.
    """

    folders: tuple[Path, ...]
    runs: tuple[int, ...]
    losses: tuple[float, ...]
    graphs: tuple[MixGraph, ...]
    loss_increases: tuple[list[float] | None, ...]
    metrics: tuple[Metrics, ...]

    @property
    def best(self) -> int:
        """The index of the run with the lowest match loss; ties go to fewest processors, then to the first."""
        return min(range(len(self.runs)), key=lambda i: (self.losses[i], len(self.graphs[i].processors), self.runs[i]))

    @property
    def confidence(self) -> list[float] | None:
        """Returns the share of runs that keep each processor of the best run; None without several runs.

        Processors of two runs are the same if they have the same chain (track or subgroup) and type.
        """
        others = [graph for i, graph in enumerate(self.graphs) if i != self.best]
        if not others:
            return None
        graph = self.graphs[self.best]
        kept = dict.fromkeys(graph.processors, 1)
        for other in others:
            ours, theirs = matched_keys(graph, other)
            for key, node in ours.items():
                kept[node] += key in theirs
        return [kept[node] / len(self.graphs) for node in graph.processors]

    @property
    def agreement(self) -> float | None:
        """Returns the mean F1 between the processors of two runs, over all pairs of runs; None without several."""
        pairs = [compare_graphs(a, b).overall.f1 for a, b in combinations(self.graphs, 2)]
        known = [1.0 if f1 is None else f1 for f1 in pairs]  # both graphs are empty
        return fmean(known) if known else None

    def to_dict(self) -> dict[str, Any]:
        """Returns runs, their agreement, and confidence and loss increase of the best run's processors, for JSON."""
        graph = self.graphs[self.best]
        unknown: list[float | None] = [None] * len(graph.processors)
        confidence, increases = self.confidence or unknown, self.loss_increases[self.best] or unknown
        return {
            "runs": list(self.runs),
            "losses": [loss if math.isfinite(loss) else None for loss in self.losses],
            "best_run": self.runs[self.best],
            "agreement": self.agreement,
            "processors": [
                {"label": graph.label(node), "confidence": share, "loss_increase": increase}
                for node, share, increase in zip(graph.processors, confidence, increases, strict=True)
            ],
        }


def read_runs(results: Sequence[tuple[int, Path]]) -> SongRuns:
    """Reads the results of one song, (number of the run, folder).

    Raises:
        ValueError: there are no results, or a file of one is damaged.
        FileNotFoundError: a file is missing.
    """
    if not results:
        raise ValueError("results: at least one run is needed, got none")
    files = [load_graph(folder / "graph.json") for _, folder in results]
    metrics = [read_metrics(folder) for _, folder in results]
    losses = [run.losses.found.loss["full"] for run in metrics]
    return SongRuns(
        folders=tuple(folder for _, folder in results),
        runs=tuple(run for run, _ in results),
        losses=tuple(math.inf if math.isnan(loss) else loss for loss in losses),
        graphs=tuple(file.graph for file in files),
        loss_increases=tuple(None if f.loss_increases is None else f.loss_increases.tolist() for f in files),
        metrics=tuple(metrics),
    )
