"""Times a stream through the causal demixer, chunk by chunk, on one core, against the chunks' own length.

    python -m tools.bench.streaming --out docs/results/streaming.json

Weights are random: they take the time that trained ones do. An underrun is counted as a sound card would meet it: chunk
n is there at the end of its own time, its answer is due one chunk later, and work on it begins when that on the chunk
before is done. The clock is that of the measured times, so that nothing is waited for.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch is loaded; as `python -m mixgraph` does

import torch
import yaml

from mixgraph.cli.command_parser import CommandParser
from mixgraph.demixing import Demixer, DemixerTransform, NetworkSettings, StreamingDemixer
from mixgraph.system.files import write_atomically
from tools.bench.machine import measured

CONFIG = "configs/demixer_realtime.yaml"
CHUNKS = (256, 512, 1024)
_WARM_UP = 20  # chunks that are not counted


def demixer_of(config: Path) -> Demixer:
    """A demixer with random weights, of the transform and the network of a configuration."""
    settings = dict(yaml.safe_load(config.read_text(encoding="utf-8"))["model"]["init_args"])
    transform = DemixerTransform(**settings.get("transform", {}))
    network = NetworkSettings(**settings.get("network", {}))
    torch.manual_seed(0)
    return Demixer(settings["targets"], transform, network=network, wiener=settings.get("wiener", "never")).eval()


def chunk_seconds(stream: StreamingDemixer, size: int, seconds: float) -> list[float]:
    """The times that chunks of noise take."""
    generator = torch.Generator().manual_seed(0)
    times = []
    for number in range(-_WARM_UP, max(1, round(seconds * stream.demixer.sample_rate / size))):
        chunk = 0.1 * torch.randn(2, size, generator=generator)
        start = time.perf_counter()
        stream.process(chunk)
        if number >= 0:
            times.append(time.perf_counter() - start)
    return times


def underruns(times: Sequence[float], length: float) -> int:
    """Counts answers that come later than one chunk after their input; both are in seconds."""
    finished, count = 0.0, 0
    for number, taken in enumerate(times):
        arrived = (number + 1) * length
        finished = max(arrived, finished) + taken
        if finished > arrived + length:
            count += 1
            finished = arrived + length  # what is late is dropped, and the next chunk is in time
    return count


def row(demixer: Demixer, size: int, seconds: float) -> list[str]:
    """Measures chunks of one size."""
    stream, rate = StreamingDemixer(demixer), demixer.sample_rate
    times, length = chunk_seconds(stream, size, seconds), size / rate
    ordered = sorted(times)
    late = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return [
        f"{size} ({1000 * length:.1f} ms)",
        f"{1000 * stream.latency_samples / rate:.1f}",
        f"{1000 * statistics.median(times):.2f}",
        f"{1000 * late:.2f}",
        f"{late / length:.2f}",
        f"{sum(times) / (len(times) * length):.2f}",
        str(underruns(times, length)),
    ]


def measure(config: Path, seconds: float) -> dict[str, Any]:
    """Measures all rows, in the form of docs/results."""
    demixer = demixer_of(config)
    parameters = sum(p.numel() for p in demixer.network.parameters())
    slice_ms = 1000 * demixer.transform.slice_samples / demixer.sample_rate
    return {
        "title": "Streaming on one core",
        "measured": [measured("python -m tools.bench.streaming", 1)],
        "columns": [
            "chunk",
            "latency (ms)",
            "median (ms)",
            "99th percentile (ms)",
            "of the chunk's length",
            "load",
            f"underruns in {seconds / 60:.3g} min",
        ],
        "rows": [row(demixer, size, seconds) for size in CHUNKS],
        "note": f"`{config.as_posix()}`, {parameters / 1e6:.2f} million parameters, slices of {slice_ms:.1f} ms at "
        f"{demixer.sample_rate} Hz, stereo, {len(demixer.targets)} targets, random weights. Latency: samples by which "
        "outputs are late; a sound card adds its buffers. Load: all chunks' time over the audio's. Underruns are "
        "those of a card with one chunk of headroom, counted from the measured times.",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path(CONFIG), help="of the demixer (%(default)s)")
    parser.add_argument("--minutes", type=float, default=5.0, help="of audio for each size of chunk (%(default)s)")
    parser.add_argument("--out", type=Path, help="JSON file in the form of docs/results")
    options = parser.parse_args(arguments)
    if not options.minutes > 0:
        parser.error(f"--minutes: above 0, got {options.minutes}")
    torch.set_num_threads(1)
    table = measure(options.config, 60 * options.minutes)
    if options.out is not None:
        write_atomically(options.out, (json.dumps(table, indent=1) + "\n").encode())
    for cells in (table["columns"], *table["rows"]):
        sys.stdout.write("  ".join(f"{cell:<22}" for cell in cells) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
