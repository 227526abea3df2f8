"""Times the match loss by each front end, forward and backward, in turns in one process.

    python -m tools.bench.front_ends --out docs/results/front_end_cost.json

What is timed is what a training step does: the loss of one prediction, (clips, 2, samples), against features of the
target that were made beforehand, and the gradient with respect to the prediction.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded; as `python -m mixgraph` does

import torch

from mixgraph.cli.command_parser import CommandParser
from mixgraph.losses import LossSettings, make_match_loss
from mixgraph.system.files import write_atomically
from mixgraph.system.memory import keep_freed_memory
from tools.bench.machine import measured

SAMPLE_RATE, SCORED_SECONDS = 30000, 2.8
FRONT_ENDS: dict[str, LossSettings] = {
    "mel": LossSettings(),
    "nsgt": LossSettings(front_end="nsgt"),
    "nsgt, oversampling 2": LossSettings(front_end="nsgt", front_end_options={"oversampling": 2}),
}


def step(settings: LossSettings, clips: int) -> Callable[[], None]:
    """Returns a call that computes the loss of noise against other noise, and its gradient."""
    source = torch.Generator().manual_seed(0)
    shape = (clips, 2, round(SCORED_SECONDS * SAMPLE_RATE))
    loss = make_match_loss(SAMPLE_RATE, settings)
    target = loss.features(torch.randn(shape, generator=source))
    prediction = torch.randn(shape, generator=source).requires_grad_()

    def call() -> None:
        prediction.grad = None
        loss(prediction, target).full.sum().backward()

    return call


def time_in_turns(calls: dict[str, Callable[[], None]], turns: int) -> dict[str, list[float]]:
    """Returns the seconds of calls that take turns, after two of each that are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(-2, turns):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def measure(clips: int, turns: int, threads: int) -> dict[str, Any]:
    """Measures all rows, in the form of docs/results; ratios are medians of the turns' ratios."""
    seconds = time_in_turns({name: step(settings, clips) for name, settings in FRONT_ENDS.items()}, turns)
    rows = []
    for name, values in seconds.items():
        ratios = [value / mel for value, mel in zip(values, seconds["mel"], strict=True)]
        cells = 1000 * statistics.median(values), 1000 * min(values), statistics.median(ratios)
        rows.append([f"`{name}`", f"{cells[0]:.1f}", f"{cells[1]:.1f}", f"{cells[2]:.2f}"])
    return {
        "title": "Cost of the front ends",
        "measured": [measured("python -m tools.bench.front_ends", threads)],
        "columns": ["front end", "median (ms)", "least (ms)", "of mel"],
        "rows": rows,
        "note": f"Loss and gradient of {clips} clips of {SCORED_SECONDS:g} s at 30 kHz, {turns} turns; the last column "
        "is the median of the turns' ratios. Freed memory is kept, as in a search.",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1, help="clips of a step (%(default)s)")
    parser.add_argument("--turns", type=int, default=40, help="calls of each, in alternation (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="(%(default)s)")
    parser.add_argument("--out", type=Path, help="JSON file in the form of docs/results")
    options = parser.parse_args(arguments)
    if min(options.clips, options.turns, options.threads) < 1:
        parser.error("--clips, --turns, --threads: at least 1 is needed")
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as searches do
    table = measure(options.clips, options.turns, options.threads)
    for row in (table["columns"], *table["rows"]):
        sys.stdout.write(" | ".join(row) + "\n")
    if options.out:
        write_atomically(options.out, (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
