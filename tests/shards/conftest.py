"""Data sets of shards: of results of real searches of tiny songs, and of graphs made in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from callbacks import IterativePruning, ResultFolder
from datamodules import SongData
from mixgraph.graph import build_console, prune
from mixgraph.graph.io import GraphFile
from mixgraph.processors import make_processors
from mixgraph.search import search
from mixgraph.search.module import ConsoleModule
from mixgraph.shards import Origin, pack_result, pack_sample, write_shards

RATE = 8000
CONFIG = "data: {path: /home/someone/songs/tiny, sample_rate: 8000}\nresult: {path: /tmp/r}\nmodel: {track_chain: eg}\n"


@pytest.fixture(scope="session")
def results(tiny_song, duo_song, blank, tmp_path_factory):
    """Result folders of two songs, and the songs as they were read."""
    folder = tmp_path_factory.mktemp("shard_results")
    results = []
    for path in (tiny_song, duo_song):
        data = SongData(str(path), sample_rate=RATE, steps_per_stage=2, scored_seconds=1.0, cache_dir=None)
        pruning = IterativePruning(1, 1)
        keeper = ResultFolder(str(folder / path.name), page=False)
        keeper.config_text = lambda folder: CONFIG
        module = ConsoleModule("eg", "gr", sample_rate=RATE)
        with blank():
            search(module, data, [pruning, keeper], 2, "cpu", enable_progress_bar=False)
        results.append((folder / path.name, data.song))
    return results


def write_results(results, out: Path, audio: bool, **options):
    """Two songs of two artists, in two splits."""
    splits = ("train", "test")
    samples = (
        (split, key, fields)
        for split, artist, (folder, song) in zip(splits, ("Ann", "Bob"), results, strict=True)
        for key, fields in pack_result(folder, song, dataset="Tiny", artist=artist, audio=audio, **options)
    )
    return write_shards(samples, out)


@pytest.fixture(scope="session")
def plain(results, tmp_path_factory):
    """The folder of a data set without audio."""
    folder = tmp_path_factory.mktemp("shards") / "plain"
    write_results(results, folder, audio=False)
    return folder


@pytest.fixture(scope="session")
def full(results, tmp_path_factory):
    """The same with audio."""
    folder = tmp_path_factory.mktemp("shards") / "full"
    write_results(results, folder, audio=True)
    return folder


def memory_sample(number: int, seconds: float = 0.5, audio: bool = True):
    """(key, fields) of a graph that depends on the number, with 2 to 4 tracks of noise."""
    generator = torch.Generator().manual_seed(number)
    tracks = [f"t{i}" for i in range(2 + number % 3)]
    console = build_console({"a": tracks[:1], "b": tracks[1:]}, "eg", "gr")
    keep = [n for i, n in enumerate(console.processors) if (i + number) % 3]
    graph, _ = prune(console, keep)
    processors = make_processors(RATE)
    parameters = {t: processors[t].sample_initial_values(n, generator, 0.5) for t, n in graph.count().items()}
    count, length = len(graph.processors), round(seconds * RATE) + number
    weights = torch.rand(count, generator=generator)
    file = GraphFile(graph, RATE, weights, torch.rand(count, generator=generator, dtype=torch.float64))
    sources = torch.randn(len(tracks), 2, length, generator=generator)
    origin = Origin(
        "memory", f"song{number}", length, artist=f"artist {number // 2}", level=0.5, console=console.count()
    )
    audio_fields = {"tracks": sources, "mix": sources.sum(0)} if audio else {}
    return pack_sample(f"s{number:03d}", file, parameters, origin, **audio_fields)


def memory_set(out: Path, count: int, per_shard: int, **options):
    """A data set of `count` samples in one split `train`, and some more in `validation`."""
    samples = [("train", *memory_sample(n, **options)) for n in range(count)]
    samples += [("validation", *memory_sample(n, **options)) for n in range(100, 105)]
    return write_shards(samples, out, max_count=per_shard)


@pytest.fixture(scope="session")
def stream(tmp_path_factory):
    """Eleven samples in four shards of three, three, three and two; and five in two."""
    folder = tmp_path_factory.mktemp("shards") / "stream"
    memory_set(folder, 11, 3)
    return folder


@pytest.fixture(scope="session")
def rows():
    """Makes (split, key, fields) of `count` samples of one split, without audio."""
    return lambda count, split="train", audio=False: [(split, *memory_sample(n, audio=audio)) for n in range(count)]


@pytest.fixture(scope="session")
def pack_results(results):
    """Writes the two results as a data set."""
    return lambda out, audio, **options: write_results(results, out, audio, **options)


@pytest.fixture(scope="session")
def make_set():
    """Writes a data set of graphs made in memory."""
    return memory_set
