"""Graph-audio pairs from shards, as Lightning takes them."""

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
    """Samples of a data set of shards: at random to train on, in exact passes to evaluate.

    Training draws shards with replacement, so that an epoch has the same number of batches on every node whatever is
    in the shards. Validation, test and prediction go through every sample once, over all workers and nodes.

    Args:
        path: folder of the data set, with its index.json.
        train: name of the split to train on.
        validation: name of the split to validate on.
        test: name of the split to test on and to predict for.
        batch_size: samples a batch. The last batches of a pass may be smaller.
        num_workers: processes that read. The order of the samples depends on it, in evaluation too.
        format: `"sample"` gives lists of `Example`; `"pyg"` PyTorch Geometric batches, see `to_batch`.
        audio: whether audio is read.
        segment_seconds: stretch of the song beside its graph: anywhere in training, the middle in evaluation; null
            takes the whole song.
        target: `"mix"`, the engineer's; or `"rendered"`, what the graph makes of the tracks, made when asked for: the
            pair is then consistent, which a found graph never is with an engineer's mix.
        warm_up_seconds: rendered before a stretch where the target is rendered.
        audio_root: folder of the songs, or a list, where the shards have no audio: files are found by name and hash.
        epoch_samples: samples of an epoch over all nodes; as many as the split has by default.
        resample: draw shards with replacement; false goes through them once an epoch (on one node).
        shuffle_buffer: samples to draw from in training.
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
        """What is in the data set; raises as `load_index` does."""
        return load_index(self.path)

    @cached_property
    def finder(self) -> SongFinder | None:
        """Finds audio of shards without; None where no `audio_root` is given."""
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
        """The tars of a split.

        Raises:
            ValueError: the data set has no such split.
        """
        shards = tuple(self.path / shard.shard for shard in self.index.shards if shard.split == split)
        if not shards:
            raise ValueError(f"{self.path}: split {split!r} has no shards; there are {', '.join(self.index.splits)}")
        return shards

    def source(self, split: str) -> Source:
        """What the loaders read."""
        return Source(self.shards(split), self.stretch, self.format, self.batch_size, self.finder)

    def node(self) -> Node:
        """This process among those that train together."""
        return Node(self.trainer.global_rank, self.trainer.world_size) if self.trainer else Node()

    def train_dataloader(self) -> TrainingLoader:
        node = self.node()
        samples = self.epoch_samples or self.index.num_samples(self.train)
        # Without draws an epoch ends with its samples: every worker's last batch may be a part of one.
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
