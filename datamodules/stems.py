"""The data module of the demixer: random chunks of stems, from several roots, and whole excerpts of songs left out."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from mixgraph.demixing.batches import Excerpt, StemBatch
from mixgraph.demixing.module import Demixer
from mixgraph.demixing.stem_songs import StemSong, find_stem_songs, read_stem_song
from mixgraph.dsp.resample import resample
from mixgraph.shipped import song_path

_SMALL = 20  # the largest denominator of a factor of speed
_TRIES = 8  # to find a chunk in which a stem sounds


class StemData(L.LightningDataModule):
    """Random chunks of stems, whose sum is the mix, and whole excerpts of left-out songs.

    A chunk depends on the seed and the number of its step alone, so that a resumed training sees what it would have
    seen. Files are read in stretches.

    Args:
        path: folder of songs, see `find_stem_songs`, or a list of them.
        weights: how often each folder is drawn from, relative to the others; None takes its number of songs.
        left_out: names of songs that are not trained but validated on, in all folders; None takes every seventh.
        results: folder whose folders, named like songs, hold found graphs; a song that has one is heard through it.
        batch_size: chunks a step.
        chunk_seconds: length of a chunk.
        steps_per_epoch: steps between two validations.
        mixed_songs: share of the examples whose stems are drawn from different songs and places.
        level_db: rms in dB of full scale that the stems of such an example have before their gains; None keeps theirs.
        gains: least and largest random gain of a stem.
        swap_channels: probability that a stem's channels are swapped.
        speeds: factors of which one is drawn for every stem, or for all stems of an example that is not mixed: it is
            played as many times faster, and higher. Each is a ratio of small numbers, such as 9 / 8.
        validation_seconds: length of the excerpts that are validated on, from the middle of songs.
        whitening_batches: batches from which the network's whitening is taken.
        cache_dir: the folder for sums of tracks.
        num_workers: processes that read chunks; 0 reads in the training process.
        seed: seeds the chunks; None takes that of `seed_everything`.
    """

    def __init__(
        self,
        path: str | list[str],
        weights: list[float] | None = None,
        left_out: list[str] | None = None,
        results: str | None = None,
        batch_size: int = 4,
        chunk_seconds: float = 1.5,
        steps_per_epoch: int = 200,
        mixed_songs: float = 0.75,
        level_db: float | None = -20.0,
        gains: tuple[float, float] = (0.25, 1.25),
        swap_channels: float = 0.5,
        speeds: Sequence[float] = (1.0,),
        validation_seconds: float = 30.0,
        whitening_batches: int = 16,
        cache_dir: str = ".mixgraph_cache",
        num_workers: int = 0,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.roots = [song_path(p) for p in (path if isinstance(path, list) else [path])]
        if not self.roots or (weights is not None and len(weights) != len(self.roots)):
            got = "none" if weights is None else len(weights)
            raise ValueError(f"weights: one for each of {len(self.roots)} folders (path) is needed, got {got}")
        if weights is not None and not (all(w >= 0 for w in weights) and sum(weights) > 0):
            raise ValueError(f"weights: numbers from 0, not all of them 0, are needed, got {weights}")
        for name, value in (("batch_size", batch_size), ("steps_per_epoch", steps_per_epoch)):
            if value < 1:
                raise ValueError(f"{name}: at least 1, got {value}")
        if not (chunk_seconds > 0 and validation_seconds > 0 and whitening_batches > 0):
            raise ValueError("chunk_seconds, validation_seconds, whitening_batches: above 0 each")
        if not (0 <= mixed_songs <= 1 and 0 <= swap_channels <= 1 and 0 < gains[0] <= gains[1]):
            raise ValueError("mixed_songs, swap_channels: from 0 to 1; gains: 0 < least <= largest")
        self.speeds = [Fraction(speed).limit_denominator(_SMALL) for speed in speeds]
        if not self.speeds or not all(0.5 <= speed <= 2 for speed in self.speeds):
            raise ValueError(f"speeds: factors from 0.5 to 2 are needed, got {list(speeds)}")
        self.weights, self.left_out, self.results = weights, left_out, results
        self.batch_size, self.chunk_seconds, self.steps_per_epoch = batch_size, chunk_seconds, steps_per_epoch
        self.mixed_songs, self.level_db, self.gains, self.swap_channels = mixed_songs, level_db, gains, swap_channels
        self.validation_seconds, self.whitening_batches = validation_seconds, whitening_batches
        self.cache_dir, self.num_workers = Path(cache_dir), num_workers
        self.seed = torch.initial_seed() if seed is None else seed
        self.training_songs: list[list[StemSong]] = []  # a list for each root
        self.validation_songs: list[StemSong] = []
        self._task: tuple[tuple[str, ...], int] | None = None

    def setup(self, stage: str) -> None:
        module = self.trainer.lightning_module  # type: ignore[union-attr]
        if not isinstance(module, Demixer):
            raise ValueError(f"data: StemData is for a Demixer, got {type(module).__name__}")
        self.prepare(module.targets, module.sample_rate)
        adds_up = module.mask_kind == "softmax" or module.losses.mask_sum > 0
        rest = [song.name for songs in self.training_songs for song in songs if song.is_heard(len(module.targets))]
        if adds_up and rest:
            raise ValueError(
                f"path: stems of no target are in {', '.join(rest)}, while masks add up to 1. HINT: a target `other`, "
                "or model.masks: sigmoid with model.losses.mask_sum: 0"
            )

    def prepare(self, targets: Sequence[str], sample_rate: int) -> None:
        """Reads where the songs' stems are, and says what is odd about them; `setup` does so for the Trainer's module.

        Raises:
            FileNotFoundError: a folder is missing.
            ValueError: a song cannot be read, no song is left to train on, or one that is left out is unknown.
        """
        if self._task == (tuple(targets), sample_rate):
            return
        self._task = (tuple(targets), sample_rate)
        roots = []
        for root in self.roots:
            folders = find_stem_songs(root, targets)
            roots.append([self._read(folder, targets, sample_rate) for folder in folders])
        names = sorted({song.name for songs in roots for song in songs})
        left_out = set(names[3::7] if self.left_out is None else self.left_out)
        if unknown := sorted(left_out - set(names)):
            raise ValueError(f"left_out: some of {', '.join(names)}, got {', '.join(unknown)}")
        self.training_songs = [[song for song in songs if song.name not in left_out] for songs in roots]
        by_name = {song.name: song for songs in roots for song in songs if song.name in left_out}
        self.validation_songs = [by_name[name] for name in sorted(by_name)]
        if not any(self.training_songs):
            raise ValueError(f"path: no song is left to train on; left out are {', '.join(sorted(left_out))}")
        kept = self.weights or [1.0] * len(roots)
        if not any(songs and weight for songs, weight in zip(self.training_songs, kept, strict=True)):
            raise ValueError("weights: above 0 for a folder with songs is needed")
        for target, name in enumerate(targets):
            if not any(song.is_heard(target) for songs in self.training_songs for song in songs):
                raise ValueError(f"path: no song to train on has {name}. HINT: see `stems:` of song.yaml")
        if self.validation_songs and not any(
            song.is_heard(row, *_middle(song, self.validation_seconds))
            for song in self.validation_songs
            for row in range(len(targets))
        ):
            raise ValueError(
                f"left_out: a song in whose middle {self.validation_seconds:g} s a target sounds is needed, "
                f"got {', '.join(song.name for song in self.validation_songs)}"
            )
        self._say(targets)

    def _read(self, folder: Path, targets: Sequence[str], sample_rate: int) -> StemSong:
        result = None
        if self.results is not None:
            candidate = Path(self.results) / folder.name
            result = candidate if (candidate / "graph.json").is_file() else None
        return read_stem_song(folder, targets, sample_rate, self.cache_dir, result)

    def _say(self, targets: Sequence[str]) -> None:
        songs = [song for songs in self.training_songs for song in songs]
        for note in [note for song in (*songs, *self.validation_songs) for note in song.notes]:
            rank_zero_info(note)
        minutes = sum(song.num_samples / song.sample_rate for song in songs) / 60
        heard = ", ".join(f"{name} in {sum(song.is_heard(i) for song in songs)}" for i, name in enumerate(targets))
        rank_zero_info(f"Trained on: {len(songs)} songs, {minutes:.1f} minutes; {heard}.")
        none = "none, so that nothing is validated on and no checkpoint is the best"
        rank_zero_info(f"Left out: {', '.join(song.name for song in self.validation_songs) or none}.")

    # Chunks.

    def batch(self, step: int) -> StemBatch:
        """Reads the batch of a step, counted from 0; the same seed and step give the same batch."""
        examples = [self._example(random.Random(f"{self.seed}/{step}/{item}")) for item in range(self.batch_size)]
        stems = torch.stack([stems for stems, _ in examples])  # (batch, targets + 1, 2, time)
        songs = tuple(dict.fromkeys(name for _, names in examples for name in names))
        return StemBatch(stems[:, :-1], stems.sum(1), songs)

    def _example(self, source: random.Random) -> tuple[Tensor, list[str]]:
        """Draws an example, (targets + 1, 2, time), and the names of its songs."""
        assert self._task is not None
        targets, sample_rate = self._task
        length = round(self.chunk_seconds * sample_rate)
        mixed = source.random() < self.mixed_songs
        song = self._song(source, None)
        start = self._start(source, song, None, length)
        speed = source.choice(self.speeds)
        rows, names = [], []
        for target in range(len(targets) + 1):
            if mixed and target < len(targets):
                song = self._song(source, target)
                start = self._start(source, song, target, length)
                speed = source.choice(self.speeds)
            gain = source.uniform(*self.gains)
            swapped = source.random() < self.swap_channels
            if mixed and target == len(targets):
                rows.append(torch.zeros(2, length))
                continue
            stem = _faster(song.read(target, start, math.ceil(length * speed)), speed)[:, :length]
            if mixed and self.level_db is not None:
                gain *= 10 ** (self.level_db / 20) / song.level(target)
            rows.append((stem.flip(0) if swapped else stem) * gain)
            names.append(song.name)
        return torch.stack(rows), names

    def _song(self, source: random.Random, target: int | None) -> StemSong:
        """Draws a song, in which a target sounds."""
        groups = [[song for song in songs if target is None or song.is_heard(target)] for songs in self.training_songs]
        weights = [float(len(songs)) for songs in self.training_songs] if self.weights is None else self.weights
        shares = [weight if songs else 0.0 for songs, weight in zip(groups, weights, strict=True)]
        if not any(shares):  # only in folders of weight 0
            shares = [float(len(songs)) for songs in groups]
        songs = source.choices(groups, shares)[0]
        return songs[source.randrange(len(songs))]

    def _start(self, source: random.Random, song: StemSong, target: int | None, length: int) -> int:
        """Draws the first sample of a chunk, in which a target, or any, sounds where that is soon found."""
        start = 0
        for _ in range(_TRIES):
            start = source.randint(0, max(0, song.num_samples - length))
            rows = range(len(song.sources)) if target is None else (target,)
            if any(song.is_heard(row, start, length) for row in rows):
                break
        return start

    def whitening_mixes(self) -> Iterator[Tensor]:
        """Mixes, (batch, 2, time), that are no step's, to take the network's whitening from."""
        for number in range(1, self.whitening_batches + 1):
            yield self.batch(-number).mix

    def train_dataloader(self) -> DataLoader:
        loader: DataLoader = _Loader(
            _Steps(self.batch), sampler=_StepOrder(self.steps_per_epoch, self._next_step), **self._workers()
        )
        return loader

    def _workers(self) -> dict[str, Any]:
        return {"batch_size": None, "num_workers": self.num_workers}

    def _next_step(self) -> int:
        """The step of the whole training that the loader begins with, which checkpoints hold."""
        trainer = self.trainer
        return trainer.fit_loop.total_batch_idx + 1 if trainer is not None and trainer.training else 0

    def val_dataloader(self) -> DataLoader:
        return DataLoader(_Excerpts(self.validation_songs, self.validation_seconds), batch_size=None)

    test_dataloader = val_dataloader


def _faster(samples: Tensor, speed: Fraction) -> Tensor:
    """Plays samples faster: fewer of them at the same rate."""
    return resample(samples, speed.numerator, speed.denominator)


class _Steps(Dataset[StemBatch]):
    def __init__(self, batch: Callable[[int], StemBatch]) -> None:
        self.batch = batch

    def __getitem__(self, step: int) -> StemBatch:
        return self.batch(step)


class _StepOrder(Sampler[int]):
    """The steps of an epoch, from where the training is, so that a resumed one goes on from there."""

    def __init__(self, count: int, next_step: Callable[[], int]) -> None:
        self.count, self.next_step = count, next_step

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        first = self.next_step()
        return iter(range(first, first + self.count))


class _Loader(DataLoader):
    """Says that it resumes anywhere: the next batch follows from the Trainer's steps, which checkpoints hold."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass


class _Excerpts(Dataset[Excerpt]):
    def __init__(self, songs: Sequence[StemSong], seconds: float) -> None:
        self.songs, self.seconds = songs, seconds

    def __len__(self) -> int:
        return len(self.songs)

    def __getitem__(self, index: int) -> Excerpt:
        if not 0 <= index < len(self.songs):
            raise IndexError(index)
        song = self.songs[index]
        return read_excerpt(song, self.seconds)


def read_excerpt(song: StemSong, seconds: float = math.inf) -> Excerpt:
    """Reads an excerpt from the middle of a song, or all of it."""
    start, length = _middle(song, seconds)
    stems = torch.stack([song.read(row, start, length) for row in range(len(song.sources))])
    return Excerpt(song.name, stems[:-1], stems.sum(0))


def _middle(song: StemSong, seconds: float) -> tuple[int, int]:
    """The first sample and the length of an excerpt from the middle of a song."""
    length = min(song.num_samples, max(1, round(min(seconds, 1e9) * song.sample_rate)))
    return (song.num_samples - length) // 2, length
