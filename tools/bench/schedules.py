"""Puts the table of the benchmark of schedules on the pages, with the paper's means in its last row.

    python -m tools.benchmark --parts schedule --no-peer --threads 1 --out DIR
    python -m tools.bench.schedules DIR/benchmark.json --command "python -m tools.benchmark --parts schedule ..."

writes docs/results/schedules.json; `python -m mixgraph paper-figures 9 DIR/benchmark.json` draws Figure 9.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixgraph.cli.command_parser import CommandParser
from mixgraph.dataset.files import write_json
from mixgraph.paper.figures.schedules import MeasuredGraph, read_schedules
from mixgraph.paper.published import MEAN_STEPS, RENDERS_A_SECOND
from tools.bench.machine import ROOT, measured

_STEPS = {"one_by_one": "one by one", "greedy": "greedy", "fixed": "fixed", "auto": "auto"}
_SECONDS = {"reference": "node by node", "one_by_one": "one by one", "greedy": "greedy", "auto": "auto"}
_NOTE = (
    "Steps: medians of five consoles ecnsgdr whose processors are kept at random. Seconds: one of these renders a clip "
    "of 3.8 s of stereo tracks without gradients (processor seconds of one thread); node by node is the slow renderer "
    "(model.rendering.renderer=reference), the others share all that a plan does. Gain: one by one over auto. Last "
    "row: the paper's means over the graphs that it found, on an RTX 3090, whose auto is called optimal."
)


def result_table(graphs: Sequence[MeasuredGraph], run: dict[str, str]) -> dict[str, Any]:
    """Returns the content of a file of docs/results, see `tools.result_tables`.

    Args:
        graphs: what was measured.
        run: what was run, see `tools.bench.machine.measured`.
    """
    rows = [
        [
            graph.device,
            str(graph.tracks),
            f"{graph.share:.0%}",
            str(graph.processors),
            *(f"{graph.steps[method]:.3g}" for method in _STEPS),
            *(f"{graph.seconds[method]:.3f} s" if method in graph.seconds else "" for method in _SECONDS),
            _gain(graph.seconds),
        ]
        for graph in graphs
    ]
    paper = {method: 1 / rate for method, rate in RENDERS_A_SECOND.items()}
    steps = [f"{MEAN_STEPS[method]:g}" if method in MEAN_STEPS else "" for method in _STEPS]
    seconds = [f"{paper[method]:.4f} s" if method in paper else "" for method in _SECONDS]
    rows.append(["the paper's", "", "", "", *steps, *seconds, _gain(paper)])
    columns = ["device", "tracks", "share left", "processors"]
    columns += [f"steps, {name}" for name in _STEPS.values()] + [f"seconds, {name}" for name in _SECONDS.values()]
    title = "Schedules: steps and seconds against the number of processors left"
    return {"title": title, "measured": [run], "columns": [*columns, "gain"], "rows": rows, "note": _NOTE}


def _gain(seconds: dict[str, float]) -> str:
    known = "one_by_one" in seconds and "auto" in seconds
    return f"{seconds['one_by_one'] / seconds['auto']:.2f}x" if known else ""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmarks", type=Path, nargs="+", help="benchmark.json of one machine")
    parser.add_argument("--command", required=True, help="that measured it, for the table")
    parser.add_argument("--threads", type=int, default=1, help="of torch, for the table")
    options = parser.parse_args(arguments)
    table = result_table(
        [graph for path in options.benchmarks for graph in read_schedules(path)],
        measured(options.command, options.threads),
    )
    write_json(ROOT / "docs" / "results" / "schedules.json", table)
    sys.stdout.write(f"{len(table['rows'])} rows\n")


if __name__ == "__main__":
    main()
