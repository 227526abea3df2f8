"""Streams samples to many workers and nodes: WebDataset's pipeline around the reader of this package.

WebDataset runs the stages, shuffles and loads; it never opens or decodes a file here (its decoders unpickle).

- Evaluation: every shard goes to one worker of one node, so that every sample is seen exactly once. Nodes can have
  different numbers of batches; a metric must be gathered at the end of the pass, not in its steps.
- Training: shards are drawn with replacement by every worker, without end; the loader stops after the batches of an
  epoch, the same number on every node, so that none waits for another.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import webdataset as wds
from torch.utils.data import get_worker_info

from mixgraph.shards.examples import Example, Stretch
from mixgraph.shards.messages import Message
from mixgraph.shards.read import read_raw
from mixgraph.shards.rehydrate import SongFinder
from mixgraph.shards.sample import GraphSample, decode_sample

Format = Literal["sample", "pyg"]
TOGETHER = 16
"""Samples without audio that leave a worker in one message."""


@dataclass(frozen=True)
class Node:
    """One of several machines or devices that share the work."""

    rank: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.count:
            raise ValueError(f"node: 0 <= rank < count is needed, got {self.rank} of {self.count}")


@dataclass(frozen=True)
class Source:
    """The shards to read, and the form of the batches that are made of them.

    Attributes:
        shards: the paths of the tars.
        stretch: cuts examples from samples.
        format: `"sample"` gives lists of `Example`, `"pyg"` PyG batches.
        batch_size: the number of examples in a batch; in evaluation the last batch of a worker may have fewer.
        finder: finds the audio of samples that have none in their shard; None leaves them without.
    """

    shards: tuple[Path, ...]
    stretch: Stretch
    format: Format = "sample"
    batch_size: int = 1
    finder: SongFinder | None = None

    def __post_init__(self) -> None:
        if self.format not in ("sample", "pyg"):
            raise ValueError(f"format: 'sample' or 'pyg' is needed, got {self.format!r}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size: at least 1, got {self.batch_size}")
        if not self.shards:
            raise ValueError("shards: at least one is needed, got none")


def evaluation_loader(source: Source, num_workers: int = 0, node: Node = Node()) -> Any:
    """Loads every sample of the shards exactly once over all workers and nodes, with stretches at fixed positions."""
    urls = [{"url": str(path)} for path in source.shards][node.rank :: node.count]
    # A worker without shards yields nothing; that is no error.
    return _loader([_Everything(urls), _EveryWorker(), _Read(), _Cut(source)], source, num_workers)


def _loader(stages: list[Any], source: Source, num_workers: int) -> Any:
    # Sending a message costs as much as a sample, so graphs are sent many at a time; batches with audio are too large.
    together = max(1, TOGETHER // source.batch_size) if num_workers and not source.stretch.audio else 1
    pipeline = wds.DataPipeline(*stages, _Group(source), _Together(together))
    return wds.WebLoader(pipeline, batch_size=None, num_workers=num_workers).compose(_apart)


class TrainingLoader:
    """Loads epochs of a fixed number of batches, drawn from shards at random; each iteration is one epoch.

    Args:
        source: the shards and the form of the batches.
        num_batches: the number of batches of an epoch on this node.
        epoch: returns the number of the epoch; called when an epoch starts. Equal numbers give equal examples (for
            the same seed, nodes and workers).
        num_workers: the number of processes that read.
        node: the node that this process runs on.
        shuffle_buffer: the number of samples to draw from; they hold no audio.
        seed: seeds the order of the samples and the stretches.
        resample: draw shards with replacement, without end. False goes through the node's shards once an epoch,
            shuffled, and ends with them: only where there is one node, or where all have as many samples.
    """

    def __init__(
        self,
        source: Source,
        num_batches: int,
        epoch: Callable[[], int],
        num_workers: int = 0,
        node: Node = Node(),
        shuffle_buffer: int = 100,
        seed: int = 42,
        resample: bool = True,
    ) -> None:
        if num_batches < 1 or shuffle_buffer < 1:
            raise ValueError(f"num_batches, shuffle_buffer: at least 1, got {num_batches} and {shuffle_buffer}")
        self.source, self.num_batches, self.epoch = source, num_batches, epoch
        self.num_workers, self.node, self.shuffle_buffer = num_workers, node, shuffle_buffer
        self.seed, self.resample = seed, resample

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[Any]:
        # Built again for every epoch: with one seed every epoch would repeat the first.
        epoch, node = self.epoch(), self.node
        urls = [{"url": str(path)} for path in self.source.shards]
        seed = f"{self.seed}/{epoch}"
        stages: list[Any]
        if self.resample:
            stages = [_Draws(urls, f"{seed}/{node.rank}")]
        else:
            random.Random(seed).shuffle(urls)
            stages = [_Everything(urls[node.rank :: node.count]), _EveryWorker()]
        stages += [_Read(), _Shuffle(self.shuffle_buffer, f"{seed}/{node.rank}")]
        stages += [_Cut(self.source, f"{epoch}/{node.rank}")]
        return islice(iter(_loader(stages, self.source, self.num_workers)), self.num_batches)


# The stages of the pipelines: they hold plain values, so that they can be pickled for workers. Random numbers are
# seeded with strings, which hash equally in every process (WebDataset's seeds do not).
Url = dict[str, str]


@dataclass
class _Everything:
    urls: list[Url]

    def __call__(self) -> Iterator[Url]:
        return iter(self.urls)


@dataclass
class _EveryWorker:
    def __call__(self, urls: Iterable[Url]) -> Iterator[Url]:
        worker, count = _worker()
        return islice(urls, worker, None, count)


@dataclass
class _Draws:
    urls: list[Url]
    seed: str

    def __call__(self) -> Iterator[Url]:
        rng = random.Random(f"{self.seed}/{_worker()[0]}")
        while True:
            yield rng.choice(self.urls)


@dataclass
class _Read:
    def __call__(self, urls: Iterable[Url]) -> Iterator[GraphSample]:
        for url in urls:
            empty = True
            for raw in read_raw(Path(url["url"])):
                yield decode_sample(raw)
                empty = False
            if empty:  # drawing from empty shards would never end
                raise ValueError(f"{url['url']}: at least one sample is needed, got none")


@dataclass
class _Shuffle:
    size: int
    seed: str

    def __call__(self, samples: Iterable[GraphSample]) -> Iterator[GraphSample]:
        rng = random.Random(f"{self.seed}/{_worker()[0]}")
        shuffled: Iterator[GraphSample] = wds.shuffle(self.size, initial=self.size, rng=rng)(iter(samples))
        return shuffled


@dataclass
class _Cut:
    source: Source
    epoch: str | None = None

    def __call__(self, samples: Iterable[GraphSample]) -> Iterator[Example]:
        finder, stretch = self.source.finder, self.source.stretch
        for number, sample in enumerate(samples):
            whole = finder.rehydrate(sample) if finder is not None and stretch.audio else sample
            yield stretch.cut(whole, None if self.epoch is None else f"{self.epoch}/{_worker()[0]}/{number}")


@dataclass
class _Group:
    source: Source

    def __call__(self, examples: Iterable[Example]) -> Iterator[Any]:
        remaining = iter(examples)
        if self.source.format == "pyg":
            from mixgraph.shards.pyg import to_batch  # slow: takes seconds to import
        while group := list(islice(remaining, self.source.batch_size)):
            yield to_batch(group) if self.source.format == "pyg" else group


@dataclass
class _Together:
    count: int

    def __call__(self, batches: Iterable[Any]) -> Iterator[Message]:
        remaining = iter(batches)
        while group := list(islice(remaining, self.count)):
            yield Message(group)


def _apart(messages: Iterable[Message]) -> Iterator[Any]:
    for message in messages:
        yield from message.batches


def _worker() -> tuple[int, int]:
    info = get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)
