"""One song for a search, from any of the data layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader, Dataset

from mixgraph.songs import Song, load_song
from mixgraph.songs.training_clips import Clip, ClipReader, StartRange


class SongData(L.LightningDataModule):
    """Random clips of a song to train on; the song itself to validate, test and render.

    Args:
        path: folder of the song.
        layout: `"auto"`, or one of `mixgraph.songs.LAYOUTS`.
        sample_rate: in Hz; audio is resampled once. The only place where the rate is set.
        steps_per_stage: clips of a stage (an epoch).
        warm_up_seconds: at the start of each clip, rendered but not compared.
        scored_seconds: of each clip, compared.
        starts: of the clips, see `ClipReader`.
        seed: of the starts.
        loudness_lufs: level that the mix is brought to, with one factor for the song; null leaves it.
        apply_alignment: shift and flip tracks as estimated (they are always estimated and reported).
        subgrouping: `"auto"` (song.yaml, else the rule on names), `"rule"` or `"one_per_track"`.
        cache_dir: where songs above the memory limit are kept, decoded, and mapped from.
        memory_limit_gb: songs that take more are not held in memory.
    """

    def __init__(
        self,
        path: str,
        layout: str = "auto",
        sample_rate: int = 30000,
        steps_per_stage: int = 500,
        warm_up_seconds: float = 1.0,
        scored_seconds: float = 2.8,
        starts: StartRange = "whole_song",
        seed: int = 42,
        loudness_lufs: float | None = -16.0,
        apply_alignment: bool = False,
        subgrouping: str = "auto",
        cache_dir: str | None = ".mixgraph_cache",
        memory_limit_gb: float = 4.0,
    ) -> None:
        super().__init__()
        if steps_per_stage < 1:
            raise ValueError(f"steps_per_stage: at least 1, got {steps_per_stage}")
        self.path, self.layout, self.sample_rate = Path(path), layout, sample_rate
        self.steps_per_stage, self.seed, self.starts = steps_per_stage, seed, starts
        self.warm_up = round(warm_up_seconds * sample_rate)
        self.scored = round(scored_seconds * sample_rate)
        self.loudness_lufs, self.apply_alignment, self.subgrouping = loudness_lufs, apply_alignment, subgrouping
        self.cache_dir, self.memory_limit_gb = cache_dir, memory_limit_gb
        self._song: Song | None = None

    @property
    def song(self) -> Song:
        """The song, read when first asked for.

        Raises:
            ValueError, FileNotFoundError: all problems of the song at once.
        """
        if self._song is None:
            self._song = self.read()
        return self._song

    def read(self) -> Song:
        return load_song(
            self.path,
            sample_rate=self.sample_rate,
            layout=self.layout,
            loudness_lufs=self.loudness_lufs,
            apply_alignment=self.apply_alignment,
            subgrouping=self.subgrouping,
            cache_dir=self.cache_dir,
            memory_limit_gb=self.memory_limit_gb,
        )

    def setup(self, stage: str) -> None:
        if self.song.num_samples < 1:
            raise ValueError(f"{self.path}: the mix is empty")

    def clips(self) -> ClipReader:
        lookahead = 2 * (round(1024 * self.sample_rate / 30000) - 1)  # two equalizers, one on the track, one after
        return ClipReader(self.song, self.warm_up, self.scored, lookahead, self.seed, self.starts)

    def train_dataloader(self) -> DataLoader:
        def first_step() -> int:
            return self.trainer.current_epoch * self.steps_per_stage if self.trainer else 0

        return DataLoader(_StageClips(self.clips(), self.steps_per_stage, first_step), batch_size=None)

    def val_dataloader(self) -> DataLoader:
        return self._whole_song()

    def test_dataloader(self) -> DataLoader:
        return self._whole_song()

    def predict_dataloader(self) -> DataLoader:
        return self._whole_song()

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        # A song stays where it is and is read in blocks; clips travel.
        return batch if isinstance(batch, Song) else super().transfer_batch_to_device(batch, device, dataloader_idx)

    def _whole_song(self) -> DataLoader:
        return DataLoader(_OneSong(self.song), batch_size=None)


class _StageClips(Dataset[Clip]):
    def __init__(self, clips: ClipReader, count: int, first_step: Callable[[], int]) -> None:
        self.clips, self.count, self.first_step = clips, count, first_step

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Clip:
        return self.clips(self.first_step() + index)


class _OneSong(Dataset[Song]):
    def __init__(self, song: Song) -> None:
        self.song = song

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Song:
        return self.song
