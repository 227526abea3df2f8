"""The other runs of a song's search in the build of a dataset: in how many of them a processor was found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixgraph.graph import MixGraph
from mixgraph.graph.io import load_graph
from mixgraph.recovery.agreement import matched_keys
from mixgraph.system.files import parse_json, read_text

_RECORD = "job.json"
_OWN = ("run", "seed")  # what differs between the runs of a song


def other_runs(result: Path) -> list[MixGraph]:
    """Returns the graphs of the other runs beside a result of a build: of the same audio, with the same settings.

    A run that cannot be read, or is of another build, does not count. A result that no build made has none.
    """
    ours, graphs = _record(result), []
    if ours is None:
        return []
    for folder in sorted(result.resolve().parent.glob("run_*")):
        if folder == result.resolve() or _record(folder) != ours:
            continue
        try:
            graphs.append(load_graph(folder / "graph.json").graph)
        except (FileNotFoundError, ValueError):
            continue
    return graphs


def _record(folder: Path) -> dict[str, Any] | None:
    """What all runs of a song have in common."""
    try:
        record = parse_json(read_text(folder / _RECORD))
    except (OSError, ValueError):
        return None
    return {name: value for name, value in record.items() if name not in _OWN} if isinstance(record, dict) else None


def found_in(graph: MixGraph, others: Sequence[MixGraph]) -> dict[int, list[int]]:
    """Returns for each processor the number of runs that found it, and that of all; nothing without other runs.

    Processors of two runs are the same if they have the same chain and type.
    """
    counts = dict.fromkeys(graph.processors, 1) if others else {}
    for other in others:
        ours, theirs = matched_keys(graph, other)
        for key, node in ours.items():
            counts[node] += key in theirs
    return {node: [count, 1 + len(others)] for node, count in counts.items()}
