"""Makes examples from shards once and caches them in files that can be read in any order.

Making features takes about a second a sample, so an example is made when it is first needed and kept as a safetensors
file (half precision for spectrograms). The name of the folder is a hash of the task, of the shards and of the version
of the features, so a stale cache is never read.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import safetensors
import safetensors.torch
import torch
from rich.progress import track as progress
from torch import Tensor
from torch.utils.data import Dataset
from torch_geometric.data import Data

from mixgraph.estimators.coding import make_codes
from mixgraph.estimators.examples import (
    Console,
    add_labels,
    console_data,
    console_of,
    console_of_subgroups,
    label_key,
)
from mixgraph.estimators.features import FeatureExtractor
from mixgraph.estimators.questions import DRY, DRY_SUM_LUFS, OF_MIX, ReferenceMix
from mixgraph.estimators.settings import EstimatorTask
from mixgraph.graph import GraphValues, MixGraph
from mixgraph.processors import make_processors
from mixgraph.processors.thresholds import moved_thresholds
from mixgraph.shards import GraphSample, read_shards, shard_paths
from mixgraph.shards.examples import rendered
from mixgraph.shards.sample import SampleAudio
from mixgraph.songs.loudness import level_for
from mixgraph.system.files import read_text, write_atomically
from mixgraph.system.threads import one_thread

VERSION = 5  # to be raised whenever features or labels change
INDEX = "index.json"
_HALF = ("mels", f"{DRY}mels", "mix_mels", "lags", "clip_tracks", "clip_mix")
_LIGHT = ("cues", "keep", "known", "weight")
_SILENT_RMS = 10 ** (-60 / 20)
_HISTORY_SECONDS = 3.0  # audio that is rendered before a segment of a rendered target, and dropped

Target = Literal["mix", "rendered"]


@dataclass(frozen=True)
class ExampleSettings:
    """The settings by which examples are made from samples.

    Attributes:
        task: the audio and the console of the estimator.
        max_segments: the most segments that one sample gives; they are spread evenly over it.
        target: the audio to use as the mix: `"mix"`, the sample's mix, or `"rendered"`, its tracks rendered by its
            graph.
        clip_seconds: length of the audio that is kept for the match loss, from a segment's middle; 0 keeps none.
    """

    task: EstimatorTask
    max_segments: int = 8
    target: Target = "mix"
    clip_seconds: float = 0.0


def segment_starts(length: int, segment: int, most: int) -> list[int]:
    """First samples of at most `most` segments, evenly spread; a short song gives one, which may reach past its end."""
    count = max(1, min(most, length // segment))
    spare = max(0, length - count * segment)
    return [i * segment + spare * (i + 1) // (count + 1) for i in range(count)]


def checked_audio(sample: GraphSample, sample_rate: int) -> SampleAudio:
    """Returns the audio of a sample, after checking that an estimator can learn from it or be scored on it.

    Raises:
        ValueError: the sample has no audio, another sample rate, or processors with other options.
    """
    if sample.audio is None:
        raise ValueError(f"{sample.shard}: {sample.key}: audio is needed; name the folder of the songs (audio_root)")
    if sample.sample_rate != sample_rate or sample.processor_options:
        raise ValueError(
            f"{sample.shard}: {sample.key}: {sample_rate} Hz and default processors are needed, got "
            f"{sample.sample_rate} Hz and {dict(sample.processor_options)}"
        )
    return sample.audio


class ExampleMaker:
    """Makes examples from samples; one maker serves all samples of a task.

    Args:
        settings: the task, and the number and content of examples.
    """

    def __init__(self, settings: ExampleSettings) -> None:
        self.settings, self.task = settings, settings.task
        self.processors = make_processors(self.task.sample_rate)
        self.codes = make_codes(self.processors, self.task.types)
        self.extract = FeatureExtractor(self.task.sample_rate)

    def console(self, graph: MixGraph) -> Console:
        return console_of(graph, self.task.track_chain, self.task.subgroup_chain)

    @torch.no_grad()
    def make(self, sample: GraphSample) -> Iterator[tuple[int, Data]]:
        """Yields (first sample, example) of each segment that is not silent.

        Raises:
            ValueError: the sample has no audio, another sample rate, or processors with other options.
        """
        audio = checked_audio(sample, self.task.sample_rate)
        console = self.console(sample.graph)
        true = GraphValues(sample.graph, sample.parameters, sample.weights)
        length, dry_level = self.task.num_samples, self._dry_level(audio)
        for start in segment_starts(audio.num_samples, length, self.settings.max_segments):
            tracks, mix = self._audio(sample, start, length)
            if float(mix.square().mean().sqrt()) < _SILENT_RMS:
                continue
            tracks = tracks[list(console.order)]
            inputs = console_data(console, self.extract(tracks, mix, console.groups), self.task.types)
            data = add_labels(inputs, console, true, self.codes, sample.settings_known)
            self._add_dry(data, console, true, tracks * dry_level, dry_level)
            if self.settings.clip_seconds > 0:
                clip = round(self.settings.clip_seconds * self.task.sample_rate)
                first = max(0, (length - clip) // 2)
                data.clip_tracks = tracks[..., first : first + clip]
                data.clip_mix = mix[..., first : first + clip].unsqueeze(0)
            yield start, data

    def _dry_level(self, audio: SampleAudio) -> float:
        """The factor that brings the plain sum of all of a song's tracks to `DRY_SUM_LUFS`."""
        return level_for(audio.tracks(0, audio.num_samples).sum(dim=0), self.task.sample_rate, DRY_SUM_LUFS).factor

    def _add_dry(self, data: Data, console: Console, true: GraphValues, tracks: Tensor, level: float) -> None:
        """Adds what depends on the level of the tracks, at the level that they have where there is no mix."""
        moved = replace(true, parameters=moved_thresholds(self.processors, true.parameters, 20 * math.log10(level)))
        dry = console_data(console, self.extract.without_mix(tracks, console.groups), self.task.types)
        add_labels(dry, console, moved, self.codes)
        for key in ("mels", "cues", *map(label_key, self.codes)):
            data[f"{DRY}{key}"] = dry[key]

    def _audio(self, sample: GraphSample, start: int, length: int) -> tuple[Tensor, Tensor]:
        assert sample.audio is not None
        if self.settings.target == "mix":
            return sample.audio.tracks(start, start + length), sample.audio.mix(start, start + length)
        tracks = sample.audio.tracks(start, start + length)
        return tracks, rendered(sample, start, start + length, _HISTORY_SECONDS)


