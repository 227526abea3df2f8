"""The clips that a search trains on, cut at random places of songs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mixgraph.songs.clips import cut
from mixgraph.songs.song import Song

StartRange = Literal["whole_song", "even", "reference"]


class Clip(NamedTuple):
    """A training example.

    Attributes:
        sources: (inputs, 2, T), dry tracks with look-ahead past the end of the targets.
        targets: (songs, 2, L), L <= T, the mixes to match; their first samples, the warm-up, are not compared.
        mono: rows of `sources` whose two channels are equal, throughout the song.
        silent: rows of `sources` that are digitally silent in this clip.
        starts: (songs,), the sample of the song at which the clip starts, for every song; None stands for 0.
        group_targets: (groups of all songs, 2, L), the targets of the songs' groups; None where no song has any.
    """

    sources: Tensor
    targets: Tensor
    mono: tuple[int, ...] = ()
    silent: tuple[int, ...] = ()
    starts: Tensor | None = None
    group_targets: Tensor | None = None


def join_clips(clips: Sequence[Clip]) -> Clip:
    """Joins clips of one length to one clip of all songs: sources row after row, as `graph.batch` numbers them."""
    mono: list[int] = []
    silent: list[int] = []
    first = 0
    for clip in clips:
        mono += [first + row for row in clip.mono]
        silent += [first + row for row in clip.silent]
        first += len(clip.sources)
    sources, targets = torch.cat([clip.sources for clip in clips]), torch.cat([clip.targets for clip in clips])
    starts = torch.cat([torch.zeros(1, dtype=torch.long) if c.starts is None else c.starts for c in clips])
    groups = [clip.group_targets for clip in clips if clip.group_targets is not None]
    return Clip(sources, targets, tuple(mono), tuple(silent), starts, torch.cat(groups) if groups else None)


class ClipReader:
    """Cuts training clips out of a song; the same seed and step always give the same clip.

    A clip is a warm-up and what is compared. It starts from one warm-up before the song, where there are zeros, to
    where its end meets the song's, so that every second of the song is compared. A song shorter than what is compared
    is compared whole.

    Args:
        song: the song to cut clips from.
        warm_up: samples that are rendered but not compared.
        scored: samples that are compared.
        lookahead: samples of the sources after the clip, for processors that look ahead.
        seed: seeds the random starts of training clips.
        starts: `"even"`: drawn from a range that is wider than that by half of what is compared at both ends, and
            moved to its ends, so that the first and the last `scored` samples are compared as often, on average, as
            others (by turns half and one and a half times); `"whole_song"`: drawn from that range, which compares the
            song's ends rarely; `"reference"`: never before the song, which leaves its first warm-up out.
    """

    def __init__(
        self, song: Song, warm_up: int, scored: int, lookahead: int, seed: int, starts: StartRange = "even"
    ) -> None:
        if warm_up < 0 or scored < 1 or lookahead < 0:
            got = f"{warm_up}, {scored}, {lookahead}"
            raise ValueError(f"warm_up, scored, lookahead: at least 0, 1 and 0 samples, got {got}")
        self.song, self.lookahead, self.seed = song, lookahead, seed
        scored = min(scored, song.num_samples)
        self.length = warm_up + scored
        self.first = 0 if starts == "reference" and song.num_samples >= self.length else -warm_up
        self.last = song.num_samples - self.length
        self.margin = scored // 2 if starts == "even" else 0

    def __call__(self, step: int) -> Clip:
        """Returns the clip of a step, counted from the start of the search."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        places = self.last - self.first + 1 + 2 * self.margin
        start = self.first - self.margin + int(torch.randint(places, (), generator=generator))
        return self.at(min(max(start, self.first), self.last))

    def at(self, start: int) -> Clip:
        """Returns the clip that starts at a sample of the song."""
        sources = cut(self.song.sources, start, self.length + self.lookahead)
        sounding = (sources != 0).flatten(1).any(dim=1).tolist()
        return Clip(
            sources,
            cut(self.song.mix, start, self.length).unsqueeze(0),
            mono=self.song.mono_rows,
            silent=tuple(row for row, sounds in enumerate(sounding) if not sounds),
            starts=torch.tensor([start]),
            group_targets=torch.stack([cut(group.target, start, self.length) for group in self.song.groups])
            if self.song.groups
            else None,
        )


class SongsReader:
    """Cuts training clips out of several songs at once; each of them gives the clips that it gives alone.

    Args:
        readers: one reader a song.

    Raises:
        ValueError: clips of different lengths, because some songs are shorter than what is compared.
    """

    def __init__(self, readers: Sequence[ClipReader]) -> None:
        self.readers = tuple(readers)
        longest = max(reader.length for reader in readers)
        short = [reader.song for reader in readers if reader.length < longest]
        if short:
            names = ", ".join(f"{song.name} ({song.num_samples / song.sample_rate:g} s)" for song in short)
            raise ValueError(
                f"scored_seconds: songs that are searched together need clips of one length, and these are shorter "
                f"than what is compared: {names}; search them on their own or lower it"
            )

    def __call__(self, step: int) -> Clip:
        """Returns the clip of a step, counted from the start of the search."""
        return join_clips([reader(step) for reader in self.readers])
