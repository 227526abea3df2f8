"""Consoles, clips and songs on a device, and training steps on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from datamodules import SongData
from mixgraph.graph import batch, build_console
from mixgraph.pruning import Costs, SamplerSettings, Schedule, SongCosts
from mixgraph.search.module import ConsoleModule
from mixgraph.songs.song import Song
from mixgraph.songs.training_clips import Clip, ClipReader, SongsReader
from tools.bench.cases import DEMO, WARM_UP_SECONDS, Case, make_song
from tools.bench.ours import OurSide

QUICK = Case(tracks=2, seconds=3.0, clip_seconds=2.0, sample_rate=8000)
_CLIPS = 4  # the number of clips that steps use in turns

LOSS_INCREASE = SamplerSettings("brute_force", order="loss_increase")
DEMO_SCHEDULE = Schedule(50, 6, 4, LOSS_INCREASE, True, 100)
DEFAULT_SCHEDULE = Schedule(500, 12, 12, LOSS_INCREASE, True, 2000)


def demo_case(quick: bool) -> Case:
    """Returns the case of the demo song."""
    return QUICK if quick else Case(song=str(DEMO))


def console_case(tracks: int, share: float, quick: bool, seconds: float = 10.0) -> Case:
    """Returns the case of a console on stereo tracks that are never silent, so that no shortcut applies."""
    if quick:
        return replace(QUICK, tracks=2 if tracks < 24 else 3, share=share)
    return Case(tracks=tracks, seconds=seconds, share=share)


def console_label(tracks: int, share: float) -> str:
    """Returns the name of a console in the tables."""
    return f"{tracks} tracks, {'full' if share == 1 else f'{share:.0%} left'}"


class Training:
    """A console on a device with clips and an optimizer, which makes the training steps of a search.

    Args:
        module: a console with its graph, on the device.
        clips: the clips that steps use in turns, on the device.
    """

    def __init__(self, module: ConsoleModule, clips: Sequence[Clip]) -> None:
        self.module, self.clips = module, tuple(clips)
        self.optimizer = module.configure_optimizers()
        self.steps = 0

    def next_clip(self) -> Clip:
        clip = self.clips[self.steps % len(self.clips)]
        self.steps += 1
        return clip

    def phases(self) -> dict[str, Callable[[], Any]]:
        """Returns the phases of the next step as functions, to be called in order."""
        clip = self.next_clip()
        kept: list[Tensor] = []
        self.optimizer.zero_grad()
        return {
            "losses": lambda: kept.append(self.module.losses(clip)["loss"]),
            "backward": lambda: kept[0].backward(),
            "optimizer": self.optimizer.step,
        }

    def step(self) -> Tensor:
        """Makes one step; returns its loss without synchronising."""
        self.optimizer.zero_grad()
        loss = self.module.losses(self.next_clip())["loss"]
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def make_training(case: Case, device: torch.device) -> tuple[Training, Song]:
    """Makes the training of a case, with the same values on every device, and its song, on the CPU."""
    side = OurSide(case)
    module = side.module.to(device)
    if module.loudest is not None:
        module.loudest = module.loudest.to(device)
    clips = [move_clip(side.clips(step), device) for step in range(_CLIPS)]
    return Training(module, clips), side.song


def move_clip(clip: Clip, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Clip:
    """Returns the clip on a device, in a dtype."""
    starts = None if clip.starts is None else clip.starts.to(device)
    return clip._replace(sources=clip.sources.to(device, dtype), targets=clip.targets.to(device, dtype), starts=starts)


def copy_values(source: ConsoleModule, destination: ConsoleModule) -> None:
    """Copies graph and values of one module to another, which stays on its device."""
    values = {
        t: {n: v.detach() for n, v in type_parameters.items()}
        for t, type_parameters in source.parameters_by_type().items()
    }
    destination.load(source.graph, values, source.weights)


class MadeSongData(SongData):
    """A data module for songs that exist in memory.

    Args:
        songs: all songs of the search.
        options: arguments of `SongData`, without the path.
    """

    def __init__(self, songs: Sequence[Song], **options: Any) -> None:
        super().__init__([song.name for song in songs], sample_rate=songs[0].sample_rate, **options)
        self.memory_songs = tuple(songs)

    def read(self) -> tuple[Song, ...]:
        return self.memory_songs


def made_song(case: Case, seed: int) -> Song:
    """Makes a song whose name and audio depend on the seed."""
    return replace(make_song(replace(case, seed=seed)), name=f"song{seed}")


def joint_training(songs: Sequence[Song], case: Case, device: torch.device) -> Training:
    """Makes the training of all songs as one disconnected graph."""
    module = ConsoleModule(sample_rate=case.sample_rate, warm_up_seconds=WARM_UP_SECONDS)
    module.build(batch([build_console(song.subgroups, name=song.name) for song in songs]))
    module.log_dict = lambda *_, **__: None  # type: ignore[method-assign]  # there is no Trainer
    scored = round(case.scored_seconds * case.sample_rate)
    readers = [ClipReader(song, module.warm_up, scored, module.lookahead, seed=0) for song in songs]
    clips = [move_clip(SongsReader(readers)(step), device) for step in range(2)]
    module.to(device)
    levels = [level for song in songs if (level := module.target(song).loudest) is not None]
    module.loudest = torch.stack(levels)
    return Training(module, clips)


def costs_of(module: ConsoleModule, songs: int, step: float, trial: float) -> Costs:
    """Estimates the costs of a search of several songs like that of the module, by the library's estimate.

    Args:
        module: the console of all songs, or of one.
        songs: the number of songs.
        step: the seconds of a training step with all songs.
        trial: the seconds of a trial of one song.
    """
    counts = module.graph.count()
    processors = round(len(module.graph.processors) / module.graph.num_songs)
    return Costs(step, (SongCosts(processors, len(counts), trial),) * songs)
