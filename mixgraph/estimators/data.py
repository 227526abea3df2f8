"""The data module that gives the Trainer batches of examples from shards."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.utils.data import ConcatDataset, Dataset, Sampler
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from mixgraph.estimators.cache import ExampleFiles, ExampleSettings, Target, cached_examples
from mixgraph.estimators.questions import Question, ReferenceMix, asked, reference_of
from mixgraph.estimators.settings import EstimatorTask
from mixgraph.estimators.statistics import TrainingStatistics, training_statistics


class EpochOrder(Sampler[int]):
    """Shuffles examples by the seed and the epoch alone, so that a resumed training sees the same order.

    Args:
        count: the number of examples.
        seed: seeds the order of each epoch.
        epoch: returns the number of the current epoch; it is called when an epoch starts.
    """

    def __init__(self, count: int, seed: int, epoch: Callable[[], int]) -> None:
        self.count, self.seed, self.epoch = count, seed, epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        order = list(range(self.count))
        random.Random(f"{self.seed}/{self.epoch()}").shuffle(order)
        return iter(order)


_OTHERS_SHARE = 0.5  # of the references that may be other mixes


class AskedExamples(Dataset[Data]):
    """Examples, some of which ask the network to do without the song's own mix.

    The seed, the epoch and the example's number decide. A reference is a mix for which the labels are right: a half of
    the frames of the own mix, or, as often where there are such, another segment of the same song or a song by the same
    engineer. Mixes by other engineers are never taken: of what they differ in, the labels would say the wrong thing.

    Args:
        parts: the examples.
        reference_share: the share that is shown a reference in place of the own mix.
        nothing_share: the share that is shown no mix.
        seed: see above.
        epoch: returns the number of the current epoch.
    """

    def __init__(
        self,
        parts: Sequence[ExampleFiles],
        reference_share: float,
        nothing_share: float,
        seed: int,
        epoch: Callable[[], int],
    ) -> None:
        self.reference_share, self.nothing_share, self.seed, self.epoch = reference_share, nothing_share, seed, epoch
        self.places = [(part, index) for part in parts for index in range(len(part))]
        self.styles: dict[tuple[str, ...], list[int]] = {}
        for number, (part, index) in enumerate(self.places):
            for style in _styles(part, index):
                self.styles.setdefault(style, []).append(number)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Data:
        part, row = self.places[index]
        data = part[row]
        draw = random.Random(f"{self.seed}/{self.epoch()}/{index}/question")
        luck = draw.random()
        if luck < self.reference_share:
            return asked(data, Question.REFERENCE, self._reference(index, data, draw))
        if luck < self.reference_share + self.nothing_share:
            return asked(data, Question.NOTHING)
        return asked(data, Question.OWN_MIX)

    def _reference(self, index: int, data: Data, draw: random.Random) -> ReferenceMix:
        part, row = self.places[index]
        others = sorted({n for style in _styles(part, row) for n in self.styles[style]} - {index})
        if others and draw.random() < _OTHERS_SHARE:
            other, other_row = self.places[draw.choice(others)]
            return other.reference(other_row)
        frames = data.mix_mels.shape[-1]
        half = max(1, frames // 2)
        return reference_of(data, draw.randint(0, frames - half), half)


def always_asked(parts: Sequence[ExampleFiles], question: Question) -> AskedExamples:
    """Returns all examples with one question; which reference an example is shown is always the same."""
    reference, nothing = (float(question == other) for other in (Question.REFERENCE, Question.NOTHING))
    return AskedExamples(parts, reference, nothing, seed=0, epoch=lambda: 0)


def _styles(part: ExampleFiles, index: int) -> list[tuple[str, ...]]:
    """What an example shares with others that are mixed alike: its song, and its engineer."""
    item = part.items[index]
    return [("song", str(part.folder), item.song)] + ([("engineer", item.engineer)] if item.engineer else [])


class EstimatorData(L.LightningDataModule):
    """Segments of songs with their graphs, from shards; features are made once and kept in files.

    Args:
        path: folder of a data set (with the folders `train` and `validation`), or a list of them.
        batch_size: segments a step.
        audio_root: the folder of the user's copy of the songs, for data sets without audio.
        hold_out: names of songs that are neither trained nor validated on.
        train_splits: folders that are trained on, e.g. `[train, test]` where a held-out song is what counts.
        max_segments: the most segments that one song gives.
        target: `"mix"` trains on the mix, `"rendered"` on the tracks rendered by their graph.
        clip_seconds: the length of the audio of each segment that is kept for the match loss; 0 keeps none.
        reference_share: the share of the training examples that are shown a reference in place of their own mix; above
            0 only for a network with `network.questions`.
        nothing_share: the share that is shown no mix at all.
        cache_dir: the folder for computed features.
        cache_workers: the number of processes that compute features.
    """

    def __init__(
        self,
        path: str | list[str],
        batch_size: int = 16,
        audio_root: str | None = None,
        hold_out: list[str] | None = None,
        train_splits: list[str] | None = None,
        max_segments: int = 8,
        target: Target = "mix",
        clip_seconds: float = 0.0,
        reference_share: float = 0.0,
        nothing_share: float = 0.0,
        cache_dir: str = ".mixgraph_cache",
        cache_workers: int = 2,
    ) -> None:
        super().__init__()
        self.paths = [Path(p) for p in (path if isinstance(path, list) else [path])]
        self.batch_size, self.audio_root, self.hold_out = batch_size, audio_root, set(hold_out or ())
        self.train_splits = list(train_splits or ["train"])
        self.max_segments, self.target, self.clip_seconds = max_segments, target, clip_seconds
        self.cache_dir, self.cache_workers = Path(cache_dir), cache_workers
        shares = {"reference_share": reference_share, "nothing_share": nothing_share}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise ValueError(f"{name}: 0 to 1 is needed, got {share:g}")
        if sum(shares.values()) > 1:
            raise ValueError(f"reference_share, nothing_share: at most 1 together, got {sum(shares.values()):g}")
        self.reference_share, self.nothing_share = reference_share, nothing_share
        self.splits: dict[str, list[ExampleFiles]] = {}
        self.seed = torch.initial_seed()  # of `seed_everything`

    def setup(self, stage: str) -> None:
        if not self.splits:
            task = self.trainer.lightning_module.task  # type: ignore[union-attr]
            assert isinstance(task, EstimatorTask)
            self.prepare(task)

    def prepare(self, task: EstimatorTask) -> None:
        """Makes the examples that the cache lacks; `setup` does so for the task of the Trainer's module.

        Raises:
            FileNotFoundError: a split has no shards.
            ValueError: no example is left to train or validate on.
        """
        settings = ExampleSettings(task, self.max_segments, self.target, self.clip_seconds)
        root = None if self.audio_root is None else Path(self.audio_root)
        songs: set[str] = set()
        for split, folders in (("train", self.train_splits), ("validation", ["validation"])):
            example_sets = []
            for path in (base / folder for base in self.paths for folder in folders):
                if not path.is_dir() and len(self.paths) * len(folders) > 1:
                    continue  # a data set need not have every split
                folder, items = cached_examples([path], settings, self.cache_dir, self.cache_workers, root)
                songs |= {item.song for item in items}
                example_sets.append(ExampleFiles(folder, [i for i in items if i.song not in self.hold_out], task))
            self.splits[split] = example_sets
            if not sum(map(len, example_sets)):
                raise ValueError(f"path: {', '.join(map(str, self.paths))}: no examples for {split} are left")
        if unknown := sorted(self.hold_out - songs):
            some_songs = ", ".join(sorted(songs)[:20])
            raise ValueError(f"hold_out: some of the songs of the data set ({some_songs}), got {', '.join(unknown)}")

    def statistics(self) -> TrainingStatistics:
        """Computes the statistics of the training examples."""
        parts = self.splits["train"]
        return training_statistics((data for part in parts for data in part.light()), parts[0].task.types)

    def train_dataloader(self) -> Any:
        def epoch() -> int:
            return self.trainer.current_epoch if self.trainer else 0

        examples: Dataset[Data] = ConcatDataset(self.splits["train"])
        if self.reference_share or self.nothing_share:
            parts = self.splits["train"]
            examples = AskedExamples(parts, self.reference_share, self.nothing_share, self.seed, epoch)
        order = EpochOrder(sum(map(len, self.splits["train"])), self.seed, epoch)
        return DataLoader(examples, self.batch_size, sampler=order, generator=torch.Generator())

    def val_dataloader(self) -> Any:
        questions: tuple[Question, ...] = self.trainer.lightning_module.questions  # type: ignore[union-attr, assignment]
        return [DataLoader(always_asked(self.splits["validation"], q), self.batch_size) for q in questions]
