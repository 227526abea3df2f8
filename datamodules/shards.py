"""A LightningDataModule over data sets of shards: pairs of mixing graphs and audio."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L
import torch

from mixgraph.shards import Index, SongFinder, load_index, read_shards
from mixgraph.shards.examples import Example, Stretch, Target
from mixgraph.shards.stream import Format, Node, Source, TrainingLoader, evaluation_loader


class GraphShards(L.LightningDataModule):
    """Loads a data set of shards: random samples to train on, every sample exactly once to evaluate.

    Training draws shards with replacement, so that an epoch has the same number of batches on every node whatever is
    in the shards. Validation, test and prediction go through every sample once, over all workers and nodes.

    Args:
        path: the folder of the data set, which holds index.json.
        train: name of the split to train on.
        validation: name of the split to validate on.
        test: name of the split to test on and to predict for.
        batch_size: the number of samples in a batch. The last batches of a pass may be smaller.
        num_workers: the number of processes that read. The order of the samples depends on it, in evaluation too.
        format: `"sample"` gives lists of `Example`; `"pyg"` PyTorch Geometric batches, see `to_batch`.
        audio: read audio; false gives graphs only.
        segment_seconds: the length of the stretch of audio: at a random position in training, the middle in
            evaluation; null takes the whole song.
        target: `"mix"`, the engineer's mix, or `"rendered"`, the tracks rendered by the graph while loading. Only the
            latter agrees exactly with the graph: a found graph only approximates the engineer's mix.
        warm_up_seconds: the audio that is rendered before a stretch of a rendered target, and dropped.
        audio_root: folder of the songs, or a list, where the shards have no audio: files are found by name and hash.
        epoch_samples: the number of samples of an epoch over all nodes; by default that of the split.
        resample: draw shards with replacement; false goes through them once an epoch (on one node).
        shuffle_buffer: the number of samples in memory to draw from in training.
        seed: seeds the order of samples and the stretches of songs.
    """

    def __init__(
        self,
        path: str,
        train: str = "train",
        validation: str = "validation",
        test: str = "test",
        batch_size: int = 1,
        num_workers: int = 0,
        format: Format = "sample",
        audio: bool = False,
        segment_seconds: float | None = None,
        target: Target = "mix",
        warm_up_seconds: float = 2.0,
        audio_root: str | list[str] | None = None,
        epoch_samples: int | None = None,
        resample: bool = True,
        shuffle_buffer: int = 100,
        seed: int = 42,
    ) -> None:
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise ValueError(f"batch_size, num_workers: at least 1 and 0, got {batch_size} and {num_workers}")
        if epoch_samples is not None and epoch_samples < 1:
            raise ValueError(f"epoch_samples: at least 1, or null, got {epoch_samples}")
        self.path, self.train, self.validation, self.test = Path(path), train, validation, test
        self.batch_size, self.num_workers, self.format = batch_size, num_workers, format
        self.stretch = Stretch(audio, segment_seconds, target, warm_up_seconds, seed)
        self.audio_root, self.epoch_samples, self.resample = audio_root, epoch_samples, resample
        self.shuffle_buffer, self.seed = shuffle_buffer, seed
        self._epoch = -1

    @cached_property
    def index(self) -> Index:
        """The index of the data set; raises as `load_index` does."""
        return load_index(self.path)

    @cached_property
    def finder(self) -> SongFinder | None:
        """The finder of audio files for shards without audio; None if there is no `audio_root`."""
        return None if self.audio_root is None else SongFinder(self.audio_root)

    def setup(self, stage: str) -> None:
        if self.finder is None or not self.stretch.audio:
            return
        splits = {"fit": (self.train, self.validation), "validate": (self.validation,)}.get(stage, (self.test,))
        missing = {}
        for split in splits:
            for sample in read_shards(self.shards(split)) if split in self.index.splits else ():
                lines = self.finder.locate(sample.meta)[1] if sample.audio is None else []
                if lines:
                    missing[sample.key] = lines
        if missing:
            raise FileNotFoundError(self.finder.message(missing))

    def shards(self, split: str) -> tuple[Path, ...]:
        """Returns the paths of a split's tars.

        Raises:
            ValueError: the data set has no such split.
        """
        shards = tuple(self.path / shard.shard for shard in self.index.shards if shard.split == split)
        if not shards:
            raise ValueError(f"{self.path}: split {split!r} has no shards; there are {', '.join(self.index.splits)}")
        return shards

    def source(self, split: str) -> Source:
        """Returns the shards of a split and the form of batches, for the loaders."""
        return Source(self.shards(split), self.stretch, self.format, self.batch_size, self.finder)

    def node(self) -> Node:
        """Returns rank and number of the processes that train together."""
        return Node(self.trainer.global_rank, self.trainer.world_size) if self.trainer else Node()

    def train_dataloader(self) -> TrainingLoader:
        node = self.node()
        samples = self.epoch_samples or self.index.num_samples(self.train)
        # Without resampling an epoch ends with its samples: the last batch of every worker may be smaller.
        parts = 0 if self.resample or self.epoch_samples else max(0, self.num_workers - 1)
        return TrainingLoader(
            self.source(self.train),
            math.ceil(samples / (self.batch_size * node.count)) + parts,
            self._next_epoch,
            self.num_workers,
            node,
            self.shuffle_buffer,
            self.seed,
            self.resample,
        )

    def val_dataloader(self) -> Any:
        return self._exact(self.validation)

    def test_dataloader(self) -> Any:
        return self._exact(self.test)

    def predict_dataloader(self) -> Any:
        return self._exact(self.test)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        if isinstance(batch, list) and all(isinstance(example, Example) for example in batch):
            return [example.to(device) for example in batch]
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def _exact(self, split: str) -> Any:
        return evaluation_loader(self.source(split), self.num_workers, self.node())

    def _next_epoch(self) -> int:
        self._epoch = self.trainer.current_epoch if self.trainer else self._epoch + 1
        return self._epoch