@dataclass(frozen=True)
class CachedExample:
    """The place of a cached example.

    Attributes:
        file: its file.
        key: its sample's key.
        song: its song.
        start: its segment's first audio sample.
        engineer: who mixed it, where several samples have the same engineer; "" where that is not known.
    """

    file: str
    key: str
    song: str
    start: int
    engineer: str = ""


class ExampleFiles(Dataset[Data]):
    """A dataset of cached examples, each read from its file when it is indexed.

    Args:
        folder: the folder that holds the files.
        items: the examples of the dataset.
        task: gives the chains of the consoles.
    """

    def __init__(self, folder: Path, items: Sequence[CachedExample], task: EstimatorTask) -> None:
        self.folder, self.items, self.task = folder, list(items), task

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Data:
        path = self.folder / self.items[index].file
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            data = Data(**{key: value.float() if key in _HALF else value for key, value in tensors.items()})
            if "clip_tracks" in tensors:
                subgroups = json.loads(file.metadata()["subgroups"])
                chains = self.task.track_chain, self.task.subgroup_chain
                data.graph = console_of_subgroups(subgroups, *chains, self.items[index].song).graph
        return data

    def reference(self, index: int) -> ReferenceMix:
        """The mix of an example as a reference, without reading what belongs to the tracks."""
        with safetensors.safe_open(self.folder / self.items[index].file, framework="pt") as file:
            return ReferenceMix(file.get_tensor("mix_mels").float(), file.get_slice("cues")[:1][0, OF_MIX])

    def light(self) -> Iterator[Data]:
        """Yields all examples with their cues and labels only, which is quick to read."""
        for item in self.items:
            with safetensors.safe_open(self.folder / item.file, framework="pt") as file:
                names = [n for n in file.keys() if n in _LIGHT or n.startswith("code_")]  # noqa: SIM118
                names += ["x", "level", "processor_index"]
                yield Data(**{name: file.get_tensor(name) for name in names})


def cached_examples(
    paths: Sequence[Path],
    settings: ExampleSettings,
    cache_dir: Path,
    num_workers: int = 1,
    audio_root: Path | None = None,
) -> tuple[Path, list[CachedExample]]:
    """Makes the examples of some shards that the cache lacks; returns the cache's folder and its examples, in order.

    Raises:
        FileNotFoundError, ValueError: as `read_shards` and `ExampleMaker.make`.
    """
    shards = [shard for path in paths for shard in shard_paths(path)]
    stamps = [(str(s.resolve()), s.stat().st_size, s.stat().st_mtime_ns) for s in shards]
    text = json.dumps([VERSION, asdict(settings), stamps], sort_keys=True)
    folder = cache_dir / f"examples-{hashlib.sha256(text.encode()).hexdigest()[:20]}"
    index = folder / INDEX
    if not index.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        samples = read_shards(shards, audio_root)
        items = [item for part in _made(samples, settings, folder, num_workers) for item in part]
        write_atomically(index, json.dumps([asdict(item) for item in items]).encode())
    return folder, [CachedExample(**item) for item in json.loads(read_text(index))]


def _made(
    samples: Iterable[GraphSample], settings: ExampleSettings, folder: Path, num_workers: int
) -> Iterator[list[CachedExample]]:
    if num_workers <= 1:
        maker = ExampleMaker(settings)
        for sample in progress(samples, "Features", transient=True):
            with one_thread():
                items = _write(maker, sample, folder)
            yield items
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, context, _begin, (settings,)) as pool:
        waiting: list[Future[list[CachedExample]]] = []
        for sample in progress(samples, "Features", transient=True):
            waiting.append(pool.submit(_work, sample, folder))
            if len(waiting) >= 4 * num_workers:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def _write(maker: ExampleMaker, sample: GraphSample, folder: Path) -> list[CachedExample]:
    graph = sample.graph
    members = {group: [graph.names[graph.inputs[i]] for i in rows] for group, rows in graph.members.items()}
    items = []
    for start, data in maker.make(sample):
        file, engineer = f"{sample.key}-{start}.safetensors", str(sample.meta.get("engineer", ""))
        item = CachedExample(file, sample.key, str(sample.meta["song"]), start, engineer)
        tensors: dict[str, Tensor] = {
            key: (value.half() if key in _HALF else value).contiguous() for key, value in data.to_dict().items()
        }
        encoded = safetensors.torch.save(tensors, metadata={"subgroups": json.dumps(members)})
        write_atomically(folder / item.file, encoded)
        items.append(item)
    return items


_maker: ExampleMaker | None = None  # of a worker process


def _begin(settings: ExampleSettings) -> None:
    global _maker
    torch.set_num_threads(1)
    _maker = ExampleMaker(settings)


def _work(sample: GraphSample, folder: Path) -> list[CachedExample]:
    assert _maker is not None
    return _write(_maker, sample, folder)
