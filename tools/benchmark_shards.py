"""Measures how fast shards are written and read, against plain webdataset that reads the same tars and decodes nothing.

    python -m tools.benchmark_shards --out shard_speed    synthetic sets: 4 to 24 tracks, with audio and without
    python -m tools.benchmark_shards --shards DATASET --out shard_speed

What is timed, in samples a second, from the first samples of all workers to the last one, in turns:

- plain: `webdataset` reads the tars and hands out bytes; nothing that decodes can be faster;
- decoded: `datamodules.GraphShards`' evaluation pass: graph, parameters and meta data as checked values and tensors,
  the trace left as it is;
- PyG: the same as PyTorch Geometric batches of one;
- audio: decoded, with a stretch of every track and of the mix (where the shards have audio);
- writing, from values in memory to finished shards, with and without audio, in one process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import webdataset as wds

from mixgraph.cli.command_parser import CommandParser
from mixgraph.graph import build_console, prune
from mixgraph.graph.io import GraphFile
from mixgraph.processors import Processors, make_processors
from mixgraph.shards import Origin, pack_sample, shard_paths, write_shards
from mixgraph.shards.examples import Stretch
from mixgraph.shards.stream import TOGETHER, Source, evaluation_loader
from mixgraph.system.files import json_text, write_atomically
from tools.bench.machine import machine

PLAIN, DECODED, PYG, AUDIO = "plain webdataset", "decoded", "decoded, as PyG batches", "decoded, with audio"
_RATE = 30000
_TRIALS = 100  # the number of rows of a synthetic sample's trace

Packed = tuple[str, str, dict[str, bytes]]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=Path, help="a data set to read; one is made where none is given")
    parser.add_argument("--count", type=int, default=1000, help="samples of the set that is made (1000)")
    parser.add_argument("--audio-count", type=int, default=100, help="samples of the one with audio (100)")
    parser.add_argument("--seconds", type=float, default=6.0, help="of audio in a sample that is made (6)")
    parser.add_argument("--stretch", type=float, default=3.0, help="seconds of audio that are read (3)")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="processes that read (0 1 2)")
    parser.add_argument("--repeats", type=int, default=5, help="passes of each kind (5)")
    parser.add_argument("--out", type=Path, help="folder for shard_speed.md and shard_speed.json")
    options = parser.parse_args(arguments)
    if min(options.count, options.audio_count, options.repeats) < 1 or min(options.workers) < 0:
        parser.error("--count, --audio-count, --repeats: at least 1; --workers: at least 0")
    return options


def made_samples(count: int, seconds: float, audio: bool) -> Iterator[Packed]:
    """Makes half-pruned consoles of 4 to 24 tracks with random settings, losses and traces; always the same."""
    processors = make_processors(_RATE)
    for number in range(count):
        yield "train", *_made_sample(number, processors, seconds, audio)


def _made_sample(number: int, processors: Processors, seconds: float, audio: bool) -> tuple[str, dict[str, bytes]]:
    generator = torch.Generator().manual_seed(number)
    tracks = [f"track{i:02d}" for i in range(4 + number % 21)]
    console = build_console({f"group{g}": tracks[g::3] for g in range(3)}, "ecnsgdr", "ecnsgdr")
    luck = torch.rand(len(console), generator=generator).tolist()
    graph, _ = prune(console, [node for node in console.processors if luck[node] < 0.5])
    left = len(graph.processors)
    file = GraphFile(
        graph,
        _RATE,
        torch.rand(left, generator=generator),
        torch.rand(left, generator=generator, dtype=torch.float64),
    )
    length = round(seconds * _RATE)
    origin = Origin("benchmark", f"song{number}", length, artist=f"artist{number}", console=console.count())
    labels = [console.label(node) for node in console.processors]
    trace = [
        {"kind": "trial", "round": 0, "step": 0, "candidates": [labels[i % len(labels)]], "loss": 0.5, "accepted": True}
        for i in range(_TRIALS)
    ]
    sources = torch.randn(len(tracks), 2, length, generator=generator) if audio else None
    return pack_sample(
        f"s{number:05d}",
        file,
        {
            node_type: processors[node_type].sample_initial_values(n, generator, 0.5)
            for node_type, n in graph.count().items()
        },
        origin,
        tracks=sources,
        mix=None if sources is None else sources.sum(dim=0),
        trace=trace,
    )


def plain_loader(shards: Sequence[Path], workers: int) -> Iterable[Any]:
    """Makes a loader of plain `webdataset`, which reads names and bytes without decoding."""
    urls = wds.SimpleShardList([str(path) for path in shards])
    expand, group = wds.tariterators.tar_file_expander, wds.tariterators.group_by_keys
    stages = [urls, wds.split_by_worker, _opened, expand, group]  # `tarfile_to_samples`, but for files left open
    return wds.WebLoader(wds.DataPipeline(*stages), batch_size=None, num_workers=workers)


def _opened(urls: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for url in urls:
        with open(url["url"], "rb") as stream:
            yield url | {"stream": stream}


def passes(shards: Sequence[Path], stretch: float) -> dict[str, Callable[[int], Iterable[Any]]]:
    """Returns the kinds of passes to measure: name -> function from the number of workers to a loader."""
    plain = Source(tuple(shards), Stretch())
    kinds: dict[str, Callable[[int], Iterable[Any]]] = {
        PLAIN: lambda workers: plain_loader(shards, workers),
        DECODED: lambda workers: evaluation_loader(plain, workers),
        PYG: lambda workers: evaluation_loader(Source(tuple(shards), Stretch(), "pyg"), workers),
    }
    if stretch:
        with_audio = Source(tuple(shards), Stretch(audio=True, seconds=stretch))
        kinds[AUDIO] = lambda workers: evaluation_loader(with_audio, workers)
    return kinds


def rate(loader: Iterable[Any], first: int = 1) -> float:
    """Measures the samples a second of one pass, without the start of its workers.

    Args:
        loader: yields one sample at a time.
        first: the number of samples before the clock starts: the first messages of all workers.

    Raises:
        ValueError: there are too few samples.
    """
    start, count = 0.0, 0
    for count, _ in enumerate(loader, 1):
        if count == first:
            start = time.perf_counter()
    if count <= first:
        raise ValueError(f"shards: more than {first} samples are needed to measure a rate, got {count}")
    return (count - first) / (time.perf_counter() - start)


def reading(shards: Sequence[Path], stretch: float, workers: Sequence[int], repeats: int) -> list[dict[str, Any]]:
    """Measures all kinds of passes in turns; returns a row for each kind and number of workers."""
    rates: dict[tuple[str, int], list[float]] = {}
    half = max(1, sum(1 for _ in plain_loader(shards, 0)) // 2)
    for _ in range(repeats):
        for count in workers:
            first = min(TOGETHER * max(1, count), half)
            for name, loader in passes(shards, stretch).items():
                rates.setdefault((name, count), []).append(rate(loader(count), first))
                sys.stderr.write(f"{name}, {count} workers: {rates[name, count][-1]:.0f} samples a second\n")
    median = {key: statistics.median(values) for key, values in rates.items()}
    return [
        {
            "what": name,
            "workers": count,
            "rate": median[name, count],
            "of_plain": median[name, count] / median[PLAIN, count],
            # Without worker processes, the loader's process counts as one worker.
            "of_plain_with_one_worker_less": median[name, count] / median[PLAIN, count - 1] if count > 1 else None,
            "rates": rates[name, count],
        }
        for name, count in rates
    ]


def writing(samples: Callable[[], Iterator[Packed]], folder: Path, repeats: int) -> tuple[list[float], Path]:
    """Measures the samples a second of packing and writing; also returns the data set that was written last."""
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        index = write_shards(samples(), folder, max_count=25)
        rates.append(len(index.samples) / (time.perf_counter() - start))
    return rates, folder


def to_markdown(sets: Sequence[dict[str, Any]], about: dict[str, Any]) -> str:
    """Formats a table for each data set in Markdown."""
    lines = [
        "# Reading and writing of shards",
        "",
        f"{about['processor']}; {about['date']}; webdataset {wds.__version__}, torch {torch.__version__}.",
        "",
    ]
    lines.append("Medians, samples a second; webdataset that decodes nothing is the limit.")
    for measured in sets:
        kibibytes = measured["bytes"] / measured["samples"] / 1024
        size = f"{measured['samples']} samples in {measured['shards']} shards, {kibibytes:.0f} KiB each"
        lines += ["", f"## {measured['name']}", "", size]
        if measured["writing"] is not None:
            lines += ["", f"Written at {statistics.median(measured['writing']):.0f} samples a second, in one process."]
        lines += ["", "| | workers | samples a second | of plain | of plain with one worker less |", "|" + " --- |" * 5]
        for row in measured["reading"]:
            less = row["of_plain_with_one_worker_less"]
            lines.append(
                f"| {row['what']} | {row['workers']} | {row['rate']:.0f} | {row['of_plain']:.2f} | "
                f"{'' if less is None else f'{less:.2f}'} |"
            )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    about = machine(len(os.sched_getaffinity(0)))
    sets = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, count, audio in _sets(options):
            written, folder = None, options.shards
            if folder is None:

                def samples(count: int = count, audio: bool = audio) -> Iterator[Packed]:
                    return made_samples(count, options.seconds, audio)

                written, folder = writing(samples, Path(scratch) / name, min(options.repeats, 2 if audio else 3))
            shards = shard_paths(folder)
            sets.append(
                {
                    "name": name,
                    "samples": sum(1 for _ in plain_loader(shards, 0)),
                    "shards": len(shards),
                    "bytes": sum(path.stat().st_size for path in shards),
                    "writing": written,
                    "reading": reading(shards, options.stretch if audio else 0, options.workers, options.repeats),
                }
            )
    text = to_markdown(sets, about)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        write_atomically(options.out / "shard_speed.md", text.encode())
        write_atomically(options.out / "shard_speed.json", json_text({"about": about, "sets": sets}, 1).encode())
    sys.stdout.write(text)


def _sets(options: argparse.Namespace) -> list[tuple[str, int, bool]]:
    if options.shards is not None:
        from mixgraph.shards import read_shards

        audio = next(iter(read_shards(options.shards))).audio is not None
        return [(options.shards.name, 0, audio)]
    return [("without_audio", options.count, False), ("with_audio", options.audio_count, True)]


if __name__ == "__main__":
    main()
