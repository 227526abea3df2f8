"""Finds the same songs' graphs with other numbers of threads and workers, and other blocks: how much do results differ?

    python -m tools.determinism mixgraph/songs/demo_potassium --out determinism.json
    python -m tools.determinism --out determinism.json --table of_results.json    # of what there is, for docs/results

A tiny song, and those that are given, are searched with one thread, again, with two threads, and with other sizes of
blocks; a dataset of three tiny songs is built by one worker and by three. Told is whether the files are the same bytes;
if not, whether the graphs have the same processors, and by how much values and losses differ at most. Hash seed,
working folder, locale and time zone are the business of `tests/cli/test_cli.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from mixgraph.cli.command_parser import CommandParser
from mixgraph.results.found_graph import load_result
from mixgraph.system.files import write_atomically
from tools import chaos
from tools import figures as figure_files
from tools.fault_cases import SHORTEST
from tools.forks import fork_workers, make_song, run, warm_up

_COLUMNS = ("song", "what was another", "same bytes", "same processors", "parameters", "weights", "match loss")
_SHORT = ["--data.steps_per_stage=4", "--pruning.console_stages=2", "--pruning.rounds=1"]
_SHORT += ["--pruning.leave_one_out=false", "--result.page=false", "--trainer.accelerator=cpu"]


@dataclass(frozen=True)
class Difference:
    """How a result differs from that of one thread and the default block.

    Attributes:
        song: the song, or the dataset.
        change: what was another.
        same_bytes: whether graph, parameters, trace and metrics are the same bytes.
        same_processors: whether the graphs have the same processors.
        parameters: the largest difference of a parameter; None where the processors differ.
        weights: the largest difference of a dry/wet weight, likewise.
        loss: the difference of the match loss of the whole song.
    """

    song: str
    change: str
    same_bytes: bool
    same_processors: bool
    parameters: float | None = None
    weights: float | None = None
    loss: float | None = None


def compare(song: str, change: str, first: Path, second: Path) -> Difference:
    """Compares two results of a song."""
    same = all((first / name).read_bytes() == (second / name).read_bytes() for name in chaos.COMPARED)
    a, b = load_result(first), load_result(second)
    assert a.metrics is not None
    assert b.metrics is not None
    losses = [metrics.losses.found.loss["full"] for metrics in (a.metrics, b.metrics)]
    processors = (a.graph.types, a.graph.names) == (b.graph.types, b.graph.names)
    loss = abs(losses[0] - losses[1])
    if not processors:
        return Difference(song, change, same, processors, loss=loss)
    pairs = [
        (a.parameters[kind][name], b.parameters[kind][name]) for kind in a.parameters for name in a.parameters[kind]
    ]
    parameters = max((float((x - y).abs().max()) for x, y in pairs if x.numel()), default=0.0)
    weights = float((a.weights - b.weights).abs().max()) if len(a.weights) else 0.0
    return Difference(song, change, same, processors, parameters, weights, loss)


def with_threads(number: int) -> None:
    """Lets this process compute with so many threads."""
    os.environ["OMP_NUM_THREADS"] = str(number)
    torch.set_num_threads(number)


def search(folder: Path, name: str, words: list[str], prepare: Callable[[], None] = lambda: None) -> Path:
    """Searches a song; returns the folder of the result."""
    ended = run(folder, [*words, f"--result.path={name}"], prepare=prepare)
    if ended.code:
        raise RuntimeError(f"{name} ended with {ended.code}:\n{ended.text}")
    return folder / name


def of_song(folder: Path, name: str, words: list[str], block: int) -> Iterator[Difference]:
    """Searches a song in several ways, and compares each with the first."""
    changes: dict[str, tuple[list[str], Callable[[], None]]] = {
        "nothing": ([], partial(with_threads, 1)),
        "two threads": ([], partial(with_threads, 2)),
        f"blocks of {block} samples": ([f"--model.rendering.block={block}"], partial(with_threads, 1)),
    }
    first = search(folder, f"{name}_first", words)
    for number, (change, (more, prepare)) in enumerate(changes.items()):
        again = search(folder, f"{name}_{number}", [*words, *more], prepare)
        yield compare(name, change, first, again)


def of_workers(folder: Path) -> Difference:
    """Builds a dataset by one worker and by three, and compares all files that name no time."""
    for number in range(3):
        make_song(folder / "songs" / f"song_{number}", number, 1.0)
    (folder / "short.yaml").write_text(yaml.safe_dump(SHORTEST))
    for workers in (1, 3):
        words = ["build-dataset", "songs", "--config=short.yaml", f"--workers={workers}", "--threads=1", "--name=three"]
        lenient = ["--max-loss=9", "--max-loss-ratio=9"]
        ended = run(folder, [*words, *lenient, f"--out=data_{workers}"], prepare=fork_workers)
        if ended.code:
            raise RuntimeError(f"the build ended with {ended.code}:\n{ended.text}")
    same = is_same_build(folder / "data_1", folder / "data_3")
    return Difference("dataset of three tiny songs", "three workers", same, same)


def is_same_build(first: Path, second: Path) -> bool:
    """Whether two builds have the same files, of those that tell neither times nor places; at least one."""
    files = [
        {
            path.relative_to(folder): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and _is_timeless(path)
        }
        for folder in (first, second)
    ]
    return bool(files[0]) and files[0] == files[1]


def _is_timeless(path: Path) -> bool:
    """Whether a file of a build tells neither times nor places."""
    return path.name in chaos.COMPARED or "shards" in path.parts or path.name == "songs.jsonl"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("songs", type=Path, nargs="*", help="folders of songs")
    figure_files.add_options(parser)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Compares all; returns 1 if what must be the same bytes is not."""
    options = parse(arguments)
    if options.table is not None:
        write_table(options.table, figure_files.read(options.out))
        return 0
    out = figure_files.only_out(options)
    this_run = figure_files.this_run("determinism", arguments)
    differences: list[Difference] = []

    def tell(difference: Difference) -> None:
        differences.append(difference)
        figures = {"measured": [this_run], "differences": [asdict(d) for d in differences]}
        write_atomically(out, json.dumps(figures, indent=1).encode())
        sys.stdout.write(f"{difference}\n")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        make_song(folder / "song")
        make_song(folder / "warm" / "song")
        warm_up(folder / "warm", chaos.WORDS)
        tell(of_workers(folder))
        tiny = [word for word in chaos.WORDS if "result.path" not in word]
        searches = [("tiny", tiny, 8192)]
        searches += [(song.name, ["fit", str(song.resolve()), *_SHORT], 50_000) for song in options.songs]
        for title, words, block in searches:
            for difference in of_song(folder, title, words, block):
                tell(difference)
    return int(not all(d.same_bytes for d in differences if d.change in ("nothing", "three workers")))


def write_table(path: Path, figures: list[dict[str, Any]]) -> None:
    """Writes the table of the page."""

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.1e}" if value else "0"

    rows = [
        [
            *(difference["song"], difference["change"]),
            *("yes" if difference[name] else "no" for name in ("same_bytes", "same_processors")),
            *(number(difference[name]) for name in ("parameters", "weights", "loss")),
        ]
        for content in figures
        for difference in content["differences"]
    ]
    note = (
        "Largest differences. The tiny song has 2 tracks of 3 s. Other songs are searched with 2 console stages and a "
        "round of pruning, of 4 steps each; longer searches were not measured."
    )
    figure_files.write_table(path, "The same song by other threads, blocks and workers", figures, _COLUMNS, rows, note)


if __name__ == "__main__":
    sys.exit(main())
