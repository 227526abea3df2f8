"""Counts the steps of schedules, and times rendering by them, against the number of processors left (paper Figure 9).

    python -m tools.bench.schedules --tracks 4 8 16 32 64 --seconds 1 --out schedules.json

Consoles ecnsgdr of subgroups of four tracks, of which processors are kept at random. Beside each other: one node at a
time, the greedy schedule, the chains' own order (`fixed`) and the default (`auto`): numbers of steps, medians over
graphs, and seconds of one rendering without gradients, the least of three.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mixgraph.graph import GraphValues, MixGraph, build_console, prune
from mixgraph.processors import Processors, make_processors
from mixgraph.render import render, schedule
from mixgraph.render.schedule import Method
from mixgraph.system.files import write_atomically

METHODS: tuple[Method, ...] = ("one_by_one", "greedy", "fixed", "auto")
_GROUP = 4


def pruned_console(tracks: int, share: float, seed: int) -> MixGraph:
    """A console of which about a share of the processors is left."""
    names = [f"t{i}" for i in range(tracks)]
    console = build_console({f"g{i}": names[i : i + _GROUP] for i in range(0, tracks, _GROUP)})
    draw = random.Random(seed)
    return prune(console, [node for node in console.processors if draw.random() < share])[0]


def count_steps(tracks: int, share: float, graphs: int) -> dict[str, float]:
    """The number of processors left, and the steps of each schedule: medians over graphs."""
    drawn = [pruned_console(tracks, share, seed) for seed in range(graphs if share < 1 else 1)]
    steps: dict[str, float] = {m: statistics.median(len(schedule(graph, m)) for graph in drawn) for m in METHODS}
    return {"processors": statistics.median(len(graph.processors) for graph in drawn), **steps}


def render_seconds(graph: MixGraph, processors: Processors, seconds: float, method: Method) -> float:
    """The least of three times of one rendering, which are made after one that is not counted."""
    generator = torch.Generator().manual_seed(0)
    counts = graph.count().items()
    parameters = {t: processors[t].sample_initial_values(count, generator) for t, count in counts}
    values = GraphValues(graph, parameters, torch.full((len(graph.processors),), 0.5))
    sources = torch.randn(len(graph.inputs), 2, round(seconds * 30000), generator=generator) / 10
    taken = []
    with torch.no_grad():
        for _ in range(4):
            start = time.perf_counter()
            render(values, processors, sources, method=method)
            taken.append(time.perf_counter() - start)
    return min(taken[1:])


def measure(tracks: Sequence[int], shares: Sequence[float], graphs: int, seconds: float) -> list[dict[str, Any]]:
    """A row for each number of tracks and share: processors, steps, and seconds where `seconds` is above 0."""
    rows = []
    processors = make_processors()
    for count in tracks:
        for share in shares:
            row: dict[str, Any] = {"tracks": count, "share": share, **count_steps(count, share, graphs)}
            if seconds > 0:
                graph = pruned_console(count, share, 0)
                times = {m: render_seconds(graph, processors, seconds, m) for m in ("one_by_one", "auto")}
                row |= {f"{method} seconds": round(value, 4) for method, value in times.items()}
            rows.append(row)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", type=int, nargs="+", default=[4, 8, 16, 32, 64])
    parser.add_argument("--shares", type=float, nargs="+", default=[1.0, 0.6, 0.3, 0.1], help="of processors left")
    parser.add_argument("--graphs", type=int, default=5, help="random graphs of each share (5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of the rendered clip; 0 times nothing")
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    options = parser.parse_args(arguments)
    rows = measure(options.tracks, options.shares, options.graphs, options.seconds)
    write_atomically(options.out, json.dumps(rows, indent=1).encode())


if __name__ == "__main__":
    main()
