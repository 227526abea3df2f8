"""Times onnxruntime against torch on the CPU: a demixer's masks, and all from waveform to waveform, in turns.

    python -m tools.bench.onnx_speed --out docs/results/onnx_speed.json

Weights are random: they take the time that trained ones do. Both compute the same inputs on the same threads, and the
files are compared with torch when they are written.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded; as `python -m mixgraph` does

import torch

from mixgraph.cli.command_parser import CommandParser
from mixgraph.demixing import Demixer
from mixgraph.demixing.exporting import MaskGraph, OnnxTarget, export_demixer
from mixgraph.onnx_file import open_onnx
from mixgraph.system.files import write_atomically
from tools.bench.machine import measured
from tools.bench.streaming import CONFIG, demixer_of

CONFIGS = ("configs/demixer.yaml", CONFIG)


def in_turns(calls: Sequence[Callable[[], Any]], turns: int) -> list[list[float]]:
    """The seconds of calls that take turns, after one of each that is not counted."""
    seconds: list[list[float]] = [[] for _ in calls]
    for turn in range(-1, turns):
        for call, values in zip(calls, seconds, strict=True):
            start = time.perf_counter()
            call()
            if turn >= 0:
                values.append(time.perf_counter() - start)
    return seconds


def row(name: str, demixer: Demixer, target: OnnxTarget, seconds: float, turns: int, threads: int) -> list[str]:
    """Measures one file against torch."""
    with tempfile.TemporaryDirectory() as folder:
        written = export_demixer(demixer, Path(folder) / "file.onnx", target)
        session, size = open_onnx(written.path, threads), written.path.stat().st_size / 1e6
    hop = demixer.transform.hop_samples
    mix = 0.1 * torch.randn(1, 2, max(4, round(seconds * demixer.sample_rate / hop)) * hop)
    magnitude = demixer.transform(mix).flat.abs()
    masks = MaskGraph(demixer)
    if target == "masks":
        inputs, by_torch = {"magnitude": magnitude.numpy()}, lambda: masks(magnitude)
    else:
        inputs, by_torch = {"mix": mix.numpy()}, lambda: demixer(mix)
    with torch.inference_mode():
        ours, theirs = in_turns([by_torch, lambda: session.run(None, inputs)], turns)
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    error = max(error for _, error in written.differences)
    medians = [f"{1000 * statistics.median(values):.0f}" for values in (ours, theirs)]
    return [f"`{name}`", target, *medians, f"{ratio:.2f}", f"{error:.1e}", f"{size:.1f}"]


def measure(configs: Sequence[str], seconds: float, turns: int, threads: int) -> dict[str, Any]:
    """Measures all rows, in the form of docs/results."""
    rows = []
    for config in configs:
        demixer = demixer_of(Path(config))
        rows += [row(config, demixer, target, seconds, turns, threads) for target in get_args(OnnxTarget)]
    columns = ["configuration", "file", "torch (ms)", "onnxruntime (ms)", "of torch's time", "difference", "MB"]
    return {
        "title": "ONNX files against torch",
        "measured": [measured("python -m tools.bench.onnx_speed", threads, "onnxruntime")],
        "columns": columns,
        "rows": rows,
        "note": f"{seconds:g} s of stereo, {turns} turns, medians; the ratio is the median of the turns' ratios. "
        "Difference: the largest from torch, of the largest value, at two lengths. Random weights.",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", nargs="+", default=CONFIGS, help="of demixers (%(default)s)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of audio (%(default)s)")
    parser.add_argument("--turns", type=int, default=7, help="calls of each, in alternation (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="(%(default)s)")
    parser.add_argument("--out", type=Path, help="JSON file in the form of docs/results")
    options = parser.parse_args(arguments)
    if min(options.turns, options.threads) < 1 or not options.seconds > 0:
        parser.error("--seconds, --turns, --threads: above 0 each")
    torch.set_num_threads(options.threads)
    table = measure(options.configs, options.seconds, options.turns, options.threads)
    if options.out is not None:
        write_atomically(options.out, (json.dumps(table, indent=1) + "\n").encode())
    for cells in (table["columns"], *table["rows"]):
        sys.stdout.write("  ".join(f"{cell:<28}" for cell in cells) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
