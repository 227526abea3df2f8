"""The songs of a search, from any of the data layouts."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader, Dataset

from mixgraph.search.module import ConsoleModule
from mixgraph.search.resuming import constructor_settings
from mixgraph.songs import Song, load_song
from mixgraph.songs.group_targets import with_group_targets
from mixgraph.songs.load import check_sound
from mixgraph.songs.own_rate import SongRate, resolve_rate
from mixgraph.songs.training_clips import Clip, ClipReader, SongsReader, StartRange
from mixgraph.system.memory import give_freed_memory_back

MAX_STEPS = 1_000_000  # in a stage; a hundred times as many as any search has needed
MAX_SECONDS = 120  # the longest clip, and the longest warm-up


class SongData(L.LightningDataModule):
    """Random clips of a song to train on; the song itself to validate, test and render.

    Several songs are trained on side by side: a clip holds a part of each song, the same part as if the song was
    alone.

    Args:
        path: folder of the song, or a list of them; where `mix` is given, the folder of its dry tracks.
        layout: `"auto"`, or one of `mixgraph.songs.LAYOUTS`.
        sample_rate: the sample rate in Hz, to which audio is resampled once. No other setting sets the rate. `"song"`
            is the rate of the mix, which this argument then stands for everywhere.
        steps_per_stage: the number of clips of a stage (an epoch).
        warm_up_seconds: the start of each clip, which is rendered but not compared with the mix.
        scored_seconds: the length of the rest of each clip, which is compared with the mix.
        starts: the rule for the random starts of training clips, see `ClipReader`.
        seed: seeds the random starts of training clips.
        loudness_lufs: level that the mix is brought to, with one factor for the song; null leaves it.
        apply_alignment: shift and flip tracks as estimated (they are always estimated and reported).
        subgrouping: `"auto"` (song.yaml, else the rule on names), `"rule"` or `"one_per_track"`.
        cache_dir: the folder of decoded songs above the memory limit, which are memory-mapped.
        memory_limit_gb: the limit for all songs together (in equal shares) of three things that grow with a song's
            length. Its decoded tracks (at 30 kHz 14.4 MB a minute and track) are mapped from a file beyond it. The
            features of the mix (66 to 72 MB a minute, at any rate) and the audio that pruning trials cache (at 30 kHz
            14.4 MB a minute for each of up to two outputs of a chain; at most `trial_memory_gb`) are computed again
            beyond it, which takes time and changes no value. A few copies of the mix and of a track stay in any case.
        mix: the file of the mix, if it is not in the folder of the (one) song.
        group_targets: folder of stems that a demixer made of the mix of the (one) song: vocals.wav, drums.wav, ... What
            the subgroups of each give to the mix is compared with it while training, see
            `model.regularizers.group_weight`; trials of pruning compare the mix alone.
    """

    def __init__(
        self,
        path: str | list[str],
        layout: str = "auto",
        sample_rate: SongRate = 30000,
        steps_per_stage: int = 500,
        warm_up_seconds: float = 1.0,
        scored_seconds: float = 2.8,
        starts: StartRange = "even",
        seed: int = 42,
        loudness_lufs: float | None = -16.0,
        apply_alignment: bool = False,
        subgrouping: str = "auto",
        cache_dir: str | None = ".mixgraph_cache",
        memory_limit_gb: float = 4.0,
        mix: str | None = None,
        group_targets: str | None = None,
    ) -> None:
        paths = path if isinstance(path, list) else [path]
        sample_rate = resolve_rate(sample_rate, paths, layout, mix)[0]
        self.settings = constructor_settings({n: v for n, v in locals().items() if n != "paths"})
        super().__init__()
        if not 1 <= steps_per_stage <= MAX_STEPS:
            raise ValueError(f"steps_per_stage: at least 1, at most {MAX_STEPS}, got {steps_per_stage}")
        if not (0 <= warm_up_seconds <= MAX_SECONDS and 0 < scored_seconds <= MAX_SECONDS):
            got = f"{warm_up_seconds:g} and {scored_seconds:g}"
            raise ValueError(f"warm_up_seconds, scored_seconds: at least 0, at most {MAX_SECONDS} s, got {got}")
        if not paths:
            raise ValueError("path: the folder of at least one song, got none")
        if mix is not None and len(paths) > 1:
            raise ValueError(f"mix: the mix of one song, got {mix} and {len(paths)} folders (path)")
        if group_targets is not None and len(paths) > 1:
            raise ValueError(f"group_targets: stems of one song, got {group_targets} and {len(paths)} folders (path)")
        self.mix, self.group_targets = mix, None if group_targets is None else Path(group_targets)
        self.paths, self.layout, self.sample_rate = tuple(map(Path, paths)), layout, sample_rate
        self.steps_per_stage, self.seed, self.starts = steps_per_stage, seed, starts
        self.warm_up = round(warm_up_seconds * sample_rate)
        self.scored = round(scored_seconds * sample_rate)
        self.loudness_lufs, self.apply_alignment, self.subgrouping = loudness_lufs, apply_alignment, subgrouping
        self.cache_dir, self.memory_limit_gb = cache_dir, memory_limit_gb

    @cached_property
    def songs(self) -> tuple[Song, ...]:
        """The songs, in the order of `path`, read on first use.

        Raises:
            ValueError, FileNotFoundError: all problems of a song at once, or two songs with the same name.
        """
        songs = self.read()
        names = [song.name for song in songs]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"path: the name of a song's folder names its result, and two are named {name!r}")
        return songs

    @property
    def song(self) -> Song:
        """The song, if there is only one.

        Raises:
            ValueError: there are several.
        """
        if len(self.songs) > 1:
            raise ValueError(f"song: one song is needed, got {', '.join(s.name for s in self.songs)}; see `songs`")
        return self.songs[0]

    def read(self) -> tuple[Song, ...]:
        songs = tuple(
            load_song(
                path,
                sample_rate=self.sample_rate,
                layout=self.layout,
                loudness_lufs=self.loudness_lufs,
                apply_alignment=self.apply_alignment,
                subgrouping=self.subgrouping,
                cache_dir=self.cache_dir,
                memory_limit_gb=self.memory_limit_gb / len(self.paths),
                mix=self.mix,
            )
            for path in self.paths
        )
        return songs if self.group_targets is None else (with_group_targets(songs[0], self.group_targets),)

    def setup(self, stage: str) -> None:
        for song in self.songs:
            if song.num_samples < 1:
                raise ValueError(f"{song.name}: the mix is empty")
        if stage == "fit":
            for song in self.songs:
                check_sound(song)
            self.clips()  # refuses songs that cannot be trained on together
            give_freed_memory_back()  # what reading them took

    def clips(self, lookahead: int = 0) -> SongsReader:
        """Returns the reader of training clips.

        Args:
            lookahead: samples of the sources after the end of a clip, see `ConsoleModule.lookahead`; there are always
                as many as two equalizers need, one on the track and one behind it.
        """
        equalizers = 2 * (round(1024 * self.sample_rate / 30000) - 1)
        lookahead = max(lookahead, equalizers)
        return SongsReader(
            [ClipReader(song, self.warm_up, self.scored, lookahead, self.seed, self.starts) for song in self.songs]
        )

    def train_dataloader(self) -> DataLoader:
        module = self.trainer.lightning_module if self.trainer else None
        needed = module.lookahead if isinstance(module, ConsoleModule) else 0
        return _StageLoader(_StageClips(self.clips(needed), self.steps_per_stage, self._step), batch_size=None)

    def _step(self, index: int) -> int:
        """The step, from the start of the search, that the loader's next clip is for; `index` counts its clips."""
        if self.trainer is None or not self.trainer.training:
            return index
        return self.trainer.fit_loop.total_batch_idx + 1  # stages may differ in length

    def val_dataloader(self) -> DataLoader:
        return self._whole_songs()

    def test_dataloader(self) -> DataLoader:
        return self._whole_songs()

    def predict_dataloader(self) -> DataLoader:
        return self._whole_songs()

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        # A song stays on the CPU and is read in blocks; only clips are moved to the device.
        return batch if isinstance(batch, Song) else super().transfer_batch_to_device(batch, device, dataloader_idx)

    def _whole_songs(self) -> DataLoader:
        return DataLoader(_WholeSongs(self.songs), batch_size=None)


class _StageClips(Dataset[Clip]):
    def __init__(self, clips: SongsReader, count: int, step: Callable[[int], int]) -> None:
        self.clips, self.count, self.step = clips, count, step

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Clip:
        return self.clips(self.step(index))


class _StageLoader(DataLoader):
    """Resumes in the middle of a stage: the next clip follows from the Trainer's steps, which checkpoints hold."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass


class _WholeSongs(Dataset[Song]):
    def __init__(self, songs: tuple[Song, ...]) -> None:
        self.songs = songs

    def __len__(self) -> int:
        return len(self.songs)

    def __getitem__(self, index: int) -> Song:
        return self.songs[index]
