"""A song in memory: its dry tracks and its mix, with the offsets, levels and warnings from reading them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from mixgraph.songs.align import TrackAlignment
from mixgraph.songs.manifest import SongFiles
from mixgraph.songs.song_warning import SongWarning


@dataclass(frozen=True, eq=False)
class SongGroup:
    """Some subgroups of a song, and how they sound in the mix.

    Attributes:
        name: name of the group.
        subgroups: names of its subgroups.
        target: (2, L), the part of the mix that they make, or an estimate of it, at the level of `Song.mix`.
    """

    name: str
    subgroups: tuple[str, ...]
    target: Tensor


@dataclass(frozen=True, eq=False)
class Song:
    """The dry tracks and the finished mix of one song, at one sample rate and of one length L.

    Attributes:
        name: the folder's name in letters, digits, - and _.
        title: the song's title, for people.
        licence: the licence of the audio, as the song's files state it.
        sample_rate: sample rate of all audio of the song, in Hz.
        subgroups: the names of each subgroup's tracks. Their order is the order of the rows of `sources`.
        sources: (K, 2, L) float32; mono tracks are on both channels at full level. May be mapped from a file.
        mix: (2, L) float32.
        mono: for every track, whether its file is mono or has two equal channels.
        placements: for every track, the sample of its file (at the song's rate) that is aligned with the mix's first,
            and the polarity that it was read with: as the files state them, with the alignment where it was applied.
        level: the factor that `sources` and `mix` were multiplied by; dividing by it undoes it. Losses are of
            mixes at this level; `FoundGraph.render` takes and gives audio at the files' own level.
        alignment: for every track, its estimated offset and polarity, and whether they were applied.
        warnings: a warning for everything that is unusual about the song.
        file_hashes: the sha256 of every audio file, by its name relative to the song's folder: the mix's first, then
            the tracks' in the order of `sources`. Empty for a song that was not read from files.
        memory_limit: bytes that the features of the mix may take, and the same again for what pruning trials keep,
            where the song is searched. What does not fit is made again when it is needed; no value depends on it.
        files: the files that it was read from, which have its audio at their own rates; None where there are none.
        groups: groups of subgroups with targets of their own, see `songs.group_targets`; none by default.
    """

    name: str
    title: str
    licence: str
    sample_rate: int
    subgroups: dict[str, tuple[str, ...]]
    sources: Tensor
    mix: Tensor
    mono: tuple[bool, ...]
    placements: tuple[tuple[int, int], ...]
    level: float
    alignment: tuple[TrackAlignment, ...]
    warnings: tuple[SongWarning, ...]
    file_hashes: dict[str, str]
    memory_limit: float = math.inf
    files: SongFiles | None = None
    groups: tuple[SongGroup, ...] = ()

    def __post_init__(self) -> None:
        num_tracks, num_samples = len(self.tracks), self.mix.shape[-1]
        for name, tensor, shape in (
            ("sources", self.sources, (num_tracks, 2, num_samples)),
            ("mix", self.mix, (2, num_samples)),
            *((f"groups: {group.name}", group.target, (2, num_samples)) for group in self.groups),
        ):
            if tuple(tensor.shape) != shape:
                raise ValueError(f"{name}: shape {shape} expected, got {tuple(tensor.shape)}")
        for name, values in (
            ("mono", self.mono),
            ("placements", self.placements),
            ("alignment", self.alignment),
        ):
            if len(values) != num_tracks:
                raise ValueError(f"{name}: one entry for each of {num_tracks} tracks expected, got {len(values)}")

    @property
    def tracks(self) -> tuple[str, ...]:
        """The names of the tracks, in the order of `sources`."""
        return tuple(track for members in self.subgroups.values() for track in members)

    @property
    def mono_rows(self) -> tuple[int, ...]:
        """The rows of `sources` whose channels are equal."""
        return tuple(row for row, mono in enumerate(self.mono) if mono)

    @property
    def num_samples(self) -> int:
        """The length L of the song in samples."""
        return int(self.mix.shape[-1])
