"""Searches songs of unusual sizes with the shortest schedule, and measures the memory of each search.

    python -m tools.sizes                                  # all sizes; the longest takes minutes
    python -m tools.sizes --only "136 tracks, 26 subgroups"
    python -m tools.sizes --out docs/results/sizes.json

The songs are noise and sines. Each search is `python -m mixgraph fit` in a process of its own: one console stage and
one round of pruning of a step each, and everything that a result has, with its pages and pictures. What is told is the
largest memory that the process had, files that are mapped into memory included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from mixgraph.cli.command_parser import CommandParser
from tools.bench.machine import command_line, measured
from tools.result_tables import write_table

_BLOCK = 1 << 20  # samples that are written at a time
_COLUMNS = (
    "song",
    "tracks",
    "subgroups",
    "length",
    "rates, file and search",
    "processors",
    "peak memory",
    "seconds of CPU",
)


@dataclass(frozen=True)
class Size:
    """A song to search.

    Attributes:
        name: what is unusual.
        tracks: number of tracks.
        subgroups: number of subgroups, which the tracks are dealt out to.
        seconds: length of the song.
        rate: sample rate of its files, in Hz.
        sample_rate: that of the search.
        channels: of all files.
        chain: letters of the processors of each chain.
    """

    name: str
    tracks: int
    subgroups: int
    seconds: float = 3.0
    rate: int = 8000
    sample_rate: int = 8000
    channels: int = 2
    chain: str = "ecg"


SIZES = (
    Size("1 track", 1, 1),
    Size("1 track, mono", 1, 1, channels=1),
    Size("26 tracks, mono, each its own subgroup", 26, 26, channels=1),
    Size("136 tracks, 1 subgroup", 136, 1, chain="eg"),
    Size("136 tracks, 26 subgroups", 136, 26, chain="ecg"),
    Size("30 minutes", 2, 2, 1800.0, 44100, 30000, chain="eg"),
)


def make_song(size: Size, folder: Path) -> None:
    """Writes the files of a song, a block at a time."""
    (folder / "tracks").mkdir(parents=True)
    rng, samples = np.random.default_rng(0), round(size.seconds * size.rate)
    names = [f"t{number:03d}.wav" for number in range(size.tracks)]
    files = [soundfile.SoundFile(folder / "tracks" / name, "w", size.rate, size.channels) for name in names]
    mix = soundfile.SoundFile(folder / "mix.wav", "w", size.rate, size.channels)
    for start in range(0, samples, _BLOCK):
        t = np.arange(start, min(start + _BLOCK, samples)) / size.rate
        total = np.zeros((len(t), size.channels))
        for number, file in enumerate(files):
            sine = np.sin(2 * np.pi * (80.0 * 2 ** (number % 24 / 4)) * t) * (0.6 + 0.4 * np.sin(2 * np.pi * t / 3))
            audio = (0.2 * sine + 0.05 * rng.standard_normal(len(t)))[:, None].repeat(size.channels, axis=1)
            file.write(0.5 * audio)
            total += audio * (0.3 + 0.05 * (number % 8)) / np.sqrt(size.tracks)
        mix.write(total)
    for file in (*files, mix):
        file.close()
    groups = {f"g{number:02d}": names[number :: size.subgroups] for number in range(size.subgroups)}
    (folder / "song.yaml").write_text(json.dumps({"subgroups": groups}))


def search(size: Size, folder: Path) -> list[str]:
    """Searches a song; returns its row of the table.

    Raises:
        RuntimeError: the search failed, with what it printed.
    """
    make_song(size, folder / "song")
    options: dict[str, object] = {
        "data.sample_rate": size.sample_rate,
        "data.scored_seconds": 1,
        "data.steps_per_stage": 1,
    }
    options |= {"pruning.console_stages": 1, "pruning.rounds": 1, "pruning.leave_one_out": "false"}
    options |= {"model.track_chain": size.chain, "model.subgroup_chain": size.chain, "trainer.accelerator": "cpu"}
    line = [sys.executable, "-m", "mixgraph", "fit", "song", "--result.path=result"]
    with (folder / "printed.txt").open("w") as printed:
        process = subprocess.Popen(
            [*line, *(f"--{name}={value}" for name, value in options.items())],
            cwd=folder,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{size.name}: exit code {process.returncode}:\n{(folder / 'printed.txt').read_text()}")
    metrics = json.loads((folder / "result" / "metrics.json").read_text())
    tracks = len(metrics["tracks"])
    if tracks != size.tracks or metrics["num_samples"] != round(size.seconds * size.sample_rate):
        raise RuntimeError(f"{size.name}: the result has {tracks} tracks and {metrics['num_samples']} samples")
    length = f"{size.seconds / 60:g} min" if size.seconds >= 60 else f"{size.seconds:g} s"
    counts = metrics["num_processors"]
    return [
        size.name,
        str(size.tracks),
        str(size.subgroups),
        length,
        f"{size.rate:,}, {size.sample_rate:,} Hz",
        f"{counts['console']}, {counts['found']} kept",
        f"{used.ru_maxrss / 2**20:.2f} GB",
        f"{used.ru_utime + used.ru_stime:.0f}",
    ]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="name of a size; all of them by default")
    parser.add_argument("--out", type=Path, help="JSON file for the table, as docs/results holds it")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Searches the songs, and prints and writes the table after each of them."""
    options, rows = parse(arguments), []
    for size in SIZES:
        if options.only and size.name not in options.only:
            continue
        with tempfile.TemporaryDirectory() as name:
            rows.append(search(size, Path(name)))
        sys.stdout.write(" | ".join(rows[-1]) + "\n")
        sys.stdout.flush()
        if options.out is not None:
            threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
            run = measured(command_line("tools.sizes", arguments), threads)
            write_table(options.out, "Songs of unusual sizes", [run], _COLUMNS, rows)


if __name__ == "__main__":
    main()
